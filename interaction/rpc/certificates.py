"""Whose certificate a caller has shown, whether it is good by now, and what it lets them do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from interaction.exception import (
    MasterCertificateInvalid,
    ResponseException,
    SlaveCertificateInvalid,
)
from interaction.pem import first_der
from interaction.roles import MASTER, SLAVE, Peer, identity
from interaction.rpc.metadata import read_metadata
from interaction.rpc.status import Context
from interaction.text import sentence
from interaction.tls import TLS
from interaction.x509 import day, validity

_URIS, _COMMON, _PEM = (
    "peer_uri",
    "x509_common_name",
    "x509_pem_cert",
)  # where gRPC puts what it knows of who has called
_HOSTS = ("peer_dns", "peer_ip")
_MOST_READ = 1024  # certificates whose dates are remembered
_ALWAYS = (float("-inf"), float("inf"))
_LONGEST = 200  # characters of a peer's names in a sentence


class Register(Protocol):
    """Who knows the sessions of a master."""

    def recognises(self, token: str, names: frozenset[str]) -> bool:
        """Whether who is known by these names is the slave of that session."""

    def disbelieved(self, token: str, why: str) -> None:
        """Somebody has called by that token, with a certificate that is refused."""


class CertificateCheck:
    """Asks each call for a certificate of the right role that is still good: a `Check` of the guard's.

    TLS looks at dates when a connection begins, and not even then where it goes on from an earlier one (by a ticket).

    A session is its slave's who is the first to call by its token, which is told to that one alone. `wanted` None:
    everybody with a certificate may call.
    """

    def __init__(
        self,
        role: str,
        wanted: Sequence[str] | None,
        refusal: type[ResponseException],
        register: Register | None = None,
    ) -> None:
        self._role = role
        self._wanted = wanted
        self._refusal = refusal
        self._register = register
        self._dates: dict[bytes, tuple[float, float]] = {}  # by the certificate

    def admit(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]], context: Context
    ) -> Callable[[], object] | None:
        """Admit a call by who has called."""
        try:
            names = self._names(method, context.auth_context())
        except ResponseException as refusal:
            self._tell(read_metadata(metadata).token or "", refusal)
            raise
        if names is None or self._register is None:
            return None
        return partial(self._recognise, self._register, read_metadata(metadata).token or "", names)

    def _names(self, method: str, shown: Mapping[str, Iterable[bytes]]) -> frozenset[str] | None:
        """By which names the caller is known, where anybody asks. Raises a refusal."""
        self._check_dates(shown)
        if self._wanted is None:
            return None
        peer = peer_of(shown)
        names = identity(peer, self._wanted)
        if not names:
            raise self._refusal(
                f"{method} is for a {self._role}, and the certificate that was shown is of {_told(peer)}: "
                f"TLS({self._role}s=) says whose are {self._role}s'"
            )
        return names

    def _check_dates(self, shown: Mapping[str, Iterable[bytes]]) -> None:
        now = time.time()
        for certificate in shown.get(_PEM, ()):
            begin, end = self._dates.get(certificate) or self._read(certificate)
            if now > end:
                raise self._refusal(
                    f"the certificate that was shown, of {_told(peer_of(shown))}, has expired on {day(end)}: "
                    "it needs a new one"
                )
            if now < begin:
                raise self._refusal(
                    f"the certificate that was shown, of {_told(peer_of(shown))}, is not valid before {day(begin)}, "
                    f"and the clock here says {day(now)}: do the clocks differ?"
                )

    def _read(self, certificate: bytes) -> tuple[float, float]:
        if len(self._dates) >= _MOST_READ:
            self._dates.clear()
        try:
            dates = validity(first_der(certificate))
        except (ValueError, IndexError):  # TLS has taken it, whatever stands there for its dates
            dates = _ALWAYS
        self._dates[certificate] = dates
        return dates

    def _recognise(self, register: Register, token: str, names: frozenset[str]) -> None:
        if not register.recognises(token, names):
            refusal = self._refusal(
                f"the session is another slave's than {sentence(', '.join(sorted(names)), _LONGEST)}"
            )
            self._tell(token, refusal)
            raise refusal

    def _tell(self, token: str, refusal: ResponseException) -> None:
        if self._register is not None:
            self._register.disbelieved(token, refusal.message)


def by_slave(tls: TLS | None) -> list[CertificateCheck]:
    """What a slave asks of who calls it under mutual TLS: where its TLS tells masters, that it is one."""
    if tls is None or not tls.mutual:
        return []
    return [CertificateCheck(MASTER, tls.masters, SlaveCertificateInvalid)]


def by_master(tls: TLS | None, register: Register) -> list[CertificateCheck]:
    """What a master asks likewise: where its TLS tells slaves, that it is one, and that of the session."""
    if tls is None or not tls.mutual:
        return []
    return [CertificateCheck(SLAVE, tls.slaves, MasterCertificateInvalid, register)]


def _told(peer: Peer) -> str:
    return sentence(str(peer), _LONGEST)


def peer_of(shown: Mapping[str, Iterable[bytes]]) -> Peer:
    """Read the names in what gRPC tells of a call's other end."""
    hosts = [name for kind in _HOSTS for name in _texts(shown, kind)]
    return Peer(_texts(shown, _URIS), hosts, _texts(shown, _COMMON))


def _texts(shown: Mapping[str, Iterable[bytes]], kind: str) -> list[str]:
    return [name.decode("utf-8", "replace") for name in shown.get(kind, ()) if name]  # a common name may be empty
