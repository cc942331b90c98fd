"""Integers that take very long to read: how long they may be is not left to how Python is set."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from tests.unit.test_payload_bombs import decoded, refused


@pytest.fixture
def any_digits() -> Iterator[None]:
    """Python reads integers of any length, as before 3.10.7."""
    if not hasattr(sys, "set_int_max_str_digits"):
        yield
        return
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize("digits", ["9" * 4301, "-" + "9" * 4301, "9" * 2_000_000], ids=len)
def test_an_integer_of_more_than_4300_digits_is_refused_however_python_is_set(any_digits: None, digits: str) -> None:
    """A million of them take 14 s, in which nothing else of the process runs."""
    began = time.process_time()
    for text in (digits, f" {digits} ", f'{{"a":[1,{digits}]}}'):
        assert "digits" in refused(text).problem
    assert time.process_time() - began < 1


@pytest.mark.parametrize("digits", ["9" * 4300, "-" + "9" * 4300])
def test_one_of_4300_digits_is_read_however_python_is_set(any_digits: None, digits: str) -> None:
    assert decoded(f'[{digits},"{"9" * 5000}",1]') == [int(digits), "9" * 5000, 1]
