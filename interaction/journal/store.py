"""Records in a database, through SQLAlchemy Core. Nothing here is of one kind of database; that is in `sqlite.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from interaction.core.journal import (
    Entry,
    SessionDropped,
    SessionKept,
    SessionRecord,
    Snapshot,
    TaskDelivered,
    TaskDropped,
    TaskEnded,
    TaskKept,
    TaskRecord,
)
from interaction.core.task import TaskStatus
from interaction.exception import JournalError

VERSION = 1  # of the tables: a journal of another version is refused
_BIG = 2**31 - 1
_T = TypeVar("_T")

_metadata = sa.MetaData()
_about = sa.Table("about", _metadata, sa.Column("version", sa.Integer, nullable=False))
_sessions = sa.Table(
    "sessions",
    _metadata,
    sa.Column("token", sa.String(128), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("tls", sa.Boolean, nullable=False),
    sa.Column("incarnation", sa.String(32), nullable=False),
    sa.Column("data", sa.LargeBinary(_BIG), nullable=False),
    sa.Column("successor", sa.String(128), nullable=False),
)
_tasks = sa.Table(
    "tasks",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),  # the order in which they were started
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("data", sa.LargeBinary(_BIG), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("outcome", sa.LargeBinary(_BIG), nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
)
_TASK_COLUMNS = [_tasks.c[field.name] for field in fields(TaskRecord)]
_SESSION_COLUMNS = [_sessions.c[field.name] for field in fields(SessionRecord)]

# One statement for each kind of entry: a run of entries of one kind is one call of the driver.
_STATEMENTS: dict[type, sa.Executable] = {
    TaskKept: sa.insert(_tasks),
    TaskEnded: sa.update(_tasks).where(_tasks.c.id == sa.bindparam("task_id")),
    TaskDelivered: sa.update(_tasks).where(_tasks.c.id == sa.bindparam("task_id")).values(delivered=True),
    TaskDropped: sa.delete(_tasks).where(_tasks.c.id == sa.bindparam("task_id")),
    SessionDropped: sa.delete(_sessions).where(_sessions.c.token == sa.bindparam("gone")),
}
_KEEP_SESSION = (sa.delete(_sessions).where(_sessions.c.name == sa.bindparam("known")), sa.insert(_sessions))


class File(Protocol):
    """Where a database is."""

    def check(self) -> None:
        """Raise JournalError where it is not what it was, so that nothing is to be written."""

    def note(self) -> None:
        """It was written."""


class Store:
    """One database, used by one thread. Every method may raise JournalError, `file.check` before each write too."""

    def __init__(self, engine: sa.Engine, file: File) -> None:
        self._engine = engine
        self.file = file
        self._connection = _translated(engine.connect)

    def prepare(self) -> None:
        """Make the tables where there are none. Raises JournalError where another version made them."""

        def work() -> int:
            with self._connection.begin():
                _metadata.create_all(self._connection)
                found = self._connection.execute(sa.select(_about.c.version)).scalar()
                if found is None:
                    self._connection.execute(sa.insert(_about), {"version": VERSION})
            return VERSION if found is None else int(found)

        version = _translated(work)
        self.file.note()
        if version != VERSION:
            raise JournalError(
                f"the journal is of version {version}, and this release reads {VERSION}: use another file"
            )

    def apply(self, entries: Sequence[Entry]) -> None:
        """Write all of the entries, in their order, or none of them."""

        def work() -> None:
            with self._connection.begin():
                for kind, run in groupby(entries, type):
                    self._apply(kind, run)

        self.file.check()
        _translated(work)
        self.file.note()

    def _apply(self, kind: type, run: Iterable[Entry]) -> None:
        if kind is SessionKept:
            delete, insert = _KEEP_SESSION
            for entry in run:
                assert isinstance(entry, SessionKept)
                self._connection.execute(delete, {"known": entry.session.name})
                self._connection.execute(insert, vars(entry.session))
            return
        self._connection.execute(_STATEMENTS[kind], [_values_of(entry) for entry in run])

    def load(self) -> Snapshot:
        """The sessions, and the tasks that have not ended."""

        def work() -> Snapshot:
            with self._connection.begin():
                sessions = self._connection.execute(sa.select(*_SESSION_COLUMNS))
                return Snapshot(
                    [SessionRecord(**row._mapping) for row in sessions],
                    self._tasks(_tasks.c.status == TaskStatus.STARTED),
                )

        return _translated(work)

    def ended(self) -> list[TaskRecord]:
        """The tasks that have ended, and whose end nobody has had yet, in the order in which they were started."""

        def work() -> list[TaskRecord]:
            with self._connection.begin():
                undelivered = _tasks.c.delivered == sa.false()
                return self._tasks(sa.and_(_tasks.c.status != TaskStatus.STARTED, undelivered))

        return _translated(work)

    def find(self, task_id: str) -> TaskRecord | None:
        """The task of that id, whatever has become of it."""

        def work() -> list[TaskRecord]:
            with self._connection.begin():
                return self._tasks(_tasks.c.id == task_id)

        return next(iter(_translated(work)), None)

    def _tasks(self, which: sa.ColumnElement[bool]) -> list[TaskRecord]:
        rows = self._connection.execute(sa.select(*_TASK_COLUMNS).where(which).order_by(_tasks.c.number))
        return [TaskRecord(**{**row._mapping, "status": TaskStatus(row.status)}) for row in rows]

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        self._engine.dispose()


def _values_of(entry: Entry) -> dict[str, Any]:
    """What the entry's statement takes. (`asdict` would copy each value, at a cost beyond that of the statement.)"""
    if isinstance(entry, TaskKept):
        return vars(entry.task)
    if isinstance(entry, SessionDropped):
        return {"gone": entry.token}
    return vars(entry)


def _translated(work: Callable[[], _T]) -> _T:
    """Do it; what the database raises becomes a JournalError, whose message holds neither values nor statements."""
    try:
        return work()
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise JournalError(f"the journal can't be used: {cause}") from None
    except OSError as error:
        raise JournalError(f"the journal can't be used: {error}") from None
