"""What tests of secrets share: two of them, and signed calls by hand."""

from __future__ import annotations

import secrets
import time
from typing import Any

from interaction.core.signature import Call, Claim, Key, sign
from tests.contract.wire import CHANNEL_GIVEN, Metadata

SECRET, OTHER = "a-secret-that-both-sides-know-" + "1" * 10, "another-secret-of-somebody-else-" + "2" * 10
SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"


def signed(
    path: str,
    token: str,
    slave: str = "",
    *,
    secret: str = SECRET,
    at: float | None = None,
    nonce: str | None = None,
    previous: str = "",
    **terms: Any,
) -> Metadata:
    """The metadata of a call that is signed. `terms` are `lease`, in nanoseconds, and `address`."""
    claim = Claim(int(time.time() if at is None else at), nonce or secrets.token_urlsafe(16), slave, **terms)
    call = Call(path, CHANNEL_GIVEN[1], token, previous)
    resumes = (("previous-token", previous),) if previous else ()
    return (CHANNEL_GIVEN, ("token", token), *resumes, ("signature", sign(Key(secret.encode()), call, claim)))
