"""Words of others: what is shown as it is, what as its escape, and how much of it."""

from __future__ import annotations

import unicodedata

import pytest

from interaction.text import LONGEST_NAME, LONGEST_SENTENCE, lines, named, one_line, quoted, sentence

ORDINARY = [
    "Ошибка: нет файла",
    "错误\u3000找不到文件",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a joiner
    "\u0915\u094d\u200d\u0937",  # Hindi, likewise
    "👩\u200d🚀 👍🏽 ❤\ufe0f",
    "c'est\u00a0vrai\u202f!",
    "\u05e9\u05dc\u05d5\u05dd",  # which runs to the left by itself
    "a\u0301",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_of_all_languages_stay_as_they_are(text: str) -> None:
    assert one_line(text) == sentence(text) == text
    assert lines(text) == text


def test_what_a_terminal_or_a_log_would_obey_is_shown_as_its_escape() -> None:
    """Every character there is: controls, marks of direction, line breaks, halves of characters, and what is none."""
    for number in range(0x110000):
        letter = chr(number)
        kind = unicodedata.category(letter)
        kept = kind[0] not in "CZ" or kind == "Zs" or letter in "\u200c\u200d"
        assert (one_line(letter) == letter) == kept, hex(number)


def test_a_sentence_is_cut_also_where_its_escapes_make_it_long() -> None:
    assert sentence("x" * LONGEST_SENTENCE) == "x" * LONGEST_SENTENCE
    for letter in "x\n\u202e\U000e0001":
        told = sentence(letter * 100_000)
        assert len(told) == LONGEST_SENTENCE
        assert told.endswith("...")
        assert len(sentence(letter * 100_000, LONGEST_NAME)) == LONGEST_NAME


def test_of_several_lines_each_is_fit_and_stands_behind_a_bar() -> None:
    text = "first\r\nFORGED\x85\tthird\u2028\x1b[2J"
    assert lines(text) == "first\nFORGED\n    third\n\\x1b[2J"
    assert quoted(text) == "  | first\n  | FORGED\n  |     third\n  | \\x1b[2J"
    assert one_line(one_line(text)) == one_line(text)
    assert quoted(lines(text)) == quoted(text)
    assert lines(lines(text)) == lines(text)
    assert lines("KeyError: 'a'\n") == "KeyError: 'a'\n"  # as Python ends a traceback


def test_a_word_in_a_sentence_is_in_quotes_and_cut_before_anything_is_made_of_it() -> None:
    assert named("word") == "'word'"
    assert named("a\nb\u202e") == r"'a\nb\u202e'"
    for letter in "x\n\u202e":
        assert len(named(letter * 10_000_000)) <= 65
        assert named(letter * 1000).endswith("...")
