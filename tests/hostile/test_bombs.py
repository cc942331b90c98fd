"""The short form of scripts/fuzz --bombs, and that it finds what is there to be found."""

from __future__ import annotations

import random

import pytest

from interaction.rpc import text_limit
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2 import NewTaskRequest
from tests.hostile import bombs
from tests.hostile.bombs import made, tried


@pytest.mark.parametrize("number", range(24))
@pytest.mark.timeout(120)
def test_reading_takes_three_times_what_came_and_64_mib_and_others_run_meanwhile(number: int) -> None:
    found = tried(7, number)
    assert found.problem == "", found


def test_a_bomb_can_be_made_again() -> None:
    assert made(3, 5) == made(3, 5)
    assert len({made(3, number)[0] for number in range(30)}) > 5


def test_a_bomb_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_limit, "LIGHT", 1 << 40)  # nothing is weighed
    assert "took" in bombs.read("call small", _bomb()).problem


def test_a_bomb_of_many_parts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of which is bounded."""
    content = bombs.tasks(random.Random(1), [Payload(json='{"a":' + bombs.repeated("[]", bombs.MIB - 10) + "}")] * 8)
    assert bombs.read("tasks small", content).problem == ""
    monkeypatch.setattr(text_limit, "allowance_of", lambda payloads, size: None)
    assert "took" in bombs.read("tasks small", content).problem


def _bomb() -> bytes:
    request = NewTaskRequest()
    request.task.data.json = bombs.repeated("[]", 8 * bombs.MIB - 10)
    content: bytes = request.SerializeToString()
    return content
