"""What stands beside the two services on each side: health, reflection, and logs that hold nothing secret."""

from __future__ import annotations

import logging
import secrets

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from interaction import Master, TaskStatus
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY

SERVICES = {"slave": "interaction.v1.SlaveService", "master": "interaction.v1.MasterService"}


@pytest.fixture(params=SERVICES)
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def services_of(channel: grpc.Channel) -> set[str]:
    """The services that reflection lists."""
    return set(ProtoReflectionDescriptorDatabase(channel).get_services())


def test_health_and_reflection_are_served(master: Master, slave: Worker, side: str) -> None:
    port = {"slave": slave.port, "master": master.port}[side]
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        for name in ("", SERVICES[side]):
            answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]  # made at run time
                health_pb2.HealthCheckRequest(service=name), timeout=WAIT
            )
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert {SERVICES[side], "grpc.health.v1.Health"} <= services_of(channel)


def test_reflection_can_be_turned_off(make_master: MakeMaster, make_slave: MakeSlave, side: str) -> None:
    port = make_master(Master, reflection=False).port if side == "master" else make_slave(reflection=False).port
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            services_of(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_logs_tell_the_life_of_a_session_and_never_its_token_or_its_data(
    make_master: MakeMaster, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = secrets.token_urlsafe

    def record(size: int | None = None) -> str:
        drawn.append(draw(size))
        return drawn[-1]

    monkeypatch.setattr(secrets, "token_urlsafe", record)
    caplog.set_level(logging.DEBUG, logger="interaction")
    master, slave = make_master(Master), make_slave(Worker)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        for data in ({"a": "canary", "b": "-in-the-data"}, {"a": "canary", "b": 1}, {"canary": 1}):
            assert connection.new_task(data).start().join(WAIT).status.ended
        lost = connection.new_task({"wait": "canary"}).start()
    assert lost.join(WAIT).status is TaskStatus.LOST
    slave.go_on.set()
    master.close()
    slave.close()
    (token,) = drawn
    assert len(token) >= 43  # 256 bits
    lines = [record.getMessage() for record in caplog.records]
    for event in (
        "connection 'conn': connected",
        "connection 'conn' is lost (DISCONNECTED)",
        "connected to the master",
    ):
        assert any(event in line for line in lines)
    text = "\n".join([*lines, caplog.text])
    assert token not in text
    assert "canary" not in text
