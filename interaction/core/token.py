"""Tokens: their form, and how they are compared and looked up without telling anything about them."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import NoReturn, SupportsIndex

_FORM = re.compile(r"[0-9A-Za-z_-]{32,128}")
_INCARNATION = re.compile(r"[0-9a-f]{32}")


class NotPickled:
    """Holds a token, which goes to another process only where that is meant to have it, and by itself."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not pickled: it holds a token")


def is_token(text: str) -> bool:
    """Whether the text has the form of a token."""
    return _FORM.fullmatch(text) is not None


def is_incarnation(text: str) -> bool:
    """Whether the text has the form of an incarnation."""
    return _INCARNATION.fullmatch(text) is not None


def same_token(one: str, other: str) -> bool:
    """Compare two tokens in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def fingerprint(token: str) -> bytes:
    """What a token is looked up by: how long the look-up takes says nothing about the token."""
    return hashlib.sha256(token.encode()).digest()
