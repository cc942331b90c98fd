"""Records for tests of the journal, and where they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
import sqlalchemy as sa

from interaction.core.journal import Entry, SessionRecord, Snapshot, TaskRecord
from interaction.journal.sqlite import open_sqlite
from interaction.journal.store import Store
from tests.sim.journal import Disk

SESSION = SessionRecord("conn", "host", 7236, True, "t" * 43, "i" * 32, b"\0data")
OTHER = SessionRecord("other", "::1", 1, False, "u" * 43, "j" * 32, b"", successor="v" * 43)
TASKS = [TaskRecord(f"{n:036}", "conn", bytes([n])) for n in range(4)]


class Kept(Protocol):
    """What every store does."""

    def apply(self, entries: Sequence[Entry]) -> None: ...
    def load(self) -> Snapshot: ...
    def ended(self) -> list[TaskRecord]: ...


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "simulated":
        yield Disk()
        return
    engine, file = open_sqlite(sa.make_url(url_of(tmp_path / "j.db")))
    opened = Store(engine, file)
    try:
        opened.prepare()
        yield opened
    finally:
        opened.close()


def kept(store: Kept) -> tuple[list[SessionRecord], list[TaskRecord]]:
    snapshot = store.load()
    return list(snapshot.sessions), list(snapshot.tasks)
