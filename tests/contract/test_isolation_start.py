"""Tasks in a child process: what it takes to start one, and the cause that is told where there can be none."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, Slave, TaskStatus
from tests.contract.conftest import ROOT, MakeSlave
from tests.contract.isolated_slave import Isolated
from tests.contract.isolation import WAIT, do, error_of, to_it, with_a_child

isolated = pytest.fixture(with_a_child)
connection = pytest.fixture(to_it)


def test_a_constructor_that_raises_in_the_child_fails_the_tasks_until_it_does_not(
    master: Master, make_slave: MakeSlave, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.touch()
    slave = make_slave(Isolated, fail_in=str(model))
    model.unlink()
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        first = connection.new_task({"do": "tell"}).start().join(WAIT)
        if first.status is TaskStatus.COMPLETED:  # the child was quicker than the test
            do(connection, "kill")
        for _ in range(2):
            error = error_of(do(connection, "tell"))
            assert error.type == "ValueError"
            assert error.message == "the slave's constructor raised this: no model to load"
        model.touch()
        assert do(connection, "tell").status is TaskStatus.COMPLETED


class Unsendable(Slave):
    def __init__(self, lock: Any) -> None:
        super().__init__("127.0.0.1", 0, isolation="process")

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        raise AssertionError("it is not started")


def test_arguments_that_cant_be_sent_to_the_child_are_one_clear_error() -> None:
    slave = Unsendable(threading.Lock())
    with pytest.raises(TypeError, match=r"isolation='process' constructs Unsendable .* can't be sent there: .*lock"):
        slave.start()
    assert not slave.ping()


UNGUARDED = """
import sys
from interaction import Slave
class Mine(Slave):
    def _process_task(self, task): ...
slave = Mine("127.0.0.1", 0, channel=7, isolation="process")
slave.start()
print(slave.port, flush=True)
sys.stdin.read()
"""
FAILING = """
import sys
from interaction import Slave
class Mine(Slave):
    def _process_task(self, task): ...
if __name__ == "__mp_main__":
    raise ValueError("nothing to import here")
if __name__ == "__main__":
    with Mine("127.0.0.1", 0, channel=7, isolation="process") as slave:
        print(slave.port, flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("text", "cause", "errors"),
    [
        (
            UNGUARDED,
            "which starts the slave again there: the script has to start it behind `if __name__ ==",
            "Unguarded",
        ),
        (
            FAILING,
            "exit code 1 before it was ready for a task; what it wrote to the slave's standard error",
            "nothing to",
        ),
    ],
    ids=["no guard", "another reason"],
)
def test_a_script_that_cant_be_read_once_more_is_the_cause_that_is_told(
    master: Master, tmp_path: Path, text: str, cause: str, errors: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        connection = master.new_connection("conn", "127.0.0.1", int(process.stdout.readline()))
        connection.connect()
        error = error_of(connection.new_task({}).start().join(WAIT))
        assert error.type == "ProcessDied"
        assert cause in error.message
        process.terminate()
        assert errors in process.communicate(timeout=WAIT)[1]
    finally:
        process.kill()
        process.communicate()


def test_an_argument_that_the_child_cant_read_is_the_cause_that_is_told(master: Master, make_slave: MakeSlave) -> None:
    slave = make_slave(Isolated, fail_in=Unreadable())
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        for _ in range(2):
            error = error_of(do(connection, "tell"))
            assert error.type == "LookupError"
            assert error.message == (
                "the slave's class and arguments can't be read in the process of its tasks: no such model"
            )


class Unreadable(str):
    def __reduce__(self) -> tuple[Any, ...]:
        return raise_it, ("no such model",)


def raise_it(message: str) -> None:
    raise LookupError(message)


def test_what_is_only_sent_while_a_child_starts_is_sent(master: Master, make_slave: MakeSlave) -> None:
    """Queues and locks of multiprocessing."""
    queue = multiprocessing.get_context("spawn").Queue()
    slave = make_slave(Isolated, queue=queue)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert do(connection, "put", value=5).status is TaskStatus.COMPLETED
    assert queue.get(timeout=WAIT) == 5
    queue.close()
    queue.join_thread()


START = """
from interaction import Slave
class Mine(Slave):
    def _process_task(self, task):
        return {}
"""
RUN = """
with Mine("127.0.0.1", 0, isolation="process") as slave:
    print(slave.ping())
"""


@pytest.mark.parametrize("way", ["-c", "standard input", "interactive"])
def test_where_a_child_cant_import_the_class_start_says_so(way: str) -> None:
    options = {"-c": ["-c", START + RUN], "standard input": ["-"], "interactive": ["-i", "-q"]}[way]
    text = "" if way == "-c" else START + RUN if way == "standard input" else START + "\n" + RUN + "\n"
    done = subprocess.run(
        [sys.executable, *options], cwd=ROOT, input=text, capture_output=True, text=True, timeout=WAIT
    )
    assert "True" not in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if line.removeprefix(">>> ").startswith("RuntimeError: ")]
    assert "once more" in said
    assert "file" in said


def test_a_class_of_a_module_is_constructed_also_for_a_program_that_is_no_file() -> None:
    script = "from tests.contract.isolated_slave import Isolated\nwith Isolated('127.0.0.1', 0) as it: print(it.ping())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_in_a_daemon_of_multiprocessings_start_says_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import multiprocessing\n{START}\n"
        "def work():\n"
        "    Mine('127.0.0.1', 0, isolation='process').start()\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work, daemon=True)\n"
        "    process.start()\n"
        "    process.join()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WAIT
    )
    assert "RuntimeError: Mine(isolation='process') needs a child process, and this process is a daemon" in done.stderr
    assert "daemon=False" in done.stderr
