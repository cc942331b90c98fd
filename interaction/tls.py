"""TLS as its user gives it: keys, certificates and authorities, checked, and read again where they come from files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, SupportsIndex

from interaction import pem, roles, x509
from interaction.address import Endpoint

_PARTS = ("certificate", "key", "authority")
_log = logging.getLogger("interaction.tls")


@dataclass(frozen=True)
class TLS:
    """Keys, certificates and authorities, each as PEM. One object serves both roles, server and client.

    Attributes:
        certificate: this side's certificate, and the chain behind it.
        key: the private key of `certificate`.
        authority: the certificates that a peer's must lead to. None means the system's authorities.
        mutual: as a server, accept only peers with a certificate that leads to `authority` (mTLS).
        server_name: as a client, the name that the server's certificate must bear. None means the dialled host.
        plain_peers: dial also peers without TLS. Whatever they are told, tokens too, can then be read on the way.
        masters: as a slave's server, whose certificates are masters': who has another can't open a session, nor hand
            over a task. Patterns as of shells; those with `://` are compared with the URIs in the certificate, where a
            `*` ends at a `/`, others with its host names and its common name. None means
            `spiffe://CLUSTER/master/*` where this side's own certificate is of that kind, and otherwise that everybody
            with a certificate may.
        slaves: likewise, as a master's server: who may beat and report, each for sessions of its own: those that a
            certificate opened which has a matching name in common with the slave's.

    A server needs `certificate` and `key`; a client needs them only where the server is `mutual`. What has expired is
    taken, with a warning in the log; but no master or slave starts with it.

    What comes from files is read again when they change, also while masters and slaves run with it: what they begin
    from then on goes by the new ones, and what is open goes on. Until the files fit one another, all stays as it is; so
    it does where another user of the machine could have written them. `dataclasses.replace()` keeps that, but for parts
    that it is given as bytes.

    Raises:
        ValueError: `certificate` without `key` or the other way round, `mutual` without `authority`, or what can't be
            used, such as a key that is encrypted, or that of another certificate.
    """

    certificate: bytes | None = None
    key: bytes | None = None
    authority: bytes | None = None
    mutual: bool = False
    server_name: str | None = None
    plain_peers: bool = False
    masters: Sequence[str] | None = None
    slaves: Sequence[str] | None = None
    _files: Files | None = field(default=None, repr=False, compare=False, kw_only=True)  # so that replace() hands it on

    def __post_init__(self) -> None:
        self._check_forms()
        for warning in pem.check(self.certificate, self.key, self.authority):
            _log.warning("%s", warning)
        several = roles.would_be_several(self._uris)
        if several and self.mutual and self.certificate is not None:
            who = pem.name_of("certificate", self.certificate)
            raise ValueError(f"the {who} says {' and '.join(several)}: a certificate names one master or one slave")
        for name in _PARTS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, bytes(getattr(self, name)))
        own = self.member if self.mutual else None
        if own is not None and self.masters is None:
            object.__setattr__(self, "masters", roles.all_of(own.cluster, roles.MASTER))
        if own is not None and self.slaves is None:
            object.__setattr__(self, "slaves", roles.all_of(own.cluster, roles.SLAVE))
        if self._files is not None:
            object.__setattr__(self, "_files", self._files.of(self))

    def _check_forms(self) -> None:
        for name in _PARTS:
            if not isinstance(getattr(self, name), bytes | None):
                raise ValueError(f"TLS {name}: expected PEM bytes; TLS.from_files reads files")
        for name in ("mutual", "plain_peers"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"TLS {name}: expected True or False, not {getattr(self, name)!r:.80}")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS: certificate and key go together")
        if self.mutual and self.authority is None:
            raise ValueError("TLS: mutual needs an authority to check the peers' certificates by")
        for name in ("masters", "slaves"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, roles.patterns(name, getattr(self, name)))
                if not self.mutual:
                    raise ValueError(f"TLS {name}: who calls shows a certificate only with mutual=True")

    def __repr__(self) -> str:  # a key does not belong in a log
        given = [name for name in _PARTS if getattr(self, name) is not None]
        return f"TLS({', '.join(given)}, mutual={self.mutual}, server_name={self.server_name!r})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if self.key is not None:
            raise TypeError(
                "a TLS that holds a key is not pickled: make it in the process that needs it, by TLS.from_files() say"
            )
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> TLS:
        return self

    def __deepcopy__(self, _: object) -> TLS:
        return self

    def without_key(self) -> TLS:
        """What a process has of it that neither serves nor dials anybody: certificates are no secret."""
        made = object.__new__(type(self))
        for name, value in vars(self).items():
            shown = pem.certificates_of(value) if isinstance(value, bytes) else value
            object.__setattr__(made, name, None if name in ("key", "_files") else shown)
        return made

    @classmethod
    def from_files(
        cls,
        *,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        authority: str | Path | None = None,
        mutual: bool = False,
        server_name: str | None = None,
        plain_peers: bool = False,
        masters: Sequence[str] | None = None,
        slaves: Sequence[str] | None = None,
    ) -> TLS:
        """Read the PEM files. Raises OSError where one can't be read, and ValueError as the constructor does, and where
        a file, or a folder or link on the way to it, is another user's than root's, or one that others may write.

        The messages name the file.
        """
        given = zip(_PARTS, (certificate, key, authority), strict=True)
        # absolute, for they are read again when somebody may have changed the working directory; links stay as they are
        paths = {name: str(Path(path).absolute()) for name, path in given if path is not None}
        files = Files(paths)
        return cls(
            **files.held,
            mutual=mutual,
            server_name=server_name,
            plain_peers=plain_peers,
            masters=masters,
            slaves=slaves,
            _files=files,
        )

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        server_name: str | None = None,
        plain_peers: bool = False,
        masters: Sequence[str] | None = None,
        slaves: Sequence[str] | None = None,
    ) -> TLS:
        """Mutual TLS by `authority.pem`, `certificate.pem` and `key.pem` of a folder, as `interaction.certs` makes it.

        A certificate that names its holder as `spiffe://CLUSTER/master/NAME` or `…/slave/NAME` is the whole
        configuration: who dials expects a peer of the other role of that cluster (its `server_name` is `slave.CLUSTER`
        or `master.CLUSTER`, which each certificate of that role bears), at whatever address it has; who is called lets
        masters open sessions and hand over tasks, and a session's slave beat and report for it, and nobody else.

        Raises as `from_files`.
        """
        paths = {name: str(Path(folder) / f"{name}.pem") for name in _PARTS}
        made = cls.from_files(
            certificate=paths["certificate"],
            key=paths["key"],
            authority=paths["authority"],
            mutual=True,
            server_name=server_name,
            plain_peers=plain_peers,
            masters=masters,
            slaves=slaves,
        )
        if server_name is None and made.expects is not None:
            object.__setattr__(made, "server_name", made.expects.host)
        return made

    @property
    def member(self) -> roles.Member | None:
        """Who its certificate says that this is; None where that is not `spiffe://CLUSTER/master/NAME` or a slave's."""
        return roles.member_of(self._uris)

    @property
    def _uris(self) -> tuple[str, ...]:
        if self.certificate is None:
            return ()
        try:
            return x509.uris(pem.first_der(self.certificate))
        except (ValueError, IndexError):  # OpenSSL takes it, whatever stands there
            return ()

    def check_role(self, role: str, option: str) -> None:
        """Raise ValueError where its certificate says that this is of the other role, and no pattern says otherwise."""
        own = self.member
        if own is None or own.role == role or not self.mutual:
            return
        if roles.matching(roles.Peer([own.uri]), (self.masters if role == roles.MASTER else self.slaves) or ()):
            return
        who = pem.called("certificate", self.files.get("certificate", ""))
        folder = "certs" if role == roles.MASTER else "certs/slaves/NAME"
        raise ValueError(
            f"{option}: the {who} is that of a {own.role}, {own.uri}: a {role} needs one of its own, as "
            f"`python -m interaction.certs` makes it: TLS.from_folder({folder!r})"
        )

    def succeeded_by(self, newest: TLS, who: str) -> TLS:
        """That other one, where it may take this one's place while it is used. Raises ValueError where it is
        somebody else's; `who` is how its certificate is called."""
        was, will_be = self.member, newest.member
        if was is not None and will_be != was:
            whose = "nobody's" if will_be is None else f"that of {will_be.uri}"
            raise ValueError(f"the {who} is {whose}, and this is {was.uri}: to be another it has to be started again")
        return newest

    @property
    def expects(self) -> roles.Member | None:
        """Whom it dials, without a name: who is a master dials slaves, and the other way round. None as `member`."""
        own = self.member
        return None if own is None else roles.Member(own.cluster, roles.other(own.role), "")

    def permits(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint may be dialled: none in the clear, unless that was said."""
        return endpoint.tls or self.plain_peers

    @property
    def files(self) -> Mapping[str, str]:
        """The paths that it was read from, by `certificate`, `key` and `authority`; empty where it was given."""
        return {} if self._files is None else self._files.paths

    @property
    def current(self) -> TLS:
        """The same, with what its files held when somebody last looked."""
        return self if self._files is None or self._files.newest is None else self._files.newest

    def look(self) -> None:
        """Read the files again where they have changed. The log is told what came of it. Reads disks."""
        if self._files is not None:
            self._files.look(self.current)

    def ends(self) -> list[tuple[float, str]]:
        """When what it holds now has expired, each in seconds since 1970, and how it is called in a message."""
        now = self.current
        found = pem.ends(now.certificate, now.authority)
        return [(end, pem.called(name, self.files.get(name, ""))) for name, end in found.items()]


class Files:
    """The files of a TLS, and what was read of them since."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        """Read them. Raises OSError, and ValueError where they are not to be trusted."""
        self.paths = paths
        self.newest: TLS | None = None  # None: what was read first
        self._first = self._seen = self._stamps()
        self.held = self._read()  # first, by part
        self._told = ""
        self._tell_shared()

    def of(self, tls: TLS) -> Files | None:
        """The files of a TLS that was made by these, or of one that has these: but for parts that it has otherwise."""
        parts = [part for part, content in self.held.items() if getattr(tls, part) == content]
        if not parts:
            return None
        made = copy(self)
        made.paths = {part: self.paths[part] for part in parts}
        made.held = {part: self.held[part] for part in parts}
        made.newest, made._told = None, ""
        made._first = made._seen = [seen for part, seen in zip(self.paths, self._first, strict=True) if part in parts]
        return made

    def _read(self) -> dict[str, pem.PemFile]:
        return {part: pem.PemFile.read(part, path) for part, path in self.paths.items()}

    def _tell_shared(self) -> None:
        key = self.paths.get("key")
        if key is not None and pem.shared(key):
            _log.warning("others on this machine may read the TLS key (%s): `chmod 600` it", key)

    def look(self, held: TLS) -> None:
        """Read them again where they have changed; `held` is used now. What can't be used is read at each look."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            read = self._read()
            pem.check(read.get("certificate"), read.get("key"), read.get("authority"))
            pem.check_usable_now(read.get("certificate"), read.get("authority"))
            newest = replace(held, **read, _files=None)  # type: ignore[arg-type]  # the keys are the names
            held.succeeded_by(newest, pem.called("certificate", self.paths.get("certificate", "")))
        except (OSError, ValueError) as error:
            if str(error) != self._told:
                _log.warning("the TLS files have changed; what they held before stays in use, for %s", error)
            self._told = str(error)
            return
        if stamps != self._stamps():  # somebody is writing: the next look reads it all
            return
        self.newest, self._seen, self._told = newest, stamps, ""
        _log.info("the TLS files have changed and were read again: %s", ", ".join(self.paths.values()))
        self._tell_shared()

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [pem.stamp(path) for path in self.paths.values()]
