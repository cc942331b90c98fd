"""What this package logs: seen once, whether or not anybody has set up logging, and each message is one line."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interaction import log
from interaction.text import one_line, quoted

PACKAGE = Path(log.__file__).parent
OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
WARNED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (WARNING|ERROR) interaction\.master: slow\n"

SET_UPS = {
    "nothing": "",
    "basicConfig": "logging.basicConfig(format='theirs %(message)s')",
    "root": "logging.getLogger().addHandler(theirs)",
    "interaction": "logging.getLogger('interaction').addHandler(theirs)",
    "interaction alone": "logging.getLogger('interaction').addHandler(theirs); LOG.parent.propagate = False",
    "master": "LOG.addHandler(theirs)",
    "master alone": "LOG.addHandler(theirs); LOG.propagate = False",
    "dictConfig": (
        "import logging.config; logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False,"
        " 'formatters': {'f': {'format': 'theirs %(message)s'}}, 'root': {'handlers': ['h']},"
        " 'handlers': {'h': {'class': 'logging.StreamHandler', 'formatter': 'f'}}})"
    ),
    "imported again": (
        "import interaction\nfor name in list(sys.modules):\n"
        "    if name in ('interaction', 'interaction.log'): del sys.modules[name]\nimport interaction"
    ),
    "NullHandler": "logging.getLogger('interaction').addHandler(logging.NullHandler())",
    "no last resort": "logging.lastResort = None",
    "no stream": "sys.stderr = None",
    "a closed stream": "sys.stderr = open(__import__('os').devnull, 'w'); sys.stderr.close()",
}


def screen(*steps: str) -> str:
    """What is on standard error after these steps, in a process of their own."""
    program = "\n".join(
        [
            "import logging, sys",
            "LOG = logging.getLogger('interaction.master')",
            "theirs = logging.StreamHandler(); theirs.setFormatter(logging.Formatter('theirs %(message)s'))",
            *steps,
            "LOG.info('not to be seen')",
            "LOG.warning('slow')",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("set_up", SET_UPS)
def test_a_warning_is_seen_once_however_logging_is_set_up(set_up: str, when: str) -> None:
    steps = [SET_UPS[set_up], "import interaction"]
    shown = screen(*(steps if when == "before" else reversed(steps)))
    if set_up in ("nothing", "imported again"):
        assert re.fullmatch(WARNED, shown), shown
    else:
        silent = ("NullHandler", "no last resort", "no stream", "a closed stream")
        assert shown == ("" if set_up in silent else "theirs slow\n")


def test_an_error_is_seen_with_its_traceback() -> None:
    shown = screen("import interaction", "try: 1 / 0", "except ZeroDivisionError: LOG.exception('bad')")
    assert "ERROR interaction.master: bad\nTraceback (most recent call last):" in shown
    assert "ZeroDivisionError" in shown


def test_under_pytest_it_is_caught_and_not_written(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("interaction.slave").warning("seen")
    assert [record.getMessage() for record in caplog.records] == ["seen"]
    assert capsys.readouterr().err == ""


class _Forger:
    def __str__(self) -> str:
        return "one\nWARNING root: forged"

    __repr__ = __str__


@pytest.fixture
def line(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    yield caplog
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert "forged" in record.getMessage()


@pytest.mark.parametrize("name", log.LOGGERS)
@pytest.mark.parametrize("how", ["%s", "%r"])
@pytest.mark.parametrize(
    "words",
    [
        "one\nWARNING root: forged",
        "one\r\nforged",
        "\x1b[2J\x07forged",
        "forged\u2028\u2029\x85\x00\ud800",
        ValueError("one\nforged"),
        KeyError("one\nforged"),
        _Forger(),
        ["one\nforged", {"two\n": "three"}],
    ],
    ids=ascii,
)
def test_nobodys_words_make_a_line_of_their_own(
    name: str, how: str, words: object, line: pytest.LogCaptureFixture
) -> None:
    logging.getLogger(name).warning(f"before {how} and %d after", words, 3)
    (record,) = line.records
    assert record.getMessage().startswith("before ")
    assert record.getMessage().endswith(" and 3 after")


def named_in(path: Path) -> set[str]:
    """The loggers that a file of the package asks for by their names."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    asked = [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "getLogger"]
    assert path.name == "log.py" or all(isinstance(name, ast.Constant) for name in asked), path
    return {str(name.value) for name in asked if isinstance(name, ast.Constant)}


def test_every_logger_of_the_package_is_such_a_one_and_documented() -> None:
    """Of six two were named to who sets up logging."""
    used = {name for path in PACKAGE.rglob("*.py") if path.name != "grpc_log.py" for name in named_in(path)}
    section = OPERATING.read_text(encoding="utf-8").partition("\n## Logs\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(interaction[.a-z]*)` \| ", section, re.MULTILINE)
    assert sorted(documented) == sorted(used) == sorted(log.LOGGERS)


def test_text_that_is_fit_stays_as_it_is() -> None:
    assert one_line("actor-1 é 日本 👍 'quoted'") == "actor-1 é 日本 👍 'quoted'"
    assert one_line("a\nb\tc\x00\ud800\\n") == "a\\nb\\tc\\x00\\ud800\\n"
    assert quoted("a\n\tb\r\nc\n") == "  | a\n  |     b\n  | c"
