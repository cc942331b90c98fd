"""Why the heartbeat of a session does not get to its master, where none has got there before, or is not believed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from interaction.core.lease import Lease
from interaction.exception import LeaseExpired, RequestException
from interaction.rpc.answers import UNBELIEVED
from interaction.rpc.master_client import MasterClient
from interaction.rpc.repeated import Repeated


class Unheard:
    """Finds it out, beside what goes on, and says it once, to `told` as well. All calls are on the loop."""

    def __init__(self, client: MasterClient, told: Callable[[str], object], warn: Callable[..., object]) -> None:
        self.why: str | None = None  # once it is found out
        self._client = client
        self._told = told
        self.warn = warn
        self._unbelieved: Repeated[str] = Repeated()
        self._over = False
        self._looking: asyncio.Task[None] | None = None

    def failed(self, error: RequestException) -> None:
        """A stream has failed so."""
        if error.code == UNBELIEVED:
            self._tell_unbelieved(error.message)
        elif not self._over and self._looking is None:
            self._looking = asyncio.ensure_future(self._look(error.message))
            self._looking.add_done_callback(self._looked)

    def _tell_unbelieved(self, why: str) -> None:
        """The master says it itself, perhaps of a session that went well."""
        if self._unbelieved.is_news("beat", why, asyncio.get_running_loop().time()):
            self.warn("the heartbeat goes on, and no beat is taken: %s", why)
        self.why = why
        self._told(why)

    def stop(self) -> None:
        """The master has acknowledged a beat, or the session is over."""
        self._over = True
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, said: str) -> None:
        why = await self._client.why_not(said)
        if why is not None:
            self.why, self._over = why, True
            self.warn("no heartbeat gets to the master: %s", why)
            self._told(why)

    def _looked(self, looking: asyncio.Task[None]) -> None:
        self._looking = None  # where it was not found out, it is looked for again
        with contextlib.suppress(asyncio.CancelledError):
            looking.result()


def expired(lease: Lease, unheard: Unheard | None) -> LeaseExpired:
    """That the lease is over, and why, as far as that is known."""
    said = f"no heartbeat was acknowledged within the lease of {lease.duration:g} s"
    return LeaseExpired(said if unheard is None or unheard.why is None else f"{said}: {unheard.why}")
