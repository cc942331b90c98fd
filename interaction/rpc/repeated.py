"""What is said with each of many tries, and is worth a warning only now and then."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
LOUD_EVERY = 60.0  # seconds between two warnings that say the same
_NUMBER = re.compile(r"[0-9]+")


class Repeated(Generic[K]):
    """What is said of several things: it is news when it changes, and each minute.

    Where only its numbers change, such as by how much two clocks differ, it is the same.
    """

    def __init__(self) -> None:
        self._said: dict[K, tuple[str, float]] = {}

    def is_news(self, of: K, what: str, now: float) -> bool:
        """Whether to say that aloud. `now` is monotonic, in seconds."""
        words, before = _NUMBER.sub("", what), self._said.get(of)
        if before is not None and before[0] == words and now - before[1] < LOUD_EVERY:
            return False
        self._said[of] = words, now
        return True
