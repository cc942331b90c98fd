"""The vectors beside the contract, as Python holds them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf import json_format

from interaction.v1.payload_pb2 import Payload
from tests.installing import ROOT

VECTORS = ROOT / "protos" / "vectors" / "payload.json"


def vectors() -> list[dict[str, Any]]:
    """All, of both forms."""
    found = json.loads(VECTORS.read_text(encoding="utf-8"))
    return [*found["vectors"], *found["values"]]


def whole(parts: str | list[Any]) -> str:
    """A text that may be written in parts."""
    return parts if isinstance(parts, str) else "".join(part * times for part, times in parts)


PLAIN: dict[str, Callable[[Any], Any]] = {
    "null": lambda said: None,
    "boolean": lambda said: said,
    "text": lambda said: whole(said),
    "bytes": bytes.fromhex,
    "integer": lambda said: int(whole(said)),
    "hexadecimal": lambda said: int(whole(said), 16),
}


def payload_of(vector: dict[str, Any]) -> Payload:
    buffers = [bytes.fromhex(buffer) for buffer in vector.get("buffers", [])]
    if "text" in vector:
        return Payload(json=whole(vector["text"]), buffers=buffers)
    payload = Payload(buffers=buffers)
    json_format.ParseDict(vector["value"], payload.value)
    return payload


def assert_means(read: Any, meaning: dict[str, Any]) -> None:
    """That a value is of the type, and is the value, which a vector says."""
    kind, *_ = meaning
    said = meaning[kind]
    if kind == "nested":
        for _ in range(said):
            assert type(read) is (dict if "key" in meaning else list)
            ((key, read),) = read.items() if isinstance(read, dict) else enumerate(read)
            assert key == meaning.get("key", 0)
        assert_means(read, meaning["in"])
    elif kind == "list":
        assert type(read) is list
        assert len(read) == len(said)
        for item, one in zip(read, said, strict=True):
            assert_means(item, one)
    elif kind == "mapping":
        assert type(read) is dict
        assert list(read) == [key for key, _ in said]
        for key, one in said:
            assert_means(read[key], one)
    elif kind == "array":
        assert isinstance(read, np.ndarray)
        assert (read.dtype.str, list(read.shape), read.tobytes().hex()) == (
            said["dtype"],
            said["shape"],
            said["content"],
        )
    elif kind == "float":
        assert type(read) is float
        assert math.isnan(read) if said == "NaN" else struct.pack(">d", read).hex() == said
    else:
        expected = PLAIN[kind](said)
        assert type(read) is type(expected)
        assert read == expected
