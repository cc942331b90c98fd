"""How a slave ends, and its process with it: by Ctrl-C, and by a second one."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import suppress

import pytest

from interaction import Task, TaskStatus
from interaction.exception import LossReason, RequestException, ResponseException
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.leaving import GRACE, Losing, Run, losing_slaves, running
from tests.contract.slave_programs import WAIT
from tests.contract.test_drain import wait_until_it_drains

run = pytest.fixture(running)
losing = pytest.fixture(losing_slaves)


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
    task = losing.at_work(program)
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
    task = losing.at_work(program)
    program.interrupt()
    program.wait_for_word("interrupted")
    program.interrupt()
    code, errors = program.end(GRACE)
    assert code == 130
    assert task.join(WAIT).status is TaskStatus.LOST
    assert task.id in errors
    assert "Traceback" not in errors
    assert "left" not in program.said()


@pytest.mark.parametrize("options", ["", "isolation='process', ", "slots=2, isolation='process', "])
def test_each_interrupt_is_one_line(run: Run, losing: Losing, options: str) -> None:
    """Before, what a child process ran was told twice, and what waited behind it as an error."""
    program = run(JOINED.format(options=f", {options}backlog=5"))
    connection = losing.connected(program)
    tasks = [connection.new_task({"until": program.until}).start() for _ in range(5)]
    program.wait_for("running")
    program.interrupt()
    program.wait_for_word("interrupted")
    program.interrupt()
    code, errors = program.end(GRACE)
    assert code == 130
    assert {task.join(WAIT).status for task in tasks} == {TaskStatus.LOST}
    first, second = errors.splitlines()
    assert re.fullmatch(
        r"Working: interrupted; finishes [12] task\(s\), however long that takes, then leaves. Ctrl-C .* at once", first
    )
    assert "Working ends at once, and leaves behind what it runs: " in second


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
    losing.at_work(program)
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
    task = losing.at_work(program)
    program.say("close")
    wait_until_it_drains(losing["conn"])
    program.interrupt()
    program.wait_for("caught")
    assert task.join(WAIT).status is TaskStatus.LOST
    assert program.end(GRACE)[0] == 0


def begin(task: Task) -> None:
    with suppress(RequestException, ResponseException):
        task.start()


@pytest.mark.parametrize("end", ["close()", "__exit__(None, None, None)"])
def test_an_interrupt_while_close_waits_for_a_hook_is_what_it_always_is(run: Run, losing: Losing, end: str) -> None:
    """Before, it had the other slaves of the process drain, and the program went on when the hook had ended."""
    program = run(f"""
        def tell():
            frames = []
            while "_join_strands" not in frames:
                time.sleep(0.01)
                stack = traceback.walk_stack(sys._current_frames()[threading.main_thread().ident])
                frames = [frame.f_code.co_name for frame, _ in stack]
            print("waits", flush=True)

        import traceback
        other = launch()
        slave = launch(Hesitating)
        sys.stdin.readline()
        slave.shutdown()
        threading.Thread(target=tell).start()
        try:
            slave.{end}
        except KeyboardInterrupt:
            print("caught", signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
        sys.stdin.readline()
        os._exit(0)
        """)
    other = losing.connected(program, "other")
    asked = losing.connected(program).new_task({})
    starting = threading.Thread(target=begin, args=(asked,))
    starting.start()
    try:
        program.wait_for("asked")
        program.say("close")
        program.wait_for("waits")
        program.interrupt()
        assert program.wait_for("caught") == "caught True"
        assert other.is_connected
        assert other.new_task({}).start().join(WAIT).result == {"done": True}
        program.say("end")
        code, errors = program.end()
    finally:
        program.close()
        starting.join(WAIT)
    assert code == 0
    assert "interrupted" not in errors


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
