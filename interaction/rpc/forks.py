"""What becomes of gRPC, and of what is open here, when the process forks: `os.fork()`, and `multiprocessing` by it.

gRPC's own handling of forks ends some of the children (SIGSEGV) and lets others hang, where calls are open. Without it
a child has no thread of gRPC's, and may do all but use it. So it is switched off here, where nobody has set it, and
where gRPC was not imported before. What the child has then inherited it lets go of: sockets that it kept would hide
from the peers that this process has ended, and keep its port.
"""

from __future__ import annotations

import _socket
import gc
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

_log = logging.getLogger("interaction")

SETTING = "GRPC_ENABLE_FORK_SUPPORT"
_CORE = "grpc._cython.cygrpc"  # it reads the setting when it is imported, and never again
_REST_PATIENCE = 1.0  # seconds that a fork waits for gRPC's threads to end, once all that used them has

# How long data may stay unacknowledged (TCP_USER_TIMEOUT), by which our sockets are known among all of the process:
# gRPC sets it to `grpc.keepalive_timeout_ms`. Multiples of 20, which no kernel rounds.
CHANNEL_MARK_MS = 5_180
SERVER_MARK_MS = 20_180
_MARKS = (CHANNEL_MARK_MS, SERVER_MARK_MS)
_MARKED_BY = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux
_OFF = ("0", "false", "no", "n", "f", "off")
_THREADS = ("grpc", "event_engine")  # how the names of gRPC's threads begin, as the system has them


class _Open(Protocol):
    """What has a file descriptor. Once it is closed `fileno()` raises, or is negative."""

    def fileno(self) -> int: ...


def _import_grpc() -> tuple[bool, bool]:
    """Import it, without its own handling of forks where nobody has set that. Returns whether that is on, and unasked.

    What this process starts may want it: the setting is there no longer than it is needed.
    """
    wish = os.environ.get(SETTING)
    if wish is not None:
        return wish.lower() not in _OFF, False
    if _CORE in sys.modules:
        return True, True
    os.environ[SETTING] = "0"
    try:
        import grpc  # noqa: F401 - and with it its core
    finally:
        del os.environ[SETTING]
    return False, False


_handled, _to_warn = _import_grpc()
_users: set[object] = set()  # what uses gRPC in this process
_used = False  # whether anything has, in this process
_rests = True  # whether gRPC was seen to be at rest when the process forked last
_tired = False  # whether that was waited for in vain since the last use
_inherited = False  # whether this process was forked from one in which gRPC was not at rest
_gate = threading.RLock()
_ours: weakref.WeakSet[_Open] = weakref.WeakSet()


def check() -> None:
    """Raise RuntimeError in a process that was forked from one that used gRPC."""
    if _inherited:
        raise RuntimeError(
            "this process was forked from one in which a master or slave ran, or something else used gRPC, which does "
            "not survive that: start it by the method 'spawn' (multiprocessing.get_context('spawn')), or before them"
        )


def check_may_wait(over: bool) -> None:
    """Raise RuntimeError in a forked child, where what is not over by now never will be."""
    if _inherited and not over:
        raise RuntimeError(
            "this is under way in the process that this one was forked from, and its end is known only there; a child "
            "that is to have its own has to be started by the method 'spawn' (multiprocessing.get_context('spawn'))"
        )


def inherited() -> bool:
    """Whether this process was forked from one that used gRPC: what ran there, runs there alone."""
    return _inherited


def enter(user: object) -> None:
    """Something begins to use gRPC. Raises RuntimeError as `check()`."""
    global _used, _tired
    check()
    _users.add(user)
    _used, _tired = True, False


def leave(user: object) -> None:
    """It uses gRPC no more."""
    _users.discard(user)


@contextmanager
def held_off() -> Iterator[None]:
    """No fork meanwhile, for who starts a process: a child of that moment would keep pipes whose end is waited for."""
    with _gate:
        yield


def let_go_of(opened: _Open) -> None:
    """A forked child is to let go of this, if it is still open then."""
    _ours.add(opened)


def _before() -> None:
    global _rests
    _gate.acquire()
    _rests = not _inherited and not _users and (_comes_to_rest() if _used else _handled or not _runs())


def _comes_to_rest() -> bool:
    """Whether what gRPC had for those that used it has ended, or does so soon."""
    global _tired
    if _runs() and not _tired:
        gc.collect()  # its objects keep one another alive
        deadline = time.monotonic() + _REST_PATIENCE
        while _runs() and time.monotonic() < deadline:
            time.sleep(0.001)  # nothing tells when its threads have ended
        _tired = _runs()
    return not _runs()


def _runs() -> bool:
    """Whether there are threads of gRPC's; where that can't be seen, yes."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return True
    for task in tasks:
        with suppress(OSError):  # it has ended meanwhile
            if (task / "comm").read_text().startswith(_THREADS):
                return True
    return False


def _after_in_parent() -> None:
    global _to_warn
    _gate.release()
    if _to_warn and not _rests:
        _to_warn = False
        _log.warning(
            "this process has forked while gRPC, which was imported before interaction, handles forks by itself: that "
            "ends some of the children, or lets them hang. Import interaction before grpc, or set %s=0 in the "
            "environment",
            SETTING,
        )


def _after_in_child() -> None:
    global _used, _inherited, _gate
    _gate = threading.RLock()
    used, _used, _inherited = _used, False, not _rests
    _users.clear()
    opened = _pipes() + (_sockets() if used and _inherited else [])
    if not opened:
        return
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in opened:
        # The number stays taken: else a file of the user's might get it, and be written to by whom it was before.
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def _sockets() -> list[int]:
    """The sockets of our servers and channels, in that order.

    A slave's heartbeat, which goes by a channel, is the last to break: who asks then who is there finds nobody.
    """
    if _MARKED_BY is None:
        return []
    found = []
    with _no_default_timeout():
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # it is no socket, or not of TCP, or was that of the listing
                looked_at = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=int(name))
                try:
                    mark = looked_at.getsockopt(socket.IPPROTO_TCP, _MARKED_BY)
                    if mark in _MARKS:
                        found.append((-mark, int(name)))
                finally:
                    looked_at.detach()
    return [descriptor for _, descriptor in sorted(found)]


@contextmanager
def _no_default_timeout() -> Iterator[None]:
    """With one, or by gevent's sockets, to look at a socket would be to make it non-blocking, in the parent as well."""
    timeout = _socket.getdefaulttimeout()
    _socket.setdefaulttimeout(None)
    try:
        yield
    finally:
        _socket.setdefaulttimeout(timeout)


def _pipes() -> list[int]:
    found = []
    for opened in list(_ours):
        with suppress(OSError, ValueError):  # it is closed
            found.append(opened.fileno())
    return [descriptor for descriptor in found if descriptor >= 0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
