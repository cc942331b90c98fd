"""Hypothesis looks for data that does not arrive as it was sent."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, NoReturn

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interaction.rpc import payload
from interaction.v1.payload_pb2 import Payload

NAMES = ["$", "$$", "$bytes", "$$bytes", "$ndarray", "$number", "$integer", "buffer", "dtype", "shape"]


def huge(exponent: int, rest: int, sign: int) -> int:
    number: int = sign * (10**exponent + rest)
    return number


texts = st.text(st.characters(codec="utf-8"))  # halves of characters are refused: a test of its own
keys = texts | st.sampled_from(NAMES) | st.builds(lambda count, rest: "$" * count + rest, st.integers(1, 4), texts)
integers = st.integers() | st.builds(huge, st.integers(15, 6000), st.integers(), st.sampled_from([-1, 1]))
scalars = st.none() | st.booleans() | integers | st.floats() | texts | st.sampled_from(["NaN", "-1f"])
arrays = st.sampled_from([np.zeros((0, 2)), np.array(1.5), np.arange(6, dtype=">i2").reshape(2, 3)])
leaves = scalars | st.binary() | arrays


def containers(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    # one entry is the form of a reference: the user's own must not be taken for one
    return st.lists(of, max_size=4) | st.dictionaries(keys, of, max_size=4) | st.dictionaries(keys, of, max_size=1)


data = st.recursive(leaves, containers, max_leaves=15)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down; floats by their bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def over_the_wire(value: object) -> Payload:
    encoded = payload.encode(value, "data")
    assert encoded.size == encoded.message.ByteSize()
    return Payload.FromString(encoded.message.SerializeToString())


def not_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


@settings(max_examples=300)
@given(data)
@example({"$bytes": 0})
@example({"$ndarray": {"buffer": 0, "dtype": "<f4", "shape": [0]}})
@example([b"", {"$integer": "1f"}, {"$number": "NaN"}])
@example({"$": {"$$": {"$$$": b"x"}}})
@example([10**10001, -(10**12345)])
def test_data_arrives_as_it_was_sent(value: object) -> None:
    assert same(payload.decode(over_the_wire(value), "data"), value)


@settings(max_examples=150)
@given(data)
@example([math.nan, -math.inf, {"x": math.inf}, 10**5000])
def test_what_is_written_is_strict_json(value: object) -> None:
    written = over_the_wire(value)
    json.loads(written.json, parse_constant=not_json)
    assert payload.encode(value, "data").size == written.ByteSize()


@settings(max_examples=150)
@given(data)
@example("é" * 100_000)
def test_what_is_written_for_another_process_of_this_side_is_the_same_payload(value: object) -> None:
    assert Payload.FromString(payload.pack(value, "data")) == over_the_wire(value)


@settings(max_examples=150)
@given(data)
def test_writing_is_deterministic(value: object) -> None:
    # two calls with the same task are told apart by their bytes
    first, second = (payload.encode(value, "data").message.SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def referred(value: Any) -> list[int]:
    """The buffers that JSON refers to, as a reader in another language finds them."""
    if isinstance(value, list):
        return [index for item in value for index in referred(item)]
    if not isinstance(value, dict):
        return []
    if value.keys() == {"$bytes"}:
        return [value["$bytes"]]
    if value.keys() == {"$ndarray"}:
        return [value["$ndarray"]["buffer"]]
    return [index for item in value.values() for index in referred(item)]


@settings(max_examples=150)
@given(data)
def test_every_buffer_is_referred_to(value: object) -> None:
    written = over_the_wire(value)
    assert sorted(referred(json.loads(written.json))) == list(range(len(written.buffers)))


plain_keys = texts.filter(lambda text: not text.startswith("$"))
finite = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
plain_data = st.recursive(
    finite, lambda of: st.lists(of, max_size=4) | st.dictionaries(plain_keys, of, max_size=4), max_leaves=15
)


@given(plain_data)
def test_a_parser_that_knows_nothing_else_reads_plain_data(value: object) -> None:
    written = over_the_wire(value)
    assert same(json.loads(written.json), value)
    assert not written.buffers


number_keys = st.integers() | st.floats() | st.booleans() | st.none()


@given(number_keys)
def test_any_number_as_a_key_arrives_as_json_writes_it(key: float | None) -> None:
    assert payload.decode(over_the_wire({key: 1}), "data") == json.loads(json.dumps({key: 1}))
