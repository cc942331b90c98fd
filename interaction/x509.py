"""What a certificate says of itself, read from its DER: from when to when it is valid, and the names that are URIs."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

_UTC_TIME, _VERSION, _EXTENSIONS, _OCTETS, _URI = 0x17, 0xA0, 0xA3, 0x04, 0x86  # tags of DER
_ALTERNATIVE_NAMES = bytes.fromhex("0603551d11")  # 2.5.29.17, as it stands there


def validity(der: bytes) -> tuple[float, float]:
    """From when to when a certificate is valid, in seconds since 1970 (RFC 5280, 4.1). OpenSSL has read it before.

    Raises ValueError and IndexError for what is none.
    """
    _, begin, _ = _element(der, 0)  # the certificate
    _, at, _ = _element(der, begin)  # what of it is signed
    if der[at] == _VERSION:
        at = _element(der, at)[2]
    for _ in ("serial number", "signature algorithm", "issuer"):
        at = _element(der, at)[2]
    _, at, _ = _element(der, at)
    first, begin, end = _element(der, at)
    second, later, last = _element(der, end)
    return _moment(first, der[begin:end]), _moment(second, der[later:last])


def day(moment: float) -> str:
    """A date of a certificate's as it stands in a message."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def uris(der: bytes) -> tuple[str, ...]:
    """The URIs among its alternative names (RFC 5280, 4.2.1.6). Raises ValueError and IndexError as `validity()`."""
    return tuple(
        names[begin:end].decode("ascii")
        for names in _alternative_names(der)
        for tag, begin, end in _elements(names, *_element(names, 0)[1:])
        if tag == _URI
    )


def _alternative_names(der: bytes) -> Iterator[bytes]:
    _, begin, _ = _element(der, 0)
    _, begin, end = _element(der, begin)
    for tag, first, _ in _elements(der, begin, end):
        if tag == _EXTENSIONS:
            _, first, last = _element(der, first)
            for _, at, after in _elements(der, first, last):
                if der[at : at + len(_ALTERNATIVE_NAMES)] == _ALTERNATIVE_NAMES:
                    for kind, content, until in _elements(der, at, after):
                        if kind == _OCTETS:
                            yield der[content:until]


def _elements(der: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The elements from there on: of each its tag, where its content begins, and where it ends."""
    while at < end:
        tag, begin, after = _element(der, at)
        yield tag, begin, after
        at = after


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Of the element that begins there: its tag, where its content begins, and where it ends."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin], "big")
    return der[at], begin, begin + length


def _moment(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
