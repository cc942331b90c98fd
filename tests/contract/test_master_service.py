"""MasterService, from the contract alone: who may call, how sessions begin, live and end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import grpc
import pytest

from interaction import Master, RequestException, SlaveConnectionProxy
from interaction.exception import LossReason
from interaction.v1 import master_service_pb2 as messages
from interaction.v1 import master_service_pb2_grpc as services
from interaction.v1 import slave_service_pb2 as slave_messages
from interaction.v1.master_service_pb2 import RESULT_ACKNOWLEDGEMENT_RECORDED
from interaction.v1.payload_pb2 import Payload
from tests.contract.conftest import MakeMaster
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import Beats, ScriptedSlave, assert_lost, completed, scripted_slave, started
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    CHANNEL_GIVEN,
    FORBIDDEN,
    GONE,
    ILLEGAL,
    NO_PROXY,
    NOBODY,
    Metadata,
    Refusal,
    failed,
    refusal_of,
    refused,
)

NO_CHANNEL, WRONG_CHANNEL = (ILLEGAL, "CHANNEL_NOT_GIVEN"), (FORBIDDEN, "CHANNEL_INVALID")
NO_TOKEN, WRONG_TOKEN = (NOBODY, "SLAVE_TOKEN_NOT_GIVEN"), (FORBIDDEN, "SLAVE_TOKEN_INVALID")
TOKEN = ("token", "t" * 64)


# What a call must bring.


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), NO_CHANNEL),
        ((TOKEN,), NO_CHANNEL),
        ((("channel", ""), TOKEN), WRONG_CHANNEL),
        ((("channel", "8"), TOKEN), WRONG_CHANNEL),
        ((("channel", "seven"), TOKEN), WRONG_CHANNEL),
        ((("channel", "9" * 5000), TOKEN), WRONG_CHANNEL),
        ((("channel", "18446744073709551623"), TOKEN), WRONG_CHANNEL),
        ((CHANNEL_GIVEN,), NO_TOKEN),
        ((CHANNEL_GIVEN, ("token", "")), WRONG_TOKEN),
        ((CHANNEL_GIVEN, ("token", "short")), WRONG_TOKEN),
        ((CHANNEL_GIVEN, ("token", "t" * 129)), WRONG_TOKEN),
        ((CHANNEL_GIVEN, ("token", "t" * 63 + "!")), WRONG_TOKEN),
        ((CHANNEL_GIVEN, TOKEN), WRONG_TOKEN),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("method", ["Heartbeat", "ReportResult"])
def test_channel_and_token_are_checked_before_anything_else(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, method: str, metadata: Metadata, expected: Refusal
) -> None:
    stub = scripted.master
    assert stub is not None
    if method == "Heartbeat":
        assert refused(lambda: next(Beats(stub, metadata).call)) == expected
    else:
        request = messages.ReportResultRequest()
        assert refused(stub.ReportResult, request, metadata=metadata, timeout=WAIT) == expected
    assert linked.is_connected


def test_ping_needs_no_metadata(master: Master) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{master.port}", NO_PROXY) as channel:
        answer = services.MasterServiceStub(channel).Ping(messages.MasterServicePingRequest(), timeout=WAIT)
    assert (answer.language, list(answer.features)) == ("python", [])


def test_a_master_that_shuts_down_refuses_with_that(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    master = make_master(Master)
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    master.shutdown()
    assert next(beats.call).HasField("closing")  # the slave is told, on its stream
    with pytest.raises(StopIteration):
        next(beats.call)


# Connect.


def test_what_a_master_sends_with_connect(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    class Greets(Master):
        def _before_connect(self) -> dict[str, str]:
            return {"from": "me"}

    master = make_master(Greets, heartbeat_tolerance=30.0, max_message_bytes=1 << 20)
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    content, metadata = scripted.connects.get(timeout=WAIT)
    request = slave_messages.ConnectRequest.FromString(content)
    assert request.master_address == f"127.0.0.1:{master.port}"
    assert request.lease.ToMilliseconds() == 20_000
    assert request.max_message_bytes == 1 << 20
    assert request.data.json == '{"from":"me"}'
    assert dict(metadata)["channel"] == "7"
    assert len(str(dict(metadata)["token"])) >= 43  # 256 bits


def test_each_session_has_a_token_of_its_own(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    linked.disconnect()
    linked.connect()
    (_, first), (_, second) = scripted.connects.get(timeout=WAIT), scripted.connects.get(timeout=WAIT)
    assert first != second


def test_connect_is_tried_again_with_the_same_token(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    scripted.connect_answers.extend([Failure(GONE), Failure(GONE)])
    master = make_master(Master, request_retries=2)
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    first, *others = [scripted.connects.get(timeout=WAIT) for _ in range(3)]
    assert others == [first, first]


@pytest.mark.parametrize("incarnation", ["x", "A" * 32, "a" * 33, "-" * 32])
def test_a_slave_with_a_malformed_incarnation_is_no_slave(
    master: Master, scripted: ScriptedSlave, incarnation: str
) -> None:
    scripted.connect_answers.append(slave_messages.ConnectResponse(incarnation=incarnation))
    with pytest.raises(RequestException, match="incarnation"):
        master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    assert "conn" not in master


@pytest.mark.parametrize(
    "data", [Payload(json="{"), Payload(json="[1]"), Payload(json='{"$bytes":1}')], ids=lambda payload: payload.json
)
def test_an_answer_that_cannot_be_read_is_a_failed_request(
    master: Master, scripted: ScriptedSlave, data: Payload
) -> None:
    scripted.connect_answers.append(slave_messages.ConnectResponse(data=data))
    with pytest.raises(RequestException, match="data"):
        master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    assert "conn" not in master


def test_a_beat_may_come_before_connect_has_returned(master: Master, scripted: ScriptedSlave) -> None:
    acknowledged: list[int] = []
    scripted.before_connect_answer = lambda: acknowledged.append(scripted.heartbeat().beat(1))
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    assert acknowledged == [1]


# Heartbeat.


def next_acknowledged(beats: Beats, sequence: int) -> tuple[int, int]:
    """Beat often, from that sequence on, until a beat is acknowledged: its sequence, and that of the newest beat."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(lambda: next(beats.call).sequence)
        while not answer.done():
            beats.send(sequence)
            sequence += 1
            wait([answer], timeout=0.05)
    return answer.result(), sequence


def test_a_slave_that_beats_often_is_acknowledged_often_enough(beats: Beats) -> None:
    acknowledged, newest = next_acknowledged(beats, 2)
    assert 2 < acknowledged <= newest


def test_the_newest_sequence_is_acknowledged(scripted: ScriptedSlave, beats: Beats) -> None:
    beats = scripted.heartbeat()
    assert beats.beat(7) == 7
    beats.send(9)
    for sequence in (1, 2, 3):
        beats.send(sequence)
    acknowledged, _ = next_acknowledged(beats, 4)
    assert acknowledged >= 9


def test_a_newer_stream_takes_the_place_of_an_older_one(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    newer = scripted.heartbeat()
    assert newer.beat(2) == 2
    error = failed(lambda: next(beats.call))
    assert refusal_of(error) == (grpc.StatusCode.ABORTED, "")
    assert next_acknowledged(newer, 3)[0] >= 3
    assert linked.is_connected


def test_a_stream_that_ends_is_asked_after_and_may_come_again(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    beats.end()
    scripted.pings.get(timeout=WAIT)
    assert scripted.heartbeat().beat(2) == 2
    assert linked.is_connected
    task = started(linked)
    assert scripted.report(completed(scripted.accepted_task(), '{"x":1}')) == RESULT_ACKNOWLEDGEMENT_RECORDED
    assert task.join(WAIT).result == {"x": 1}


def test_a_slave_that_answers_as_another_was_restarted(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    scripted.incarnation = "b" * 32
    beats.end()
    assert_lost(task, LossReason.RESTARTED)
    assert not linked.is_connected


def test_a_slave_that_is_there_but_beats_no_more_is_silent(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    master = make_master(Master, heartbeat_tolerance=0.6, heartbeat_check_span=0.1)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    task = started(connection)
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    assert_lost(task, LossReason.SILENT)
    assert next(beats.call).HasField("closing")  # where it does hear, it hears why


def test_a_slave_that_never_opens_a_stream_is_asked_after_and_then_silent(
    make_master: MakeMaster, scripted: ScriptedSlave
) -> None:
    master = make_master(Master, heartbeat_tolerance=1.5, heartbeat_check_span=0.1)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    task = started(connection)
    scripted.pings.get(timeout=WAIT)
    assert_lost(task, LossReason.SILENT)


def test_a_slave_that_dies_before_its_stream_is_open_is_lost_soon(master: Master) -> None:
    with scripted_slave() as slave:
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        task = started(connection)
    assert_lost(task, LossReason.EXITED)  # the tolerance is 15 s


def test_a_slave_that_leaves_is_disconnected(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    beats.leave("for lunch")
    assert_lost(task, LossReason.DISCONNECTED)
    assert "for lunch" in str(task.error)
    with pytest.raises(StopIteration):
        next(beats.call)
    assert refused(lambda: next(scripted.heartbeat().call)) == WRONG_TOKEN
