"""Payloads of few bytes that stand for many: what is read is bounded by what came."""

from __future__ import annotations

import json
import pickle
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from interaction.config import MAX_JSON_BYTES
from interaction.core.model import TaskOffer
from interaction.exception import PayloadError, PayloadTooLarge
from interaction.rpc import convert, payload
from interaction.rpc.work_stream import read_task
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task

MIB = 1 << 20


def peak(work: Callable[[], object]) -> float:
    """How many MiB of Python's own memory that takes at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def decoded(text: str, *buffers: bytes) -> Any:
    return payload.decode(Payload(json=text, buffers=buffers), "data")


def refused(text: str, *buffers: bytes) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        decoded(text, *buffers)
    assert len(str(caught.value)) < 500
    return caught.value


def of(unit: str, size: float) -> str:
    """A list of the same again and again, of so many MiB."""
    return "[" + ",".join([unit] * int(size * MIB / (len(unit) + 1))) + "]"


def array(buffer: int, length: int = 1) -> str:
    return json.dumps({"$ndarray": {"buffer": buffer, "dtype": "|u1", "shape": [length]}})


# References.


def test_bytes_that_are_referred_to_a_thousand_times_are_one_object() -> None:
    """Each reference was a copy: 1 MB of message asked for 2 GiB."""
    content = bytes(MIB)
    message = Payload(json=of('{"$bytes":0}', 0.01), buffers=[content])
    assert peak(lambda: payload.decode(message, "data")) < 3
    first, *others = payload.decode(message, "data")
    assert len(others) > 700
    assert all(other is first for other in others)


@pytest.mark.parametrize(
    "text",
    [
        f"[{array(0)},{array(0)}]",
        f'[{array(0)},{{"$bytes":0}}]',
        f'[{{"$bytes":0}},{array(0)}]',
        f'{{"a":{{"b":{array(1)}}},"c":[{array(1)}]}}',
    ],
)
def test_what_an_array_has_for_itself_nothing_else_refers_to(text: str) -> None:
    assert "an array has for itself" in refused(text, b"\x01", b"\x02").problem


def test_an_array_that_is_written_to_changes_no_other_and_no_message() -> None:
    message = Payload(json=f"[{array(0, MIB)},{array(1, MIB)},{array(2, 3)}]", buffers=[bytes(MIB), bytes(MIB), b"abc"])
    one, other, small = payload.decode(message, "data")
    for written in (one, small):
        written[...] = 7
    assert not other.any()
    assert (message.buffers[0], message.buffers[2]) == (bytes(MIB), b"abc")
    assert not payload.decode(message, "data")[0].any()


def test_a_large_array_is_read_without_a_second_copy() -> None:
    content = payload.encode({"x": np.zeros(32 * MIB, np.uint8)}, "data").message
    payload.decode(content, "data")
    assert peak(lambda: payload.decode(content, "data")) < 33


# Shapes and dtypes.


@pytest.mark.parametrize(
    "shape",
    [
        [10**4000] * 64,
        [0] + [10**4000] * 63,
        [2**63],
        [2**62, 2**62, 0],
        [2**31] * 30 + [0],
        [0] * 65,
        [1] * 100_000,
        [[1] * 100_000],
    ],
    ids=lambda shape: f"{len(shape)} of {str(shape[0])[:6]}",
)
def test_no_shape_takes_long_or_much(shape: list[Any]) -> None:
    """A product of 64 integers of 4,000 digits took half a second without letting anybody else run."""
    text = json.dumps({"x": {"$ndarray": {"buffer": 0, "dtype": "<f8", "shape": shape}}})
    began = time.process_time()
    if 0 in shape:
        with suppress(PayloadError):
            assert decoded(text, b"")["x"].nbytes == 0
    else:
        assert peak(lambda: refused(text, b"")) < 16
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("dtype", ["<U99999999", "|S999999999", "<f8"])
def test_arrays_of_nothing_take_nothing(dtype: str) -> None:
    shapes = [[0], [0, 10**9]] * 50
    forms = [{"$ndarray": {"buffer": at, "dtype": dtype, "shape": shape}} for at, shape in enumerate(shapes)]
    read: list[Any] = []
    assert peak(lambda: read.extend(decoded(json.dumps(forms), *[b""] * 100))) < 8
    assert {one.dtype.str for one in read} == {dtype}


@pytest.mark.parametrize(
    "text",
    [
        '{"$bytes":%s}',
        '{"$number":%s}',
        '{"$integer":%s}',
        '{"$ndarray":%s}',
        '{"$ndarray":{"buffer":%s,"dtype":"|u1","shape":[1]}}',
        '{"$ndarray":{"buffer":0,"dtype":%s,"shape":[1]}}',
        '{"$ndarray":{"buffer":0,"dtype":"|u1","shape":%s}}',
    ],
)
@pytest.mark.parametrize(
    "wrong", [of("257", 1), json.dumps("x" * MIB), "{" + of('"k":1', 1)[1:-1] + "}", "9" * 4000], ids=len
)
def test_what_is_wrong_is_told_in_few_words_however_long_it_is(text: str, wrong: str) -> None:
    assert refused(text % wrong, b"\x01")


# Text.


def test_a_text_is_read_and_written_up_to_8_mib_and_no_further() -> None:
    fits, longer = "x" * (MAX_JSON_BYTES - 2), "x" * (MAX_JSON_BYTES - 1)
    written = payload.encode(fits, "data").message
    assert len(written.json) == MAX_JSON_BYTES
    assert payload.decode(written, "data") == fits
    told = refused(f'"{longer}"')
    with pytest.raises(PayloadTooLarge) as caught:
        payload.encode(longer, "data")
    for error in (told, caught.value):
        assert isinstance(error, PayloadTooLarge)
        assert (error.size, error.limit) == (MAX_JSON_BYTES + 1, MAX_JSON_BYTES)
        assert str(error).startswith("data: its JSON text has 8,388,609 bytes, and 8,388,608 are read")
        assert "bytes and NumPy arrays go in buffers" in str(error)
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.size, again.limit) == (str(error), error.size, error.limit)


@pytest.mark.parametrize("letter", ["é", "日", "🙂"])
def test_letters_beyond_ascii_are_written_as_they_are(letter: str) -> None:
    """As ASCII each took six bytes or twelve, so that 1.4 million were too many."""
    text = letter * (7 * MIB // len(letter.encode()))
    encoded = payload.encode({"x": text, letter: [b"y"]}, "data")
    assert encoded.size == encoded.message.ByteSize()
    assert len(encoded.message.json.encode()) < 7 * MIB + 100
    assert payload.decode(encoded.message, "data") == {"x": text, letter: [b"y"]}


def test_buffers_do_not_count_as_text() -> None:
    data = {"x": [bytes(6 * MIB), np.zeros(6 * MIB, np.uint8)]}
    assert payload.decode(payload.encode(data, "data").message, "data")["x"][0] == data["x"][0]


# What is small, and of how many MiB of it a text may be.
SMALL = {
    "[]": 1.2,
    "{}": 0.99,
    "257": 4.6,
    "1.5": 4.6,
    '"ab"': 2.9,
    '{"":0}': 1.3,
    '{"":[]}': 1.2,
    "[257]": 2.4,
    '{"a":{"b":[1]}}': 1.4,
    '{"$number":"NaN"}': 1.8,
    '{"$$":0}': 1.2,
}
each_small = pytest.mark.parametrize("unit", SMALL)


@each_small
def test_of_what_is_small_as_much_is_read_as_fits_and_no_more(unit: str) -> None:
    """8 MiB of it took 290 MiB."""
    text = of(unit, SMALL[unit])
    assert peak(lambda: decoded(text)) < 64 + SMALL[unit]  # the text is one of the three times that it may take
    told = refused(of(unit, SMALL[unit] * 1.7))
    assert isinstance(told, PayloadTooLarge)
    assert "so much that is small" in told.problem


@pytest.mark.parametrize("unit", ["257", "[257]", '{"a":{"b":[1]}}'])
def test_what_refers_to_buffers_is_not_held_twice(unit: str) -> None:
    text = of(unit, SMALL[unit])
    assert peak(lambda: decoded(text, b"")) < 64 + SMALL[unit]


@pytest.mark.parametrize("form", ['"{:x}":0', '"$${:x}":0', '"\\u0024\\u0024{:x}":0'])
def test_keys_of_many_kinds_are_refused_or_fit(form: str) -> None:
    for size in (1.5, 3):
        text = "{" + ",".join(form.format(number) for number in range(int(size * MIB / (len(form) + 2)))) + "}"
        assert peak(lambda text=text: _read_or_too_large(text)) < 64 + size  # type: ignore[misc]


@pytest.mark.parametrize("letter", ["é", "日", "🙂"])
def test_a_text_of_wide_characters_is_refused_or_fits(letter: str) -> None:
    for text in (
        '"' + "x" * 7_000_000 + letter + '"',
        '"' + "x" * 7_000_000 + "\\n" + letter + '"',
        '"' + letter * 2_000_000 + '"',
    ):
        assert peak(lambda text=text: _read_or_too_large(text)) < 72  # type: ignore[misc]


def _read_or_too_large(text: str) -> None:
    with suppress(PayloadTooLarge):
        decoded(text)


@pytest.mark.parametrize("unit", ["[]", '"ab"', '{"":[]}'])
def test_what_is_too_large_to_be_read_is_not_written(unit: str) -> None:
    text = of(unit, 7.9)
    with pytest.raises(PayloadTooLarge):
        decoded(text)
    with pytest.raises(PayloadTooLarge, match="so much that is small"):
        payload.encode(json.loads(text), "data")


@pytest.mark.parametrize(
    "value",
    [
        "a,b," * 1_900_000,  # as a file of that kind has it
        '"[{:,' * 600_000,
        [{"id": n, "name": f"n{n}", "reward": n / 7, "done": False} for n in range(80_000)],
        [n / 3 for n in range(400_000)],
        {"nested": [[1.5, 2.5, 3.5]] * 200_000},
    ],
    ids=["csv", "quotes", "records", "floats", "rows"],
)
def test_what_people_send_in_a_large_text_is_carried(value: Any) -> None:
    written = payload.encode(value, "data").message
    assert len(written.json) > 2 * MIB
    assert payload.decode(written, "data") == value


def test_a_task_that_was_read_reaches_the_process_of_tasks_however_it_is_written_there() -> None:
    """As ASCII a text that was not is up to three times as long."""
    data = {"x": "é" * 4_000_000}
    read = convert.unpack_task(*convert.pack_task(TaskOffer("0" * 36, data, b""), 1000))[0]
    assert read.data == data


def test_a_task_is_written_for_the_process_of_tasks_once_and_as_it_came() -> None:
    """An é was written in six bytes for two, and all of it put together with what it is: four times what came."""
    assert len(convert.pack_task(TaskOffer("0" * 36, {"x": "é" * MIB}, b""), 1000)[1]) < 2.1 * MIB
    offer = TaskOffer("0" * 36, {"x": bytes(16 * MIB)}, b"")
    assert peak(lambda: convert.pack_task(offer, 1000)) < 17


@pytest.mark.parametrize("buffers", [1, 8])
def test_a_task_with_buffers_is_read_with_one_of_them_twice_at_most(buffers: int) -> None:
    """For the digest all of them were copied once more."""
    task = Task(id="0" * 36)
    task.data.json = json.dumps({"x": [{"$bytes": number} for number in range(buffers)]})
    task.data.buffers.extend([bytes(32 * MIB // buffers)] * buffers)
    assert peak(lambda: read_task(task, "")) < 34


@pytest.mark.parametrize("text", ["\x01", "\x01x", "\x01-1", "\x019999999", "\x01" + "9" * 20, "\x01" + "9" * 5000])
def test_what_looks_as_if_something_was_left_out_is_no_json(text: str) -> None:
    assert "not JSON" in refused(text).problem


# How long nobody else runs.


def longest_pause(work: Callable[[], object]) -> float:
    """For how many seconds of processor time at most another thread did not run meanwhile."""
    over, longest = threading.Event(), 0.0

    def watch() -> None:
        nonlocal longest
        last = time.process_time()
        while not over.wait(0.001):
            now = time.process_time()
            last, longest = now, max(longest, now - last)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    return longest


def elsewhere(work: Callable[[], object]) -> None:
    """On a thread that is not the main one, as large texts are read."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@each_small
def test_the_largest_text_that_is_read_lets_others_run_within_half_a_second(unit: str) -> None:
    text = of(unit, SMALL[unit])
    assert (
        min(longest_pause(lambda: elsewhere(lambda: decoded(text))) for _ in range(3)) < 0.5
    )  # the machine may be busy otherwise
