"""Prints the lowest versions that pyproject.toml allows to its users, as constraints for pip.

What has no bound is not constrained: for that nothing is promised. Runs under an environment's own Python.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
FOR_THE_HOUSE = {"bench", "dev", "test"}  # extras that nobody installs beside a program of his own

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?(?P<bounds>[^;]*)(?P<marker>;.*)?")


def lowest(project: Mapping[str, Any]) -> Iterator[str]:
    """A constraint for each lower bound. Raises ValueError for a requirement that is bounded otherwise."""
    requirements = list(project["dependencies"])
    for extra, needed in project["optional-dependencies"].items():
        if extra not in FOR_THE_HOUSE:
            requirements += needed
    for requirement in dict.fromkeys(requirements):
        read = _REQUIREMENT.fullmatch(requirement)
        bounds = [bound.strip() for bound in read["bounds"].split(",") if bound.strip()] if read else [""]
        floors = [bound[2:].strip() for bound in bounds if bound.startswith(">=")]
        if read is None or (bounds and len(floors) != 1):
            raise ValueError(f"{requirement!r} has no lowest version: name one with >=, or no bound at all")
        if floors:
            yield f"{read['name']}=={floors[0]}{read['marker'] or ''}"


def read() -> Mapping[str, Any]:
    """The table [project] of pyproject.toml."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        from pip._vendor import tomli as tomllib  # each environment has pip
    project: Mapping[str, Any] = tomllib.loads(PYPROJECT.read_text())["project"]
    return project


if __name__ == "__main__":
    try:
        print(*lowest(read()), sep="\n")
    except ValueError as error:
        sys.exit(f"pyproject.toml: {error}")
