"""Which Python `scripts/test --python` takes, and what it says where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from _environment import version_of
from _interpreters import find, here

ROOT = Path(__file__).resolve().parents[2]


def interpreter(path: Path, version: str | None) -> Path:
    """A program that says that it is this Python; None: it is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(sys, "executable", str(interpreter(tmp_path / "running", "3.9.1")))
    return tmp_path


def test_a_version_is_looked_for_on_path_first(machine: Path) -> None:
    on_path = interpreter(machine / "bin/python3.12", "3.12.4")
    interpreter(machine / "pyenv/versions/3.12.9/bin/python", "3.12.9")
    assert find("3.12") == (on_path, "3.12.4")
    assert find("3.12.9")[1] == "3.12.9"


def test_a_shim_that_does_not_run_is_passed_over_and_the_newest_of_pyenv_is_taken(machine: Path) -> None:
    interpreter(machine / "bin/python3.12", None)
    for version in ("3.12.9", "3.12.10", "3.12.1", "3.1.12"):
        interpreter(machine / f"pyenv/versions/{version}/bin/python", version)
    assert find("3.12") == (machine / "pyenv/versions/3.12.10/bin/python", "3.12.10")


def test_a_path_and_a_name_stand_for_an_interpreter(machine: Path) -> None:
    there = interpreter(machine / "bin/snake", "3.13.2")
    assert find(str(there)) == find("snake") == (there, "3.13.2")


def test_the_pythons_of_a_machine_are_those_that_run_the_oldest_first(machine: Path) -> None:
    interpreter(machine / "bin/python3.13", "3.13.0")
    interpreter(machine / "bin/python3.11", None)
    interpreter(machine / "bin/python3.8", "3.8.1")
    interpreter(machine / "pyenv/versions/3.10.4/bin/python", "3.10.4")
    assert list(here()) == ["3.10", "3.13"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("3.12", "Python 3.12 is neither on PATH nor under pyenv: install it, or give the path of its interpreter."),
        ("3.8", "{machine}/bin/python3.8 is Python 3.8.1; this project needs 3.10 or newer."),
        ("snake", "snake is no Python interpreter: give a version such as 3.12, or a path."),
        ("{machine}/bin/none", "{machine}/bin/none is no Python interpreter: give a version such as 3.12, or a path."),
    ],
)
def test_where_there_is_none_a_sentence_says_so(machine: Path, wanted: str, sentence: str) -> None:
    interpreter(machine / "bin/python3.8", "3.8.1")
    interpreter(machine / "bin/none", None)
    with pytest.raises(SystemExit) as ended:
        find(wanted.format(machine=machine))
    assert ended.value.code == sentence.format(machine=machine)


def test_the_command_says_it_and_fails() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/test", "--python", "3.99"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Python 3.99 is neither on PATH nor under pyenv: ")


def test_what_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert version_of(tmp_path / "nothing") is None
    assert version_of(Path(sys.executable)) == sys.version.split()[0]
