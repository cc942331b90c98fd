"""SlaveService, every implementation: the heartbeat that it keeps, the lease that it believes in, and how both end."""

from __future__ import annotations

import os
import signal
import time
from threading import Event

import grpc
import pytest

from interaction.v1 import master_service_pb2 as messages
from tests.contract.recording_master import Failure
from tests.contract.slave_programs import WAIT, SlaveProgram
from tests.contract.wire import (
    FORBIDDEN,
    GONE,
    NOT_CONNECTED,
    SUM,
    Caller,
    duration_of,
    refused,
)

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own

ENDS = {
    "shutting down": Failure(GONE, "SYSTEM_SHUTTING_DOWN"),
    "unknown token": Failure(FORBIDDEN, "SLAVE_TOKEN_INVALID"),
}
CLOSING = messages.HeartbeatResponse(closing=messages.HeartbeatClosing(reason="enough"))
ANOTHERS = Failure(GONE, "SYSTEM_SHUTTING_DOWN", "another.example")  # no reason of this contract
NEWS_OF_TOMORROW = b"\xa2\x06\x03new"  # field 100


def test_beats_count_on_and_acknowledgements_keep_the_session(caller: Caller) -> None:
    caller.connect(lease=0.6)
    assert [caller.beat() for _ in range(6)] == list(range(1, 7))  # longer than a lease
    caller.new_task(SUM)
    assert caller.stream() == caller.token
    assert caller.master.streams.empty()


def test_an_acknowledgement_stands_for_all_beats_before_it(caller: Caller) -> None:
    seen: list[int] = []

    def every_other(sequence: int) -> int:
        seen.append(sequence)
        return sequence if sequence % 2 == 0 else 0

    caller.master.acknowledged = every_other
    caller.connect(lease=0.6)
    while caller.beat() < 6:
        pass
    caller.new_task(SUM)
    assert seen[:6] == list(range(1, 7))


def test_a_stream_that_hangs_is_given_up_for_a_newer_one_while_the_lease_runs(caller: Caller) -> None:
    """The transport may not know for minutes that nothing comes through any more."""
    caller.master.hanging = {1, 2}
    caller.connect(lease=2.0)
    assert [caller.stream() for _ in range(3)] == [caller.token] * 3
    caller.master.streams.queue.clear()
    caller.new_task({"seconds": 2.5, **SUM})  # longer than the lease
    assert caller.value() == {"sum": 3}
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_a_master_that_acknowledges_nothing_more_is_asked_once_more_and_left(caller: Caller) -> None:
    caller.master.hanging = set(range(1, 100))
    caller.master.acknowledged = lambda sequence: 1
    caller.connect(lease=2.0)
    caller.until_over()
    assert caller.stream() == caller.token
    assert caller.master.streams.qsize() <= 2, "its own newer one, and its pacemaker's"
    assert caller.master.ended.get(timeout=WAIT) == caller.token
    caller.connect()


def test_acknowledgements_that_come_late_on_the_older_stream_count(caller: Caller) -> None:
    """The master stood still, not the stream."""
    go_on, held = Event(), Event()

    def stand_still(sequence: int) -> int:
        if sequence == 2:
            held.set()
            go_on.wait(WAIT)
        return sequence

    caller.master.acknowledged = stand_still
    caller.connect(lease=3.0)
    try:
        assert held.wait(WAIT)
        assert [caller.stream() for _ in range(2)] == [caller.token] * 2
    finally:
        go_on.set()
    caller.new_task({"seconds": 3.5, **SUM})
    assert caller.value() == {"sum": 3}


def test_without_acknowledgements_the_lease_ends(caller: Caller) -> None:
    # An older sequence renews nothing that was not.
    caller.master.acknowledged = lambda sequence: 1
    caller.connect(lease=0.4)
    caller.until_over()
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    assert caller.master.ended.get(timeout=WAIT) == caller.token  # it does not talk on
    caller.connect()


def test_a_slave_that_stood_still_until_its_lease_was_over_beats_no_more(caller: Caller, program: SlaveProgram) -> None:
    """Its master would believe in it for one more tolerance, and it has let go."""
    caller.connect(lease=0.6)
    assert caller.beat() == 1
    program.process.send_signal(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, program.process.pid, os.WSTOPPED | os.WNOWAIT)
        Event().wait(0.7)
        caller.master.beats.queue.clear()
    finally:
        program.process.send_signal(signal.SIGCONT)
    caller.until_over()
    assert caller.master.ended.get(timeout=WAIT) == caller.token
    assert caller.master.beats.empty()


def test_the_master_may_change_the_lease(caller: Caller) -> None:
    caller.master.beat_answers.append(messages.HeartbeatResponse(lease=duration_of(0.4)))
    caller.connect(lease=300.0)
    assert [caller.beat() for _ in range(4)] == [1, 2, 3, 4]
    caller.master.silent = True
    caller.until_over()


def test_a_longer_lease_counts_from_the_beat_that_it_answers(caller: Caller) -> None:
    caller.master.beat_answers.append(messages.HeartbeatResponse(lease=duration_of(300.0)))
    caller.connect(lease=0.5)
    assert caller.beat() == 1
    caller.new_task({"seconds": 0.8, **SUM})  # when it has ended the first lease is over
    assert caller.value() == {"sum": 3}
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_what_the_master_says_beyond_this_contract_means_nothing(caller: Caller) -> None:
    caller.master.beat_answers.append(messages.HeartbeatResponse.FromString(NEWS_OF_TOMORROW))
    caller.connect(lease=0.6)
    while caller.beat() < 5:
        pass
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_a_broken_stream_is_opened_again_and_the_beats_count_on(caller: Caller) -> None:
    breaks = [None, Failure(GONE), Failure(grpc.StatusCode.INTERNAL), Failure(grpc.StatusCode.CANCELLED), ANOTHERS]
    caller.master.beat_answers.extend(breaks)
    caller.connect(lease=3.0)
    assert [caller.beat() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert [caller.stream() for _ in range(6)] == [caller.token] * 6
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_a_slave_whose_stream_gave_way_to_a_newer_one_opens_no_other(caller: Caller) -> None:
    caller.master.answer_second(Failure(grpc.StatusCode.ABORTED))
    caller.connect(lease=1.0)
    assert caller.beat() == 1
    caller.new_task(SUM)  # the session goes on, by the newer stream
    assert caller.value() == {"sum": 3}
    caller.until_over()  # which is not there in this test
    assert caller.stream() == caller.token
    assert caller.master.streams.empty()


@pytest.mark.parametrize("end", [*ENDS.values(), CLOSING], ids=[*ENDS, "closing"])
def test_the_master_can_end_the_session(caller: Caller, end: Failure) -> None:
    caller.master.answer_second(end)
    caller.connect(lease=9.0)
    while caller.beat() < 2:
        pass
    heard_at = time.monotonic()
    caller.until_over()
    assert time.monotonic() - heard_at < 4.0, "long before the lease is over"
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    caller.connect()  # free at once
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_answer_to_a_report_can_end_the_session(caller: Caller, end: Failure) -> None:
    caller.connect(lease=300.0)
    caller.master.report_answers.append(end)
    caller.new_task(SUM)
    caller.until_over()
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    assert list(caller.connect(caller.token).held) == []  # nothing is left to resume


def test_a_master_that_answers_nothing_is_left_when_the_lease_is_over(caller: Caller, resumes: bool) -> None:
    caller.connect(lease=0.4)
    caller.master.unavailable = True
    caller.falls_silent()
    caller.new_task(SUM)
    caller.until_over()
    caller.master.obey()
    caller.master.reports.queue.clear()
    answer = caller.connect(caller.token if resumes else "")
    if resumes:  # a task that had not begun by then, in a process that is only being started, waits for this
        assert len(answer.held) == 1
        assert caller.value() == {"sum": 3}
