"""Who listens to a heartbeat in a test."""

from __future__ import annotations

import asyncio


class Listening:
    """Writes down what a heart tells."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.ends: list[Exception] = []
        self.failures: list[str | None] = []

    def renewed(self) -> None:
        """Nothing comes of it."""

    def lease_over(self) -> None:
        self.over.set()

    def ended(self, error: Exception, heard_at: float) -> None:
        self.ends.append(error)

    def failing(self, why: str | None) -> None:
        self.failures.append(why)
