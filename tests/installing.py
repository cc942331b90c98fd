"""Programs that are not Python: installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
NODE_EXAMPLE = ROOT / "examples" / "node"
GRPCURL = ROOT / ".tools" / "bin" / ("grpcurl.exe" if os.name == "nt" else "grpcurl")
GRPCURL_MODULE = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
INSTALL_SECONDS = 540


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
