"""How a slave ends, and its process with it: by a signal, by close(), and when its program has nothing more to do."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from interaction import Task, TaskStatus
from interaction.exception import LossReason, RequestException, TaskLost
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.leaving import Losing, Program, shut_down_by_a_task
from tests.contract.slave_programs import WAIT
from tests.contract.test_drain import wait_until_it_drains

GRACE = 6.0  # seconds that a process may take beyond what it is told to wait, on a busy machine; a task hangs for ever

Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path, stack: ExitStack) -> Run:
    def run(script: str, *arguments: str) -> Program:
        program = Program(tmp_path, script, *arguments)
        stack.callback(program.close)
        return program

    return run


@pytest.fixture
def losing(make_master: MakeMaster) -> Losing:
    return make_master(Losing)


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
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt(signal.SIGTERM)
    code, errors = program.end(0.3 + GRACE)
    assert code == 0
    assert "left" in program.said()
    assert task.join(WAIT).status is TaskStatus.LOST
    assert task.id in errors  # which one was left behind
    assert "Traceback" not in errors


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


# Ctrl-C.

JOINED = """
with Working("127.0.0.1", 0, channel=7{options}) as slave:
    print(slave.port, flush=True)
    slave.join()
print("left", flush=True)
"""


def test_an_idle_slave_leaves_at_the_first_interrupt_and_says_so(run: Run, losing: Losing) -> None:
    program = run(JOINED.format(options=""))
    losing.connected(program)
    program.interrupt()
    code, errors = program.end()
    assert (code, losing.lost()) == (0, LossReason.DRAINED)
    assert "Working: interrupted; leaves" in errors
    assert "Traceback" not in errors
    assert "left" in program.said()


@pytest.mark.parametrize("options", ["", ", isolation='process'", ", fast_road=False"])
def test_a_slave_at_work_finishes_at_the_first_interrupt_and_says_so(run: Run, losing: Losing, options: str) -> None:
    program = run(JOINED.format(options=options))
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("finishes 1 task(s)")
    program.go_on()
    assert task.join(WAIT).result == {"done": True}
    code, errors = program.end()
    assert (code, losing.lost()) == (0, LossReason.DRAINED)
    assert "Traceback" not in errors


@pytest.mark.parametrize("options", ["", ", isolation='process'"])
@pytest.mark.parametrize(
    "script", [JOINED, JOINED.replace("with ", "slave = ").replace(" as slave:", "\nif slave.start() is None:")]
)
def test_the_second_interrupt_ends_it_at_once(run: Run, losing: Losing, script: str, options: str) -> None:
    program = run(script.format(options=options))
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("interrupted")
    program.interrupt()
    code, errors = program.end(GRACE)
    assert code == 130
    assert task.join(WAIT).status is TaskStatus.LOST
    assert task.id in errors
    assert "Traceback" not in errors
    assert "left" not in program.said()


def test_an_interrupt_drains_all_slaves_of_the_process(run: Run, losing: Losing) -> None:
    program = run("""
        one, two = launch(), launch()
        one.join()
        two.join()
        print("left", flush=True)
        """)
    tasks = [losing.connected(program, name).new_task({"until": program.until}).start() for name in ("one", "two")]
    program.wait_for("running")
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("finishes 2 task(s)")
    program.go_on()
    assert [task.join(WAIT).status for task in tasks] == [TaskStatus.COMPLETED, TaskStatus.COMPLETED]
    program.wait_for("left")
    assert program.end()[0] == 0


def test_a_program_that_catches_the_second_interrupt_goes_on(run: Run, losing: Losing) -> None:
    """As a notebook does."""
    program = run("""
        try:
            launch().join()
        except KeyboardInterrupt:
            print("caught", flush=True)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        another = launch()
        print("again", another.ping(), flush=True)
        another.close()
        """)
    losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("interrupted")
    program.interrupt()
    program.wait_for("caught")
    assert program.wait_for("again") == "again True"
    assert program.end()[0] == 0


def test_an_interrupt_while_close_waits_for_a_task_ends_it_at_once(run: Run, losing: Losing) -> None:
    program = run("""
        slave = launch()
        sys.stdin.readline()
        try:
            slave.close()
        except KeyboardInterrupt:
            print("caught", flush=True)
        """)
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.say("close")
    wait_until_it_drains(losing["conn"])
    program.interrupt()
    program.wait_for("caught")
    assert task.join(WAIT).status is TaskStatus.LOST
    assert program.end(GRACE)[0] == 0


def test_somebody_elses_handler_of_interrupts_is_left_alone(run: Run) -> None:
    program = run("""
        signal.signal(signal.SIGINT, lambda *_: os.write(1, b"mine\\n"))
        launch().join()
        """)
    program.line()
    program.interrupt()
    program.wait_for("mine")
    program.interrupt()
    program.wait_for("mine")
    assert program.process.poll() is None


def test_joining_on_another_thread_leaves_interrupts_alone(run: Run) -> None:
    program = run("""
        slave = launch()
        joining = threading.Thread(target=slave.join)
        joining.start()
        try:
            print("sleeps", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("mine", slave.ping(), flush=True)
        slave.close()
        """)
    program.wait_for("sleeps")
    program.interrupt()
    assert program.wait_for("mine") == "mine True"
    assert program.end()[0] == 0


# The end of the program.

LAUNCHES = """
def main():
    launch({options})
main()
"""


@pytest.mark.parametrize("options", ["", "isolation='process'"])
def test_a_started_slave_keeps_its_process_alive_until_it_is_shut_down(run: Run, losing: Losing, options: str) -> None:
    program = run(LAUNCHES.format(options=options))
    connection = losing.connected(program)
    program.wait_for_word("the program has ended; its process lives on for Working")
    Path(program.until).touch()
    for _ in range(3):
        assert connection.new_task({"until": program.until}).start().join(WAIT).result == {"done": True}
    assert program.process.poll() is None
    if options:
        program.interrupt()  # a task in another process can't shut it down
    else:
        shut_down_by_a_task(connection)
    code, errors = program.end()
    assert code == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise ValueError('a mistake')"])
def test_a_program_that_ends_otherwise_leaves_its_slave_serving_too(run: Run, losing: Losing, end: str) -> None:
    program = run(LAUNCHES.format(options="") + end)
    connection = losing.connected(program)
    program.wait_for_word("the program has ended")
    shut_down_by_a_task(connection)
    assert program.end()[0] == (3 if "exit" in end else 1)


def test_an_interrupt_drains_a_slave_whose_program_has_ended(run: Run, losing: Losing) -> None:
    program = run(LAUNCHES.format(options=""))
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("finishes 1 task(s)")
    program.go_on()
    assert task.join(WAIT).result == {"done": True}
    code, errors = program.end()
    assert (code, losing.lost()) == (0, LossReason.DRAINED)
    assert "Traceback" not in errors


def test_a_second_interrupt_ends_a_slave_whose_program_has_ended(run: Run, losing: Losing) -> None:
    program = run(LAUNCHES.format(options=""))
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("finishes 1 task(s)")
    program.interrupt()
    code, errors = program.end(GRACE)
    assert code == -signal.SIGINT
    assert task.join(WAIT).status is TaskStatus.LOST
    assert "Traceback" not in errors


def test_a_program_that_an_interrupt_has_ended_drains_its_slave(run: Run, losing: Losing) -> None:
    program = run(LAUNCHES.format(options="") + "time.sleep(60)")
    task = losing.connected(program).new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("finishes 1 task(s)")
    program.go_on()
    assert task.join(WAIT).result == {"done": True}
    assert program.end()[0] != 0


@pytest.mark.parametrize("drains", [False, True])
def test_sigterm_ends_a_slave_whose_program_has_ended(run: Run, losing: Losing, drains: bool) -> None:
    program = run("slave = launch()\n" + ("slave.drain_at_sigterm(20)" if drains else ""))
    connection = losing.connected(program)
    program.wait_for_word("the program has ended")
    task = connection.new_task({"until": program.until}).start()
    program.wait_for("running")
    program.interrupt(signal.SIGTERM)
    program.go_on()
    assert task.join(WAIT).status is (TaskStatus.COMPLETED if drains else TaskStatus.LOST)
    assert program.end()[0] == (0 if drains else -signal.SIGTERM)


@pytest.mark.parametrize("closing", ["slave.close()", "slave.shutdown()", "slave.drain()"])
def test_a_program_that_has_closed_its_slave_ends(run: Run, closing: str) -> None:
    code, errors = run(f"slave = launch()\n{closing}").end()
    assert (code, errors) == (0, "")


def test_a_person_who_leaves_the_interpreter_ends_its_slave(run: Run, losing: Losing) -> None:
    program = run("launch()", "-i")
    losing.connected(program)
    program.stop_talking()
    assert program.end()[0] == 0
    assert losing.lost() is LossReason.DISCONNECTED


def test_a_slave_in_a_child_process_keeps_that_alive(run: Run, losing: Losing) -> None:
    program = run("""
        import multiprocessing
        child = multiprocessing.get_context("spawn").Process(target=launch)
        child.start()
        child.join()
        print("joined", child.exitcode, flush=True)
        """)
    shut_down_by_a_task(losing.connected(program))
    assert program.wait_for("joined") == "joined 0"


MASTERS = """
masters = [interaction.Master("127.0.0.1", 0, channel=7) for _ in range(2)]
def end(*said):
    print("ended", flush=True)
for master in masters:
    master.start()
    connection = master.new_connection("conn", "127.0.0.1", int(sys.stdin.readline()))
    connection.connect()
    {before}
    connection.new_task({{"wait": 1}}).on_fail({callback}).start()
print("over", flush=True)
"""


@pytest.mark.parametrize("before", ["", "connection.new_task({'echo': 1}).on_complete(print).start().join()"])
def test_masters_that_nobody_closed_tell_their_slaves_and_their_callbacks(
    run: Run, make_slave: MakeSlave, before: str
) -> None:
    program = run(MASTERS.format(callback="end", before=before))
    slaves = [make_slave(Worker), make_slave(Worker)]
    for slave in slaves:
        program.say(str(slave.port))
    code, errors = program.end()
    assert (code, errors) == (0, "")
    assert program.said().count("ended") == 2
    for slave in slaves:
        assert slave.lost_connection.wait(WAIT)


def test_a_callback_that_hangs_holds_the_end_of_its_process_for_a_moment_and_is_named(
    run: Run, make_slave: MakeSlave
) -> None:
    program = run(MASTERS.format(callback="lambda *_: threading.Event().wait()", before=""))
    for slave in (make_slave(Worker), make_slave(Worker)):
        program.say(str(slave.port))
    program.wait_for("over")
    code, errors = program.end(5 + GRACE)  # for both
    assert code == 0
    assert "the process ends before all of its user's code: callbacks of connection 'conn'" in errors


def test_a_thread_that_works_on_when_the_program_has_ended_gets_its_results(run: Run, make_slave: MakeSlave) -> None:
    program = run("""
        master = interaction.Master("127.0.0.1", 0, channel=7)
        def work():
            threading.main_thread().join()
            connection = master.new_connection("conn", "127.0.0.1", int(sys.stdin.readline()))
            connection.connect()
            task = connection.new_task({"echo": 1}).on_complete(lambda *_: print("called", flush=True))
            print("joined", task.start().join().result, flush=True)
            with interaction.SlavePool(master) as pool:
                print("pool", list(pool.map({"echo": n} for n in range(3))), flush=True)
            master.close()
        master.start()
        threading.Thread(target=work).start()
        """)
    program.say(str(make_slave(Worker).port))
    assert program.line() == "called"
    assert program.line() == "joined 1"
    assert program.line() == "pool [0, 1, 2]"
    assert program.end() == (0, "")


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


def test_an_interrupt_handler_is_there_while_the_main_thread_joins_and_no_longer(make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.05, slave.shutdown).start()
        slave.join()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
