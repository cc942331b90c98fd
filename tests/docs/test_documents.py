"""What the documents show runs as it is printed, and what they point to is there."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from interaction import Master, Slave

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(90)
def test_the_readmes_programs_run_as_printed(tmp_path: Path) -> None:
    programs = dict(zip(("adder", "train", "many", "main"), blocks(ROOT / "README.md", "python"), strict=True))
    assert len(programs["adder"].splitlines()) + len(programs["train"].splitlines()) < 30
    # Ports of this run's own; the printed ones may be in use here.
    with Master("127.0.0.1", 0) as one, Master("127.0.0.1", 0) as other:
        ports = {"7236": str(one.port), "7235": str(other.port)}
    for name, text in programs.items():
        for printed, free in ports.items():
            text = text.replace(printed, free)
        (tmp_path / f"{name}.py").write_text(text)

    def output(name: str) -> str:
        command = [sys.executable, f"{name}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    errors = (tmp_path / "errors").open("w+")
    adder = subprocess.Popen([sys.executable, "adder.py"], cwd=tmp_path, stderr=errors)
    try:
        with Master("127.0.0.1", 0, channel=7, request_retries=100, request_retry_waiting=0.1) as probe:
            probe.new_connection("probe", "127.0.0.1", int(ports["7236"])).connect()  # it is up
        assert output("train") == "{'a': 1, 'b': 2} -> {'sum': 3}\n3\n"
        assert output("many") == "{'sum': 3}\n500500\n"
        assert output("main") == "{'sum': 3}\n{'sum': 1}\n{'sum': 2}\n{'sum': 3}\n"
    finally:
        adder.kill()
        adder.wait()
        with errors:
            errors.seek(0)
            complaints = errors.read()
    assert complaints == ""  # on the screen of somebody who does as the README says there is nothing that alarms
    assert "{'a': 1, 'b': 2} -> {'sum': 3}" in (ROOT / "README.md").read_text()


def test_every_import_of_the_migration_guide_works() -> None:
    rows = re.findall(
        r"^\| `from .*` \| `from ([\w.]+) import ([\w, ]+)` \|$", (ROOT / "docs/migrating.md").read_text(), re.M
    )
    assert len(rows) >= 9
    for module, names in rows:
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pytest.mark.timeout(60)
def test_from_nothing_to_a_pair_on_mutual_tls_as_printed(tmp_path: Path) -> None:
    """Two commands, one argument, and less than a minute."""
    began = time.monotonic()
    (commands,) = blocks(ROOT / "docs/security.md", "sh")
    slave, train = blocks(ROOT / "docs/security.md", "python")[:2]
    assert len(commands.splitlines()) == 2
    for line in commands.splitlines():
        made = subprocess.run([sys.executable, *shlex.split(line, comments=True)[1:]], cwd=tmp_path, timeout=30)
        assert made.returncode == 0
    elsewhere = tmp_path / "elsewhere"  # the slave's machine: nothing is there but its folder
    shutil.copytree(tmp_path / "certs/slaves/gpu-1", elsewhere / "gpu-1")
    with Master("127.0.0.1", 0) as one, Master("127.0.0.1", 0) as other:
        printed = {"7236": str(one.port), "7235": str(other.port), '"gpu-1.example"': f'"127.0.0.1", {one.port}'}
    for text, place in ((slave, elsewhere), (train, tmp_path)):
        for old, new in printed.items():
            text = text.replace(old, new)
        (place / "program.py").write_text(text)
    process = subprocess.Popen([sys.executable, "program.py"], cwd=elsewhere, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_listening(one.port)
        done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    finally:
        took = time.monotonic() - began
        process.kill()
        complaints = process.communicate()[1]
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'sum': 3}\n", "")
    assert complaints == ""
    print(f"from nothing to a pair on mutual TLS that has run a task: {took:.1f} s")
    assert took < 60


def wait_until_listening(port: int) -> None:
    for _ in range(2000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
            return
        time.sleep(0.01)
    raise AssertionError(f"nobody listens at port {port}")


@pytest.mark.parametrize("number", range(len(blocks(ROOT / "docs/operating.md", "python"))))
def test_the_code_about_running_it_runs_as_printed(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "me.key"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "me.pem"))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    try:
        exec(blocks(ROOT / "docs/operating.md", "python")[number], {})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().out in ("", "True\n")


def test_the_master_of_the_slave_in_javascript_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(ROOT / "examples/node/README.md", "python")

    class Adder(Slave):
        def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
            return {"sum": task["a"] + task["b"]}

    with Adder("127.0.0.1", 0, channel=7) as slave:  # its twin; tests/foreign has the real one
        exec(block.replace("7236", str(slave.port)), {"Master": Master})
    assert capsys.readouterr().out == "{'sum': 3}\n"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_commands_that_are_named_exist() -> None:
    for document in DOCUMENTS:
        for script in set(re.findall(r"scripts/[a-z]+\b", document.read_text())):
            assert (ROOT / script).exists(), f"{document.name} names {script}"


def test_each_line_of_pip_installs_something_that_is_there() -> None:
    """In documents and in errors: while there is no release it is had from a checkout, or from where that is cloned."""
    assert "not released yet" in (ROOT / "README.md").read_text()
    extras = re.search(
        r"^\[project.optional-dependencies\]\n(.*?)^\[", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )
    assert extras is not None
    known = set(re.findall(r"^(\w+) = \[", extras[1], re.M))
    files = [*DOCUMENTS, *(ROOT / "interaction").rglob("*.py")]
    said = [line for file in files for line in re.findall(r"pip install (?:-\S+ )*('[^']+'|[^\s`]+)", file.read_text())]
    assert len(said) >= 10
    for what in said:
        assert re.fullmatch(r"\.|'\.\[[\w,]+\]'|'interaction-grpc\[[\w,]+\] @ git.*'", what), what
        assert set(re.findall(r"\w+", what.partition("[")[2].partition("]")[0])) <= known, what
