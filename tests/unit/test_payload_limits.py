"""How deep and how large data may be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from interaction.exception import PayloadError, PayloadTooLarge
from interaction.rpc import payload
from interaction.rpc.encoded import FAILURE_MESSAGE_BYTES, FAILURE_TRACEBACK_BYTES, cut
from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload
from tests.unit.payloads import carried, nested, refusal_of

# Depth.


@pytest.mark.parametrize("core", [0, "text", []], ids=repr)
def test_data_may_nest_200_deep(core: object) -> None:
    value = nested(core, 200 - isinstance(core, list))
    assert carried(value) == value
    assert "deep" in refusal_of([value]).problem


# payload.proto counts the objects that stand for such values among the 200.
@pytest.mark.parametrize("core", [math.inf, b"bytes", 10**5000, np.arange(3)], ids=["inf", "bytes", "integer", "array"])
def test_whatever_is_sent_at_the_deepest_level_is_read(core: object) -> None:
    for depth in (198, 199, 200):
        try:
            written = payload.encode(nested(core, depth), "data").message
        except PayloadError:
            continue
        payload.decode(written, "data")


def test_what_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {"list": []}
    loop["list"].append(loop)
    assert "itself" in refusal_of(loop).problem


def endless(kind: type) -> Any:
    """A container that holds itself, some steps down."""
    loop: Any = {} if kind is dict else []
    inside: dict[str, Any] = {"parent": [0, loop]}
    if kind is dict:
        loop["child"] = inside
    else:
        loop.append(inside)
    return loop


class Lazy(Mapping[str, Any]):
    """Makes what it holds anew each time."""

    def __getitem__(self, key: str) -> Any:
        return Lazy()

    def __iter__(self) -> Iterator[str]:
        return iter(["child"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (endless(dict), "data['child']['parent'][1]", "is data again; what contains itself can't be carried"),
        (endless(list), "data[0]['parent'][1]", "is data again; what contains itself can't be carried"),
        ({"a": endless(dict)}, "data['a']['child']['parent'][1]", "is data['a'] again; what contains itself"),
        (Lazy(), "data['child']['child']['child']['child']['child']…['child']['child']['child']", "200 levels"),
        (nested(0, 300), "data[0][0][0][0][0]…[0][0][0]", "nested deeper than 200 levels"),
    ],
    ids=["mapping", "list", "below", "lazy", "deep"],
)
def test_what_never_ends_is_told_in_a_few_words(value: Any, path: str, problem: str) -> None:
    refused = refusal_of(value)
    assert refused.path == path
    assert problem in refused.problem
    assert len(str(refused)) < 200


def test_a_path_is_short_whatever_is_wrong_and_whichever_way_it_goes() -> None:
    deep: Any = object()
    for _ in range(150):
        deep = {"k" * 500: deep}
    refused = refusal_of(deep)
    assert "object" in refused.problem
    assert 100 < len(refused.path) < 700
    assert refused.path.count("…]") == 8
    text = '{"deep":' * 100 + '{"$number":"none"}' + "}" * 100
    with pytest.raises(PayloadError) as caught:
        payload.decode(Payload(json=text), "result")
    assert caught.value.path == "result" + "['deep']" * 5 + "…" + "['deep']" * 3
    assert refusal_of({"frames": [1, 2, {"at": object()}]}).path == "data['frames'][2]['at']"


def test_what_stands_in_two_places_is_carried_twice() -> None:
    shared = [1]
    assert carried([shared, {"again": shared}]) == [[1], {"again": [1]}]


# Size.


def size_limit(max_message_bytes: int) -> int:
    with pytest.raises(PayloadTooLarge) as caught:
        payload.encode({"b": bytes(max_message_bytes)}, "data", max_message_bytes)
    return caught.value.limit


def test_data_is_refused_at_exactly_the_limit() -> None:
    maximum = 1 << 20
    limit = size_limit(maximum)
    overhead = payload.encode({"b": bytes(limit - 100)}, "data").size - (limit - 100)
    fits = {"b": bytes(limit - overhead)}
    assert payload.encode(fits, "data", maximum).message.ByteSize() == limit
    with pytest.raises(PayloadTooLarge) as caught:
        payload.encode({"b": bytes(limit - overhead + 1)}, "data", maximum)
    assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
    assert caught.value.path == "data"
    assert f"{limit + 1:,} bytes" in str(caught.value)
    assert f"{limit:,} bytes" in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, (1 << 21) - 1, 1 << 21])
def test_the_size_is_that_of_the_message(length: int) -> None:
    for value in ("x" * max(0, length - 2), bytes(length), [bytes(length), "x" * length]):
        encoded = payload.encode(value, "data")
        assert encoded.size == encoded.message.ByteSize()


def test_without_a_limit_any_size_is_written() -> None:
    assert payload.encode(bytes(100 << 10), "data").size > 100 << 10


def test_data_at_the_limit_fits_into_every_message_that_carries_it() -> None:
    maximum = 1 << 20
    data = Payload(buffers=[bytes(size_limit(maximum) - 4)])
    uuid = "f" * 36
    error = task_pb2.TaskError(
        type="T" * 256,
        message="m" * FAILURE_MESSAGE_BYTES,
        traceback="t" * FAILURE_TRACEBACK_BYTES,
    )
    result = task_pb2.TaskResult(task_id=uuid, status=task_pb2.TASK_RESULT_STATUS_FAILED, result=data, error=error)
    for message in (
        slave_service_pb2.NewTaskRequest(task=task_pb2.Task(id=uuid, data=data)),
        slave_service_pb2.ConnectRequest(master_address="h" * 512, data=data, max_message_bytes=2**31),
        master_service_pb2.ReportResultRequest(result=result),
    ):
        assert message.ByteSize() <= maximum


@pytest.mark.parametrize(("text", "size"), [("short", 10), ("x" * 100, 10), ("é" * 100, 10), ("\ud800" * 20, 10)])
def test_a_text_that_is_cut_is_valid_and_no_longer_than_asked(text: str, size: int) -> None:
    short = cut(text, size)
    assert len(short.encode()) <= size
    assert short == text or short.endswith("...")
