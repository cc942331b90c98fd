"""A person with the real grpcurl, who has no .proto file: everything comes through reflection."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import pytest

from interaction import Master, Slave
from tests.contract.recording_master import recording_master
from tests.contract.signing import SECRET, Answering
from tests.contract.slave_programs import WAIT
from tests.installing import ROOT, install_grpcurl

SLAVE, MASTER = "interaction.v1.SlaveService", "interaction.v1.MasterService"
Grpcurl = Callable[..., "CompletedProcess[str]"]


class Adder(Slave):
    """Adds."""

    def _process_task(self, task: Any) -> Any:
        return {"sum": task["a"] + task["b"]}


@pytest.fixture
def slave() -> Iterator[str]:
    with Adder("127.0.0.1", 0, channel=7) as slave:
        yield f"127.0.0.1:{slave.port}"


@pytest.fixture
def master() -> Iterator[str]:
    with Master("127.0.0.1", 0, channel=7) as master:
        yield f"127.0.0.1:{master.port}"


@pytest.fixture(params=["slave", "master"])
def server(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An address, and the name of the service there."""
    return request.getfixturevalue(request.param), {"slave": SLAVE, "master": MASTER}[request.param]


def answer(done: CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(done: CompletedProcess[str]) -> tuple[int, str]:
    """The status and the reason in what `grpcurl -format-error` printed."""
    assert done.returncode != 0
    error = json.loads(done.stderr)
    (info,) = [detail for detail in error["details"] if detail["@type"].endswith("/google.rpc.ErrorInfo")]
    assert info["domain"] == "interaction"
    return error["code"], info["reason"]


def test_lists_the_services(grpcurl: Grpcurl, server: tuple[str, str]) -> None:
    address, service = server
    listed = grpcurl(address, "list").stdout.split()
    assert {service, "grpc.health.v1.Health"} <= set(listed)


def test_describes_the_methods_of_a_slave(grpcurl: Grpcurl, slave: str) -> None:
    text = grpcurl(slave, "describe", SLAVE).stdout
    for method in ("Ping", "Connect", "Disconnect", "NewTask", "Work", "CancelTask"):
        assert f"rpc {method} (" in text
    assert "rpc Work ( stream " in text
    assert "string incarnation = 1;" in grpcurl(slave, "describe", "interaction.v1.ConnectResponse").stdout


def test_describes_the_methods_of_a_master(grpcurl: Grpcurl, master: str) -> None:
    text = grpcurl(master, "describe", MASTER).stdout
    for method in ("Ping", "Heartbeat", "ReportResult"):
        assert f"rpc {method} (" in text


def test_pings(grpcurl: Grpcurl, slave: str, master: str) -> None:
    assert len(answer(grpcurl(slave, f"{SLAVE}/Ping"))["incarnation"]) == 32
    assert answer(grpcurl(master, f"{MASTER}/Ping"))["language"] == "python"


def test_is_told_that_the_server_is_healthy(grpcurl: Grpcurl, server: tuple[str, str]) -> None:
    address, _ = server
    assert answer(grpcurl(address, "grpc.health.v1.Health/Check")) == {"status": "SERVING"}


def test_reads_what_an_error_is_about(grpcurl: Grpcurl, slave: str, master: str) -> None:
    assert '"reason": "CHANNEL_NOT_FOUND"' in grpcurl(slave, f"{SLAVE}/Connect").stderr
    headers = ["-format-error", "-H", "channel: 7", "-H", f"token: {secrets.token_hex(32)}"]
    assert refusal(grpcurl("-format-error", slave, f"{SLAVE}/Connect")) == (3, "CHANNEL_NOT_FOUND")
    assert refusal(grpcurl(*headers, slave, f"{SLAVE}/Connect")) == (3, "REQUEST_INVALID")
    assert refusal(grpcurl(*headers, slave, f"{SLAVE}/NewTask")) == (9, "SLAVE_NOT_CONNECTED")
    assert refusal(grpcurl("-format-error", master, f"{MASTER}/ReportResult")) == (3, "CHANNEL_NOT_GIVEN")
    assert refusal(grpcurl(*headers, master, f"{MASTER}/ReportResult")) == (7, "SLAVE_TOKEN_INVALID")


def test_plays_the_master_by_hand(grpcurl: Grpcurl, slave: str) -> None:
    with recording_master() as master:
        headers = ["-format-error", "-H", "channel: 7", "-H", f"token: {secrets.token_hex(32)}"]

        def call(method: str, request: Any) -> CompletedProcess[str]:
            return grpcurl(*headers, "-d", json.dumps(request), slave, f"{SLAVE}/{method}")

        connect = {"masterAddress": master.address, "lease": "10s", "data": {"value": {"who": "a person"}}}
        assert len(answer(call("Connect", connect))["incarnation"]) == 32
        assert master.beats.get(timeout=WAIT).sequence == 1
        task = {"id": str(uuid4()), "data": {"value": {"a": 1, "b": 2}}}
        answer(call("NewTask", {"task": task}))
        result = master.reports.get(timeout=WAIT).result
        assert (result.task_id, json.loads(result.result.json)) == (task["id"], {"sum": 3})
        assert refusal(call("NewTask", {"task": {"id": "task 1"}})) == (3, "REQUEST_INVALID")
        answer(call("Disconnect", {}))
        assert refusal(call("NewTask", {"task": task})) == (9, "SLAVE_NOT_CONNECTED")


def test_signs_by_hand_what_a_slave_with_a_secret_asks_for(grpcurl: Grpcurl, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/operating.md has it: a command makes the header, with secret and token in the environment, where no list
    of processes shows them; and the lines that stand there do as they are."""
    token = secrets.token_hex(32)
    monkeypatch.setenv("INTERACTION_SECRET", SECRET)
    monkeypatch.setenv("TOKEN", token)
    with Adder("127.0.0.1", 0, channel=7) as slave, recording_master(Answering()) as master:
        address = f"127.0.0.1:{slave.port}"
        incarnation = answer(grpcurl(address, f"{SLAVE}/Ping"))["incarnation"]
        headers = ["-format-error", "-expand-headers", "-H", "channel: 7", "-H", "token: ${TOKEN}"]

        def signed(method: str, *more: str) -> list[str]:
            given = ["--channel", "7", "--method", method, "--incarnation", incarnation, *more]
            command = [sys.executable, "-m", "interaction.signature", *given]
            made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            return [*headers, "-H", made.stdout.strip()]

        offer = json.dumps({"masterAddress": master.address, "lease": "10s"})
        assert refusal(grpcurl(*headers, "-d", offer, address, f"{SLAVE}/Connect")) == (16, "SIGNATURE_NOT_FOUND")
        opening = signed("Connect", "--lease", "10s", "--address", master.address)
        assert answer(grpcurl(*opening, "-d", offer, address, f"{SLAVE}/Connect"))["incarnation"] == incarnation
        task = json.dumps({"task": {"id": str(uuid4()), "data": {"json": '{"a": 1, "b": 2}'}}})
        once = signed("NewTask")
        answer(grpcurl(*once, "-d", task, address, f"{SLAVE}/NewTask"))
        assert refusal(grpcurl(*once, "-d", task, address, f"{SLAVE}/NewTask")) == (7, "SIGNATURE_STALE")
        assert master.reports.get(timeout=WAIT).result.task_id == json.loads(task)["task"]["id"]
        done = as_printed(address)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(master.reports.get(timeout=WAIT).result.result.json) == {"sum": 3}


def as_printed(address: str) -> CompletedProcess[str]:
    """Do what docs/operating.md says of calls that are signed."""
    document = (ROOT / "docs/operating.md").read_text()
    (lines,) = [
        one for one in re.findall(r"^```sh\n(.*?)^```", document, re.M | re.S) if "interaction.signature" in one
    ]
    for printed, here in {"localhost:7236": address, "python ": f"{sys.executable} "}.items():
        assert printed in lines
        lines = lines.replace(printed, here)
    path = f"{install_grpcurl().parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(["sh", "-euc", lines], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
