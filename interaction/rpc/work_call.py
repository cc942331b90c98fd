"""SlaveService.Work as a master calls it: tasks out, and what became of them back, many in a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import grpc.aio

from interaction.core.model import Failure, Outcome, ResultStatus, TaskResult
from interaction.exception import PayloadError, RequestException, ResponseException, SlaveErrorCode
from interaction.exception.slave import SLAVE_EXCEPTIONS
from interaction.rpc import convert, payload
from interaction.rpc.answers import Answerer
from interaction.rpc.convert import Report
from interaction.rpc.encoded import Encoded
from interaction.rpc.reading import sentence
from interaction.rpc.status import slave_error
from interaction.rpc.text_limit import Allowance, allowance_of
from interaction.text import named
from interaction.v1 import slave_service_pb2 as pb
from interaction.v1 import slave_service_pb2_grpc


class WorkCall:
    """One stream, to the slave of this incarnation. Raises a SlaveResponseException or a RequestException.

    `expects` says of which tasks, by id, what the slave says is to be read. It may be asked on another thread.
    """

    def __init__(
        self,
        stub: slave_service_pb2_grpc.SlaveServiceAsyncStub,
        answerer: Answerer,
        incarnation: str,
        peer: str,
        token: str,
        expects: Callable[[str], bool],
    ) -> None:
        self._expects = expects
        self._call = stub.Work(metadata=answerer.sent)
        self._answerer = answerer
        self._incarnation = incarnation  # goes with the first message
        self._peer = peer
        self._token = token

    async def send(self, tasks: Sequence[tuple[str, Encoded]], acknowledged: Sequence[str]) -> None:
        """Send tasks, by id, and acknowledge results."""
        if not self._answerer.believed:
            await self._begin()
        message = pb.WorkRequest(acknowledged=acknowledged, incarnation=self._incarnation)
        for task_id, data in tasks:
            convert.write_task(message.tasks.add(), task_id, data)
        self._incarnation = ""
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:  # the stream has ended: `receive` says how
            raise RequestException(f"{self._peer} ended the stream", "CANCELLED") from None
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from None

    async def _begin(self) -> None:
        """Nothing of a task goes to somebody who is not believed."""
        doubt = await self._answerer.doubt_stream(self._call)
        if doubt is not None:
            raise doubt
        if not self._answerer.believed:
            raise RequestException(f"{self._peer} did not take the stream", "CANCELLED")  # `receive` says why not

    async def finish(self) -> None:
        """Nothing more will be sent: the slave ends the stream."""
        try:
            await self._call.done_writing()
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError):  # it has ended by itself
            return

    async def receive(self) -> list[tuple[Outcome, Report | None]] | None:
        """The slave's next words, each with its report as it came where it is a result; None at the end."""
        try:
            doubt = None if self._answerer.believed else await self._answerer.doubt_stream(self._call)
            answer = None if doubt is not None else await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from None
        if not self._answerer.believed and (doubt is not None or isinstance(answer, pb.WorkResponse)):
            raise doubt or self._answerer.unbelieved()
        if answer is None:
            raise self._nonsense("a message that can't be parsed")
        if not isinstance(answer, pb.WorkResponse):  # grpc.aio.EOF
            code = await self._call.code()
            if code is not grpc.StatusCode.OK:
                raise self._failed(await _failure(self._call))
            return None
        if len(answer.outcomes) == 1 and answer.outcomes[0].HasField("result"):
            return await convert.read_one(self._read_all, answer, answer.outcomes[0].result.result)
        return await convert.read_message(self._read_all, answer)

    def _failed(self, error: grpc.aio.AioRpcError) -> RequestException | ResponseException:
        return self._answerer.doubt(error) or slave_error(error, self._peer, self._token)

    def _read_all(self, answer: pb.WorkResponse) -> list[tuple[Outcome, Report | None]]:
        count = len(answer.outcomes)
        if count == 1:
            return [self._read(answer.outcomes[0], None, set())]
        allowance, read = allowance_of(count, answer.ByteSize()), set[tuple[str, str | None]]()
        return [self._read(outcome, allowance, read) for outcome in answer.outcomes]

    def _read(
        self, outcome: pb.WorkOutcome, allowance: Allowance | None, read: set[tuple[str, str | None]]
    ) -> tuple[Outcome, Report | None]:
        """One of those of a message. `allowance`: what it shares with the others; `read`: those that were before it."""
        task_id, kind = outcome.task_id, outcome.WhichOneof("outcome")
        if not convert.is_task_id(task_id):
            raise self._nonsense(f"the task id {named(task_id)}")
        said = (task_id, kind)
        if kind is not None and (said in read or not self._expects(task_id)):  # it changes nothing, and stays unread
            return _unread(outcome)
        read.add(said)
        if kind == "result":
            return self._read_result(task_id, outcome.result, allowance)
        if kind == "accepted":
            if not outcome.accepted.HasField("data"):  # the most
                return Outcome(task_id, accepted={}), None
            try:
                data = payload.decode_mapping(outcome.accepted.data, "data", allowance)
            except PayloadError as error:
                raise self._nonsense(f"data that can't be read ({error})") from None
            return Outcome(task_id, accepted=data), None
        if kind == "refused":
            return Outcome(task_id, refused=self._refusal(outcome.refused, allowance)), None
        raise self._nonsense("an outcome that says nothing")

    def _read_result(self, task_id: str, message: Report, allowance: Allowance | None) -> tuple[Outcome, Report]:
        if message.task_id != task_id or message.status not in convert.RESULT_STATUSES:
            raise self._nonsense(f"a result of another task than {task_id}, or of no known status")
        try:
            return Outcome(task_id, result=convert.read_result(message, allowance)), message
        except PayloadError as error:  # the task has ended, whatever it gave
            failure = Failure("PayloadError", f"the slave's result can't be read: {error}")
            unread = convert.write_result(task_id, ResultStatus.FAILED, payload.encode({}, "result"), failure)
            return Outcome(task_id, result=TaskResult(task_id, ResultStatus.FAILED, {}, failure)), unread

    def _refusal(self, refused: pb.WorkRefused, allowance: Allowance | None) -> ResponseException:
        if refused.reason not in SlaveErrorCode.__members__ or refused.reason == "SUCCESS":
            raise self._nonsense(f"the reason {named(refused.reason)}")
        try:
            data = payload.decode_mapping(refused.data, "data", allowance)
        except PayloadError as unreadable:
            data = {"unreadable": str(unreadable)}
        return SLAVE_EXCEPTIONS[SlaveErrorCode[refused.reason]](sentence(refused.message, self._token), data)

    def _nonsense(self, what: str) -> RequestException:
        return RequestException(f"{self._peer} sent {what} by Work", "INTERNAL")

    def cancel(self) -> None:
        """End the stream at once."""
        self._call.cancel()


def _unread(outcome: pb.WorkOutcome) -> tuple[Outcome, Report | None]:
    """What is said of a task that is not open: a result is to be acknowledged, and nothing else matters."""
    if not outcome.HasField("result"):
        return Outcome(outcome.task_id, accepted={}), None
    return Outcome(outcome.task_id, result=TaskResult(outcome.task_id, ResultStatus.FAILED, {})), outcome.result


async def _failure(call: grpc.aio.StreamStreamCall[pb.WorkRequest, pb.WorkResponse]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
