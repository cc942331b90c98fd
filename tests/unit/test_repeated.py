"""What is said with each of many tries."""

from __future__ import annotations

from interaction.rpc.repeated import LOUD_EVERY, Repeated


def test_what_is_said_again_is_news_when_it_changes_and_each_minute() -> None:
    repeated: Repeated[str] = Repeated()
    told = [repeated.is_news("one", said, now) for said, now in (("no", 0.0), ("no", 1.0), ("never", 2.0), ("no", 3.0))]
    assert told == [True, False, True, True]
    assert not repeated.is_news("one", "no", 3.0 + LOUD_EVERY - 0.1)
    assert repeated.is_news("one", "no", 3.0 + LOUD_EVERY)
    assert not repeated.is_news("one", "no", 4.0 + LOUD_EVERY)


def test_what_is_said_of_another_is_news() -> None:
    repeated: Repeated[str] = Repeated()
    assert [repeated.is_news(of, "no", 0.0) for of in ("one", "other", "one")] == [True, True, False]


def test_numbers_that_change_are_none() -> None:
    repeated: Repeated[str] = Repeated()
    said = "the clocks differ: the caller's is {} s behind this slave's"
    assert [repeated.is_news("one", said.format(seconds), seconds) for seconds in (312, 313, 314)] == [
        True,
        False,
        False,
    ]
