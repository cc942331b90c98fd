"""The Pythons of this machine: on PATH, or under pyenv."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from _environment import OLDEST_PYTHON, ROOT, version_of


def find(wanted: str) -> tuple[Path, str]:
    """The interpreter that a version (`3.12`, `3.12.1`), a name on PATH or a path stands for, and its whole version.

    Ends the process with a sentence where there is none, or where it is too old.
    """
    by_version = re.fullmatch(r"\d+(\.\d+)+", wanted) is not None
    for candidate in _by_version(wanted) if by_version else _by_name(wanted):
        version = version_of(candidate)
        if version is None or (by_version and not f"{version}.".startswith(f"{wanted}.")):
            continue  # such as a shim of pyenv's for a version that is not switched on
        if tuple(int(number) for number in version.split(".")[:2]) < OLDEST_PYTHON:
            sys.exit(f"{candidate} is Python {version}; this project needs 3.10 or newer.")
        return candidate, version
    if by_version:
        sys.exit(
            f"Python {wanted} is neither on PATH nor under pyenv: install it, or give the path of its interpreter."
        )
    sys.exit(f"{wanted} is no Python interpreter: give a version such as 3.12, or a path.")


def here() -> Iterator[str]:
    """The supported versions that this machine has, as `3.12`, the oldest first."""
    for version in supported():
        if any(f"{version_of(candidate)}.".startswith(f"{version}.") for candidate in _by_version(version)):
            yield version


def supported() -> list[str]:
    """What pyproject.toml says that this project runs on."""
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())


def _by_name(wanted: str) -> Iterator[Path]:
    found = shutil.which(wanted)  # a path is looked at as well
    if found is not None:
        yield Path(found).absolute()  # not resolved: an environment's interpreter is a link


def _by_version(wanted: str) -> Iterator[Path]:
    minor = ".".join(wanted.split(".")[:2])
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(f"python{minor}", path=folder) if folder else None
        if found is not None:
            yield Path(found)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(
        (folder / "bin" / "python" for folder in versions.glob(f"{minor}.*")),
        key=lambda python: [int(number) for number in re.findall(r"\d+", python.parts[-3])],
        reverse=True,
    )
    yield Path(sys.executable)
