"""`python -m interaction.signature`: the header of one call, by the secret of the environment."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time

import pytest

from interaction import signature
from interaction.core.signature import Call, Checker
from interaction.secret import FILE_VARIABLE, VARIABLE

SECRET, TOKEN, SLAVE = "a-secret-that-both-sides-know-0123456", "t" * 43, "0" * 32


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)


def header(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    signature.main(["--token", TOKEN, *arguments])
    name, text = capsys.readouterr().out.rstrip("\n").split(": ")
    assert name == "signature"
    return text


@pytest.mark.parametrize(
    ("arguments", "call", "slave"),
    [
        (
            ("--method", "NewTask", "--incarnation", SLAVE),
            Call("/interaction.v1.SlaveService/NewTask", "0", TOKEN),
            SLAVE,
        ),
        (
            ("--method", "ReportResult", "--channel", "-7"),
            Call("/interaction.v1.MasterService/ReportResult", "-7", TOKEN),
            "",
        ),
    ],
)
def test_its_header_is_believed(
    arguments: tuple[str, ...], call: Call, slave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = Checker([SECRET.encode()], "slave", slave).check(call, header(capsys, *arguments), time.time())
    assert claim is not None
    assert claim.slave == slave


def test_connect_is_signed_with_its_terms(capsys: pytest.CaptureFixture[str]) -> None:
    previous = "p" * 43
    more = ("--incarnation", SLAVE, "--lease", "0.1333", "--address", "10.0.0.1:7235", "--previous-token", previous)
    call = Call("/interaction.v1.SlaveService/Connect", "0", TOKEN, previous)
    text = header(capsys, "--method", "Connect", *more)
    claim = Checker([SECRET.encode()], "slave", SLAVE).check(call, text, time.time())
    assert claim is not None
    assert (claim.lease, claim.address) == (133_300_000, "10.0.0.1:7235")


@pytest.mark.parametrize(
    ("lease", "nanoseconds"),
    [
        ("10", 10**10),
        ("10s", 10**10),
        ("0.1s", 10**8),
        ("0.1", 10**8),
        ("86400s", 864 * 10**11),
        ("7.000000001", 7 * 10**9 + 1),
    ],
)
def test_a_lease_is_taken_as_it_stands_in_a_message(
    lease: str, nanoseconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text = header(capsys, "--method", "Connect", "--incarnation", SLAVE, "--address", "10.0.0.1:7235", "--lease", lease)
    assert f";lease={nanoseconds};" in text


@pytest.mark.parametrize(
    "lease", ["inf", "nan", "-1", "-1s", "0", "0.09", "86400.1", "999999999", "1e3", "10 s", "s", "", "10m", "9" * 400]
)
def test_what_no_slave_takes_for_a_lease_is_not_signed(lease: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--incarnation", SLAVE, "--address", "10.0.0.1:7235", f"--lease={lease}")
    with pytest.raises(SystemExit) as ended:
        header(capsys, "--method", "Connect", *more)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("is no lease: 0.1 to 86400 seconds are expected, such as 10s or 10")
    assert repr(lease[:40]) in said


def believed(entry: str, token: str, previous: str = "") -> bool:
    path = f"/interaction.v1.SlaveService/{'Connect' if previous else 'NewTask'}"
    call = Call(path, "0", token, previous)
    return Checker([SECRET.encode()], "slave", SLAVE).check(call, entry, time.time()) is not None


def test_a_token_need_not_stand_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where everybody on the host can read it: it comes by the environment, or by standard input."""
    monkeypatch.setenv("TOKEN", "e" * 43)
    signature.main(["--method", "NewTask", "--incarnation", SLAVE])
    assert believed(capsys.readouterr().out.strip().removeprefix("signature: "), "e" * 43)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{'i' * 43}\n{'p' * 43}\n"))
    connect = ["--lease", "10s", "--address", "10.0.0.1:7235", "--previous-token", "-"]
    signature.main(["--method", "Connect", "--incarnation", SLAVE, "--token", "-", *connect])
    assert believed(capsys.readouterr().out.strip().removeprefix("signature: "), "i" * 43, "p" * 43)


@pytest.mark.parametrize("given", [[], ["--token", "-"], ["--token", ""]])
def test_without_a_token_it_says_where_that_comes_from(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(SystemExit):
        signature.main(["--method", "NewTask", "--incarnation", SLAVE, *given])
    assert "there is no token: set TOKEN in the environment, or give --token -" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "NewTask"), "NewTask needs --incarnation"),
        (("--method", "NewTask", "--incarnation", "0"), "NewTask needs --incarnation"),
        (("--method", "Connect", "--incarnation", SLAVE), "Connect needs --lease and --address"),
        (("--method", "Ping"), "invalid choice: 'Ping'"),
        (("--method", "Work", "--incarnation", SLAVE, "--token", "short"), "--token: a token is 32 to 128"),
        (("--method", "Work", "--incarnation", SLAVE, "--previous-token", "short"), "--previous-token: a token is"),
    ],
)
def test_what_is_missing_is_told(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        signature.main(["--token", TOKEN, *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_secret_it_says_where_that_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(SystemExit):
        signature.main(["--token", TOKEN, "--method", "Heartbeat"])
    assert re.search("set INTERACTION_SECRET .*token_urlsafe", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        signature.main(["--token", TOKEN, "--method", "Heartbeat", "--secret", SECRET])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_it_is_a_program() -> None:
    command = [sys.executable, "-m", "interaction.signature", "--method", "Heartbeat", "--token", TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"signature: v=1;time=\d+;nonce=[\w-]{22};mac=[0-9a-f]{64}\n", done.stdout)
