"""One slave that was taken over does its worst, beside three innocent ones: they notice nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from interaction.text import one_line
from tests.hostile.compromised import MOST_GROWTH, scene
from tests.hostile.evil_slave import MISDEEDS

SECONDS = 10.0


@pytest.mark.timeout(240)
def test_innocent_slaves_notice_nothing_of_a_compromised_one(tmp_path: Path) -> None:
    found, log = scene(tmp_path, SECONDS / 60)
    print(f"{found.ends}, the slowest {found.slowest:.1f} s; {found.grown:.0f} MiB; the evil one: {found.evil}")
    assert (found.lost, found.let_go) == ([], [])
    assert set(found.ends) == {"COMPLETED"}
    assert found.grown < MOST_GROWTH
    assert set(found.turns) >= set(MISDEEDS), "each was tried"
    assert "Traceback" not in log
    assert all(one_line(line) == line for line in log.splitlines())
