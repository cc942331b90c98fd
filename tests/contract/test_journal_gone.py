"""The journal of a master that runs is deleted, moved, replaced or truncated: tasks end, and new ones are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from interaction import Master, TaskStatus
from interaction.exception import JournalGone, TaskFailed, TaskLost
from tests.contract.conftest import MakeMaster, MakePool, MakeSlave, Worker, plain_and_aio
from tests.unit.test_journal_gone import AWAY

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 20.0
WAYS = [AWAY[way] for way in ("deleted", "replaced", "truncated", "its folder is moved")]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder / "master.db"


@pytest.mark.parametrize("go_away", WAYS)
@pytest.mark.parametrize("fast_road", [True, False])
def test_what_runs_when_the_journal_goes_away_ends_with_its_result(
    make_master: MakeMaster, make_slave: MakeSlave, journal: Path, go_away: Callable[[Path], Any], fast_road: bool
) -> None:
    master = make_master(Master, journal=f"sqlite:///{journal}")
    slave = make_slave(Worker, backlog=1, fast_road=fast_road)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    told: Queue[Any] = Queue()
    task = connection.new_task({"wait": 1}).on_complete(lambda data, result: told.put(result))
    failing = connection.new_task({"fail": "so"}).on_fail(lambda data, result: told.put(result))
    task.start()
    failing.start()
    go_away(journal)
    slave.go_on.set()
    assert task.get(WAIT) == {"waited": 1}
    assert told.get(timeout=WAIT) == {"waited": 1}
    with pytest.raises(TaskFailed):
        failing.get(WAIT)
    told.get(timeout=WAIT)
    refused = connection.new_task({"a": 1, "b": 2})
    with pytest.raises(JournalGone, match="while in use"):
        refused.start()
    assert refused.status is TaskStatus.START_FAILED
    assert connection.is_connected
    assert told.empty()


def test_what_is_lost_when_the_journal_is_gone_is_told(make_master: MakeMaster, slave: Worker, journal: Path) -> None:
    master = make_master(Master, journal=f"sqlite:///{journal}")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    os.truncate(journal, 0)
    connection.disconnect()
    with pytest.raises(TaskLost):
        task.get(WAIT)


def test_a_pool_ends_what_it_has_begun_and_fails_what_it_has_not(
    make_master: MakeMaster, make_pool: MakePool, slave: Worker, journal: Path
) -> None:
    master = make_master(Master, journal=f"sqlite:///{journal}")
    master.new_connection("conn", "127.0.0.1", slave.port).connect()
    pool = make_pool(master)
    begun, queued = pool.submit({"wait": 1}), pool.submit({"a": 1, "b": 2})
    assert slave.running.wait(WAIT)
    journal.unlink()
    slave.go_on.set()
    assert begun.result(WAIT) == {"waited": 1}
    with pytest.raises(JournalGone):
        queued.result(WAIT)


def test_what_ended_while_the_journal_was_away_is_in_it_when_it_is_back(
    make_master: MakeMaster, slave: Worker, journal: Path, tmp_path: Path
) -> None:
    master = make_master(Master, journal=f"sqlite:///{journal}")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    journal.rename(tmp_path / "aside")
    slave.go_on.set()
    assert task.get(WAIT) == {"waited": 1}
    (tmp_path / "aside").rename(journal)
    assert connection.new_task({"a": 1, "b": 2}).start().get(WAIT) == {"sum": 3}
    assert master.tasks() == []
    assert len(slave.ran) == 2
