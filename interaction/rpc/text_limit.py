"""How large a payload's JSON text may be: what is large goes in buffers.

A text of a few MiB may stand for hundreds of them: `[],` are three bytes, and a list in a list takes 80. So what is
longer than 1 MiB is weighed before it is parsed, by what CPython needs for what stands in it.
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
COPIES = 2.5  # of the characters: the text, the strings in it, and what their making takes
_TOKEN = re.compile(r'"([^"]*)"(\s*:)?|[\[{,]')
_REMEDY = "bytes and NumPy arrays go in buffers beside it, and may be as large as a message"


def check_text(text: str, root: str) -> None:
    """Raise PayloadTooLarge for a text that is not to be read, and therefore not to be written."""
    if len(text) <= LIGHT // 4:  # of UTF-8, which has at most four bytes for a character
        return
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_JSON_BYTES:
        raise too_long(root, size)
    if size > LIGHT:
        most = MOST_MEMORY - int(COPIES * sys.getsizeof(text))
        if _at_most(text) > most and _weighs_more(text, most):
            told = (
                f"its JSON text of {size:,} bytes holds so much that is small that to read it would take more than "
                f"{MOST_MEMORY >> 20} MiB of memory; {_REMEDY}"
            )
            raise PayloadTooLarge(root, size, MAX_JSON_BYTES, told)


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


def _weighs_more(text: str, most: int) -> bool:
    """Whether what stands in the text takes more than `most` bytes: piece by piece, and so on a thread of its own."""
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
            return True
    return most < 0
