"""What the CartPole example shows, and the command line that it is told by."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
from cartpole.dispatch import Loss, Played
from cartpole.display import LineDisplay, display_for
from cartpole.report import ASCII, bars, curve, save_png, summary
from cartpole.settings import Settings, parse
from cartpole.train import Generation, Outcome
from rich.console import Console

ROOT = Path(__file__).parent.parent.parent


# What is shown.


def a_small_outcome() -> Outcome:
    generations = [Generation(n, 30.0 * n, 40.0 * n, 10.0 * n) for n in range(5)]
    result = {"returns": [9.0], "steps": [9], "seconds": 0.01}
    played = [Played("slave-1", 0.02, 1, result), Played("slave-1", 0.03, 2, result)]
    losses = [(2, Loss("slave-2", "EXITED", "nobody listens there"))]
    return Outcome(Settings(generations=5, slaves=2), generations, 120.0, played, losses, 2.0)


def test_bars_rise_with_their_values() -> None:
    assert bars([0, 4, 8, 12, 16], 16, 5, 2) == ["   ▄█", " ▄███"]
    assert bars([0, 8, 16], 16, 6, 1, ASCII) == ["  ####"]
    assert bars([1, 3, 5, 7], 8, 2, 1) == ["▂▆"], "each column is a mean where there are too few"
    assert bars([900], 500, 1, 1) == ["█"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_report_that_no_terminal_shows_has_no_control_characters(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    with path.open("w", encoding=encoding) as file:
        console = Console(file=file)
        outcome = a_small_outcome()
        display = display_for(console, outcome.settings)
        for generation in outcome.curve:
            display.generation(generation)
        display.lost(outcome.losses[0][1])
        console.print(curve(outcome, console), summary(outcome))
    text = path.read_text(encoding)
    assert all(character.isprintable() or character == "\n" for character in text)
    for part in ("Generation 5 of 5", "Lost slave-2 (EXITED)", "tasks lost", "slave-2: EXITED", "tasks replayed"):
        assert part in text


def test_a_long_training_gets_ten_lines() -> None:
    text = StringIO()
    display = LineDisplay(Console(file=text), Settings(generations=200))
    for number in range(200):
        display.generation(Generation(number, 1.0, 1.0, 1.0))
    assert text.getvalue().count("\n") == 10


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    save_png(a_small_outcome(), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n")


# The command line.


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/demo as a module, that must not get as far as making an environment."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    loader = SourceFileLoader("demo", str(ROOT / "scripts" / "demo"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = spec_from_loader("demo", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)

    def fail(extra: str) -> None:
        raise AssertionError("it went on")

    monkeypatch.setattr(module, "enter", fail)
    return module


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seed", "x"], "argument --seed: 'x' is no whole number; give 0 to"),
        (["--seed", "-1"], "argument --seed: -1 is out of range; give 0 to"),
        (["--generations", "0"], "argument --generations: 0 is out of range; give 1 to 10000"),
        (["--slaves", "0"], "argument --slaves: 0 is out of range; give 1 to 64"),
        (["--slaves", "1"], "--slaves 1 leaves nobody to play on after the kill; give 2 or more, or add --no-kill"),
        (["--output", "curve.jpg"], "argument --output: 'curve.jpg' is no PNG; give a name that ends in .png"),
        (["--output", "no/curve.png"], "argument --output: there is no folder 'no'; make it, or name another"),
        (["--sed", "1"], "unrecognized arguments: --sed 1"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_before_anything_is_made(
    demo: ModuleType,
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/demo", *arguments])
    with pytest.raises(SystemExit) as end:
        demo.main()
    assert end.value.code == 2
    usage, error = capsys.readouterr().err.splitlines()
    assert usage == "usage: scripts/demo [options]"
    assert error.startswith(f"scripts/demo: error: {sentence}")


def test_the_help_needs_no_environment(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/demo", "--help"])
    with pytest.raises(SystemExit) as end:
        demo.main()
    assert end.value.code == 0
    assert "--no-kill" in capsys.readouterr().out


def test_what_the_command_line_says_is_what_is_done(tmp_path: Path) -> None:
    output = tmp_path / "curve.png"
    told = ["--seed", "5", "--generations", "7", "--slaves", "1", "--no-kill", "--output", str(output)]
    assert parse(told, "demo") == (Settings(5, 7, 1, kill=False), output)
    assert parse([], "demo") == (Settings(), Path("cartpole.png"))
