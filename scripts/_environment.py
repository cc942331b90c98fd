"""The environment that a script runs in: made once, in `.venv`, from the project's own files."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)


def enter(extra: str, place: str = ".venv") -> None:
    """Return inside an environment with the project and the dependencies of `extra` installed, or end the process.

    What is large and nobody else needs goes to a `place` of its own: the others stay as small and pinned as they are.
    The calling script is started again under the environment's interpreter where it runs under another one.
    """
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # else a command's output overtakes ours
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}; this project needs 3.10 or newer.")
    folder = ROOT / place
    if Path(sys.prefix).resolve() == folder.resolve():
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        os.environ["VIRTUAL_ENV"] = str(folder)
        return
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    try:
        _install(folder, python, extra)
        sys.exit(run_until_end([str(python), *sys.argv]))
    except KeyboardInterrupt:
        sys.exit(130)


def _install(folder: Path, python: Path, extra: str) -> None:
    """Make the environment, unless what stands there was made from the same files by the same Python."""
    recipe = (ROOT / "pyproject.toml").read_bytes() + sys.version.encode() + extra.encode()
    stamp = folder / f"installed-{extra}"
    wanted = hashlib.sha256(recipe).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    if not python.exists() or _version_of(python) != sys.version.split()[0]:
        print(f"Making {folder.relative_to(ROOT)} with Python {sys.version.split()[0]} ...")
        shutil.rmtree(folder, ignore_errors=True)
        if subprocess.run([sys.executable, "-m", "venv", str(folder)]).returncode != 0:
            sys.exit("Could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv")
    print(f"Installing interaction[{extra}] ...")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable"]
    if subprocess.run([*pip, f"{ROOT}[{extra}]"]).returncode != 0:
        sys.exit("Installing failed; what pip printed above says why.")
    stamp.write_text(wanted)


def _version_of(python: Path) -> str:
    answer = subprocess.run([str(python), "-V"], capture_output=True, text=True)
    return answer.stdout.strip().removeprefix("Python ")


def run_until_end(command: Sequence[str]) -> int:
    """Run a command that gets Ctrl-C from the terminal itself, and wait for its own ending of it.

    A second Ctrl-C ends both at once.
    """
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
            return 130


def steps(*todo: tuple[str, Callable[[], bool]]) -> int:
    """Run each step, go on after a failure, and say at the end which ones failed. Returns an exit code."""
    failed = []
    for name, step in todo:
        print(f"--- {name}")
        if not step():
            failed.append(name)
    if failed:
        print(f"FAILED: {', '.join(failed)}")
        return 1
    print("All clean.")
    return 0


def succeeds(*command: str) -> bool:
    """Run a command in the project's folder; say whether it ended with 0."""
    return subprocess.run(command, cwd=ROOT).returncode == 0
