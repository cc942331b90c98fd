"""Keys and certificates that can't work are told when `TLS` is made: by file, and with what is wrong."""

from __future__ import annotations

import base64
import datetime
import errno
import logging
import os
import pickle
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from interaction import TLS, Master, Slave

PASSWORD = b"a secret word"


class Made(NamedTuple):
    certificate: bytes
    key: bytes
    authority: bytes


def made_by(authority: trustme.CA, **options: Any) -> Made:
    issued = authority.issue_cert("127.0.0.1", **options)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return Made(chain, issued.private_key_pem.bytes(), authority.cert_pem.bytes())


AUTHORITY = trustme.CA()
GOOD, OTHER = made_by(AUTHORITY), made_by(AUTHORITY)
RSA = made_by(AUTHORITY, key_type=trustme.KeyType.RSA)
KEY: Any = load_pem_private_key(GOOD.key, None)
ENCRYPTED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
OLD_ENCRYPTED = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PASSWORD))
DER_KEY = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
PKCS8 = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
BOM = b"\xef\xbb\xbf"


def damaged(pem: bytes) -> bytes:
    """The same with some characters in its middle changed: base64 still, and nothing that it could stand for."""
    middle = len(pem) // 2
    return pem[: middle - 40] + re.sub(rb"[A-Za-z0-9+/]", b"A", pem[middle - 40 : middle + 40]) + pem[middle + 40 :]


def cut(pem: bytes) -> bytes:
    return pem[: pem.index(b"-----END") - 10]


def der_of(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


WRONG: dict[str, tuple[dict[str, bytes], str, str]] = {
    "encrypted key": ({"key": ENCRYPTED}, "key", r"is encrypted.*openssl pkey"),
    "encrypted key, as of old": ({"key": OLD_ENCRYPTED}, "key", r"is encrypted.*openssl pkey"),
    "another certificate's key": ({"key": OTHER.key}, "key", r"is not the key of the TLS certificate"),
    "another kind of key": ({"key": RSA.key}, "key", r"is not the key of the TLS certificate"),
    "swapped": ({"certificate": GOOD.key, "key": GOOD.certificate}, "certificate", r"no certificate.*swapped\?"),
    "a certificate for a key": ({"key": GOOD.certificate}, "key", r"no private key.*CERTIFICATE.*swapped\?"),
    "a key for an authority": ({"authority": GOOD.key}, "authority", r"no certificate.*swapped\?"),
    "certificate with a BOM": ({"certificate": BOM + GOOD.certificate}, "certificate", "byte order mark"),
    "key with a BOM": ({"key": BOM + GOOD.key}, "key", "byte order mark"),
    "authority with a BOM": ({"authority": BOM + GOOD.authority}, "authority", "byte order mark"),
    "UTF-16": ({"certificate": GOOD.certificate.decode().encode("utf-16")}, "certificate", "UTF-16"),
    "binary": ({"authority": der_of(GOOD.authority.decode().encode())}, "authority", "DER"),
    "binary key": ({"key": b"0\x82" + DER_KEY[2:]}, "key", "DER"),
    "damaged certificate": ({"certificate": damaged(GOOD.certificate)}, "certificate", "number 1 can't be read"),
    "damaged authority": ({"authority": GOOD.authority + damaged(GOOD.authority)}, "authority", "number 2 can't be"),
    "damaged key": ({"key": damaged(GOOD.key)}, "key", "is broken"),
    "no base64": ({"authority": GOOD.authority.replace(b"MII", b"!!!")}, "authority", "number 1 can't be read"),
    "certificate that is cut off": ({"certificate": cut(GOOD.certificate)}, "certificate", "cut off"),
    "authority that is cut off": ({"authority": GOOD.authority + cut(GOOD.authority)}, "authority", "cut off"),
    "key that is cut off": ({"key": cut(GOOD.key)}, "key", "is broken"),
    "a request for a certificate": (
        {"certificate": b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"},
        "certificate",
        "holds no certificate, but: CERTIFICATE REQUEST",
    ),
    "empty": ({"certificate": b""}, "certificate", "no PEM"),
    "something else": ({"authority": b"hello"}, "authority", "no PEM"),
}


def write(folder: Path, pems: dict[str, bytes]) -> dict[str, Any]:
    for name, pem in pems.items():
        (folder / f"{name}.pem").touch(0o600)
        (folder / f"{name}.pem").write_bytes(pem)
    return {name: folder / f"{name}.pem" for name in pems}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_not_work_is_told_with_its_file(tmp_path: Path, case: str) -> None:
    pems, part, problem = WRONG[case]
    pems = {**GOOD._asdict(), **pems}
    with pytest.raises(ValueError, match=rf"TLS {part} \({re.escape(str(tmp_path))}/{part}\.pem\).*{problem}") as said:
        TLS.from_files(**write(tmp_path, pems))
    assert "\n" not in str(said.value)
    assert said.value.__cause__ is None
    assert said.value.__suppress_context__ or said.value.__context__ is None
    for line in GOOD.key.split(b"\n")[1:-2]:
        assert line.decode() not in str(said.value)
    with pytest.raises(ValueError, match=rf"TLS {part} .*{problem}"):
        TLS(**pems)  # type: ignore[arg-type]  # mypy does not see that the keys are the names


@pytest.mark.parametrize("role", ["tls", "client_tls"])
@pytest.mark.parametrize("given", ["cert.pem", b"-----BEGIN CERTIFICATE-----", {"certificate": "cert.pem"}, True])
def test_what_is_no_tls_is_refused(role: str, given: Any) -> None:
    with pytest.raises(TypeError, match=rf"{role} must be a TLS, .*from_files"):
        Master("127.0.0.1", 0, **{role: given})
    if role == "tls":
        with pytest.raises(TypeError, match=r"tls must be a TLS"):
            Slave("127.0.0.1", 0, tls=given)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(lambda path: None, FileNotFoundError), (Path.mkdir, IsADirectoryError)],
    ids=["missing", "directory"],
)
@pytest.mark.parametrize("part", ["certificate", "key", "authority"])
def test_a_file_that_can_not_be_read_is_told(
    tmp_path: Path, part: str, make: Callable[[Path], None], kind: type[OSError]
) -> None:
    files = write(tmp_path, GOOD._asdict())
    files[part].unlink()
    make(files[part])
    with pytest.raises(kind, match=rf"the TLS {part} can't be read: .*{part}\.pem"):
        TLS.from_files(**files)


def test_a_file_that_is_not_to_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:  # a file's own mode keeps everybody out but root, who may run this
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    files = write(tmp_path, GOOD._asdict())
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        PermissionError, match=r"the TLS certificate can't be read: Permission denied: .*certificate\.pem"
    ):
        TLS.from_files(**files)


@pytest.mark.parametrize(
    "pems",
    [
        GOOD._asdict(),
        RSA._asdict(),
        {"certificate": GOOD.certificate, "key": PKCS8},
        {"certificate": GOOD.certificate.replace(b"\n", b"\r\n"), "key": GOOD.key.replace(b"\n", b"\r\n")},
        {"certificate": GOOD.certificate + GOOD.key, "key": GOOD.certificate + GOOD.key},
        {"authority": b"# of the house\n" + GOOD.authority + OTHER.authority},
    ],
    ids=["ec", "rsa", "pkcs8", "crlf", "all in one file", "a bundle with comments"],
)
def test_what_works_is_taken_and_serves(tmp_path: Path, pems: dict[str, bytes]) -> None:
    tls = TLS.from_files(**write(tmp_path, pems))
    assert tls == TLS(**pems)  # type: ignore[arg-type]  # as above
    assert {type(part) for part in (tls.certificate, tls.key, tls.authority)} <= {bytes, type(None)}
    without = tls.without_key()
    assert b"PRIVATE KEY" not in pickle.dumps(without)
    assert pickle.loads(pickle.dumps(without)) == without
    if tls.certificate is not None:
        with Master("127.0.0.1", 0, tls=tls) as master:
            assert master.my_address.startswith("https://")


def test_it_is_read_where_no_file_can_be_had_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert TLS(**GOOD._asdict()).key == GOOD.key
    assert list(tmp_path.iterdir()) == []


def at(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ({"not_before": at(-9), "not_after": at(-2)}, r"has expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC"),
        ({"not_before": at(2), "not_after": at(9)}, r"is not valid before \d{4}"),
        ({"not_before": at(-9), "not_after": at(40_000)}, None),
        ({"not_before": at(-2), "not_after": at(2)}, None),
    ],
    ids=["expired", "too early", "beyond 2050", "today"],
)
def test_a_certificate_out_of_date_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dates: dict[str, Any], said: str | None
) -> None:
    TLS.from_files(**write(tmp_path, made_by(AUTHORITY, **dates)._asdict()))
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if said is None:
        assert warned == []
    else:
        assert len(warned) == 1
        assert re.fullmatch(rf"the TLS certificate \({re.escape(str(tmp_path))}/certificate\.pem\) {said}.*", warned[0])


def test_an_authority_may_have_expired_certificates_beside_good_ones(caplog: pytest.LogCaptureFixture) -> None:
    expired = made_by(AUTHORITY, not_before=at(-9), not_after=at(-2)).certificate
    TLS(authority=expired + GOOD.authority)
    assert caplog.records == []
    TLS(authority=expired)
    assert "TLS authority has expired" in caplog.text


def test_all_that_can_be_cut_off_a_certificate_is_told_and_nothing_else_is_raised() -> None:
    der = der_of(GOOD.authority)
    for length in range(0, len(der), 7):
        body = base64.encodebytes(der[:length])
        with pytest.raises(ValueError, match="TLS authority"):
            TLS(authority=b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n")


def test_a_key_of_a_kind_that_grpc_does_not_serve_is_not_blamed_on_the_port() -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, at(-1), at(1)).sign(key, hashes.SHA256())
    tls = TLS(certificate.public_bytes(Encoding.PEM), pem)
    with pytest.raises(OSError, match="gRPC can't serve by this certificate and key") as said:
        Master("127.0.0.1", 0, tls=tls).start()
    assert "bind" not in str(said.value)
