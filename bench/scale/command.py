"""How many slaves one master holds, and what they cost it: `scripts/bench scale`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.scale.phases import Figures, Plan, Scene, echo

RATIO = "CPU per beat / bare echo"
# By phase and figure: the bar and the aim, for 10,000 slaves.
BARS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("connect", "seconds"): (60.0, 20.0),
    ("idle", "master's memory per slave, KiB"): (120.0, 80.0),
    ("beat", "false losses"): (0, 0),
    ("beat", "master's cores"): (0.7, 0.4),
    ("beat", RATIO): (1.15, 0.6),
    ("kill", "lost of the others"): (0, 0),
    ("silence", "lost of the others"): (0, 0),
}


def main(arguments: list[str]) -> int:
    """Measure, and print what came of it. Returns an exit code: 1 where a slave was lost that should not be."""
    plan, output = _parse(arguments)
    began = time.monotonic()

    def tell(sentence: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {sentence}", file=sys.stderr, flush=True)

    figures: Figures = {"plan": vars(plan)}
    if plan.echo_streams:
        tell("bare echo")
        figures["bare echo"] = echo(plan)
    with Scene(plan, tell) as scene:
        figures.update(scene.run())
    if plan.echo_streams:
        figures["beat"][RATIO] = figures["beat"]["CPU per beat, us"] / figures["bare echo"]["CPU per message, us"]
    show(figures, Console(highlight=False))
    if output is not None:
        output.write_text(json.dumps(figures, indent=1) + "\n")
    undue = [figures["beat"]["false losses"], *(figures[phase]["lost of the others"] for phase in ("kill", "silence"))]
    return 1 if any(undue) else 0


def _parse(arguments: list[str]) -> tuple[Plan, Path | None]:
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__, allow_abbrev=False)
    parser.add_argument("--slaves", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long they only beat (%(default)s)")
    parser.add_argument("--generators", type=int, default=3, help="processes that play them (%(default)s)")
    parser.add_argument("--tolerance", type=float, default=45.0, help="the master's, in seconds (%(default)s)")
    parser.add_argument("--span", type=float, default=10.0, help="seconds between two beats of a slave (%(default)s)")
    parser.add_argument("--echo-streams", type=int, default=2_000, help="of the bare echo; 0: none (%(default)s)")
    parser.add_argument("--echo-seconds", type=float, default=60.0, help="how long it is measured (%(default)s)")
    parser.add_argument("--task-rate", type=float, default=100.0, help="tasks a second (%(default)s)")
    parser.add_argument("--task-seconds", type=float, default=30.0, help="for so long (%(default)s)")
    parser.add_argument("--aftermath", type=float, default=65.0, help="seconds after each loss (%(default)s)")
    parser.add_argument("--settling", type=float, default=45.0, help="seconds after the last Connect (%(default)s)")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    told = vars(parser.parse_args(arguments))
    output: Path | None = told.pop("json")
    if told["generators"] < 2 or told["slaves"] < 10 * told["generators"]:
        parser.error("there must be two generators or more, one of which is killed, and ten slaves or more in each")
    if output is not None and not output.absolute().parent.is_dir():
        parser.error(f"there is no folder {output.absolute().parent} for {output.name}")
    return Plan(**told), output


def show(figures: Figures, console: Console) -> None:
    """Print all figures, with the bars beside those that have one."""
    table = Table("phase", "figure", "measured", "bar", "aim")
    for phase, found in figures.items():
        for number, (name, value) in enumerate(found.items()):
            bar = BARS.get((phase, name))
            words = ["", ""] if bar is None else [f"{limit:g}" for limit in bar]
            style = "red" if bar is not None and value > bar[0] else None
            table.add_row("" if number else phase, name, _written(value), *words, style=style)
        table.add_section()
    console.print(table)


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_written, value)) or "none"
    return str(value)
