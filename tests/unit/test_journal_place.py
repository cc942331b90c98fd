"""A journal lies where nobody else can put, swap or read its files, or it is refused with a sentence that says why."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interaction import Master, places
from interaction.core.journal import SessionKept
from interaction.exception import JournalError
from interaction.journal import Journal
from tests.unit.journals import OTHER, SESSION, url_of
from tests.unit.test_journal import written

SOMEBODY = 12345
BESIDE = ("j.db", "j.db-wal", "j.db-shm", "j.db-journal")


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Give a file or folder to another user; where we may not, only what `stat` says of it."""
    given: set[Path] = set()

    def told(look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def tell(path: object, *arguments: object, **named: object) -> os.stat_result:
            found = look(path, *arguments, **named)
            if not isinstance(path, (str, Path)) or Path(path) not in given:
                return found
            return os.stat_result([*found[:4], SOMEBODY, *found[5:]])

        return tell

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
        else:
            given.add(path)

    monkeypatch.setattr(os, "stat", told(os.stat))
    monkeypatch.setattr(os, "lstat", told(os.lstat))
    return give


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "journals"
    made.mkdir(0o700)
    yield made
    made.chmod(0o700)


def a_journal(path: Path) -> None:
    journal = Journal.open(url_of(path))
    try:
        assert written(journal, SessionKept(SESSION)) is None
    finally:
        journal.close()


def refusal(path: Path) -> str:
    with pytest.raises(JournalError) as refused:
        Journal.open(url_of(path)).close()
    assert str(refused.value).startswith(f"the journal {path} is not used, for ")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def grant(folder: Path, rights: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another user have these rights, by an access list, for which the group's place in the mode is the mask."""
    folder.chmod(0o700 | rights << 3)
    entries = ((0x01, 7, -1), (0x02, rights, SOMEBODY), (0x04, 0, -1), (0x10, rights, -1), (0x20, 0, -1))
    content = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(folder, "system.posix_acl_access", content)
    except (AttributeError, OSError):  # not of this system, or of its file system
        monkeypatch.setattr(os, "getxattr", lambda path, _: content if Path(path) == folder else b"", raising=False)


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What is there, and as whose it may be used."""
    return {
        file.name: (stat.S_IMODE(file.lstat().st_mode), file.read_bytes())
        for file in sorted(folder.iterdir())
        if file.is_file()
    }


def test_a_log_that_another_user_has_planted_is_not_read(folder: Path, give: Callable[[Path], None]) -> None:
    """Before, the sessions that it held were resumed: whose slaves and tokens they were, was the planter's to say."""
    path = folder / "j.db"
    a_journal(path)
    copy = folder / "copy.db"
    shutil.copy(path, copy)
    planter = sqlite3.connect(copy)
    try:
        planter.execute("pragma journal_mode = wal")
        planter.execute("delete from sessions")
        planter.execute("insert into sessions values ('z', 'conn', 'evil', 1, 0, 'i', x'', '')")
        planter.commit()
        shutil.copy(f"{copy}-wal", f"{path}-wal")  # before it is closed, which would empty it
    finally:
        planter.close()
    Path(f"{path}-wal").chmod(0o600)
    give(Path(f"{path}-wal"))
    said = refusal(path)
    assert f"{path}-wal belongs to the user {SOMEBODY}" in said
    assert "run this as that user" in said


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("there", [True, False])
def test_what_belongs_to_another_user_is_refused(
    folder: Path, name: str, there: bool, give: Callable[[Path], None]
) -> None:
    if there:
        a_journal(folder / "j.db")
    (folder / name).touch(0o600)
    give(folder / name)
    before = state(folder)
    assert f"{folder / name} belongs to the user {SOMEBODY}" in refusal(folder / "j.db")
    assert state(folder) == before


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o666, 0o644])
def test_what_others_may_read_or_write_is_refused_and_left_as_it_is(folder: Path, name: str, mode: int) -> None:
    """Before, its mode was changed, and what others had written or read meanwhile was passed over."""
    a_journal(folder / "j.db")
    (folder / name).touch()
    (folder / name).chmod(mode)
    before = state(folder)
    said = refusal(folder / "j.db")
    assert f"could be {'written' if mode & 0o022 else 'read'} by others (mode {mode:04o})" in said
    assert f"`chmod 600 {folder / name}`" in said
    assert state(folder) == before


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("target", ["a file", "nothing", "a journal"])
def test_a_link_is_not_followed_and_what_it_leads_to_stays_as_it_is(folder: Path, name: str, target: str) -> None:
    """Before, the file that it led to was made, or its mode was changed."""
    elsewhere = folder / "elsewhere"
    if target == "a file":
        elsewhere.touch()
        elsewhere.chmod(0o644)
    elif target == "a journal":
        a_journal(elsewhere)
    before = state(folder)
    (folder / name).symlink_to(elsewhere)
    assert f"{folder / name} is a symbolic link" in refusal(folder / "j.db")
    (folder / name).unlink()
    assert state(folder) == before


@pytest.mark.parametrize("name", BESIDE)
def test_a_file_with_a_second_name_is_refused(folder: Path, name: str) -> None:
    a_journal(folder / "j.db")
    (folder / name).touch(0o600)
    os.link(folder / name, folder / "another")
    assert f"{folder / name} has 2 names (hard links)" in refusal(folder / "j.db")


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("kind", ["a folder", "no file that can be written"])
def test_what_is_no_file_is_refused(folder: Path, name: str, kind: str) -> None:
    (folder / name).mkdir() if kind == "a folder" else os.mkfifo(folder / name, 0o600)
    assert f"{folder / name} is {kind}" in refusal(folder / "j.db")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702, 0o703])
def test_a_folder_in_which_others_may_write_is_refused_sticky_or_not(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    said = refusal(folder / "j.db")
    assert f"others may write in the folder {folder} (mode {mode:04o})" in said
    assert "mkdir -m 700" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_folder_that_a_group_may_write_is_taken_where_nobody_else_is_in_it(
    folder: Path, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems give each user a group, which may write what the user makes."""
    folder.chmod(0o770)
    monkeypatch.setattr(places, "is_mine_alone", lambda group: alone and group == folder.stat().st_gid)
    if alone:
        a_journal(folder / "j.db")
    else:
        assert f"others may write in the folder {folder} (mode 0770)" in refusal(folder / "j.db")


def test_a_folder_of_another_user_is_refused(folder: Path, give: Callable[[Path], None]) -> None:
    give(folder)
    assert f"{folder} belongs to the user {SOMEBODY}" in refusal(folder / "j.db")


def test_so_is_one_below_a_folder_of_another_user(folder: Path, give: Callable[[Path], None]) -> None:
    below = folder / "below"
    below.mkdir(0o700)
    give(folder)
    assert f"{folder} belongs to the user {SOMEBODY}" in refusal(below / "j.db")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o775, 0o1770])
def test_a_folder_that_others_could_swap_is_refused(folder: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, one in a folder of a group's was taken: a member swapped it while SQLite opened the files."""
    monkeypatch.setattr(places, "is_mine_alone", lambda _: False)
    below = folder / "below"
    below.mkdir(0o700)
    folder.chmod(mode)
    if mode & stat.S_ISVTX:
        a_journal(below / "j.db")
    else:
        assert f"others may write in the folder {folder} (mode {mode:04o})" in refusal(below / "j.db")


@pytest.mark.parametrize("above", [False, True])
def test_a_folder_whose_access_list_lets_another_write_is_refused(
    folder: Path, above: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode is then that of a folder which one's own group may write."""
    monkeypatch.setattr(places, "is_mine_alone", lambda _: True)
    path = folder / "below/j.db" if above else folder / "j.db"
    path.parent.mkdir(0o700, exist_ok=True)
    a_journal(path)
    grant(folder, 5, monkeypatch)  # to read it, and to look into it
    a_journal(path)
    grant(folder, 7, monkeypatch)
    said = refusal(path)
    assert f"others may write in the folder {folder} (mode 0770, with an access list)" in said
    folder.chmod(0o750)  # the remedy that is told
    a_journal(path)


@pytest.mark.parametrize("name", ["j.db", "j.db-wal"])
def test_what_is_swapped_while_it_is_opened_is_found_out(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second line of defence: whoever can do that has got past the first one."""
    path = folder / "j.db"
    a_journal(path)
    create = sa.create_engine

    def swapped(*arguments: Any, **options: Any) -> sa.Engine:
        shutil.copy(path, folder / "other")
        (folder / "other").chmod(0o600)
        os.replace(folder / "other", folder / name)
        if name != path.name:
            (folder / name).write_bytes(b"")  # which SQLite takes for its own
            os.link(folder / name, folder / "theirs")
        return create(*arguments, **options)

    monkeypatch.setattr(sa, "create_engine", swapped)
    with pytest.raises(JournalError, match=r"was deleted, moved or replaced|has 2 names"):
        Journal.open(url_of(path)).close()


def test_a_link_on_the_way_to_the_folder_is_resolved_before_the_folder_is_looked_at(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir(0o700)
    (folder / "link").symlink_to(inside)
    a_journal(folder / "link" / "j.db")
    a_journal(inside / "j.db")
    inside.chmod(0o777)
    assert f"others may write in the folder {inside} (mode 0777)" in refusal(folder / "link" / "j.db")


def test_what_is_made_is_for_its_owner_alone_whatever_the_umask_says(folder: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal.open(url_of(folder / "j.db"))
        try:
            assert written(journal, SessionKept(OTHER)) is None
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
            assert modes.pop("j.db") == 0o600
            assert set(modes.values()) == {0o600}
        finally:
            journal.close()
    finally:
        os.umask(before)


def test_a_master_says_it_where_it_is_started(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(JournalError, match="others may write in"):
        Master("127.0.0.1", 0, journal=url_of(folder / "j.db")).start()
