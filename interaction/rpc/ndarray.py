"""NumPy arrays to bytes and back. NumPy is imported only where an array arrives."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

_KINDS = "biufcmMSU"  # no objects (they would need pickle), no records, no raw void
_MAX_DIMENSIONS = 64  # NumPy's own limit since 2.0
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


def put_together(dtype: object, shape: object, content: bytes) -> numpy.ndarray[Any, Any]:
    """The array, writable. Raises ValueError for parts that do not fit each other."""
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise ValueError(f"dtype {dtype!r:.40} can't be read")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"shape {shape!r:.80} can't be read")
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
    if expected != len(content):
        raise ValueError(f"{len(content)} bytes are no array of dtype {dtype} and shape {shape}")
    if expected == 0:
        return numpy.zeros(shape, kind)
    array: numpy.ndarray[Any, Any] = numpy.frombuffer(content, kind).reshape(shape).copy()
    return array
