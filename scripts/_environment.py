"""The environments that scripts run in: each made once, in a folder of its own, from the project's own files."""

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


def enter(extra: str, place: str = ".venv", python: Path | None = None, lowest: bool = False) -> None:
    """Return inside an environment with the project and the dependencies of `extra` installed, or end the process.

    What is large and nobody else needs goes to a `place` of its own: the others stay as small and pinned as they are.
    The calling script is started again under the environment's interpreter where it runs under another one. `python`
    is the interpreter that the environment is made with (None: the one that runs); `lowest` says to install the lowest
    versions that pyproject.toml allows, where it names any.
    """
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # else a command's output overtakes ours
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}; this project needs 3.10 or newer.")
    folder = ROOT / place
    if Path(sys.prefix).resolve() == folder.resolve():
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        os.environ["VIRTUAL_ENV"] = str(folder)
        return
    what = ["--editable", f"{ROOT}[{extra}]"]
    try:
        inside = environment(place, extra + "-lowest" * lowest, what, python, lowest)
        sys.exit(run_until_end([str(inside), *sys.argv]))
    except KeyboardInterrupt:
        sys.exit(130)


def environment(place: str, name: str, what: Sequence[str], python: Path | None = None, lowest: bool = False) -> Path:
    """The interpreter of an environment in which pip has installed `what`, which goes by `name`.

    It is made, unless what stands there was made from the same files by the same Python.
    """
    folder = ROOT / place
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    version = sys.version.split()[0] if python is None else version_of(python)
    recipe = "\0".join([(ROOT / "pyproject.toml").read_text(), str(version), name, *what])
    stamp, wanted = folder / f"installed-{name}", hashlib.sha256(recipe.encode()).hexdigest()
    if inside.exists() and stamp.exists() and stamp.read_text() == wanted:
        return inside
    if not inside.exists() or version_of(inside) != version:
        print(f"Making {place} with Python {version} ...")
        shutil.rmtree(folder, ignore_errors=True)
        if subprocess.run([python or sys.executable, "-m", "venv", str(folder)]).returncode != 0:
            sys.exit("Could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv")
    print(f"Installing {name} ...")
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if lowest:
        bounds = folder / "lowest.txt"
        with bounds.open("w") as file:
            if subprocess.run([str(inside), str(ROOT / "scripts/_lowest.py")], stdout=file).returncode != 0:
                sys.exit("What the lowest versions are could not be read.")
        pip += ["--constraint", str(bounds)]
    if subprocess.run([*pip, *what]).returncode != 0:
        sys.exit("Installing failed; what pip printed above says why.")
    stamp.write_text(wanted)
    return inside


def version_of(python: Path) -> str | None:
    """What an interpreter says that it is, as `3.12.1`; None where it is none, or does not run."""
    try:
        answer = subprocess.run(
            [str(python), "-c", "import sys; print(sys.version.split()[0])"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


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
