"""Addresses: `host:port` and the URLs that stand for it, and who may be dialled."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_TLS_BY_SCHEME = {"": False, "grpc": False, "http": False, "https": True}
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?\.?")
_LOOPBACK_FOR_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - named here to be replaced, not bound


@dataclass(frozen=True)
class Endpoint:
    """Where a server is reached: a host name or IP address without brackets, a port, and whether by TLS."""

    host: str
    port: int
    tls: bool = False

    @property
    def authority(self) -> str:
        """`host:port`, with an IPv6 host in brackets."""
        return join_host(self.host, self.port)

    @property
    def dialled_host(self) -> str:
        """The host to dial: the address that means "any" when listening stands for loopback."""
        return _LOOPBACK_FOR_ANY.get(self.host, self.host)

    @property
    def target(self) -> str:
        """The name that gRPC dials, with its resolver named, so that no host is taken for one."""
        authority = join_host(self.dialled_host, self.port)
        version = ip_version(self.dialled_host)
        return f"dns:///{authority}" if version is None else f"ipv{version}:{authority}"

    def __str__(self) -> str:
        return f"https://{self.authority}" if self.tls else self.authority


def join_host(host: str, port: int) -> str:
    """`host:port`, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ip_version(host: str) -> int | None:
    """4 or 6 for an IP address, None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether nothing beyond this machine reaches a server that listens at `host`."""
    if ip_version(host) is None:
        return host.lower().removesuffix(".") == "localhost"
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)  # which some Pythons look at themselves, and some don't
    return bool((mapped or address).is_loopback)


def is_any(host: str) -> bool:
    """Whether `host` means every address of this machine."""
    return host in _LOOPBACK_FOR_ANY


def check_host(host: str) -> str:
    """Return a host name or IP address without brackets, or raise ValueError."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ip_version(bare) is None and not _HOST_NAME.fullmatch(bare):
        raise ValueError(f"{host!r} is no host: expected a name or an IP address{_advice(bare)}")
    return bare


def _advice(host: str) -> str:
    """For whoever gave more than a host."""
    name, _, port = host.rpartition("://")[2].rstrip("/").partition(":")
    if not _HOST_NAME.fullmatch(name) or (port and not port.isdecimal()):
        return ""
    return f" alone, such as {name!r}; the port, {port}, is given by itself" if port else f" alone, such as {name!r}"


def parse_address(text: str, default_port: int) -> Endpoint:
    """Read `host`, `host:port`, or such behind `grpc://`, `http://` or `https://`.

    Raises:
        ValueError: anything else, such as another scheme, a path, or a port outside 1 to 65535.
    """
    expected = "expected host:port, or grpc://, http:// or https:// and host:port"
    if len(text) > 512:
        raise ValueError(f"an address of {len(text)} characters: {expected}")
    if not text.isprintable() or " " in text:  # of which urlsplit drops some without a word
        raise ValueError(f"address {text!r}: {expected}")
    try:
        split = urlsplit(text if "://" in text else f"//{text}")
        host, port = split.hostname or "", split.port
    except ValueError as error:
        raise ValueError(f"address {text!r}: {error}; {expected}") from None
    if split.scheme not in _TLS_BY_SCHEME:
        raise ValueError(f"address {text!r}: the scheme {split.scheme!r} is not accepted; {expected}")
    if split.path not in ("", "/") or split.query or split.fragment or "@" in split.netloc:
        raise ValueError(f"address {text!r}: {expected}")
    if port is None:
        port = default_port
    if not 1 <= port <= 65535:
        raise ValueError(f"address {text!r}: the port must be 1 to 65535")
    return Endpoint(check_host(host), port, _TLS_BY_SCHEME[split.scheme])


class AllowList:
    """Hosts that may be dialled: names, IP addresses, and networks such as `10.0.0.0/8`.

    A name is compared as it is written, without regard to case, and not resolved.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._names.add(check_host(entry).lower())

    def permits(self, endpoint: Endpoint) -> bool:
        """Whether a server at `endpoint` may be dialled."""
        if ip_version(endpoint.host) is None:
            return endpoint.host.lower() in self._names
        address = ipaddress.ip_address(endpoint.host.partition("%")[0])
        return any(address in network for network in self._networks)
