"""NumPy arrays to bytes and back. NumPy is imported only where an array arrives."""

from __future__ import annotations

import io
import math
import re
import sys
from typing import TYPE_CHECKING, Any

from interaction.rpc.unfit import shown

if TYPE_CHECKING:
    import numpy

_KINDS = "biufcmMSU"  # no objects (they would need pickle), no records, no raw void
_MAX_DIMENSIONS = 64  # NumPy's own limit since 2.0
_MAX_SIZE = 2**63  # of a dimension: the product of longer numbers takes a second, and none is a size
_LARGE = 64 * 1024  # bytes; content that is longer is not copied
_DTYPE = re.compile(
    r"\|[biu]1|[<>][iu][248]|[<>]f(2|4|8|16)|[<>]c(8|16|32)|\|S[1-9][0-9]{0,8}|[<>]U[1-9][0-9]{0,7}"
    r"|[<>][mM]8(\[([1-9][0-9]{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
)


def is_array(value: object) -> bool:
    """Whether the value is a NumPy array; without NumPy nothing is."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def scalar_of(value: object) -> bool | int | float | None:
    """The plain number behind a NumPy scalar; None for anything else, and for a longdouble that is no double."""
    numpy = sys.modules.get("numpy")
    if numpy is None or isinstance(value, numpy.timedelta64):  # which NumPy counts among the integers
        return None
    if isinstance(value, numpy.bool_):
        return bool(value)
    if isinstance(value, numpy.integer):
        return int(value)
    if isinstance(value, numpy.floating):
        number = float(value)
        return number if number == value or math.isnan(number) else None
    return None


def remedy_for(value: object) -> str | None:
    """What carries a NumPy scalar that is no plain number; None where nothing does."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic) or value.dtype.kind not in _KINDS:
        return None
    rounded = ", or float() of it, which rounds" if isinstance(value, numpy.floating) else ""
    return f"as an array it can (numpy.asarray){rounded}"


def take_apart(array: numpy.ndarray[Any, Any]) -> tuple[str, list[int], bytes]:
    """The dtype's string, the shape, and the content in row-major order; ValueError where that can't be carried."""
    import numpy

    if array.dtype.kind not in _KINDS or array.dtype.hasobject or array.dtype.itemsize == 0:
        raise ValueError(f"arrays of dtype {array.dtype} can't be carried")
    if isinstance(array, numpy.ma.MaskedArray):
        raise ValueError("masked arrays can't be carried; send the data and the mask, or what `filled` returns")
    return array.dtype.str, list(array.shape), array.tobytes()


def put_together(dtype: object, shape: object, content: io.BytesIO) -> numpy.ndarray[Any, Any]:
    """The array, writable. Raises ValueError for parts that do not fit each other.

    Content that is large is not copied: the array writes to it. Of bytes that it alone holds a BytesIO gives a view for
    that, and of others it makes a copy.
    """
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise ValueError(f"dtype {shown(dtype)} can't be read")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(map(_is_size, shape)):
        raise ValueError("a shape is a list of at most 64 integers from 0, and this is none")
    try:
        import numpy
    except ImportError:
        raise ValueError("this is a NumPy array, and NumPy is not installed here") from None
    try:
        kind = numpy.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype {dtype!r} can't be read") from None
    if kind.itemsize == 0:  # NumPy would make each element one of a character: any amount of memory for no bytes
        raise ValueError(f"dtype {dtype!r} can't be read")
    expected = math.prod(shape) * kind.itemsize
    view = content.getbuffer()
    if expected != len(view):
        raise ValueError(f"{len(view)} bytes are no array of dtype {dtype} and shape {shape}")
    if expected == 0:
        return _of_nothing(shape, kind)
    array: numpy.ndarray[Any, Any] = numpy.frombuffer(view, kind).reshape(shape)
    return array if expected > _LARGE else array.copy()


def _is_size(number: object) -> bool:
    return type(number) is int and 0 <= number < _MAX_SIZE


def _of_nothing(shape: list[int], kind: numpy.dtype[Any]) -> numpy.ndarray[Any, Any]:
    """An array without elements. In one of its own an older NumPy takes the room that its other dimensions have."""
    import numpy

    if math.prod(max(1, length) for length in shape) * kind.itemsize <= _LARGE:
        return numpy.zeros(shape, kind)
    array: numpy.ndarray[Any, Any] = numpy.ndarray(shape, kind, bytearray())
    return array
