"""Programs that are not Python: installed where they are missing, started, and ended in every case."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE_EXAMPLE = ROOT / "examples" / "node"
GRPCURL = ROOT / ".tools" / "bin" / ("grpcurl.exe" if os.name == "nt" else "grpcurl")
GRPCURL_MODULE = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
INSTALL_SECONDS = 540
WAIT = 20.0  # for what comes at once, or never


class NodeSlave:
    """A running `node slave.js`, known by its process, its port and what it prints."""

    def __init__(self, process: subprocess.Popen[str], lines: Queue[str]) -> None:
        self.process = process
        self.lines = lines
        self.port = int(self.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line from here on that the pattern matches."""
        seen = []
        try:
            while True:
                seen.append(self.lines.get(timeout=WAIT))
                if found := re.search(pattern, seen[-1]):
                    return found
        except Empty:
            pytest.fail(f"the Node slave printed no line {pattern!r}, but:\n{''.join(seen)}")


@contextmanager
def running_node_slave(channel: int) -> Iterator[NodeSlave]:
    """Start the example on a free port, and kill it at the end."""
    command = ["node", "slave.js", "--port", "0", "--channel", str(channel)]
    with subprocess.Popen(
        command, cwd=NODE_EXAMPLE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        lines: Queue[str] = Queue()
        # A thread, for a line can't be waited for with a time limit otherwise.
        reader = Thread(target=_move, args=(process.stdout, lines))
        reader.start()
        try:
            yield NodeSlave(process, lines)
        finally:
            process.kill()
            reader.join()


def _move(output: Iterable[str], lines: Queue[str]) -> None:
    for line in output:
        lines.put(line)


def install_node_example() -> None:
    """Run `npm ci`, unless what is installed is newer than the lock."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            unavailable(f"{tool} is not installed")
    installed, lock = NODE_EXAMPLE / "node_modules" / ".package-lock.json", NODE_EXAMPLE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = str(shutil.which("npm"))  # with its path, for Windows calls it npm.cmd
        install([npm, "ci", "--no-audit", "--no-fund"], NODE_EXAMPLE)


def install_grpcurl() -> Path:
    """Build grpcurl into `.tools/bin`, unless it is there."""
    if not GRPCURL.exists():
        if shutil.which("go") is None:
            unavailable("go is not installed, and grpcurl is built by it")
        install(["go", "install", GRPCURL_MODULE], ROOT, {"GOBIN": str(GRPCURL.parent)})
    return GRPCURL


def install(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run an installer with a time limit of its own."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    if done.returncode != 0:
        unavailable(f"`{' '.join(command)}` failed:\n{done.stdout}")


def unavailable(reason: str) -> NoReturn:
    """Skip the test; where everything has to be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
