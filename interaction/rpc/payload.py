"""Users' data to a Payload and back. What the form means stands in protos/interaction/v1/payload.proto.

Nothing is executed and no class is looked up while reading: no pickle, no object arrays.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from interaction.exception import PayloadError
from interaction.rpc import memory, ndarray
from interaction.rpc.collector import without_collector
from interaction.rpc.encoded import Encoded, check_size, field_size
from interaction.rpc.fields import left_out, written_number
from interaction.rpc.plain import MAX_DEPTH, MAX_VALUE_DEPTH, is_plain
from interaction.rpc.restore import TOO_DEEP, Reader, plain_of, too_deep
from interaction.rpc.strict_json import COUNTING, DECODER, MOST_DIGITS, check_escapes, holds_half_a_character
from interaction.rpc.text_limit import Allowance, check_text, too_long, utf8_size
from interaction.rpc.unfit import Unfit
from interaction.v1 import payload_pb2

# Python refuses to write and read longer decimal integers (sys.set_int_max_str_digits); beyond, base 16 takes over.
_LARGEST_DECIMAL = 10**4000
_LONG = 256 * 1024  # characters of JSON, from which on the collector has much to look at
_longest_integer = getattr(sys, "get_int_max_str_digits", int)  # as Python is set: 0 where it reads any
_JSON_TAG, _BUFFER_TAG = (
    bytes([payload_pb2.Payload.DESCRIPTOR.fields_by_name[n].number << 3 | 2]) for n in ("json", "buffers")
)
_CARRIED = "None, bool, int, float, str, bytes, lists, tuples, mappings, NumPy arrays and NumPy's plain numbers"


_JSON = json.JSONEncoder(separators=(",", ":"))  # of what is ASCII already, which it takes the shortest time for
_UNICODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # escaped, an é would take six bytes for two


def encode(value: object, root: str, max_message_bytes: int | None = None) -> Encoded:
    """Write a value of any carried type. `root` names it in an error's path, such as `data`.

    Raises:
        PayloadError: a value or key that can't be carried, with its path.
        PayloadTooLarge: more than a message of that many bytes holds, or more text than is read.
        MemoryError: there is none for it.
    """
    buffers: Sequence[bytes] = ()
    if is_plain(value):
        text = _JSON.encode(value)
    else:
        writer = _Writer()
        try:
            text = _UNICODE.encode(writer.plain(value, 0))
        except Unfit as unfit:
            raise unfit.told(root) from None
        buffers = writer.buffers
    check_text(text, root)
    size = field_size(len(text) if text.isascii() else utf8_size(text)) + sum(
        field_size(len(buffer)) for buffer in buffers
    )
    if max_message_bytes is not None:
        check_size(size, root, max_message_bytes)
    memory.ensure(2 * size)  # and once more, in the message that is to carry it
    message = payload_pb2.Payload(json=text, buffers=buffers)
    if buffers and len(message.buffers) != len(buffers):
        raise MemoryError(f"memory is short: there is none for {size:,} bytes")
    return Encoded(message, size)


def pack(value: object, root: str) -> bytes:
    """A value as a Payload is written, for another process of this side, of however much text: it was read once.

    It is copied once. protobuf would copy it three times and more. Raises PayloadError, MemoryError.
    """
    writer = _Writer()
    try:
        text = _JSON.encode(value) if is_plain(value) else _UNICODE.encode(writer.plain(value, 0))
    except Unfit as unfit:
        raise unfit.told(root) from None
    parts = [_JSON_TAG, written_number(utf8_size(text)), text.encode()]
    for buffer in writer.buffers:
        parts += (_BUFFER_TAG, written_number(len(buffer)), buffer)
    return b"".join(parts)


def encode_mapping(value: Mapping[str, Any] | None, root: str, max_message_bytes: int | None = None) -> Encoded:
    """Write a mapping, as :func:`encode`; None is an empty one. Raises TypeError for what is no mapping."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{root} must be a mapping, not {type(value).__name__}: {value!r:.80}")
    return encode({} if value is None else value, root, max_message_bytes)


def decode(payload: payload_pb2.Payload, root: str, allowance: Allowance | None = None, *, stays: bool = False) -> Any:
    """Read a payload; one without content is an empty mapping. Raises PayloadError for what can't be read.

    It takes at most three times what came, and 64 MiB; a MemoryError says that those are not there, and nothing of what
    came. `allowance`: what it shares with the others of its message. `stays`: it is this side's own, as `encode` has
    written it.
    """
    kind = payload.WhichOneof("content")
    if kind is None:
        return {}
    try:
        if kind == "value":
            if allowance is not None:
                allowance.take_value(payload.value.ByteSize(), root)
            return Reader(payload.buffers).restored(plain_of(payload.value, MAX_VALUE_DEPTH), 0)
        text = payload.json
        if not stays:
            check_text(text, root, allowance)
        return _parsed(text, payload.buffers)
    except Unfit as unfit:
        raise unfit.told(root) from None
    except RecursionError:
        raise PayloadError(root, TOO_DEEP) from None
    except PayloadError:
        raise
    except ValueError as error:
        if size := left_out(text):
            raise too_long(root, size) from None
        raise PayloadError(root, f"not JSON: {error}") from None


def _parsed(text: str, buffers: Sequence[bytes]) -> Any:
    plain = _read(text) if len(text) <= _LONG else without_collector(_read, text)
    if "\\u" in text:
        check_escapes(text, plain)
    if buffers or '"$' in text or "\\u0024" in text:  # the other way to write `$`
        return Reader(buffers).restored(plain, 0)
    if text.count("[") + text.count("{") > MAX_DEPTH and too_deep(plain):
        raise Unfit(TOO_DEEP)
    return plain


def _read(text: str) -> Any:
    decoder = DECODER
    if len(text) > MOST_DIGITS and not 0 < _longest_integer() <= MOST_DIGITS:
        decoder = COUNTING
    if text[:1] > " ":
        plain, end = decoder.raw_decode(text)
        if end == len(text):
            return plain
        del plain  # there is something behind it, or whitespace
    return decoder.decode(text)


def decode_mapping(
    payload: payload_pb2.Payload, root: str, allowance: Allowance | None = None, *, stays: bool = False
) -> dict[str, Any]:
    """Read a payload that must hold a mapping, as :func:`decode`. Raises PayloadError."""
    value = decode(payload, root, allowance, stays=stays)
    if not isinstance(value, dict):
        raise PayloadError(root, f"expected a mapping (a JSON object), not {type(value).__name__}")
    return value


class _Writer:
    """Turns a value into what `json.dumps` writes strictly, and collects the buffers."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = []

    def plain(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, (int, float)):
            return self._number(value, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, _deeper(depth))
        if isinstance(value, (list, tuple)):
            return self._sequence(value, _deeper(depth))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._object("$bytes", self._buffer(bytes(value)), depth)
        if ndarray.is_array(value):
            return self._object("$ndarray", self._array(value), depth + 2)  # its form and its shape lie below
        scalar = ndarray.scalar_of(value)
        if scalar is not None:
            return self.plain(scalar, depth)
        raise Unfit(_refusal_of(value))

    def _number(self, value: float, depth: int) -> object:
        if isinstance(value, int):
            if -_LARGEST_DECIMAL < value < _LARGEST_DECIMAL:
                return int(value)
            return self._object("$integer", f"{value:x}", depth)
        if math.isfinite(value):
            return float(value)
        return self._object("$number", _name_of_non_finite(value), depth)

    def _object(self, name: str, content: object, depth: int) -> dict[str, object]:
        """What stands for a value that JSON lacks."""
        _deeper(depth)
        return {name: content}

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in mapping.items():
            try:
                name = self._key(key)
                if name.startswith("$"):
                    name = "$" + name
                if name in plain:
                    raise Unfit(f"two keys are both written {name!r}")
                plain[name] = self.plain(value, depth)
            except Unfit as unfit:
                unfit.at(key, mapping)
                raise
        return plain

    def _sequence(self, items: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        plain: list[Any] = []
        try:
            for item in items:
                plain.append(self.plain(item, depth))
        except Unfit as unfit:
            unfit.at(len(plain), items)
            raise
        return plain

    def _key(self, key: object) -> str:
        """A key as `json.dumps` writes it."""
        if isinstance(key, str):
            return _text(key)
        number = key if isinstance(key, (bool, int, float)) else ndarray.scalar_of(key)
        if number is None and key is not None:
            raise Unfit(f"keys of type {_type_name(key)} can't be carried; str, int, float, bool and None can")
        if isinstance(number, float) and not math.isfinite(number):
            return _name_of_non_finite(number)
        if isinstance(number, int) and not -_LARGEST_DECIMAL < number < _LARGEST_DECIMAL:
            raise Unfit("a key that is an integer of more than 4,000 digits can't be carried")
        return json.dumps(number)

    def _array(self, array: Any) -> dict[str, Any]:
        try:
            dtype, shape, content = ndarray.take_apart(array)
        except ValueError as error:
            raise Unfit(str(error)) from None
        return {"buffer": self._buffer(content), "dtype": dtype, "shape": shape}

    def _buffer(self, content: bytes) -> int:
        self.buffers.append(content)
        return len(self.buffers) - 1


def _text(text: str) -> str:
    """A string as it can be written: a member of an Enum of strings is its value."""
    if holds_half_a_character(text):
        raise Unfit("a string holds half a character (a surrogate), which can't be carried; bytes can be")
    return text if type(text) is str else str.__str__(text)


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise Unfit(f"{TOO_DEEP}, or contains itself", endless=True)
    return depth + 1


def _name_of_non_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _refusal_of(value: object) -> str:
    remedy = ndarray.remedy_for(value)
    if remedy is None:
        return f"values of type {_type_name(value)} can't be carried; {_CARRIED} can"
    return f"the scalar {value!r:.60} of type {_type_name(value)} can't be carried; {remedy}"


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
