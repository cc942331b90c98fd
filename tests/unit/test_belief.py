"""For how long a slave goes on whose results are not believed, while its beats are acknowledged."""

from __future__ import annotations

from interaction.core.belief import Belief
from interaction.core.session import MOST_REFUSALS, Session


def test_results_that_are_not_believed_end_the_session_after_as_long_as_a_lease() -> None:
    belief = Belief()
    assert not belief.over(10.0, 0.0)
    assert belief.refused("no", 100.0)
    assert not belief.over(10.0, 109.9)
    assert belief.over(10.0, 110.0)


def test_each_reason_is_news_once_and_does_not_begin_the_time_anew() -> None:
    belief = Belief()
    assert [belief.refused(why, now) for now, why in enumerate(["no", "no", "never", "never"])] == [
        True,
        False,
        True,
        False,
    ]
    assert belief.over(3.0, 3.0)


def test_one_that_is_believed_sets_all_right() -> None:
    belief = Belief()
    belief.refused("no", 0.0)
    belief.kept()
    assert not belief.over(1.0, 100.0)
    assert belief.refused("no", 100.0)
    assert not belief.over(1.0, 100.5)


def test_a_master_tells_each_reason_once_for_a_session_and_few_of_them() -> None:
    session = Session(15.0)
    assert session.is_news("no")
    assert not session.is_news("no")
    assert sum(session.is_news(f"no, for the {n}th time") for n in range(10 * MOST_REFUSALS)) == MOST_REFUSALS - 1
