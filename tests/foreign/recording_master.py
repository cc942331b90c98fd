"""A MasterService made of the generated stubs alone: it writes down what a slave says, and answers as a test wants."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue
from typing import TYPE_CHECKING

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from interaction.v1 import master_service_pb2 as messages
from interaction.v1 import master_service_pb2_grpc as services
from interaction.v1.task_pb2 import TaskResult

if TYPE_CHECKING:
    from interaction.v1.master_service_pb2_grpc import _ServicerContext as Context

# How a call is made to fail: a bare status is a failure of the transport, one with a reason is the master's.
Failure = tuple[grpc.StatusCode, str]

RECORDED = messages.RESULT_ACKNOWLEDGEMENT_RECORDED


class RecordingMaster(services.MasterServiceServicer):
    """Acknowledges everything, except what `failures` and `beat_answers` say about the next calls and beats."""

    def __init__(self) -> None:
        self.address = ""
        self.streams: Queue[dict[str, str | bytes]] = Queue()
        self.beats: Queue[messages.HeartbeatRequest] = Queue()
        self.results: Queue[TaskResult] = Queue()
        self.failures: deque[Failure] = deque()
        self.beat_answers: deque[Failure | messages.HeartbeatResponse | None] = deque()
        self.silent = False

    def Ping(  # noqa: N802  # gRPC's names, here and below
        self, request: messages.MasterServicePingRequest, context: Context
    ) -> messages.MasterServicePingResponse:
        return messages.MasterServicePingResponse(language="none")

    def Heartbeat(  # noqa: N802
        self, request_iterator: Iterator[messages.HeartbeatRequest], context: Context
    ) -> Iterator[messages.HeartbeatResponse]:
        self.streams.put(dict(context.invocation_metadata()))
        for beat in request_iterator:
            self.beats.put(beat)
            if beat.HasField("leaving"):
                return
            answer = self.beat_answers.popleft() if self.beat_answers else messages.HeartbeatResponse()
            if answer is None:
                return
            if isinstance(answer, tuple):
                fail(context, answer)
            elif not self.silent:
                answer.sequence = beat.sequence
                yield answer

    def ReportResult(  # noqa: N802
        self, request: messages.ReportResultRequest, context: Context
    ) -> messages.ReportResultResponse:
        self.results.put(request.result)
        if self.failures:
            fail(context, self.failures.popleft())
        return messages.ReportResultResponse(acknowledgement=RECORDED)


def fail(context: Context, failure: Failure) -> None:
    """End the call with a status, and with an ErrorInfo where the failure has a reason."""
    code, reason = failure
    if not reason:
        context.abort(code, "a failure of the transport")
    status = Status(code=code.value[0], message=reason)
    detail = Any()
    detail.Pack(ErrorInfo(domain="interaction", reason=reason))
    status.details.append(detail)
    context.abort_with_status(rpc_status.to_status(status))


@contextmanager
def recording_master() -> Iterator[RecordingMaster]:
    """Serve a RecordingMaster on a free port."""
    master = RecordingMaster()
    with ThreadPoolExecutor() as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        services.add_MasterServiceServicer_to_server(master, server)
        master.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield master
        finally:
            server.stop(grace=None).wait()
