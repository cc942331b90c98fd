"""Under CI a skip that nobody expected fails the run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HOOKS = (Path(__file__).parents[1] / "conftest.py").read_text()
SKIPPING = """
import pytest

def test_that_runs():
    pass

def test_that_is_skipped():
    pytest.skip("no frobnicator here")
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("CI", "1")
    pytester.makepyfile(SKIPPING)
    return pytester


def test_a_skip_fails_the_run(run: pytest.Pytester) -> None:
    run.makeconftest(HOOKS)
    result = run.runpytest()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*not expected under CI*", "*test_that_is_skipped: no frobnicator here"])


def test_a_file_that_is_skipped_fails_the_run(run: pytest.Pytester) -> None:
    run.makeconftest(HOOKS)
    run.makepyfile(test_whole="import pytest\npytest.skip('not on this machine', allow_module_level=True)")
    result = run.runpytest("test_whole.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_whole.py: not on this machine"])


def test_a_skip_that_is_expected_does_not(run: pytest.Pytester) -> None:
    expecting = HOOKS.replace("EXPECTED_SKIPS: tuple[str, ...] = ()", 'EXPECTED_SKIPS = ("no frobnicator*",)')
    assert expecting != HOOKS
    run.makeconftest(expecting)
    result = run.runpytest()
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, skipped=1)


def test_without_ci_no_skip_does(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI")
    run.makeconftest(HOOKS)
    assert run.runpytest().ret == pytest.ExitCode.OK


def test_what_is_expected_to_fail_is_no_skip(run: pytest.Pytester) -> None:
    run.makeconftest(HOOKS)
    run.makepyfile(test_known="import pytest\n@pytest.mark.xfail\ndef test_known(): assert False")
    assert run.runpytest("test_known.py").ret == pytest.ExitCode.OK
