"""What it takes to construct a slave once more in a child process that is spawned, and what keeps it from that."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import secrets
import sys
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from interaction.secret import MOST, Secret
from interaction.slave.withheld import withheld
from interaction.tls import TLS

_FOLDER: str = getattr(multiprocessing.process, "ORIGINAL_DIR", None) or ""  # from which it finds the script
_ours: weakref.WeakSet[BaseProcess] = weakref.WeakSet()
UNGUARDED = 78  # the exit code of a child in which the script started its slave again


class Unguarded(RuntimeError):
    """The child reads the script, which starts the slave: it should do so behind its guard."""


class _Pickler(ForkingPickler):
    def reducer_override(self, it: object) -> Any:
        """Called with each object that is to be written."""
        return it.without_key().__reduce_ex__(4) if isinstance(it, TLS) else NotImplemented


class Parcel:
    """A class and its arguments, on their way to a child: unpacked there by `open()`, where what fails can be told.

    A key of TLS stays here: the child serves nobody, and who runs there need not be trusted with it.
    """

    def __init__(self, kind: type, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        self._content: Any = (kind, given, named)

    def __getstate__(self) -> bytes:
        return bytes(_Pickler.dumps(self._content))  # while the child is started: as only then locks may be

    def __setstate__(self, content: bytes) -> None:
        self._content = content

    def open(self) -> tuple[type, Sequence[Any], Mapping[str, Any]]:
        """What it holds, in the child. Raises whatever keeps it from that."""
        kind, given, named = ForkingPickler.loads(self._content)
        return kind, given, named


def without_secrets(
    given: Sequence[Any], named: Mapping[str, Any], secret: Secret | None
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a slave's class for a child, which signs and checks nothing: in the place of the secret, or of
    several, stand others that nobody knows, so that whatever the class does with its arguments it can do there, too."""
    if secret is None:
        return given, named
    stand_in = partial(_stand_in, frozenset(secret.keys))
    return [stand_in(one) for one in given], {name: stand_in(one) for name, one in named.items()}


def _stand_in(keys: frozenset[bytes], argument: Any) -> Any:
    if type(argument) in (list, tuple) and len(argument) <= MOST:
        return type(argument)(secrets.token_urlsafe(32) if _is_one(one, keys) else one for one in argument)
    return secrets.token_urlsafe(32) if _is_one(argument, keys) else argument


def _is_one(argument: Any, keys: frozenset[bytes]) -> bool:
    return isinstance(argument, str) and argument.encode(errors="replace") in keys


def check_can_spawn(kind: type) -> None:
    """Raise RuntimeError where no child process can construct this class, whatever its arguments are."""
    name = kind.__name__
    if multiprocessing.current_process().daemon:
        raise RuntimeError(
            f"{name}(isolation='process') needs a child process, and this process is a daemon of multiprocessing's, "
            "which may have none: start it with Process(..., daemon=False)"
        )
    main = sys.modules.get("__main__")
    if getattr(main, "__spec__", None) is not None:  # python -m
        return
    file = getattr(main, "__file__", None)
    if file is None and kind.__module__ == "__main__":
        raise RuntimeError(
            f"isolation='process' constructs {name} in a child process once more, which can't import it: it was made "
            "by `python -c` or in an interactive session. Put the class into a file, and import it from there"
        )
    if file is not None and not os.path.exists(os.path.join(_FOLDER, file)):
        raise RuntimeError(
            f"isolation='process' starts a child process, which reads the program once more, and {file!r} is no file: "
            "a program that comes on standard input has to be put into one"
        )


def blocking_pipe() -> tuple[Connection, Connection]:
    """Both ends of a pipe that waits, also where `socket.socketpair` is patched: gevent's never do."""
    ends = multiprocessing.Pipe()
    for end in ends:
        os.set_blocking(end.fileno(), True)
    return ends


def start(process: BaseProcess) -> None:
    """Start it, without what is secret here. Raises what `start()` does.

    multiprocessing forgets it in a forked child, which at its end would wait for it, and fail aloud.
    """
    _ours.add(process)
    with withheld():
        process.start()


def _forget_inherited() -> None:
    for process in list(_ours):
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)


def end_unguarded() -> None:
    """Have this process, which can't but end by an `Unguarded`, tell its parent so: by its exit code."""

    def end(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        sys.__excepthook__(kind, error, traceback)
        if isinstance(error, Unguarded):
            sys.stderr.flush()
            os._exit(UNGUARDED)

    sys.excepthook = end
