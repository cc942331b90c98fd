"""The journal in a file: that it is on the disk, that it is ours, and what happens where it can't be written."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from interaction import Master
from interaction.core.journal import Entry, SessionKept, Snapshot, TaskDropped, TaskEnded, TaskKept
from interaction.core.task import TaskStatus
from interaction.exception import JournalError
from interaction.journal import Journal, read_url
from interaction.journal.sqlite import open_sqlite
from interaction.journal.store import Store
from tests.unit.journals import SESSION, TASKS, url_of

WAIT = 10.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(url_of(tmp_path / "j.db"))
    try:
        yield opened
    finally:
        opened.close()


class Told:
    """Waits for what a journal says."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self.failure: JournalError | None = None

    def __call__(self, failure: JournalError | None) -> None:
        self.failure = failure
        self._said.set()

    def wait(self) -> JournalError | None:
        assert self._said.wait(WAIT)
        return self.failure


def written(journal: Journal, *entries: Entry) -> JournalError | None:
    told = Told()
    journal.write(entries, told)
    return told.wait()


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    first = Journal.open(url_of(tmp_path / "j.db"))
    assert written(first, SessionKept(SESSION), TaskKept(TASKS[0])) is None
    first.close()
    second = Journal.open(url_of(tmp_path / "j.db"))
    try:
        assert second.load() == Snapshot([SESSION], [TASKS[0]])
        assert second.find(TASKS[0].id) == TASKS[0]
        assert second.find("x") is None
    finally:
        second.close()


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    journal = Journal.open(url_of(tmp_path / "j.db"))
    try:
        assert written(journal, SessionKept(SESSION)) is None
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert modes.pop("j.db") == 0o600
        assert set(modes.values()) <= {0o600}
    finally:
        journal.close()


def test_a_commit_is_on_the_disk_when_it_is_acknowledged(journal: Journal, tmp_path: Path) -> None:
    """Read by another process from a copy of the files, as a crash would leave them."""
    assert written(journal, TaskKept(TASKS[0])) is None
    for name in ("j.db", "j.db-wal"):
        (tmp_path / f"copy-{name}").write_bytes((tmp_path / name).read_bytes())
    with sqlite3.connect(tmp_path / "copy-j.db") as copy:
        assert copy.execute("select id from tasks").fetchall() == [(TASKS[0].id,)]
    copy.close()


def test_a_second_master_on_the_same_journal_is_refused(journal: Journal, tmp_path: Path) -> None:
    script = f"from interaction.journal import Journal; Journal.open({url_of(tmp_path / 'j.db')!r})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT * 3)
    assert "is in use by another master" in run.stderr
    assert written(journal, TaskKept(TASKS[0])) is None


def test_what_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("not a database, and longer than a header of SQLite's, which has a hundred bytes" * 3)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is no journal"):
        Journal.open(url_of(path))
    assert path.read_bytes() == before
    with pytest.raises(JournalError, match="can't be opened: No such file"):
        Journal.open(url_of(tmp_path / "nowhere" / "j.db"))


def another_programs(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    "statements",
    [
        ["create table users (name text)", "insert into users values ('me')"],
        ["create table about (version integer)", "create table tasks (id text)"],
        ["pragma application_id = 252006675"],  # Fossil's
        ["pragma journal_mode = wal", "create table users (name text)"],
        ["create table users (name text)", "pragma user_version = 1"],
    ],
    ids=["tables", "some tables of ours", "its id", "wal", "a version"],
)
def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path, statements: list[str]) -> None:
    path = tmp_path / "its.db"
    another_programs(path, *statements)
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"its\.db is no journal, but the database of another program"):
        Journal.open(url_of(path))
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(JournalError, match="another program"):
        Master("127.0.0.1", 0, journal=url_of(path)).start()


def test_a_journal_says_what_it_is_and_one_that_does_not_yet_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    for _ in range(2):
        journal = Journal.open(url_of(path))
        assert written(journal, SessionKept(SESSION)) is None
        journal.close()
        assert path.read_bytes()[68:72] == b"itj1"
        another_programs(path, "pragma application_id = 0")  # as one that was written before
    journal = Journal.open(url_of(path))
    try:
        assert journal.load().sessions == [SESSION]
    finally:
        journal.close()


def test_it_says_what_it_is_also_where_its_master_was_killed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    script = f"import os; from interaction.journal import Journal; Journal.open({url_of(path)!r}); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script], timeout=WAIT * 3).returncode == 9
    assert path.read_bytes()[68:72] == b"itj1"
    Journal.open(url_of(path)).close()


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    Journal.open(url_of(tmp_path / "j.db")).close()
    with sqlite3.connect(tmp_path / "j.db") as database:
        database.execute("update about set version = 99")
    database.close()
    with pytest.raises(JournalError, match="version 99"):
        Journal.open(url_of(tmp_path / "j.db"))


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql:///x", "master.db"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///FILE"):
        read_url(url)
    with pytest.raises(TypeError, match="journal must be a URL"):
        read_url(7)


def test_the_password_of_another_databases_url_is_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"sqlite:///FILE, not 'postgresql://ann:\*\*\*@host/x'"):
        read_url("postgresql://ann:tiger-7@host/x")


def test_a_url_with_options_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """Before, they were passed over, with a warning of SQLAlchemy's."""
    url = url_of(tmp_path / "j.db") + "?mode=ro"
    with pytest.raises(ValueError, match=r"takes no options: sqlite:///\S+j\.db without '\?mode=ro'"):
        Master("127.0.0.1", 0, journal=url)
    assert list(tmp_path.iterdir()) == []


def test_one_that_can_not_be_written_does_not_hold_up_the_others(journal: Journal) -> None:
    assert written(journal, TaskKept(TASKS[0])) is None
    told = [Told() for _ in range(3)]
    for entry, each in zip([TASKS[1], TASKS[0], TASKS[2]], told, strict=True):  # the one in the middle is there already
        journal.write([TaskKept(entry)], each)
    failures = [each.wait() for each in told]
    assert [failure is None for failure in failures] == [True, False, True]
    assert [task.id for task in journal.load().tasks] == [task.id for task in TASKS[:3]]


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal.open(url_of(tmp_path / "j.db"))
    journal.close()
    failure = written(journal, TaskKept(TASKS[0]))
    assert failure is not None
    assert "closed" in str(failure)
    with pytest.raises(JournalError, match="closed"):
        journal.load()


class Failing(Store):
    """A store whose disk is full when a test says so."""

    full = False

    def apply(self, entries: Sequence[Entry]) -> None:
        if self.full:
            raise JournalError("the journal can't be used: database or disk is full")
        super().apply(entries)


def test_a_full_disk_takes_nothing_new_and_forgets_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine, file = open_sqlite(sa.make_url(url_of(tmp_path / "j.db")))
    store = Failing(engine, file)
    store.prepare()
    journal = Journal(store)
    try:
        assert written(journal, TaskKept(TASKS[0]), TaskKept(TASKS[1])) is None
        store.full = True
        with caplog.at_level(logging.WARNING, "interaction.master"):
            refused, happened = Told(), Told()
            journal.write([TaskKept(TASKS[2])], refused)
            journal.keep([TaskEnded(TASKS[0].id, TaskStatus.LOST, reason="SILENT")], happened)
            assert "disk is full" in str(refused.wait())
            assert happened.wait() is not None, "it is told, and not written yet"
            assert len(journal.load().tasks) == 2
            store.full = False
            assert written(journal, TaskDropped(TASKS[1].id)) is None
            assert [task.id for task in journal.ended()] == [TASKS[0].id]
            assert journal.load().tasks == []
        words = [record.getMessage() for record in caplog.records]
        assert len(words) == 2
        assert "disk is full" in words[0]
        assert "can be written again" in words[1]
    finally:
        journal.close()


def test_what_is_owed_is_written_as_soon_as_it_can_be(tmp_path: Path) -> None:
    engine, file = open_sqlite(sa.make_url(url_of(tmp_path / "j.db")))
    store = Failing(engine, file)
    store.prepare()
    journal = Journal(store)
    try:
        store.full = True
        told = Told()
        journal.keep([TaskKept(TASKS[0])], told)
        told.wait()
        store.full = False
    finally:
        journal.close()  # at the latest
    again = Journal.open(url_of(tmp_path / "j.db"))
    try:
        assert again.load().tasks == [TASKS[0]]
    finally:
        again.close()
