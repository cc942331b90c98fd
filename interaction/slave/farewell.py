"""What a slave says at the terminal when a signal has asked it to leave: what it finishes may take long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from interaction.rpc.interrupt import say


class Leaving(Protocol):
    """A slave's service that has begun to leave."""

    @property
    def name(self) -> str:
        """The name of its class."""

    @property
    def tasks(self) -> int:
        """How many tasks run."""


def say_farewell(leaving: Sequence[Leaving], asked: str, timeout: float | None, again: str) -> None:
    """Say who leaves, what is waited for, at most how many seconds (None: as long as it takes), and how not to wait."""
    names = ", ".join(service.name for service in leaving) or "interaction"
    tasks = sum(service.tasks for service in leaving)
    limit = "however long that takes" if timeout is None else f"for {timeout:g} s at most"
    finishes = f"finishes {tasks} task(s), {limit}, then leaves" if tasks else "leaves"
    say(f"{names}: {asked}; {finishes}. {again}")
