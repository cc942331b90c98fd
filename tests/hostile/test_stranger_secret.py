"""The short form of a figure: who lacks the secret gets nothing of a free slave, and is in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.figures import Effort
from tests.hostile.stranger_secret import KINDS, measure, scene


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_secret_nothing_begins_and_a_real_master_is_connected_at_once(kind: str) -> None:
    found = scene(kind, 100)
    assert (found.sessions, found.tasks, found.dials) == (0, 0, 0)
    assert found.connected < 10.0, "it shares the machine"


def test_where_there_is_none_something_begins() -> None:
    """So what is counted here is seen."""
    assert scene(KINDS[0], 1, secret=()).dials > 0


def test_the_table_has_a_line_for_each(tmp_path: Path) -> None:
    assert len(measure(tmp_path, Effort(tries=4))) == len(KINDS)
