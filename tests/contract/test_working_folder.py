"""A place that was named from the working directory stays that place, whatever a task or a program changes to later."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from interaction import TLS, Master
from interaction.certs import fleet
from interaction.exception import SlaveSignatureInvalid
from interaction.rpc import watch
from interaction.rpc.pacemaker import beat
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT

PARTS = ("certificate", "key", "authority")
Make = Callable[[str], TLS]


def by_files(folder: str) -> TLS:
    return TLS.from_files(mutual=True, **{part: f"{folder}/{part}.pem" for part in PARTS})  # type: ignore[arg-type]


MAKES = pytest.mark.parametrize("make", [TLS.from_folder, by_files], ids=["from_folder", "from_files"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a fleet's folders in it."""
    made = tmp_path / "here"
    made.mkdir()
    monkeypatch.chdir(made)
    fleet.new_slave(fleet.create(made / "certs"), "gpu-1")
    shutil.move(made / "certs/slaves/gpu-1", made / "gpu-1")
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another folder, in which somebody has put a fleet of theirs, by the same names."""
    made = tmp_path / "elsewhere"
    made.mkdir()
    fleet.new_slave(fleet.create(made / "certs"), "gpu-1")
    shutil.move(made / "certs/slaves/gpu-1", made / "gpu-1")
    return made


@MAKES
@pytest.mark.parametrize("folder", ["certs", "./certs", "../here/certs"])
def test_tls_files_are_read_again_where_they_were(here: Path, elsewhere: Path, make: Make, folder: str) -> None:
    """Before, those of the folder that was changed to were read, whosever they were."""
    tls = make(folder)
    assert all(os.path.isabs(path) for path in tls.files.values())
    os.chdir(elsewhere)
    tls.look()
    assert tls.current.authority == tls.authority
    fleet.renew(here / "certs", here / "certs")
    tls.look()
    assert tls.current.authority == tls.authority
    assert tls.current.certificate == (here / "certs/certificate.pem").read_bytes()


@MAKES
def test_a_link_to_the_files_is_followed_at_each_look(here: Path, elsewhere: Path, make: Make) -> None:
    """Whoever renews by a link, as Kubernetes does, puts the link to another folder."""
    shutil.copytree("certs", "first")
    Path("now").symlink_to("first")
    tls = make("now")
    os.chdir(elsewhere)
    fleet.renew(here / "certs", here / "certs")
    (here / "next").symlink_to("certs")
    os.replace(here / "next", here / "now")
    tls.look()
    assert tls.current.certificate == (here / "certs/certificate.pem").read_bytes()


@pytest.mark.parametrize("role", ["tls", "client_tls"])
def test_a_running_pair_goes_on_with_its_own_fleet(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    here: Path,
    elsewhere: Path,
    role: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "LOOK", 0.02)
    master_tls, slave_tls = TLS.from_folder("certs"), TLS.from_folder("gpu-1")
    options = {"tls": master_tls} if role == "tls" else {"tls": TLS.from_folder("certs"), "client_tls": master_tls}
    slave = make_slave(Worker, tls=slave_tls)
    master = make_master(Master, **options)
    os.chdir(elsewhere)
    for folder in (here / "certs", here / "gpu-1"):
        fleet.renew(here / "certs", folder)
    wait_until(lambda: master_tls.current is not master_tls and slave_tls.current is not slave_tls)
    assert master_tls.current.authority == slave_tls.current.authority == master_tls.authority
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    theirs = make_master(Master, tls=TLS.from_folder("certs"))  # of the fleet that lies in the new folder
    with pytest.raises(OSError, match=r"TLS|certificate|closes"):
        theirs.new_connection("conn", "127.0.0.1", slave.port).connect()


def test_a_pacemaker_reads_them_where_the_slave_did(here: Path, elsewhere: Path) -> None:
    """It was started in whatever folder its slave was in by then."""
    tls = TLS.from_folder("gpu-1")
    os.chdir(elsewhere)
    pems = [pem.decode("latin-1") for pem in (tls.certificate, tls.key, tls.authority) if pem is not None]
    told = beat.tls_of([*pems, dict(tls.files), True, "name"])
    assert told is not None
    assert told.authority == tls.authority


def test_a_journal_is_where_it_was_when_the_master_was_made(
    make_master: MakeMaster, here: Path, elsewhere: Path
) -> None:
    master = Master("127.0.0.1", 0, journal="sqlite:///kept.db")
    os.chdir(elsewhere)
    with master:
        assert master.ping()
    assert (here / "kept.db").exists()
    assert not (elsewhere / "kept.db").exists()


def test_a_secrets_file_is_read_when_a_side_is_made(
    here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (here, elsewhere):
        (folder / "secret").touch(0o600)
        (folder / "secret").write_text(secrets.token_urlsafe(32))
    monkeypatch.setenv("INTERACTION_SECRET_FILE", "secret")
    master, slave = Master("127.0.0.1", 0), Worker("127.0.0.1", 0)
    os.chdir(elsewhere)
    with master, slave, master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
        with Master("127.0.0.1", 0) as theirs, pytest.raises(SlaveSignatureInvalid):
            theirs.new_connection("conn", "127.0.0.1", slave.port).connect()
