"""SlaveService, every implementation: what stands in a task's payload, and what a slave can't hold."""

from __future__ import annotations

from typing import Any

import pytest

from interaction.v1.payload_pb2 import Payload
from tests.contract.slave_programs import SlaveProgram
from tests.contract.wire import (
    FULL,
    NOT_CONNECTED,
    REQUEST_INVALID,
    SUM,
    TASK_DATA_INVALID,
    Caller,
    refused,
    refused_or_done,
    value_of,
)

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own

DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("a", "b", "total"),
    [
        (0.1, 0.2, 0.30000000000000004),
        (2**52, 1, 2**52 + 1),
        (-3, 3, 0),
        (0.5, 0.25, 0.75),
        (5e-324, 0, 5e-324),
        (1.7976931348623157e308, 0, 1.7976931348623157e308),
        ('é "quoted" \\ \n\x00', "日本 🙂 \u2028", 'é "quoted" \\ \n\x00日本 🙂 \u2028'),
        ("$", "$$", "$$$"),
    ],
)
@pytest.mark.parametrize("form", [lambda data: data, value_of], ids=["json", "value"])
def test_numbers_and_texts_arrive_exactly(caller: Caller, form: Any, a: Any, b: Any, total: Any) -> None:
    caller.connect()
    caller.new_task(form({"a": a, "b": b}))
    assert caller.value() == {"sum": total}


def test_a_number_without_a_fraction_in_a_value_is_an_integer(caller: Caller) -> None:
    caller.connect()
    caller.new_task(value_of({"a": 1.0, "b": 2.0}))
    assert caller.report().result.result.json.replace(" ", "") == '{"sum":3}'


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", [lambda data: data, value_of], ids=["json", "value"])
def test_numbers_that_json_lacks_are_read_and_written(caller: Caller, form: Any, name: str) -> None:
    caller.connect()
    caller.new_task(form({"a": {"$number": name}, "b": 1, "c": [{"$number": name}]}))
    assert caller.value() == {"sum": {"$number": name}}


RESERVED = [
    {"$number": "5"},
    {"$number": 5},
    {"$number": "NaN", "x": 1},
    {"$integer": "0x1f"},
    {"$bytes": "0"},
    {"$ndarray": {}},
    {"$": 0},
    {"$other": 0},
    {"$a": 1, "$$a": 2},
]


@pytest.mark.parametrize("other", RESERVED, ids=str)
@pytest.mark.parametrize("form", [lambda data: data, value_of], ids=["json", "value"])
def test_other_objects_with_a_key_that_begins_with_a_dollar_are_refused(
    caller: Caller, form: Any, other: dict[str, Any]
) -> None:
    caller.connect()
    assert refused(caller.new_task, form({"c": [other], **SUM})) == TASK_DATA_INVALID


@pytest.mark.parametrize("json_text", ["1e400", '"\\ud800"', '"\\ude42\\ud83d"'])
def test_what_no_double_and_no_text_can_hold_is_refused(caller: Caller, json_text: str) -> None:
    caller.connect()
    assert refused(caller.new_task, Payload(json=f'{{"c": {json_text}, "a": 1, "b": 2}}')) == TASK_DATA_INVALID


@pytest.mark.parametrize("key", ["$$bytes", "$$", "$$$", "$$other", "a$"])
def test_keys_that_begin_with_two_dollars_are_read(caller: Caller, key: str) -> None:
    caller.connect()
    caller.new_task({"c": {key: 0}, **SUM})
    assert caller.value() == {"sum": 3}


@pytest.mark.parametrize(
    ("json_text", "buffers", "total"),
    [
        ('{"a": {"$bytes": 0}, "b": {"$bytes": 1}}', [b"x", b"y"], {"$bytes": 0}),
        (
            '{"a": {"$ndarray": {"buffer": 0, "dtype": "|u1", "shape": [1]}}, "b": 1}',
            [b"\1"],
            {"$ndarray": {"buffer": 0, "dtype": "|u1", "shape": [1]}},
        ),
        ('{"a": {"$integer": "-1' + "0" * 20 + '"}, "b": 0}', [], -(16**20)),
    ],
    ids=["bytes", "ndarray", "integer"],
)
def test_what_a_slave_cannot_hold_it_refuses_and_never_takes_for_a_mapping(
    caller: Caller, program: SlaveProgram, json_text: str, buffers: list[bytes], total: Any
) -> None:
    data = Payload(json=json_text, buffers=buffers)
    if program.implementation.holds(lambda: refused_or_done(lambda: caller.connect(data=data)) is None):
        refused_or_done(caller.disconnect)
        caller.connect(data=data)
        caller.new_task(data)
        assert caller.value() == {"sum": total}
        caller.disconnect(data=data)
    else:
        assert refused(caller.connect, data=data) == REQUEST_INVALID
        caller.connect()
        assert refused(caller.new_task, data) == TASK_DATA_INVALID
        assert refused(caller.disconnect, data=data) == REQUEST_INVALID


def test_payloads_of_the_allowed_depth_are_read(caller: Caller) -> None:
    caller.connect()
    caller.new_task(Payload(json='{"a": 1, "b": 2, "c": ' + "[" * 199 + "]" * 199 + "}"))
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, Payload(json='{"c": ' + "[" * 200 + "]" * 200 + "}")) == TASK_DATA_INVALID
    nested: dict[str, Any] = {}
    for _ in range(29):
        nested = {"c": nested}
    caller.new_task(value_of({**SUM, **nested}))
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, value_of({"c": {**SUM, **nested}})) == TASK_DATA_INVALID


def test_a_message_as_long_as_the_slave_says_is_read_and_a_longer_one_harms_nothing(caller: Caller) -> None:
    limit = caller.connect().max_message_bytes or DEFAULT_MAX_MESSAGE_BYTES
    caller.new_task({**SUM, "c": "x" * (limit - 200)})
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, {**SUM, "c": "x" * limit}) == (FULL, "")
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_a_task_for_a_slave_that_was_here_before_is_refused(caller: Caller) -> None:
    incarnation = caller.connect().incarnation
    assert refused(caller.new_task, SUM, incarnation="f" * 32) == NOT_CONNECTED
    caller.new_task(SUM, incarnation=incarnation)
    assert caller.value() == {"sum": 3}
