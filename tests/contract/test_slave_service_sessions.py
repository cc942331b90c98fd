"""SlaveService, every implementation: how a session is opened, resumed and disconnected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from tests.contract.recording_master import Failure
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import (
    ALREADY_CONNECTED,
    CONNECTION_REFUSED,
    GONE,
    NO_MAPPINGS,
    NOT_CONNECTED,
    REQUEST_INVALID,
    SUM,
    TASK_ALREADY_EXIST,
    TOKEN_INVALID,
    Caller,
    failed,
    metadata_of,
    new_id,
    new_token,
    refusal_of,
    refused,
    refused_or_done,
    value_of,
)

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own


def lose(caller: Caller, lease: float = 0.3) -> None:
    """Let the session's lease run out."""
    caller.connect(lease=lease)
    caller.falls_silent()
    caller.until_over()
    caller.master.silent = False


def end_by_master(caller: Caller) -> None:
    """Open a session that the master ends."""
    caller.master.answer_second(Failure(GONE, "SYSTEM_SHUTTING_DOWN"))
    caller.connect(lease=4.5)  # so that the second beat comes soon
    caller.until_over()


def test_a_session_beats_at_once_with_its_metadata(caller: Caller) -> None:
    answer = caller.connect()
    assert (answer.slots or 1, answer.backlog, list(answer.held)) == (1, 0, [])
    metadata = caller.master.streams.get(timeout=WAIT)
    assert (metadata["channel"], metadata["token"]) == (str(CHANNEL), caller.token)
    assert caller.beat() == 1


@pytest.mark.parametrize("form", ["{}", "{}/", "grpc://{}", "http://{}", "http://{}/"])
def test_the_masters_address_may_have_any_of_its_forms(caller: Caller, form: str) -> None:
    caller.connect(address=form.format(caller.master.address))
    assert caller.beat() == 1


@pytest.mark.parametrize("address", ["localhost", "https://localhost:65535", "[::1]", "[::1]:1", "grpc://[::1]:7235/"])
def test_other_addresses_are_taken(caller: Caller, address: str) -> None:
    answer = refused_or_done(lambda: caller.connect(address=address))
    assert answer in (None, CONNECTION_REFUSED)
    if answer is None:
        caller.disconnect()


@pytest.mark.parametrize(
    "address",
    [
        "",
        ":7235",
        "host:port",
        "a b:1",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "::1",
        "unix:/tmp/x",
        "unix:///tmp/x",
        "ftp://host:1",
        "xds:///master",
        "dns:///localhost:1",
        "http://user@localhost:1",
        "http://localhost:1/path",
        "http://localhost:1?query",
        "localhost:1\n",
        pytest.param("x" * 10_000, id="10,000 characters"),
    ],
)
def test_an_address_that_is_none_is_refused_and_changes_nothing(caller: Caller, address: str) -> None:
    token = new_token()
    error = failed(caller.connect, token=token, address=address)
    assert refusal_of(error) == REQUEST_INVALID
    assert "master_address" in str(error)
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    caller.connect(token=token)


@pytest.mark.parametrize(
    "lease", [Duration(), -5.0, 0.0999, 86401.0, Duration(seconds=10**11), Duration(seconds=-(10**11))], ids=str
)
def test_a_lease_outside_its_bounds_is_refused_and_changes_nothing(caller: Caller, lease: float | Duration) -> None:
    token = new_token()
    error = failed(caller.connect, token=token, lease=lease)
    assert refusal_of(error) == REQUEST_INVALID
    assert "lease" in str(error)
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    caller.connect(token=token)


@pytest.mark.parametrize("lease", [0.1, 86400.0])
def test_a_lease_at_its_bounds_is_taken(caller: Caller, lease: float) -> None:
    caller.connect(lease=lease)
    assert caller.beat() == 1


def test_a_lease_is_required(caller: Caller) -> None:
    request = messages.ConnectRequest(master_address=caller.master.address)
    metadata = metadata_of(caller.token)
    assert refused(caller.stub.Connect, request, metadata=metadata, timeout=WAIT) == REQUEST_INVALID


@pytest.mark.parametrize("data", NO_MAPPINGS)
def test_data_that_is_no_mapping_changes_nothing(caller: Caller, data: Payload) -> None:
    token = new_token()
    assert refused(caller.connect, token=token, data=data) == REQUEST_INVALID
    caller.connect(token=token)
    assert refused(caller.disconnect, data=data) == REQUEST_INVALID
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


@pytest.mark.parametrize("data", [None, Payload(), {}, {"x": [None, {}]}, value_of({"x": "y"})], ids=str)
def test_a_master_may_say_something_or_nothing(caller: Caller, data: Any) -> None:
    said = [caller.connect(data=data).data, caller.disconnect(data=data).data]
    assert [json.loads(payload.json or "{}") for payload in said] == [{}, {}]


def test_connect_asked_twice_answers_the_same_and_opens_one_session(caller: Caller) -> None:
    first = caller.connect()
    assert caller.beat() == 1
    for again in (caller.master.address, "localhost:1", "nonsense:"):
        assert caller.connect(token=caller.token, address=again, lease=0.2) == first
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}
    assert caller.stream() == caller.token
    assert caller.master.streams.empty()
    caller.disconnect()
    assert caller.master.ended.get(timeout=WAIT) == caller.token


@pytest.mark.usefixtures("resumed")
def test_only_the_holder_of_its_token_takes_over_a_living_session(caller: Caller) -> None:
    caller.connect()
    mine = caller.token
    for previous in ([], [new_token()], ["short"], [mine + "x"], [mine, mine], [new_token(), mine]):
        assert refused(caller.connect, *previous) == ALREADY_CONNECTED
    caller.connect(mine)
    assert refused(caller.new_task, {}, token=mine) == TOKEN_INVALID
    assert refused(caller.disconnect, token=mine) == TOKEN_INVALID
    assert refused(caller.connect, token=mine) == TOKEN_INVALID


@pytest.mark.usefixtures("resumed")
def test_a_resumed_session_is_one_of_its_own_and_inherits_what_runs(caller: Caller) -> None:
    caller.connect(lease=0.6)
    first = caller.token
    assert [caller.beat() for _ in range(3)] == [1, 2, 3]
    running = caller.new_task({"seconds": 0.7, **SUM})
    answer = caller.connect(first, lease=30.0)
    assert [(task.task_id, task.ended) for task in answer.held] == [(running, False)]
    assert caller.master.ended.get(timeout=WAIT) == first
    assert [caller.stream(), caller.stream()] == [first, caller.token]
    assert caller.beat() == 1
    caller.new_task({"seconds": 0.7, **SUM}, running)  # a duplicate, as it was in the first session
    report = caller.report()
    assert (report.result.task_id, report.token) == (running, caller.token)
    assert caller.connect(token=caller.token) == answer
    caller.new_task(SUM)
    assert caller.report().result.task_id != running


@pytest.mark.usefixtures("resumed")
def test_a_session_whose_lease_ran_out_takes_no_task_and_can_be_resumed(caller: Caller) -> None:
    caller.connect(lease=0.3)
    caller.falls_silent()
    running = caller.new_task({"seconds": 2.0, **SUM})
    caller.until_over()
    first = caller.token
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    caller.master.silent = False
    answer = caller.connect(first)
    assert [(task.task_id, task.ended) for task in answer.held] == [(running, False)]
    report = caller.report()
    assert (report.result.task_id, report.token) == (running, caller.token)
    assert refused(caller.connect, token=first) == TOKEN_INVALID


@pytest.mark.usefixtures("resumed")
@pytest.mark.parametrize("lease_over", [False, True])
def test_a_result_that_found_no_master_is_reported_to_the_one_that_resumes(caller: Caller, lease_over: bool) -> None:
    caller.master.unavailable = True
    caller.connect(lease=0.5 if lease_over else 10.0)
    if lease_over:
        caller.falls_silent()
    ended = caller.new_task(SUM)
    assert caller.report().token == caller.token
    if lease_over:
        caller.until_over()
    caller.master.obey()
    answer = caller.connect(caller.token)
    held = [(task.task_id, task.ended) for task in answer.held]
    reports = [caller.report()]
    while reports[-1].token != caller.token:  # what the first session sent is still in the queue
        reports.append(caller.report())
    assert {report.result.task_id for report in reports} == {ended}
    assert held == [(ended, True)]
    assert json.loads(reports[-1].result.result.json) == {"sum": 3}


@pytest.mark.usefixtures("resumed")
def test_a_session_that_was_acknowledged_everything_holds_nothing(caller: Caller) -> None:
    caller.connect()
    for _ in range(3):
        caller.new_task(SUM)
        assert caller.value() == {"sum": 3}
    last = caller.new_task({"seconds": 60})
    while len(held := caller.connect(caller.token).held) > 1:  # the last answer may still be on its way to the slave
        pass
    assert [task.task_id for task in held] == [last]


def test_nothing_is_resumed_by_the_token_of_another_session_than_the_last(caller: Caller) -> None:
    caller.connect()
    caller.new_task(SUM)
    assert caller.report(), "from now on it works quickly, also where a process had to start for it"
    caller.disconnect()
    caller.master.unavailable = True
    caller.connect(lease=0.3)
    caller.falls_silent()
    first = caller.token
    caller.new_task(SUM)
    caller.until_over()
    caller.master.obey()
    for previous in ([new_token()], ["short"], [first, first]):
        assert list(caller.connect(*previous).held) == []
        caller.disconnect()
    assert list(caller.connect(first).held) == []
    caller.master.reports.queue.clear()
    last = caller.new_task({"seconds": 0.3, **SUM})
    assert caller.report().result.task_id == last


@pytest.mark.parametrize("end", ["disconnected", "ended by the master", "lease over, then disconnected"])
def test_a_session_that_has_ended_otherwise_cant_be_resumed(caller: Caller, end: str) -> None:
    caller.master.unavailable = True
    if end == "ended by the master":
        caller.connect(lease=1.5)  # so that the next beat comes soon
        caller.new_task(SUM)
        assert caller.report()
        caller.master.beat_answers.append(Failure(GONE, "SYSTEM_SHUTTING_DOWN"))
        caller.until_over()
    else:
        caller.connect(lease=10.0 if end == "disconnected" else 0.4)
        if end != "disconnected":
            caller.falls_silent()
        caller.new_task(SUM)
        assert caller.report()
        if caller.master.silent:
            caller.until_over()
        caller.disconnect()
    caller.master.obey()
    assert list(caller.connect(caller.token).held) == []
    caller.master.reports.queue.clear()
    last = caller.new_task({"seconds": 0.3, **SUM})
    assert caller.report().result.task_id == last


def test_disconnect_succeeds_with_the_last_sessions_token_however_that_has_ended(caller: Caller) -> None:
    for end in (caller.connect, lambda: lose(caller), lambda: end_by_master(caller)):
        end()
        for _ in range(3):
            caller.disconnect()
        assert refused(caller.new_task, {}) == NOT_CONNECTED
        assert refused(caller.disconnect, token=new_token()) == NOT_CONNECTED
    before = caller.token
    caller.connect()
    assert refused(caller.disconnect, token=before) == TOKEN_INVALID
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_the_token_of_an_ended_session_opens_no_other(caller: Caller) -> None:
    ended = []
    for end in (
        lambda: (caller.connect(), caller.disconnect()),
        lambda: lose(caller),
        lambda: end_by_master(caller),
    ):
        end()
        ended.append(caller.token)
        assert [refused(caller.connect, token=token) for token in ended] == [TOKEN_INVALID] * len(ended)
    caller.connect()
    assert [refused(caller.connect, token=token) for token in ended] == [TOKEN_INVALID] * len(ended)


def test_a_task_of_an_ended_session_keeps_its_slot_and_is_not_reported(caller: Caller) -> None:
    caller.connect(lease=0.6)
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}, "from now on it works quickly, also where a process had to start for it"
    running = caller.new_task({"seconds": 2.0, **SUM})
    while caller.beat() < 5:  # by then it has begun: one that has not is dropped with its session
        pass
    caller.disconnect()
    caller.connect(lease=0.6)
    assert refused(caller.new_task, SUM, new_id()) == TASK_ALREADY_EXIST
    while caller.beat() < 12:  # 11 times about 0.2 s: longer than the task
        pass
    task = caller.new_task(SUM, running)  # ids of another session mean nothing in this one
    report = caller.report()
    assert (report.result.task_id, report.token) == (task, caller.token)
    assert json.loads(report.result.result.json) == {"sum": 3}


def test_a_connect_that_was_refused_because_another_session_lives_may_come_again_with_its_token(caller: Caller) -> None:
    caller.connect()
    later = new_token()
    assert refused(caller.connect, token=later) == ALREADY_CONNECTED
    caller.disconnect()
    caller.connect(token=later)
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_the_tokens_of_many_ended_sessions_are_remembered(caller: Caller) -> None:
    ended = []
    for _ in range(51):
        caller.connect()
        caller.disconnect()
        ended.append(caller.token)
    assert [refused(caller.connect, token=token) for token in (ended[1], ended[-1])] == [TOKEN_INVALID] * 2
