"""Payloads that others wrote: read where they can be, refused where not, and nothing else ever."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interaction.exception import PayloadError
from interaction.rpc import payload
from interaction.v1.payload_pb2 import Payload
from tests.unit.test_payload_properties import data


def read(json_text: str, *buffers: bytes) -> Any:
    return payload.decode(Payload(json=json_text, buffers=buffers), "data")


def read_value(value: Any) -> Any:
    message = struct_pb2.Value()
    json_format.ParseDict(value, message)
    return payload.decode(Payload(value=message), "data")


def bytes_of_arrays(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(bytes_of_arrays, items))


def decode_or_refuse(message: Payload) -> None:
    """Anything but these two ends is a failure; and what is read needs no more room than what came."""
    try:
        value = payload.decode(message, "data")
    except PayloadError:
        pass
    else:
        referred = message.json.count("$ndarray") or 1  # several arrays may refer to one buffer
        assert bytes_of_arrays(value) <= referred * sum(map(len, message.buffers))


# Read.


@pytest.mark.parametrize(
    ("json_text", "buffers", "value"),
    [
        (' { "a" : [ 1 , 2.50 , null ] } \n', [], {"a": [1, 2.5, None]}),
        ('{"a": 1, "a": 2}', [], {"a": 2}),
        ("1e2", [], 100.0),
        ("-0.0", [], -0.0),
        ("12345678901234567890123", [], 12345678901234567890123),
        ('"\\ud83d\\ude42"', [], "🙂"),
        ("[]", [b"unused"], []),
        ('[{"$bytes": 0}, {"$bytes": 0}]', [b"x"], [b"x", b"x"]),
        ('{"$integer": "-1f"}', [], -31),
        ('{"$integer": "0"}', [], 0),
        ('{"$number": "-Infinity"}', [], -math.inf),
        ('{"$$bytes": 0}', [b"x"], {"$bytes": 0}),
        ('{"$$$": {"$$": 1}}', [], {"$$": {"$": 1}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_others_write_is_read(json_text: str, buffers: list[bytes], value: Any) -> None:
    result = read(json_text, *buffers)
    assert type(result) is type(value)
    assert result == value or (isinstance(value, float) and math.isnan(value) and math.isnan(result))


# JSON may spell `$` as \u0024, and a payload with such a spelling may hold no other `$`, and no buffer.
@pytest.mark.parametrize(
    ("json_text", "value"), [('{"\\u0024integer": "1f"}', 31), ('{"\\u0024\\u0024x": 1}', {"$x": 1})]
)
def test_a_dollar_may_be_spelled_as_an_escape(json_text: str, value: object) -> None:
    assert read(f'[{json_text}, {{"$$": 0}}]') == [value, {"$": 0}]
    assert read(json_text) == value


def test_a_payload_without_content_is_an_empty_mapping() -> None:
    assert payload.decode(Payload(), "data") == {}
    assert payload.decode_mapping(Payload(), "data") == {}


# Read, as a `value`.


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ({"a": 1, "b": [1.5, True, None, "x", {}]}, {"a": 1, "b": [1.5, True, None, "x", {}]}),
        (2**53, 2**53),
        (-(2**53), -(2**53)),
        (0.5, 0.5),
        ({"$number": "Infinity"}, math.inf),
        ({"$integer": "1f"}, 31),
        ({"$$x": 1}, {"$x": 1}),
        ([], []),
    ],
    ids=repr,
)
def test_a_protobuf_value_is_read_as_json_is(typed: object, value: object) -> None:
    result = read_value(typed)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("number", [1e300, 2.0**60, -(2.0**54)])
def test_a_number_beyond_2_to_the_53_stays_a_float(number: float) -> None:
    assert type(read_value(number)) is float
    assert read_value(number) == number


def test_a_value_may_refer_to_buffers() -> None:
    message = struct_pb2.Value()
    json_format.ParseDict({"b": {"$bytes": 1}, "a": {"$ndarray": {"buffer": 0, "dtype": "<u2", "shape": [1]}}}, message)
    result = payload.decode(Payload(value=message, buffers=[b"\x01\x00", b"x"]), "data")
    assert result["b"] == b"x"
    np.testing.assert_array_equal(result["a"], np.array([1], "<u2"))


def test_a_value_of_no_kind_is_none() -> None:
    assert payload.decode(Payload(value=struct_pb2.Value()), "data") is None


@pytest.mark.parametrize(("number", "read_as"), [(math.inf, math.inf), (math.nan, math.nan)])
def test_a_value_that_is_not_finite_is_a_float(number: float, read_as: float) -> None:
    result = payload.decode(Payload(value=struct_pb2.Value(number_value=number)), "data")
    assert result == read_as or (math.isnan(result) and math.isnan(read_as))


# Refused.

ARRAY = '{"x": {"$ndarray": {"buffer": 0, "dtype": %s, "shape": %s}}}'


@pytest.mark.parametrize(
    ("json_text", "path"),
    [
        ("", "data"),
        ("{", "data"),
        ("{'a': 1}", "data"),
        ("[1,]", "data"),
        ("\ufeff{}", "data"),
        ("[1] 2", "data"),
        ("undefined", "data"),
        ("[NaN]", "data"),  # strict JSON has none of these
        ('{"a": -Infinity}', "data"),
        ('{"a": [0, {"$bytes": 1}]}', "data['a'][1]"),
        ('{"$$a": {"$bytes": 99999999999999999999}}', "data['$$a']"),
        ("1" * 5000, "data"),
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_read_is_refused_with_its_path(json_text: str, path: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read(json_text, b"x")
    assert caught.value.path == path


@pytest.mark.parametrize("dtype", ["O", "|O8", "|V8", "V", "i4,f8", "<f4[:]", "f4", "<i3", "<f4[ns]", "", "<", "<U-1"])
def test_a_dtype_that_is_not_carried_is_refused(dtype: str) -> None:
    with pytest.raises(PayloadError, match="dtype"):
        read(ARRAY % (json.dumps(dtype), "[1]"), b"1234")


@pytest.mark.parametrize("dtype", ["null", "4", '["<f4"]', '{"a": "<f4"}', '[["a", "<i4"]]'])
def test_a_dtype_that_is_no_string_is_refused(dtype: str) -> None:
    with pytest.raises(PayloadError):
        read(ARRAY % (dtype, "[1]"), b"1234")


NO_SHAPES = ["[2]", "[-1]", "[0]", "[1, -1]", "[1.0]", "[true]", '["1"]', "[null]", "1", "null", "{}", "[[1]]"]
HUGE_SHAPES = [f"[{2**62}]", f"[{2**70}]", f"[{10**300}, 0]", f"[0, {2**62}]", f"[0, {2**70}]", f"[{2**32}, {2**32}]"]


@pytest.mark.parametrize("shape", [*NO_SHAPES, *HUGE_SHAPES, str([1] * 65)], ids=lambda shape: shape[:20])
def test_a_shape_that_does_not_fit_is_refused(shape: str) -> None:
    with pytest.raises(PayloadError):
        read(ARRAY % ('"<f4"', shape), b"1234")
    decode_or_refuse(Payload(json=ARRAY % ('"<f4"', shape), buffers=[b""]))


# numpy.zeros makes an element of no bytes one of a character, so that a few bytes on the wire could take any amount of
# memory.
@pytest.mark.parametrize("dtype", ["<U0", "|S0"])
@pytest.mark.parametrize("shape", [[1], [1000, 1000], [10**15]], ids=str)
def test_an_array_of_nothing_takes_no_memory(dtype: str, shape: list[int]) -> None:
    decode_or_refuse(Payload(json=ARRAY % (json.dumps(dtype), shape), buffers=[b""]))


def test_a_shape_is_compared_before_anything_is_allocated() -> None:
    text = ARRAY % ('"<f8"', "[1000, 1000, 1000]")
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError):
            read(text, b"12345678")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("depth", [200, 900, 100_000])
def test_what_nests_deep_is_read_or_refused(depth: int) -> None:
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, '{"$":' * depth + "1" + "}" * depth):
        decode_or_refuse(Payload(json=text))


@pytest.mark.parametrize("buffers", [[], [b"x"]], ids=["plain", "with a buffer"])
def test_json_that_nests_deeper_than_200_is_refused(buffers: list[bytes]) -> None:
    assert read("[" * 200 + "]" * 200, *buffers)
    with pytest.raises(PayloadError, match="200"):
        read("[" * 201 + "]" * 201, *buffers)


@pytest.mark.parametrize("depth", [31, 250, 5000])
def test_a_value_that_nests_too_deep_is_refused(depth: int) -> None:
    message = Payload()
    innermost = message.value
    for _ in range(depth):
        innermost = innermost.list_value.values.add()
    with pytest.raises(PayloadError, match="30 levels"):
        payload.decode(message, "data")


@pytest.mark.parametrize("json_text", ["[]", '"text"', "1", "null", "true", '{"$bytes": 0}', '{"$number": "NaN"}'])
def test_what_is_no_mapping_is_refused_where_one_is_expected(json_text: str) -> None:
    with pytest.raises(PayloadError, match="expected a mapping"):
        payload.decode_mapping(Payload(json=json_text, buffers=[b"x"]), "data")


# Anything.

NAMES = ["$bytes", "$ndarray", "$number", "$integer", "$$bytes", "$", "buffer", "dtype", "shape", "a"]
DTYPES = ["O", "|V8", "i4,f8", "<f4[:]", "<f4", ">i2", "|b1", "<U0", "<U1", "|S0", "|S3", "<M8", "<M8[0s]", "<m8[25s]"]
dtypes = st.sampled_from(DTYPES) | st.from_regex(r"[<>|=]?[a-zA-Z][0-9]{0,12}(\[[0-9A-Za-z:/]{0,6}\])?", fullmatch=True)
sizes = st.integers(-2, 5) | st.sampled_from([2**31, 2**62, 2**63, 2**64, 10**30]) | st.floats() | st.none()
forms = st.fixed_dictionaries({"buffer": st.integers(-1, 3), "dtype": dtypes, "shape": st.lists(sizes, max_size=4)})
numbers = st.integers(-3, 3) | st.integers() | st.floats()
wild_leaves = st.none() | st.booleans() | numbers | st.text(max_size=5) | dtypes
wild = st.recursive(
    wild_leaves | forms | st.builds(lambda form: {"$ndarray": form}, forms),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.sampled_from(NAMES), of, max_size=3),
    max_leaves=12,
)
buffers = st.lists(st.binary(max_size=24), max_size=3)


@settings(max_examples=300)
@given(wild, buffers)
@example({"$ndarray": {"buffer": 0, "dtype": "<U0", "shape": [3]}}, [b""])
@example({"$ndarray": {"buffer": 0, "dtype": "<M8[0s]", "shape": [1]}}, [b"12345678"])
def test_any_objects_with_dollars_are_read_or_refused(value: object, buffers: list[bytes]) -> None:
    decode_or_refuse(Payload(json=json.dumps(value), buffers=buffers))


@settings(max_examples=150)
@given(wild, buffers)
def test_any_protobuf_value_is_read_or_refused(value: Any, buffers: list[bytes]) -> None:
    message = struct_pb2.Value()
    try:
        json_format.ParseDict(value, message)
    except json_format.ParseError:  # NaN
        return
    decode_or_refuse(Payload(value=message, buffers=buffers))


@given(st.text(), buffers)
def test_any_text_is_read_or_refused(text: str, buffers: list[bytes]) -> None:
    decode_or_refuse(Payload(json=text, buffers=buffers))


@settings(max_examples=300)
@given(data, st.data())
def test_a_valid_payload_that_was_damaged_is_read_or_refused(value: object, draw: st.DataObject) -> None:
    written = payload.encode(value, "data").message
    text = written.json
    start = draw.draw(st.integers(0, len(text)))
    end = draw.draw(st.integers(start, min(start + 8, len(text))))
    inserted = draw.draw(st.sampled_from(["", "0", "-", '"', "[", "}", "$", '"$bytes":', "1e999", "\\ud800", "9" * 50]))
    kept = draw.draw(st.integers(0, len(written.buffers)))
    damaged = [buffer[: draw.draw(st.integers(0, len(buffer)))] for buffer in written.buffers[:kept]]
    decode_or_refuse(Payload(json=text[:start] + inserted + text[end:], buffers=damaged))
