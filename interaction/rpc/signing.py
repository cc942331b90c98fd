"""The metadata of each call, signed where there is a secret; and what checks that at a server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from interaction.core.signature import BadSignature, Call, Checker, Claim, Flaw, Key, is_answer, sign
from interaction.exception import (
    MasterSignatureInvalid,
    MasterSignatureNotGiven,
    MasterSignatureStale,
    ResponseException,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
)
from interaction.rpc.metadata import (
    ANSWER,
    CHANNEL,
    PREVIOUS_TOKEN,
    SIGNATURE,
    TOKEN,
    Metadata,
    call_metadata,
    read_metadata,
)
from interaction.rpc.status import Context
from interaction.secret import Secret

Refusals = Mapping[Flaw, type[ResponseException]]
BY_SLAVE: Refusals = {
    Flaw.MISSING: SlaveSignatureNotFound,
    Flaw.INVALID: SlaveSignatureInvalid,
    Flaw.STALE: SlaveSignatureStale,
}
BY_MASTER: Refusals = {
    Flaw.MISSING: MasterSignatureNotGiven,
    Flaw.INVALID: MasterSignatureInvalid,
    Flaw.STALE: MasterSignatureStale,
}
_BY_NO_TOKEN = ("Connect", "Disconnect")  # they are admitted with tokens that are not known here

Brought = Sequence[tuple[str, "str | bytes"]]
Terms = tuple[int, str]  # what Connect is signed with besides: the lease in nanoseconds, and the master's address


class Signer:
    """Makes the metadata of each call of one side, on its channel, and knows who has answered it."""

    __slots__ = ("_channel", "_key", "_keys")

    def __init__(self, channel: int, secret: Secret | None) -> None:
        self._channel = channel
        self._keys = () if secret is None else tuple(map(Key, secret.keys))
        self._key = self._keys[0] if self._keys else None

    @property
    def signs(self) -> bool:
        """Whether there is a secret to sign by."""
        return self._key is not None

    def metadata(
        self, path: str, token: str, previous: str | None = None, *, slave: str = "", terms: Terms | None = None
    ) -> Metadata:
        """The metadata of one call, for one try of it. `slave` is the incarnation of the one that it is for."""
        metadata = call_metadata(self._channel, token, previous)
        if self._key is None:
            return metadata
        lease, address = (None, None) if terms is None else terms
        claim = Claim(int(time.time()), secrets.token_urlsafe(16), slave, lease, address)
        call = Call(path, str(self._channel), token, previous or "")
        return (*metadata, (SIGNATURE, sign(self._key, call, claim)))

    def believes(self, sent: Metadata, came: Iterable[tuple[str, str | bytes]] | None) -> bool:
        """Whether who has answered the call with that metadata knows the secret. Where there is none anybody is
        believed."""
        if not self._keys:
            return True
        found = [value for key, value in came or () if key == ANSWER]
        return len(found) == 1 and is_answer(self._keys, sent[-1][1], found[0])


def checker_of(secret: Secret | None, here: str, slave: str = "") -> Checker:
    """What checks the signatures that come here, at a `slave` of that incarnation or at a master."""
    return Checker(() if secret is None else secret.keys, here, slave)


class SignatureCheck:
    """Asks each call of a service for its signature: a `Check` of the guard's."""

    def __init__(self, service: str, checker: Checker, refusals: Refusals) -> None:
        self._service = service
        self._checker = checker
        self._refusals = refusals

    def admit(self, method: str, metadata: Brought, context: Context) -> Callable[[], object] | None:
        """Admit a call that is signed as it is to be. Once its token is known it is taken for this call alone.

        Whatever it is answered from then on is signed, too.
        """
        given: Mapping[str, Any] = dict(metadata)
        if SIGNATURE not in given and not self._checker.has_keys:
            return None
        if len(given) != len(metadata):  # something is repeated
            given = read_metadata(metadata).given
        token, now = given.get(TOKEN) or "", time.time()
        call = Call(f"/{self._service}/{method}", given.get(CHANNEL) or "", token, given.get(PREVIOUS_TOKEN) or "")
        try:
            claim = self._checker.check(
                call, given.get(SIGNATURE), now, lambda mac: context.set_trailing_metadata(((ANSWER, mac),))
            )
        except BadSignature as bad:
            raise self._refusals[bad.flaw](bad.message) from None
        if claim is None:
            return None
        if method in _BY_NO_TOKEN:
            self._once("", claim, now)  # also where they are refused: else they could be said again when they are not
            return None
        return lambda: self._once(token, claim, now)  # no partial, whose `repr` would show the token

    def sign_refusal(self, method: str, metadata: Brought, context: Context) -> None:
        """A call is refused for something else: whoever has signed it rightly is to believe that."""
        with suppress(ResponseException):
            self.admit(method, metadata, context)

    def _once(self, token: str, claim: Claim, now: float) -> None:
        try:
            self._checker.once(token, claim, now)
        except BadSignature as bad:
            raise self._refusals[bad.flaw](bad.message) from None
