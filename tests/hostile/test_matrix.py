"""Every call, with every kind of bad channel and bad token: refused as the contract says, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, TypeAlias

import grpc
import pytest

from interaction import Master, Slave, SlaveConnectionProxy
from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload
from tests.contract.scripted_slave import completed
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, duration_of, new_id, new_token, refusal_of
from tests.hostile.http2 import END_STREAM, HEADERS, RST_STREAM, Connection, message

Metadata = tuple[tuple[str, str | bytes], ...]
Call: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"  # generic for the type checker alone
GIVEN = ("channel", str(CHANNEL))
SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"
OF_SLAVE = ("Connect", "Disconnect", "NewTask", "Work", "CancelTask")
PATHS = [*(SLAVE + method for method in OF_SLAVE), MASTER + "Heartbeat", MASTER + "ReportResult"]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.rpartition("/")[2])

# Good in all but the metadata: were they let through, they would change something.
REQUESTS = {
    "Connect": slave_service_pb2.ConnectRequest(master_address="127.0.0.1:1", lease=duration_of(10)),
    "Disconnect": slave_service_pb2.DisconnectRequest(),
    "NewTask": slave_service_pb2.NewTaskRequest(task=task_pb2.Task(id=new_id(), data=Payload(json='{"stolen": 1}'))),
    "Work": slave_service_pb2.WorkRequest(tasks=[task_pb2.Task(id=new_id(), data=Payload(json='{"stolen": 2}'))]),
    "CancelTask": slave_service_pb2.CancelTaskRequest(task_id=new_id()),
    "Heartbeat": master_service_pb2.HeartbeatRequest(
        sequence=1, leaving=master_service_pb2.HeartbeatLeaving(reason="stolen")
    ),
    "ReportResult": master_service_pb2.ReportResultRequest(result=completed(new_id())),
}

NO_CHANNEL: list[Metadata] = [(), (("channel-bin", b"7"),), (("channel-x", "7"),)]
BAD_CHANNELS: list[str] = [
    *("", " ", "8", "-7", "+7", "7.0", "7e0", "0x7", "seven", "7, 7", "7,8", "7 7"),
    *("9223372036854775808", "18446744073709551623", "9" * 7_000),
]
BAD_TOKENS: list[str] = ["", "short", "t" * 31, "t" * 129, "t" * 7_000, "t" * 40 + "!", "t" * 40 + " t", "t" * 40 + "="]


class Everything(Slave):
    """Writes down whatever reaches its user."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, channel=CHANNEL)
        self.heard: list[object] = []

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self.heard.append("connection")

    def _before_disconnection(self, data: Mapping[str, Any]) -> None:
        self.heard.append("disconnection")

    def _before_task(self, data: Mapping[str, Any]) -> None:
        self.heard.append(data)

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        self.heard.append(error)

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        return task


class Both:
    """A master and its slave; and a second pair, whose token is good, but elsewhere."""

    def __init__(self, stack: ExitStack) -> None:
        self.slave, other = (stack.enter_context(Everything()) for _ in range(2))
        self.master, stranger = (stack.enter_context(Master("127.0.0.1", 0, channel=CHANNEL)) for _ in range(2))
        self.connection = self.master.new_connection("one", "127.0.0.1", self.slave.port)
        self.connection.connect()
        self.old = token_of(self.connection)
        self.connection.disconnect()
        self.connection.connect()
        elsewhere = stranger.new_connection("other", "127.0.0.1", other.port)
        elsewhere.connect()
        self.others = token_of(elsewhere)
        self.slave.heard.clear()
        channels = {
            SLAVE: stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{self.slave.port}", NO_PROXY)),
            MASTER: stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{self.master.port}", NO_PROXY)),
        }
        self.calls: dict[str, Call] = {
            path: channels[path.rpartition("/")[0] + "/"].stream_stream(path, bytes, bytes) for path in PATHS
        }

    def refused(self, path: str, metadata: Metadata) -> tuple[grpc.StatusCode, str]:
        """Make the call, on the wire as any other, and return what it was refused with."""
        content = REQUESTS[path.rpartition("/")[2]].SerializeToString()
        call = self.calls[path](iter([content]), metadata=metadata, timeout=WAIT)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert isinstance(caught.value, grpc.Call)
        assert len(caught.value.details() or "") < 200, "nothing of what was sent is sent back"
        return refusal_of(caught.value)

    def assert_unchanged(self) -> None:
        """No hook was called, and the session goes on."""
        assert self.slave.heard == []
        assert self.connection.is_connected
        task = self.connection.new_task({"mine": 1})
        assert task.start().join(WAIT).result == {"mine": 1}
        assert self.slave.heard == [{"mine": 1}]
        self.slave.heard.clear()


def token_of(connection: SlaveConnectionProxy) -> str:
    assert connection._link is not None
    return connection._link.token


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack)


def refusals(path: str) -> Callable[[str], tuple[grpc.StatusCode, str]]:
    """What each side refuses with."""
    by_slave = path.startswith(SLAVE)
    known = {
        "no channel": (grpc.StatusCode.INVALID_ARGUMENT, "CHANNEL_NOT_FOUND" if by_slave else "CHANNEL_NOT_GIVEN"),
        "channel": (grpc.StatusCode.PERMISSION_DENIED, "CHANNEL_INVALID"),
        "no token": (
            grpc.StatusCode.UNAUTHENTICATED,
            "MASTER_TOKEN_NOT_FOUND" if by_slave else "SLAVE_TOKEN_NOT_GIVEN",
        ),
        "token": (grpc.StatusCode.PERMISSION_DENIED, "MASTER_TOKEN_INVALID" if by_slave else "SLAVE_TOKEN_INVALID"),
    }
    return known.__getitem__


@each_path
def test_a_call_without_the_channel_is_refused(both: Both, path: str) -> None:
    expected, good = refusals(path), ("token", token_of(both.connection))
    for missing in NO_CHANNEL:
        assert both.refused(path, (*missing, good)) == expected("no channel")
    for text in BAD_CHANNELS:
        assert both.refused(path, (("channel", text), good)) == expected("channel"), text
    for repeated in ((GIVEN, GIVEN), (GIVEN, ("channel", "8")), (("channel", "8"), GIVEN), (GIVEN,) * 30):
        assert both.refused(path, (*repeated, good)) == expected("channel")
    assert both.refused(path, (("channel", "8"),)) == expected("channel")  # before the token
    assert both.refused(path, (("channel", "8"), ("token", "short"))) == expected("channel")
    both.assert_unchanged()


@each_path
def test_a_call_without_a_token_in_good_form_is_refused(both: Both, path: str) -> None:
    expected, token = refusals(path), token_of(both.connection)
    for missing in ((), (("token-bin", token.encode()),), (("previous-token", token),)):
        assert both.refused(path, (GIVEN, *missing)) == expected("no token")
    for text in BAD_TOKENS:
        assert both.refused(path, (GIVEN, ("token", text))) == expected("token"), text
    for second in (token, new_token(), "", "short"):
        for repeated in ((token, second), (second, token)):
            pairs = tuple(("token", one) for one in repeated)
            assert both.refused(path, (GIVEN, *pairs)) == expected("token")
    assert both.refused(path, (GIVEN, *(("token", token),) * 30)) == expected("token")
    both.assert_unchanged()


@each_path
def test_a_token_that_is_not_the_sessions_is_refused(both: Both, path: str) -> None:
    expected, token = refusals(path)("token"), token_of(both.connection)
    connecting = (grpc.StatusCode.FAILED_PRECONDITION, "SLAVE_ALREADY_CONNECTED")
    for other in (new_token(), both.others, token[:-1], token + "x", token.swapcase()):
        # A new token is what Connect brings; but nobody proves by it that the living session is his.
        wanted = connecting if path.endswith("/Connect") else expected
        assert both.refused(path, (GIVEN, ("token", other))) == wanted
    ended = (GIVEN, ("token", both.old))
    if path.endswith("/ReportResult"):  # a result that comes late is no error
        content = REQUESTS["ReportResult"].SerializeToString()
        answer = next(both.calls[path](iter([content]), metadata=ended, timeout=WAIT))
        stale = master_service_pb2.RESULT_ACKNOWLEDGEMENT_STALE
        assert master_service_pb2.ReportResultResponse.FromString(answer).acknowledgement == stale
    else:
        assert both.refused(path, ended) == expected
    both.assert_unchanged()


@pytest.mark.parametrize("method", ["Connect", "NewTask"])
def test_a_previous_token_that_is_not_the_sessions_takes_nothing_over(both: Both, method: str) -> None:
    token = token_of(both.connection)
    bad: list[Metadata] = [
        *((("previous-token", one),) for one in (new_token(), both.old, both.others, "", "short", "t" * 7_000)),
        (("previous-token", token), ("previous-token", token)),
        (("previous-token", token), ("previous-token", new_token())),
        (("previous-token-bin", token.encode()),),
        (("previous_token", token),),
    ]
    for previous in bad:
        wanted = "SLAVE_ALREADY_CONNECTED" if method == "Connect" else "MASTER_TOKEN_INVALID"
        assert both.refused(SLAVE + method, (GIVEN, ("token", new_token()), *previous))[1] == wanted
    both.assert_unchanged()


@each_path
@pytest.mark.parametrize("size", [17_000, 200_000, 5_000_000])
def test_metadata_of_many_bytes_never_reach_anybody(both: Both, path: str, size: int) -> None:
    """Not even with the session's token. (A heartbeat stream opens before its first message, so it gets another's.)"""
    token = new_token() if path.endswith("/Heartbeat") else token_of(both.connection)
    content = REQUESTS[path.rpartition("/")[2]].SerializeToString()
    for metadata in ((GIVEN, ("token", "t" * size)), (GIVEN, ("token", token), ("x-bin", b"\x00" * size))):
        call = both.calls[path](iter([content]), metadata=metadata, timeout=WAIT)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    both.assert_unchanged()


@each_path
def test_bytes_that_are_no_text_are_no_token_and_no_channel(both: Both, path: str) -> None:
    """By hand: no gRPC library sends them."""
    port = both.slave.port if path.startswith(SLAVE) else both.master.port
    token = token_of(both.connection).encode()
    content = message(REQUESTS[path.rpartition("/")[2]].SerializeToString())
    bad = [(channel, token) for channel in (b"\xd9\xa7", b"7\xff", b"\x80")]  # the first is an Arabic seven
    bad += [(b"7", brought) for brought in (token[:-1] + b"\xff", "é".encode() * 20)]
    with Connection(port) as connection:
        for stream, (channel, brought) in zip(range(1, 99, 2), bad, strict=False):
            connection.open(stream, path, (b"channel", channel), (b"token", brought))
            connection.data(stream, content)
            while True:
                kind, flags, number, _ = connection.receive()
                if number == stream and (kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM)):
                    break
    both.assert_unchanged()
