"""What a master or slave shows its peers, looked at while it runs: files that change, and certificates that end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from interaction.rpc.telling import log_exception
from interaction.tls import TLS
from interaction.x509 import day

LOOK = 5.0  # seconds between two looks
_WARN_BEFORE = 7 * 86_400.0  # seconds before its end from which on it is told
_AGAIN = 86_400.0  # seconds until it is told again
_log = logging.getLogger("interaction.tls")


class Watch:
    """Looks at each TLS that a master or slave uses. Used on the loop; files are read on a thread."""

    def __init__(self, used: Iterable[TLS]) -> None:
        self._used = {id(tls): tls for tls in used}
        self._told: dict[
            tuple[str, float, bool], float
        ] = {}  # when it was told, by what ends, when, and whether it has
        self._looking: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Read the files as they are by now. Raises ValueError where something has expired: no peer would take it."""
        await self._look()
        for tls in self._used.values():
            for end, who in tls.ends():
                if end < time.time():
                    raise ValueError(f"the {who} has expired on {day(end)}: it needs a new one")
        self._tell(time.time())

    def start(self) -> None:
        """Look again and again, until `stop()`."""
        if self._used:
            self._looking = asyncio.ensure_future(self._go_on())

    def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._look()
                self._tell(time.time())
            except Exception as error:  # noqa: BLE001 - else a certificate would end unseen
                log_exception(_log, logging.ERROR, error, "a look at the TLS files has failed; the next one follows")

    async def _look(self) -> None:
        for tls in self._used.values():
            if tls.files:
                await asyncio.to_thread(tls.look)

    def _tell(self, now: float) -> None:
        for tls in self._used.values():
            for end, who in tls.ends():
                ended = now >= end
                if now < end - _WARN_BEFORE or now < self._told.get((who, end, ended), -_AGAIN) + _AGAIN:
                    continue
                self._told[who, end, ended] = now
                if not ended:
                    _log.warning("the %s expires on %s: it needs a new one%s", who, day(end), _how(tls))
                else:
                    _log.error(
                        "the %s has expired on %s: new connections fail, until there is a new one%s",
                        who,
                        day(end),
                        _how(tls),
                    )


def _how(tls: TLS) -> str:
    return ", which is read as soon as it is there" if tls.files else ""
