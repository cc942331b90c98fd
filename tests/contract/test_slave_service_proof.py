"""SlaveService, every implementation: nothing of a session begins before its master has acknowledged a beat."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from threading import Event

import grpc
import pytest

from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.task_pb2 import Task
from tests.contract.recording_master import Failure, RecordingMaster, recording_master
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    FORBIDDEN,
    SUM,
    Caller,
    duration_of,
    metadata_of,
    new_id,
    new_token,
    payload_of,
    refused_or_done,
)

pytestmark = pytest.mark.timeout(90, func_only=True)
A_DAY = 86400.0
FREE_WITHIN = 31.0  # seconds


@pytest.fixture
def another() -> Iterator[RecordingMaster]:
    """Whose address a stranger gives."""
    with recording_master() as another:
        yield another


def come(caller: Caller, token: str, address: str) -> None:
    """Somebody asks for a session of a day, hands over a task at the same time and once more, and hangs up."""
    asking = messages.ConnectRequest(master_address=address, lease=duration_of(A_DAY))
    connect = caller.stub.Connect.future(asking, metadata=metadata_of(token), timeout=3.0)
    for _ in range(2):
        task = messages.NewTaskRequest(task=Task(id=new_id(), data=payload_of(SUM)))
        calling = caller.stub.NewTask.future(task, metadata=metadata_of(token), timeout=1.0)
        calling.exception()
    connect.exception()


def is_of_use(caller: Caller, began: float) -> None:
    """Its master has it again in time, and its task is the only one that was ever reported."""
    while refused_or_done(caller.connect) is not None:
        assert time.monotonic() - began < FREE_WITHIN
        Event().wait(0.05)
    task = caller.new_task(SUM)
    report = caller.report()
    assert (report.token, report.result.task_id) == (caller.token, task)
    assert json.loads(report.result.result.json) == {"sum": 3}
    caller.disconnect()


@pytest.mark.parametrize("answer", ["nothing", "an unknown token"])
def test_who_gives_an_address_that_does_not_answer_for_him_has_nothing_run(
    caller: Caller, another: RecordingMaster, answer: str
) -> None:
    if answer == "nothing":
        another.silent = True
    else:
        another.beat_answers.extend([Failure(FORBIDDEN, "SLAVE_TOKEN_INVALID")] * 100)
    token, began = new_token(), time.monotonic()
    come(caller, token, another.address)
    assert another.streams.get(timeout=WAIT)["token"] == token, "it was asked"
    is_of_use(caller, began)
    assert another.reports.empty()


def test_a_task_that_comes_with_the_connect_runs_once_its_master_has_answered(caller: Caller) -> None:
    caller.connect(lease=A_DAY)
    task = caller.new_task(SUM)
    assert caller.beat() == 1
    assert caller.report().result.task_id == task


def test_the_second_stream_of_a_session_needs_no_proof(caller: Caller) -> None:
    caller.master.answer_second(Failure(grpc.StatusCode.UNAVAILABLE))
    caller.connect(lease=3.0)
    while caller.beat() < 3:
        pass
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}
