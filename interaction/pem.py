"""Keys, certificates and authorities as PEM, looked at when they are given: gRPC says only that it has failed."""

from __future__ import annotations

import base64
import os
import re
import ssl
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from interaction import places
from interaction.x509 import day, validity

_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----(.*?)-----END (?:X509 )?CERTIFICATE-----", re.DOTALL)
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----")
_BEGINNINGS = {
    b"\xef\xbb\xbf": "begins with a byte order mark, which gRPC does not read: save it as plain ASCII, without BOM",
    b"\xff\xfe": "is UTF-16, which gRPC does not read: save it as plain ASCII",
    b"\xfe\xff": "is UTF-16, which gRPC does not read: save it as plain ASCII",
    b"0\x82": "is binary (DER): convert it to PEM, such as by `openssl x509 -inform der` or `openssl pkey -inform der`",
}
_ANOTHERS = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")  # the last: RSA beside EC, say


class PemFile(bytes):
    """What a file holds, with its name for messages."""

    path = ""

    @classmethod
    def read(cls, name: str, path: str | Path) -> PemFile:
        """Read the file. Raises OSError, which says what it was to be and where it should be, and ValueError where
        another user of this machine could have written it, or put it there."""
        try:
            places.check_file(Path(path))
            made = cls(Path(path).read_bytes())
        except places.Exposed as exposed:
            raise ValueError(f"the {called(name, str(path))} is not to be trusted: {exposed}") from None
        except OSError as error:
            raise OSError(error.errno, f"the TLS {name} can't be read: {error.strerror}", str(path)) from None
        made.path = str(path)
        return made


def certificates_of(content: bytes) -> bytes:
    """What it holds of certificates: a key may stand beside them."""
    return b"".join(found[0] + b"\n" for found in _CERTIFICATE.finditer(content))


def check(certificate: bytes | None, key: bytes | None, authority: bytes | None) -> list[str]:
    """Look at what is there. Returns what is no mistake, and still to be told: what has expired.

    Raises ValueError for what can't be used, which says what is wrong with which of them; it tells nothing of the key.
    """
    warnings: list[str] = []
    for name, pem in (("certificate", certificate), ("authority", authority)):
        if pem is not None:
            who = name_of(name, pem)
            found = _certificates(who, pem)
            warnings += _out_of_date(who, found[:1] if name == "certificate" else found)
    if key is not None and certificate is not None:
        _check_key(name_of("key", key), key, name_of("certificate", certificate), certificate)
    return warnings


def ends(certificate: bytes | None, authority: bytes | None) -> dict[str, float]:
    """When each has expired, in seconds since 1970: the certificate, and the last of the authorities. What has been
    checked is given."""
    found = {}
    for name, pem in (("certificate", certificate), ("authority", authority)):
        if pem is not None:
            certificates = [base64.b64decode(b"".join(body.split())) for body in _CERTIFICATE.findall(pem)]
            try:
                found[name] = max(validity(der)[1] for der in certificates[: 1 if name == "certificate" else None])
            except (ValueError, IndexError):  # as in `_out_of_date`
                continue
    return found


def check_usable_now(certificate: bytes | None, authority: bytes | None) -> None:
    """Raise ValueError where no peer would take them today, so that they are no better than what is used."""
    for name, pem in (("certificate", certificate), ("authority", authority)):
        if pem is None:
            continue
        who = name_of(name, pem)
        found = _certificates(who, pem)
        for problem in _out_of_date(who, found[:1] if name == "certificate" else found):
            raise ValueError(problem)


def first_der(pem: bytes) -> bytes:
    """The first certificate in it. Raises ValueError where there is none."""
    return _certificates(name_of("certificate", pem), pem)[0]


def shared(path: str) -> bool:
    """Whether others than this user may read a file. One of root's is given to a user by a group: that is not told."""
    if not places.IS_GUARDED:
        return False
    found = os.stat(path)
    given = stat.S_IRGRP if found.st_uid != os.geteuid() else 0
    return bool(found.st_mode & (stat.S_IRGRP | stat.S_IROTH) & ~given)


def stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when a file does; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def name_of(name: str, pem: bytes) -> str:
    """How one of them is called in a message."""
    return called(name, pem.path if isinstance(pem, PemFile) else "")


def called(name: str, path: str) -> str:
    """How one of them is called in a message; `path` is empty where it is no file."""
    return f"TLS {name} ({path})" if path else f"TLS {name}"


def _labels(who: str, pem: bytes) -> set[str]:
    """What is in it, by the words between BEGIN and the dashes. Raises ValueError for what is no PEM."""
    for beginning, problem in _BEGINNINGS.items():
        if pem.startswith(beginning):
            raise ValueError(f"the {who} {problem}")
    labels = {label.decode("ascii") for label in _LABEL.findall(pem)}
    if not labels:
        raise ValueError(f"the {who} is no PEM: nothing in it begins with -----BEGIN")
    return labels


def _is_key(label: str) -> bool:
    return label.endswith("PRIVATE KEY")


def _certificates(who: str, pem: bytes) -> list[bytes]:
    """The certificates in it, each as DER. Raises ValueError."""
    labels = _labels(who, pem)
    if not labels & {"CERTIFICATE", "X509 CERTIFICATE"}:
        swapped = "; are certificate and key swapped?" if any(map(_is_key, labels)) else ""
        raise ValueError(f"the {who} holds no certificate, but: {', '.join(sorted(labels))}{swapped}")
    found = _CERTIFICATE.findall(pem)
    if len(found) != len(re.findall(rb"-----BEGIN (?:X509 )?CERTIFICATE-----", pem)):
        raise ValueError(f"the {who} is cut off: a certificate in it has no end")
    return [_der_of(who, number, body) for number, body in enumerate(found, 1)]


def _der_of(who: str, number: int, body: bytes) -> bytes:
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError) as error:  # of which binascii's is one
        raise ValueError(f"the {who} is broken: its certificate number {number} can't be read ({error})") from None
    return der


def _check_key(who: str, key: bytes, whose: str, certificate: bytes) -> None:
    labels = _labels(who, key)
    if not any(map(_is_key, labels)):
        swapped = "; are certificate and key swapped?" if "CERTIFICATE" in labels else ""
        raise ValueError(f"the {who} holds no private key, but: {', '.join(sorted(labels))}{swapped}")

    def password() -> str:
        raise ValueError(
            f"the {who} is encrypted, and gRPC asks for no password: "
            "write it without one, such as by `openssl pkey -in KEY -out NEW`"
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # what is too weak is the peers' to say
    try:
        with _file_of(certificate) as certificate_file, _file_of(key) as key_file:
            context.load_cert_chain(certificate_file, key_file, password)
    except ssl.SSLError as error:
        if error.reason in _ANOTHERS:
            raise ValueError(f"the {who} is not the key of the {whose}") from None
        raise ValueError(f"the {who} is broken, or of a kind that can't be used ({error.reason or error})") from None


def load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Have a context show a certificate that has been checked. Raises OSError (ssl.SSLError is one) where it can't."""
    with _file_of(certificate) as certificate_file, _file_of(key) as key_file:
        context.load_cert_chain(certificate_file, key_file)


@contextmanager
def _file_of(content: bytes) -> Iterator[str]:
    """A file that holds it, as long as it is needed, since `ssl` reads nothing else: in memory where that can be."""
    try:
        number = os.memfd_create("pem")
        path = f"/proc/self/fd/{number}"
        if not os.path.exists(path):
            os.close(number)
            raise OSError
    except (AttributeError, OSError):
        number, path = tempfile.mkstemp()  # for its owner alone
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        yield path
    finally:
        os.close(number)
        if not path.startswith("/proc/"):
            os.unlink(path)


def _out_of_date(who: str, certificates: Sequence[bytes]) -> list[str]:
    """What to say where none of them is valid today: of an authority's there may be old ones beside new ones."""
    now, said = time.time(), ""
    for der in certificates:
        try:
            begin, end = validity(der)
        except (ValueError, IndexError):  # OpenSSL takes it, whatever stands there for its dates
            return []
        if begin <= now <= end:
            return []
        when, what = (end, "has expired on") if now > end else (begin, "is not valid before")
        said = f"the {who} {what} {day(when)}: peers will refuse it"
    return [said] if said else []
