"""Words of others, as they may stand in a log, in an exception and on a screen: a peer's, and those by which users name
things.

Whoever reads a message of a peer passes its words through one of these before anything else sees them; what users send
as data is theirs, and stays as it is. Shown as its escape is all that a terminal or a log would obey, or that changes
what stands around it: control characters, line breaks, marks of direction, and what no font has. Ordinary Unicode
stays, with the spaces of all languages, and the two joiners that Persian, Hindi and emoji can't be written without.
"""

from __future__ import annotations

LONGEST_SENTENCE = 4096  # characters of what stands in a sentence
LONGEST_NAME = 256  # characters of a name: a class, a feature, a version
LONGEST_WORD = 60  # characters of what is quoted in a sentence about it
_TAB = 4
_HARMLESS = frozenset("\u00a0\u1680\u202f\u205f\u3000\u200c\u200d").union(map(chr, range(0x2000, 0x200B)))


def one_line(text: str) -> str:
    """The text, with all that a terminal or a log would obey, such as a line break, written as its escape."""
    return text if text.isprintable() else "".join(map(_shown, text))


def sentence(text: str, longest: int = LONGEST_SENTENCE) -> str:
    """A peer's words on one line, and not longer than that."""
    told = one_line(text[: longest + 1])
    return told if len(told) <= longest else f"{told[: longest - 3]}..."


def lines(text: str) -> str:
    """A peer's text of several lines, each of which is fit to be shown. It is for who calls to see that it is short."""
    told = [one_line(line.expandtabs(_TAB)) for line in text.splitlines()]
    return "\n".join(told) + "\n" * text.endswith("\n")


def quoted(text: str) -> str:
    """A text of several lines, each behind a bar: none can be taken for a line of anybody else's."""
    return "\n".join(f"  | {line}" for line in lines(text).splitlines())


def named(text: str) -> str:
    """A peer's word in a sentence about it: in quotes, and not longer than that. (`repr` of all of it may be large.)"""
    return repr(text[:LONGEST_WORD])[: LONGEST_WORD + 2] + ("..." if len(text) > LONGEST_WORD else "")


def _shown(letter: str) -> str:
    fit = letter.isprintable() or letter in _HARMLESS
    return letter if fit else letter.encode("unicode_escape").decode("ascii")
