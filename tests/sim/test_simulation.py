"""The core in virtual time: no run goes wrong, any run can be had again, and planted bugs are caught."""

from __future__ import annotations

import pytest

from interaction.core.task import TaskStatus
from tests.sim.bugs import BUGS, caught_at
from tests.sim.history import History
from tests.sim.road_bugs import ROAD_BUGS
from tests.sim.run import Run

SEEDS = 200  # scripts/simulate runs as many as you like
CAUGHT_WITHIN = 300  # seeds; `scripts/simulate --bug NAME` says which


def story_of(history: History) -> list[tuple[str, float, list[tuple[float, TaskStatus]], list[float], object]]:
    """All that happened, with every time."""
    return [(name, one.started_at, one.ends, one.executions, one.result) for name, one in history.tasks.items()]


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_no_run_breaks_the_promise(first: int) -> None:
    wrong = {seed: violations for seed in range(first, first + 20) if (violations := Run(seed).go().violations)}
    assert not wrong


def test_runs_are_about_something() -> None:
    """A simulation in which nothing happens finds nothing."""
    counts = History().counts
    for seed in range(100):
        for name, number in Run(seed).go().counts.items():
            counts[name] += number
    happened = {"COMPLETED", "LOST", "START_FAILED", "EXITED", "RESTARTED", "SILENT", "DISCONNECTED"} | {
        "DRAINED",
        "RETURNED",
        "not begun",
    }
    happened |= {"streams broken", "streams closed", "sent by a stream", "results by a stream", "left over by a stream"}
    happened |= {"refused with TASK_ALREADY_EXIST", "refused with TASK_REFUSED", "no answer"}
    happened |= {"master restarted", "resumed", "acknowledged RECORDED", "acknowledged DUPLICATE", "acknowledged STALE"}
    assert {name for name in happened if counts[name] >= 3} == happened


@pytest.mark.parametrize("seed", [0, 7, 12])
def test_a_seed_gives_the_same_run_again(seed: int) -> None:
    first, again = Run(seed).go(), Run(seed).go()
    assert story_of(first) == story_of(again)
    assert first.losses == again.losses


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    assert caught_at(bug, range(CAUGHT_WITHIN)) is not None


def test_there_are_enough_bugs_to_believe_in_the_judge() -> None:
    assert len(BUGS) >= 10
    assert len(ROAD_BUGS) >= 6
