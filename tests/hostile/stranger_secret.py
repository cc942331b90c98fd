"""A stranger without the secret, who reaches a free slave: sessions, tasks and dials, and a real master beside that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc

from interaction import Master, Slave
from interaction.address import Endpoint
from interaction.rpc.master_client import MasterClient
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task
from tests.contract.signing import OTHER, SECRET, SLAVE, signed
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import CHANNEL_GIVEN, NO_PROXY, Metadata, duration_of, new_id, new_token
from tests.hostile.figures import Effort, Figure

KINDS = (
    "Connect",
    "Connect and NewTask with the real master's address",
    "a dead address with a lease of a day",
    "a slow hook",
)
DAY = 86_400.0
SOON = 1.0  # seconds within which a real master is to be connected


class Free(Slave):
    """Counts what strangers get out of it."""

    def __init__(self, *arguments: Any, hook: float = 0.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hook = hook
        self.asked: list[float] = []
        self.ran: list[Any] = []

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self.asked.append(time.monotonic())
        if data.get("slow"):
            time.sleep(self._hook)  # what a slow hook does

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self.ran.append(task)
        return {}


class Found:
    """What came of so many tries of one kind."""

    def __init__(self, sessions: int, tasks: int, dials: int, connected: float) -> None:
        self.sessions, self.tasks, self.dials, self.connected = sessions, tasks, dials, connected


@contextmanager
def dialled() -> Iterator[list[object]]:
    """Whom slaves of this process are about to dial, at any address."""
    calls: list[object] = []
    make = MasterClient.__init__

    def counted(client: MasterClient, endpoint: Endpoint, *more: Any) -> None:
        calls.append(endpoint)
        make(client, endpoint, *more)

    with patch.object(MasterClient, "__init__", counted):
        yield calls


def metadata_of(number: int, path: str, token: str, slave: str, lease: float, address: str) -> Metadata:
    """What a stranger can bring: nothing, nonsense, what is by another secret, and what another slave was sent."""
    terms: dict[str, Any] = {"lease": round(lease * 1e9), "address": address} if path.endswith("Connect") else {}
    bare = (CHANNEL_GIVEN, ("token", token))
    return (
        bare,
        (*bare, ("signature", f"v=1;time={int(time.time())};nonce={'n' * 22};slave={slave};mac={'0' * 64}")),
        signed(path, token, slave, secret=OTHER, **terms),
        signed(path, token, "f" * 32, **terms),
    )[number % 4]


def scene(kind: str, tries: int, secret: str | tuple[str, ...] = SECRET) -> Found:
    """Play it: so many tries of one kind, and then a real master."""
    with ExitStack() as stack:
        slave = stack.enter_context(Free("127.0.0.1", 0, channel=CHANNEL, secret=secret, hook=5.0))
        master = stack.enter_context(Master("127.0.0.1", 0, channel=CHANNEL, secret=secret))
        dials = stack.enter_context(dialled())
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY))
        incarnation = slave._interaction._desk.identity().incarnation
        lease = DAY if "a day" in kind else 10.0
        told = "127.0.0.1:1" if "dead" in kind else master.my_address
        sessions = 0
        for number in range(tries):
            token = new_token()
            hook = Payload(json='{"slow": 1}' if "hook" in kind else "{}")
            connect = messages.ConnectRequest(master_address=told, lease=duration_of(lease), data=hook)
            brought = (incarnation, lease, told)
            sessions += _answered(
                channel, f"{SLAVE}Connect", connect, metadata_of(number, f"{SLAVE}Connect", token, *brought)
            )
            if "NewTask" in kind:
                task = messages.NewTaskRequest(task=Task(id=new_id(), data=Payload(json="{}")))
                _answered(channel, f"{SLAVE}NewTask", task, metadata_of(number, f"{SLAVE}NewTask", token, *brought))
        sessions, tasks, dialling = max(sessions, len(slave.asked)), len(slave.ran), len(dials)
        began = time.monotonic()
        try:
            with master.new_connection("real", "127.0.0.1", slave.port):
                connected = time.monotonic() - began
        except Exception:  # noqa: BLE001 - whatever keeps it from that
            connected = float("inf")
        return Found(sessions, tasks, dialling, connected)


def _answered(channel: grpc.Channel, path: str, message: Any, metadata: Metadata) -> bool:
    try:
        channel.unary_unary(path)(message.SerializeToString(), metadata=metadata, timeout=WAIT)
    except grpc.RpcError:
        return False
    return True


def measure(folder: Path, effort: Effort) -> list[Figure]:
    """For the table."""
    figures = []
    for kind in KINDS:
        found = scene(kind, effort.tries)
        figures.append(
            Figure(
                f"no secret, {effort.tries} tries, {kind}: sessions / tasks / dials / real master within",
                f"0 / 0 / 0 / {SOON:g} s",
                f"{found.sessions} / {found.tasks} / {found.dials} / {found.connected:.2f} s",
                (found.sessions, found.tasks, found.dials) == (0, 0, 0) and found.connected <= SOON,
            )
        )
    return figures
