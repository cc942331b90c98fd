"""Feeds every decoder with what a broken or hostile peer might send. One input can be made again from its decoder's
name, the seed and its number."""

from __future__ import annotations

import random
import resource
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload
from tests.hostile.inputs import address, damaged, details, failure, json_payload, json_text, metadata, wire
from tests.hostile.readers import (
    MESSAGES,
    check_address,
    check_metadata,
    read_answer,
    read_beat,
    read_failure,
    read_messages,
    read_offer,
    read_payload,
    read_result,
    read_task,
    read_value,
)

MOST_SECONDS = 1.0  # of processor time for one input, which is a few KiB at most
MOST_GROWTH = 256  # MiB in a chunk of inputs


@dataclass(frozen=True)
class Decoder:
    """How the structure of an input is made, how an input is made of it, and what reads that."""

    structure: Callable[[random.Random], bytes]
    vary: Callable[[random.Random, bytes], Any]
    read: Callable[[Any], None]


def none(_: random.Random) -> bytes:
    return b""


DECODERS: dict[str, Decoder] = {
    "json": Decoder(json_text, json_payload, read_payload),
    "value": Decoder(wire(Payload), damaged, read_value),
    "metadata": Decoder(none, metadata, check_metadata),
    "address": Decoder(none, address, check_address),
    "messages": Decoder(lambda chance: wire(chance.choice(MESSAGES))(chance), damaged, read_messages),
    "result": Decoder(wire(task_pb2.TaskResult), damaged, read_result),
    "task": Decoder(wire(slave_service_pb2.NewTaskRequest), damaged, read_task),
    "offer": Decoder(
        wire(slave_service_pb2.ConnectRequest),
        lambda chance, content: (damaged(chance, content), metadata(chance)),
        read_offer,
    ),
    "status": Decoder(details, failure, read_failure),
    "answer": Decoder(wire(slave_service_pb2.ConnectResponse), damaged, read_answer),
    "beat": Decoder(wire(master_service_pb2.HeartbeatResponse), damaged, read_beat),
}
VARIANTS = 10  # inputs of one structure: to make it takes far longer than to damage it


@dataclass(frozen=True)
class Crash:
    """An input at which a decoder did something else than its documented error."""

    decoder: str
    seed: int
    number: int
    problem: str


def chance_of(name: str, seed: int, number: int) -> random.Random:
    return random.Random((zlib.crc32(name.encode()) << 96) + (seed << 64) + number)


@lru_cache(1)
def structure(name: str, seed: int, number: int) -> bytes:
    return DECODERS[name].structure(chance_of(f"structure of {name}", seed, number))


def made(name: str, seed: int, number: int) -> Any:
    """An input."""
    return DECODERS[name].vary(chance_of(name, seed, number), structure(name, seed, number // VARIANTS))


def tried(name: str, seed: int, numbers: range) -> list[Crash]:
    """Feed a decoder with these inputs."""
    crashes, read = [], DECODERS[name].read
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        content = made(name, seed, number)
        began = time.process_time()
        try:
            read(content)
        except Exception as error:  # noqa: BLE001 - any is what is looked for
            crashes.append(Crash(name, seed, number, f"{type(error).__name__}: {error}"[:300]))
        seconds = time.process_time() - began
        if seconds > MOST_SECONDS:
            crashes.append(Crash(name, seed, number, f"took {seconds:.1f} s"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MOST_GROWTH:
        crashes.append(Crash(name, seed, numbers.start, f"these {len(numbers)} inputs took {grown:.0f} MiB"))
    return crashes
