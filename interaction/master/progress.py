"""A progress bar for `SlavePool.map()`, where its user wants one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sized
from contextlib import contextmanager


class Bar:
    """Shows nothing."""

    def advance(self) -> None:
        """One more result has come."""


def check_progress() -> None:
    """Raise ImportError where rich is not there."""
    if importlib.util.find_spec("rich") is None:
        raise ImportError("a progress bar needs rich: pip install '.[progress]' in a checkout of interaction")


@contextmanager
def progress_bar(items: object) -> Iterator[Bar]:
    """A bar on standard error, with an end where the number of items is known."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("tasks"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        shown = progress.add_task("tasks", total=len(items) if isinstance(items, Sized) else None)

        class RichBar(Bar):
            """Shows it."""

            def advance(self) -> None:
                progress.advance(shown)

        yield RichBar()
