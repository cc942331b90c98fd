"""The short form of scripts/fuzz, and that it finds what is there to be found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interaction.exception import PayloadError
from interaction.rpc import payload
from tests.hostile import fuzz
from tests.hostile.fuzz import DECODERS, made, tried


@pytest.mark.parametrize("name", DECODERS)
def test_no_input_makes_a_decoder_crash(name: str) -> None:
    assert tried(name, 2, range(2_000)) == []


@pytest.mark.parametrize("name", DECODERS)
def test_an_input_can_be_made_again(name: str) -> None:
    assert [repr(made(name, 3, number)) for number in range(20)] == [repr(made(name, 3, n)) for n in range(20)]


def test_most_inputs_are_different_and_many_are_read() -> None:
    """A fuzzer whose inputs are all refused at the door finds nothing behind it."""
    assert len({repr(made("json", 4, number)) for number in range(500)}) > 400
    read = refused = 0
    for number in range(500):
        try:
            payload.decode(made("json", 4, number), "data")
            read += 1
        except PayloadError:
            refused += 1
    assert read > 50
    assert refused > 50


def test_a_crash_is_found_and_names_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(content: Any) -> None:
        if "$ndarray" in content.json:
            raise KeyError("buffer")

    monkeypatch.setitem(DECODERS, "json", replace(DECODERS["json"], read=careless))
    crashes = tried("json", 5, range(300))
    assert crashes
    again = crashes[0]
    assert "$ndarray" in made(again.decoder, again.seed, again.number).json
    assert again.problem == "KeyError: 'buffer'"


def test_what_takes_too_long_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.0)
    assert tried("json", 6, range(1))[0].problem.startswith("took")
