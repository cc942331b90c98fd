"""The figures of docs/security.md: which module measures which, and what each of them returns.

A module `tests.hostile.NAME` has `measure(folder, effort)`, which returns a list of `Figure`, and a test of pytest's
beside it calls the same with a small effort. `scripts/hostile` runs them in earnest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

FIGURES: dict[str, str] = {  # by name: what it is about; the module has the same name
    "stranger": "a stranger calls a slave in the name of a master",
    "roles": "a slave's certificate in the place of a master's, or of another slave's",
    "bodies": "a thousand streams of 64 MiB each without a token, on every call",
    "compromised": "one compromised slave doing its worst beside three innocent ones",
    "stranger_secret": "a stranger without the secret at a slave that is free",
}


@dataclass(frozen=True)
class Effort:
    """How much is done. The defaults are what the document shows."""

    minutes: float = 5.0  # of what goes on for a while
    tries: int = 100  # of what is tried again and again


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    wanted: str
    measured: str
    kept: bool  # what was measured is as it was wanted


Measure = Callable[[Path, Effort], Sequence[Figure]]


def measured(name: str, folder: Path, effort: Effort) -> Sequence[Figure]:
    """Measure the figures of that name. `folder` is empty, and may be left so or not."""
    measure = cast(Measure, import_module(f"tests.hostile.{name}").measure)
    return measure(folder, effort)
