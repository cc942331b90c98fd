"""TLS is read from places that nobody else may write, at the beginning and whenever it is read again; and what is made
of a TLS by `replace()` is read again as it was."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interaction import TLS, places
from interaction.certs import fleet
from interaction.rpc.pacemaker import beat

PARTS = ("authority", "certificate", "key")
Make = Callable[[Path], TLS]


def by_files(folder: Path) -> TLS:
    return TLS.from_files(mutual=True, **{part: folder / f"{part}.pem" for part in PARTS})  # type: ignore[arg-type]


MAKES = pytest.mark.parametrize("make", [TLS.from_folder, by_files], ids=["from_folder", "from_files"])


@pytest.fixture(autouse=True)
def no_group_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "is_mine_alone", lambda _: False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fleet.create(tmp_path_factory.mktemp("made") / "certs")


@pytest.fixture
def certs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "certs"))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return fleet.create(tmp_path / "theirs")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@MAKES
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_is_an_error(certs: Path, make: Make, mode: int) -> None:
    certs.chmod(mode)
    told = (
        rf"the TLS (authority|certificate) \({certs}/\w+\.pem\) is not to be trusted: others may write in the folder "
        rf"{certs} \(mode {mode:04o}\), .*`chmod go-w {certs}`"
    )
    with pytest.raises(ValueError, match=told) as raised:
        make(certs)
    assert "\n" not in str(raised.value)
    assert raised.value.__suppress_context__
    certs.chmod(0o755)
    assert make(certs).member is not None


@MAKES
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_file_that_others_may_write_is_an_error(certs: Path, make: Make, part: str, mode: int) -> None:
    file = certs / f"{part}.pem"
    file.chmod(mode)
    told = rf"the TLS {part} \({file}\) is not to be trusted: others may write in {file} \(mode {mode:04o}\)"
    with pytest.raises(ValueError, match=told):
        make(certs)


@MAKES
def test_a_folder_above_that_others_may_write_is_an_error(certs: Path, tmp_path: Path, make: Make) -> None:
    tmp_path.chmod(0o775)
    try:
        with pytest.raises(ValueError, match=rf"others may write in the folder {tmp_path} "):
            make(certs)
    finally:
        tmp_path.chmod(0o700)


@MAKES
def test_what_another_user_puts_there_later_is_not_read(
    certs: Path, theirs: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, a slave that ran took orders by another user's authority from then on."""
    tls = make(certs)
    certs.chmod(0o777)
    shutil.copy(theirs / "authority.pem", certs / "new")
    os.replace(certs / "new", certs / "authority.pem")
    for _ in range(3):
        tls.look()
    assert tls.current is tls
    (told,) = said(caplog)
    assert told.startswith("the TLS files have changed; what they held before stays in use, for the TLS certificate (")
    assert f"others may write in the folder {certs} (mode 0777)" in told
    shutil.copy(certs / "authority/authority.pem", certs / "new")
    os.replace(certs / "new", certs / "authority.pem")
    certs.chmod(0o700)
    fleet.renew(certs, certs)
    tls.look()
    assert tls.current.certificate == (certs / "certificate.pem").read_bytes()


@pytest.mark.parametrize("part", PARTS)
def test_what_others_may_write_by_now_is_not_read_again(certs: Path, part: str) -> None:
    tls = TLS.from_folder(certs)
    fleet.renew(certs, certs)
    (certs / f"{part}.pem").chmod(0o666)
    tls.look()
    assert tls.current is tls
    (certs / f"{part}.pem").chmod(0o600)
    tls.look()
    assert tls.current.key == (certs / "key.pem").read_bytes()


def test_a_pacemaker_keeps_what_it_was_told_where_others_may_write(certs: Path) -> None:
    tls = TLS.from_folder(certs)
    fleet.renew(certs, certs)
    certs.chmod(0o777)
    pems = [pem.decode("latin-1") for pem in (tls.certificate, tls.key, tls.authority) if pem is not None]
    assert beat.tls_of([*pems, dict(tls.files), True, tls.server_name]) == tls


def test_a_volume_of_kubernetes_is_taken_and_read_again(certs: Path, tmp_path: Path) -> None:
    """The volume is for all to write, and sticky; its files are links into the folder of the day."""
    volume = tmp_path / "volume"
    volume.mkdir()

    def publish(day: str) -> None:
        shutil.copytree(certs, volume / day, ignore=shutil.ignore_patterns("authority"))
        for part in PARTS:
            (volume / day / f"{part}.pem").chmod(0o644)
        (volume / day).chmod(0o755)
        (volume / "..data_tmp").symlink_to(day)
        os.replace(volume / "..data_tmp", volume / "..data")

    publish("..monday")
    for part in PARTS:
        (volume / f"{part}.pem").symlink_to(f"..data/{part}.pem")
    volume.chmod(0o1777)
    tls = TLS.from_folder(volume)
    fleet.renew(certs, certs)
    publish("..tuesday")
    tls.look()
    assert tls.current.certificate == (certs / "certificate.pem").read_bytes()


@MAKES
@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604])
def test_a_key_that_others_may_read_is_told_once(
    certs: Path, make: Make, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Certificates that others may read are no matter."""
    for part in ("authority", "certificate"):
        (certs / f"{part}.pem").chmod(0o644)
    tls = make(certs)
    assert said(caplog) == []
    (certs / "key.pem").chmod(mode)
    tls = make(certs)
    tls.look()
    assert said(caplog) == [f"others on this machine may read the TLS key ({certs}/key.pem): `chmod 600` it"]


@pytest.mark.parametrize(("mode", "told"), [(0o440, False), (0o640, False), (0o444, True)])
def test_a_key_of_roots_that_a_group_may_read_is_given_that_way(
    certs: Path, mode: int, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As those of Kubernetes with an fsGroup, and of systemd: `chmod 600` would take it away from who is to read it."""
    (certs / "key.pem").chmod(mode)
    roots = {certs / "key.pem": 0}
    look = os.stat

    def told_of(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        found = look(path, *arguments, **named)
        return os.stat_result([*found[:4], roots.get(Path(str(path)), found[4]), *found[5:]])

    monkeypatch.setattr(os, "stat", told_of)
    monkeypatch.setattr("interaction.pem.os.geteuid", lambda: 1000)
    monkeypatch.setattr(places, "check_owner", lambda *_: None)
    TLS.from_folder(certs)
    assert bool(said(caplog)) is told


# replace()


@MAKES
def test_what_is_made_by_replace_is_read_again(certs: Path, make: Make) -> None:
    """Before, it stayed as it was for ever, and nothing said so."""
    tls = make(certs)
    for made in (replace(tls, server_name="other"), replace(replace(tls, plain_peers=True), server_name="other")):
        assert made.files == tls.files
        fleet.renew(certs, certs)
        made.look()
        assert made.current.certificate == (certs / "certificate.pem").read_bytes()
        assert made.current.server_name == "other"
        tls.look()
        assert tls.current.server_name == tls.server_name
        assert tls.current.certificate == made.current.certificate
    late = replace(tls, server_name="late")  # what it is made of has been read again since
    late.look()
    assert late.current.certificate == (certs / "certificate.pem").read_bytes()


def test_what_replace_is_given_is_not_read_from_the_file(certs: Path, theirs: Path) -> None:
    tls = TLS.from_folder(certs)
    both = (certs / "authority.pem").read_bytes() + (theirs / "authority.pem").read_bytes()
    made = replace(tls, authority=both)
    assert set(made.files) == {"certificate", "key"}
    fleet.renew(certs, certs)
    made.look()
    assert made.current.authority == both
    assert made.current.certificate == (certs / "certificate.pem").read_bytes()
    bare = replace(tls, certificate=None, key=None)
    assert set(bare.files) == {"authority"}
    given = TLS(authority=both)
    assert replace(given, server_name="x").files == {}
    assert copy(tls) is tls


def test_what_holds_no_key_has_none_in_any_corner(certs: Path) -> None:
    tls = TLS.from_folder(certs)
    for made in (tls.without_key(), replace(tls, certificate=None, key=None, masters=None, slaves=None)):
        assert b"PRIVATE KEY" not in pickle.dumps(made)
