"""Messages that stand for far more than they are: what reading one takes, in a process of its own, in memory and in
time in which nobody else runs. One can be made again from the seed and its number."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, cast

import numpy  # noqa: F401 - loaded before anything is measured

from interaction.exception import RequestException, ResponseException
from interaction.rpc import convert, text_limit
from interaction.rpc.answers import Answerer
from interaction.rpc.reading import lenient
from interaction.rpc.signing import Signer
from interaction.rpc.work_call import WorkCall
from interaction.rpc.work_stream import read_task
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2 import NewTaskRequest, WorkRequest, WorkResponse
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
MOST_TIMES, MOST_BESIDE = 3, 64 * MIB  # of the message's size, and beside that
LONGEST_PAUSE = 0.5  # seconds of processor time: what else the machine has to do does not count
TRIES = 3  # of a pause: who shares a processor's cache takes some of its time
SMALL = ["[]", "{}", "0", "257", "1.5", '"ab"', '{"":0}', '{"":[]}', "[257]", '{"a":{"b":[1]}}', "null", '{"$$":0}']
FORMS = [
    '{"$number":"NaN"}',
    '{"$integer":"f"}',
    '{"$bytes":0}',
    '{"$bytes":1}',
    '"\\ud83d\\ude42"',
    '{"\\u0024\\u0024x":0}',
]
FIELDS = [b"\x0a\x00", b"\x12\x00", b"\x1a\x00", b"\x7a\x00", b"\x7b\x7c", b"\x0a\x02\x32\x00", b"\x0a\x02\x2a\x00"]


def repeated(unit: str, size: int) -> str:
    return "[" + ",".join([unit] * max(1, size // (len(unit.encode()) + 1))) + "]"


def small(chance: random.Random, size: int) -> Payload:
    units = ",".join(chance.choices(SMALL + FORMS, k=chance.choice((1, 1, 2, 5))))
    return Payload(json=repeated(units, size), buffers=[b"", bytes(chance.choice((0, 1, MIB)))])


def referred(chance: random.Random, size: int) -> Payload:
    array = json.dumps({"$ndarray": {"buffer": 0, "dtype": "|u1", "shape": [size // 2]}})
    form = chance.choice(['{"$bytes":0}', array])
    return Payload(json=repeated(form, min(size // 2, 4 * MIB)), buffers=[bytes(size // 2)])


def arrays(chance: random.Random, size: int) -> Payload:
    count = chance.choice((1, 2, 100, 20_000, 140_000))
    length = max(0, (size - 60 * count) // count)
    dtype, items = chance.choice((("|u1", length), ("<U1", length // 4), ("|S9", length // 9)))
    each = length if dtype == "|u1" else items * (4 if dtype == "<U1" else 9)
    forms = [{"$ndarray": {"buffer": n, "dtype": dtype, "shape": [items]}} for n in range(count)]
    return Payload(json=json.dumps(forms, separators=(",", ":")), buffers=[bytes(each)] * count)


def nested(chance: random.Random, size: int) -> Payload:
    opens, closes = chance.choice((("[", "]"), ('{"a":', "}"), ('[{"":', "}]")))
    depth = chance.choice((60, 199, 201, 10_000, size // 8))
    inside = opens * depth + "0" + closes * depth
    return Payload(json=repeated(inside, max(1, size)) if depth < 300 else inside)


def numbers(chance: random.Random, size: int) -> Payload:
    digits = chance.choice((19, 400, 4_300, 4_301))
    if chance.random() < 0.3:
        return Payload(json='{"$integer":"' + "f" * size + '"}')
    if chance.random() < 0.3:
        shape = [int("9" * min(digits, 4_000))] * 64
        return Payload(json=repeated(json.dumps({"$ndarray": {"buffer": 0, "dtype": "<f8", "shape": shape}}), size))
    return Payload(json=repeated(chance.choice(("9" * digits, "0." + "1" * digits, "1e-" + "1" * 3)), size))


def keys(chance: random.Random, size: int) -> Payload:
    form = chance.choice(['"%x":0', '"$$%x":0', '"\\\\%x":[]', '"\\u0024\\u0024%x":0', '"é%x":"x"'])
    count = size // (len(form) + 4)
    return Payload(json="{" + ",".join(form % number for number in range(count)) + "}")


def text(chance: random.Random, size: int) -> Payload:
    letter, last = (
        chance.choice(("x", "é", "日", "🙂", "\\n", "\\\\", "\\ud83d\\ude42")),
        chance.choice(("", "é", "🙂")),
    )
    inside = letter * (size // len(letter.encode())) + last
    return Payload(json=f'"{inside}"' if chance.random() < 0.7 else f'{{"{inside}":"{last}"}}')


def value(chance: random.Random, size: int) -> Payload:
    made = Payload()
    what = chance.random()
    if what < 0.3:
        made.value.struct_value.fields["x"].string_value = chance.choice("xé🙂") * (size // 4)
    elif what < 0.7:
        key = chance.choice(("", "a"))
        for _ in range(min(size // 6, 50_000)):
            made.value.list_value.values.add().struct_value.fields[key].SetInParent()
    else:
        for number in range(min(size // 8, 200_000)):
            made.value.list_value.values.add().number_value = number
    return made


def fields(chance: random.Random, size: int) -> bytes:
    """No payload: a message of very many fields."""
    unit = chance.choice(FIELDS)
    content = unit * (size // len(unit))
    for number in chance.choice(((), (1,), (1, 2), (1, 2, 2), (1, 2, 2, 6))):
        content = bytes([number << 3 | 2]) + _varint(len(content)) + content
    return content


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number % 128 + 128)
        number >>= 7
    return bytes([*written, number])


KINDS: list[Callable[[random.Random, int], Payload | bytes]] = [
    *(small, small, small, referred, arrays, nested, numbers, keys, text, value, fields)
]


def call(chance: random.Random, parts: list[Payload]) -> bytes:
    """A task by a call."""
    request = NewTaskRequest()
    request.task.id = _id(0)
    request.task.data.CopyFrom(parts[0])
    return bytes(request.SerializeToString())


def tasks(chance: random.Random, parts: list[Payload]) -> bytes:
    """Tasks by the stream."""
    request = WorkRequest()
    for number, one in enumerate(parts):
        request.tasks.add(id=_id(number)).data.CopyFrom(one)
    return bytes(request.SerializeToString())


def outcomes(chance: random.Random, parts: list[Payload]) -> bytes:
    """What a slave says of its tasks, or of one of them again and again."""
    answer, same = WorkResponse(), chance.random() < 0.3
    how = chance.choice(("result", "accepted", "refused"))
    for number, one in enumerate(parts):
        outcome = answer.outcomes.add(task_id=_id(0 if same else number))
        if how == "result":
            outcome.result.task_id, outcome.result.status = outcome.task_id, TASK_RESULT_STATUS_COMPLETED
            outcome.result.result.CopyFrom(one)
        elif how == "accepted":
            outcome.accepted.data.CopyFrom(one)
        else:
            outcome.refused.reason = "TASK_REFUSED"
            outcome.refused.data.CopyFrom(one)
    return bytes(answer.SerializeToString())


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def read_call(content: bytes) -> object:
    """What a slave makes of a call, and does for the process of its tasks where it has one."""
    message = lenient(NewTaskRequest.FromString)(content)
    if message is None:
        return None
    offer = read_task(message.task, "")
    del message
    convert.pack_task(offer, 0)
    return offer


def read_tasks(content: bytes) -> object:
    """What a slave with very many places makes of a message of its stream."""
    message, offers = lenient(WorkRequest.FromString)(content), []
    allowance = None if message is None else text_limit.allowance_of(len(message.tasks), message.ByteSize())
    for task in [] if message is None else message.tasks:
        try:
            offers.append(read_task(task, "", allowance))
        except ResponseException:
            continue
    return message, offers


def read_outcomes(content: bytes) -> object:
    """What a master makes of a message that it expects, every task of it."""

    class Stub:
        def Work(self, metadata: object) -> None:  # noqa: N802 - as in the contract
            return None

    message = lenient(WorkResponse.FromString)(content)
    anybody = Answerer(Signer(0, None), (), "the slave", cast(Any, None))
    stream = WorkCall(cast(Any, Stub()), anybody, "", "the slave", "t" * 32, lambda task_id: True)
    return None if message is None else stream._read_all(message)


ROADS: dict[str, tuple[Callable[[random.Random, list[Payload]], bytes], Callable[[bytes], object]]] = {
    "call": (call, read_call),
    "tasks": (tasks, read_tasks),
    "outcomes": (outcomes, read_outcomes),
}


@dataclass(frozen=True)
class Found:
    """What reading a message took: bytes, and the longest time in which no other thread ran."""

    name: str
    size: int
    memory: int
    pause: float
    raised: str

    @property
    def problem(self) -> str:
        """What of that is too much; empty where nothing is."""
        if self.raised:
            return self.raised
        if self.memory > MOST_TIMES * self.size + MOST_BESIDE:
            return f"took {self.memory / MIB:.0f} MiB"
        return f"nobody else ran for {self.pause:.2f} s" if self.pause > LONGEST_PAUSE else ""


def made(seed: int, number: int) -> tuple[str, bytes]:
    """A message, and of which kind."""
    chance = random.Random((seed << 64) + number)
    kind = chance.choice(KINDS)
    size = int(MIB * chance.choice((0.9, 1.1, 2, 4, 7.9, 8.1, 30, 63)) * chance.uniform(0.6, 1))
    road = chance.choice(("call", *ROADS))
    count = 1 if road == "call" else chance.choice((1, 2, 8, 60))
    part = kind(chance, size // count)
    if isinstance(part, bytes):
        return f"{road} {kind.__name__}", part
    parts = [part]
    while len(parts) < count:
        other = part if chance.random() < 0.5 else kind(chance, size // count)
        parts.append(other if isinstance(other, Payload) else part)
    return f"{road} {kind.__name__}", ROADS[road][0](chance, parts)


def tried(seed: int, number: int) -> Found:
    """Read a message as slaves or masters do. Where others waited long it is tried again."""
    found = _measured(seed, number)
    for _ in range(TRIES - 1):
        if found.pause <= LONGEST_PAUSE:
            break
        again = _measured(seed, number)
        found = again if again.pause < found.pause else found
    return found


def _measured(seed: int, number: int) -> Found:
    """In a process of its own: nothing lies about there that reading could make use of, or would have to look at."""
    command = [sys.executable, "-m", __name__, str(seed), str(number)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return Found("?", 0, 0, 0.0, f"the process ended with {done.returncode}: {done.stderr[-1000:]}")
    return Found(*json.loads(done.stdout))


def read(name: str, content: bytes) -> Found:
    """Read a message here, of the road that its name begins with, and say what that took."""
    reader = ROADS[name.split()[0]][1]
    kept: list[object] = []
    memory, raised = -_status("VmRSS"), ""
    Path("/proc/self/clear_refs").write_text("5")
    over, longest = threading.Event(), 0.0

    def do() -> None:
        nonlocal raised
        try:
            kept.append(reader(content))
        except (ResponseException, RequestException):
            pass
        except BaseException as error:  # noqa: BLE001 - any is what is looked for
            raised = f"{type(error).__name__}: {error}"[:300]
        finally:
            over.set()

    thread = threading.Thread(target=do)
    last = time.process_time()
    thread.start()
    while not over.wait(0.001):
        now = time.process_time()
        last, longest = now, max(longest, now - last)
    thread.join()
    longest = max(longest, time.process_time() - last)
    memory += _status("VmHWM") + len(content)  # which was there before
    return Found(name, len(content), memory, longest, raised)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the system does not tell {name}")


if __name__ == "__main__":
    print(json.dumps(astuple(read(*made(int(sys.argv[1]), int(sys.argv[2]))))))
