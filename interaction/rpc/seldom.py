"""Lines that others may cause as often as they like: a few are written, and then how many were not."""

from __future__ import annotations

import asyncio
import logging

from interaction.rpc.insist import insist

MOST, SECONDS = 3, 60.0  # so many lines in that time


class Seldom:
    """Warnings of one kind, on the loop. Those that are too many are told at DEBUG, and counted."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._written = 0
        self._left_out = 0

    def warn(self, message: str, *arguments: object) -> None:
        """Write it, unless there were too many."""
        if self._written >= MOST:
            self._left_out += 1
            self._log.debug(message, *arguments)
            return
        if not self._written:
            asyncio.get_running_loop().call_later(SECONDS, insist, self._again)
        self._written += 1
        self._log.warning(message, *arguments)

    def _again(self) -> None:
        left_out, self._written, self._left_out = self._left_out, 0, 0
        if left_out:
            self._log.warning("the same %d times more within %g s, told at DEBUG", left_out, SECONDS)
