"""An exception at every call between a task and the disk: of the master's journal, and of its thread."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from interaction.core.journal import Snapshot
from interaction.journal import Journal
from tests.contract.injection import Call, Hang, Injected, PlainHome, Scene, Watch, Worker, until


class JournalScene(Scene):
    """A master with a journal, its slave, and tasks with numbers."""

    def __init__(self, watch: Watch, slave: Worker, file: Path) -> None:
        self.home: PlainHome = PlainHome(journal=f"sqlite:///{file}", request_retries=0, request_timeout=1.0)
        super().__init__(watch, self.home, slave)

    @property
    def journal(self) -> Journal:
        journal = self.home.master._interaction.notes.journal
        assert isinstance(journal, Journal)
        return journal

    def live_and_be_asked(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """A task whose owner looks for it in the journal."""
        task = self.home.do(lambda: self._task([]))
        self._number += 1
        with self._watch.life(at, kind) as calls:
            if self._start(task) is None:
                for _ in range(2):
                    try:
                        self.home.do(lambda: (self.home.master.tasks(), self.home.master.task(task.id)))
                    except Hang:
                        raise
                    except BaseException:  # noqa: BLE001 - which is his who asks; or its end was had, and forgotten
                        continue
                until(lambda: task.status.ended, "the task does not end")
        return calls

    def go_on(self) -> None:
        """The journal's thread lives; what has ended is not kept as if it ran; and another task runs."""
        self._arm()
        super().go_on()
        self._arm()
        assert not self._kept().tasks, "the next life of the master would take up what has ended"
        names = [session.name for session in self._kept().sessions]
        assert names == [self.connection.name], f"the sessions {names} are kept, and {self.connection.name} is there"
        assert not self.journal._owed, "something is not written"

    def _arm(self) -> None:
        self.home.do(lambda: self.journal._read(lambda store: self._watch.arm()))

    def _kept(self) -> Snapshot:
        kept = self.home.do(self.journal.load)
        assert isinstance(kept, Snapshot)
        return kept
