"""Warnings that others may cause as often as they like."""

from __future__ import annotations

import asyncio
import logging

import pytest

from interaction.rpc import seldom
from interaction.rpc.seldom import MOST, Seldom

LOG = logging.getLogger("interaction.test")


def test_a_few_are_written_and_then_how_many_were_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seldom, "SECONDS", 0.2)

    async def warn() -> None:
        lines = Seldom(LOG)
        for number in range(100):
            lines.warn("it was %d", number)
        assert warnings() == [f"it was {number}" for number in range(MOST)]
        while len(warnings()) == MOST:
            await asyncio.sleep(0.01)
        assert warnings()[-1] == f"the same {100 - MOST} times more within 0.2 s, told at DEBUG"
        lines.warn("later")
        assert warnings()[-1] == "later"

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    with caplog.at_level(logging.DEBUG):
        asyncio.run(warn())
    assert "it was 99" in caplog.text, "at DEBUG"


def test_where_none_was_left_out_nothing_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seldom, "SECONDS", 0.05)

    async def warn() -> None:
        Seldom(LOG).warn("once")
        await asyncio.sleep(0.1)  # until its minute is over

    asyncio.run(warn())
    assert [record.getMessage() for record in caplog.records] == ["once"]
