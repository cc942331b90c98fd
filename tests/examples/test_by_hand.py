"""What answers for whoever plays the master by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from interaction import Slave
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from interaction.v1.task_pb2 import Task
from tests.contract.wire import NO_PROXY, SUM, duration_of, metadata_of, new_id, new_token, payload_of

PROGRAM = Path(__file__).parents[2] / "examples" / "by_hand.py"


class Adder(Slave):
    """Adds."""

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        return {"sum": task["a"] + task["b"]}


def test_a_slave_takes_a_session_by_hand_and_the_result_is_printed() -> None:
    with (
        subprocess.Popen([sys.executable, PROGRAM, "0"], stdout=subprocess.PIPE, text=True) as program,
        Adder("127.0.0.1", 0, channel=7) as slave,
        grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY) as channel,
    ):
        assert program.stdout is not None
        try:
            address = program.stdout.readline().split()[-1]
            stub, metadata, task = services.SlaveServiceStub(channel), metadata_of(new_token()), new_id()
            request = messages.ConnectRequest(master_address=address, lease=duration_of(10.0))
            stub.Connect(request, metadata=metadata, timeout=20)
            stub.NewTask(
                messages.NewTaskRequest(task=Task(id=task, data=payload_of(SUM))), metadata=metadata, timeout=20
            )
            assert task in program.stdout.readline()
            stub.Disconnect(messages.DisconnectRequest(), metadata=metadata, timeout=20)
        finally:
            program.kill()
