"""What can be asked for on the command line. Nothing here needs more than Python, so that a mistake is told at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = (
    *("roundtrip", "throughput", "payload", "slaves", "inflight", "growth", "journal", "secret", "memory", "profile"),
)
PEERS = ("ray", "dask", "celery")
# What has a command line of its own: its name, and the module whose `main` takes the arguments and gives an exit code.
SUBCOMMANDS = {"scale": "bench.scale.command"}


@dataclass(frozen=True)
class Plan:
    """What is measured, and how much."""

    what: tuple[str, ...] = EXPERIMENTS
    repeats: int = 5
    seconds: float = 0.5  # of one sample
    workers: int = 2  # where there are many tasks
    tasks: int = 200_000  # of the long run
    peers: tuple[str, ...] = PEERS
    require_peers: bool = False
    json: Path | None = None
    plots: Path | None = None


def parse(arguments: Sequence[str]) -> Plan:
    """Read the arguments, or end the process with what is wrong with them."""
    default = Plan()
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the project beside bare gRPC, Ray, Dask and Celery, in turn: medians and ratios.",
        epilog="A figure that misses its bar is shown, and is no error.",
        allow_abbrev=False,
    )
    what = ", ".join((*EXPERIMENTS, *SUBCOMMANDS))
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"some of {what}; all that can be compared, if none")
    parser.add_argument("--repeats", type=_positive, default=default.repeats, help="of each sample (%(default)s)")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of one sample (%(default)s)")
    parser.add_argument("--workers", type=_positive, default=default.workers, help="for many tasks (%(default)s)")
    parser.add_argument("--tasks", type=_positive, default=default.tasks, help="of `growth` (%(default)s)")
    parser.add_argument("--peers", type=_peers, default=PEERS, help=f"some of {','.join(PEERS)}, or none (all)")
    parser.add_argument("--require-peers", action="store_true", help="measure nothing where a peer is missing")
    parser.add_argument("--json", type=Path, help="a file for all values")
    parser.add_argument("--plots", type=Path, help="a folder for pictures")
    told = vars(parser.parse_args(arguments))
    plan = Plan(**{**told, "what": tuple(told["what"]) or EXPERIMENTS})
    for name in plan.what:
        if name not in EXPERIMENTS:
            parser.error(f"{name!r} is none of {what}")
    if not 0 < plan.seconds <= 60:
        parser.error(f"--seconds must be more than 0 and at most 60, not {plan.seconds:g}")
    for path in (plan.json, plan.plots):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"there is no folder {path.absolute().parent} for {path.name}")
    return plan


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return value


def _peers(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(text.split(","))
    for name in names:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PEERS)}")
    return names
