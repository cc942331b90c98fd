"""Users' data to a Payload and back. What the form means stands in protos/interaction/v1/payload.proto.

Nothing is executed and no class is looked up while reading: no pickle, no object arrays.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2

from interaction.exception import PayloadError
from interaction.rpc import memory, ndarray
from interaction.rpc.encoded import Encoded, check_size, field_size
from interaction.rpc.plain import MAX_DEPTH, MAX_VALUE_DEPTH, is_plain
from interaction.rpc.strict_json import DECODER, check_escapes, holds_half_a_character
from interaction.rpc.unfit import Unfit
from interaction.v1 import payload_pb2

# Python refuses to write and read longer decimal integers (sys.set_int_max_str_digits); beyond, base 16 takes over.
_LARGEST_DECIMAL = 10**4000
_HEXADECIMAL = re.compile("0|-?[1-9a-f][0-9a-f]*")
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_CARRIED = "None, bool, int, float, str, bytes, lists, tuples, mappings, NumPy arrays and NumPy's plain numbers"


_JSON = json.JSONEncoder(separators=(",", ":"))


def encode(value: object, root: str, max_message_bytes: int | None = None) -> Encoded:
    """Write a value of any carried type. `root` names it in an error's path, such as `data`.

    Raises:
        PayloadError: a value or key that can't be carried, with its path.
        PayloadTooLarge: more than a message of that many bytes holds.
        MemoryError: there is none for it.
    """
    buffers: Sequence[bytes] = ()
    if is_plain(value):
        text = _JSON.encode(value)
    else:
        writer = _Writer()
        try:
            text = _JSON.encode(writer.plain(value, 0))
        except Unfit as unfit:
            raise unfit.told(root) from None
        buffers = writer.buffers
    size = field_size(len(text)) + sum(field_size(len(buffer)) for buffer in buffers)
    if max_message_bytes is not None:
        check_size(size, root, max_message_bytes)
    memory.ensure(2 * size)  # and once more, in the message that is to carry it
    message = payload_pb2.Payload(json=text, buffers=buffers)
    if buffers and len(message.buffers) != len(buffers):
        raise MemoryError(f"memory is short: there is none for {size:,} bytes")
    return Encoded(message, size)


def encode_mapping(value: Mapping[str, Any] | None, root: str, max_message_bytes: int | None = None) -> Encoded:
    """Write a mapping, as :func:`encode`; None is an empty one. Raises TypeError for what is no mapping."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{root} must be a mapping, not {type(value).__name__}: {value!r:.80}")
    return encode({} if value is None else value, root, max_message_bytes)


def decode(payload: payload_pb2.Payload, root: str) -> Any:
    """Read a payload; one without content is an empty mapping. Raises PayloadError for what can't be read."""
    buffers = payload.buffers
    kind = payload.WhichOneof("content")
    if kind is None:
        return {}
    try:
        if kind == "value":
            return _Reader(buffers).restored(_plain_of(payload.value, MAX_VALUE_DEPTH), 0)
        text = payload.json
        plain, end = DECODER.raw_decode(text) if text[:1] > " " else (None, -1)
        if end != len(text):  # whitespace around it, or what does not belong there
            plain = DECODER.decode(text)
        if "\\u" in text:
            check_escapes(text, plain)
        if not buffers and '"$' not in text and "\\u0024" not in text:  # the other way to write `$`
            if text.count("[") + text.count("{") > MAX_DEPTH and _too_deep(plain):
                raise Unfit(_TOO_DEEP)
            return plain
        return _Reader(buffers).restored(plain, 0)
    except Unfit as unfit:
        raise unfit.told(root) from None
    except RecursionError:
        raise PayloadError(root, _TOO_DEEP) from None
    except ValueError as error:
        raise PayloadError(root, f"not JSON: {error}") from None


def decode_mapping(payload: payload_pb2.Payload, root: str) -> dict[str, Any]:
    """Read a payload that must hold a mapping. Raises PayloadError."""
    value = decode(payload, root)
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


class _Reader:
    """Puts buffers, and the numbers that JSON lacks, back in their places."""

    def __init__(self, buffers: Any) -> None:
        self._buffers = buffers

    def restored(self, value: Any, depth: int) -> Any:
        if not isinstance(value, (dict, list)):
            return value
        if depth == MAX_DEPTH:
            raise Unfit(_TOO_DEEP)
        return self._mapping(value, depth) if isinstance(value, dict) else self._sequence(value, depth)

    def _sequence(self, items: list[Any], depth: int) -> list[Any]:
        restored: list[Any] = []
        try:
            for item in items:
                restored.append(self.restored(item, depth + 1))
        except Unfit as unfit:
            unfit.at(len(restored), items)
            raise
        return restored

    def _mapping(self, mapping: dict[str, Any], depth: int) -> Any:
        restored = {}
        for key, value in mapping.items():
            if key[:1] == "$" and key[:2] != "$$":
                read = _FORMS.get(key) if len(mapping) == 1 else None
                if read is None:
                    raise Unfit(f"the key {key!r:.100} can't be read: one of the user's is written with `$$` in front")
                return read(self, value, depth)
            try:
                restored[key[1:] if key[:1] == "$" else key] = self.restored(value, depth + 1)
            except Unfit as unfit:
                unfit.at(key, mapping)
                raise
        return restored

    def content(self, index: Any, depth: int) -> bytes:
        return self._buffer(index)

    def array(self, form: Any, depth: int) -> Any:
        if not isinstance(form, dict) or form.keys() != {"buffer", "dtype", "shape"}:
            raise Unfit("$ndarray: expected an object with `buffer`, `dtype` and `shape`")
        if depth + 3 > MAX_DEPTH:  # as its shape nests in the text
            raise Unfit(_TOO_DEEP)
        try:
            return ndarray.put_together(form["dtype"], form["shape"], self._buffer(form["buffer"]))
        except ValueError as error:
            raise Unfit(str(error)) from None

    def number(self, name: Any, depth: int) -> float:
        if not isinstance(name, str) or name not in _NON_FINITE:
            raise Unfit(f"$number: expected NaN, Infinity or -Infinity, not {name!r:.40}")
        return _NON_FINITE[name]

    def integer(self, digits: Any, depth: int) -> int:
        if not isinstance(digits, str) or not _HEXADECIMAL.fullmatch(digits):
            raise Unfit(f"$integer: expected hexadecimal digits in lower case, not {digits!r:.40}")
        return int(digits, 16)

    def _buffer(self, index: Any) -> bytes:
        if type(index) is not int or index < 0:
            raise Unfit(f"expected the position of a buffer, an integer from 0, not {index!r:.40}")
        if index >= len(self._buffers):
            raise Unfit(f"refers to buffer {index}, and there are {len(self._buffers)}")
        buffer: bytes = self._buffers[index]
        return buffer


_FORMS: dict[str, Callable[[_Reader, Any, int], Any]] = {
    "$bytes": _Reader.content,
    "$ndarray": _Reader.array,
    "$number": _Reader.number,
    "$integer": _Reader.integer,
}


def _plain_of(value: struct_pb2.Value, levels: int) -> Any:
    """A protobuf value as JSON would be read, of at most so many levels."""
    kind = value.WhichOneof("kind")
    if kind in ("struct_value", "list_value") and not levels:
        raise Unfit(f"nested deeper than {MAX_VALUE_DEPTH} levels, which is what a protobuf value may; JSON may more")
    if kind == "struct_value":
        return {key: _plain_of(item, levels - 1) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain_of(item, levels - 1) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= 2**53 else number
    return {"string_value": value.string_value, "bool_value": value.bool_value}.get(kind or "")


def _text(text: str) -> str:
    """A string as it can be written: a member of an Enum of strings is its value."""
    if holds_half_a_character(text):
        raise Unfit("a string holds half a character (a surrogate), which can't be carried; bytes can be")
    return text if type(text) is str else str.__str__(text)


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise Unfit(f"{_TOO_DEEP}, or contains itself", endless=True)
    return depth + 1


def _too_deep(plain: Any) -> bool:
    """Whether what was read from JSON nests deeper than it may: one level of it after the other."""
    level = [plain]
    for _ in range(MAX_DEPTH):
        inside = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for children in inside for child in children if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


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
