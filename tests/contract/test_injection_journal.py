"""Whatever raises between a task and the disk, at whatever call: it has one end, and the journal goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interaction.master import fast_road
from tests.contract.injection import Harsh, Injected, Watch, Worker, every_call
from tests.contract.injection_journal import JournalScene

# What else is called is raised at in the life of a task without a journal.
ROOMS = (
    "journal/",
    "master/notes.",
    "master/archive.",
    "master/delivery.",
    "core/journal.",
    "core/custody.",
    "waiters.",
)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Watch, JournalScene]]:
    """Nothing is logged, and nothing is waited for longer than must be."""
    monkeypatch.setattr(fast_road, "ACKNOWLEDGE_WITHIN", 0.001)
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.NOTSET)
        watch = stack.enter_context(Watch())
        slave = Worker("127.0.0.1", 0, pacemaker=False, request_timeout=1.0, request_retry_waiting=0.05)
        slave.start()
        stack.callback(slave.close)
        slave.watch = watch
        stage = JournalScene(watch, slave, tmp_path / "master.db")
        stack.callback(stage.home.close)
        yield watch, stage


# What was to await it was raised at.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("life", ["live", "live_session", "live_and_be_asked"])
def test_what_is_written_down_has_one_end_whatever_call_raises(scene: tuple[Watch, JournalScene], life: str) -> None:
    watch, stage = scene
    live = getattr(stage, life)
    calls = [call for call in every_call(live, most=3) if call[0].startswith(ROOMS)]
    assert len(calls) > 20
    hit = 0
    for index, call in enumerate(calls):
        kind = Harsh if index % 3 == 0 else Injected
        try:
            live(call, kind)
            hit += watch.raised
            stage.go_on()
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__} at {call}: {error}") from error
    assert hit > len(calls) / 2
