"""What it takes to construct a slave once more in a child process that is spawned, and what keeps it from that."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

_FOLDER: str = getattr(multiprocessing.process, "ORIGINAL_DIR", None) or ""  # from which it finds the script
UNGUARDED = 78  # the exit code of a child in which the script started its slave again


class Unguarded(RuntimeError):
    """The child reads the script, which starts the slave: it should do so behind its guard."""


class Parcel:
    """A class and its arguments, on their way to a child: unpacked there by `open()`, where what fails can be told."""

    def __init__(self, kind: type, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        self._content: Any = (kind, given, named)

    def __getstate__(self) -> bytes:
        return bytes(ForkingPickler.dumps(self._content))  # while the child is started: as only then locks may be

    def __setstate__(self, content: bytes) -> None:
        self._content = content

    def open(self) -> tuple[type, Sequence[Any], Mapping[str, Any]]:
        """What it holds, in the child. Raises whatever keeps it from that."""
        kind, given, named = ForkingPickler.loads(self._content)
        return kind, given, named


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


def end_unguarded() -> None:
    """Have this process, which can't but end by an `Unguarded`, tell its parent so: by its exit code."""

    def end(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        sys.__excepthook__(kind, error, traceback)
        if isinstance(error, Unguarded):
            sys.stderr.flush()
            os._exit(UNGUARDED)

    sys.excepthook = end
