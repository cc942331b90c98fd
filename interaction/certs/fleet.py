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
import os
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
_COMMAND = "python -m interaction.certs"
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
    instead = f"`{_COMMAND} slave NAME --in {folder}` adds a slave, `{_COMMAND} renew {folder}` makes a new certificate"
    with place.filling(folder, ["authority", AUTHORITY, CERTIFICATE, KEY], instead):
        by = issue.authority(cluster)
        own = issue.identity(by, who, named, days)
        (folder / "authority").mkdir(mode=place.FOLDER)
        place.write(folder / "authority", {KEY: by.key, AUTHORITY: by.certificate})
        place.write(folder, {AUTHORITY: by.certificate, KEY: own.key, CERTIFICATE: own.certificate})
    return folder


def new_slave(folder: Path, name: str, hosts: Iterable[str] = (), days: int = DAYS) -> Path:
    """Make a slave's certificate, by the authority in the folder of `create()`. Returns the slave's folder.

    It believes what the master's folder does, be it several authorities. Raises as `create()`, FileNotFoundError
    without an authority, and ValueError for one that can't sign.
    """
    by = _authority(folder)
    believed = _believed(folder, by, folder)
    master = _member(folder)
    who = roles.member(master.cluster, roles.SLAVE, name)
    named = _hosts(who, [*_HERE, *_if_host(name, who), *hosts])
    _check_days(days)
    own = folder / "slaves" / name
    with place.filling(own, [AUTHORITY, CERTIFICATE, KEY], f"`{_COMMAND} renew {own}` makes a new certificate"):
        made = issue.identity(by, who, named, days)
        place.write(own, {AUTHORITY: believed, KEY: made.key, CERTIFICATE: made.certificate})
    return own


def renew(folder: Path | None, own: Path, days: int = DAYS) -> Path:
    """Make a new key and certificate in the place of those in `own`, for the same name and hosts, by the authority in
    the folder of `create()`; None: that which `own` is in, or `certs`.

    Raises as `new_slave()`, and ValueError where `own` does not believe that authority.
    """
    who = _member(own)
    _check_days(days)
    place.check(own)
    folder = _fleet_of(own) if folder is None else folder
    by = _authority(folder)
    _believed(own, by, folder)
    made = issue.identity(by, who, issue.hosts_of((own / CERTIFICATE).read_bytes(), who), days)
    place.write(own, {KEY: made.key, CERTIFICATE: made.certificate})
    return own


def _fleet_of(own: Path) -> Path:
    """The folder of `create()` whose master or slave that is."""
    real = Path(os.path.realpath(own))
    for each in (own, *([real.parent.parent] if real.parent.name == "slaves" else []), Path("certs")):
        if _signs(each):
            return each
    raise FileNotFoundError(f"no authority is in {own} or beside it: --in names the folder that `init` has made")


def _signs(folder: Path) -> bool:
    return (folder / "authority" / KEY).exists()


def _authority(folder: Path) -> Pair:
    """The authority in a folder of `create()`. Raises ValueError where what it would sign is of no use."""
    signing = folder / "authority"
    if not _signs(folder):
        raise FileNotFoundError(
            f"no authority is in {folder}: --in names the folder that `init` has made; "
            f"where there is none yet, `{_COMMAND} init {folder}` makes one"
        )
    place.check(signing)
    if not (signing / AUTHORITY).exists():
        raise FileNotFoundError(f"the authority in {signing} can't sign: its certificate, {AUTHORITY}, is not there")
    pair = Pair((signing / AUTHORITY).read_bytes(), (signing / KEY).read_bytes())
    try:
        issue.signer(pair)
    except ValueError as error:
        raise ValueError(f"the authority in {signing} can't sign: {error}") from None
    return pair


def _believed(own: Path, by: Pair, folder: Path) -> bytes:
    """Whom a master or slave believes. Raises ValueError where that is not the authority by which it gets a new
    certificate: its peers believe the same, and would refuse it."""
    file = own / AUTHORITY
    remedy = f"put {folder / 'authority' / AUTHORITY} there"
    if not file.exists():
        raise FileNotFoundError(f"{file} is not there: {remedy}")
    content = file.read_bytes()
    try:
        believes = issue.holds(content, by.certificate)
    except ValueError:
        raise ValueError(f"{file} can't be read: {remedy}") from None
    if not believes:
        raise ValueError(
            f"{file} is another authority's than the one in {folder}, whose certificates nobody there would take: "
            "nothing was written; --in names the folder that `init` has made for it, or, to change authorities, "
            f"{remedy} too"
        )
    return content


def _member(folder: Path) -> Member:
    """Whose folder it is."""
    if not (folder / CERTIFICATE).exists():
        raise FileNotFoundError(f"no certificate is in {folder}: it is no folder of a master or a slave")
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
