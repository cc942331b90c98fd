"""How many connections each server of a process takes, so that together they leave it descriptors of its own."""

from __future__ import annotations

import os
import weakref

RESERVED = 512  # descriptors, or a quarter of all


class Share:
    """What one server takes, until it is given back or forgotten: two thirds of what others leave, or an eighth of all.

    A server can't be told later of those that start after it. Two thirds of three quarters is as many as a master can
    use, which dials each slave that dials it. An eighth is for a master that starts after many slaves in its process.
    """

    def __init__(self) -> None:
        self.connections: int = 0  # as many as come
        most = _most()
        if most is not None:
            left = most - min(RESERVED, most // 4) - sum(share.connections for share in _shares)
            self.connections = max(2 * left // 3, most // 8, 1)
        _shares.add(self)

    @property
    def options(self) -> list[tuple[str, int]]:
        """As options of gRPC's: strangers' connections beyond that are closed as they come."""
        return [("grpc.max_allowed_incoming_connections", self.connections)] if self.connections else []

    def give_back(self) -> None:
        """The server has ended."""
        _shares.discard(self)


_shares: weakref.WeakSet[Share] = weakref.WeakSet()


def _most() -> int | None:
    """How many descriptors this process may have; None: they need not be counted."""
    if os.name != "posix":
        return None
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else most
