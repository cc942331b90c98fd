"""The vectors beside the contract: what every implementation reads, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from interaction.exception import PayloadError
from interaction.rpc import payload
from tests.vectors import assert_means, payload_of, vectors

all_vectors = pytest.mark.parametrize("vector", vectors(), ids=lambda vector: str(vector["name"]))


@all_vectors
def test_a_payload_means_what_the_vectors_say(vector: dict[str, Any]) -> None:
    message = payload_of(vector)
    if "refused" in vector:
        with pytest.raises(PayloadError):
            payload.decode(message, "data")
    else:
        assert_means(payload.decode(message, "data"), vector["meaning"])


@pytest.mark.parametrize(
    "vector", [one for one in vectors() if "meaning" in one], ids=lambda vector: str(vector["name"])
)
def test_what_was_read_is_written_so_that_it_means_the_same(vector: dict[str, Any]) -> None:
    written = payload.encode(payload.decode(payload_of(vector), "data"), "data").message
    assert_means(payload.decode(written, "data"), vector["meaning"])


def test_the_vectors_are_told_apart_by_their_names() -> None:
    names = [vector["name"] for vector in vectors()]
    assert len(names) > 200
    assert len(names) == len(set(names))
