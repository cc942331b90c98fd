"""A MasterService made of the generated stubs alone: it writes down what a slave says, and answers as a test wants."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from threading import Event
from typing import TYPE_CHECKING, NoReturn

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


@dataclass(frozen=True)
class Failure:
    """How a call is made to fail: without a reason by the transport, with one by the peer's decision."""

    code: grpc.StatusCode
    reason: str = ""
    domain: str = "interaction"


@dataclass(frozen=True)
class Beat:
    """One beat. `leaving` is the reason of one by which the slave leaves."""

    token: str
    sequence: int
    leaving: str | None


@dataclass(frozen=True)
class Report:
    """One call of ReportResult. `seconds_left` is the time to its deadline."""

    result: TaskResult
    token: str
    seconds_left: float


BeatAnswer = Failure | messages.HeartbeatResponse | None  # None: the stream ends with OK
RECORDED = messages.RESULT_ACKNOWLEDGEMENT_RECORDED


class RecordingMaster(services.MasterServiceServicer):
    """Acknowledges everything, but for what `beat_answers` and `report_answers` hold for the next beats and reports."""

    def __init__(self) -> None:
        self.address = ""
        self.streams: Queue[dict[str, str | bytes]] = Queue()  # the metadata of each stream that was opened
        self.ended: Queue[str] = Queue()  # the token of each stream that has ended
        self.beats: Queue[Beat] = Queue()
        self.answered: Queue[str] = Queue()  # the token of each beat that is about to be acknowledged
        self.reports: Queue[Report] = Queue()
        self.obey()

    def obey(self) -> None:
        """Acknowledge everything from now on."""
        self.beat_answers: deque[BeatAnswer] = deque()
        self.report_answers: deque[Failure | int] = deque()
        self.silent = False  # no beat is acknowledged
        self.hanging: set[int] = set()  # the streams, counted from 1, on which no beat but the first is acknowledged
        self.opened = 0  # streams
        self.unavailable = False  # no report is answered
        self.acknowledged: Callable[[int], int] = lambda sequence: sequence

    def answer_second(self, answer: BeatAnswer) -> None:
        """Acknowledge the next beat, by which this proves itself to a slave, and answer the one after it so."""
        self.beat_answers.extend([messages.HeartbeatResponse(), answer])

    def Ping(  # noqa: N802  # gRPC's names, here and below
        self, request: messages.MasterServicePingRequest, context: Context
    ) -> messages.MasterServicePingResponse:
        return messages.MasterServicePingResponse(language="none")

    def Heartbeat(  # noqa: N802
        self, request_iterator: Iterator[messages.HeartbeatRequest], context: Context
    ) -> Iterator[messages.HeartbeatResponse]:
        metadata, gone = dict(context.invocation_metadata()), Event()
        token = str(metadata["token"])
        self.streams.put(metadata)
        self.opened += 1
        number, first = self.opened, True
        context.add_callback(lambda: self.ended.put(token))
        context.add_callback(gone.set)
        for beat in request_iterator:
            leaves = beat.HasField("leaving")
            self.beats.put(Beat(token, beat.sequence, beat.leaving.reason if leaves else None))
            if leaves:
                if self.silent:
                    gone.wait()
                return
            answer = self.beat_answers.popleft() if self.beat_answers else messages.HeartbeatResponse()
            if answer is None:
                return
            if isinstance(answer, Failure):
                fail(context, answer)
            hangs, first = number in self.hanging and not first, False
            if not self.silent and not hangs:
                if not answer.HasField("closing"):
                    answer.sequence = self.acknowledged(beat.sequence)
                    self.answered.put(token)
                yield answer

    def ReportResult(  # noqa: N802
        self, request: messages.ReportResultRequest, context: Context
    ) -> messages.ReportResultResponse:
        token = str(dict(context.invocation_metadata())["token"])
        self.reports.put(Report(request.result, token, context.time_remaining()))
        if self.unavailable:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        answer = self.report_answers.popleft() if self.report_answers else RECORDED
        if isinstance(answer, Failure):
            fail(context, answer)
        return messages.ReportResultResponse(acknowledgement=answer)  # type: ignore[arg-type]  # an enum's number


def fail(context: grpc.ServicerContext, failure: Failure) -> NoReturn:
    """End the call with a status, and with an ErrorInfo where the failure has a reason."""
    if failure.reason:
        status = Status(code=failure.code.value[0], message=failure.reason)
        detail = Any()
        detail.Pack(ErrorInfo(domain=failure.domain, reason=failure.reason))
        status.details.append(detail)
        context.abort_with_status(rpc_status.to_status(status))
    context.abort(failure.code, "a failure of the transport")
    raise AssertionError("abort returned")


@contextmanager
def recording_master(*interceptors: grpc.ServerInterceptor) -> Iterator[RecordingMaster]:
    """Serve a RecordingMaster on a free port."""
    master = RecordingMaster()
    with ThreadPoolExecutor(16) as threads:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        server = grpc.server(threads, options=options, interceptors=list(interceptors))
        services.add_MasterServiceServicer_to_server(master, server)
        master.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield master
        finally:
            server.stop(grace=None).wait()
