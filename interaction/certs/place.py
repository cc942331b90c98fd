"""Folders that hold keys: nobody else may write there, and nothing in them is replaced unasked."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

FOLDER, FILE = 0o700, 0o600


def make(folder: Path) -> Path:
    """Make a folder for its owner alone, unless it is there. Raises OSError, and ValueError as `check()`."""
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        each.mkdir(mode=FOLDER)
    check(folder)
    return folder


def check(folder: Path) -> None:
    """Raise ValueError where somebody else could put or swap files in it: a key is only as good as its place."""
    real = Path(os.path.realpath(folder))
    for each in (real, *real.parents):
        found = each.stat()
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid not in (0, os.geteuid()):
            raise ValueError(f"the folder {each} is another user's, who could swap what is in it: use one of yours")
        if mode & (stat.S_IWGRP | stat.S_IWOTH) if each == real else mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ValueError(
                f"others may write in the folder {each} (mode {mode:04o}), and could swap what is in it: "
                f"`chmod go-w {each}`, or use another one"
            )


def check_free(folder: Path, names: Mapping[str, bytes]) -> None:
    """Raise FileExistsError where one of them is there."""
    for name in names:
        if os.path.lexists(folder / name):
            raise FileExistsError(f"{folder / name} is there, and is not replaced: nothing was written")


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into the folder, each at once and for its owner alone, in the place of those that are there."""
    for name, content in files.items():
        new = folder / f".{name}.new"
        new.unlink(missing_ok=True)
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), FILE)
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, folder / name)
