"""Whose certificate a caller has shown, and what it lets them do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from interaction.exception import (
    MasterCertificateInvalid,
    ResponseException,
    SlaveCertificateInvalid,
)
from interaction.roles import MASTER, SLAVE, Peer, matching
from interaction.rpc.metadata import read_metadata
from interaction.rpc.status import Context
from interaction.tls import TLS

_URIS, _COMMON = "peer_uri", "x509_common_name"  # where gRPC puts the names of who has called
_HOSTS = ("peer_dns", "peer_ip")


class Register(Protocol):
    """Who knows the sessions of a master."""

    def recognises(self, token: str, names: frozenset[str]) -> bool:
        """Whether who has these names is the slave of that session."""


class CertificateCheck:
    """Asks each call for a certificate of the right role: a `Check` of the guard's.

    A session is its slave's who is the first to call by its token, which is told to that one alone.
    """

    def __init__(
        self, role: str, wanted: Sequence[str], refusal: type[ResponseException], register: Register | None = None
    ) -> None:
        self._role = role
        self._wanted = wanted
        self._refusal = refusal
        self._register = register

    def admit(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]], context: Context
    ) -> Callable[[], object] | None:
        """Admit a call by who has called."""
        peer = peer_of(context.auth_context())
        names = matching(peer, self._wanted)
        if not names:
            raise self._refusal(
                f"{method} is for a {self._role}, and the certificate that was shown is of {peer!s:.200}: "
                f"TLS({self._role}s=) says whose are {self._role}s'"
            )
        if self._register is None:
            return None
        return partial(self._recognise, self._register, read_metadata(metadata).token or "", names)

    def _recognise(self, register: Register, token: str, names: frozenset[str]) -> None:
        if not register.recognises(token, names):
            raise self._refusal(f"the session is another slave's than {', '.join(sorted(names)):.200}")


def by_slave(tls: TLS | None) -> list[CertificateCheck]:
    """What a slave asks of who calls it: where its TLS tells masters, that it is one."""
    if tls is None or tls.masters is None:
        return []
    return [CertificateCheck(MASTER, tls.masters, SlaveCertificateInvalid)]


def by_master(tls: TLS | None, register: Register) -> list[CertificateCheck]:
    """What a master asks of who calls it: where its TLS tells slaves, that it is one, and that of the session."""
    if tls is None or tls.slaves is None:
        return []
    return [CertificateCheck(SLAVE, tls.slaves, MasterCertificateInvalid, register)]


def peer_of(shown: Mapping[str, Iterable[bytes]]) -> Peer:
    """Read the names in what gRPC tells of a call's other end."""
    hosts = [name for kind in _HOSTS for name in _texts(shown, kind)]
    return Peer(_texts(shown, _URIS), hosts, _texts(shown, _COMMON))


def _texts(shown: Mapping[str, Iterable[bytes]], kind: str) -> list[str]:
    return [name.decode("utf-8", "replace") for name in shown.get(kind, ())]
