"""Forks beside gRPC: children that do something of their own live, and stand in nobody's way; others are told why."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from interaction import Master, TaskStatus
from interaction.exception import LossReason, TaskLost
from tests.contract.conftest import CHANNEL, ROOT, MakeMaster
from tests.contract.slave_programs import WAIT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere than on Linux nobody forks beside gRPC")

SETTING = "GRPC_ENABLE_FORK_SUPPORT"


def without_setting() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != SETTING}


def run(*command: str, **more: str) -> str:
    """What a program says on its standard output; it has to end well."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**without_setting(), **more},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def forking(*arguments: str) -> str:
    return run("-m", "tests.contract.forking", *arguments)


@pytest.mark.parametrize(("leave", "children"), [("_exit", 40), ("exit", 15)])
def test_children_that_never_touch_grpc_neither_die_nor_hang(leave: str, children: int) -> None:
    """Before, one in five died, by SIGSEGV mostly."""
    assert ast.literal_eval(forking("exits", str(children), leave)) == {"0": children}


def test_a_child_lets_go_of_our_sockets_and_of_nothing_that_is_its_users() -> None:
    assert forking("keeps") == "gone: 0, of others: 0\n"


def test_a_look_at_a_socket_in_the_child_leaves_it_blocking_in_both() -> None:
    """It became non-blocking where the user has set a default timeout, or gevent's sockets."""
    assert forking("blocks") == "5.0 True\n"


def test_a_child_that_leaves_by_exit_does_not_wait_for_the_process_of_its_parents_tasks() -> None:
    """multiprocessing did, and failed aloud: can only join a child process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.contract.forking", "leaves"],  # of a fork
        cwd=ROOT,
        env=without_setting(),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_in_a_forked_child_every_call_on_what_its_parent_started_names_spawn() -> None:
    told: dict[str, str] = json.loads(forking("refuses"))
    assert len(told) >= 24
    others = {name: said for name, said in told.items() if not said.startswith("RuntimeError: ") or "spawn" not in said}
    assert others == {}


@pytest.mark.parametrize("pause", ["0", "0.5"])
@pytest.mark.parametrize("facade", ["plain", "aio"])
def test_a_child_forked_when_all_is_closed_may_run_everything_again(facade: str, pause: str) -> None:
    assert forking("again", facade, pause).split() == ["'COMPLETED'"] * 2


# gRPC's own handling of forks.


@pytest.mark.parametrize(
    "module", ["interaction", "interaction.aio", "interaction.exception", "interaction.rpc.convert"]
)
def test_whatever_is_imported_first_grpc_finds_its_handling_of_forks_switched_off(module: str) -> None:
    script = f"""
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            print(os.environ.get("{SETTING}"))
sys.meta_path.insert(0, Finder())
import {module}
assert "grpc" in sys.modules
print(os.environ.get("{SETTING}"))
"""
    assert run("-c", script).split() == ["0", "None"], "and programs that are started from here do not inherit that"


@pytest.mark.parametrize("wish", ["0", "1"])
def test_a_wish_of_the_users_is_left_as_it_is(wish: str) -> None:
    script = f"import os, interaction; print(os.environ['{SETTING}'])"
    assert run("-c", script, **{SETTING: wish}).split() == [wish]


FORK = """
import os
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize(
    ("before", "setting", "told"),
    [
        ("import grpc, logging, interaction", {}, 1),
        ("import logging, interaction, grpc", {}, 0),
        ("import grpc, logging, interaction", {SETTING: "0"}, 0),
        ("import grpc, logging, interaction", {SETTING: "1"}, 0),
    ],
    ids=["imported before", "imported after", "imported before, set", "imported before, wanted"],
)
def test_where_it_could_not_be_switched_off_the_first_fork_that_matters_says_so_once(
    before: str, setting: dict[str, str], told: int
) -> None:
    script = f"""
{before}
warnings = []
class Handler(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())
logging.getLogger("interaction").addHandler(Handler(logging.WARNING))
{FORK}
with interaction.Master("127.0.0.1", 0) as master:
    assert warnings == [], "nothing ran, or nobody forked"
    {FORK.replace(chr(10), chr(10) + "    ")}
    {FORK.replace(chr(10), chr(10) + "    ")}
print(len(warnings), all("import interaction before grpc" in warning.lower() and "{SETTING}=0" in warning
                         for warning in warnings))
"""
    assert run("-c", script, **setting).split() == [str(told), "True"]


# A process that is killed while a child of it lives on.


class Forker:
    """A slave in a process of its own, whose tasks fork children that live on."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.forking", "serves", str(CHANNEL), *options],
            cwd=ROOT,
            env=without_setting(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.children: list[int] = []

    def close(self) -> None:
        self.process.kill()
        for child in self.children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def forker(stack: ExitStack) -> Callable[..., Forker]:
    def make(*options: str) -> Forker:
        made = Forker(*options)
        stack.callback(made.close)
        return made

    return make


@pytest.mark.parametrize("options", [[], ["--no-pacemaker"], ["--isolated"]], ids=["thread", "alone", "process"])
def test_a_slave_that_is_killed_is_exited_and_its_port_free_though_a_child_of_its_task_lives_on(
    make_master: MakeMaster, forker: Callable[..., Forker], options: list[str]
) -> None:
    """Before it was SILENT, after the tolerance."""
    slave = forker(*options)
    master = make_master(Master)
    connection = master.new_connection("slave", "127.0.0.1", slave.port)
    connection.connect()
    for _ in range(3):
        slave.children.append(connection.new_task({"keep": 60.0}).start().join(WAIT).result["child"])
    task = connection.new_task({"seconds": 60.0}).start()
    slave.process.kill()
    began = time.monotonic()
    assert task.join(WAIT).status is TaskStatus.LOST
    assert time.monotonic() - began < 1.0
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.EXITED
    assert all(os.path.exists(f"/proc/{child}") for child in slave.children)
    slave.process.wait()
    socket.create_server(("127.0.0.1", slave.port)).close()


def test_a_task_process_that_dies_is_known_though_a_child_of_its_task_lives_on(
    make_master: MakeMaster, forker: Callable[..., Forker]
) -> None:
    slave = forker("--isolated")
    master = make_master(Master)
    connection = master.new_connection("slave", "127.0.0.1", slave.port)
    connection.connect()
    slave.children.append(connection.new_task({"keep": 60.0}).start().join(WAIT).result["child"])
    task: Any = connection.new_task({"die": 3}).start().join(WAIT)
    assert task.status is TaskStatus.FAILED
    assert "exit code 3 while it ran this task" in str(task.error)
    assert connection.new_task().start().join(WAIT).status is TaskStatus.COMPLETED


def test_the_port_of_a_master_that_is_killed_is_free_though_a_child_of_it_lives_on(stack: ExitStack) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.forking", "masters"],
        cwd=ROOT,
        env=without_setting(),
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.communicate)
    stack.callback(process.kill)
    assert process.stdout is not None
    port, child = map(int, process.stdout.readline().split())
    stack.callback(os.kill, child, signal.SIGKILL)
    process.kill()
    process.wait()
    socket.create_server(("127.0.0.1", port)).close()


def test_a_fork_while_the_pacemaker_starts_does_not_hold_it_up() -> None:
    """Its pipe for errors, which is read to its end, would be kept by the child."""
    assert forking("races") == "started forked\n"


HELD = """
import multiprocessing
from interaction import Master, Slave

class Idle(Slave):
    def _process_task(self, task):
        return None

def child():
    with Master("127.0.0.1", 0):
        print("started", flush=True)

with {kind}("127.0.0.1", 0) as held:
    pass
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
"""


@pytest.mark.parametrize("kind", ["Master", "Idle"])
def test_what_is_closed_and_still_held_is_not_in_the_way_of_a_child(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD.replace("{kind}", kind)], cwd=ROOT, capture_output=True, text=True, timeout=WAIT
    )
    assert (done.stdout, done.returncode) == ("started\n", 0), done.stderr


@pytest.mark.parametrize("facade", ["plain", "aio"])
@pytest.mark.parametrize(
    "way",
    [
        "closed",
        "disconnected",
        "disconnected and connected",
        "connection closed",
        "nobody there",
        "by calls",
        "by a pool",
        "lost",
        "drained",
        "slave shut down",
    ],
)
def test_nor_is_anything_else_that_is_over_and_still_held(way: str, facade: str) -> None:
    """Connections, tasks, futures, a pool, an error: a connection kept gRPC's threads."""
    assert forking("held", way, facade).startswith("'COMPLETED' ")
