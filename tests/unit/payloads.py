"""What the tests of the payload codec share."""

from __future__ import annotations

from typing import Any

import pytest

from interaction.exception import PayloadError
from interaction.rpc import payload
from interaction.v1.payload_pb2 import Payload


def carried(value: object) -> Any:
    """What arrives, after a way over the wire."""
    return payload.decode(Payload.FromString(payload.encode(value, "data").message.SerializeToString()), "data")


def nested(value: object, depth: int) -> object:
    for _ in range(depth):
        value = [value]
    return value


def refusal_of(value: object) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        payload.encode(value, "data")
    assert str(caught.value) == f"{caught.value.path}: {caught.value.problem}"
    return caught.value
