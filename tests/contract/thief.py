"""A slave that was taken over, and knows another one's token: what it can call, with its own certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from interaction import TLS, Slave
from interaction.v1 import master_service_pb2 as to_master
from interaction.v1 import master_service_pb2_grpc, slave_service_pb2_grpc, task_pb2
from interaction.v1 import slave_service_pb2 as to_slave
from tests.contract.slave_programs import WAIT
from tests.contract.wire import FORBIDDEN, SUM, Refusal, duration_of, metadata_of, new_id, payload_of, refused

REFUSED = (FORBIDDEN, "CERTIFICATE_INVALID")
Calls = dict[str, Callable[[str], Refusal]]  # by method, each with a token


@contextmanager
def channel_by(tls: TLS, port: int, name: str) -> Iterator[grpc.Channel]:
    """A channel of somebody who has that certificate."""
    credentials = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
    options = [("grpc.ssl_target_name_override", name), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        yield channel


def token_of(slave: Slave) -> str:
    """What a thief would have to steal."""
    return slave._interaction._desk._engagement.token  # the slave has it in its memory


def calls_of_a_master(channel: grpc.Channel, address: str) -> Calls:
    """Those of SlaveService, all but Ping."""
    stub = slave_service_pb2_grpc.SlaveServiceStub(channel)
    task = task_pb2.Task(id=new_id(), data=payload_of(SUM))
    connect = to_slave.ConnectRequest(master_address=address, lease=duration_of(10))

    def work(token: str) -> Refusal:
        return refused(lambda: list(stub.Work(iter(()), metadata=metadata_of(token), timeout=WAIT)))

    return {
        "Connect": lambda token: refused(stub.Connect, connect, metadata=metadata_of(token), timeout=WAIT),
        "Disconnect": lambda token: refused(
            stub.Disconnect, to_slave.DisconnectRequest(), metadata=metadata_of(token), timeout=WAIT
        ),
        "NewTask": lambda token: refused(
            stub.NewTask, to_slave.NewTaskRequest(task=task), metadata=metadata_of(token), timeout=WAIT
        ),
        "CancelTask": lambda token: refused(
            stub.CancelTask, to_slave.CancelTaskRequest(), metadata=metadata_of(token), timeout=WAIT
        ),
        "Work": work,
    }


def calls_of_a_slave(channel: grpc.Channel, task_id: str) -> Calls:
    """Those of MasterService: a result that it makes up, and that the slave leaves."""
    stub = master_service_pb2_grpc.MasterServiceStub(channel)
    completed, result = task_pb2.TASK_RESULT_STATUS_COMPLETED, payload_of({"made": "up"})
    report = to_master.ReportResultRequest(result=task_pb2.TaskResult(task_id=task_id, status=completed, result=result))
    leaving = to_master.HeartbeatRequest(sequence=9, leaving=to_master.HeartbeatLeaving(reason="I leave"))

    def beat(token: str) -> Refusal:
        return refused(list, stub.Heartbeat(iter([leaving]), metadata=metadata_of(token), timeout=WAIT))

    return {
        "ReportResult": lambda token: refused(stub.ReportResult, report, metadata=metadata_of(token), timeout=WAIT),
        "Heartbeat": beat,
    }
