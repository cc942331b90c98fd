"""A journal that is deleted, moved, replaced or truncated while in use: noticed, told, and no task waits for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from interaction.core.journal import TaskEnded, TaskKept
from interaction.core.task import TaskStatus
from interaction.exception import JournalError, JournalGone
from interaction.journal import Journal
from interaction.journal import journal as module
from tests.unit.journals import TASKS, url_of
from tests.unit.test_journal import Told, written

AWAY: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.with_suffix(".old")),
    "replaced": lambda path: shutil.copy(path, f"{path}.new") and Path(f"{path}.new").rename(path),
    "its log is deleted": lambda path: Path(f"{path}-wal").unlink(),
    "its folder is moved": lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    "its folder is a file": lambda path: (
        path.parent.rename(path.parent.with_name("elsewhere")) and path.parent.write_text("")
    ),
    "truncated": lambda path: os.truncate(path, 0),
    "truncated a little": lambda path: os.truncate(path, path.stat().st_size - 1),
    "its log is truncated": lambda path: os.truncate(f"{path}-wal", 0),
}
ENDED = TaskEnded(TASKS[0].id, TaskStatus.COMPLETED, b"result")


def ended(journal: Journal, *entries: TaskEnded) -> JournalError | None:
    told = Told()
    journal.end(entries, told)
    return told.wait()


@pytest.mark.parametrize("way", AWAY)
@pytest.mark.parametrize("written_before", [0, 1])
def test_a_journal_that_goes_away_while_in_use_is_noticed(
    tmp_path: Path, way: str, written_before: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    path = folder / "j.db"
    journal = Journal.open(url_of(path))
    try:
        for task in TASKS[:written_before]:
            assert written(journal, TaskKept(task)) is None
        AWAY[way](path)
        for task in TASKS[2:4]:
            failure = written(journal, TaskKept(task))
            assert isinstance(failure, JournalGone)
            assert "while in use" in str(failure)
            assert ("truncated" in str(failure)) == ("truncated" in way)
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1  # once, not each time
        assert "j.db" in errors[0].getMessage()
        assert "nothing new is taken" in errors[0].getMessage()
    finally:
        journal.close()


@pytest.mark.parametrize("way", AWAY)
def test_the_end_of_a_task_does_not_wait_for_a_journal_that_is_gone(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    journal = Journal.open(url_of(folder / "j.db"))
    try:
        assert written(journal, TaskKept(TASKS[0])) is None
        AWAY[way](folder / "j.db")
        assert ended(journal, ENDED) is None
        assert ended(journal, TaskEnded(TASKS[1].id, TaskStatus.FAILED)) is None
    finally:
        journal.close()


def test_a_journal_that_comes_back_is_written_again(tmp_path: Path) -> None:
    """With all that was owed, also where nothing new comes."""
    path = tmp_path / "j.db"
    journal = Journal.open(url_of(path))
    try:
        assert written(journal, TaskKept(TASKS[0]), TaskKept(TASKS[3])) is None
        path.rename(tmp_path / "aside")
        kept = Told()
        journal.keep([TaskKept(TASKS[1])], kept)
        assert kept.wait() is not None
        assert ended(journal, ENDED) is None
        (tmp_path / "aside").rename(path)
        assert written(journal, TaskKept(TASKS[2])) is None
        assert {task.id for task in journal.load().tasks} == {TASKS[n].id for n in (1, 2, 3)}
        assert [task.outcome for task in journal.ended()] == [b"result"]
    finally:
        journal.close()


def test_that_a_journal_is_gone_is_told_again_until_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody wants it to write anything."""
    said = Told()
    words: list[str] = []

    def say(text: str, *arguments: object) -> None:
        words.append(text % arguments)
        if len(words) == 3:
            said(None)

    monkeypatch.setattr(module, "_RETRY", 0.01)
    monkeypatch.setattr(module, "_LOUD_EVERY", 0.0)
    monkeypatch.setattr(module._log, "error", say)
    path = tmp_path / "j.db"
    journal = Journal.open(url_of(path))
    try:
        path.rename(tmp_path / "aside")
        assert written(journal, TaskKept(TASKS[0])) is not None
        said.wait()
        back = Told()
        monkeypatch.setattr(module._log, "warning", lambda *_: back(None))
        (tmp_path / "aside").rename(path)
        back.wait()
    finally:
        journal.close()
    assert len(words) >= 3
    assert len(set(words)) == 1
