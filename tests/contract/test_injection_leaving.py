"""Whatever raises while a slave drains, or a master comes back, at whatever call: each task has one end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from interaction.core import recovery
from interaction.master import fast_road
from tests.contract.injection import Harsh, Injected, Watch, every_call
from tests.contract.injection_leaving import DrainScene, ResumeScene

# What else is called is raised at in the life of a task, or of its journal.
DRAIN = ("slave/", "core/tenancy.", "core/admission.", "core/engagement.", "core/outbox.")
RESUME = (
    "master/recovery.",
    "core/recovery.",
    "master/service.",
    "master/base_connection.",
    "master/archive.",
    "slave/desk.",
)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Nothing is logged, and nothing is waited for longer than must be."""
    monkeypatch.setattr(fast_road, "ACKNOWLEDGE_WITHIN", 0.001)
    monkeypatch.setattr(recovery, "SHORTEST_PAUSE", 0.01)
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.NOTSET)
        yield stack


def raised_at_each(stack: ExitStack, watch: Watch, stage: Any, rooms: tuple[str, ...], most: int) -> None:
    stack.callback(stage.close)

    def live(at: None) -> Any:
        calls = stage.live(at)
        stage.go_on()
        return calls

    calls = [call for call in every_call(live, most=most) if call[0].startswith(rooms)]
    assert len(calls) > 20
    hit = 0
    for index, call in enumerate(calls):
        kind = Harsh if index % 3 == 0 else Injected
        try:
            stage.live(call, kind)
            hit += watch.raised
            stage.go_on()
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__} at {call}: {error}") from error
    assert hit > len(calls) / 2


# What was to await it was raised at.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_slave_that_drains_leaves_no_task_without_its_end_whatever_call_raises(stack: ExitStack) -> None:
    watch = stack.enter_context(Watch())
    raised_at_each(stack, watch, DrainScene(watch), DRAIN, most=2)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_master_that_comes_back_finds_the_end_of_each_task_whatever_call_raises(
    stack: ExitStack, tmp_path: Path
) -> None:
    watch = stack.enter_context(Watch())
    raised_at_each(stack, watch, ResumeScene(watch, tmp_path / "master.db"), RESUME, most=2)
