"""Exceptions to gRPC statuses with details, and back: each in one function."""

from __future__ import annotations

from typing import Any, NoReturn, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from interaction.config import MAX_MAX_MESSAGE_BYTES
from interaction.exception import (
    MasterErrorCode,
    MasterResponseException,
    PayloadError,
    RequestException,
    ResponseException,
    SlaveErrorCode,
    SlaveResponseException,
)
from interaction.exception.master import MASTER_EXCEPTIONS
from interaction.exception.slave import SLAVE_EXCEPTIONS
from interaction.rpc import payload
from interaction.rpc.encoded import ENVELOPE_BYTES, FAILURE_MESSAGE_BYTES, cut
from interaction.rpc.reading import sentence
from interaction.v1 import payload_pb2

Context = grpc.aio.ServicerContext[Any, Any]
DOMAIN = "interaction"
# What a refusal carries travels as metadata, of which a reader takes what the contract asks for (rpc/transport.py).
MAX_REFUSAL_BYTES = 128 * 1024

_STATUS_BY_REASON = {
    "SYSTEM_SHUTTING_DOWN": code_pb2.UNAVAILABLE,
    "REQUEST_INVALID": code_pb2.INVALID_ARGUMENT,
    "CHANNEL_NOT_FOUND": code_pb2.INVALID_ARGUMENT,
    "CHANNEL_NOT_GIVEN": code_pb2.INVALID_ARGUMENT,
    "CHANNEL_INVALID": code_pb2.PERMISSION_DENIED,
    "MASTER_TOKEN_NOT_FOUND": code_pb2.UNAUTHENTICATED,
    "MASTER_TOKEN_NOT_GIVEN": code_pb2.UNAUTHENTICATED,
    "MASTER_TOKEN_INVALID": code_pb2.PERMISSION_DENIED,
    "SELF_TOKEN_NOT_FOUND": code_pb2.UNAUTHENTICATED,
    "SELF_TOKEN_NOT_GIVEN": code_pb2.UNAUTHENTICATED,
    "SELF_TOKEN_INVALID": code_pb2.PERMISSION_DENIED,
    "SLAVE_TOKEN_NOT_GIVEN": code_pb2.UNAUTHENTICATED,
    "SLAVE_TOKEN_INVALID": code_pb2.PERMISSION_DENIED,
    "SLAVE_ALREADY_CONNECTED": code_pb2.FAILED_PRECONDITION,
    "SLAVE_NOT_CONNECTED": code_pb2.FAILED_PRECONDITION,
    "SLAVE_CONNECTION_REFUSED": code_pb2.PERMISSION_DENIED,
    "SLAVE_DISCONNECTION_REFUSED": code_pb2.PERMISSION_DENIED,
    "TASK_ALREADY_EXIST": code_pb2.RESOURCE_EXHAUSTED,
    "TASK_REFUSED": code_pb2.PERMISSION_DENIED,
    "TASK_DATA_INVALID": code_pb2.INVALID_ARGUMENT,
    "SIGNATURE_NOT_FOUND": code_pb2.UNAUTHENTICATED,
    "SIGNATURE_NOT_GIVEN": code_pb2.UNAUTHENTICATED,
    "SIGNATURE_INVALID": code_pb2.PERMISSION_DENIED,
    "SIGNATURE_STALE": code_pb2.PERMISSION_DENIED,
    "CERTIFICATE_INVALID": code_pb2.PERMISSION_DENIED,
}


def to_status(error: ResponseException) -> grpc.Status:
    """The status of a refusal, with its ErrorInfo and, where it carries data, a Payload."""
    reason = error.code.name
    message, data = carried(error)
    status = status_pb2.Status(code=_STATUS_BY_REASON[reason], message=message)
    _add_detail(status, error_details_pb2.ErrorInfo(domain=DOMAIN, reason=reason))
    if data is not None:
        _add_detail(status, data)
    return rpc_status.to_status(status)


def carried(
    error: ResponseException, max_message_bytes: int = MAX_MAX_MESSAGE_BYTES
) -> tuple[str, payload_pb2.Payload | None]:
    """A refusal's message and data, where these can be carried: beside them the message says why not."""
    message = cut(error.message, FAILURE_MESSAGE_BYTES)
    if not error.data:
        return message, None
    room = min(max_message_bytes, MAX_REFUSAL_BYTES + ENVELOPE_BYTES)
    try:
        return message, payload.encode_mapping(error.data, "data", room).message
    except (PayloadError, TypeError) as unfit:
        return f"{message} (what the refusal carries is left out: {unfit})", None


def _add_detail(status: status_pb2.Status, message: error_details_pb2.ErrorInfo | payload_pb2.Payload) -> None:
    detail = any_pb2.Any()
    detail.Pack(message)
    status.details.append(detail)


async def abort(context: Context, error: ResponseException) -> NoReturn:
    """End a call with a refusal."""
    status = to_status(error)
    signed = context.trailing_metadata() or ()  # that of the answer (rpc/signing.py)
    await context.abort(status.code, status.details, (*(status.trailing_metadata or ()), *signed))
    raise AssertionError("abort returned")


def slave_error(error: grpc.aio.AioRpcError, peer: str, token: str = "") -> SlaveResponseException | RequestException:
    """What a failed call to a slave raises. `peer` names the slave in a message, which does not repeat `token`."""
    found = _refusal(error, token)
    if found is not None and found[0] in SlaveErrorCode.__members__:
        reason, message, data = found
        return SLAVE_EXCEPTIONS[SlaveErrorCode[reason]](message, data)
    return _transport_error(error, peer, token)


def master_error(error: grpc.aio.AioRpcError, peer: str, token: str = "") -> MasterResponseException | RequestException:
    """What a failed call to a master raises. `peer` names the master in a message, which does not repeat `token`."""
    found = _refusal(error, token)
    if found is not None and found[0] in MasterErrorCode.__members__:
        reason, message, data = found
        return MASTER_EXCEPTIONS[MasterErrorCode[reason]](message, data)
    return _transport_error(error, peer, token)


def _refusal(error: grpc.aio.AioRpcError, token: str) -> tuple[str, str, dict[str, object]] | None:
    """Reason, message and data of a refusal; None where the status is no refusal of ours."""
    try:
        status = rpc_status.from_call(cast(grpc.Call, error))
        return None if status is None else _read(status, token)
    except (ValueError, DecodeError):  # details that contradict the status, or are no message: not ours
        return None


def _read(status: status_pb2.Status, token: str) -> tuple[str, str, dict[str, object]] | None:
    info, content = error_details_pb2.ErrorInfo(), payload_pb2.Payload()
    reason, data = "", {}
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason = info.reason
        elif detail.Unpack(content):
            try:
                data = payload.decode_mapping(content, "data")
            except PayloadError as unreadable:
                data = {"unreadable": str(unreadable)}
    return (reason, sentence(status.message, token), data) if reason and reason != "SUCCESS" else None


_MEANING = {
    grpc.StatusCode.UNAVAILABLE: "can't be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer within the deadline",
    grpc.StatusCode.UNIMPLEMENTED: "does not serve this call of interaction.v1",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "does not take a message of this size",
    grpc.StatusCode.CANCELLED: "did not answer before the call was given up",
}


def _transport_error(error: grpc.aio.AioRpcError, peer: str, token: str) -> RequestException:
    meaning = _MEANING.get(error.code(), "failed to answer")
    details = sentence(error.details() or "", token)
    code = error.code().name
    return RequestException(f"{peer} {meaning} ({code}{details and f': {details}'})", code)
