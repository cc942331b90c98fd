"""What every call but Ping carries beside its message: `channel` and `token`, and by a secret `signature`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from interaction.core.token import NotPickled, is_token

CHANNEL = "channel"
TOKEN = "token"  # noqa: S105 - the name of the metadata, not a token
PREVIOUS_TOKEN = "previous-token"  # noqa: S105 - likewise
SIGNATURE = "signature"
ANSWER = "answer-signature"  # with the answer to a call that was signed

Metadata = tuple[tuple[str, str], ...]


def call_metadata(channel: int, token: str, previous: str | None = None) -> Metadata:
    """The metadata of a call."""
    metadata: Metadata = ((CHANNEL, str(channel)), (TOKEN, token))
    return metadata if previous is None else (*metadata, (PREVIOUS_TOKEN, previous))


@dataclass(frozen=True)
class Credentials(NotPickled):
    """What a call brought. None: nothing. `""`: what can't be one. A `channel` may be any text."""

    channel: str | None
    token: str | None = field(repr=False)
    previous_token: str | None = field(repr=False)
    signature: str | None = field(default=None, repr=False)
    given: Mapping[str, str | None] = field(default_factory=dict, repr=False)  # as they came


def read_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> Credentials:
    """Read a call's metadata; what is repeated or malformed matches nothing."""
    found: dict[str, str | None] = {CHANNEL: None, TOKEN: None, PREVIOUS_TOKEN: None, SIGNATURE: None}
    for key, value in metadata:
        if key in found:
            repeated = found[key] is not None
            found[key] = value if isinstance(value, str) and not repeated else ""
    return Credentials(found[CHANNEL], _token(found[TOKEN]), _token(found[PREVIOUS_TOKEN]), found[SIGNATURE], found)


def _token(text: str | None) -> str | None:
    return text if text is None or is_token(text) else ""
