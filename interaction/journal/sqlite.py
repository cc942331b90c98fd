"""A journal in an SQLite file: all that is of SQLite alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from interaction.exception import JournalError

_MINE = 0o600  # the file holds tokens
# https://www.sqlite.org/pragma.html: with WAL and FULL a commit is on the disk when it returns; EXCLUSIVE keeps every
# other process out for as long as this one lives.
_PRAGMAS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "busy_timeout = 0")


def open_sqlite(url: sa.URL) -> sa.Engine:
    """An engine for the file of that URL, which is made where it is not there.

    Raises JournalError where it can't be had, or another process has it.
    """
    path = Path(url.database or "")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _MINE))
        path.chmod(_MINE)
    except OSError as error:
        raise JournalError(f"the journal {path} can't be opened: {error.strerror}") from None
    engine = sa.create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    sa.event.listen(engine, "connect", _prepare)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("COMMIT")
    except sa.exc.DBAPIError as error:
        engine.dispose()
        if "locked" in str(error.orig):
            raise JournalError(f"the journal {path} is in use by another master that runs") from None
        raise JournalError(f"{path} is no journal, or can't be used: {error.orig}") from None
    return engine


def _prepare(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
