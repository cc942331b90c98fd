"""The slave in JavaScript under a secret, beside peers that lack it, and what it does of the environment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from interaction import Master, SlaveConnectionProxy
from interaction.exception import RequestException
from interaction.v1 import master_service_pb2 as messages
from tests.contract.frames import FrameWatch, frame_watch
from tests.contract.holding import wait_until
from tests.contract.recording_master import Failure, RecordingMaster, recording_master
from tests.contract.signing import OTHER, SECRET, Answering
from tests.contract.slave_programs import NODE, WAIT, SlaveProgram, running_slave
from tests.contract.wire import NO_PROXY, Caller
from tests.installing import NODE_EXAMPLE

DENIED = grpc.StatusCode.PERMISSION_DENIED
pytestmark = pytest.mark.usefixtures("node_example")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, node_example: None) -> Iterator[SlaveProgram]:
    monkeypatch.setenv("INTERACTION_SECRET", SECRET)
    with running_slave(NODE) as slave:
        yield slave


@pytest.fixture(params=["without", "another"])
def pretender(request: pytest.FixtureRequest) -> Iterator[RecordingMaster]:
    """A master without the secret, which acknowledges everything."""
    with recording_master(*([] if request.param == "without" else [Answering(OTHER)])) as master:
        yield master


@pytest.fixture
def way() -> Iterator[FrameWatch]:
    with frame_watch(0) as way:
        yield way


def told(way: FrameWatch, port: int) -> None:
    """Who dials that address finds somebody else from now on."""
    way.target = port
    way.snap()


def port_of(master: RecordingMaster) -> int:
    return int(master.address.rpartition(":")[2])


def master_by(way: FrameWatch, tolerance: float) -> Master:
    return Master(
        "127.0.0.1", 0, channel=7, secret=SECRET, heartbeat_tolerance=tolerance, my_address=f"127.0.0.1:{way.port}"
    )


def opened(way: FrameWatch, master: Master, node: SlaveProgram) -> SlaveConnectionProxy:
    """A session whose master has proved itself: the slave has run a task of it."""
    way.target = master.port
    connection = master.new_connection("node", "127.0.0.1", node.port)
    connection.connect()
    assert connection.new_task({"a": 1, "b": 1}).start().join(timeout=WAIT).result == {"sum": 2}
    return connection


def test_secrets_in_the_wrong_order_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It signs by the one that the master lacks: no beat of its would be believed."""
    monkeypatch.setenv("INTERACTION_SECRET", f"{OTHER},{SECRET}")
    with running_slave(NODE) as slave, Master("127.0.0.1", 0, channel=7, secret=SECRET) as master:
        began = time.monotonic()
        with pytest.raises(
            RequestException, match=r"know the secret, and is not believed.*of several the first one signs"
        ):
            master.new_connection("node", "127.0.0.1", slave.port).connect()
        assert time.monotonic() - began < 5.0
    with running_slave(NODE) as slave, Master("127.0.0.1", 0, channel=7, secret=(SECRET, OTHER)) as master:
        master.new_connection("node", "127.0.0.1", slave.port).connect()


@pytest.mark.parametrize(
    "answer",
    [
        messages.HeartbeatResponse(closing=messages.HeartbeatClosing(reason="forged")),
        Failure(DENIED, "SLAVE_TOKEN_INVALID"),
        Failure(grpc.StatusCode.UNAVAILABLE, "SYSTEM_SHUTTING_DOWN"),
        Failure(grpc.StatusCode.ABORTED),
        None,
    ],
    ids=["closing", "token", "shutting down", "replaced", "end"],
)
def test_nobody_ends_its_session_without_the_secret(
    node: SlaveProgram, way: FrameWatch, pretender: RecordingMaster, answer: Any
) -> None:
    with master_by(way, 15.0) as master:
        connection = opened(way, master, node)
        pretender.beat_answers.extend([answer] * 3)
        told(way, port_of(pretender))
        wait_until(lambda: pretender.opened >= 3)
        told(way, master.port)
        assert connection.new_task({"a": 1, "b": 2}).start().join(timeout=WAIT).result == {"sum": 3}
        connection.disconnect()


def test_beats_that_are_acknowledged_without_the_secret_renew_no_lease(
    node: SlaveProgram, way: FrameWatch, pretender: RecordingMaster
) -> None:
    with master_by(way, 3.0) as master:
        opened(way, master, node)
        told(way, port_of(pretender))
        node.wait_for("nothing is believed of the master's: who answers does not show that they know the secret")
        node.wait_for("session over: its lease ran out")


@pytest.mark.parametrize(
    "answer",
    [
        1,
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "TASK_DATA_INVALID"),
        Failure(DENIED, "SLAVE_TOKEN_INVALID"),
        Failure(grpc.StatusCode.RESOURCE_EXHAUSTED),
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
    ],
    ids=["recorded", "unreadable", "token", "too long", "malformed"],
)
def test_a_result_is_kept_until_a_master_has_it_that_knows_the_secret(
    node: SlaveProgram, way: FrameWatch, pretender: RecordingMaster, answer: Any
) -> None:
    with master_by(way, 25.0) as master:
        connection = opened(way, master, node)
        pretender.report_answers.extend([answer] * 20)
        told(way, port_of(pretender))
        task = connection.new_task({"a": 1, "b": 2}).start()
        for _ in range(4):
            pretender.reports.get(timeout=WAIT)
        told(way, master.port)
        assert task.join(timeout=WAIT).result == {"sum": 3}
        connection.disconnect()


def test_what_a_master_says_clears_no_screen_and_forges_no_line() -> None:
    evil = "\x1b[2J\r\nsession over: forged \u202egnihton"
    with running_slave(NODE) as slave, recording_master() as master:
        closing = messages.HeartbeatResponse(closing=messages.HeartbeatClosing(reason=evil))
        master.answer_second(closing)
        connect(slave, master)
        line = slave.wait_for("session over").string
        assert "closed it" in line
        assert "\\u{1b}[2J\\u{d}\\u{a}session over: forged \\u{202e}gnihton" in line


def connect(slave: SlaveProgram, master: RecordingMaster) -> None:
    with grpc.insecure_channel(slave.address, NO_PROXY) as channel:
        Caller(channel, master).connect()
        for _ in range(2):
            master.beats.get(timeout=WAIT)


# Of the environment.


def test_a_secret_in_a_file_guards_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o400)
    monkeypatch.setenv("INTERACTION_SECRET_FILE", str(file))
    with (
        running_slave(NODE) as slave,
        Master("127.0.0.1", 0, channel=7, secret=SECRET) as master,
        Master("127.0.0.1", 0, channel=7, secret=()) as stranger,
    ):
        with pytest.raises(Exception, match="signature"):
            stranger.new_connection("node", "127.0.0.1", slave.port).connect()
        with master.new_connection("node", "127.0.0.1", slave.port) as connection:
            assert connection.new_task({"a": 1, "b": 2}).start().join(timeout=WAIT).result == {"sum": 3}


@pytest.mark.parametrize(
    ("environment", "arguments", "said"),
    [
        ({"INTERACTION_SECRET_FILE": "/nowhere/secret"}, [], "/nowhere/secret"),
        ({"INTERACTION_SECRET_FILE": "/nowhere", "INTERACTION_SECRET": SECRET}, [], "both set"),
        ({"INTERACTION_INSECURE": "refuse"}, ["--host", "0.0.0.0"], "does not start"),
        ({"INTERACTION_INSECURE": "1"}, [], '"refuse", or unset'),
    ],
    ids=["no file", "both", "insecure", "misspelt"],
)
def test_what_the_environment_asks_for_is_done_or_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], arguments: list[str], said: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = ["node", "slave.js", "--port", "0", *arguments]
    done = subprocess.run(command, cwd=NODE_EXAMPLE, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 2
    assert said in done.stderr
    assert "listening" not in done.stdout
