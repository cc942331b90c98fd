"""What the training can be told, and the command line that tells it. Needs the standard library alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_SLAVES = 64
MOST_GENERATIONS = 10_000


@dataclass(frozen=True)
class Settings:
    """What a training is to be. Its curve follows from `seed`, `generations`, `pairs` and `episodes` alone.

    Attributes:
        seed: what all chance is drawn from.
        generations: how often the policy is changed.
        slaves: how many processes play.
        kill: whether one of them is killed half-way.
        pairs: antithetic pairs of members in a generation; each member is one task.
        episodes: how many episodes each member plays.
    """

    seed: int = 0
    generations: int = 60
    slaves: int = 4
    kill: bool = True
    pairs: int = 20
    episodes: int = 5

    @property
    def kill_generation(self) -> int:
        """The generation, counted from 0, in which a slave is killed."""
        return self.generations // 2


def parse(arguments: Sequence[str], prog: str) -> tuple[Settings, Path]:
    """Read the command line: the settings, and where the PNG goes.

    Ends the process with one sentence that says what is wrong, or with the help that was asked for.
    """
    default = Settings()
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [options]",
        description="Trains a CartPole policy: one master, some slave processes, one of which is killed half-way.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--seed",
        type=_whole(0, 2**63 - 1),
        default=default.seed,
        help="the same seed gives the same curve (%(default)s)",
    )
    add("--generations", type=_whole(1, MOST_GENERATIONS), default=default.generations, help="%(default)s by default")
    add("--slaves", type=_whole(1, MOST_SLAVES), default=default.slaves, help="%(default)s by default")
    add("--no-kill", action="store_true", help="let all slaves live")
    add("--output", type=_png, default=Path("cartpole.png"), help="where the curve goes (%(default)s)")
    told = parser.parse_args(arguments)
    if told.slaves == 1 and not told.no_kill:
        parser.error("--slaves 1 leaves nobody to play on after the kill; give 2 or more, or add --no-kill")
    return Settings(told.seed, told.generations, told.slaves, not told.no_kill), told.output


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number; give {low} to {high}") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{number} is out of range; give {low} to {high}")
        return number

    return read


def _png(text: str) -> Path:
    """A file that can be written at the end, checked at the beginning."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} is no PNG; give a name that ends in .png")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(path.parent)!r}; make it, or name another")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} can't be written; name another file")
    return path
