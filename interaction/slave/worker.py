"""Users' code at a slave: tasks and hooks, run on threads of their own, with every end that they can come to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from interaction.core.model import Data, Failure, ResultStatus, TaskOffer
from interaction.exception import PayloadError, PayloadTooLarge, RemoteTraceback, ResponseException
from interaction.rpc import payload
from interaction.rpc.convert import SizedReport, write_result
from interaction.rpc.coroutines import refuse_left
from interaction.rpc.encoded import FAILURE_MESSAGE_BYTES, cut
from interaction.rpc.insist import as_work, insist, insist_here
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception, name_of, text_of, traceback_of
from interaction.slave.action import Refuse, TaskFail

ANY_ID = "0" * 36  # of a task that is not known where its report is written
_FRAME = 64  # bytes that an id and a status take, and the fields around them

_log = logging.getLogger("interaction.slave")
NO_LOG = logging.Logger("interaction.child")  # a child process, whose logging nobody has set up, leaves it to the slave
NO_LOG.disabled = True


def run_task(
    process: Callable[[Data], Any], offer: TaskOffer, max_message_bytes: int, log: logging.Logger = _log
) -> SizedReport:
    """Run one task. Whatever it does, and whatever writing its result raises, there is a report for the master."""
    declared = None
    try:
        value = process(offer.data)
    except TaskFail as fail:
        declared = fail
    except BaseException as error:  # noqa: BLE001 - also sys.exit() in a task must not leave its master waiting
        log_exception(log, logging.ERROR, error, "task %s raised %s", offer.task_id, name_of(error))
        return _raised_report(offer.task_id, _failure_of(error), max_message_bytes)
    try:
        if declared is None:
            return _report(offer.task_id, value, None, max_message_bytes)
        failure = Failure("TaskFail", text_of(declared.message))
        return _report(offer.task_id, declared.result, failure, max_message_bytes)
    except PayloadError as error:
        _log_unfit(log, offer.task_id, _kind(error))
        return failed_report(offer.task_id, error)
    except BaseException as error:  # noqa: BLE001 - a result may be users' code, which raises what it likes
        log_exception(log, logging.ERROR, error, "the result of task %s can't be written", offer.task_id)
        return unwritten_report(offer.task_id, error, max_message_bytes)


def log_report(report: SizedReport) -> None:
    """Log the accident that the report of a child process tells of."""
    task_id, error = report.task_id, report.message.error
    if error.traceback:
        _log.error("task %s raised %s", task_id, error.type, exc_info=RemoteTraceback(error.traceback))
    elif error.type not in ("", TaskFail.__name__):
        _log_unfit(_log, task_id, error.type)


def _log_unfit(log: logging.Logger, task_id: str, kind: str) -> None:
    """An error that names a key of the data is for the master alone."""
    log.warning("the result of task %s can't be carried (%s); its master knows why", task_id, kind)


def failed_report(task_id: str, error: BaseException) -> SizedReport:
    """The report of a task whose result can't be handed over, for that reason."""
    failure = Failure(name_of(error), text_of(error))
    return _report(task_id, {"type": failure.type, "message": failure.message}, failure, None)


def returned_report(task_id: str, why: str) -> SizedReport:
    """The report of a task that is handed back: it has not begun, and never will here."""
    report = write_result(task_id, ResultStatus.RETURNED, payload.encode({}, "result"), Failure("", why))
    return SizedReport(report, report.ByteSize())


def constructor_report(error: BaseException) -> SizedReport:
    """The report of any task in a process in which the slave's constructor raised."""
    return _raised_report(ANY_ID, _failure_of(error, "the slave's constructor raised this: "), None)


def unread_report(error: BaseException) -> SizedReport:
    """The report of any task in a process in which the slave's class and arguments can't be had."""
    return _raised_report(
        ANY_ID, _failure_of(error, "the slave's class and arguments can't be read in the process of its tasks: "), None
    )


def unwritten_report(task_id: str, error: BaseException, max_message_bytes: int | None = None) -> SizedReport:
    """The report of a task whose result raised when it was written."""
    return _raised_report(task_id, _failure_of(error, "the result can't be written: "), max_message_bytes)


def broken_report(task_id: str, error: BaseException) -> SizedReport:
    """The report of a task whose end something of the slave's own has prevented."""
    return _raised_report(task_id, _failure_of(error, "the slave itself has failed: "), None)


def _raised_report(task_id: str, failure: Failure, max_message_bytes: int | None) -> SizedReport:
    value = {"type": failure.type, "message": failure.message}
    try:
        return _report(task_id, value, failure, max_message_bytes)
    except PayloadTooLarge:
        return _report(task_id, {**value, "message": cut(failure.message, FAILURE_MESSAGE_BYTES)}, failure, None)


def _report(task_id: str, value: Any, failure: Failure | None, max_message_bytes: int | None) -> SizedReport:
    status = ResultStatus.COMPLETED if failure is None else ResultStatus.FAILED
    encoded = payload.encode({} if value is None else value, "result", max_message_bytes)
    report = write_result(task_id, status, encoded, failure)
    return SizedReport(report, encoded.size + _FRAME if failure is None else report.ByteSize())


def _kind(error: Exception) -> str:
    return type(error).__name__


def _failure_of(error: BaseException, before: str = "") -> Failure:
    said = text_of(error)
    if before and not said and isinstance(error, MemoryError):
        said = "memory is short"
    return Failure(name_of(error), before + said, traceback_of(error))


async def ask(
    strand: Strand,
    loop: Loop,
    hook: Callable[[Data], object],
    refusal: type[ResponseException],
    room: int,
    data: Data,
    answer: asyncio.Future[Data | ResponseException],
) -> Data:
    """Call a `_before_*` hook on its strand, and wait for `answer`, unless something else has settled that: a mapping
    for the master, or an empty one.

    Raises `refusal` where the hook raises, with the data of a `Refuse` or the type and message of anything else.
    """

    def work() -> None:
        said = _ask(hook, data, refusal, room)
        insist_here(lambda: loop.call(insist, settle, answer, said))

    try:
        strand.submit(as_work(strand.submit, work))
    except BaseException as error:  # noqa: BLE001 - such as a RuntimeError: can't start new thread
        log_exception(_log, logging.ERROR, error, "a hook can't be called, which refuses the request")
        raise refusal(f"the slave can't call its hook: {name_of(error)}: {text_of(error)}") from None
    said = await answer
    if isinstance(said, ResponseException):
        raise said
    return said


def _ask(
    hook: Callable[[Data], object], data: Data, refusal: type[ResponseException], room: int
) -> Data | ResponseException:
    """What a hook says. What that consists of is read here and now: it may be users' code."""
    try:
        try:
            said = hook(data)
            refuse_left(said, "the hook")  # it may hold a refusal
            return _copy_of(said, room) if isinstance(said, Mapping) else {}  # anything else is not for the master
        except Refuse as refused:
            return _refusal_of(refusal, refused)
    except PayloadError as error:
        _log.warning("what %s returned can't be carried (%s): refused", _name_of(hook), _kind(error))
        return refusal(f"{_kind(error)}: {error}")
    except BaseException as error:  # noqa: BLE001 - the master gets an answer, whatever a hook raises
        log_exception(_log, logging.ERROR, error, "%s raised %s: refused", _name_of(hook), name_of(error))
        return refusal(f"{name_of(error)}: {text_of(error)}")


def _name_of(hook: Callable[[Data], object]) -> str:
    if isinstance(hook, partial):
        hook = hook.args[0]
    return getattr(hook, "__name__", "a hook")


def _refusal_of(refusal: type[ResponseException], refused: Refuse) -> ResponseException:
    message = text_of(refused.message)
    try:
        return refusal(message, _copy_of(refused.data, None))
    except BaseException as unfit:  # noqa: BLE001 - it is refused, whatever it was to carry
        return refusal(f"{message} (what the refusal carries is left out: {text_of(unfit)})")


def _copy_of(said: Mapping[str, Any] | None, room: int | None) -> Data:
    """A mapping as it is at this moment, of nothing but what can be carried."""
    return payload.decode_mapping(payload.encode_mapping(said, "data", room).message, "data")


def settle(answer: asyncio.Future[Data | ResponseException], said: Data | ResponseException) -> None:
    """Answer it, unless it is."""
    if not answer.done():
        answer.set_result(said)
