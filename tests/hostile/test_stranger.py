"""A stranger, and a slave that calls itself a master: what `scripts/hostile` measures with a hundred tries each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import roles
from tests.hostile.stranger import AGAIN, SET_UPS, SOON, tried, unguarded

TRIES = 5


@pytest.mark.parametrize("name", SET_UPS)
def test_a_stranger_gets_nothing_and_holds_nobody_up(tmp_path: Path, name: str) -> None:
    with SET_UPS[name](tmp_path) as scene:
        found = tried(scene, TRIES)
    assert (found.sessions, found.tasks, found.dials) == (0, 0, 0)
    assert found.slowest < 5 * SOON  # on a machine that is busy with other tests


def test_a_slaves_certificate_is_no_masters_and_no_other_slaves(tmp_path: Path) -> None:
    refused, unharmed = roles.tried(tmp_path, TRIES)
    assert refused == dict.fromkeys(("Connect", "NewTask", "Work", "Heartbeat", "ReportResult"), TRIES)
    assert unharmed


def test_with_nothing_in_force_a_stranger_runs_no_task_in_a_masters_name_and_keeps_the_slave_from_nobody() -> None:
    """Before, the task ran, and a dead address kept the slave for as long as its lease: a day."""
    tasks, seconds, flooded = unguarded(TRIES)
    assert tasks == 0
    assert max(seconds, flooded) < AGAIN
