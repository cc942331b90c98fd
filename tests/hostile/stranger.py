"""A stranger calls a slave in the name of a master: where certificates say who is who, and where nothing is in force.

With a secret: `stranger_secret.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from interaction import TLS, Master
from interaction.certs import fleet
from interaction.v1.slave_service_pb2 import NewTaskRequest
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from interaction.v1.task_pb2 import Task
from tests.contract.holding import wait_until
from tests.contract.slave_programs import CHANNEL
from tests.contract.wire import metadata_of, new_id, new_token, payload_of
from tests.hostile.callers import (
    DAY,
    PATIENCE,
    Counting,
    Listening,
    channel_to,
    connect_request,
    flood,
    refused,
    seconds_until_connected,
)
from tests.hostile.figures import Effort, Figure

SOON = 1.0  # seconds within which the slave's own master is connected
AGAIN = 31.0  # the same where nothing is in force, and a stranger was there before
CLUSTER = "lab.example"


@dataclass
class Scene:
    """A free slave, its own master, the port by which the stranger reaches it, and an address that he names."""

    slave: Counting
    master: Master
    dead: Listening
    channel: grpc.Channel

    def call(self, method: str, request: Any, token: str) -> bool:
        """Whether it was refused."""
        stub = SlaveServiceStub(self.channel)
        return refused(lambda: getattr(stub, method)(request, metadata=metadata_of(token), timeout=PATIENCE))


@contextmanager
def by_roles(folder: Path) -> Iterator[Scene]:
    place = fleet.create(folder / "certs", CLUSTER, "trainer")
    fleet.new_slave(place, "one")
    own = TLS.from_folder(place / "slaves" / "one")
    with played({"tls": TLS.from_folder(place)}, {"tls": own}, own) as scene:
        yield scene


@contextmanager
def played(of_master: dict[str, Any], of_slave: dict[str, Any], tls: TLS | None) -> Iterator[Scene]:
    with ExitStack() as stack:
        slave = stack.enter_context(Counting("127.0.0.1", 0, channel=CHANNEL, **of_slave))
        master = stack.enter_context(
            Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0, request_timeout=PATIENCE, **of_master)
        )
        dead = Listening()
        stack.callback(dead.close)
        channel = stack.enter_context(channel_to(slave.port, tls, f"slave.{CLUSTER}"))
        yield Scene(slave, master, dead, channel)


def connects(scene: Scene) -> None:
    scene.call("Connect", connect_request(scene.master.my_address), new_token())


def connects_with_a_task(scene: Scene) -> None:
    """One behind the other, without waiting."""
    token = new_token()
    stub = SlaveServiceStub(scene.channel)
    request = connect_request(scene.master.my_address)
    connecting = stub.Connect.future(request, metadata=metadata_of(token), timeout=PATIENCE)
    task = NewTaskRequest(task=Task(id=new_id(), data=payload_of({"a": 1})))
    scene.call("NewTask", task, token)
    connecting.exception()


def names_a_dead_address(scene: Scene) -> None:
    scene.call("Connect", connect_request(scene.dead.address, DAY), new_token())


def has_a_slow_hook_called(scene: Scene) -> None:
    scene.call("Connect", connect_request(scene.master.my_address, slow=True), new_token())


KINDS: Sequence[Callable[[Scene], None]] = (
    connects,
    connects_with_a_task,
    names_a_dead_address,
    has_a_slow_hook_called,
)


@dataclass
class Found:
    """What has come of it."""

    sessions: int
    tasks: int
    dials: int
    slowest: float  # seconds until the slave's own master was connected


def tried(scene: Scene, tries: int) -> Found:
    slowest = 0.0
    for kind in KINDS:
        for _ in range(tries):
            kind(scene)
        slowest = max(slowest, seconds_until_connected(scene.master, scene.slave.port, 60.0))
    return Found(scene.slave.sessions - len(KINDS), scene.slave.tasks, scene.dead.dials, slowest)


SET_UPS: dict[str, Callable[[Path], Any]] = {
    "certificates with roles": by_roles,
}


def unguarded(tries: int) -> tuple[int, float, float]:
    """With nothing in force: how many tasks of a stranger's have run, who has the master's address and one at which
    nobody answers; and how long it then takes until the slave is its own master's. And while many come, again and
    again, all of whom name that address."""
    with played({}, {}, None) as scene:
        for _ in range(tries):
            connects_with_a_task(scene)
        first = seconds_until_connected(scene.master, scene.slave.port, 2 * AGAIN)
        stub = SlaveServiceStub(scene.channel)  # whose caller stays, and waits
        waiting = stub.Connect.future(connect_request(scene.dead.address, DAY), 3 * AGAIN, metadata_of(new_token()))
        wait_until(lambda: scene.dead.dials > 0)
        second = seconds_until_connected(scene.master, scene.slave.port, 2 * AGAIN)
        waiting.cancel()
        flooded = 0.0
        with flood(scene.slave.port, lambda: scene.dead.address):
            for _ in range(min(tries, 20)):
                flooded = max(flooded, seconds_until_connected(scene.master, scene.slave.port, AGAIN))
        return scene.slave.tasks, max(first, second), flooded


def measure(folder: Path, effort: Effort) -> list[Figure]:
    """For the table."""
    tasks, seconds, flooded = unguarded(effort.tries)
    return [
        *map(partial(_measured, folder, effort.tries), SET_UPS),
        Figure(
            f"the same with nothing in force, {effort.tries} tries of Connect + NewTask with the master's own address, "
            "and then a dead address with a lease of a day: tasks run / the slave of use again within",
            f"0 / {AGAIN:.0f} s",
            f"{tasks} / {seconds:.1f} s",
            tasks == 0 and seconds < AGAIN,
        ),
        Figure(
            "with nothing in force, while 48 call at once, again and again, with an address that never answers: the "
            "master connects within",
            f"{AGAIN:.0f} s",
            f"{flooded:.1f} s",
            flooded < AGAIN,
        ),
    ]


def _measured(folder: Path, tries: int, name: str) -> Figure:
    with SET_UPS[name](folder) as scene:
        found = tried(scene, tries)
    return Figure(
        f"a stranger, with {name} in force, {tries} tries each of Connect, Connect + NewTask with the master's own "
        "address, a dead address with a lease of a day, a slow hook: sessions / tasks run / dials / the master "
        "connects within",
        f"0 / 0 / 0 / {SOON:.0f} s",
        f"{found.sessions} / {found.tasks} / {found.dials} / {found.slowest:.2f} s",
        (found.sessions, found.tasks, found.dials) == (0, 0, 0) and found.slowest < SOON,
    )
