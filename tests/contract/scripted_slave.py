"""A SlaveService made of the generated stubs alone: it does what a test says, and no more; the test sends its beats."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

import grpc

from interaction import SlaveConnectionProxy, TaskStatus
from interaction import Task as OwnedTask
from interaction.exception import LossReason, TaskLost
from interaction.v1 import master_service_pb2 as master_messages
from interaction.v1 import master_service_pb2_grpc as master_services
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, Task, TaskResult
from tests.contract.recording_master import Failure, fail
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, Metadata, metadata_of

if TYPE_CHECKING:
    from interaction.v1.slave_service_pb2_grpc import _ServicerContext as Context

INCARNATION = "a" * 32


class Beats:
    """One heartbeat stream, beat by beat."""

    def __init__(self, stub: master_services.MasterServiceStub, metadata: Metadata) -> None:
        self._requests: Queue[master_messages.HeartbeatRequest | None] = Queue()
        self.call = stub.Heartbeat(iter(self._requests.get, None), metadata=metadata, timeout=WAIT)

    def send(self, sequence: int) -> None:
        """Beat."""
        self._requests.put(master_messages.HeartbeatRequest(sequence=sequence))

    def beat(self, sequence: int) -> int:
        """Beat, and return what the master acknowledges."""
        self.send(sequence)
        return next(self.call).sequence

    def leave(self, reason: str, drained: bool = False) -> None:
        """Say that the slave leaves."""
        leaving = master_messages.HeartbeatLeaving(reason=reason, drained=drained)
        self._requests.put(master_messages.HeartbeatRequest(sequence=99, leaving=leaving))

    def exited(self, *begun: str, incarnation: str = "", known: bool = True) -> None:
        """Say, as its witness does, that the slave has ended, and what had begun."""
        exited = master_messages.HeartbeatExited(incarnation=incarnation or INCARNATION, begun_known=known, begun=begun)
        self._requests.put(master_messages.HeartbeatRequest(sequence=99, exited=exited))

    def end(self) -> None:
        """End the stream without a word."""
        self._requests.put(None)


class WorkStream:
    """One stream of the fast road: what the master has said on it, and what the test says."""

    def __init__(self, context: Context) -> None:
        self.metadata = _own(context)
        self.requests: Queue[messages.WorkRequest | None] = Queue()  # None: the master has closed its side, or it broke
        self.answers: Queue[messages.WorkResponse | Failure | None] = Queue()  # None: the stream ends with OK
        self._over = False
        self._tasks: deque[Task] = deque()
        self._acknowledged: deque[str] = deque()
        context.add_callback(lambda: self.answers.put(None))

    def read(self, requests: Iterator[messages.WorkRequest], arrivals: Queue[Arrival]) -> None:
        """Until the master says no more."""
        try:
            for request in requests:
                if self._over:  # the master has not heard of that yet, and will hand these tasks over by calls
                    return
                self.requests.put(request)
                for task in request.tasks:
                    arrivals.put((task.id, self))
        except Exception:  # noqa: BLE001 - gRPC's, which is of no class: the stream broke
            pass
        finally:
            self.requests.put(None)

    def _next(self) -> None:
        request = self.requests.get(timeout=WAIT)
        assert request is not None, "the master says no more"
        self._tasks.extend(request.tasks)
        self._acknowledged.extend(request.acknowledged)

    def task(self) -> str:
        """The id of the next task."""
        while not self._tasks:
            self._next()
        return self._tasks.popleft().id

    def acknowledged(self) -> str:
        """The next id that the master acknowledges."""
        while not self._acknowledged:
            self._next()
        return self._acknowledged.popleft()

    def closed(self) -> None:
        """Wait until the master says no more."""
        while self.requests.get(timeout=WAIT) is not None:
            pass

    def say(self, *outcomes: messages.WorkOutcome) -> None:
        """Say all of that in one message."""
        self.answers.put(messages.WorkResponse(outcomes=outcomes))

    def accept(self, task_id: str, json: str = "") -> None:
        """Say that a task is accepted, with that for its owner."""
        data = Payload(json=json) if json else None
        self.say(messages.WorkOutcome(task_id=task_id, accepted=messages.WorkAccepted(data=data)))

    def refuse(self, task_id: str, reason: str, json: str = "", message: str = "no") -> None:
        data = Payload(json=json) if json else None
        refused = messages.WorkRefused(reason=reason, message=message, data=data)
        self.say(messages.WorkOutcome(task_id=task_id, refused=refused))

    def complete(self, task_id: str, json: str = "{}") -> None:
        """Say that a task has ended."""
        self.say(ended(completed(task_id, json)))

    def end(self, failure: Failure | None = None) -> None:
        """End the stream: nothing is read on it from now on."""
        self._over = True
        self.answers.put(failure)


Arrival = tuple[str, "WorkStream | None"]  # a task's id, and the stream by which it came, or None: by a call


def ended(result: TaskResult) -> messages.WorkOutcome:
    return messages.WorkOutcome(task_id=result.task_id, result=result)


class ScriptedSlave(services.SlaveServiceServicer):
    """Accepts everything, but for what `task_answers` and `connect_answers` hold for the next calls."""

    def __init__(self) -> None:
        self.port = 0
        self.incarnation = INCARNATION
        self.pings: Queue[str] = Queue()
        self.connects: Queue[tuple[bytes, Metadata]] = Queue()
        self.tasks: Queue[tuple[bytes, Metadata]] = Queue()
        self.disconnects: Queue[Metadata] = Queue()
        self.connect_answers: deque[Failure | messages.ConnectResponse] = deque()
        self.task_answers: deque[Failure] = deque()
        self.features: list[str] = []
        self.works: Queue[WorkStream] = Queue()  # streams of the fast road, as they are opened
        self.work_answers: deque[Failure] = deque()
        self.arrivals: Queue[Arrival] = Queue()
        self.before_task_answer: deque[TaskResult] = deque()  # results that overtake the answers
        self.acknowledgements: Queue[int] = Queue()
        self.before_connect_answer: Callable[[], object] = lambda: None
        self.token = ""
        self.master: master_services.MasterServiceStub | None = None
        self._open = ExitStack()

    def Ping(  # noqa: N802  # gRPC's names, here and below
        self, request: messages.SlaveServicePingRequest, context: Context
    ) -> messages.SlaveServicePingResponse:
        self.pings.put("ping")
        return messages.SlaveServicePingResponse(incarnation=self.incarnation)

    def Connect(self, request: messages.ConnectRequest, context: Context) -> messages.ConnectResponse:  # noqa: N802
        self.connects.put((request.SerializeToString(), _own(context)))
        self.token = str(dict(_own(context))["token"])
        self.master = self.stub_of(request.master_address)
        answer = self.connect_answers.popleft() if self.connect_answers else messages.ConnectResponse()
        if isinstance(answer, Failure):
            fail(context, answer)
        self.before_connect_answer()
        answer.incarnation = answer.incarnation or self.incarnation
        answer.features.extend(self.features)
        return answer

    def Disconnect(  # noqa: N802
        self, request: messages.DisconnectRequest, context: Context
    ) -> messages.DisconnectResponse:
        self.disconnects.put(_own(context))
        return messages.DisconnectResponse()

    def NewTask(self, request: messages.NewTaskRequest, context: Context) -> messages.NewTaskResponse:  # noqa: N802
        self.tasks.put((request.SerializeToString(), _own(context)))
        self.arrivals.put((request.task.id, None))
        if self.task_answers:
            fail(context, self.task_answers.popleft())
        if self.before_task_answer:
            result = self.before_task_answer.popleft()
            result.task_id = request.task.id
            self.acknowledgements.put(self.report(result))
        return messages.NewTaskResponse()

    def Work(  # noqa: N802
        self, request_iterator: Iterator[messages.WorkRequest], context: Context
    ) -> Iterator[messages.WorkResponse]:
        if "work" not in self.features:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "it is not among the features")
        work = WorkStream(context)
        self.works.put(work)
        if self.work_answers:
            fail(context, self.work_answers.popleft())
        Thread(target=work.read, args=[request_iterator, self.arrivals], daemon=True).start()
        while (answer := work.answers.get()) is not None:
            if isinstance(answer, Failure):
                fail(context, answer)
            yield answer

    def CancelTask(  # noqa: N802
        self, request: messages.CancelTaskRequest, context: Context
    ) -> messages.CancelTaskResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "it is not among the features")

    # What a slave says.

    def stub_of(self, address: str) -> master_services.MasterServiceStub:
        """A stub that lives as long as the slave does."""
        channel = self._open.enter_context(grpc.insecure_channel(address, NO_PROXY))
        return master_services.MasterServiceStub(channel)

    def heartbeat(self) -> Beats:
        """Open a heartbeat stream of the newest session."""
        assert self.master is not None, "connected"
        return Beats(self.master, metadata_of(self.token))

    def report(self, result: TaskResult) -> int:
        """Report a result; returns the acknowledgement."""
        assert self.master is not None, "connected"
        request = master_messages.ReportResultRequest(result=result)
        return self.master.ReportResult(request, metadata=metadata_of(self.token), timeout=WAIT).acknowledgement

    def work(self) -> WorkStream:
        """The next stream of the fast road that is opened."""
        return self.works.get(timeout=WAIT)

    def accepted_task(self) -> str:
        """The id of the next task that was handed over."""
        return messages.NewTaskRequest.FromString(self.tasks.get(timeout=WAIT)[0]).task.id

    def close(self) -> None:
        self._open.close()


def completed(task_id: str = "", json: str = "{}") -> TaskResult:
    return TaskResult(task_id=task_id, status=TASK_RESULT_STATUS_COMPLETED, result=Payload(json=json))


def _own(context: Context) -> Metadata:
    """The metadata of the contract."""
    mine = [(key, value) for key, value in context.invocation_metadata() if key in ("channel", "token")]
    return tuple(sorted(mine))  # type: ignore[arg-type]


@contextmanager
def scripted_slave(*interceptors: grpc.ServerInterceptor) -> Iterator[ScriptedSlave]:
    """Serve a ScriptedSlave on a free port. At the end it is gone at once, with all its streams."""
    slave = ScriptedSlave()
    with ThreadPoolExecutor(16) as threads:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        server = grpc.server(threads, options=options, interceptors=list(interceptors))
        services.add_SlaveServiceServicer_to_server(slave, server)
        slave.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield slave
        finally:
            slave.close()
            server.stop(grace=None).wait()


def started(connection: SlaveConnectionProxy) -> OwnedTask:
    task = connection.new_task({"a": 1})
    task.start()
    return task


def assert_lost(task: OwnedTask, reason: LossReason) -> None:
    task.join(WAIT)
    assert task.status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is reason
