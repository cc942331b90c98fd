"""A slave that was taken over: it has a session like any other, and does its master all the harm that it can.

python -m tests.hostile.evil_slave ROLE LOG, both of which it passes over

Prints its port. From its first session on it goes on until it is killed; a line `turns` on standard input is answered
by how often it has done each of its misdeeds.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, takewhile
from threading import Condition, Thread
from typing import Any

import grpc

from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_FAILED, TaskError, TaskResult
from tests.contract.wire import NO_PROXY, metadata_of, new_id, new_token

MIB = 1 << 20
PATIENCE = 5.0  # seconds that a misdeed waits for an answer
SERVICE = "/interaction.v1.MasterService"
OPTIONS = [*NO_PROXY, ("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
NASTY = "\x1b[2J\r\n2026-01-01 00:00:00 CRITICAL interaction.master: all slaves are lost\u202e" * 13_000  # 1 MiB
HUGE = Payload(json="[" + "1," * (30 * MIB) + "1]").SerializeToString()
BOMB = Payload(json='{"x":[' + '{"$bytes":0},' * 75_000 + "0]}", buffers=[b"\0" * 32_768]).SerializeToString()
DEEP = Payload(json="[" * 100_000).SerializeToString()
BLANK = Payload(json=" " * 50 * MIB).SerializeToString()


def part(number: int, content: bytes) -> bytes:
    """One field of a message, written by hand: protobuf would copy it three times, and it has to be evil fast."""
    size, length = b"", len(content)
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return b"".join([bytes([number << 3 | 2]), size, bytes([length]), content])


def result_of(task_id: str, result: bytes = b"", error: TaskError | None = None) -> bytes:
    status = TASK_RESULT_STATUS_COMPLETED if error is None else TASK_RESULT_STATUS_FAILED
    return TaskResult(task_id=task_id, status=status, error=error).SerializeToString() + part(3, result)


def report(task_id: str, result: bytes = b"", error: TaskError | None = None) -> bytes:
    return part(1, result_of(task_id, result, error))


def outcome(task_id: str, result: bytes = b"", error: TaskError | None = None) -> bytes:
    return part(1, part(1, task_id.encode()) + part(4, result_of(task_id, result, error)))


class Evil(grpc.GenericRpcHandler):
    """Its service, and what it knows."""

    def __init__(self) -> None:
        self.tasks: deque[str] = deque(maxlen=1000)  # that it was given, and may answer
        self.turns: Counter[str] = Counter()
        self._session: tuple[str, str] | None = None
        self._connected = Condition()

    def session(self) -> tuple[str, str]:
        """Address and token of the newest one; waits for the first."""
        with self._connected:
            self._connected.wait_for(lambda: self._session is not None)
            assert self._session is not None, "waited for"
            return self._session

    def task(self) -> str:
        """The id of one that it has, if it has any."""
        return self.tasks.popleft() if self.tasks else new_id()

    # What its master calls.

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = call.method.rpartition("/")[2]
        if method == "Work":
            return grpc.stream_stream_rpc_method_handler(self._work)
        answer: Callable[[bytes, grpc.ServicerContext], bytes] | None = getattr(self, f"_{method.lower()}", None)
        return None if answer is None else grpc.unary_unary_rpc_method_handler(answer)

    def _ping(self, _: bytes, __: grpc.ServicerContext) -> bytes:
        return of_slave.SlaveServicePingResponse(incarnation="e" * 32).SerializeToString()

    def _connect(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        token = str(dict(context.invocation_metadata())["token"])
        with self._connected:
            self._session = of_slave.ConnectRequest.FromString(content).master_address, token
            self._connected.notify_all()
        return of_slave.ConnectResponse(
            incarnation="e" * 32, slots=100, backlog=1000, features=["work"], labels={"x\r\n": NASTY[:200]}
        ).SerializeToString()

    def _newtask(self, content: bytes, _: grpc.ServicerContext) -> bytes:
        self.tasks.append(of_slave.NewTaskRequest.FromString(content).task.id)
        return of_slave.NewTaskResponse().SerializeToString()

    def _work(self, requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        def read() -> None:
            try:
                for content in requests:
                    self.tasks.extend(task.id for task in of_slave.WorkRequest.FromString(content).tasks)
            except Exception:  # noqa: BLE001 - gRPC's, which is of no class: the stream broke
                pass

        Thread(target=read, daemon=True).start()
        for number in count():
            self.turns["outcomes"] += 1
            yield OUTCOMES[number % len(OUTCOMES)](self)
            time.sleep(0.05)

    # What it calls.

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.session()[0], OPTIONS)


def outcomes_of(*outcomes: of_slave.WorkOutcome) -> bytes:
    content: bytes = of_slave.WorkResponse(outcomes=outcomes).SerializeToString()
    return content


UNKNOWN = [of_slave.WorkOutcome(task_id=new_id(), accepted=of_slave.WorkAccepted()) for _ in range(5_000)]
OUTCOMES: list[Callable[[Evil], bytes]] = [
    lambda _: outcomes_of(*UNKNOWN),
    lambda evil: outcome(evil.task(), BOMB),
    lambda evil: outcome(evil.task(), error=TaskError(type=NASTY, message=NASTY)),
    lambda evil: outcomes_of(
        of_slave.WorkOutcome(task_id=evil.task(), refused=of_slave.WorkRefused(reason="TASK_REFUSED", message=NASTY))
    ),
    lambda evil: outcome(evil.task(), DEEP),
    lambda evil: outcomes_of(of_slave.WorkOutcome(task_id=evil.task())),
    lambda evil: outcome(evil.task(), HUGE),
    lambda _: outcomes_of(of_slave.WorkOutcome(task_id=NASTY)),
    lambda _: b"\xff\xff\xff",
]


def report_all(evil: Evil, *contents: bytes, token: str = "", zipped: bool = False) -> None:
    """Report all of that at once."""
    with evil.channel() as channel:
        call: Any = channel.unary_unary(f"{SERVICE}/ReportResult")
        compression = grpc.Compression.Gzip if zipped else None
        metadata = metadata_of(token or evil.session()[1])
        calls = [call.future(one, PATIENCE, metadata, compression=compression) for one in contents]
        for one in calls:
            one.exception()


def beats(sequence: Iterator[int], pause: float = 0.0) -> Iterator[bytes]:
    for number in sequence:
        yield of_master.HeartbeatRequest(sequence=number).SerializeToString()
        time.sleep(pause)


def heartbeat(evil: Evil, channel: grpc.Channel, said: Iterator[bytes], patience: float | None = 2.0) -> Any:
    stub: Any = channel.stream_stream(f"{SERVICE}/Heartbeat")
    return stub(said, metadata=metadata_of(evil.session()[1]), timeout=patience)


def is_there(evil: Evil) -> None:
    """Beat as it should: it wants to stay."""
    with evil.channel() as channel:
        token = evil.session()[1]
        own = takewhile(lambda _: evil.session()[1] == token, count(int(time.time() * 1000)))
        for _ in heartbeat(evil, channel, beats(own, 1.0), None):
            pass


def beat_without_end(evil: Evil) -> None:
    with evil.channel() as channel:
        heartbeat(evil, channel, beats(iter(range(20_000)))).code()  # it reads nothing


def open_streams(evil: Evil) -> None:
    with evil.channel() as channel:
        for call in [heartbeat(evil, channel, beats(iter(range(3)), 0.1)) for _ in range(50)]:
            call.code()


def leave(evil: Evil) -> None:
    time.sleep(5.0)
    with evil.channel() as channel:
        leaving = of_master.HeartbeatRequest(sequence=9, leaving=of_master.HeartbeatLeaving(reason=NASTY))
        heartbeat(evil, channel, iter([leaving.SerializeToString()])).code()


def stand_in_doors(evil: Evil) -> None:
    host, _, port = evil.session()[0].rpartition(":")
    doors = []
    try:
        for _ in range(200):
            doors.append(socket.create_connection((host, int(port)), 1.0))
            doors[-1].sendall(b"PRI * HTTP/2.0\r\n")
        time.sleep(1.0)
    finally:
        for door in doors:
            door.close()


MISDEEDS: dict[str, Callable[[Evil], None]] = {
    "beats": is_there,
    "huge results for nobody": lambda evil: report_all(evil, *(report(new_id(), HUGE) for _ in range(3))),
    "huge results": lambda evil: report_all(evil, report(evil.task(), HUGE)),
    "huge results by a bad token": lambda evil: report_all(evil, report(new_id(), HUGE), token=new_token()),
    "bombs": lambda evil: report_all(evil, report(evil.task(), BOMB), report(new_id(), BOMB)),
    "texts": lambda evil: report_all(evil, report(evil.task(), error=TaskError(message=NASTY, traceback=NASTY))),
    "zipped": lambda evil: report_all(evil, report(new_id(), BLANK), zipped=True),
    "garbage": lambda evil: report_all(evil, *([b"\xff\xff\xff"] * 20)),
    "beats without end": beat_without_end,
    "streams": open_streams,
    "leaving": leave,
    "doors": stand_in_doors,
}


def go_on(evil: Evil, name: str) -> None:
    """Do it again and again."""
    while True:
        try:
            MISDEEDS[name](evil)
        except (grpc.RpcError, OSError, ValueError):
            time.sleep(0.1)
        evil.turns[name] += 1


def main() -> None:
    evil = Evil()
    server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0), *OPTIONS])
    server.add_generic_rpc_handlers((evil,))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    for name in MISDEEDS:
        Thread(target=go_on, args=[evil, name], daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(evil.turns), flush=True)


if __name__ == "__main__":
    main()
