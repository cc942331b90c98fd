"""What is parsed of a payload: forms become what they stand for, in place."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from typing import Any

from google.protobuf import struct_pb2

from interaction.rpc import ndarray
from interaction.rpc.plain import MAX_DEPTH, MAX_VALUE_DEPTH
from interaction.rpc.unfit import Unfit, shown

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_HEXADECIMAL = re.compile("0|-?[1-9a-f][0-9a-f]*")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Reader:
    """Puts buffers, and the numbers that JSON lacks, back in their places: what was parsed is changed, not copied."""

    def __init__(self, buffers: Any) -> None:
        self._buffers = buffers
        self._bytes: dict[
            int, bytes
        ] = {}  # by their position: those that are handed out, each as often as it is asked for
        self._arrays: set[int] = set()  # the positions of those that are arrays' own

    def restored(self, value: Any, depth: int) -> Any:
        """What a parsed value stands for, so many levels down. Raises Unfit."""
        if not isinstance(value, (dict, list)):
            return value
        if depth == MAX_DEPTH:
            raise Unfit(TOO_DEEP)
        return self._mapping(value, depth) if isinstance(value, dict) else self._sequence(value, depth)

    def _sequence(self, items: list[Any], depth: int) -> list[Any]:
        for position, item in enumerate(items):
            if isinstance(item, (dict, list)):
                try:
                    items[position] = self.restored(item, depth + 1)
                except Unfit as unfit:
                    unfit.at(position, items)
                    raise
        return items

    def _mapping(self, mapping: dict[str, Any], depth: int) -> Any:
        dollars = False
        for key, value in mapping.items():
            if key[:1] == "$":
                if key[:2] != "$$":
                    return self._form(key, value, depth, alone=len(mapping) == 1)
                dollars = True
            if isinstance(value, (dict, list)):
                try:
                    mapping[key] = self.restored(value, depth + 1)
                except Unfit as unfit:
                    unfit.at(key, mapping)
                    raise
        return {key[1:] if key[:1] == "$" else key: value for key, value in mapping.items()} if dollars else mapping

    def _form(self, key: str, value: Any, depth: int, *, alone: bool) -> Any:
        read = _FORMS.get(key) if alone else None
        if read is None:
            raise Unfit(f"the key {shown(key)} can't be read: one of the user's is written with `$$` in front")
        return read(self, value, depth)

    def content(self, index: Any, depth: int) -> bytes:
        """`$bytes`."""
        position = self._position(index)
        if position in self._arrays:
            raise _taken(position)
        buffer = self._bytes.get(position)
        if buffer is None:
            buffer = self._bytes[position] = self._buffers[position]
        return buffer

    def array(self, form: Any, depth: int) -> Any:
        """`$ndarray`."""
        if not isinstance(form, dict) or form.keys() != {"buffer", "dtype", "shape"}:
            raise Unfit("$ndarray: expected an object with `buffer`, `dtype` and `shape`")
        if depth + 3 > MAX_DEPTH:  # as its shape nests in the text
            raise Unfit(TOO_DEEP)
        try:
            return ndarray.put_together(form["dtype"], form["shape"], self._own(form["buffer"]))
        except ValueError as error:
            raise Unfit(str(error)) from None

    def _own(self, index: Any) -> io.BytesIO:
        position = self._position(index)
        if position in self._arrays or position in self._bytes:
            raise _taken(position)
        self._arrays.add(position)
        return io.BytesIO(self._buffers[position])

    def number(self, name: Any, depth: int) -> float:
        """`$number`."""
        if not isinstance(name, str) or name not in _NON_FINITE:
            raise Unfit(f"$number: expected NaN, Infinity or -Infinity, not {shown(name)}")
        return _NON_FINITE[name]

    def integer(self, digits: Any, depth: int) -> int:
        """`$integer`."""
        if not isinstance(digits, str) or not _HEXADECIMAL.fullmatch(digits):
            raise Unfit(f"$integer: expected hexadecimal digits in lower case, not {shown(digits)}")
        return int(digits, 16)

    def _position(self, index: Any) -> int:
        if type(index) is not int or index < 0:
            raise Unfit(f"expected the position of a buffer, an integer from 0, not {shown(index)}")
        if index >= len(self._buffers):
            raise Unfit(f"refers to buffer {shown(index)}, and there are {len(self._buffers)}")
        return index


def _taken(position: int) -> Unfit:
    return Unfit(f"refers to buffer {position}, which an array has for itself: nothing else may refer to it")


_FORMS: dict[str, Callable[[Reader, Any, int], Any]] = {
    "$bytes": Reader.content,
    "$ndarray": Reader.array,
    "$number": Reader.number,
    "$integer": Reader.integer,
}


def plain_of(value: struct_pb2.Value, levels: int) -> Any:
    """A protobuf value as JSON would be read, of at most so many levels."""
    kind = value.WhichOneof("kind")
    if kind in ("struct_value", "list_value") and not levels:
        raise Unfit(f"nested deeper than {MAX_VALUE_DEPTH} levels, which is what a protobuf value may; JSON may more")
    if kind == "struct_value":
        return {key: plain_of(item, levels - 1) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [plain_of(item, levels - 1) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= 2**53 else number
    return {"string_value": value.string_value, "bool_value": value.bool_value}.get(kind or "")


def too_deep(plain: Any) -> bool:
    """Whether what was read from JSON nests deeper than it may: one level of it after the other."""
    level = [plain]
    for _ in range(MAX_DEPTH):
        inside = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for children in inside for child in children if isinstance(child, (dict, list))]
        if not level:
            return False
    return True
