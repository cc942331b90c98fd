"""A journal in an SQLite file: all that is of SQLite alone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from interaction.exception import JournalError, JournalGone
from interaction.journal.place import check_opened, check_private, claim

# What is a journal says so, for other programs and for this one: https://www.sqlite.org/fileformat.html, "magic" and
# "application ID". The tables are those of `store.py`.
_MAGIC, _APPLICATION_ID, _ID_AT, _TABLES = (
    b"SQLite format 3\0",
    0x69746A31,
    slice(68, 72),
    {"about", "sessions", "tasks"},
)
# https://www.sqlite.org/pragma.html: with WAL and FULL a commit is on the disk when it returns; EXCLUSIVE keeps every
# other process out for as long as this one lives.
_PRAGMAS = (
    "busy_timeout = 0",
    "locking_mode = EXCLUSIVE",
    f"application_id = {_APPLICATION_ID}",  # before WAL: so it stands in the file itself at once
    "journal_mode = WAL",
    "synchronous = FULL",
)


class JournalFile:
    """The file of a journal that is open, and its log: nobody else writes them, and neither gets smaller."""

    def __init__(self, path: Path) -> None:
        self._known: dict[Path, os.stat_result | None] = {path: path.stat(), Path(f"{path}-wal"): None}

    def check(self) -> None:
        """Raise JournalGone where what would be written to it now were lost, and JournalError."""
        for path, known in self._known.items():
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                found = None
            except OSError as error:
                raise JournalError(f"the journal can't be written: {path}: {error.strerror}") from None
            if known is not None and (found is None or not os.path.samestat(known, found)):
                raise JournalGone(f"the journal can't be written: {path} was deleted, moved or replaced while in use")
            if known is not None and found is not None and found.st_size < known.st_size:
                raise JournalGone(f"the journal can't be written: {path} was truncated while in use")

    def note(self) -> None:
        """It was written: this is how large it is."""
        for path, known in self._known.items():
            try:
                found = path.stat()
            except OSError:
                continue  # the next check says so
            if known is None or (os.path.samestat(known, found) and found.st_size > known.st_size):
                self._known[path] = found


def open_sqlite(url: sa.URL) -> tuple[sa.Engine, JournalFile]:
    """An engine for the file of that URL, which is made where it is not there, and the file.

    Raises JournalError where it can't be had, is another program's, somebody else could have a hand in it, or another
    process has it.
    """
    path = Path(url.database or "")
    try:
        path, number = claim(path)
        try:
            beginning = os.read(number, 100)
        finally:
            os.close(number)
        _check_mine(path, beginning)  # before anything of it is changed
        check_private(path)
        file = JournalFile(path)
    except OSError as error:
        raise JournalError(f"the journal {path} can't be opened: {error.strerror}") from None
    engine = sa.create_engine(
        url.set(database=str(path)), poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    sa.event.listen(engine, "connect", _prepare)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("COMMIT")
        check_opened(path)
        file.check()
        file.note()  # its log, too, is from now on the one that is there
    except JournalError:
        engine.dispose()
        raise
    except sa.exc.DBAPIError as error:
        engine.dispose()
        if "locked" in str(error.orig):
            raise _in_use(path) from None
        raise JournalError(f"{path} is no journal, or can't be used: {error.orig}") from None
    return engine, file


def _check_mine(path: Path, beginning: bytes) -> None:
    """Raise JournalError for what is another program's."""
    if not beginning:  # a new one
        return
    if not beginning.startswith(_MAGIC):
        raise JournalError(f"{path} is no journal: it is no SQLite database")
    number = int.from_bytes(beginning[_ID_AT], "big")
    tables = set() if number == _APPLICATION_ID else _tables_of(path)
    if number not in (0, _APPLICATION_ID) or not (tables >= _TABLES or not tables):
        shown = ", ".join(sorted(tables)[:5]) + (", …" if len(tables) > 5 else "")
        raise JournalError(
            f"{path} is no journal, but the database of another program (tables: {shown or 'none'}): use another file"
        )


def _tables_of(path: Path) -> set[str]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=0, uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise _in_use(path) from None
        raise JournalError(f"{path} is no journal, or can't be used: {error}") from None


def _in_use(path: Path) -> JournalError:
    return JournalError(f"the journal {path} is in use by another master that runs")


def _prepare(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    try:
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:
        connection.close()  # not every SQLAlchemy does it
        raise
