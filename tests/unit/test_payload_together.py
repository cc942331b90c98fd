"""Messages of many payloads: what is read of one of them is bounded by what came, however many parts that has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from interaction.core.model import TaskOffer
from interaction.exception import ResponseException
from interaction.rpc import convert, work_stream
from interaction.rpc.answers import Answerer
from interaction.rpc.signing import Signer
from interaction.rpc.text_limit import LIGHT
from interaction.rpc.work_call import WorkCall
from interaction.v1 import slave_service_pb2 as pb
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED
from tests.unit.test_payload_bombs import MIB, of, peak
from tests.unit.test_work_stream import Handler

TOKEN = "t" * 32


def task_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


class Taker(Handler):
    """Keeps what it is handed, as a slave with many places does."""

    def __init__(self) -> None:
        super().__init__()
        self.offers: list[TaskOffer] = []
        self.refusals: list[ResponseException] = []

    def offer(self, offer: TaskOffer) -> None:
        self.offers.append(offer)

    def refuse(self, task_id: str, refusal: ResponseException) -> None:
        self.refusals.append(refusal)


def taken(request: pb.WorkRequest) -> Taker:
    """What a slave makes of a message."""
    handler = Taker()

    async def requests() -> AsyncIterator[pb.WorkRequest]:
        yield request

    asyncio.run(work_stream._read(requests(), handler))
    return handler


def heard(answer: pb.WorkResponse) -> list[Any]:
    """What a master makes of a message."""

    class Call:
        def Work(self, metadata: object) -> Call:  # noqa: N802 - as in the stub
            return self

        async def read(self) -> pb.WorkResponse:
            return answer

    anybody = Answerer(Signer(0, None), (), "the slave", cast(Any, None))
    call = WorkCall(cast(Any, Call()), anybody, "", "the slave", TOKEN, lambda task_id: True)
    return asyncio.run(call.receive()) or []


def tasks(*data: Payload) -> pb.WorkRequest:
    request = pb.WorkRequest()
    for number, one in enumerate(data):
        task = request.tasks.add()
        task.id = task_id(number)
        task.data.CopyFrom(one)
    return request


def result(outcome: pb.WorkOutcome, data: Payload) -> None:
    outcome.result.task_id, outcome.result.status = outcome.task_id, TASK_RESULT_STATUS_COMPLETED
    outcome.result.result.CopyFrom(data)


def accepted(outcome: pb.WorkOutcome, data: Payload) -> None:
    outcome.accepted.data.CopyFrom(data)


def refused(outcome: pb.WorkOutcome, data: Payload) -> None:
    outcome.refused.reason = "TASK_REFUSED"
    outcome.refused.data.CopyFrom(data)


def outcomes(write: Callable[[pb.WorkOutcome, Payload], None], *data: Payload, same: bool = False) -> pb.WorkResponse:
    answer = pb.WorkResponse()
    for number, one in enumerate(data):
        outcome = answer.outcomes.add()
        outcome.task_id = task_id(0 if same else number)
        write(outcome, one)
    return answer


def mapping(unit: str, size: float) -> Payload:
    return Payload(json='{"a":' + of(unit, size) + "}")


@pytest.mark.parametrize("unit", ["[]", '{"":0}'])
def test_tasks_of_one_message_take_no_more_together_than_one_may(unit: str) -> None:
    """Each was bounded for itself: 60 of them, of 1 MiB each, took 2 GiB."""
    request = tasks(*[mapping(unit, 0.99)] * 4)
    made: list[Taker] = []
    assert peak(lambda: made.append(taken(request))) < 64 + 4
    assert made[0].offers
    assert made[0].refusals
    for refusal in made[0].refusals:
        assert "others in the same message" in str(refusal)


@pytest.mark.parametrize("write", [result, refused])
def test_outcomes_of_one_message_take_no_more_together_than_one_may(
    write: Callable[[pb.WorkOutcome, Payload], None],
) -> None:
    answer = outcomes(write, *[mapping("[]", 0.99)] * 4)
    made: list[list[Any]] = []
    assert peak(lambda: made.append(heard(answer))) < 64 + 4
    assert len(made[0]) == 4
    assert "others in the same message" in f"{made[0][-1]}{getattr(made[0][-1][0].refused, 'data', '')}"


def test_a_message_of_up_to_1_mib_is_read_whatever_it_weighs() -> None:
    handler = taken(tasks(*[mapping("{}", 0.24)] * 4))
    assert (len(handler.offers), handler.refusals) == (4, [])


def test_texts_of_few_things_are_read_however_many_of_them_a_message_has() -> None:
    handler = taken(tasks(*[Payload(json='{"a":"' + "x" * MIB + '"}')] * 20))
    assert (len(handler.offers), handler.refusals) == (20, [])


def test_wide_values_of_one_message_are_bounded_together() -> None:
    """One character beyond U+FFFF makes four bytes of each."""
    value = Payload()
    value.value.struct_value.fields["x"].string_value = "x" * (4 * MIB) + "🙂"
    request = tasks(*[value] * 6)
    made: list[Taker] = []
    assert peak(lambda: made.append(taken(request))) < 64 + 24
    assert made[0].offers
    assert made[0].refusals


@pytest.mark.parametrize("write", [result, accepted, refused])
def test_what_is_said_twice_in_a_message_is_read_once(write: Callable[[pb.WorkOutcome, Payload], None]) -> None:
    """60 results of the same task were all read before one was used."""
    read = heard(outcomes(write, *[Payload(json='{"a":["read"]}')] * 3, same=True))
    assert len(read) == 3
    assert [f"{outcome!r}{getattr(outcome.refused, 'data', '')}".count("'read'") for outcome, _ in read] == [1, 0, 0]


def test_that_a_task_is_accepted_and_how_it_ended_may_stand_in_one_message() -> None:
    answer = outcomes(accepted, Payload(json='{"a":1}'))
    result(answer.outcomes.add(task_id=task_id(0)), Payload(json='{"b":2}'))
    (first, _), (second, report) = heard(answer)
    assert first.accepted == {"a": 1}
    assert second.result.value == {"b": 2}
    assert report is not None


def test_values_are_read_beside_the_loop_from_16_kib_on() -> None:
    """They take ten times as long as JSON: 256 KiB of them kept everybody waiting for 0.3 s."""
    value = Payload()
    value.value.struct_value.fields["x"].string_value = "x" * (convert.LONG_VALUE - 100)
    assert not convert.is_large(value)
    value.value.struct_value.fields["y"].string_value = "x" * 100
    assert convert.is_large(value)


def test_a_long_message_of_many_tasks_lets_others_have_their_turn() -> None:
    request = tasks(*[mapping("{}", 0.01)] * 64)
    turns = 0

    async def counted() -> None:
        nonlocal turns

        async def requests() -> AsyncIterator[pb.WorkRequest]:
            yield request

        reading = asyncio.ensure_future(work_stream._read(requests(), Taker()))
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)

    assert request.ByteSize() < LIGHT
    asyncio.run(counted())
    assert turns > 6
