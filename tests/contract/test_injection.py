"""Whatever raises in a task's life, at whatever call: it comes to one end, its slot is free, and the next task runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from interaction.master import fast_road
from tests.contract.injection import AioHome, Harsh, Injected, PlainHome, Scene, Watch, Worker, every_call

PARTS = 3  # of the calls, each a test of its own


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is logged, and nothing is waited for longer than must be."""
    monkeypatch.setattr(fast_road, "ACKNOWLEDGE_WITHIN", 0.001)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture
def scene(quiet: None, request: pytest.FixtureRequest) -> Iterator[tuple[Watch, Scene]]:
    facade, road, isolation = request.param
    with ExitStack() as stack:
        watch = stack.enter_context(Watch())
        slave = Worker(
            "127.0.0.1",
            0,
            pacemaker=False,
            isolation=isolation,
            fast_road=road == "stream",
            request_timeout=1.0,
            request_retry_waiting=0.05,
        )
        slave.start()
        stack.callback(slave.close)
        slave.watch = watch
        options = {"request_retries": 0, "request_timeout": 1.0}
        home = PlainHome(**options) if facade == "plain" else AioHome(**options)
        stack.callback(home.close)
        yield watch, Scene(watch, home, slave)


SCENES = [
    (facade, road, isolation)
    for isolation in ("thread", "process")
    for road in ("stream", "calls")
    for facade in ("plain", "aio")
    if facade == "plain" or isolation == "thread"  # the master knows nothing of the isolation
]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scene", SCENES, ids="-".join, indirect=True)
def test_a_task_has_one_end_whatever_call_of_its_life_raises(scene: tuple[Watch, Scene], part: int) -> None:
    watch, stage = scene
    calls = every_call(stage.live, most=3)
    assert len(calls) > 150
    hit = 0
    for index, call in enumerate(calls[part::PARTS]):
        kind = Harsh if index % 3 == 0 else Injected
        try:
            stage.live(call, kind)
            hit += watch.raised
            stage.go_on()
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__} at {call}: {error}") from error
    assert hit > len(calls) / PARTS / 2
    assert stage.connects < hit / 5


@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning"
)  # what was to await it was raised at
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("scene", SCENES[:1], ids="-".join, indirect=True)
def test_no_session_is_left_that_nobody_has_whatever_call_of_its_life_raises(
    scene: tuple[Watch, Scene], part: int
) -> None:
    watch, stage = scene
    calls = every_call(stage.live_session, most=2)
    assert len(calls) > 100
    hit = 0
    for index, call in enumerate(calls[part::2]):
        kind = Harsh if index % 3 == 0 else Injected
        try:
            stage.live_session(call, kind)
            hit += watch.raised
            stage.go_on()  # within less than a lease
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__} at {call}: {error}") from error
    assert hit > len(calls) / 4
