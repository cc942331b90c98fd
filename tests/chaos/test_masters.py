"""The short form of the master's deaths: killed with a journal, it loses nothing, and nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.masters import run


@pytest.mark.timeout(180)
def test_a_master_is_killed_at_any_moment_and_no_task_is_lost_doubled_or_run_twice(tmp_path: Path) -> None:
    outcome = run(tmp_path, kills=4, slaves=2, seed=1)
    assert outcome.unexpected == []
    assert outcome.kills == 4
    assert outcome.told["COMPLETED"] > 4
    assert outcome.tasks <= sum(outcome.told.values()) + outcome.cut_off
