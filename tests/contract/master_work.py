"""What tests of the fast road from a slave's end share: a slave that has it, and who starts tasks meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from interaction import SlaveConnectionProxy, Task
from interaction.v1 import slave_service_pb2 as messages
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import ScriptedSlave, WorkStream
from tests.contract.slave_programs import WAIT
from tests.contract.wire import GONE

BROKEN = Failure(GONE)
Start = Callable[..., "Future[Task]"]


def with_the_fast_road(scripted: ScriptedSlave) -> ScriptedSlave:
    """It has the fast road."""
    scripted.features = ["work"]
    return scripted


def starting() -> Iterator[Start]:
    """Starts a task on a thread: `start()` waits until the slave has said what becomes of it."""
    with ThreadPoolExecutor(64) as threads:

        def start(connection: SlaveConnectionProxy, data: Mapping[str, Any] | None = None) -> Future[Task]:
            return threads.submit(connection.new_task({"a": 1} if data is None else data).start)

        yield start


def handed_over(scripted: ScriptedSlave) -> messages.NewTaskRequest:
    """The next task that comes by a call."""
    return messages.NewTaskRequest.FromString(scripted.tasks.get(timeout=WAIT)[0])


def assert_goes_on(connection: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, work: WorkStream) -> None:
    """The stream is of use."""
    assert connection.is_connected
    starting = start(connection)
    task_id = work.task()
    work.complete(task_id, '{"on":1}')
    assert starting.result(WAIT).join(WAIT).result == {"on": 1}
    while work.acknowledged() != task_id:
        pass
    assert scripted.works.empty()
    assert scripted.tasks.empty()
