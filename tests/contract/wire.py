"""What tests of the bare contract share: tokens, metadata, payloads, refusals, and a caller of SlaveService."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from queue import Empty
from threading import Event
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Value
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task
from tests.contract.recording_master import RecordingMaster, Report
from tests.contract.slave_programs import CHANNEL, WAIT

Metadata = tuple[tuple[str, str], ...]
Refusal = tuple[grpc.StatusCode, str]  # the status and the reason

ILLEGAL, FORBIDDEN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
NOBODY, NO_STATE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION
FULL, GONE = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE

REQUEST_INVALID = (ILLEGAL, "REQUEST_INVALID")
TOKEN_INVALID = (FORBIDDEN, "MASTER_TOKEN_INVALID")
ALREADY_CONNECTED = (NO_STATE, "SLAVE_ALREADY_CONNECTED")
CONNECTION_REFUSED = (FORBIDDEN, "SLAVE_CONNECTION_REFUSED")
NOT_CONNECTED = (NO_STATE, "SLAVE_NOT_CONNECTED")
TASK_ALREADY_EXIST = (FULL, "TASK_ALREADY_EXIST")
TASK_DATA_INVALID = (ILLEGAL, "TASK_DATA_INVALID")

SUM = {"a": 1, "b": 2}  # a task whose result is {"sum": 3}

CHANNEL_GIVEN = ("channel", str(CHANNEL))
NO_PROXY = [("grpc.enable_http_proxy", 0)]


def new_token() -> str:
    return secrets.token_urlsafe(32)


def new_id() -> str:
    return str(uuid4())


def metadata_of(token: str, *previous: str) -> Metadata:
    """The metadata of a call; with the tokens of a session to resume, Connect's."""
    return (CHANNEL_GIVEN, ("token", token), *(("previous-token", one) for one in previous))


def payload_of(data: Payload | dict[str, Any] | None) -> Payload | None:
    return Payload(json=json.dumps(data)) if isinstance(data, dict) else data


def value_of(data: dict[str, Any]) -> Payload:
    """The other form of a payload."""
    payload = Payload()
    payload.value.struct_value.update(data)
    return payload


NO_MAPPINGS = [
    *(
        pytest.param(Payload(json=text), id=f"json {text[:20]}")
        for text in (
            "",
            "{",
            "nonsense",
            '{"a": 1} 2',
            "{'a': 1}",
            '{"a": 1,}',
            '{"a": NaN}',  # strict JSON, that is
            '{"a": -Infinity}',
            "[" * 100_000,
            '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
            "[1]",
            '"text"',
            "null",
            '{"a": {"$bytes": 3}}',
        )
    ),
    pytest.param(Payload(value=Value(list_value=ListValue(values=[Value(number_value=1)]))), id="value [1]"),
]


def duration_of(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration


def refusal_of(error: grpc.RpcError) -> Refusal:
    """The status and the reason of a failed call; the reason is empty for a failure of the transport."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    if status is None:
        return error.code(), ""
    assert (status.code, status.message) == (error.code().value[0], error.details())
    infos = [ErrorInfo.FromString(detail.value) for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR)]
    (info,) = infos
    assert info.domain == "interaction"
    assert status.message, "a refusal says why"
    return error.code(), info.reason


def failed(call: Callable[..., Any], *arguments: Any, **options: Any) -> grpc.RpcError:
    """Make a call that is to fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> Refusal:
    """Make a call that is to be refused."""
    return refusal_of(failed(call, *arguments, **options))


class Caller:
    """Calls a slave as its master does, with the token of its newest session."""

    def __init__(self, channel: grpc.Channel, master: RecordingMaster) -> None:
        self.channel = channel
        self.stub = services.SlaveServiceStub(channel)
        self.master = master
        self.token = new_token()

    def connect(
        self,
        *previous: str,
        token: str = "",
        address: str | None = None,
        lease: float | Duration = 10.0,
        data: Payload | dict[str, Any] | None = None,
        max_message_bytes: int = 0,
    ) -> messages.ConnectResponse:
        """Open a session with a new token, or resume the `previous`. The token of the last one is the caller's."""
        token = token or new_token()
        request = messages.ConnectRequest(
            master_address=self.master.address if address is None else address,
            lease=lease if isinstance(lease, Duration) else duration_of(lease),
            data=payload_of(data),
            max_message_bytes=max_message_bytes,
        )
        answer = self.stub.Connect(request, metadata=metadata_of(token, *previous), timeout=WAIT)
        self.token = token
        return answer

    def disconnect(
        self, *, token: str = "", data: Payload | dict[str, Any] | None = None
    ) -> messages.DisconnectResponse:
        request = messages.DisconnectRequest(data=payload_of(data))
        return self.stub.Disconnect(request, metadata=metadata_of(token or self.token), timeout=WAIT)

    def new_task(
        self,
        data: Payload | dict[str, Any] | None,
        task_id: str | None = None,
        *,
        token: str = "",
        incarnation: str = "",
    ) -> str:
        """Hand over a task. Returns its id."""
        task = Task(id=new_id() if task_id is None else task_id, data=payload_of(data))
        request = messages.NewTaskRequest(task=task, incarnation=incarnation)
        self.stub.NewTask(request, metadata=metadata_of(token or self.token), timeout=WAIT)
        return task.id

    def ping(self) -> messages.SlaveServicePingResponse:
        return self.stub.Ping(messages.SlaveServicePingRequest(), timeout=WAIT)

    # What the master has heard.

    def report(self) -> Report:
        """The next report of a result."""
        return self.master.reports.get(timeout=WAIT)

    def value(self) -> Any:
        """What the next result gives."""
        return json.loads(self.report().result.result.json)

    def until_over(self) -> None:
        """Wait until the slave says that it has no session; while it has one it says that this is no task."""
        over_at = time.monotonic() + WAIT
        metadata = metadata_of(self.token)
        while refused(self.stub.NewTask, messages.NewTaskRequest(), metadata=metadata, timeout=WAIT) != NOT_CONNECTED:
            assert time.monotonic() < over_at, "the session does not end"
            Event().wait(0.01)

    def beat(self) -> int:
        """The sequence of the next beat of the newest session."""
        while (beat := self.master.beats.get(timeout=WAIT)).token != self.token:
            pass
        return beat.sequence

    def falls_silent(self) -> None:
        """Its master acknowledges nothing any more, once it has proved itself."""
        while self.master.answered.get(timeout=WAIT) != self.token:
            pass
        self.master.silent = True

    def stream(self) -> str:
        """The token of the next stream that was opened."""
        return str(self.master.streams.get(timeout=WAIT)["token"])

    def leaves_it_free(self) -> bool:
        """End the session, and say whether the slave is as good as new."""
        self.master.obey()
        try:
            refusal = refused_or_done(self.disconnect)
            if refusal not in (None, NOT_CONNECTED, TOKEN_INVALID):
                return False
            self.connect()
            last = self.new_task({"a": 0, "b": 0})
            while self.report().result.task_id != last:
                pass
            self.disconnect()
        except (grpc.RpcError, Empty):
            return False
        return True


def refused_or_done(call: Callable[[], Any]) -> Refusal | None:
    """Make a call that may be refused."""
    try:
        call()
    except grpc.RpcError as error:
        return refusal_of(error)
    return None
