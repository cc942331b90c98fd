"""How a slave ends, and its process with it, or does not: when its program has nothing more to do."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from interaction import TaskStatus
from interaction.exception import LossReason
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.leaving import GRACE, Losing, Run, losing_slaves, running, shut_down_by_a_task
from tests.contract.slave_programs import WAIT

run = pytest.fixture(running)
losing = pytest.fixture(losing_slaves)


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
    task = losing.at_work(program)
    program.interrupt()
    program.wait_for_word("finishes 1 task(s)")
    program.go_on()
    assert task.join(WAIT).result == {"done": True}
    code, errors = program.end()
    assert (code, losing.lost()) == (0, LossReason.DRAINED)
    assert "Traceback" not in errors


def test_a_second_interrupt_ends_a_slave_whose_program_has_ended(run: Run, losing: Losing) -> None:
    program = run(LAUNCHES.format(options=""))
    task = losing.at_work(program)
    program.interrupt()
    program.wait_for_word("finishes 1 task(s)")
    program.interrupt()
    code, errors = program.end(GRACE)
    assert code == -signal.SIGINT
    assert task.join(WAIT).status is TaskStatus.LOST
    assert "Traceback" not in errors


def test_a_program_that_an_interrupt_has_ended_drains_its_slave(run: Run, losing: Losing) -> None:
    program = run(LAUNCHES.format(options="") + "time.sleep(60)")
    task = losing.at_work(program)
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
