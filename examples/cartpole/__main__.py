"""The whole: parse, train, report."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from interaction.exception import TaskFailed

from .dispatch import NoSlaveLeft
from .display import display_for
from .processes import SlaveError
from .report import curve, save_png, summary
from .settings import Settings, parse
from .train import train

SHOW_CURSOR = b"\x1b[?25h"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, and do what it says. Returns an exit code."""
    return run(*parse(sys.argv[1:] if arguments is None else arguments, "python -m cartpole"))


def run(settings: Settings, output: Path) -> int:
    """Train, and report in the terminal and as a PNG. Returns an exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    console = Console(highlight=False)
    try:
        console.print(f"Starting {settings.slaves} slave processes ...")
        outcome = train(settings, display_for(console, settings))
        console.print(curve(outcome, console), summary(outcome))
        save_png(outcome, output)
        console.print(f"The curve as a picture: {output}", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("Interrupted; the slaves have ended.")
        return 130
    except TaskFailed as error:
        print(error.traceback, f"A slave failed at its task: {error}", sep="\n", file=sys.stderr)
        return 1
    except (SlaveError, NoSlaveLeft, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _interrupted(number: int, frame: FrameType | None) -> None:
    """The first Ctrl-C ends all in order; a second one ends at once, and the slaves with us: see `slave.py`."""
    signal.signal(signal.SIGINT, _end_at_once)
    raise KeyboardInterrupt


def _end_at_once(number: int, frame: FrameType | None) -> None:
    if sys.stdout.isatty():
        os.write(1, SHOW_CURSOR)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
