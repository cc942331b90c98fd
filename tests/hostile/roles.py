"""A slave's certificate in the place of a master's, and in the place of another slave's, whose token was stolen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from interaction import TLS, Master
from interaction.certs import fleet
from interaction.v1 import master_service_pb2 as to_master
from interaction.v1 import slave_service_pb2 as to_slave
from interaction.v1.master_service_pb2_grpc import MasterServiceStub
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, Task, TaskResult
from tests.contract.slave_programs import CHANNEL
from tests.contract.wire import metadata_of, new_id, payload_of
from tests.hostile.callers import PATIENCE, Counting, channel_to, connect_request, refused_for_its_certificate
from tests.hostile.figures import Effort, Figure

CLUSTER = "lab.example"


def calls(slave: SlaveServiceStub, master: MasterServiceStub, address: str, token: str) -> dict[str, Callable[[], Any]]:
    """By method; each with the token of a session that another slave has."""
    more: dict[str, Any] = {"metadata": metadata_of(token), "timeout": PATIENCE}
    task = Task(id=new_id(), data=payload_of({"a": 1}))
    result = TaskResult(task_id=task.id, status=TASK_RESULT_STATUS_COMPLETED, result=payload_of({"mine": 1}))
    beat = to_master.HeartbeatRequest(sequence=9, leaving=to_master.HeartbeatLeaving(reason="I left"))
    return {
        "Connect": lambda: slave.Connect(connect_request(address), **more),
        "NewTask": lambda: slave.NewTask(to_slave.NewTaskRequest(task=task), **more),
        "Work": lambda: list(slave.Work(iter([to_slave.WorkRequest(tasks=[task])]), **more)),
        "Heartbeat": lambda: list(master.Heartbeat(iter([beat]), **more)),
        "ReportResult": lambda: master.ReportResult(to_master.ReportResultRequest(result=result), **more),
    }


def tried(folder: Path, tries: int) -> tuple[Counter[str], bool]:
    """How often each call was refused; and whether the session went on, in which no task was run but the last."""
    place = fleet.create(folder / "certs", CLUSTER, "trainer")
    for name in ("one", "other"):
        fleet.new_slave(place, name)
    one, other = (TLS.from_folder(place / "slaves" / name) for name in ("one", "other"))
    counted: Counter[str] = Counter()
    with ExitStack() as stack:
        slave = stack.enter_context(Counting("127.0.0.1", 0, channel=CHANNEL, tls=one))
        master = stack.enter_context(Master("127.0.0.1", 0, channel=CHANNEL, tls=TLS.from_folder(place)))
        connection = stack.enter_context(master.new_connection("one", "127.0.0.1", slave.port))
        token: Any = connection._link.token  # type: ignore[union-attr]  # what a thief would have
        to_it = stack.enter_context(channel_to(slave.port, one, f"slave.{CLUSTER}", other))
        to_its = stack.enter_context(channel_to(master.port, one, f"master.{CLUSTER}", other))
        stubs = SlaveServiceStub(to_it), MasterServiceStub(to_its)
        for name, call in calls(*stubs, master.my_address, token).items():
            counted[name] = sum(refused_for_its_certificate(call) for _ in range(tries))
        connection.new_task({"a": 1}).start().join(PATIENCE)
        return counted, connection.is_connected and (slave.sessions, slave.tasks) == (1, 1)


def measure(folder: Path, effort: Effort) -> list[Figure]:
    """For the table."""
    refused, unharmed = tried(folder, effort.tries)
    return [
        Figure(
            "a slave's certificate on Connect, NewTask, Work; with another slave's token on Heartbeat, ReportResult: "
            "refused",
            f"{effort.tries} of {effort.tries} each",
            ", ".join(f"{name} {count}" for name, count in refused.items()),
            unharmed and set(refused.values()) == {effort.tries},
        )
    ]
