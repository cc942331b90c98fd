"""A journal and its thread: entries that come while one commit is under way go into the next one, together."""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from interaction.core.journal import Entry, Snapshot, TaskRecord
from interaction.exception import JournalError, JournalGone
from interaction.waiters import Waiters

if TYPE_CHECKING:
    from interaction.journal.store import Store

_log = logging.getLogger("interaction.master")
_T = TypeVar("_T")
_SCHEME = "sqlite:///"
_RETRY = 1.0  # seconds after which what could not be written, and must be, is tried again
_SOON = 0.02  # the same for what something of our own was raised at
_LAZY = 0.1  # seconds within which something is written that nobody waits for
_LOUD_EVERY = 60.0  # seconds after which the log says again that it can't be written
_BATCH = 1000  # pieces of work in one commit
_FAILS = "until it can, nothing new is taken, and what has happened is kept in memory"
_GONE = (
    "until it is back as it was nothing new is taken; tasks that run end as ever, but a master that is started after "
    "this one knows nothing of them. Close this one when they have ended, and start it again"
)
Done = Callable[["JournalError | None"], object]


def read_url(url: object) -> str:
    """A user's URL of a journal, from now on whatever the working directory is.

    Raises TypeError or ValueError for what names no journal, and ImportError where SQLAlchemy is not there.
    """
    if not isinstance(url, str):
        raise TypeError(f"journal must be a URL such as 'sqlite:///master.db', not {url!r}")
    if not url.startswith(_SCHEME) or url in (_SCHEME, f"{_SCHEME}:memory:"):
        shown = re.sub(r"(?<=:)[^:/@]*(?=@)", "***", url)  # another database's has a password
        raise ValueError(f"journal must be a URL of the form sqlite:///FILE, not {shown!r}")
    file, mark, options = url.partition("?")
    if mark:
        raise ValueError(f"journal takes no options: {file} without {mark + options!r}")
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ImportError("a journal needs SQLAlchemy: pip install '.[journal]' in a checkout of interaction")
    return f"{_SCHEME}{Path(url[len(_SCHEME) :]).absolute()}"


@dataclass
class _Work:
    """Entries that go into one commit. `must`: they are written again and again until they are; `end`: so, too, where
    the journal is gone. Or what is to be read, and where the answer goes."""

    entries: Sequence[Entry]
    done: Done | None
    must: bool = False
    end: bool = False
    read: Callable[[Store], object] | None = None
    answer: Future[object] | None = None
    tried: bool = False  # and then `failure` says why it is not written
    failure: JournalError | None = None

    @property
    def lazy(self) -> bool:
        """Whether nobody waits for it: it goes with what comes next."""
        return self.done is None and self.read is None

    def judge(self, failure: JournalError | None) -> bool:
        """It was tried, and this came of it. Says whether it is owed."""
        gone = isinstance(failure, JournalGone)
        self.tried, self.failure = True, None if gone and self.end else failure
        return failure is not None and (self.must or (gone and self.end))


class Journal:
    """A journal that is open. All methods may be called from any thread; what they call back is called on its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inbox: deque[_Work] = deque()
        self._queue: list[_Work] = []  # what the thread has taken out of it
        self._batch: list[_Work] = []  # what it deals with, until that is done
        self._untold: list[_Work] = []  # whose `done` has raised: it is called again
        self._owed: list[Entry] = []  # could not be written when it had to be
        self._failing: JournalError | None = None
        self._loud_at = 0.0  # when it says again that it fails, if it does
        self._urgent = False  # somebody waits for something that has come
        self._came, self._hurry = Waiters(), Waiters()  # the thread, until something comes, and until it is urgent
        self._closing = False
        self._closed = False  # its thread has ended
        self._thread = threading.Thread(target=self._run, name="interaction-journal", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str) -> Journal:
        """Open the journal of that URL. Raises JournalError."""
        import sqlalchemy as sa

        from interaction.journal.sqlite import open_sqlite
        from interaction.journal.store import Store

        engine, file = open_sqlite(sa.make_url(url))
        store = Store(engine, file)
        try:
            store.prepare()
        except JournalError:
            store.close()
            raise
        return cls(store)

    def write(self, entries: Sequence[Entry], done: Done) -> None:
        """Write all of the entries or none. `done` gets None when they are on the disk, or why they can't be."""
        self._put(_Work(entries, done))

    def end(self, entries: Sequence[Entry], done: Done) -> None:
        """Write that tasks have ended, all or none, as `write()` does: who says so says it again. But where the journal
        is gone it may never be there again, and it is kept as `keep()` does: a task ends all the same."""
        self._put(_Work(entries, done, end=True))

    def keep(self, entries: Sequence[Entry], done: Done | None = None) -> None:
        """Write what has happened already: where that can't be, later. `done` is called after the first try."""
        self._put(_Work(entries, done, must=True))

    def load(self) -> Snapshot:
        """The sessions, and the tasks that have not ended. Raises JournalError, as all that reads does."""
        return self._read(lambda store: store.load())

    def ended(self) -> list[TaskRecord]:
        """The tasks that have ended, and whose end nobody has had yet."""
        return self._read(lambda store: store.ended())

    def find(self, task_id: str) -> TaskRecord | None:
        """The task of that id, if the journal has it."""
        return self._read(lambda store: store.find(task_id))

    def close(self) -> None:
        """Write what has come, and let go of the file."""
        self._closing = True
        self._came.notify_all()
        self._hurry.notify_all()
        self._thread.join()

    def _read(self, read: Callable[[Store], _T]) -> _T:
        answer: Future[_T] = Future()
        self._put(_Work((), None, read=read, answer=answer))  # type: ignore[arg-type]  # it is what `read` returns
        return answer.result()

    def _put(self, work: _Work) -> None:
        if not self._closing:
            self._inbox.append(work)
            self._came.notify_all()
            if not work.lazy:
                self._urgent = True
                self._hurry.notify_all()
            if not self._closed:
                return
            self._refuse_what_is_left()  # it came too late, unless the thread has taken it
        else:
            self._refuse(work)

    def _refuse_what_is_left(self) -> None:
        while self._inbox:
            try:
                work = self._inbox.popleft()
            except IndexError:  # another thread does this, too
                return
            try:
                self._refuse(work)
            except BaseException:
                self._inbox.appendleft(work)
                raise

    @staticmethod
    def _refuse(work: _Work) -> None:
        closed = JournalError("the journal is closed: the master was shut down")
        if work.answer is not None and not work.answer.done():
            work.answer.set_exception(closed)
        if work.done is not None:
            work.done(closed)

    # The journal's thread.

    def _run(self) -> None:
        while self._inbox or not self._closed:
            try:
                self._turn()
            except BaseException:  # noqa: BLE001 - such as a MemoryError: nobody else would do it
                _log.exception("the journal's thread has failed; it goes on")
                time.sleep(_SOON)

    def _turn(self) -> None:
        """Wait for work, and do it. Where something of our own is raised it goes on with what is not done yet."""
        if self._closed:
            self._refuse_what_is_left()
            return
        if not self._batch:
            self._came.wait_for(self._has_work, self._pause())
            self._hurry.wait_for(lambda: self._urgent or self._closing, _LAZY)
            self._urgent = False  # first: who comes now is urgent again
            closing = self._closing
            while self._inbox:
                self._queue.append(self._inbox.popleft())
            if closing and not self._queue:
                self._end()
                return
            self._batch, self._queue = self._take(self._queue)
            if not all(work.lazy for work in self._queue):
                self._urgent = True
        self._commit([work for work in self._batch if work.read is None])
        for work in self._batch:
            if work.read is not None:
                self._answer(work)
        self._batch = []

    def _end(self) -> None:
        """Nothing more will come."""
        self._commit([])  # what is owed
        if self._owed:
            _log.error("the journal is closed, and %d entries could not be written", len(self._owed))
        try:
            self._store.close()
        finally:
            self._closed = True

    def _pause(self) -> float | None:
        """Seconds until there is something to do, whatever comes."""
        if self._untold:
            return _SOON
        return _RETRY if self._owed or isinstance(self._failing, JournalGone) else None

    def _has_work(self) -> bool:
        return bool(self._inbox or self._queue or self._closing)

    @staticmethod
    def _take(queue: list[_Work]) -> tuple[list[_Work], list[_Work]]:
        """What goes into the next commit, up to the first read, and what is left."""
        for position, work in enumerate(queue):
            if work.read is not None or position == _BATCH:
                return queue[: position + 1], queue[position + 1 :]
        return queue, []

    def _commit(self, batch: list[_Work]) -> None:
        """Write what is owed and what has come, and tell who waits for that. Harmless when repeated from the middle."""
        self._write([work for work in batch if not work.tried])
        self._untold = [work for work in (*self._untold, *batch) if not self._tells(work)]

    @staticmethod
    def _tells(work: _Work) -> bool:
        """Tell who waits for it. False where that is to be done again: it has raised."""
        if work.done is not None:
            try:
                work.done(work.failure)
            except BaseException:  # noqa: BLE001 - the others still wait for their word
                _log.exception("what was to follow an entry of the journal failed; trying again")
                return False
            work.done = None
        return True

    def _write(self, batch: list[_Work]) -> None:
        """Write it; where that can't be, what must be is owed."""
        entries = [*self._owed, *(entry for work in batch for entry in work.entries)]
        looks = bool(entries) or isinstance(self._failing, JournalGone)  # whether that is there again
        failure = self._try(entries) if looks else None
        theirs = failure is not None and not isinstance(failure, JournalGone)
        if theirs and len(batch) > 1:  # it may be due to one of them
            for work in batch:
                self._write([work])
            return
        if failure is None:
            self._owed = []
        for work in batch:
            if work.judge(failure):
                self._owed.extend(work.entries)
        if looks:
            self._be_loud(failure)

    def _be_loud(self, failure: JournalError | None) -> None:
        """Say when it begins to fail, each minute that it does, and when it does no more."""
        now = time.monotonic()
        if failure is not None and (type(failure) is not type(self._failing) or now >= self._loud_at):
            self._loud_at = now + _LOUD_EVERY
            _log.error("%s; %s", failure, _GONE if isinstance(failure, JournalGone) else _FAILS)
        elif failure is None and self._failing is not None:
            _log.warning("the journal can be written again")
        self._failing = failure

    def _try(self, entries: Sequence[Entry]) -> JournalError | None:
        try:
            self._store.apply(entries)
        except JournalError as failure:
            return failure
        except BaseException as error:  # noqa: BLE001 - of our own: nothing is written, and who waits is told
            _log.exception("the journal has failed")
            return JournalError(f"the journal itself has failed: {type(error).__name__}")
        return None

    def _answer(self, work: _Work) -> None:
        assert work.read is not None, "it is a read"
        assert work.answer is not None, "who reads waits"
        if work.answer.done():
            return
        try:
            work.answer.set_result(work.read(self._store))
        except BaseException as failure:  # noqa: BLE001 - it is raised to who reads
            work.answer.set_exception(failure)
