"""What is installed, under which name, and beside what: pyproject.toml, the generated code and the texts agree."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
from _environment import OLDEST_PYTHON
from _interpreters import supported
from _lowest import FOR_THE_HOUSE, lowest, read
from packaging.requirements import Requirement
from packaging.version import Version

import interaction

ROOT = Path(__file__).resolve().parents[2]
GENERATED = sorted((ROOT / "interaction/v1").glob("*_pb2*.py"))
TEXTS = [
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("pyproject.toml"),
        *(
            path
            for room in ("bench", "docs", "examples", "interaction", "scripts")
            for path in (ROOT / room).rglob("*")
        ),
    )
    if path.is_file() and path.suffix in {"", ".md", ".py", ".toml"} and "node_modules" not in path.parts
]


def floors(python: str) -> dict[str, Version]:
    """The lowest versions on a Python; each package has one."""
    constraints = [Requirement(line) for line in lowest(read())]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    here = [one for one in constraints if one.marker is None or one.marker.evaluate(environment)]
    assert len({one.name for one in here}) == len(here), f"two lowest versions of a package on Python {python}"
    return {one.name: Version(str(one.specifier).removeprefix("==")) for one in here}


@pytest.mark.parametrize("python", supported())
def test_each_package_that_users_install_has_one_lowest_version_on_each_python(python: str) -> None:
    found = floors(python)
    for requirement in read()["dependencies"]:
        assert Requirement(requirement).name in found
    for extra in ("certs", "journal", "numpy", "progress"):
        for requirement in read()["optional-dependencies"][extra]:
            assert Requirement(requirement).name in found


@pytest.mark.parametrize("requirement", ["numpy<2", "numpy==1.26", "numpy>=1,>=2", "numpy>1", "numpy @ https://a.b/c"])
def test_what_is_bounded_without_a_lowest_version_is_refused(requirement: str) -> None:
    project: dict[str, Any] = {"dependencies": [], "optional-dependencies": {"numpy": [requirement]}}
    with pytest.raises(ValueError, match=re.escape(repr(requirement)) + " has no lowest version: name one with >="):
        list(lowest(project))


def test_the_lowest_versions_keep_the_conditions_and_leave_out_what_only_the_house_needs() -> None:
    extras = {
        "a": ["one>=1.2,<2; python_version < '3.11'", "two", "three[x]>=3"],
        **{extra: ["z<1"] for extra in FOR_THE_HOUSE},
    }
    project: dict[str, Any] = {"dependencies": ["zero>=0.1"], "optional-dependencies": extras}
    assert list(lowest(project)) == ["zero==0.1", "one==1.2; python_version < '3.11'", "three==3"]


@pytest.mark.parametrize("python", supported())
@pytest.mark.parametrize("module", GENERATED, ids=lambda module: str(module.name))
def test_the_generated_code_demands_nothing_newer_than_the_lowest_versions(module: Path, python: str) -> None:
    text, found = module.read_text(), floors(python)
    demands = {
        "protobuf": re.findall(r"^# Protobuf Python Version: (.+)$", text, re.M),
        "grpcio": re.findall(r"^GRPC_GENERATED_VERSION = '(.+)'$", text, re.M),
    }
    assert demands["protobuf"] or module.name.endswith("_grpc.py")
    for package, versions in demands.items():
        for version in versions:
            assert Version(version) <= found[package]


def test_the_oldest_python_is_the_same_wherever_it_is_named() -> None:
    oldest = ".".join(str(number) for number in OLDEST_PYTHON)
    assert supported()[0] == oldest
    assert read()["requires-python"] == f">={oldest}"
    settings = (ROOT / "pyproject.toml").read_text()
    assert f'\npython_version = "{oldest}"\n' in settings  # of mypy
    assert f'\ntarget-version = "py{oldest.replace(".", "")}"\n' in settings  # of ruff


def test_the_distribution_is_named_as_pyproject_has_it_and_not_as_another_projects() -> None:
    name = read()["name"]
    assert name != "interaction"  # on PyPI, a progress bar
    assert importlib.metadata.version(name) == interaction.__version__
    assert importlib.metadata.metadata(name)["Name"] == name


def test_whoever_follows_a_text_installs_this_project_and_extras_that_it_has() -> None:
    name, extras = read()["name"], set(read()["optional-dependencies"])
    named = 0
    for path in TEXTS:
        text = path.read_text()
        assert not re.search(r"pip install (?:-\S+ )*['\"]?interaction(?!-grpc|[\w/.])", text), path
        for asked_of, asked in re.findall(r"(?<![\w.])(interaction[\w-]*|\.)\[([a-z,]+)\]", text):
            if asked_of != "." and not set(asked.split(",")) & extras:
                continue  # an index
            assert asked_of in (name, "."), f"{path}: {asked_of}[{asked}]"
            assert set(asked.split(",")) <= extras, f"{path}: {asked_of}[{asked}]"
            named += 1
    assert named > 5
