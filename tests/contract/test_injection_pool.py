"""Whatever raises in the life of a pool's job, at whatever call: it comes to one end, and the pool goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from interaction.core import again, dispatch, member
from interaction.master import fast_road
from tests.contract.injection import AioHome, Harsh, Injected, PlainHome, Watch, every_call
from tests.contract.injection_pool import PoolScene, Unsteady

# The rooms of pools, and those that they call in; what else is called is raised at in the life of a task.
POOLS = ("master/pool", "master/base_pool.", "aio/pool.", "master/crew.", "core/dispatch.", "core/member.")
ROOMS = (
    "core/again.",
    "core/depth.",
    "core/patience.",
    "rpc/strand.",
    "waiters.",
    "master/base_connection.",
    "master/base_task.",
)
WHERE = {"live": POOLS + ROOMS, "live_between_sessions": (*POOLS, "master/roster."), "live_to_its_end": POOLS + ROOMS}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[tuple[Watch, PoolScene]]:
    """Nothing is logged, and nothing is waited for longer than must be."""
    monkeypatch.setattr(fast_road, "ACKNOWLEDGE_WITHIN", 0.001)
    monkeypatch.setattr(again, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(member, "FIRST_REST", 0.001)
    monkeypatch.setattr(dispatch, "LONGEST_REST", 0.01)
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.NOTSET)
        watch = stack.enter_context(Watch())
        slave = Unsteady("127.0.0.1", 0, pacemaker=False, request_timeout=1.0, request_retry_waiting=0.05, backlog=1)
        slave.start()
        stack.callback(slave.close)
        options = {"request_retries": 0, "request_timeout": 1.0}
        home = PlainHome(**options) if request.param == "plain" else AioHome(**options)
        stack.callback(home.close)
        yield watch, PoolScene(watch, home, slave)


# What was to await it was raised at.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("scene", "life"),
    [
        ("plain", "live"),
        ("aio", "live"),
        ("plain", "live_to_its_end"),
        ("aio", "live_to_its_end"),
        ("plain", "live_between_sessions"),  # which neither facade has a part in
    ],
    indirect=["scene"],
)
def test_a_job_has_one_end_and_its_pool_goes_on_whatever_call_raises(scene: tuple[Watch, PoolScene], life: str) -> None:
    watch, stage = scene
    live = getattr(stage, life)
    calls = [call for call in every_call(live, most=2) if call[0].startswith(WHERE[life])]
    assert len(calls) > 40
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
