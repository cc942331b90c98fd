"""What is large is read one by one for each peer: one that sends much holds up itself alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from interaction.rpc import payload
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TaskResult
from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.scripted_slave import Beats, ScriptedSlave, started
from tests.contract.slave_programs import WAIT

LARGE = Payload(json='{"echo":{"$bytes":0}}', buffers=[bytes(300_000)])


class Readers:
    """How many read at once what is large; each waits for a while whether there is another."""

    def __init__(self, decode: Callable[..., Any]) -> None:
        self._decode = decode
        self._lock = threading.Lock()
        self._now = self.most = self.all = 0

    def __call__(self, message: Payload, root: str, *allowance: Any, **options: Any) -> Any:
        if not message.buffers:
            return self._decode(message, root, *allowance, **options)
        with self._lock:
            self._now += 1
            self.all += 1
            self.most = max(self.most, self._now)
        try:
            threading.Event().wait(0.1)  # nobody sets it: long enough for the others to be here, were they let
            return self._decode(message, root, *allowance, **options)
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Readers:
    readers = Readers(payload.decode)
    monkeypatch.setattr(payload, "decode", readers)
    return readers


def test_a_slave_has_one_large_result_read_at_a_time(
    linked: Any, scripted: ScriptedSlave, beats: Beats, readers: Readers
) -> None:
    tasks = [started(linked) for _ in range(4)]
    ids = [scripted.accepted_task() for _ in tasks]
    results = [TaskResult(task_id=one, status=TASK_RESULT_STATUS_COMPLETED, result=LARGE) for one in (*ids, ids[0])]
    with ThreadPoolExecutor(5) as threads:
        assert sorted(threads.map(scripted.report, results)) == [1, 1, 1, 1, 2]
    for task in tasks:
        assert len(task.join(WAIT).result["echo"]) == 300_000
    assert (readers.most, readers.all) == (1, 4)  # what had come meanwhile was not read again


def test_a_master_has_one_large_task_read_at_a_time(make_slave: MakeSlave, call: Call, readers: Readers) -> None:
    caller = call(make_slave(Worker, slots=4))
    caller.connect()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: caller.new_task(LARGE), range(4)))
    for _ in range(4):
        assert len(caller.report().result.result.buffers[0]) == 300_000
    assert readers.most == 1
