"""Under CI=1 a test that was skipped fails the run, unless its reason was expected: what is never run holds nothing.

What guards the slaves and masters of whoever runs the tests is not for those of the tests: what the environment says of
that is taken out of it before anything is imported.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

EXPECTED_SKIPS: tuple[str, ...] = ()  # reasons, as patterns of fnmatch: CI has all that the tests need

for _name in ("INTERACTION_SECRET", "INTERACTION_SECRET_FILE", "INTERACTION_INSECURE"):
    os.environ.pop(_name, None)

_unexpected = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what it runs behind itself
    config.stash[_unexpected] = []
    config.pluginmanager.register(_Skips(config), "expected-skips")


class _Skips:
    """Hears of every skip, of a test or of a whole file."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or not os.environ.get("CI"):
            return
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(fnmatch(reason, pattern) for pattern in EXPECTED_SKIPS):
            self._config.stash[_unexpected].append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    if session.config.stash[_unexpected] and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    unexpected = config.stash[_unexpected]
    if unexpected:
        terminalreporter.section("skipped, and not expected under CI", red=True)
        for line in unexpected:
            terminalreporter.line(line)
