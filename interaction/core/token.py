"""Tokens: their form, and how they are compared and looked up without telling anything about them."""

from __future__ import annotations

import hashlib
import hmac
import re

_FORM = re.compile(r"[0-9A-Za-z_-]{32,128}")
_INCARNATION = re.compile(r"[0-9a-f]{32}")


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
