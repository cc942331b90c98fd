"""Words of others, as they may stand in a log and on a screen: a peer's, and those by which users name things."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text, with all that a terminal or a log would obey, such as a line break, written as its escape."""
    return text if text.isprintable() else "".join(map(_shown, text))


def quoted(text: str) -> str:
    """A text of several lines, each behind a bar: none can be taken for a line of anybody else's."""
    return "\n".join(f"  | {one_line(line.expandtabs(4))}" for line in text.splitlines())


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
