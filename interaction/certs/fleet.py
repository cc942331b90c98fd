"""The folders of a fleet: its authority, its master, its slaves. Each of the two holds all that its machine needs.

::

    certs/                  the master's: TLS.from_folder("certs")
      authority.pem         whom to believe
      certificate.pem, key.pem
      authority/            what signs: `authority.pem`, `key.pem`. Only new certificates need it
      slaves/gpu-1/         a slave's, to be copied to its machine: TLS.from_folder("gpu-1")
        authority.pem, certificate.pem, key.pem
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from interaction import roles, x509
from interaction.certs import issue, place
from interaction.certs.issue import Pair
from interaction.pem import first_der
from interaction.roles import Member

DAYS = 397  # that a certificate is good for: a year, and a month to renew it in
MAX_DAYS = 3650
AUTHORITY, CERTIFICATE, KEY = "authority.pem", "certificate.pem", "key.pem"
_HERE = ("localhost", "127.0.0.1", "::1")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(\*\.)?{_LABEL}(\.{_LABEL})*")


def create(
    folder: Path, cluster: str = "interaction", name: str = "master", hosts: Iterable[str] = (), days: int = DAYS
) -> Path:
    """Make an authority, and a master's certificate. Returns the master's folder.

    Raises ValueError for names and folders that can't be, FileExistsError where there is one already, and OSError.
    """
    who = roles.member(cluster, roles.MASTER, name)
    named = _hosts(who, [*_HERE, *_if_host(socket.gethostname(), who), *hosts])
    _check_days(days)
    place.make(folder)
    by = issue.authority(cluster)
    place.check_free(folder, {AUTHORITY: b"", CERTIFICATE: b"", KEY: b"", "authority": b""})
    place.write(place.make(folder / "authority"), {KEY: by.key, AUTHORITY: by.certificate})
    _write(folder, by, issue.identity(by, who, named, days))
    return folder


def new_slave(folder: Path, name: str, hosts: Iterable[str] = (), days: int = DAYS) -> Path:
    """Make a slave's certificate, by the authority in the folder of `create()`. Returns the slave's folder.

    Raises as `create()`, and FileNotFoundError without an authority.
    """
    by = _authority(folder)
    master = _member(folder)
    who = roles.member(master.cluster, roles.SLAVE, name)
    named = _hosts(who, [*_HERE, *_if_host(name, who), *hosts])
    _check_days(days)
    own = place.make(folder / "slaves" / name)
    place.check_free(own, {AUTHORITY: b"", CERTIFICATE: b"", KEY: b""})
    _write(own, by, issue.identity(by, who, named, days))
    return own


def renew(folder: Path, own: Path, days: int = DAYS) -> Path:
    """Make a new key and certificate in the place of those in `own`, for the same name and hosts.

    Raises as `new_slave()`.
    """
    by, who = _authority(folder), _member(own)
    _check_days(days)
    place.check(own)
    hosts = issue.hosts_of((own / CERTIFICATE).read_bytes(), who)
    _write(own, by, issue.identity(by, who, hosts, days))
    return own


def _write(folder: Path, by: Pair, own: Pair) -> None:
    place.write(folder, {AUTHORITY: by.certificate, KEY: own.key, CERTIFICATE: own.certificate})


def _authority(folder: Path) -> Pair:
    signing = folder / "authority"
    if not (signing / KEY).exists():
        raise FileNotFoundError(f"no authority is in {folder}: `python -m interaction.certs init {folder}` makes one")
    place.check(signing)
    return Pair((signing / AUTHORITY).read_bytes(), (signing / KEY).read_bytes())


def _member(folder: Path) -> Member:
    """Whose folder it is."""
    found = roles.member_of(x509.uris(first_der((folder / CERTIFICATE).read_bytes())))
    if found is None:
        raise ValueError(f"{folder / CERTIFICATE} is no certificate of interaction.certs: it names no master or slave")
    return found


def _check_days(days: int) -> None:
    if not 1 <= days <= MAX_DAYS:
        raise ValueError(f"days must be 1 to {MAX_DAYS}, not {days}")


def _if_host(name: str, who: Member) -> list[str]:
    lower = name.lower()
    return [lower] if _HOST.fullmatch(lower) and not _is_taken(lower, who) else []


def _hosts(who: Member, given: Iterable[str]) -> list[str]:
    """Check hosts. Raises ValueError, also for those names by which masters and slaves are told apart."""
    found = []
    for host in given:
        lower = host.lower()
        try:
            lower = str(ipaddress.ip_address(lower))
        except ValueError:
            if not _HOST.fullmatch(lower):
                raise ValueError(
                    f"the host {host!r:.260}: expected a name, `*.` and a name, or an IP address"
                ) from None
        if _is_taken(lower, who):
            raise ValueError(f"the host {host!r}: it would match {who.cluster}'s own names of masters and slaves")
        found.append(lower)
    return issue.unique(found)


def _is_taken(host: str, who: Member) -> bool:
    return host in {f"{role}.{who.cluster}" for role in (roles.MASTER, roles.SLAVE)} or host == f"*.{who.cluster}"
