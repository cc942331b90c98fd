"""Where a journal is: a place in which nobody else can put, swap or read its files. SQLite itself asks nothing of that.

What is asked, by what `ls -l` shows (access lists are not read):

- the file and those that SQLite keeps beside it are files with one name each, of the user who runs this, and for that
  user alone;
- their folder is of that user or root, and nobody else may write there: sticky or not, for whoever may put a log beside
  a journal that has none yet has it read;
- the folders above that are of that user or root, and those in which everybody may write are sticky.

So nobody can change anything between this look and SQLite's.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

from interaction.exception import JournalError

MINE = 0o600  # the files hold tokens
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder"}


def claim(path: Path) -> tuple[Path, int]:
    """The file without symbolic links on the way to it, and a descriptor of it; it is made where it is not there.

    Raises OSError, and JournalError where somebody else could have a hand in it, with what to do about that.
    """
    if sys.platform == "win32":  # where none of this is how a file is guarded
        return path, os.open(path, os.O_RDWR | os.O_CREAT, MINE)
    folder = Path(os.path.realpath(path.parent))
    _check_folder(path, folder)
    for above in folder.parents:
        _check_above(path, above)
    file = folder / path.name
    for each in _files_of(file):
        _check_file(path, each)
    return file, os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MINE)


def check_private(path: Path) -> None:
    """Raise JournalError where others may read or write it. To be asked when it is known to be a journal: the remedy
    is not to be tried on what is not."""
    for file in _files_of(path) if sys.platform != "win32" else ():
        mode = stat.S_IMODE(file.lstat().st_mode) if file.exists() else 0
        if mode & _OTHERS:
            done = "written" if mode & (stat.S_IWGRP | stat.S_IWOTH) else "read"
            raise _refused(
                path,
                f"{file} could be {done} by others (mode {mode:04o}): if you trust what it holds, `chmod 600 {file}`",
            )


def _files_of(file: Path) -> list[Path]:
    return [Path(f"{file}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")]


def _check_folder(path: Path, folder: Path) -> None:
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    _check_owner(path, folder, found)
    mode = found.st_mode
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_mine_alone(found.st_gid)):
        raise _refused(
            path,
            f"others may write in {folder} (mode {stat.S_IMODE(mode):04o}), and could put files of theirs beside it: "
            "use a folder of your own, such as by `mkdir -m 700`",
        )


def _check_above(path: Path, folder: Path) -> None:
    found = folder.stat()
    _check_owner(path, folder, found)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise _refused(
            path,
            f"everybody may write in {folder} (mode {stat.S_IMODE(found.st_mode):04o}), and could put theirs "
            f"in the place of a folder of yours: `chmod +t {folder}`, or use a folder elsewhere",
        )


def _check_owner(path: Path, folder: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise _refused(
            path,
            f"{folder} belongs to {_name_of(found.st_uid)}, and this process to {_name_of(os.geteuid())}: "
            "use a folder of your own, or run this as that user",
        )


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
            f"{file} belongs to {_name_of(found.st_uid)}, and this process to {_name_of(os.geteuid())}: "
            "find out who put it there, and use another file, or run this as that user",
        )
    if found.st_nlink > 1:
        raise _refused(
            path, f"{file} has {found.st_nlink} names (hard links), by which others may have it: use a copy of it"
        )


def _is_mine_alone(group: int) -> bool:
    """Whether nobody else but root is known to be in that group, as in those that systems make for each user."""
    import grp
    import pwd

    me = os.geteuid()
    try:
        named = grp.getgrgid(group).gr_mem
    except KeyError:
        named = []
    users = pwd.getpwall()
    within = {user.pw_uid for user in users if user.pw_gid == group or user.pw_name in named}
    return within <= {0, me} and {user.pw_name for user in users} >= set(named)


def _name_of(user: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user {user}"


def _refused(path: Path, why: str) -> JournalError:
    return JournalError(f"the journal {path} is not used, for {why}")
