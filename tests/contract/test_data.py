"""Users' data over the wire, both ways: it arrives as it was sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from interaction import ConnectionRefuse, Master, SlaveConnectionProxy, TaskFail
from interaction.exception import SlaveSlaveConnectionRefused
from tests.contract.conftest import MakeMaster, MakeSlave, Worker

WAIT = 10.0


def echoed(connection: SlaveConnectionProxy, value: Any) -> Any:
    return connection.new_task({"echo": value}).start().join(WAIT).result


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**53 + 1,
        2**64,
        pytest.param(-(10**5000), id="5000 digits"),
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        math.inf,
        -math.inf,
        "",
        "Grüße, 世界, 🙂, \x00, \u2028",
        b"",
        bytes(range(256)),
        [],
        {},
        [1, [2, [3, {"four": [None, {}]}]]],
        {"$bytes": 0, "$$": {"$ndarray": {"buffer": 0}}, "$": 1},
        {"": {"": {}}},
    ],
)
def test_a_value_arrives_as_it_was_sent(connection: SlaveConnectionProxy, slave: Worker, value: Any) -> None:
    result = echoed(connection, value)
    expected = {} if value is None else value
    assert result == expected
    assert type(result) is type(expected)
    assert slave.ran == [{"echo": value}]
    if isinstance(value, float):
        assert repr(result) == repr(value)  # -0.0 is not 0.0


def test_nan_arrives(connection: SlaveConnectionProxy) -> None:
    assert math.isnan(echoed(connection, {"x": [math.nan]})["x"][0])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(12, dtype=">i2").reshape(3, 4).T,
        np.zeros((0, 3), np.uint8),
        np.array(3.5),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array(["ab", "c"]),
        np.arange(1_000_000, dtype=np.float64)[::2],
    ],
    ids=str,
)
def test_an_array_arrives_with_its_dtype_and_shape(connection: SlaveConnectionProxy, array: npt.NDArray[Any]) -> None:
    result = echoed(connection, {"weights": [array]})["weights"][0]
    assert isinstance(result, np.ndarray)
    assert (result.dtype, result.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(result, array)
    result[...] = result  # it may be written to


class EasyDict(dict[str, Any]):
    """As users of DI-engine have it: a dict whose items are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (EasyDict(env=EasyDict(id="CartPole-v1")), {"env": {"id": "CartPole-v1"}}),
        (np.float64(0.25), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        ((1, (2, 3)), [1, [2, 3]]),
        (
            {7: "a", 2.5: "b", None: "c", True: "d", np.int32(9): "e"},
            {"7": "a", "2.5": "b", "null": "c", "true": "d", "9": "e"},
        ),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
    ],
    ids=repr,
)
def test_what_users_send_today_keeps_working(connection: SlaveConnectionProxy, sent: Any, arrives: Any) -> None:
    result = echoed(connection, [sent])[0]
    assert result == arrives
    assert type(result) is type(arrives)


EVERY_KIND: dict[str, Any] = {"n": 2**70, "b": b"\xff", "a": np.arange(3), "s": "\u2028", "f": -math.inf}


class Mirror(Worker):
    def _before_connection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if "refuse" in data:
            raise ConnectionRefuse(EVERY_KIND)
        return EVERY_KIND

    def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return data

    def _before_disconnection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return data

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        raise TaskFail(task)


class Talker(Master):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.said: Mapping[str, Any] = EVERY_KIND
        self.seen: list[Any] = []

    def _before_connect(self) -> Mapping[str, Any]:
        return self.said

    def _before_disconnect(self) -> Mapping[str, Any]:
        return self.said

    def _after_connect(self, *arguments: Any) -> None:
        self.seen.append(arguments[4])

    def _after_disconnect(self, *arguments: Any) -> None:
        self.seen.append(arguments[4])

    def _after_new_task(self, *arguments: Any) -> None:
        self.seen.append(arguments[4])


def test_every_payload_of_a_connection_carries_every_kind_of_data(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    talker = make_master(Talker)
    connection = talker.new_connection("conn", "127.0.0.1", make_slave(Mirror).port)
    talker.said = {"refuse": True}
    with pytest.raises(SlaveSlaveConnectionRefused) as caught:
        connection.connect()
    talker.seen.append(caught.value.data)
    talker.said = EVERY_KIND
    with connection:
        task = connection.new_task(EVERY_KIND)
        task.start()
        talker.seen.append(task.join(WAIT).result)
    assert len(talker.seen) == 5
    for got in talker.seen:
        np.testing.assert_array_equal(got["a"], EVERY_KIND["a"])
        assert {**got, "a": None} == {**EVERY_KIND, "a": None}


def test_large_data_does_not_stop_the_heartbeat(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    master = make_master(Master, heartbeat_tolerance=2.0, heartbeat_check_span=0.1)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        large = np.zeros(20 * 1024 * 1024, np.uint8)
        for _ in range(3):
            assert echoed(connection, large).nbytes == large.nbytes
        assert connection.is_connected
    assert slave.lost == []
