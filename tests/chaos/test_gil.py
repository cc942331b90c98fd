"""The short form of `python -m tests.chaos.gil`: slaves at once hold their GIL for longer than the tolerance."""

from __future__ import annotations

import sys

import pytest

from tests.chaos.gil import Held, hold


@pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")
@pytest.mark.timeout(120)
def test_slaves_that_hold_their_gil_all_at_once_are_not_lost() -> None:
    assert hold(seconds=8.0, slaves=3, rounds=2, tolerance=6.0) == Held(tasks=6, completed=6)
