"""A master starts with a master's certificate, a slave with a slave's, and each stays who it is."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from interaction import TLS, Master, aio
from interaction.certs import fleet as certs
from interaction.rpc import watch
from interaction.rpc.pacemaker import beat
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.test_renewed_names import Folder, warnings

PARTS = ("certificate", "key", "authority")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = certs.create(tmp_path_factory.mktemp("fleet") / "certs", "lab.example", "trainer")
    for name in ("one", "other"):
        certs.new_slave(folder, name)
    return folder


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK", 0.02)


def by_uris(*uris: str) -> dict[str, Any]:
    """A certificate that names all of these, its key, and itself as its authority."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "one")])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).add_extension(names, False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return {
        "certificate": pem,
        "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "authority": pem,
    }


@pytest.mark.parametrize("kind", [Master, aio.Master])
@pytest.mark.parametrize("option", ["tls", "client_tls"])
def test_a_master_does_not_start_as_a_slave(place: Path, kind: Any, option: str) -> None:
    """Before, the slaves that it dialled were blamed."""
    told = (
        rf"Master\({option}=\): the TLS certificate \({place}/slaves/one/certificate\.pem\) is that of a slave, "
        r"spiffe://lab\.example/slave/one: a master needs one of its own, .*TLS\.from_folder\('certs'\)"
    )
    with pytest.raises(ValueError, match=told):
        kind("127.0.0.1", 0, **{option: TLS.from_folder(place / "slaves/one")})


def test_a_slave_does_not_start_as_a_master(place: Path) -> None:
    told = (
        rf"Slave\(tls=\): the TLS certificate \({place}/certificate\.pem\) is that of a master, "
        r"spiffe://lab\.example/master/trainer: a slave needs .*TLS\.from_folder\('certs/slaves/NAME'\)"
    )
    with pytest.raises(ValueError, match=told):
        Worker("127.0.0.1", 0, tls=TLS.from_folder(place))


def test_who_is_what_by_patterns_may_be_called_otherwise(place: Path) -> None:
    patterns = {"masters": ["spiffe://lab.example/slave/one"], "slaves": ["spiffe://lab.example/slave/other"]}
    Master("127.0.0.1", 0, tls=TLS.from_folder(place / "slaves/one", **patterns))  # type: ignore[arg-type]
    Worker("127.0.0.1", 0, tls=TLS.from_folder(place / "slaves/other", **patterns))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "uris",
    [
        ("spiffe://lab/master/m", "spiffe://lab/slave/s"),
        ("spiffe://lab/slave/s", "spiffe://lab/master/m"),
        ("spiffe://lab/slave/s", "spiffe://lab/ns/default"),
    ],
)
def test_a_certificate_that_says_two_is_nobodys(uris: tuple[str, str]) -> None:
    """Before, it was a master's to slaves and a slave's to masters."""
    with pytest.raises(ValueError, match=f"the TLS certificate says {' and '.join(uris)}: a certificate names one"):
        TLS(**by_uris(*uris), mutual=True)
    assert TLS(**by_uris(uris[0]), mutual=True).member is not None


def put(source: Path, folder: Path) -> None:
    for part in PARTS:
        shutil.copy(source / f"{part}.pem", folder / "new")
        os.replace(folder / "new", folder / f"{part}.pem")


@pytest.mark.parametrize("who", ["other", "the master"])
@pytest.mark.parametrize("fast_road", [True, False])
def test_who_runs_does_not_become_another(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    place: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fast_road: bool,
    who: str,
) -> None:
    """Before, it did, its results were refused for ever, and its tasks hung."""
    own, source = Path(shutil.copytree(place / "slaves/one", tmp_path / "one")), place / "slaves/other"
    tls = TLS.from_folder(own)
    slave = make_slave(Worker, tls=tls, fast_road=fast_road)
    with make_master(Master, tls=TLS.from_folder(place)).new_connection("conn", "127.0.0.1", slave.port) as connection:
        put(source if who == "other" else place, own)
        uri = f"spiffe://lab.example/{'slave/other' if who == 'other' else 'master/trainer'}"
        told = (
            "the TLS files have changed; what they held before stays in use, for the TLS certificate "
            f"({own}/certificate.pem) is that of {uri}, and this is spiffe://lab.example/slave/one: to be another it "
            "has to be started again"
        )
        wait_until(lambda: told in warnings(caplog, "tls"))
        for data in ({"a": 1, "b": 2}, {"echo": b"x" * 5_000_000}):
            assert connection.new_task(data).start().join(WAIT).result == data.get("echo", {"sum": 3})
        certs.renew(place, place / "slaves/one")
        put(place / "slaves/one", own)
        wait_until(lambda: tls.current.certificate == (own / "certificate.pem").read_bytes())
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
        assert connection.is_connected
    assert slave.lost == []


def test_nor_does_its_pacemaker(place: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(place / "slaves/one", tmp_path / "one"))
    then = TLS.from_folder(own)
    put(place / "slaves/other", own)
    pems = [pem.decode("latin-1") for pem in (then.certificate, then.key, then.authority) if pem is not None]
    made = beat.tls_of([*pems, dict(then.files), True, "name"])
    assert made is not None
    assert made.certificate == then.certificate


def test_what_is_not_valid_yet_takes_the_place_of_nothing_until_it_is(
    make_slave: MakeSlave, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, a certificate of tomorrow took the place of one that worked."""
    authority = trustme.CA()
    folder = Folder(tmp_path / "me", authority)
    tls = folder.tls()
    before = tls.certificate
    slave = make_slave(Worker, tls=tls)
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    folder.write(not_before=tomorrow)
    wait_until(lambda: any("is not valid before" in line for line in warnings(caplog, "tls")))
    assert tls.current.certificate == before
    assert slave.ping()
    folder.write()
    wait_until(lambda: tls.current.certificate != before)
