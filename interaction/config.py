"""The documented defaults and minima, as validated frozen options."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from interaction.address import AllowList, Endpoint, check_host, parse_address
from interaction.secret import Secret
from interaction.tls import TLS

LOCAL_HOST = "127.0.0.1"
GLOBAL_HOST = "0.0.0.0"  # noqa: S104 - the documented default; a server there without TLS says so in the log
DEFAULT_MASTER_PORT = 7235
DEFAULT_SLAVE_PORT = 7236
DEFAULT_CHANNEL = 0
DEFAULT_HEARTBEAT_TOLERANCE = 15.0
MIN_HEARTBEAT_TOLERANCE = 0.2
DEFAULT_HEARTBEAT_CHECK_SPAN = 1.0
MIN_HEARTBEAT_CHECK_SPAN = 0.1
DEFAULT_HEARTBEAT_SPAN = 3.0
MIN_HEARTBEAT_SPAN = 0.2
DEFAULT_HOOK_TIMEOUT = 25.0  # within what a master waits for an answer
DEFAULT_SLOTS = 1
MAX_SLOTS = 1000
DEFAULT_BACKLOG = 0
MAX_BACKLOG = 10_000
MAX_LABELS, MAX_LABEL = 64, 256  # how many, and characters of each name and value
DEFAULT_REQUEST_RETRIES = 5
DEFAULT_REQUEST_RETRY_WAITING = 1.0
DEFAULT_REQUEST_TIMEOUT = 30.0
DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MIN_MAX_MESSAGE_BYTES = 64 * 1024
MAX_MAX_MESSAGE_BYTES = 2**31 - 1
# Of a payload's JSON text: what is large goes in buffers. Both sides go by it, so it is no option.
MAX_JSON_BYTES = 8 * 1024 * 1024
# What a peer reads that did not say: gRPC's own default.
ASSUMED_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_T = TypeVar("_T")


@dataclass(frozen=True)
class ServiceOptions:
    """What a master and a slave have in common."""

    host: str
    port: int  # 0 binds a free port
    channel: int
    request_retries: int  # how often a request is tried again after a transport failure
    request_retry_waiting: float  # seconds before each retry
    request_timeout: float  # seconds until a request ends, with all its retries
    max_message_bytes: int  # the longest message that is read
    tls: TLS | None
    reflection: bool  # serve gRPC server reflection
    secret: Secret | None = field(default=None, kw_only=True, repr=False)  # what both sides know

    def __post_init__(self) -> None:
        _text("host", self.host)
        _set(self, "host", check_host(self.host))
        _whole(self, "port", 0, 65535)
        _whole(self, "channel", -(2**63), 2**63 - 1)
        _whole(self, "request_retries", 0, 1_000_000)
        _seconds(self, "request_retry_waiting", zero=True)
        _seconds(self, "request_timeout")
        _whole(self, "max_message_bytes", MIN_MAX_MESSAGE_BYTES, MAX_MAX_MESSAGE_BYTES)
        _tls("tls", self.tls)
        if self.tls is not None and self.tls.certificate is None:
            raise ValueError("tls: a server needs a certificate and a key")

    @property
    def each_tls(self) -> tuple[TLS, ...]:
        """Each TLS that is used."""
        return () if self.tls is None else (self.tls,)


@dataclass(frozen=True)
class MasterOptions(ServiceOptions):
    """A master's options. Below its minimum a duration is the minimum, as in DI-engine."""

    heartbeat_tolerance: float
    heartbeat_check_span: float
    my_address: str | None
    client_tls: TLS | None  # by which slaves are dialled that were added with https=True
    journal: str | None = None  # where sessions and unfinished tasks are written down; None: nowhere

    def __post_init__(self) -> None:
        super().__post_init__()
        _seconds(self, "heartbeat_tolerance", zero=True)
        _seconds(self, "heartbeat_check_span", zero=True)
        _raise_to(self, "heartbeat_tolerance", MIN_HEARTBEAT_TOLERANCE)
        _raise_to(self, "heartbeat_check_span", MIN_HEARTBEAT_CHECK_SPAN)
        _tls("client_tls", self.client_tls)
        for name in ("tls", "client_tls"):
            _role(f"Master({name}=)", getattr(self, name), "master")
        if self.my_address is not None:
            _text("my_address", self.my_address)
            parse_address(self.my_address, DEFAULT_MASTER_PORT)

    @property
    def each_tls(self) -> tuple[TLS, ...]:
        """Each TLS that is used."""
        used = (self.tls, self.client_tls)
        return tuple(tls for tls in used if tls is not None)

    def slave_at(self, host: str, port: int, tls: bool) -> Endpoint:
        """Where to dial a slave: by TLS where there is any, whatever was said, unless plain peers are permitted."""
        endpoint = Endpoint(host, port, tls)
        permitted = self.client_tls is None or self.client_tls.permits(endpoint)
        return endpoint if permitted else Endpoint(host, port, True)


@dataclass(frozen=True)
class SlaveOptions(ServiceOptions):
    """A slave's options. Below its minimum a duration is the minimum, as in DI-engine."""

    heartbeat_span: float
    allowed_masters: AllowList | None  # None allows every address
    isolation: str  # "thread" or "process"
    pacemaker: bool  # have a process beside the slave that beats for it while its loop stands still
    slots: int = DEFAULT_SLOTS  # tasks that run at once
    backlog: int = DEFAULT_BACKLOG  # tasks that are taken beyond those
    fast_road: bool = True  # serve SlaveService.Work
    hook_timeout: float = DEFAULT_HOOK_TIMEOUT  # seconds that a hook may take
    labels: Mapping[str, str] = field(default_factory=dict)  # what is noted about the slave

    def __post_init__(self) -> None:
        super().__post_init__()
        _seconds(self, "heartbeat_span", zero=True)
        _raise_to(self, "heartbeat_span", MIN_HEARTBEAT_SPAN)
        _seconds(self, "hook_timeout")
        _role("Slave(tls=)", self.tls, "slave")
        if self.isolation not in ("thread", "process"):
            raise ValueError(f"isolation must be 'thread' or 'process', not {self.isolation!r}")
        _whole(self, "slots", 1, MAX_SLOTS)
        _whole(self, "backlog", 0, MAX_BACKLOG)
        _set(self, "labels", labels_of(self.labels))
        for name in ("pacemaker", "fast_road"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")

    def master_at(self, address: str) -> Endpoint:
        """Read the address that a master tells of itself. Raises ValueError for what can't be one, is not accepted
        here, or is in the clear beside TLS."""
        endpoint = parse_address(address, DEFAULT_MASTER_PORT)
        if self.allowed_masters is not None and not self.allowed_masters.permits(endpoint):
            raise ValueError(f"{endpoint} is not among the masters that this slave accepts")
        if self.tls is not None and not self.tls.permits(endpoint):
            raise ValueError(
                f"this slave has TLS, and would talk to {endpoint.authority} in the clear: give the master a "
                "certificate, Master(tls=), and it tells an address with https://; or permit it, "
                "Slave(tls=TLS(..., plain_peers=True))"
            )
        return endpoint


def given(value: _T | None, default: _T) -> _T:
    """The value, or the default where it is None (0 is a value)."""
    return default if value is None else value


def allow_list(entries: Sequence[str] | None) -> AllowList | None:
    """Read a user's allow-list. Raises TypeError for a bare string, ValueError for what is no host or network."""
    if isinstance(entries, str):
        raise TypeError(f"allowed_masters must be a sequence of hosts, not the string {entries!r}")
    return None if entries is None else AllowList(entries)


def labels_of(labels: object) -> dict[str, str]:
    """Read a user's labels. Raises TypeError for what is no mapping of strings to strings, ValueError for too many."""
    if not isinstance(labels, Mapping):
        raise TypeError(f"labels must be a mapping of strings to strings, not {labels!r:.80}")
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"labels must be strings, as {str(name)!r:.80}: {str(value)!r:.80}")
        if len(name) > MAX_LABEL or len(value) > MAX_LABEL:
            raise ValueError(f"a label's name and value have at most {MAX_LABEL} characters: {name!r:.80}")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"there may be {MAX_LABELS} labels, and here are {len(labels)}")
    return dict(labels)


def _set(options: ServiceOptions, name: str, value: object) -> None:
    object.__setattr__(options, name, value)


def _raise_to(options: ServiceOptions, name: str, minimum: float) -> None:
    _set(options, name, max(float(getattr(options, name)), minimum))


def _tls(name: str, value: object) -> None:
    if value is not None and not isinstance(value, TLS):
        raise TypeError(f"{name} must be a TLS, such as of TLS.from_files(), not {type(value).__name__}")


def _role(option: str, tls: TLS | None, role: str) -> None:
    if tls is not None:
        tls.check_role(role, option)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")


def integer_of(value: object) -> int | None:
    """The integer that a value is, of whatever kind; None where it is none, as a truth value is, NumPy's too."""
    if type(value).__name__.startswith("bool"):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # what is none raises
    except TypeError:
        return None


def whole(name: str, value: object, low: int, high: int) -> int:
    """Read an integer, of whatever kind, such as NumPy's. Raises TypeError and ValueError, which name it."""
    number = integer_of(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, not {value!r:.80}")
    if not low <= number <= high:
        raise ValueError(f"{name} must be {low} to {high}, not {number}")
    return number


def patience(timeout: object) -> float | None:
    """A user's timeout, in seconds; None, as an infinite one, waits for ever. Raises TypeError, ValueError."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout must be a number of seconds, or None to wait without an end, not {timeout!r:.80}")
    seconds = float(timeout)
    if math.isnan(seconds):
        raise ValueError("timeout must be a number of seconds, and nan is none")
    return None if seconds == math.inf else seconds


def _whole(options: ServiceOptions, name: str, low: int, high: int) -> None:
    _set(options, name, whole(name, getattr(options, name), low, high))


def _seconds(options: ServiceOptions, name: str, *, zero: bool = False) -> None:
    value = getattr(options, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number of seconds, not {value!r:.80}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        raise ValueError(f"{name} must be a finite {'non-negative' if zero else 'positive'} number, not {value!r}")
    _set(options, name, seconds)
