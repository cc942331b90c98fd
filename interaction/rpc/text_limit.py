"""How large a payload's JSON text may be: what is large goes in buffers.

A text of a few MiB may stand for hundreds of them: `[],` are three bytes, and a list in a list takes 80. So what is
longer than 1 MiB is weighed before it is parsed, by what CPython needs for what stands in it; and where a message has
more than one payload, all of them together.
"""

from __future__ import annotations

import re
import sys

from interaction.config import MAX_JSON_BYTES
from interaction.exception import PayloadTooLarge

MOST_MEMORY = 64 * 1024 * 1024  # bytes that may come of a text, itself included
LIGHT = 1024 * 1024  # bytes; a shorter one can't come to that
# Bytes of memory, the place in what it stands in included, and what a parser needs beside it, on 64-bit machines.
LIST = 96
MAPPING = 224
NEXT = 44  # a comma: one more place, and a number in it
STRING = 48  # beside its characters
KEY = 32
NEW_KEY = 110  # one that has not come before
DOLLAR_KEY = 120  # it is written anew
VALUE = 4  # for each byte of a protobuf value, whose texts may have one wide character
VALUES = 32 * 1024 * 1024  # for what else all of them may hold: a message has few fields
COPIES = 2.5  # of the characters: the text, the strings in it, and what their making takes
_TOKEN = re.compile(r'"([^"]*)"(\s*:)?|[\[{,]')
_REMEDY = "bytes and NumPy arrays go in buffers beside it, and may be as large as a message"


def check_text(text: str, root: str, allowance: Allowance | None = None) -> None:
    """Raise PayloadTooLarge for a text that is not to be read, and therefore not to be written."""
    if allowance is not None:
        allowance.take(text, root)
    if len(text) <= LIGHT // 4:  # of UTF-8, which has at most four bytes for a character
        return
    size = utf8_size(text)
    if size > MAX_JSON_BYTES:
        raise too_long(root, size)
    if size > LIGHT:
        most = MOST_MEMORY - int(COPIES * sys.getsizeof(text))
        if _at_most(text) > most and _left_of(most, text) < 0:
            told = (
                f"its JSON text of {size:,} bytes holds so much that is small that to read it would take more than "
                f"{MOST_MEMORY >> 20} MiB of memory; {_REMEDY}"
            )
            raise PayloadTooLarge(root, size, MAX_JSON_BYTES, told)


class Allowance:
    """What is read of one message that has more than 1 MiB and more than one payload, of memory: each alone is bounded.

    The first MiB of texts is read whatever it weighs, as one of that length is.
    """

    def __init__(self) -> None:
        self._left = MOST_MEMORY
        self._size = 0
        self._has_values = False

    def take(self, text: str, root: str) -> None:
        """Raise PayloadTooLarge for a text that is not to be read after those before it."""
        left = self._left - int(COPIES * sys.getsizeof(text))
        at_most = _at_most(text)
        self._keep(utf8_size(text), left - at_most if at_most <= left else _left_of(left, text), root)

    def take_value(self, size: int, root: str) -> None:
        """The same of a protobuf value."""
        left = self._left if self._has_values else self._left - VALUES
        self._has_values = True
        self._keep(size, left - size * VALUE, root)

    def _keep(self, size: int, left: int, root: str) -> None:
        self._size += size
        if left < 0 and self._size > LIGHT:
            told = (
                f"to read its {size:,} bytes of JSON text (or of a protobuf value) after those of others in the same "
                f"message would take more than {MOST_MEMORY >> 20} MiB of memory; messages of less than 1 MiB hold no "
                "more than that"
            )
            raise PayloadTooLarge(root, size, MAX_JSON_BYTES, told)
        self._left = left


def allowance_of(payloads: int, size: int) -> Allowance | None:
    """What the payloads of a message of that many bytes share; None where there is none that they could exceed."""
    return Allowance() if payloads > 1 and size > LIGHT else None


def utf8_size(text: str) -> int:
    """How many bytes a text takes in a message."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def too_long(root: str, size: int) -> PayloadTooLarge:
    """The error for a text of so many bytes."""
    told = f"its JSON text has {size:,} bytes, and {MAX_JSON_BYTES:,} are read; {_REMEDY}"
    return PayloadTooLarge(root, size, MAX_JSON_BYTES, told)


def _at_most(text: str) -> int:
    """A weight that is told at a glance, where strings count for what stands in them."""
    keys = text.count(":") * (NEW_KEY + (DOLLAR_KEY if "$" in text or "\\u0024" in text else 0))
    return (
        text.count("[") * LIST
        + text.count("{") * MAPPING
        + text.count(",") * NEXT
        + text.count('"') * STRING // 2
        + keys
    )


def _left_of(most: int, text: str) -> int:
    """What the text leaves of `most` bytes, or less than 0. Piece by piece, and so on a thread of its own."""
    if "\\" in text:  # characters that no string may hold stand for what would end one
        text = text.replace("\\\\", "\x01").replace('\\"', "\x02")
    keys: set[str] = set()
    for token in _TOKEN.finditer(text):
        kind = token[0][0]
        if kind == ",":
            most -= NEXT
        elif kind != '"':
            most -= LIST if kind == "[" else MAPPING
        elif token[2] is None:
            most -= STRING
        else:
            key = token[1]
            most -= KEY if key in keys else NEW_KEY
            keys.add(key)
            if key.startswith(("$", "\\u0024")):
                most -= DOLLAR_KEY
        if most < 0:
            break
    return most
