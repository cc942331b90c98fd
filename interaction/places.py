"""Places on this machine from which keys and journals are read, and who but this user could change what is there.

One rule for all of them: a file, and each folder and link on the way to it, belongs to this user or to root, and nobody
else may write there. A folder in which others may write is as good where it is sticky (`/tmp`): what is there stays
what it is, as long as it is there.

A group that may write is others, but for the one that systems make for each user: known to the system, the user's
first, of the user's name, and with nobody else in it. Any other may have members of whom the system's list knows
nothing, since containers and services are given groups by number; above all group 0, which is given where none is said.
Where there is an access list (on Linux; `+` in `ls -l`), the group's place in the mode is what the list grants at most,
and so no group is excused.

Nothing of this is asked on Windows, where files are guarded otherwise.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

_LIST = "system.posix_acl_access"
_MOST_LINKS = 40  # on the way to a file, as Linux has it
IS_GUARDED = sys.platform != "win32"


class Exposed(ValueError):
    """Somebody else could change what is there: which place, how, and what to do about it."""


def check_folder(folder: Path, *, sticky: bool = False) -> None:
    """Raise Exposed where others could put files of theirs in the folder, or another one in its place.

    The folder has no links on the way to it; `sticky` says whether it may be one in which others add files.
    Raises OSError where it can't be looked at.
    """
    if IS_GUARDED:
        _check_folder(folder, sticky)
        for above in folder.parents:
            _check_folder(above, True)


def check_file(path: Path) -> os.stat_result:
    """What is known of a file, that the path leads to now. Links are followed, as Kubernetes has them.

    Raises Exposed where others could write in it, or put another one in its place, and OSError where it isn't there.
    """
    if not IS_GUARDED:
        return path.stat()
    at, rest, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    _check_folder(at, True)
    while rest:
        name = rest.pop()
        if name == "..":
            at = at.parent
            continue
        at /= name
        found = at.lstat()
        check_owner(at, found)
        if at.parts[:2] == ("/", "proc"):  # this process's own pipes and files, by their numbers; links lead nowhere
            at, found = path, path.stat()
            check_owner(at, found)
            rest.clear()
        elif stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = Path(os.readlink(at))
            at = Path(target.anchor) if target.is_absolute() else at.parent
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        if rest:
            _check_folder(at, True)
    found = at.stat()
    if stat.S_ISREG(found.st_mode) and others_may_write(at, found):
        raise Exposed(f"others may write in {at} ({_mode_of(at, found)}): `chmod go-w {at}`")
    return found


def check_owner(path: Path, found: os.stat_result) -> None:
    """Raise Exposed where it is another user's than root's, or that of this process."""
    if found.st_uid not in (0, os.geteuid()):
        raise Exposed(
            f"{path} belongs to {name_of(found.st_uid)}, and this process to {name_of(os.geteuid())}: "
            f"use {'a folder' if stat.S_ISDIR(found.st_mode) else 'one'} of your own, or run this as that user"
        )


def others_may_write(path: Path, found: os.stat_result) -> bool:
    """Whether somebody but its owner and root may write there, sticky or not."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and (_has_list(path) or not is_mine_alone(found.st_gid))


def is_mine_alone(group: int) -> bool:
    """Whether it is the group that the system has made for this user, with nobody else in it."""
    import grp
    import pwd

    try:
        me, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    if group == 0 or me.pw_gid != group or found.gr_name != me.pw_name:
        return False
    known = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group}
    return known <= {0, me.pw_uid} and set(found.gr_mem) <= {me.pw_name, "root"}


def name_of(user: int) -> str:
    """How a user is called in a message."""
    import pwd

    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user {user}"


def _check_folder(folder: Path, sticky: bool) -> None:
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    check_owner(folder, found)
    if sticky and found.st_mode & stat.S_ISVTX:
        return
    if others_may_write(folder, found):
        raise Exposed(
            f"others may write in the folder {folder} ({_mode_of(folder, found)}), and could put theirs in the place "
            f"of what is there: `chmod go-w {folder}`, or use a folder of your own, such as by `mkdir -m 700`"
        )


def _mode_of(path: Path, found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}{', with an access list' if _has_list(path) else ''}"


def _has_list(path: Path) -> bool:
    """Whether an access list says who may do what. Where that can't be known, there may be one."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        return bool(os.getxattr(path, _LIST))
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.EOPNOTSUPP)
