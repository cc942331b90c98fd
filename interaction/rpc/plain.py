"""Data that JSON writes as they are, which most are: they are told at a glance, and need no translation."""

from __future__ import annotations

import math
from typing import Any

MAX_DEPTH = 200
MAX_VALUE_DEPTH = 30  # of google.protobuf.Value, in which a level costs up to 3 of protobuf's 100
_SMALL = 2**63


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON writes a value as it is. What can't be told at a glance is none, such as text beyond ASCII."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is int:
        return -_SMALL < value < _SMALL  # type: ignore[no-any-return]  # two integers are compared
    if kind is float:
        return math.isfinite(value)
    if kind is dict and depth < MAX_DEPTH:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or key[:1] == "$" or not is_plain(item, depth + 1):
                return False
        return True
    if kind is list and depth < MAX_DEPTH:
        return all(is_plain(item, depth + 1) for item in value)
    return value is None or kind is bool
