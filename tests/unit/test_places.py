"""Who could change what is at a place: another user, a group, an access list, a link; and who could not."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from interaction import places
from interaction.places import Exposed

SOMEBODY = 12345
is_mine_alone = places.is_mine_alone  # that of the system which tests pretend


@pytest.fixture(autouse=True)
def no_group_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "is_mine_alone", lambda _: False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir(0o700)
    return made


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "key.pem"
    made.touch(0o600)
    return made


class System:
    """Users and groups."""

    def __init__(self, users: Sequence[tuple[str, int, int]], groups: Mapping[int, tuple[str, Sequence[str]]]) -> None:
        self._users = [pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh")) for name, uid, gid in users]
        self._groups = {
            gid: grp.struct_group((name, "x", gid, list(members))) for gid, (name, members) in groups.items()
        }

    def use(self, me: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: me)
        monkeypatch.setattr(pwd, "getpwall", lambda: self._users)
        monkeypatch.setattr(pwd, "getpwuid", lambda number: {user.pw_uid: user for user in self._users}[number])
        monkeypatch.setattr(grp, "getgrgid", lambda number: self._groups[number])


def test_of_all_groups_one_is_a_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, a group that the system did not know was one's own, and so was one in which it knew nobody."""
    users = [("root", 0, 0), ("me", 1000, 1000), ("you", 1001, 1001), ("she", 1002, 100), ("he", 1003, 1003)]
    groups = {
        0: ("root", []),
        1000: ("me", ["me", "root"]),
        1001: ("you", ["me"]),  # me, in another's
        100: ("users", []),
        1002: ("she", []),  # of her name, and not her first
        1003: ("others", []),  # his first, and not of his name
        50: ("me-and-root", ["me", "root"]),
        53: ("nobody-there", []),
    }
    system = System(users, groups)
    found = {}
    for name, me, _ in users:
        system.use(me, monkeypatch)
        found[name] = {group for group in (*groups, 54, 4294967294) if is_mine_alone(group)}
    assert found == {"root": set(), "me": {1000}, "you": set(), "she": set(), "he": set()}
    System([*users, ("it", 1004, 1000)], groups).use(1000, monkeypatch)
    assert not is_mine_alone(1000)  # somebody else's first one, too
    system.use(77, monkeypatch)  # a user whom the system does not know
    assert not any(map(is_mine_alone, (*groups, 77)))


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o1777, 0o1770, 0o555])
def test_a_file_in_a_folder_where_nobody_could_swap_it_is_taken(folder: Path, file: Path, mode: int) -> None:
    """In one that is sticky as well: so are those of Kubernetes."""
    folder.chmod(mode)
    assert places.check_file(file).st_ino == file.stat().st_ino


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o730])
@pytest.mark.parametrize("above", [False, True])
def test_a_file_in_a_folder_where_others_could_swap_it_is_refused(folder: Path, mode: int, above: bool) -> None:
    path = folder / "below/key.pem" if above else folder / "key.pem"
    path.parent.mkdir(0o700, exist_ok=True)
    path.touch(0o600)
    folder.chmod(mode)
    with pytest.raises(
        Exposed, match=rf"others may write in the folder {folder} \(mode {mode:04o}\).*`chmod go-w {folder}`"
    ):
        places.check_file(path)
    folder.chmod(0o755)
    assert places.check_file(path)


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(Exposed, match=rf"others may write in {file} \(mode {mode:04o}\): `chmod go-w {file}`"):
        places.check_file(file)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o640, 0o755])
def test_a_file_that_others_may_read_is_taken(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert stat.S_IMODE(places.check_file(file).st_mode) == mode


def test_links_are_followed_to_where_they_lead(folder: Path, tmp_path: Path) -> None:
    """As Kubernetes has them: a file leads to `..data`, and that to the folder of the day."""
    (folder / "..2026").mkdir(0o755)
    (folder / "..2026/key.pem").touch(0o644)
    (folder / "..data").symlink_to("..2026")
    (folder / "key.pem").symlink_to("..data/key.pem")
    (tmp_path / "far").symlink_to(folder)
    (tmp_path / "near").symlink_to("far")
    folder.chmod(0o1777)
    for path in (folder / "key.pem", tmp_path / "near/key.pem", tmp_path / "near/../mine/..data/key.pem"):
        assert places.check_file(path).st_ino == (folder / "..2026/key.pem").stat().st_ino
    (folder / "..2026").chmod(0o777)
    with pytest.raises(Exposed, match=rf"others may write in the folder {folder}/\.\.2026 "):
        places.check_file(tmp_path / "near/key.pem")


def test_a_link_that_others_could_swap_is_refused(folder: Path, file: Path, tmp_path: Path) -> None:
    """Where it leads to now says nothing of where it leads to when the file is read."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (open_to_all / "link").symlink_to(folder)
    with pytest.raises(Exposed, match=f"others may write in the folder {open_to_all} "):
        places.check_file(open_to_all / "link/key.pem")
    open_to_all.chmod(0o1777)
    assert places.check_file(open_to_all / "link/key.pem")


def test_links_that_lead_to_one_another_end(folder: Path) -> None:
    (folder / "one").symlink_to("other")
    (folder / "other").symlink_to("one")
    with pytest.raises(OSError, match="links") as raised:
        places.check_file(folder / "one")
    assert raised.value.errno == errno.ELOOP


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_is_another_users_is_refused(folder: Path, file: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sticky folder anybody may have put it there."""
    (folder / "link").symlink_to(file)
    theirs = {"file": file, "folder": folder, "link": folder / "link"}[what]
    real = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: owned(real(path)) if path == theirs else real(path))
    with pytest.raises(Exposed, match=rf"{theirs} belongs to the user {SOMEBODY}, and this process to .*of your own"):
        places.check_file(folder / "link")


def owned(found: os.stat_result) -> os.stat_result:
    return os.stat_result([*found[:4], SOMEBODY, *found[5:]])


def test_what_is_not_there_is_told_as_that(folder: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        places.check_file(folder / "none.pem")
    with pytest.raises(NotADirectoryError):
        places.check_file(file / "below")


def test_a_pipe_that_a_shell_has_opened_is_taken() -> None:
    """As `<(command)` names it."""
    reading, writing = os.pipe()
    try:
        if os.path.exists(f"/proc/self/fd/{reading}"):
            assert stat.S_ISFIFO(places.check_file(Path(f"/dev/fd/{reading}")).st_mode)
    finally:
        os.close(reading)
        os.close(writing)
