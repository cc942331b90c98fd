"""A run of the measurement, from the plan to the tables."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console

from bench import profile, report
from bench.catalogue import missing
from bench.experiments import Experiments
from bench.measure import Book
from bench.process import Failed
from bench.settings import SUBCOMMANDS, Plan

_WIDTH = 140  # of the tables in a file


def main(arguments: list[str], plan: Plan | None) -> int:
    """Carry out the plan, or without one the sub-command that the arguments name. Returns an exit code."""
    if plan is None:
        other: Callable[[list[str]], int] = importlib.import_module(SUBCOMMANDS[arguments[0]]).main
        return other(arguments[1:])
    lacking = [sentence for name in plan.peers if (sentence := missing(name)) is not None]
    for sentence in lacking:
        print(f"MISSING: {sentence}", file=sys.stderr)
    if lacking and plan.require_peers:
        return 2
    began, book = time.monotonic(), Book()

    def tell(sentence: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {sentence}", file=sys.stderr, flush=True)

    interrupted = _measure(plan, book, tell)
    tell("done")
    screen = Console(highlight=False)
    report.show(book, screen if screen.is_terminal else Console(highlight=False, width=_WIDTH))
    if plan.json is not None:
        report.write_json(book, {**asdict(plan), "json": None, "plots": None}, plan.json)
    if plan.plots is not None:
        from bench import plots  # takes a moment

        print("Drawn:", *plots.draw(book, plan.plots))
    return 130 if interrupted else 1 if book.failures else 0


def _measure(plan: Plan, book: Book, tell: Callable[[str], None]) -> bool:
    """Do it. Returns whether Ctrl-C ended it early."""
    experiments = Experiments(plan, book, tell)
    try:
        for name in plan.what:
            tell(name)
            if name == "profile":
                profile.take(book)
            else:
                getattr(experiments, name)()
    except KeyboardInterrupt:
        return True
    except Failed as failure:
        book.failures.append(str(failure))
    return False
