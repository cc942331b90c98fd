"""Where a journal is: a place in which nobody else can put, swap or read its files. SQLite itself asks nothing of that.

What is asked:

- the file and those that SQLite keeps beside it are files with one name each, of the user who runs this, and for that
  user alone;
- their folder, and those above it, are as `places.py` asks; their own is not excused by being sticky, for whoever may
  put a log beside a journal that has none yet has it read.

So nobody can change anything between this look and SQLite's; and when SQLite has it open, it is looked at again.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from interaction import places
from interaction.exception import JournalError

MINE = 0o600  # the files hold tokens
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder"}


def claim(path: Path) -> tuple[Path, int]:
    """The file without symbolic links on the way to it, and a descriptor of it; it is made where it is not there.

    Raises OSError, and JournalError where somebody else could have a hand in it, with what to do about that.
    """
    if not places.IS_GUARDED:
        return path, os.open(path, os.O_RDWR | os.O_CREAT, MINE)
    file = Path(os.path.realpath(path.parent)) / path.name
    _check(path, file)
    return file, os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MINE)


def check_opened(path: Path) -> None:
    """Raise JournalError where it is no longer what `claim()` found: to be asked of its file, when SQLite has it open.

    Nothing is opened here, for a process that closes a file lets go of its locks.
    """
    if places.IS_GUARDED:
        _check(path, path)
        check_private(path)


def _check(path: Path, file: Path) -> None:
    try:
        places.check_folder(file.parent)
    except places.Exposed as exposed:
        raise _refused(path, str(exposed)) from None
    for each in _files_of(file):
        _check_file(path, each)


def check_private(path: Path) -> None:
    """Raise JournalError where others may read or write it. To be asked when it is known to be a journal: the remedy
    is not to be tried on what is not."""
    for file in _files_of(path) if places.IS_GUARDED else ():
        mode = stat.S_IMODE(file.lstat().st_mode) if file.exists() else 0
        if mode & _OTHERS:
            done = "written" if mode & (stat.S_IWGRP | stat.S_IWOTH) else "read"
            raise _refused(
                path,
                f"{file} could be {done} by others (mode {mode:04o}): if you trust what it holds, `chmod 600 {file}`",
            )


def _files_of(file: Path) -> list[Path]:
    return [Path(f"{file}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")]


def _check_file(path: Path, file: Path) -> None:
    """Raises JournalError where it is there, and no file of ours alone."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        what = _KINDS.get(kind, "no file that can be written")
        raise _refused(
            path, f"{file} is {what}: " + ("name the file itself" if file.name == path.name else "remove it")
        )
    if found.st_uid != os.geteuid():
        raise _refused(
            path,
            f"{file} belongs to {places.name_of(found.st_uid)}, and this process to {places.name_of(os.geteuid())}: "
            "find out who put it there, and use another file, or run this as that user",
        )
    if found.st_nlink > 1:
        raise _refused(
            path, f"{file} has {found.st_nlink} names (hard links), by which others may have it: use a copy of it"
        )


def _refused(path: Path, why: str) -> JournalError:
    return JournalError(f"the journal {path} is not used, for {why}")
