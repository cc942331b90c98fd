"""With a secret in the environment: what lives beside a slave, and who comes back after a master's end, are believed.

These are tests of other modules, run once more.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from interaction import Master
from interaction.secret import VARIABLE
from interaction.v1.master_service_pb2 import HeartbeatRequest
from tests.contract import test_journal, test_pacemaker, test_witness
from tests.contract.conftest import ROOT, SlaveProcess, Worker
from tests.contract.holding import Holder, children_of, holders, strict_master, wait_until
from tests.contract.master_process import MasterProcess
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import scripted_slave
from tests.contract.signing import MASTER, OTHER, SECRET, Answering, signed
from tests.contract.slave_programs import WAIT
from tests.contract.test_journal import MakeProcess, first, on_journal
from tests.contract.test_secret_calls import STALE, Peer
from tests.contract.test_witness import loaded, patient
from tests.contract.wire import FORBIDDEN, NO_STATE

__all__ = ["first", "on_journal", "patient"]  # fixtures
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")
BEATS, REPORTS = f"{MASTER}Heartbeat", f"{MASTER}ReportResult"
holder = pytest.fixture(holders)
strict = pytest.fixture(strict_master)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this process, and for those that it starts."""
    monkeypatch.setenv(VARIABLE, SECRET)


def test_a_pacemaker_signs_its_beats(strict: Master, holder: Callable[..., Holder]) -> None:
    test_pacemaker.test_a_task_that_holds_the_gil_does_not_cost_the_slave(strict, holder)


def test_a_pacemaker_that_begins_late_signs_its_beats(strict: Master, holder: Callable[..., Holder]) -> None:
    test_pacemaker.test_a_task_that_holds_the_gil_again_and_again(strict, holder)


@pytest.mark.usefixtures("patient")
def test_a_witness_is_believed(master: Master, slave_process: Callable[..., SlaveProcess]) -> None:
    test_witness.test_what_begins_is_told_of_and_what_waits_is_not(master, slave_process, 1)


def test_a_session_is_resumed_after_a_restart_of_its_master(
    first: MasterProcess, on_journal: MakeProcess, slave: Worker
) -> None:
    test_journal.test_a_task_that_still_runs_is_adopted_and_ends(first, on_journal, slave)


def test_a_master_that_is_killed_again_and_again_is_believed(
    first: MasterProcess, on_journal: MakeProcess, slave: Worker
) -> None:
    test_journal.test_it_is_killed_again_and_again(first, on_journal, slave)


def test_a_session_that_cant_be_resumed_for_another_secret_is_a_warning_once(
    first: MasterProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not with each try."""
    first.kill()
    caplog.set_level(logging.INFO, "interaction.master")

    def said() -> list[int]:
        return [record.levelno for record in caplog.records if "not resumed yet: the sign" in record.getMessage()]

    with Master("127.0.0.1", first.port, channel=7, journal=f"sqlite:///{tmp_path / 'master.db'}", secret=OTHER):
        wait_until(lambda: len(said()) >= 4)
    assert said().count(logging.WARNING) == 1
    assert said()[0] == logging.WARNING


@pytest.mark.parametrize("ahead", [0, 200])
def test_what_was_sent_before_its_restart_is_of_no_use_at_a_master_whatever_the_clock_of_who_sent_it(
    on_journal: MakeProcess, ahead: int
) -> None:
    with scripted_slave(Answering()) as slave:
        first = on_journal()
        first.connect("conn", slave.port)
        seen = [(path, signed(path, slave.token, at=time.time() + ahead)) for path in (BEATS, REPORTS)]
        first.kill()
        slave.connect_answers.extend([Failure(grpc.StatusCode.UNAVAILABLE)] * 1000)
        second = Peer(on_journal(first.port).port)
        try:
            for path, metadata in seen:
                assert second.call(path, HeartbeatRequest(sequence=1), metadata) == STALE
        finally:
            second.channel.close()


def test_a_slave_that_can_not_resume_is_told_so_though_nothing_is_taken_by_its_old_token(
    on_journal: MakeProcess,
) -> None:
    with scripted_slave(Answering()) as slave:
        first = on_journal()
        first.connect("conn", slave.port)
        token = slave.token
        first.kill()
        slave.connect_answers.extend([Failure(NO_STATE, "SLAVE_ALREADY_CONNECTED")] * 1000)
        second = Peer(on_journal(first.port).port)
        try:
            over = (FORBIDDEN, "SLAVE_TOKEN_INVALID")
            wait_until(lambda: second.call(BEATS, HeartbeatRequest(sequence=1), signed(BEATS, token)) == over)
        finally:
            second.channel.close()


def test_no_process_beside_the_slave_has_it_in_its_environment_or_on_its_command_line(
    master: Master, slave_process: Callable[..., SlaveProcess]
) -> None:
    slave = slave_process("--backlog", "1", "--isolation", "process")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    loaded(slave)
    assert connection.new_task({"a": 1}).start().join(WAIT).result == {"sum": 1}
    assert SECRET.encode() in shown_of(slave.process.pid), "so this test sees it where it is"
    ours = [shown_of(child) for child in children_of(slave.process.pid)]
    assert len(ours) == 3, "that of the tasks, the pacemaker, and multiprocessing's resource tracker"
    assert [one for one in ours if SECRET.encode() in one] == []


def test_nothing_that_the_program_does_while_a_process_of_tasks_imports_it_has_it() -> None:
    """Nor of the file's name: not what a module keeps of its environment, nor what an import starts, also in the
    process that takes the place of one that has died; and what the user starts by multiprocessing has it as ever."""
    program = subprocess.run(
        [sys.executable, "-m", "tests.contract.importing_slave"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert program.returncode == 0, program.stderr
    told = json.loads(program.stdout)
    assert told["slave"] == {"kept": True, "started": SECRET, "now": True}
    nothing = {"kept": False, "started": "", "now": False}
    assert [told["first"], told["second"]] == [nothing, nothing]
    assert told["first process"] != told["second process"]
    assert told["of the user's own"] == SECRET
    assert told["resource tracker"] is False


def shown_of(process: int) -> bytes:
    """What the system shows of a process."""
    folder = Path(f"/proc/{process}")
    return folder.joinpath("cmdline").read_bytes() + folder.joinpath("environ").read_bytes()
