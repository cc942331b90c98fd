"""How JSON text is read: what RFC 8259 leaves to the reader is settled as payload.proto says."""

from __future__ import annotations

import json
import re
from typing import Any

_INFINITY = float("inf")
MOST_DIGITS = 4300  # of an integer: a million of them take seconds in which nothing else of the process runs
_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is none of its numbers")


def _finite(text: str) -> float:
    number = float(text)
    if -_INFINITY < number < _INFINITY:
        return number
    raise ValueError(f"{text:.40} is beyond every double")


def _counted(text: str) -> int:
    if len(text) - (text[0] == "-") > MOST_DIGITS:
        raise ValueError(f"an integer has {len(text):,} digits, and {MOST_DIGITS:,} are read")
    return int(text)


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
# For where Python itself has no such limit: before 3.10.7, and where it was lifted. It costs a call for each integer.
COUNTING = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_counted)


def holds_half_a_character(text: str) -> bool:
    """Whether a string holds a surrogate, which is no character: UTF-8, and most languages, can't hold it."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def check_escapes(text: str, plain: Any) -> None:
    """Raise ValueError where an escape in the text, from which `plain` was read, stands for half a character."""
    if "\\ud" not in text and "\\uD" not in text:
        return
    found = [plain]
    while found:
        one = found.pop()
        if isinstance(one, str):
            if holds_half_a_character(one):
                raise ValueError("a string holds half a character (a surrogate)")
        elif isinstance(one, dict):
            found += [*one, *one.values()]
        elif isinstance(one, list):
            found += one
