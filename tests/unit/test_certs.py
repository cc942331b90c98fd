"""What `python -m interaction.certs` makes: who may read it, who is named in it, and what is refused."""

from __future__ import annotations

import datetime
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from interaction import TLS, places
from interaction.certs import fleet as certs
from interaction.certs import issue
from interaction.roles import Member

THREE = {"authority.pem", "certificate.pem", "key.pem"}


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return certs.create(tmp_path / "certs", "lab.example", "trainer")


def certificate_in(folder: Path, name: str = "certificate.pem") -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


def names_in(folder: Path) -> set[str]:
    names = certificate_in(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    }


def modes_in(folder: Path) -> set[tuple[bool, int]]:
    found = [folder, *folder.rglob("*")]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found}


def test_a_master_and_a_slave_have_each_all_that_they_need(fleet: Path) -> None:
    slave = certs.new_slave(fleet, "gpu-1")
    assert slave == fleet / "slaves/gpu-1"
    assert {path.name for path in slave.iterdir()} == THREE
    assert {path.name for path in fleet.iterdir()} == THREE | {"authority", "slaves"}
    assert modes_in(fleet) == {(True, 0o700), (False, 0o600)}
    for folder, role, name in ((fleet, "master", "trainer"), (slave, "slave", "gpu-1")):
        tls = TLS.from_folder(folder)
        assert tls.member == Member("lab.example", role, name)
        assert (tls.mutual, tls.plain_peers) == (True, False)
        assert tls.server_name == {"master": "slave.lab.example", "slave": "master.lab.example"}[role]
        assert {f"spiffe://lab.example/{role}/{name}", f"{role}.lab.example", "localhost", "127.0.0.1"} < names_in(
            folder
        )
        assert names_in(folder).isdisjoint({tls.server_name})
    assert (slave / "authority.pem").read_bytes() == (fleet / "authority/authority.pem").read_bytes()
    assert not (slave / "authority").exists()  # what signs stays where it is


def test_the_key_that_signs_and_those_that_do_not(fleet: Path) -> None:
    """Of a kind that gRPC serves, and no certificate signs another."""
    for key in (fleet / "key.pem", fleet / "authority/key.pem"):
        loaded = load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        assert loaded.curve.name == "secp256r1"
    for certificate, signs in ((certificate_in(fleet, "authority.pem"), True), (certificate_in(fleet), False)):
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is signs
        assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is signs


@pytest.mark.parametrize("days", [1, 30, 397])
def test_how_long_they_are_good(tmp_path: Path, days: int) -> None:
    fleet = certs.create(tmp_path / "certs", days=days)
    now = datetime.datetime.now(datetime.timezone.utc)
    own, authority = certificate_in(fleet), certificate_in(fleet, "authority.pem")
    minute = datetime.timedelta(minutes=1)
    assert abs(own.not_valid_after_utc - now - datetime.timedelta(days=days)) < minute
    assert abs(authority.not_valid_after_utc - now - datetime.timedelta(days=3652)) < minute
    assert own.not_valid_before_utc < now - 50 * minute  # another machine's clock may be behind


def test_hosts_that_are_given_are_in_it(fleet: Path) -> None:
    hosts = ["GPU-1.example", "10.0.0.7", "*.nodes.example", "fd00::7"]
    slave = certs.new_slave(fleet, "gpu-1", hosts)
    assert {"gpu-1.example", "10.0.0.7", "*.nodes.example", "fd00::7", "gpu-1"} < names_in(slave)


@pytest.mark.parametrize("host", ["", "a b", "https://a", "a/b", "*", "*.", "a.*.b", "-a", "a" * 64, "10.0.0.0/8", "ä"])
def test_what_is_no_host_is_refused(fleet: Path, host: str) -> None:
    with pytest.raises(ValueError, match="the host "):
        certs.new_slave(fleet, "gpu-1", [host])
    assert not (fleet / "slaves").exists()


@pytest.mark.parametrize("host", ["master.lab.example", "MASTER.lab.example", "slave.lab.example", "*.lab.example"])
def test_no_host_makes_a_slave_look_like_a_master(fleet: Path, host: str) -> None:
    """By `master.CLUSTER` a slave knows its master."""
    with pytest.raises(ValueError, match=r"it would match lab\.example's own names"):
        certs.new_slave(fleet, "gpu-1", [host])


def test_neither_does_its_own_name(fleet: Path) -> None:
    assert "master.lab.example" not in names_in(certs.new_slave(fleet, "master.lab.example"))


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "../master", "a b", "-a", "a" * 64, "ä", "a\n", "a%2f"])
def test_what_is_no_name_is_refused(fleet: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="the slave "):
        certs.new_slave(fleet, name)
    with pytest.raises(ValueError, match="the master "):
        certs.create(tmp_path / "other", name=name)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("cluster", ["", "A", "a b", "a/b", "a..b", "-a", "a" * 101, "a.", "ä"])
def test_what_is_no_cluster_is_refused(tmp_path: Path, cluster: str) -> None:
    with pytest.raises(ValueError, match="the cluster "):
        certs.create(tmp_path / "certs", cluster)
    assert not (tmp_path / "certs").exists()


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_how_long_is_bounded(tmp_path: Path, days: int) -> None:
    with pytest.raises(ValueError, match="days must be 1 to 3650"):
        certs.create(tmp_path / "certs", days=days)


def everything_in(folder: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_replaced_unasked(fleet: Path) -> None:
    slave = certs.new_slave(fleet, "gpu-1")
    before = everything_in(fleet)
    with pytest.raises(FileExistsError, match="is there, and is not replaced: nothing was written"):
        certs.create(fleet, "lab.example")
    with pytest.raises(FileExistsError, match="is not replaced"):
        certs.new_slave(fleet, "gpu-1")
    assert everything_in(fleet) == before
    (slave / "authority.pem").unlink()
    (slave / "certificate.pem").unlink()
    with pytest.raises(FileExistsError, match=r"key\.pem is there"):
        certs.new_slave(fleet, "gpu-1")


def test_a_renewed_one_is_the_same_in_another_year(fleet: Path) -> None:
    slave = certs.new_slave(fleet, "gpu-1", ["10.0.0.7"], days=2)
    for folder in (slave, fleet):
        names, before = names_in(folder), everything_in(folder)
        assert certs.renew(fleet, folder) == folder
        assert names_in(folder) == names
        assert (folder / "key.pem").read_bytes() != before[folder / "key.pem"]
        assert (folder / "authority.pem").read_bytes() == before[folder / "authority.pem"]
        assert TLS.from_folder(folder).member is not None
    assert certificate_in(slave).not_valid_after_utc > datetime.datetime.now(
        datetime.timezone.utc
    ) + datetime.timedelta(days=300)
    assert modes_in(fleet) == {(True, 0o700), (False, 0o600)}


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_in_which_others_may_write_is_refused(
    fleet: Path, tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "is_mine_alone", lambda _: False)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    with pytest.raises(ValueError, match=rf"others may write in the folder {shared} \(mode .*`chmod go-w"):
        certs.create(shared)
    assert list(shared.iterdir()) == []
    (fleet / "authority").chmod(mode)
    with pytest.raises(ValueError, match="others may write in the folder"):
        certs.new_slave(fleet, "gpu-1")


def test_a_folder_that_only_ones_own_group_may_write_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it was refused where a journal in it was not: some systems make all folders so."""
    monkeypatch.setattr(places, "is_mine_alone", lambda _: True)
    folder = tmp_path / "mine"
    folder.mkdir()
    folder.chmod(0o775)
    certs.new_slave(certs.create(folder), "gpu-1")
    assert TLS.from_folder(folder).member is not None


def test_a_folder_below_one_of_a_groups_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "is_mine_alone", lambda _: False)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o775)
    with pytest.raises(ValueError, match=rf"others may write in the folder {tmp_path}/shared "):
        certs.create(tmp_path / "shared/below/certs")
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_link_in_the_place_of_a_key_is_not_followed(fleet: Path, tmp_path: Path) -> None:
    slave, elsewhere = certs.new_slave(fleet, "gpu-1"), tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    (slave / "key.pem").unlink()
    os.symlink(elsewhere, slave / "key.pem")
    os.symlink(elsewhere, slave / ".key.pem.new")
    certs.renew(fleet, slave)
    assert elsewhere.read_text() == "theirs"
    assert not (slave / "key.pem").is_symlink()


def test_without_an_authority_there_is_no_slave(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no authority is in .*interaction\.certs init"):
        certs.new_slave(tmp_path, "gpu-1")


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interaction.certs", *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)


def test_the_commands_say_what_is_to_be_done_next(tmp_path: Path) -> None:
    assert run(tmp_path, "--help").returncode == 0
    done = run(tmp_path, "init", "certs", "--cluster", "lab")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Master(tls=TLS.from_folder('certs'))" in done.stdout
    assert "python -m interaction.certs slave NAME --in certs" in done.stdout
    done = run(tmp_path, "slave", "gpu-1", "--host", "10.0.0.7")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Slave(tls=TLS.from_folder('gpu-1'))" in done.stdout
    again = run(tmp_path, "slave", "gpu-1")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("error: certs/slaves/gpu-1/")
    assert again.stderr.count("\n") == 1
    assert run(tmp_path, "renew", "certs/slaves/gpu-1").returncode == 0
    assert "10.0.0.7" in names_in(tmp_path / "certs/slaves/gpu-1")


def test_without_cryptography_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError('none here')")
    code = (
        "import sys, runpy; sys.path.insert(0, '.'); sys.argv = ['certs', 'init', 'certs'];"
        "runpy.run_module('interaction.certs', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: certificates are made by cryptography: pip install '.[certs]' in a checkout of interaction\n"
    )
    assert not (tmp_path / "certs").exists()


def test_a_key_is_shown_nowhere(fleet: Path) -> None:
    pair = issue.authority("lab")
    assert repr(pair) == "Pair(not shown)"
