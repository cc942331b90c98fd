"""A message is let go of with its call, however the call ends: not when Python next looks for cycles."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest

from interaction import Master
from interaction.exception import SlaveSlaveConnectionRefused, SlaveTaskRefused
from interaction.rpc.guard import BY_SLAVE, Guard
from interaction.rpc.status import Context, abort
from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as pb
from interaction.v1.task_pb2 import Task, TaskResult
from tests.contract.conftest import CHANNEL as NUMBER
from tests.contract.conftest import Worker
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.thief import token_of
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_token, payload_of
from tests.hostile.bodies import COMMON, MASTER, SLAVE
from tests.hostile.test_before_the_body import Gatekeeper

CALLS, SOON = 5, 3.0


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


def living(kind: type[Message]) -> list[Message]:
    return [one for one in gc.get_objects() if type(one) is kind]


def assert_let_go(kind: type[Message], ask: Callable[[], object]) -> None:
    """However often it is asked, no more is kept of messages than after the first."""
    ask()
    kept = len(living(kind))
    for _ in range(CALLS):
        ask()
    wait_until(lambda: len(living(kind)) <= kept, SOON)


def refuse(context: Context) -> Any:
    return abort(context, SlaveTaskRefused("not this one", {"why": "x"}))


async def refuse_after_another(context: Context) -> None:
    try:
        raise SlaveTaskRefused("not this one")
    except SlaveTaskRefused as refusal:
        await abort(context, refusal)


async def abort_bare(context: Context) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "the journal")


async def fail(context: Context) -> None:
    raise RuntimeError("an accident")


async def fail_by_another(context: Context) -> None:
    try:
        await fail(context)
    except RuntimeError as error:
        raise ValueError("an accident of an accident") from error


async def run_short(context: Context) -> None:
    raise MemoryError


async def be_cancelled(context: Context) -> None:
    await asyncio.Event().wait()


ENDS = [refuse, refuse_after_another, abort_bare, fail, fail_by_another, run_short, be_cancelled]
PATIENCE = {be_cancelled: 0.5}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("method", ["NewTask", "Work"])
def test_a_message_is_gone_with_its_call_whatever_its_handler_raises(method: str, end: Any) -> None:
    kind: Any = {"NewTask": pb.NewTaskRequest, "Work": pb.WorkRequest}[method]
    met: list[str] = []
    message = kind()

    async def one(request: Message, context: Context) -> pb.NewTaskResponse:
        met.append(type(request).__name__)
        await end(context)
        return pb.NewTaskResponse()

    async def many(requests: AsyncIterator[Message], context: Context) -> None:
        async for request in requests:
            met.append(type(request).__name__)
            await end(context)

    handler = (
        grpc.unary_unary_rpc_method_handler(one, kind.FromString, pb.NewTaskResponse.SerializeToString)
        if method == "NewTask"
        else grpc.stream_stream_rpc_method_handler(many, kind.FromString, pb.WorkResponse.SerializeToString)
    )

    def ask(port: int) -> None:
        assert call(port, SLAVE + method, message, new_token(), PATIENCE.get(end, WAIT)) is not grpc.StatusCode.OK

    async def run() -> None:
        server = grpc.aio.server(interceptors=[Guard("interaction.v1.SlaveService", 7, BY_SLAVE, Gatekeeper([]))])
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("interaction.v1.SlaveService", {method: handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            await asyncio.to_thread(assert_let_go, kind, partial(ask, port))
        finally:
            await server.stop(0)

    logging.getLogger("grpc._cython.cygrpc").disabled = True  # it tells of accidents
    try:
        asyncio.run(run())
    finally:
        logging.getLogger("grpc._cython.cygrpc").disabled = False
    assert met == [kind.__name__] * (CALLS + 1)


class Stubborn(Worker):
    """Refuses whatever it may."""

    refuses = False

    def _before_connection(self, data: Any) -> None:
        if self.refuses:
            raise RuntimeError("not you")

    def _before_disconnection(self, data: Any) -> None:
        raise RuntimeError("not now")


@pytest.fixture
def slave() -> Iterator[Stubborn]:
    with Stubborn("127.0.0.1", 0, channel=NUMBER, pacemaker=False) as slave:
        yield slave


@pytest.fixture
def link(slave: Stubborn) -> Iterator[tuple[int, str]]:
    """A master's port, and the token of its session."""
    with Master("127.0.0.1", 0, channel=NUMBER, request_retries=0) as master:
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        yield master.port, token_of(slave)


def call(port: int, path: str, message: Message, token: str, patience: float = WAIT) -> grpc.StatusCode:
    """Send a message, and say how that ends."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        called = channel.stream_stream(path, bytes, bytes)(
            iter([message.SerializeToString()]), metadata=metadata_of(token), timeout=patience
        )
        with suppress(grpc.RpcError):
            list(called)
        return called.code()


NO_TASK = Task(id="nonsense", data=payload_of({"a": 1}))
OF_SLAVE = {
    "NewTask": pb.NewTaskRequest(task=NO_TASK),
    "Work": pb.WorkRequest(tasks=[NO_TASK]),
    "CancelTask": pb.CancelTaskRequest(),
    "Disconnect": pb.DisconnectRequest(),
}


@pytest.mark.parametrize("name", OF_SLAVE)
def test_a_slave_keeps_nothing_of_what_it_refuses(slave: Stubborn, link: tuple[int, str], name: str) -> None:
    def ask() -> None:
        assert call(slave.port, SLAVE + name, OF_SLAVE[name], link[1]) is not grpc.StatusCode.OK

    assert_let_go(type(OF_SLAVE[name]), ask)


def test_a_slave_keeps_nothing_of_a_connect_that_is_refused(slave: Stubborn) -> None:
    message = pb.ConnectRequest(master_address="no address", lease=duration_of(9.0))

    def ask() -> None:
        assert call(slave.port, SLAVE + "Connect", message, new_token()) is grpc.StatusCode.INVALID_ARGUMENT

    assert_let_go(pb.ConnectRequest, ask)


def test_neither_keeps_anything_of_a_connect_whose_refusal_the_slave_remembers(slave: Stubborn) -> None:
    slave.refuses = True
    with Master("127.0.0.1", 0, channel=NUMBER) as master:

        def ask() -> None:
            with pytest.raises(SlaveSlaveConnectionRefused):
                master.new_connection("conn", "127.0.0.1", slave.port).connect()

        assert_let_go(pb.ConnectRequest, ask)


def test_a_master_keeps_nothing_of_a_result_that_it_refuses(link: tuple[int, str]) -> None:
    message = of_master.ReportResultRequest(result=TaskResult(task_id="nonsense"))

    def ask() -> None:
        assert call(link[0], MASTER + "ReportResult", message, link[1]) is grpc.StatusCode.INVALID_ARGUMENT

    assert_let_go(of_master.ReportResultRequest, ask)


@pytest.mark.parametrize("role", ["slave", "master"])
def test_nothing_is_kept_of_a_question_without_a_token(slave: Stubborn, link: tuple[int, str], role: str) -> None:
    question, port = HealthCheckRequest(service="nonsense"), slave.port if role == "slave" else link[0]

    def ask() -> None:
        assert call(port, COMMON[0], question, "") is grpc.StatusCode.NOT_FOUND

    assert_let_go(HealthCheckRequest, ask)
