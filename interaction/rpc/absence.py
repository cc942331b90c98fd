"""Why nobody answers at an address: asked of the system, which says it better than a failed call does."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import NamedTuple

from interaction.address import Endpoint

_UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)  # ::1, say, where there is no IPv6
_IS_IT_STARTED = "is the slave started, is the port right?"


class Absence(NamedTuple):
    """Why nobody answers, in a sentence. `final`: nor will anybody soon."""

    why: str
    final: bool


async def absence_at(endpoint: Endpoint, patience: float, question: str = _IS_IT_STARTED) -> Absence | None:
    """Look why nobody has answered, within that many seconds. None where that can't be told: it may be the network.

    `question` is what whoever sees to it may ask himself where nobody listens.
    """
    try:
        return await asyncio.wait_for(_absence_at(endpoint, question), patience)
    except (OSError, asyncio.TimeoutError):
        return None


async def nobody_listens(endpoint: Endpoint, patience: float) -> bool:
    """Whether the host itself says that the port is closed: all else may be the network."""
    absence = await absence_at(endpoint, patience)
    return absence is not None and not absence.final


async def _absence_at(endpoint: Endpoint, question: str) -> Absence | None:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(endpoint.dialled_host, endpoint.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno not in _UNKNOWN:
            return None
        return Absence(f"{endpoint.host!r} is no host that this machine knows: is the name right?", True)
    refused = [await _refuses(family, address) for family, _, _, _, address in found]
    if True not in refused or False in refused:
        return None
    return Absence(f"nobody listens at {endpoint.authority}: {question}", False)


async def _refuses(family: int, address: object) -> bool | None:
    """Whether nobody listens at one of a host's addresses. None where this machine has no way to such addresses."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(probe, address)  # type: ignore[arg-type]  # as it was found
        except ConnectionRefusedError:
            return True
        except OSError as error:
            if error.errno in _NOT_HERE:
                return None
            raise
        return False
