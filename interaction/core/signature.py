"""Signatures: how whoever knows the secret proves it with each call, without telling it.

A signature is one metadata entry: a claim, which says when, by which nonce and for whom it was made, and behind it an
HMAC over that claim and what else the call is. A claim is `v=1;time=...;nonce=...`, and with calls to a slave
`;slave=...`, its incarnation; Connect adds `;lease=...;address=...`. It is signed as it stands.

Whoever answers proves it likewise, by an HMAC over that of the call.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from enum import Enum, unique
from typing import NamedTuple, NoReturn, SupportsIndex

VERSION = "1"
WINDOW = 300  # seconds by which the two clocks may differ
MOST = 16_384  # signatures that are remembered of one token; of more, the oldest are refused for being old
_SWEEP = 60  # seconds between two looks for what need not be remembered any more
_REMEDY = "give both sides the same one, INTERACTION_SECRET in the environment of both or secret="
_MALFORMED = "the call's signature is malformed, or of a version that is not known here"
_BLOCK = 64  # octets that SHA-256 takes at once
_LONGEST = 1024  # characters of an entry
_MAC = ";mac="
_DIGITS = 64  # of an HMAC
# A claim as it is written here; another order, and parts that are not known here, take longer.
_USUAL = re.compile(
    r"v=1;time=([0-9]{1,15});nonce=([0-9A-Za-z_-]{16,64})(?:;slave=([0-9a-f]*)(?:;lease=([0-9]{1,15});address=([^;]*))?)?"
)
_ADDRESS = re.compile(r"[!-:<-~]{1,512}")  # visible ASCII without a semicolon
_NONCE = re.compile(r"[0-9A-Za-z_-]{16,64}")
_WHOLE = re.compile(r"[0-9]{1,15}")


class Call(NamedTuple):
    """What a call is, as it stands in its metadata; `path` is HTTP/2's: `/interaction.v1.SlaveService/NewTask`."""

    path: str
    channel: str
    token: str
    previous_token: str = ""

    def __repr__(self) -> str:  # tokens do not belong in a log
        return f"Call({self.path!r}, {self.channel!r})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("Call is not pickled: it holds a token")


class Claim(NamedTuple):
    """What a signature says. `lease` is in nanoseconds; it and the address are Connect's."""

    time: int  # seconds since 1970, by the clock of whoever signed
    nonce: str
    slave: str = ""
    lease: int | None = None
    address: str | None = None

    def __str__(self) -> str:
        told = f"v={VERSION};time={self.time};nonce={self.nonce}"
        if self.slave:
            told += f";slave={self.slave}"
        return told if self.address is None else f"{told};lease={self.lease};address={self.address}"


@unique
class Flaw(Enum):
    """What is wrong with a signature."""

    MISSING = "missing"
    INVALID = "invalid"
    STALE = "stale"  # it is right, and not for now, or not for here


class BadSignature(Exception):
    """A call is not to be believed. The message says why, to whoever may set it right."""

    def __init__(self, flaw: Flaw, message: str) -> None:
        super().__init__(message)
        self.flaw = flaw
        self.message = message


class Key:
    """A secret, ready to sign: HMAC-SHA256 (RFC 2104), of which what is the same for all messages is computed once.

    `hmac` of the standard library computes it anew for each, and takes twice as long.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        padded = (secret if len(secret) <= _BLOCK else hashlib.sha256(secret).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in padded))

    def mac(self, call: Call, claim: str) -> str:
        """The HMAC of what is signed, in hexadecimal digits."""
        return self._hmac(canonical(call, claim))

    def answer(self, mac: str) -> str:
        """The same of the answer to the call that had `mac`: no call begins so, whose path begins with a slash."""
        return self._hmac(f"answer\n{mac}")

    def _hmac(self, text: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()


def canonical(call: Call, claim: str) -> str:
    """What is signed."""
    return "\n".join((call.path, call.channel, call.token, call.previous_token, claim))


def sign(key: Key, call: Call, claim: Claim) -> str:
    """The entry by which a call proves that its caller knows the secret. Raises ValueError for an address that can't be
    one."""
    if claim.address is not None and not _ADDRESS.fullmatch(claim.address):
        raise ValueError(f"the address {claim.address!r:.80} can't be signed: visible ASCII without `;` is expected")
    told = str(claim)
    return f"{told}{_MAC}{key.mac(call, told)}"


def is_answer(keys: Sequence[Key], entry: str, answer: object) -> bool:
    """Whether that is how one who knows one of these secrets answers the call that was signed by `entry`."""
    if not isinstance(answer, str) or not answer.isascii():
        return False
    right = False
    for key in keys:
        right = hmac.compare_digest(key.answer(entry[-_DIGITS:]), answer) | right
    return right


class Checker:
    """Checks what calls bring, at one server. `now` is the time of day, in seconds since 1970.

    `here` is who checks, "slave" or "master", and `slave` the incarnation of that one. Without keys it believes every
    call that brings nothing.
    """

    def __init__(self, keys: Sequence[bytes], here: str, slave: str = "") -> None:
        self._keys = tuple(map(Key, keys))
        self._here = here
        self._slave = slave
        self._used: dict[str, _Used] = {}  # by token; "" for all that open a session
        self._inherited: set[str] = set()  # tokens of before this process began
        self._forgotten = 0  # nothing as old is remembered any more, nor believed
        self._swept_at = 0.0

    @property
    def has_keys(self) -> bool:
        """Whether there is a secret to check by."""
        return bool(self._keys)

    def check(
        self, call: Call, entry: str | None, now: float, answer: Callable[[str], object] | None = None
    ) -> Claim | None:
        """Check that whoever calls knows a secret, and has signed this call about now. Raises BadSignature.

        `answer` is given what the answer, or a refusal for any other reason, is to be signed with.

        How long that takes, and what it says, tells one without the secret nothing of anything.
        """
        if not self._keys:
            if entry is None:
                return None
            raise BadSignature(
                Flaw.INVALID,
                f"the call brings a signature, and this {self._here} has no secret to check it by: {_REMEDY}",
            )
        if entry is None:
            raise BadSignature(
                Flaw.MISSING,
                f"the call brings no metadata `signature`, and this {self._here} has a secret: {_REMEDY}",
            )
        told, mac = entry[: -len(_MAC) - _DIGITS], entry[-_DIGITS:]
        if len(entry) > _LONGEST or not entry.isascii() or not entry.startswith(_MAC, len(told)):
            raise BadSignature(Flaw.INVALID, _MALFORMED)
        right = False
        for key in self._keys:  # all of them, whichever it is
            right = hmac.compare_digest(key.mac(call, told), mac) | right
        if not right:
            raise BadSignature(
                Flaw.INVALID,
                f"the signature is not by the secret of this {self._here}, or not of this call: {_REMEDY}",
            )
        if answer is not None:
            answer(self._keys[0].answer(mac))
        claim = _read(told)
        if claim is None:
            raise BadSignature(Flaw.INVALID, _MALFORMED)
        if abs(now - claim.time) > WINDOW:
            raise BadSignature(Flaw.STALE, _clocks(now - claim.time, self._here))
        return claim

    def once(self, token: str, claim: Claim, now: float) -> None:
        """Take a signature, which has been checked, for this one call.

        `token` is one that is known here, "" with Connect: so nobody makes it remember for nothing. Raises BadSignature
        where it has come before, or is for another slave.
        """
        if self._slave and claim.slave != self._slave:
            raise BadSignature(
                Flaw.STALE, "the signature is for another slave, or for the one that was here before it was restarted"
            )
        self._sweep(now)
        used = self._used.get(token)
        if used is None:
            used = self._used[token] = _Used(self._forgotten)
        if not used.take(claim):
            if token in self._inherited:
                raise BadSignature(
                    Flaw.STALE,
                    f"this {self._here} was restarted, and comes back to its sessions under new tokens: until then it "
                    "takes nothing by the old one, which may be a copy of what was sent before",
                )
            raise BadSignature(
                Flaw.STALE,
                "the signature was used before, or is too old to tell: each call is signed anew, each retry, too",
            )

    def refuse_before(self, token: str, now: float) -> None:
        """Of this token something may have come before this process began: nothing is believed that may have been taken
        then, by whatever clock it was signed."""
        self._used[token] = _Used(int(now) + WINDOW)
        self._inherited.add(token)

    def _sweep(self, now: float) -> None:
        if abs(now - self._swept_at) < _SWEEP:
            return
        self._swept_at = now
        for token, used in list(self._used.items()):
            if not used.sweep(now - WINDOW):
                self._forgotten = max(self._forgotten, used.forgotten)
                del self._used[token]


class _Used:
    """Which signatures of one token have come."""

    __slots__ = ("_by_time", "_count", "forgotten")

    def __init__(self, forgotten: int) -> None:
        self._by_time: dict[int, set[str]] = {}  # nonces
        self._count = 0
        self.forgotten = forgotten  # what was signed then or before is taken for used

    def take(self, claim: Claim) -> bool:
        """Remember one. False where it may have come before."""
        if claim.time <= self.forgotten:
            return False
        nonces = self._by_time.setdefault(claim.time, set())
        if claim.nonce in nonces:
            return False
        nonces.add(claim.nonce)
        self._count += 1
        if self._count > MOST:
            self._forget(min(self._by_time))
        return True

    def sweep(self, before: float) -> bool:
        """Forget what is too old to be believed. Says whether anything is left."""
        for time in [time for time in self._by_time if time < before]:
            self._forget(time)
        return bool(self._by_time) or self.forgotten >= before

    def _forget(self, time: int) -> None:
        self._count -= len(self._by_time.pop(time))
        self.forgotten = max(self.forgotten, time)


def claim_of(entry: str) -> Claim | None:
    """What a signature says that has been checked."""
    return _read(entry.rpartition(_MAC)[0])


def _read(text: str) -> Claim | None:
    """A claim; None for what is none of this version. What is not known there is passed over: it is signed, too."""
    usual = _USUAL.fullmatch(text)
    if usual is not None:
        stamp, once, slave, length, address = usual.groups("")
        return Claim(int(stamp), once, slave, int(length or 0), address)
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in found:
            return None
        found[name] = value
    time, nonce, lease = found.get("time", ""), found.get("nonce", ""), found.get("lease", "0")
    if found.get("v") != VERSION or not (
        _WHOLE.fullmatch(time) and _NONCE.fullmatch(nonce) and _WHOLE.fullmatch(lease)
    ):
        return None
    return Claim(int(time), nonce, found.get("slave", ""), int(lease), found.get("address", ""))


def _clocks(ahead: float, here: str) -> str:
    """By how much they differ. `ahead`: seconds that the clock here shows more."""
    direction = "behind" if ahead > 0 else "ahead of"
    return (
        f"the clocks differ: the caller's is {abs(ahead):.0f} s {direction} this {here}'s, and {WINDOW} s are allowed: "
        "set them (NTP does)"
    )
