"""Who somebody is by the names in their certificate: `spiffe://CLUSTER/master/NAME`, or what patterns say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

MASTER, SLAVE = "master", "slave"
_CLUSTER = re.compile(r"(?=.{1,100}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_URI = re.compile(rf"spiffe://([a-z0-9.-]{{1,100}})/({MASTER}|{SLAVE})/({_NAME.pattern})")
_NO_SEGMENTS = frozenset({"", ".", ".."})  # of a name: a peer that resolved them would read another one
_MOST_PATTERNS = 1000


@dataclass(frozen=True)
class Member:
    """One master or slave of a cluster."""

    cluster: str
    role: str
    name: str

    @property
    def uri(self) -> str:
        """The name that its certificate bears."""
        return f"spiffe://{self.cluster}/{self.role}/{self.name}"

    @property
    def host(self) -> str:
        """The host name in the certificates of all of its role: who dials them expects that, wherever they are."""
        return f"{self.role}.{self.cluster}"


@dataclass(frozen=True)
class Peer:
    """The names in the certificate of somebody who calls."""

    uris: Sequence[str] = ()
    hosts: Sequence[str] = ()
    common: Sequence[str] = ()

    def __str__(self) -> str:
        return ", ".join([*self.uris, *self.hosts, *self.common][:3]) or "without a name"


def member(cluster: str, role: str, name: str) -> Member:
    """A member of a cluster. Raises ValueError for what can't be a name, which it names."""
    if not _CLUSTER.fullmatch(cluster):
        raise ValueError(f"the cluster {cluster!r:.120}: expected a domain name in lower case, at most 100 characters")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the {role} {name!r:.80}: expected 1 to 63 of A-Z, a-z, 0-9, `.`, `_` and `-`, a letter or digit first"
        )
    return Member(cluster, role, name)


def member_of(uris: Iterable[str]) -> Member | None:
    """Who bears these names; None for nobody of ours, or for who would be two, of ours or of others'."""
    spiffe = _spiffe(uris)
    found = _URI.fullmatch(spiffe[0]) if len(spiffe) == 1 else None
    return Member(*found.groups()) if found else None


def would_be_several(uris: Iterable[str]) -> list[str]:
    """The names of who would be two, and one of them of ours; an empty list for all others."""
    spiffe = _spiffe(uris)
    return spiffe if len(spiffe) > 1 and any(map(_URI.fullmatch, spiffe)) else []


def _spiffe(uris: Iterable[str]) -> list[str]:
    return [uri for uri in uris if uri.lower().startswith("spiffe://")]


def all_of(cluster: str, role: str) -> tuple[str, ...]:
    """The pattern for all masters, or all slaves, of a cluster."""
    return (f"spiffe://{cluster}/{role}/*",)


def other(role: str) -> str:
    """Whom a master dials, and whom a slave."""
    return SLAVE if role == MASTER else MASTER


def patterns(name: str, given: object) -> tuple[str, ...]:
    """Read a user's patterns. Raises TypeError and ValueError, which name the option."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"TLS {name}: expected a sequence of patterns, as ['*.trainers.example'], not {given!r:.80}")
    for one in given:
        if not isinstance(one, str) or not one:
            raise TypeError(f"TLS {name}: a pattern is a string, not {one!r:.80}")
    if not 1 <= len(given) <= _MOST_PATTERNS:
        raise ValueError(f"TLS {name}: {len(given)} patterns; leave it out to let in everybody with a certificate")
    return tuple(given)


def matching(peer: Peer, wanted: Sequence[str]) -> frozenset[str]:
    """Which of a peer's names match: URIs a pattern with `://`, host names and the common name another.

    Of who would be two by `spiffe://` neither does, nor does a URI whose path has an empty segment, `.` or `..`, or a
    URI that stands where a host name or a common name belongs.
    """
    several = _spiffe(peer.uris)
    uris = [uri for uri in peer.uris if _is_plain(uri) and not (len(several) > 1 and uri in several)]
    others = [name for name in (*peer.hosts, *peer.common) if "://" not in name]
    return frozenset(
        name for pattern in wanted for name in (uris if "://" in pattern else others) if _matches(name, pattern)
    )


def identity(peer: Peer, wanted: Sequence[str]) -> frozenset[str]:
    """By which names a peer is known again, another time: by that of its role, and without one by each that matches.

    Empty where none does.
    """
    names = matching(peer, wanted)
    own = member_of(peer.uris)
    if own is not None and own.uri in names:
        return frozenset({own.uri})
    return frozenset(name if "://" in name else name.lower() for name in names)


def _is_plain(uri: str) -> bool:
    return _NO_SEGMENTS.isdisjoint(uri.partition("://")[2].split("/"))


def _matches(name: str, pattern: str) -> bool:
    if "://" not in pattern:
        return fnmatchcase(name.lower(), pattern.lower())
    given, wanted = name.split("/"), pattern.split("/")  # so that no `*` goes on across a `/`
    return len(given) == len(wanted) and all(map(fnmatchcase, given, wanted))
