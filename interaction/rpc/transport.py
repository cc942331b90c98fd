"""Channels and servers: their options, credentials, and ports."""

from __future__ import annotations

import errno
import os
import socket

import grpc
import grpc.aio

from interaction.address import Endpoint, is_any, join_host
from interaction.rpc import forks, grpc_log
from interaction.tls import TLS

# What servers of gRPC permit by default is a PING every five minutes, and they end a connection that brings more. None
# is needed: beats and deadlines tell who is gone, and what was sent and is not taken within the timeout is an end, too.
_PING_EVERY_MS = 330_000
# Seconds after which a server ends a connection that has no call, and one that has not even said what it wants. This
# project's own channels have given theirs back before (`grpc.client_idle_timeout_ms`).
IDLE_SECONDS, HANDSHAKE_SECONDS = 30.0, 10.0
_ROUTE_PROBE = ("192.0.2.1", 9)  # RFC 5737: nobody's address; only the local end of the route to it is looked at

_SHARED_OPTIONS = (
    ("grpc.max_send_message_length", -1),  # size is checked before sending, by the peer's limit
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: 62 KiB unpack to 64 MiB before anybody has a say
)
_CHANNEL_OPTIONS = (
    ("grpc.max_metadata_size", 256 * 1024),  # a refusal's data, in base64, and its message twice
    ("grpc.absolute_max_metadata_size", 512 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # closing one connection must not keep another's transport
    ("grpc.keepalive_time_ms", _PING_EVERY_MS),
    ("grpc.keepalive_timeout_ms", forks.CHANNEL_MARK_MS),  # of what was sent, too
    ("grpc.client_idle_timeout_ms", 10_000),  # a connection without calls is given back; the next call opens one
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
_SERVER_OPTIONS = (
    ("grpc.max_metadata_size", 8 * 1024),  # a call brings a channel and a token or two
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 1024),  # of one connection; a peer's further calls wait for their turn
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_timeout_ms", forks.SERVER_MARK_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),  # others may ping more often than we do
    ("grpc.keepalive_permit_without_calls", 1),
)
# gRPC would measure the bandwidth, and widen the window of every stream by it: a thousand streams of a stranger then
# hold 200 MiB, before anybody has asked for a byte of them. It does so by pings, too, which cost a fifth of what a beat
# costs. Without it what is long and comes from afar takes longer: 1 MiB a round trip.
QUIET_SERVER_OPTIONS = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 32 * 1024),
)

grpc_log.tame()


def open_channel(endpoint: Endpoint, tls: TLS | None, max_message_bytes: int) -> grpc.aio.Channel:
    """A channel to an endpoint; it dials at the first call. `tls` is used where the endpoint says TLS."""
    options: list[tuple[str, int | str]] = [
        *_SHARED_OPTIONS,
        *_CHANNEL_OPTIONS,
        ("grpc.max_receive_message_length", max_message_bytes),
    ]
    if not endpoint.tls:
        return grpc.aio.insecure_channel(endpoint.target, options)
    tls = TLS() if tls is None else tls.current
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
    return grpc.aio.secure_channel(endpoint.target, credentials, options)


def server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """The options of a server."""
    return [
        *_SHARED_OPTIONS,
        *_SERVER_OPTIONS,
        ("grpc.max_connection_idle_ms", int(1000 * IDLE_SECONDS)),
        ("grpc.server_handshake_timeout_ms", int(1000 * HANDSHAKE_SECONDS)),
        ("grpc.max_receive_message_length", max_message_bytes),
    ]


def bind(server: grpc.aio.Server, host: str, port: int, tls: TLS | None) -> int:
    """Bind a server's port, 0 for a free one, and return it. Raises OSError where that can't be, with its errno."""
    _check_bindable(host, port)
    address = join_host(host, port)
    try:
        if tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _server_credentials(tls))
    except RuntimeError as error:
        _check_bindable(host, port)  # somebody else may have taken it meanwhile
        if tls is not None:
            raise OSError(
                errno.EINVAL, f"can't listen at {address}: gRPC can't serve by this certificate and key of `tls`"
            ) from None
        raise OSError(errno.EADDRINUSE, f"can't listen at {address}: {error}") from None


def _server_credentials(tls: TLS) -> grpc.ServerCredentials:
    """What a server shows; where that comes from files, what was last read of them, anew for each connection."""
    shown = tls.current
    if not tls.files:
        return grpc.ssl_server_credentials([_pair(shown)], shown.authority if shown.mutual else None, shown.mutual)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC, on a thread of its own, when somebody connects. None: what is shown goes on."""
        nonlocal shown
        if shown is tls.current:
            return None
        shown = tls.current
        return _configuration(shown)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        fetch,  # type: ignore[arg-type]  # the stubs know of no None
        shown.mutual,
    )


def _configuration(tls: TLS) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([_pair(tls)], tls.authority if tls.mutual else None)


def _pair(tls: TLS) -> tuple[bytes, bytes]:
    return tls.key or b"", tls.certificate or b""  # the options have checked that both are there


def _check_bindable(host: str, port: int) -> None:
    """Bind and let go: the system says precisely what is wrong, where gRPC prints it and says `failed`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"can't listen at {host!r}: {error.strerror}") from None
    except OSError as error:
        advice = "; choose another port, or 0 for a free one" if error.errno == errno.EADDRINUSE else ""
        raise OSError(
            error.errno, f"can't listen at {join_host(host, port)}: {os.strerror(error.errno or 0)}{advice}"
        ) from None


def address_seen_from(host: str | None) -> str:
    """This machine's address on the route to `host` (None: the default route). No packet leaves for it."""
    target = _ROUTE_PROBE if host is None else (host, 9)
    try:
        family, _, _, _, address = socket.getaddrinfo(*target, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            found: str = probe.getsockname()[0]
    except OSError:  # no route, or a name that does not resolve: dialling will say so
        return "127.0.0.1"
    return "127.0.0.1" if is_any(found) else found
