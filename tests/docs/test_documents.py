"""What the documents show runs as it is printed, and what they point to is there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from interaction import Master, Slave

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(60)
def test_the_readmes_slave_and_master_run_as_printed(tmp_path: Path) -> None:
    slave, master = blocks(ROOT / "README.md", "python")
    assert len(slave.splitlines()) + len(master.splitlines()) < 30
    (tmp_path / "adder.py").write_text(slave)
    (tmp_path / "train.py").write_text(master)
    # Ports of this run's own; the printed ones may be in use here.
    with Slave("127.0.0.1", 0) as one, Master("127.0.0.1", 0) as other:
        ports = {"7236": str(one.port), "7235": str(other.port)}
    for name in ("adder.py", "train.py"):
        text = (tmp_path / name).read_text()
        for printed, free in ports.items():
            text = text.replace(printed, free)
        (tmp_path / name).write_text(text)
    adder = subprocess.Popen([sys.executable, "adder.py"], cwd=tmp_path)
    try:
        with Master("127.0.0.1", 0, channel=7, request_retries=100, request_retry_waiting=0.1) as probe:
            probe.new_connection("probe", "127.0.0.1", int(ports["7236"])).connect()  # it is up
        train = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    finally:
        adder.kill()
        adder.wait()
    assert (train.returncode, train.stdout, train.stderr) == (0, "{'a': 1, 'b': 2} -> {'sum': 3}\n", "")
    assert train.stdout.strip() in (ROOT / "README.md").read_text()


def test_every_import_of_the_migration_guide_works() -> None:
    rows = re.findall(
        r"^\| `from .*` \| `from ([\w.]+) import ([\w, ]+)` \|$", (ROOT / "docs/migrating.md").read_text(), re.M
    )
    assert len(rows) >= 9
    for module, names in rows:
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_the_code_of_the_other_documents_compiles() -> None:
    for document in DOCUMENTS:
        for block in blocks(document, "python"):
            compile(block, str(document), "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_commands_that_are_named_exist() -> None:
    for document in DOCUMENTS:
        for script in set(re.findall(r"scripts/[a-z]+\b", document.read_text())):
            assert (ROOT / script).exists(), f"{document.name} names {script}"
