"""A server that strangers reach, and that asks them for nothing, says so where nobody misses it, or does not start."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from interaction import Master, Slave, aio
from interaction.log import LOGGERS
from interaction.rpc.exposure import VARIABLE
from interaction.secret import FILE_VARIABLE
from interaction.secret import VARIABLE as SECRET_VARIABLE
from tests.contract.signing import SECRET
from tests.contract.test_tls import identity

OURS = trustme.CA()
ONE_SIDED, MUTUAL = identity(OURS, mutual=False), identity(OURS, mutual=True)


class Worker(Slave):
    def _process_task(self, task: Any) -> Any:
        raise AssertionError("nobody asks it")


def start_aio(host: str, **options: Any) -> None:
    async def start() -> None:
        async with aio.Master(host, 0, **options):
            pass

    asyncio.run(start())


def started(kind: Callable[..., Any]) -> Callable[..., None]:
    def start(host: str, **options: Any) -> None:
        with kind(host, 0, **options):
            pass

    return start


START: dict[str, Callable[..., None]] = {"slave": started(Worker), "master": started(Master), "aio": start_aio}
each_kind = pytest.mark.parametrize("kind", START)
# What each listens with, and whether strangers are asked for something.
GUARDED: list[tuple[str, dict[str, Any], bool]] = [
    ("slave", {}, False),
    ("slave", {"tls": ONE_SIDED}, False),
    ("slave", {"tls": MUTUAL}, True),
    ("slave", {"secret": SECRET}, True),
    ("slave", {"secret": SECRET, "tls": ONE_SIDED}, True),
    ("master", {}, False),
    ("master", {"tls": ONE_SIDED}, True),
    ("master", {"secret": SECRET}, True),
    ("aio", {}, False),
    ("aio", {"secret": SECRET}, True),
]
each_guard = pytest.mark.parametrize(("kind", "options", "guarded"), GUARDED)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, SECRET_VARIABLE, FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "beyond this machine" in record.getMessage()
    ]


@each_guard
def test_a_server_beyond_the_machine_says_what_strangers_can_do(
    kind: str, options: dict[str, Any], guarded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    START[kind]("0.0.0.0", **options)
    said = warnings_in(caplog)
    if guarded:
        assert said == []
    else:
        (one,) = said
        for way_out in ("INTERACTION_SECRET in the environment of both", "secrets.token_urlsafe(32)", "tls=TLS("):
            assert way_out in one


@each_kind
def test_it_is_said_also_where_a_set_up_of_logging_has_disabled_the_packages_loggers(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    START[kind]("0.0.0.0")
    (one,) = warnings_in(caplog)
    assert "INTERACTION_SECRET in the environment of both" in one
    record = next(record for record in caplog.records if record.getMessage() == one)
    assert (record.levelname, record.name) == ("WARNING", f"interaction.{'slave' if kind == 'slave' else 'master'}")
    assert record.pathname.endswith("exposure.py")


@pytest.mark.parametrize(
    ("set_up", "expected"),
    [
        ("'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['h']}", 1),
        ("'disable_existing_loggers': True", 1),  # and no handler: Python's last resort
        ("'handlers': {'h': {'class': 'logging.NullHandler'}}, 'root': {'handlers': ['h']}", 0),
        ("'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['h'], 'level': 'ERROR'}", 0),
    ],
)
def test_it_comes_to_whatever_an_application_has_set_up_after_the_import(set_up: str, expected: int) -> None:
    program = (
        "import logging.config\nfrom interaction import Master\n"
        f"logging.config.dictConfig({{'version': 1, {set_up}}})\n"
        "with Master('0.0.0.0', 0): pass"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("listens beyond this machine") == expected


@each_guard
def test_it_does_not_start_where_that_is_refused(
    kind: str, options: dict[str, Any], guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "refuse")
    if guarded:
        START[kind]("0.0.0.0", **options)
    else:
        with pytest.raises(RuntimeError, match=r"would listen beyond.*INTERACTION_SECRET.*tls=TLS.*refuse"):
            START[kind]("0.0.0.0", **options)


@each_kind
def test_on_one_machine_nothing_is_said_or_refused(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "refuse")
    START[kind]("127.0.0.1")
    assert warnings_in(caplog) == []


@each_kind
@pytest.mark.parametrize("value", ["", "allow", "Refuse", "1"])
def test_a_variable_that_means_nothing_is_a_mistake(kind: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(RuntimeError, match=rf"INTERACTION_INSECURE is '{value}': it may be 'refuse'"):
        START[kind]("127.0.0.1")


@each_kind
def test_a_secret_without_tls_says_what_is_still_open(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "interaction")
    START[kind]("0.0.0.0", secret=SECRET)
    told = [record.getMessage() for record in caplog.records]
    assert any("others on the way can read everything, and change what tasks and results hold" in one for one in told)
    assert not any(SECRET in one for one in told)


def test_what_did_not_start_for_it_can_be_started_once_that_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "refuse")
    slave = Worker("0.0.0.0", 0)
    with pytest.raises(RuntimeError, match="would listen"):
        slave.start()
    monkeypatch.delenv(VARIABLE)
    with slave:
        assert slave.ping()


def test_nothing_that_is_shown_of_a_facade_or_its_options_holds_the_secret() -> None:
    for facade in (Worker("127.0.0.1", 0, secret=SECRET), Master("127.0.0.1", 0, secret=[SECRET])):
        options = facade._interaction.options
        for shown in (repr(facade), repr(options), repr(facade._interaction), str(vars(options))):
            assert SECRET not in shown
