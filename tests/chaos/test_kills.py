"""The short form of scripts/chaos: real processes, really killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos.kills import Kills


@pytest.mark.timeout(120)
def test_slaves_are_killed_at_any_moment_and_no_task_hangs_doubles_or_runs_twice(tmp_path: Path) -> None:
    kills = Kills(tmp_path, kills=12, slaves=3, seed=1)
    outcome = kills.run()
    assert kills.unexpected == []
    assert outcome.kills == 12
    assert outcome.ended["COMPLETED"] > 12
    assert outcome.ended["LOST"] >= 3, "most kills hit a task"
    assert json.loads(json.dumps(outcome.figures()))["kills"] == 12
    assert max(outcome.known_after) < 5.0  # the tolerance is 15 s; scripts/chaos measures how long it takes
