"""How a slave ends, and its process with it: by SIGTERM, by close(), by an exception, by drain()."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack

import pytest

from interaction import Task, TaskStatus
from interaction.exception import LossReason, RequestException, TaskLost
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.leaving import GRACE, Losing, Run, losing_slaves, running
from tests.contract.slave_programs import WAIT
from tests.contract.test_drain import wait_until_it_drains

run = pytest.fixture(running)
losing = pytest.fixture(losing_slaves)


# SIGTERM.

AT_SIGTERM = """
with {kind}("127.0.0.1", 0, channel=7{options}) as slave:
    slave.drain_at_sigterm({timeout})
    print(slave.port, flush=True)
    slave.join()
print("left", flush=True)
"""


@pytest.mark.parametrize("options", ["", ", isolation='process'", ", slots=2"])
def test_a_task_that_hangs_outlives_sigterm_by_the_timeout_and_no_more(run: Run, losing: Losing, options: str) -> None:
    program = run(AT_SIGTERM.format(kind="Working", options=options, timeout=0.3))
    task = losing.at_work(program)
    program.interrupt(signal.SIGTERM)
    code, errors = program.end(0.3 + GRACE)
    assert code == 0
    assert "left" in program.said()
    assert task.join(WAIT).status is TaskStatus.LOST
    assert task.id in errors  # which one was left behind
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("timeout", "limit"),
    [("20", "for 20 s at most"), ("None", "however long that takes"), ("0.25", "for 0.25 s at most")],
)
@pytest.mark.parametrize("options", ["", ", isolation='process'"])
def test_a_slave_that_drains_says_so_at_once(run: Run, losing: Losing, options: str, timeout: str, limit: str) -> None:
    """Before, the screen said nothing until it had drained."""
    program = run(AT_SIGTERM.format(kind="Working", options=options, timeout=timeout))
    losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt(signal.SIGTERM)
    program.wait_for_word(f"Working: asked to end (SIGTERM); finishes 1 task(s), {limit}, then leaves. SIGTERM again")
    program.go_on()
    assert program.end(GRACE)[0] == 0


def test_several_that_drain_say_so_in_one_line(run: Run, losing: Losing) -> None:
    program = run("""
        slaves = [launch(), launch()]
        slaves[0].drain_at_sigterm(20)
        slaves[1].drain_at_sigterm(30)
        for slave in slaves:
            slave.join()
        """)
    tasks = [losing.connected(program, name).new_task({"until": program.until}) for name in ("one", "two")]
    tasks[0].start()
    program.wait_for("running")
    tasks[1].start()
    program.wait_for("running")
    program.interrupt(signal.SIGTERM)
    program.wait_for_word(
        "Working, Working: asked to end (SIGTERM); finishes 2 task(s), for 30 s at most, then leaves."
    )
    program.go_on()
    code, errors = program.end()
    assert (code, errors.count("SIGTERM again ends the process at once")) == (0, 1)


def test_an_idle_one_that_drains_says_so_as_well(run: Run, losing: Losing) -> None:
    program = run(AT_SIGTERM.format(kind="Working", options="", timeout=20))
    losing.connected(program)
    program.interrupt(signal.SIGTERM)
    code, errors = program.end()
    assert (code, losing.lost()) == (0, LossReason.DRAINED)
    assert errors == "Working: asked to end (SIGTERM); leaves. SIGTERM again ends the process at once\n"


def refused(task: Task) -> None:
    with pytest.raises(RequestException):
        task.start()


def test_a_hook_that_hangs_outlives_sigterm_by_the_timeout_and_no_more(run: Run, losing: Losing) -> None:
    program = run(AT_SIGTERM.format(kind="Hesitating", options="", timeout=0.3))
    task = losing.connected(program).new_task({})
    starting = threading.Thread(target=refused, args=[task])
    starting.start()
    program.wait_for("asked")
    program.interrupt(signal.SIGTERM)
    code, _ = program.end(0.3 + GRACE)
    starting.join(WAIT)
    assert code == 0


def test_all_slaves_of_a_process_that_asked_for_it_drain_at_sigterm(run: Run, losing: Losing) -> None:
    program = run("""
        slaves = [launch(), launch()]
        for slave in slaves:
            slave.drain_at_sigterm(20)
        print("ready", flush=True)
        for slave in slaves:
            slave.join()
        """)
    tasks = [losing.connected(program, name).new_task({"until": program.until}) for name in ("one", "two")]
    program.wait_for("ready")
    for task in tasks:
        task.start()
        program.wait_for("running")
    program.interrupt(signal.SIGTERM)
    program.go_on()
    assert [task.join(WAIT).status for task in tasks] == [TaskStatus.COMPLETED, TaskStatus.COMPLETED]
    assert [losing.lost(), losing.lost()] == [LossReason.DRAINED, LossReason.DRAINED]
    assert program.end()[0] == 0


def test_sigterm_ends_a_process_in_which_no_slave_is_left_to_drain(run: Run) -> None:
    program = run("""
        slave = launch()
        slave.drain_at_sigterm()
        slave.close()
        print("closed", flush=True)
        time.sleep(60)
        """)
    program.wait_for("closed")
    program.interrupt(signal.SIGTERM)
    assert program.end()[0] == -signal.SIGTERM


# close().


@pytest.mark.parametrize("options", [{}, {"fast_road": False}, {"slots": 2}], ids=str)
@pytest.mark.parametrize("how", ["close", "with"])
def test_closing_delivers_what_it_waits_for(
    losing: Losing, make_slave: MakeSlave, how: str, options: dict[str, object]
) -> None:
    slave = make_slave(Worker, **options)
    connection = losing.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    tasks = [connection.new_task({"wait": n}).start() for n in range(2 if "slots" in options else 1)]
    while len(slave.ran) < len(tasks):
        assert slave.running.wait(WAIT)
    closing = threading.Thread(target=slave.close if how == "close" else lambda: slave.__exit__(None, None, None))
    closing.start()
    wait_until_it_drains(connection)
    assert closing.is_alive()
    slave.go_on.set()
    assert [task.join(WAIT).result for task in tasks] == [{"waited": n} for n in range(len(tasks))]
    assert losing.lost() is LossReason.DRAINED
    closing.join(WAIT)
    assert not closing.is_alive()
    assert not slave.ping()


def test_an_exception_in_the_block_ends_a_slave_at_once(
    losing: Losing, caplog: pytest.LogCaptureFixture, stack: ExitStack
) -> None:
    slave = Worker("127.0.0.1", 0, channel=7, pacemaker=False)
    stack.callback(slave.go_on.set)
    with pytest.raises(ValueError, match="a mistake"), slave:  # noqa: PT012 - what is raised is raised at the end
        connection = losing.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        task = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        raise ValueError("a mistake")
    assert task.join(WAIT).status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert f"leaves behind what it runs: {task.id}" in caplog.text
    assert not slave.ping()


def test_what_a_drain_has_left_behind_is_not_waited_for(losing: Losing, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    connection = losing.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    assert not slave.drain(0.1)
    begun = time.monotonic()
    slave.join()
    slave.close()
    assert time.monotonic() - begun < GRACE
