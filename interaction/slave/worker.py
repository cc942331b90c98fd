"""Users' code at a slave: tasks and hooks, run on threads of their own, with every end that they can come to."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from interaction.core.model import Data, Failure, ResultStatus, TaskOffer
from interaction.exception import PayloadError, ResponseException
from interaction.rpc import payload
from interaction.rpc.convert import SizedReport, write_result
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.slave.action import Refuse, TaskFail

_ANY_ID = "0" * 36
_FRAME = 64  # bytes that an id and a status take, and the fields around them

_log = logging.getLogger("interaction.slave")


def run_task(process: Callable[[Data], Any], offer: TaskOffer, max_message_bytes: int) -> SizedReport:
    """Run one task. Whatever it does, there is a report for the master."""
    failure = None
    try:
        value = process(offer.data)
    except TaskFail as declared:
        value, failure = declared.result, Failure("TaskFail", declared.message)
    except BaseException as error:  # noqa: BLE001 - also sys.exit() in a task must not leave its master waiting
        _log.warning("task %s raised %s", offer.task_id, type(error).__name__, exc_info=True)
        failure = _failure_of(error)
        value = {"type": failure.type, "message": failure.message}
    try:
        return _report(offer.task_id, value, failure, max_message_bytes)
    except PayloadError as error:
        # An error that names a key of the data is for the master alone.
        _log.warning("the result of task %s can't be carried (%s); its master knows why", offer.task_id, _kind(error))
        return failed_report(offer.task_id, error)


def failed_report(task_id: str, error: Exception) -> SizedReport:
    """The report of a task whose result can't be handed over, for that reason."""
    failure = Failure(type(error).__name__, str(error))
    return _report(task_id, {"type": failure.type, "message": failure.message}, failure, None)


def constructor_report(error: BaseException) -> SizedReport:
    """The report of any task in a process in which the slave's constructor raised."""
    failure = _failure_of(error)
    failure = Failure(failure.type, f"the slave's constructor raised this: {failure.message}", failure.traceback)
    return _report(_ANY_ID, {"type": failure.type, "message": failure.message}, failure, None)


def _report(task_id: str, value: Any, failure: Failure | None, max_message_bytes: int | None) -> SizedReport:
    status = ResultStatus.COMPLETED if failure is None else ResultStatus.FAILED
    encoded = payload.encode({} if value is None else value, "result", max_message_bytes)
    report = write_result(task_id, status, encoded, failure)
    return SizedReport(report, encoded.size + _FRAME if failure is None else report.ByteSize())


def _kind(error: Exception) -> str:
    return type(error).__name__


def _failure_of(error: BaseException) -> Failure:
    where = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failure(type(error).__name__, _text_of(error), where)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may be broken, and the task's end must be told all the same
        return "(its text can't be had: str() of it raises)"


async def ask(
    strand: Strand,
    loop: Loop,
    hook: Callable[[Data], object],
    refusal: type[ResponseException],
    room: int,
    data: Data,
) -> Data:
    """Call a `_before_*` hook on its strand, and wait for its answer: a mapping for the master, or an empty one.

    Raises `refusal` where the hook raises, with the data of a `Refuse` or the type and message of anything else.
    """
    answer: asyncio.Future[Data] = loop.loop.create_future()

    def work() -> None:
        try:
            said = _mapping_of(hook(data), room)
        except Refuse as refused:
            loop.call(_fail, answer, refusal(refused.message, refused.data))
        except PayloadError as error:
            _log.warning("what a hook returned can't be carried (%s), which refuses the request", _kind(error))
            loop.call(_fail, answer, refusal(f"{_kind(error)}: {error}"))
        except BaseException as error:  # noqa: BLE001 - the master gets an answer, whatever a hook raises
            _log.warning("a hook raised, which refuses the request", exc_info=True)
            loop.call(_fail, answer, refusal(f"{type(error).__name__}: {_text_of(error)}"))
        else:
            loop.call(_succeed, answer, said)

    strand.submit(work)
    return await answer


def _mapping_of(said: object, room: int) -> Data:
    """What a hook returned, if it is for the master: a mapping that can be carried. Anything else is not for it."""
    if not isinstance(said, Mapping):
        return {}
    payload.encode(said, "data", room)
    return said


def _succeed(answer: asyncio.Future[Data], said: Data) -> None:
    if not answer.done():
        answer.set_result(said)


def _fail(answer: asyncio.Future[Data], error: ResponseException) -> None:
    if not answer.done():
        answer.set_exception(error)
