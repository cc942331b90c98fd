"""The authority of a fleet: whose it is, what it can sign, and what is left where making it is broken off."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from interaction import TLS, Master, Slave
from interaction.certs import fleet as certs
from interaction.certs import issue
from tests.unit.test_certs import certificate_in, everything_in, run


class Worker(Slave):
    def _process_task(self, task: Mapping[str, Any]) -> Any:
        return task


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return certs.create(tmp_path / "certs", "lab.example", "trainer")


# What signs.


def other_authority(fleet: Path, key: Any = None, *, ca: bool = True, days: int = 9, own_name: bytes = b"") -> None:
    """Put an authority of another make into a fleet, and have both sides believe it."""
    key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a company")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now - 99 * day, now + days * day)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if own_name:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(own_name), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(key, algorithm).public_bytes(Encoding.PEM)
    (fleet / "authority/authority.pem").write_bytes(certificate)
    (fleet / "authority.pem").write_bytes(certificate)
    (fleet / "authority/key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.parametrize("own_name", [b"", b"as the company calls it"])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_an_authority_of_another_make_signs_what_is_taken(fleet: Path, kind: str, own_name: bytes) -> None:
    """Before, one with an RSA key was a traceback."""
    key: Any = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    other_authority(fleet, key, own_name=own_name)
    certs.renew(fleet, fleet)
    slave = certs.new_slave(fleet, "gpu-1")
    master_tls, slave_tls = TLS.from_folder(fleet), TLS.from_folder(slave)
    with (
        Worker("127.0.0.1", 0, tls=slave_tls) as node,
        Master("127.0.0.1", 0, tls=master_tls) as master,
        master.new_connection("conn", "127.0.0.1", node.port) as connection,
    ):
        assert connection.is_connected


def encrypted(fleet: Path) -> None:
    key = load_pem_private_key((fleet / "authority/key.pem").read_bytes(), None)
    (fleet / "authority/key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a word"))
    )


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "encrypted": (encrypted, "its key is encrypted: .*openssl pkey"),
    "another's key": (
        lambda fleet: (fleet / "authority/key.pem").write_bytes(issue.authority("lab").key),
        "its key is not the key of its certificate",
    ),
    "no key": (lambda fleet: (fleet / "authority/key.pem").write_bytes(b"hello"), "its key can't be read"),
    "another kind": (lambda fleet: other_authority(fleet, ed25519.Ed25519PrivateKey.generate()), "expected EC or RSA"),
    "no certificate": (lambda fleet: (fleet / "authority/authority.pem").unlink(), "is not there"),
    "half a certificate": (
        lambda fleet: (fleet / "authority/authority.pem").write_bytes(b"-----BEGIN"),
        "its certificate can't be read",
    ),
    "a member's": (lambda fleet: other_authority(fleet, ca=False), "its certificate is no authority's"),
    "an old one": (lambda fleet: other_authority(fleet, days=-2), r"its certificate has expired on 20\d\d-\d\d-\d\d"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_authority_that_can_not_sign_is_told_and_nothing_is_made(fleet: Path, case: str) -> None:
    """Before, it was a traceback, or a certificate that nobody takes, with success."""
    spoil, told = BAD[case]
    spoil(fleet)
    before = everything_in(fleet)
    signs: list[Callable[[], Path]] = [lambda: certs.new_slave(fleet, "gpu-1"), lambda: certs.renew(fleet, fleet)]
    for sign in signs:
        with pytest.raises(
            (ValueError, FileNotFoundError), match=rf"the authority in .*/authority can't sign: .*{told}"
        ):
            sign()
    assert everything_in(fleet) == before
    assert not (fleet / "slaves").exists()


# Whose authority.


def test_a_renewal_is_by_the_authority_that_the_folder_lies_with(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, with --in forgotten, it was that of `certs`: of another fleet, whose authority was put there as well."""
    monkeypatch.chdir(tmp_path)
    fleet = fleet.rename(tmp_path / "fleet-a")
    slave = certs.new_slave(fleet, "gpu-1")
    certs.create(tmp_path / "certs", "other.example")
    for folder in (Path("fleet-a"), fleet, Path("fleet-a/slaves/gpu-1"), slave):
        before = everything_in(folder)
        done = run(tmp_path, "renew", str(folder))
        assert (done.returncode, done.stderr) == (0, "")
        assert (
            certificate_in(folder).serial_number
            != x509.load_pem_x509_certificate(before[folder / "certificate.pem"]).serial_number
        )
        certificate_in(folder).verify_directly_issued_by(certificate_in(fleet, "authority/authority.pem"))
        assert (folder / "authority.pem").read_bytes() == before[folder / "authority.pem"]
    monkeypatch.chdir(slave)
    certs.renew(None, Path("."))
    copied = Path(shutil.copytree(slave, tmp_path / "gpu-1"))  # on its machine, where there is no authority, or another
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"gpu-1/authority\.pem is another authority's than the one in certs"):
        certs.renew(None, copied)
    certs.renew(fleet, copied)


@pytest.mark.parametrize("what", ["renew", "slave"])
def test_another_fleets_authority_is_refused(fleet: Path, tmp_path: Path, what: str) -> None:
    other = certs.create(tmp_path / "other", "other.example")
    if what == "slave":
        (fleet / "authority.pem").write_bytes((other / "authority.pem").read_bytes())
    before = everything_in(tmp_path)
    told = (
        rf"{fleet}/authority\.pem is another authority's than the one in .*: nothing was written; --in names the folder"
    )
    with pytest.raises(ValueError, match=told) as raised:
        certs.renew(other, fleet) if what == "renew" else certs.new_slave(fleet, "gpu-1")
    assert "\n" not in str(raised.value)
    assert everything_in(tmp_path) == before


def test_a_bundle_of_authorities_is_kept_and_handed_on(fleet: Path, tmp_path: Path) -> None:
    """So a fleet goes from one authority to another while it runs."""
    slave = certs.new_slave(fleet, "gpu-1")
    other = certs.create(tmp_path / "other", "lab.example")
    both = (fleet / "authority.pem").read_bytes() + (other / "authority.pem").read_bytes()
    for folder in (fleet, slave):
        (folder / "authority.pem").write_bytes(both)
    for by in (other, fleet):
        for folder in (fleet, slave):
            certs.renew(by, folder)
            assert (folder / "authority.pem").read_bytes() == both
            certificate_in(folder).verify_directly_issued_by(certificate_in(by, "authority/authority.pem"))
    assert (certs.new_slave(fleet, "gpu-2") / "authority.pem").read_bytes() == both


def test_where_there_is_no_authority_nobody_is_led_to_a_new_one(fleet: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(certs.new_slave(fleet, "gpu-1"), tmp_path / "away/gpu-1"))
    fleet.rename(tmp_path / "elsewhere")
    done = run(copied.parent, "renew", "gpu-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no authority is in gpu-1 or beside it: --in names the folder that `init` has made\n"
    done = run(copied.parent, "renew", "nowhere")
    assert done.stderr == "error: no certificate is in nowhere: it is no folder of a master or a slave\n"
    done = run(copied.parent, "slave", "gpu-2")
    assert done.stderr.startswith("error: no authority is in certs: --in names the folder that `init` has made; where ")
    (copied / "authority.pem").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"gpu-1/authority\.pem is not there: put .*/authority/authority\.pem there"
    ):
        certs.renew(tmp_path / "elsewhere", copied)


# What is broken off.


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("there", [True, False])
def test_what_is_broken_off_leaves_nothing(
    fleet: Path, tmp_path: Path, at: int, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, an authority was left, and the next try was refused."""
    folder, real, count = tmp_path / "a/b/certs", os.fsync, iter(range(99))
    if there:
        folder.mkdir(0o700, parents=True)
        (folder / "notes").write_text("mine")

    def breaks(number: int) -> None:
        if next(count) == at:
            raise KeyboardInterrupt
        real(number)

    monkeypatch.setattr(os, "fsync", breaks)
    broken = 0
    makes: list[Callable[[], Path]] = [lambda: certs.create(folder), lambda: certs.new_slave(fleet, "gpu-1")]
    for make in makes:
        try:
            make()
        except KeyboardInterrupt:
            broken += 1
    assert broken == 1
    if at < 5:
        assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "a").rglob("*")} == (
            {"a/b", "a/b/certs", "a/b/certs/notes"} if there else set()
        )
        certs.create(folder)
    else:
        assert not (fleet / "slaves").exists()
        certs.new_slave(fleet, "gpu-1")


def test_what_was_killed_is_told_with_what_to_remove(fleet: Path, tmp_path: Path) -> None:
    for name in ("certificate.pem", "key.pem", "authority.pem"):
        (fleet / name).unlink()
    done = run(tmp_path, "init", "certs")
    assert done.stderr == (
        "error: certs/authority is there, and is not replaced: nothing was written; where that is what a broken-off "
        "run has left, `rm -r certs/authority`, and run this again\n"
    )


def test_a_whole_one_is_told_with_what_is_done_with_it(fleet: Path) -> None:
    with pytest.raises(FileExistsError, match=rf"slave NAME --in {fleet}` adds a slave, .* renew {fleet}`"):
        certs.create(fleet)
    slave = certs.new_slave(fleet, "gpu-1")
    with pytest.raises(FileExistsError, match=rf"certs renew {slave}` makes a new certificate"):
        certs.new_slave(fleet, "gpu-1")
