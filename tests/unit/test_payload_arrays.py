"""NumPy arrays: they arrive with equal values, dtype and shape, and writable."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from interaction.exception import PayloadError
from interaction.rpc import payload
from interaction.v1.payload_pb2 import Payload

Array = npt.NDArray[Any]
GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def carried(value: object) -> Any:
    return payload.decode(Payload.FromString(payload.encode(value, "data").message.SerializeToString()), "data")


def assert_arrives(array: Array) -> None:
    result = carried({"a": [array]})["a"][0]
    assert type(result) is np.ndarray
    assert (result.dtype, result.dtype.str, result.shape) == (array.dtype, array.dtype.str, array.shape)
    assert result.tobytes() == array.tobytes()
    assert result.flags.writeable
    assert result.base is None  # it keeps nothing else alive


NUMBERS = "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16 g G"
OTHERS = "S5 U5 M8 M8[s] M8[D] M8[ns] M8[25s] m8 m8[ms] m8[Y]"


@pytest.mark.parametrize("dtype", f"{NUMBERS} {OTHERS}".split())
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_dtype_that_is_carried(dtype: str, order: str) -> None:
    array = np.frombuffer(bytes(range(1, 97)) * 20, np.uint8)[: 96 * 16]
    kind = np.dtype(dtype).newbyteorder("little" if order == "<" else "big")
    whole = array[: array.size // kind.itemsize * kind.itemsize]
    assert_arrives(whole.view(kind) if dtype != "?" else (whole % 2).astype(bool))


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.array("text"),
        np.array(7, ">i2"),
        np.zeros(0),
        np.zeros((0, 3), np.uint8),
        np.zeros((3, 0, 2), "<U4"),
        np.zeros((1,) * 32),
        GRID.T,
        np.asfortranarray(GRID),
        GRID[::-1, ::2, 1:],
        np.broadcast_to(np.float32(1), (3, 4)),
        np.array(["", "a", "äöü", "🙂"]),
        np.array([b"", b"\x00a\x00"]),
        np.array([-0.0, np.nan, np.inf, 5e-324]),
        np.array(["2020-01-01", "NaT"], "M8[us]"),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_every_shape_and_layout(array: Array) -> None:
    assert_arrives(array)


def test_the_content_is_in_row_major_order() -> None:
    written = payload.encode(GRID.T, "data").message
    assert written.buffers[0] == np.ascontiguousarray(GRID.T).tobytes()


def test_an_array_that_arrived_shares_nothing_with_another() -> None:
    first, second = carried([GRID, GRID])
    first[...] = 0
    np.testing.assert_array_equal(second, GRID)


def test_a_read_only_array_is_carried() -> None:
    array = GRID.copy()
    array.flags.writeable = False
    assert_arrives(array)


def test_a_memory_map_arrives_as_an_array() -> None:
    assert type(carried(GRID.view(np.memmap))) is np.ndarray


# Its content alone would arrive with numbers (999999) in the place of what is masked.
def test_a_masked_array_is_refused_or_keeps_its_mask() -> None:
    with pytest.raises(PayloadError, match=r"data\['m'\]"):
        payload.encode({"m": np.ma.array([1, 2], mask=[False, True])}, "data")


# NumPy 2 has up to 64 dimensions.
def test_what_is_sent_of_many_dimensions_is_read() -> None:
    array = np.zeros((1,) * 32)
    while array.ndim < 64:
        try:
            array = array[np.newaxis]
        except (IndexError, ValueError):  # NumPy 1 stops at 32
            break
    try:
        written = payload.encode(array, "data").message
    except PayloadError:
        return
    assert payload.decode(written, "data").shape == array.shape


@pytest.mark.parametrize(
    "array",
    [
        np.array([None]),
        np.array([], dtype=object),
        np.zeros(2, [("a", "<i4")]),
        np.zeros(2, [("a", object)]),
        np.zeros(2, "V8"),
        np.zeros(2, [("a", "<i4")]).view(np.recarray),
    ],
    ids=lambda array: str(array.dtype),
)
def test_objects_records_and_raw_memory_are_refused(array: Array) -> None:
    with pytest.raises(PayloadError, match=r"^data\['x'\]\[1\]: "):
        payload.encode({"x": [0, array]}, "data")


if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # an older one has none

    def test_strings_of_any_length_are_refused() -> None:
        with pytest.raises(PayloadError):
            payload.encode(np.array(["a"], dtype=np.dtypes.StringDType()), "data")


def test_without_numpy_an_array_is_refused_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    written, plain = (payload.encode(value, "data").message for value in ({"a": GRID}, {"b": b"x"}))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(PayloadError, match="NumPy is not installed"):
        payload.decode(written, "data")
    assert payload.decode(plain, "data") == {"b": b"x"}


carried_dtypes = (
    nps.boolean_dtypes()
    | nps.integer_dtypes(endianness="?")
    | nps.unsigned_integer_dtypes(endianness="?")
    | nps.floating_dtypes(endianness="?")
    | nps.complex_number_dtypes(endianness="?")
    | nps.datetime64_dtypes(endianness="?")
    | nps.timedelta64_dtypes(endianness="?")
    | nps.byte_string_dtypes(min_len=1)
    | nps.unicode_string_dtypes(endianness="?", min_len=1)
)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    shape = draw(nps.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    array: Array = draw(nps.arrays(draw(carried_dtypes), shape))
    if draw(st.booleans()):
        array = array.T
    if array.ndim and draw(st.booleans()):
        array = array[:: draw(st.sampled_from([-1, 2, -2]))]
    return array


@given(arrays())
def test_any_array_arrives(array: Array) -> None:
    assert_arrives(array)


EXACT = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant


@pytest.mark.parametrize(
    "scalar",
    [
        np.datetime64("2020-01-01"),
        np.timedelta64(3, "s"),
        np.complex64(1j),
        np.complex128(1j + 2),
        pytest.param(np.longdouble(1) / 3, marks=pytest.mark.skipif(not EXACT, reason="a double here")),
        pytest.param(-np.longdouble("1e4000"), marks=pytest.mark.skipif(not EXACT, reason="a double here")),
    ],
    ids=lambda scalar: f"{type(scalar).__name__} {scalar}",
)
def test_a_scalar_that_no_json_number_equals_is_refused_and_carried_as_the_array_that_the_refusal_names(
    scalar: Any,
) -> None:
    """A longdouble was rounded in silence."""
    with pytest.raises(PayloadError) as raised:
        payload.encode({"a": [scalar]}, "data")
    said = str(raised.value)
    assert said.startswith("data['a'][0]: the scalar ")
    assert f"numpy.{type(scalar).__name__} can't be carried; as an array it can (numpy.asarray)" in said
    assert ("or float() of it" in said) == isinstance(scalar, np.floating)
    assert_arrives(np.asarray(scalar))


@pytest.mark.parametrize("number", [0.5, -1.0, 1e300, np.inf, -np.inf])
def test_a_longdouble_that_is_a_double_arrives_as_that(number: float) -> None:
    assert carried([np.longdouble(number)]) == [number]
    assert np.isnan(carried([np.longdouble("nan")])[0])


def test_what_is_not_carried_as_an_array_either_has_no_such_remedy() -> None:
    with pytest.raises(PayloadError, match=r"values of type numpy.void can't be carried; None, bool, .* NumPy arrays"):
        payload.encode([np.void(b"12")], "data")
