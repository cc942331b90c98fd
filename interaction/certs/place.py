"""Folders that hold keys: nobody else may write there, and nothing in them is replaced unasked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from interaction import places

FOLDER, FILE = 0o700, 0o600


def check(folder: Path) -> None:
    """Raise ValueError where somebody else could put or swap files in it: a key is only as good as its place."""
    places.check_folder(Path(os.path.realpath(folder)))


@contextmanager
def filling(folder: Path, names: Sequence[str], instead: str) -> Iterator[None]:
    """Make a folder for its owner alone, unless it is there, in which those names are free, and are to be filled.

    Where that is broken off, nothing of it stays. Raises OSError, ValueError as `check()`, and FileExistsError where
    one is there; `instead` says in it what to do where all are.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    free = False
    try:
        for each in reversed(new):
            each.mkdir(mode=FOLDER)
        check(folder)
        _check_free(folder, names, instead)
        free = True
        yield
    except BaseException:
        for name in names if free else ():
            _remove(folder / name)
        for each in new:
            with suppress(OSError):  # somebody has put something there
                each.rmdir()
        raise


def _check_free(folder: Path, names: Sequence[str], instead: str) -> None:
    there = [str(folder / name) for name in names if os.path.lexists(folder / name)]
    if there:
        if len(there) < len(names):
            instead = f"where that is what a broken-off run has left, `rm -r {' '.join(there)}`, and run this again"
        raise FileExistsError(f"{there[0]} is there, and is not replaced: nothing was written; {instead}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into the folder, each at once and for its owner alone, in the place of those that are there."""
    for name, content in files.items():
        new = folder / f".{name}.new"
        new.unlink(missing_ok=True)
        try:
            number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), FILE)
            with open(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, folder / name)
        finally:
            new.unlink(missing_ok=True)
