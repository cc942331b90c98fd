"""Users' data to a Payload and back: what is carried, how it is written, and what is refused where."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from interaction.rpc import payload
from tests.unit.payloads import carried, refusal_of


class EasyDict(dict[str, Any]):
    """As users of DI-engine have it: a dict whose items are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Color(str, enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    SEVEN = 7


Point = namedtuple("Point", ["x", "y"])  # as users have it, untyped


# What users send.


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (EasyDict(env=EasyDict(id="CartPole-v1")), {"env": {"id": "CartPole-v1"}}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (UserDict({"a": 1}), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        (Color.RED, "red"),
        (Number.SEVEN, 7),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (np.float64(0.25), 0.25),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int8(-7), -7),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.bytes_(b"raw"), b"raw"),
        (10**5000, 10**5000),
        (-(10**20000) - 1, -(10**20000) - 1),
        (10**4000 - 1, 10**4000 - 1),
        (10**4000, 10**4000),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_users_send_arrives_as_plain_data(sent: object, arrives: object) -> None:
    result = carried([sent])[0]
    assert result == arrives
    assert type(result) is type(arrives)


@pytest.mark.parametrize("number", [np.float64("nan"), np.float64("inf"), np.float32("-inf"), np.float32("nan")])
def test_non_finite_numpy_scalars_arrive_as_floats(number: Any) -> None:
    result = carried(number)
    assert type(result) is float
    assert result == float(number) or (math.isnan(result) and math.isnan(number))


@pytest.mark.parametrize(
    "number",
    [0.1, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e22, 123456789.123456789, 2.0**60],
)
def test_a_float_arrives_exactly(number: float) -> None:
    result = carried(number)
    assert type(result) is float
    assert result.hex() == number.hex()


@pytest.mark.parametrize("text", ["", "\x00", "Grüße, 世界, 🙂", "\u2028\u2029", '"\\/\b'])
def test_any_unicode_arrives(text: str) -> None:
    assert carried({text: [text]}) == {text: [text]}


# UTF-8 has no spelling for it, and JSON one for the character and for its two halves.
@pytest.mark.parametrize("text", ["\ud800", "\udfff and \ud800", "\ud83d\ude42", "name\udc80"], ids=ascii)
def test_half_a_character_is_refused_with_its_path(text: str) -> None:
    assert refusal_of({"a": [0, text]}).path == "data['a'][1]"
    assert refusal_of({text: 0}).path.startswith("data[")


def test_a_mapping_keeps_its_order() -> None:
    assert list(carried({"b": 1, "a": 2, "c": 3})) == ["b", "a", "c"]


# Keys.


@pytest.mark.parametrize(
    "key",
    [
        7,
        -(10**30),
        2.5,
        -0.0,
        1e100,
        5e-324,
        True,
        False,
        None,
        math.nan,
        math.inf,
        -math.inf,
        Number.SEVEN,
        np.float64(0.25),
        # str() of such a member is "Color.RED", where json.dumps writes "red" (as a value it arrives so).
        Color.RED,
    ],
    ids=repr,
)
def test_a_key_arrives_as_json_writes_it(key: Any) -> None:
    assert carried({key: 1}) == json.loads(json.dumps({key: 1}))


@pytest.mark.parametrize(("key", "arrives"), [(np.int32(9), "9"), (np.float32(0.5), "0.5"), (np.bool_(True), "true")])
def test_a_numpy_scalar_as_a_key_arrives_as_the_number_it_is(key: object, arrives: str) -> None:
    assert carried({key: 1}) == {arrives: 1}


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ([1, "1"], "data['1']"),
        (["1", 1], "data[1]"),
        ([None, "null"], "data['null']"),
        ([True, "true"], "data['true']"),
        ([0.5, "0.5"], "data['0.5']"),
    ],
    ids=repr,
)
def test_keys_that_are_written_alike_are_refused(keys: list[Any], path: str | None) -> None:
    refusal = refusal_of(dict.fromkeys(keys, 0))
    assert path in (None, refusal.path)


@pytest.mark.parametrize(
    "name", ["$", "$$", "$bytes", "$$bytes", "$ndarray", "$number", "$integer", "$x", "$$$", "a$", ""]
)
@pytest.mark.parametrize(
    "value", [0, "NaN", "-1f", {"buffer": 0, "dtype": "<f4", "shape": [1]}, {"$bytes": 0}], ids=repr
)
def test_keys_of_the_users_that_begin_with_a_dollar_arrive(name: str, value: object) -> None:
    for sent in ({name: value}, {name: value, "more": b"bytes"}, [{name: value}, {"$": {name: value}}]):
        assert carried(sent) == sent


# How it is written: payload.proto.


@pytest.mark.parametrize(
    ("sent", "json_text", "buffers"),
    [
        ({"a": [1, 2.5, None, True, "x"]}, '{"a":[1,2.5,null,true,"x"]}', []),
        (b"ab", '{"$bytes":0}', [b"ab"]),
        ([b"", b"ab"], '[{"$bytes":0},{"$bytes":1}]', [b"", b"ab"]),
        (math.nan, '{"$number":"NaN"}', []),
        (math.inf, '{"$number":"Infinity"}', []),
        (-math.inf, '{"$number":"-Infinity"}', []),
        ({"$bytes": 7}, '{"$$bytes":7}', []),
        (
            np.array([[1, 2, 3]], "<f4"),
            '{"$ndarray":{"buffer":0,"dtype":"<f4","shape":[1,3]}}',
            [np.array([1, 2, 3], "<f4").tobytes()],
        ),
        (2**64, "18446744073709551616", []),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_data_is_written_as_the_contract_says(sent: object, json_text: str, buffers: list[bytes]) -> None:
    written = payload.encode(sent, "data").message
    assert json.loads(written.json) == json.loads(json_text)
    assert list(written.buffers) == buffers


def test_an_integer_of_more_than_4000_digits_is_written_in_base_16() -> None:
    assert json.loads(payload.encode(10**4000 - 1, "data").message.json) == 10**4000 - 1
    for number in (10**4000, -(10**4000)):
        assert json.loads(payload.encode(number, "data").message.json) == {"$integer": f"{number:x}"}


def test_none_is_an_empty_mapping_where_a_mapping_is_expected() -> None:
    assert payload.decode(payload.encode_mapping(None, "data", 1 << 20).message, "data") == {}


@pytest.mark.parametrize("value", [[], "text", 1, b"bytes", [("a", 1)]], ids=repr)
def test_what_is_no_mapping_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="data must be a mapping, not"):
        payload.encode_mapping(value, "data", 1 << 20)


# What can't be carried.

THING = object()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (THING, "data"),
        ({"frames": [0, 1, 2, {"x": THING}]}, "data['frames'][3]['x']"),
        ([[1], (2, {3})], "data[1][1]"),
        ({"a": {"b": 1j}}, "data['a']['b']"),
        ({1: {None: THING}}, "data[1][None]"),
        ({"it's": THING}, 'data["it\'s"]'),
        ({"a": {(1, 2): 0}}, "data['a'][(1, 2)]"),
        ({b"a": 0}, "data[b'a']"),
        ({"n": np.array([None])}, "data['n']"),
        ({"n": np.zeros(2, "V8")}, "data['n']"),
        ({"n": np.zeros(2, [("a", "<i4")])}, "data['n']"),
        ({"n": np.datetime64("2020-01-01")}, "data['n']"),
        ({"n": np.complex64(1)}, "data['n']"),
        # NumPy counts it among the integers, but int() raises TypeError.
        ({"n": np.timedelta64(5, "s")}, "data['n']"),
        ({"$x": [THING]}, "data['$x'][0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_carried_is_refused_with_its_path(value: object, path: str) -> None:
    assert refusal_of(value).path == path


def test_a_refusal_names_the_type() -> None:
    assert "numpy.datetime64" in refusal_of([np.datetime64("2020-01-01")]).problem
    assert "set" in refusal_of([{1}]).problem
    assert "tuple" in refusal_of({(1, 2): 0}).problem


def test_a_key_that_is_a_huge_integer_is_refused() -> None:
    assert "digits" in refusal_of({10**4000: 0}).problem


# It would arrive as infinity.
@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="no wider float here")
def test_a_number_beyond_every_double_is_refused() -> None:
    assert refusal_of([np.longdouble("1e4000")]).path == "data[0]"


def test_mappings_are_read_through_their_interface_alone() -> None:
    class Doubled(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return len(key) * 2

        def __iter__(self) -> Any:
            return iter(["a", "bb"])

        def __len__(self) -> int:
            return 2

    assert carried(Doubled()) == {"a": 2, "bb": 4}
