"""Messages for whose reading memory is short: they are sent again; nothing is lost, or taken for a peer's mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from interaction import Master, Slave
from interaction.rpc import guard, memory, reading
from tests.contract.conftest import MakeMaster, MakeSlave, plain_and_aio

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)

LARGE = 200_000  # bytes: nothing else that these tests send is as long
lenient = reading.lenient


class Echo(Slave):
    def _process_task(self, task: Any) -> dict[str, Any]:
        return {"content": b"r" * task.get("answer", 0)}


class Shortage:
    """So many large messages can't be read."""

    def __init__(self, times: int) -> None:
        self.times = times

    def lenient(self, parse: Callable[[bytes], Any], short: Any = None) -> Callable[[bytes], Any]:
        read = lenient(parse, short)

        def read_or_not(content: bytes) -> Any:
            if len(content) < LARGE or not self.times:
                return read(content)
            self.times -= 1
            return short

        return read_or_not


@pytest.fixture
def shortage(monkeypatch: pytest.MonkeyPatch) -> Shortage:
    shortage = Shortage(0)
    for module in (guard, reading):
        monkeypatch.setattr(module, "lenient", shortage.lenient)
    return shortage


@pytest.mark.parametrize("fast_road", [True, False], ids=["work", "calls"])
@pytest.mark.parametrize("large", ["task", "result"])
def test_what_there_was_no_memory_to_read_is_sent_again(
    make_master: MakeMaster, make_slave: MakeSlave, shortage: Shortage, large: str, fast_road: bool
) -> None:
    """The master answered REQUEST_INVALID, the slave dropped the result, and the task had no end."""
    slave: Slave = make_slave(Echo, fast_road=fast_road)
    master: Master = make_master(Master, request_retries=5, request_retry_waiting=0.01)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    shortage.times = 2
    task = connection.new_task({"content": b"t" * LARGE} if large == "task" else {"answer": LARGE})
    task.start().join(20.0)
    assert shortage.times == 0
    assert task.get(0.0) == {"content": b"r" * (LARGE if large == "result" else 0)}
    assert connection.is_connected


def broken(content: bytes) -> object:
    raise DecodeError


def short(content: bytes) -> object:
    raise MemoryError


def test_a_message_that_can_not_be_read_is_broken_only_where_there_was_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(size: int) -> None:
        if size > 10:
            raise MemoryError

    assert lenient(bytes, "short")(b"content") == b"content"
    assert lenient(broken, "short")(b"x" * 100) is None
    assert lenient(short, "short")(b"x") == "short"
    monkeypatch.setattr(memory, "ensure", ensure)
    assert lenient(broken, "short")(b"x" * 100) == "short"
    assert lenient(broken, "short")(b"x") is None
    assert lenient(broken)(b"x" * 100) is None
