"""TLS on one side alone, and certificates that don't fit: found out where a call has failed, and told with the remedy.

gRPC's words say some of it. Of a server that closes without a word they don't: it is dialled once more, to look.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from enum import Enum, unique

from interaction import pem
from interaction.address import Endpoint
from interaction.rpc.absence import Absence
from interaction.tls import TLS

# gRPC's words, of its TLS (BoringSSL) and of its check of names.
_NO_TLS = "WRONG_VERSION_NUMBER"
_NOT_VERIFIED = re.compile(r"CERTIFICATE_VERIFY_FAILED(?:: ([\w -]+))?")
_OF_DATES = {
    "certificate has expired": "it needs a new one",
    "certificate is not yet valid": "do the clocks of the two machines differ? Set them right",
}
_NOT_ITS_NAME = ("Hostname Verification Check failed", "is not in peer certificate")

_RECORDS = (0x14, 0x15, 0x16, 0x17)  # with which of these octets what is said by TLS begins
_MOST = 65536


@dataclass(frozen=True)
class Remedies:
    """Who is dialled, and what whoever sees to both ends can do."""

    who: str  # "the slave"
    dial_by_tls: str
    dial_without: str
    permit_plain: str
    trust: str
    expect: str
    show: str


@unique
class _Spoken(Enum):
    PLAIN = "plain"  # no TLS
    TLS = "tls"
    CLOSED = "closed"  # TLS, and then an end without a word


async def mismatch_at(
    endpoint: Endpoint, tls: TLS | None, said: str, remedies: Remedies, patience: float
) -> Absence | None:
    """Look whether TLS is why a call has failed, within that many seconds. `said` is what gRPC said of it."""
    told = _told(endpoint, tls, said, remedies) if endpoint.tls else None
    if told is not None:
        return Absence(told, True)
    try:
        spoken = await asyncio.wait_for(_spoken_at(endpoint, tls), patience)
    except (OSError, asyncio.TimeoutError):
        return None
    if spoken is _Spoken.PLAIN and endpoint.tls:
        return Absence(_without(endpoint, tls, remedies), True)
    if spoken in (_Spoken.TLS, _Spoken.CLOSED) and not endpoint.tls:
        return Absence(
            f"{remedies.who} at {endpoint.authority} serves TLS, and is dialled without: {remedies.dial_by_tls}", True
        )
    if spoken is _Spoken.CLOSED:
        shown = "does not trust the one that is shown" if tls is not None and tls.certificate else "none is shown"
        return Absence(
            f"{remedies.who} at {endpoint.authority} takes TLS, and then closes: it may demand a certificate "
            f"(mutual TLS), and {shown}: {remedies.show}",
            False,
        )
    return None


def _told(endpoint: Endpoint, tls: TLS | None, said: str, remedies: Remedies) -> str | None:
    """What gRPC's words mean, where they say it."""
    if _NO_TLS in said:
        return _without(endpoint, tls, remedies)
    its = f"the certificate of {remedies.who} at {endpoint.authority}"
    unverified = _NOT_VERIFIED.search(said)
    if unverified is not None:
        why = f" ({unverified[1].strip()})" if unverified[1] else ""
        remedy = _OF_DATES.get((unverified[1] or "").strip(), remedies.trust)
        return f"{its} can't be verified{why}: {remedy}"
    if any(words in said for words in _NOT_ITS_NAME):
        name = endpoint.dialled_host if tls is None or tls.server_name is None else tls.server_name
        expected = None if tls is None else tls.expects
        if expected is not None and name == expected.host:
            return f"{its} is no {expected.role}'s of the cluster {expected.cluster!r}: who listens there?"
        return f"{its} is not for {name!r}: {remedies.expect}"
    return None


def _without(endpoint: Endpoint, tls: TLS | None, remedies: Remedies) -> str:
    remedy = remedies.dial_without if tls is None or tls.plain_peers else remedies.permit_plain
    return f"{remedies.who} at {endpoint.authority} serves without TLS, and is dialled by it: {remedy}"


async def _spoken_at(endpoint: Endpoint, tls: TLS | None) -> _Spoken | None:
    """What a server says to who begins with TLS, shows what he has, and does not ask for its name. None: nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is told to it, and nothing of what it says is believed
    context.set_alpn_protocols(["h2"])
    shown = TLS() if tls is None else tls.current
    if shown.certificate is not None and shown.key is not None:
        pem.load(context, shown.certificate, shown.key)
    reader, writer = await asyncio.open_connection(endpoint.dialled_host, endpoint.port)
    try:
        return await _listen(context, reader, writer)
    finally:
        writer.close()


async def _listen(
    context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> _Spoken | None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    answered = False
    while True:
        try:
            tls.do_handshake()  # again and again, until it is made
            tls.read(1)  # whoever serves gRPC speaks first
            return _Spoken.TLS
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
        except ssl.SSLError:  # an alert: it wants something else
            return _Spoken.CLOSED
        content = await reader.read(_MOST)
        if not content:
            return _Spoken.CLOSED if answered else None
        if not answered and content[0] not in _RECORDS:
            return _Spoken.PLAIN
        answered = True
        incoming.write(content)
