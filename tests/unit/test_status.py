"""Exceptions as gRPC statuses with details, and back."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata
from grpc_status import rpc_status

from interaction.exception import (
    MasterErrorCode,
    MasterSlaveTokenInvalid,
    MasterSuccess,
    RequestException,
    ResponseException,
    SlaveErrorCode,
    SlaveSuccess,
    SlaveTaskRefused,
    get_master_exception_class_by_error_code,
    get_slave_exception_class_by_error_code,
)
from interaction.exception.master import MASTER_EXCEPTIONS
from interaction.exception.slave import SLAVE_EXCEPTIONS
from interaction.rpc.status import MAX_REFUSAL_BYTES, master_error, slave_error, to_status
from interaction.v1.payload_pb2 import Payload

DETAILS = "grpc-status-details-bin"
PEER = "the slave at host:1"
EVERY_EXCEPTION = [
    *(pytest.param(kind, slave_error, id=f"slave {kind.__name__}") for kind in SLAVE_EXCEPTIONS.values()),
    *(pytest.param(kind, master_error, id=f"master {kind.__name__}") for kind in MASTER_EXCEPTIONS.values()),
]


def call_error(code: grpc.StatusCode, details: str | None, trailing: Metadata | None = None) -> AioRpcError:
    return AioRpcError(code, Metadata(), trailing or Metadata(), details)


def over_the_wire(status: grpc.Status) -> AioRpcError:
    """What a caller meets when a call ends with that status."""
    return call_error(status.code, status.details, Metadata(*(status.trailing_metadata or ())))


def status_of(*details: error_details_pb2.ErrorInfo | Payload, message: str = "no") -> AioRpcError:
    status = status_pb2.Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return over_the_wire(rpc_status.to_status(status))


def broken_detail() -> AioRpcError:
    """A detail that says that it is an ErrorInfo, and is no message."""
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="no")
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    return over_the_wire(rpc_status.to_status(status))


def info(reason: str, domain: str = "interaction") -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(domain=domain, reason=reason)


def test_every_code_has_its_class() -> None:
    assert set(SLAVE_EXCEPTIONS) == set(SlaveErrorCode) - {SlaveErrorCode.SUCCESS}
    assert set(MASTER_EXCEPTIONS) == set(MasterErrorCode) - {MasterErrorCode.SUCCESS}
    for slave_code in SlaveErrorCode:
        assert get_slave_exception_class_by_error_code(slave_code).code is slave_code
    for master_code in MasterErrorCode:
        assert get_master_exception_class_by_error_code(int(master_code)).code is master_code
    assert (SlaveSuccess.success, SlaveSuccess.status_code, MasterSuccess.success) == (True, 200, True)
    with pytest.raises(KeyError):
        get_slave_exception_class_by_error_code(999)
    for code, kind in (*SLAVE_EXCEPTIONS.items(), *MASTER_EXCEPTIONS.items()):
        assert kind.code is code


@pytest.mark.parametrize(("kind", "read"), EVERY_EXCEPTION)
def test_a_refusal_arrives_as_what_it_was(kind: type[ResponseException], read: object) -> None:
    sent = kind("because: Grüße", {"n": 2**70, "b": b"\xff", "f": float("inf")})
    assert callable(read)
    came = read(over_the_wire(to_status(sent)), PEER)
    assert type(came) is kind
    assert (came.message, came.data, came.code, came.status_code) == (
        sent.message,
        sent.data,
        sent.code,
        sent.status_code,
    )


@pytest.mark.parametrize(("kind", "read"), EVERY_EXCEPTION)
def test_a_refusal_never_looks_like_success_or_a_broken_transport(kind: type[ResponseException], read: object) -> None:
    code = to_status(kind("no")).code
    assert code not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


def test_data_that_cannot_travel_is_left_out_with_a_word() -> None:
    for data in ({"x": object()}, {"x": bytes(MAX_REFUSAL_BYTES)}):
        came = slave_error(over_the_wire(to_status(SlaveTaskRefused("busy", data))), PEER)
        assert type(came) is SlaveTaskRefused
        assert came.message.startswith("busy (what the refusal carries is left out: ")
        assert came.data == {}


def test_a_long_message_is_cut_to_what_metadata_holds() -> None:
    status = to_status(SlaveTaskRefused("é" * 100_000))
    assert len((status.details or "").encode()) <= 4096


def test_data_that_cannot_be_read_is_told_and_the_refusal_stays() -> None:
    came = slave_error(status_of(info("TASK_REFUSED"), Payload(json="nonsense")), PEER)
    assert type(came) is SlaveTaskRefused
    assert "unreadable" in came.data


@pytest.mark.parametrize(
    "error",
    [
        call_error(grpc.StatusCode.UNAVAILABLE, "nobody"),
        status_of(),
        status_of(info("TASK_REFUSED", "another.example")),
        status_of(info("OF_TOMORROW")),
        status_of(info("SUCCESS")),
        status_of(info("")),
        status_of(info("__class__")),
        call_error(grpc.StatusCode.NOT_FOUND, "no", Metadata((DETAILS, status_pb2.Status().SerializeToString()))),
        call_error(grpc.StatusCode.NOT_FOUND, "no", Metadata((DETAILS, b"\xff\xff"))),
        broken_detail(),
        call_error(grpc.StatusCode.UNKNOWN, None),
    ],
    ids=range(11),
)
def test_anything_else_is_a_failure_of_the_transport(error: AioRpcError) -> None:
    came = slave_error(error, PEER)
    assert type(came) is RequestException
    assert came.code == error.code().name
    assert came.message.startswith(PEER)
    assert error.code().name in came.message


def test_the_reasons_of_one_side_are_not_those_of_the_other() -> None:
    refusal = over_the_wire(to_status(MasterSlaveTokenInvalid("old")))
    assert type(master_error(refusal, "the master")) is MasterSlaveTokenInvalid
    assert type(slave_error(refusal, PEER)) is RequestException
