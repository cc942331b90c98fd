"""A secret: where it may come from, what is none, and that it is shown nowhere."""

from __future__ import annotations

import copy
import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from interaction.secret import FILE_VARIABLE, MIN_LENGTH, MOST, VARIABLE, secret_of

ONE, TWO = "one-" + "a" * 40, "two-" + "b" * 40


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def keys(given: Any = None) -> tuple[bytes, ...]:
    found = secret_of(given)
    return () if found is None else found.keys


def test_there_is_none_unless_it_is_given() -> None:
    assert secret_of(None) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ONE, (ONE.encode(),)),
        ([ONE], (ONE.encode(),)),
        ([ONE, TWO], (ONE.encode(), TWO.encode())),
        ((TWO, ONE, TWO), (TWO.encode(), ONE.encode())),
        ("x" * MIN_LENGTH, (b"x" * MIN_LENGTH,)),
    ],
)
def test_one_or_several_are_given_by_argument(given: Any, expected: tuple[bytes, ...]) -> None:
    assert keys(given) == expected


@pytest.mark.parametrize("between", [",", " ", ", ", "\n", ",\n "])
def test_one_or_several_are_given_by_the_environment(between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, ONE)
    assert keys() == (ONE.encode(),)
    monkeypatch.setenv(VARIABLE, f"{ONE}{between}{TWO}")
    assert keys() == (ONE.encode(), TWO.encode())


def test_an_argument_goes_before_the_environment_and_an_empty_sequence_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, ONE)
    assert keys(TWO) == (TWO.encode(),)
    assert keys(()) == ()
    assert keys([]) == ()


@pytest.mark.parametrize("value", ["", " ", ",", "\n"])
def test_a_variable_that_is_set_and_empty_is_a_mistake_rather_than_no_secret(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match="INTERACTION_SECRET is set, and empty"):
        secret_of(None)
    monkeypatch.delenv(VARIABLE)
    file = tmp_path / "secret"
    file.write_text(value)
    file.chmod(0o400)
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    with pytest.raises(ValueError, match="is set, and empty"):
        secret_of(None)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ("", ValueError, "secret has 0 characters, and needs 32 to 1024; python -c"),
        ("hunter2-hunter2", ValueError, "secret has 15 characters"),
        ("hunter2-" * 200, ValueError, "secret has 1600 characters"),
        ([ONE, "hunter2"], ValueError, "number 2 of the 2 secrets of secret has 7 characters"),
        ("hunter2 " * 10, ValueError, "holds a blank, a comma"),
        ("hunter2," * 10, ValueError, "holds a blank, a comma"),
        ("hünter2-" * 10, ValueError, "what is not ASCII"),
        ([f"hunter2-{number:032}" for number in range(MOST + 1)], ValueError, "holds 9 secrets; 8 are taken"),
        (b"hunter2-" * 10, TypeError, "must be a string or a sequence of strings, not bytes"),
        ([b"hunter2-" * 10], TypeError, "holds a bytes"),
        ({"hunter2-" * 10}, TypeError, "not set"),
        (7, TypeError, "not int"),
    ],
)
def test_what_is_no_secret_is_told_without_being_shown(given: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said.replace("(", r"\(")) as caught:
        secret_of(given)
    assert "unter2" not in str(caught.value)


def test_too_short_a_one_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hunter2")
    with pytest.raises(ValueError, match=r"^INTERACTION_SECRET has 7 characters, .*secrets.token_urlsafe\(32\)"):
        secret_of(None)


@pytest.mark.parametrize(
    ("passphrase", "said"),
    [
        ("hunter2 and a horse that is far longer than thirty-two", "^INTERACTION_SECRET holds 10 secrets; 8 are taken"),
        (
            "hunter2 battery staple, which stands on the desk",
            r"^number 1 of the 8 secrets of INTERACTION_SECRET has 7 ",
        ),
    ],
)
def test_a_passphrase_is_told_that_blanks_divide_it(
    passphrase: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, passphrase)
    with pytest.raises(ValueError, match=said) as caught:
        secret_of(None)
    assert "white space and commas divide secrets" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    monkeypatch.delenv(VARIABLE)
    given_by_file(tmp_path, monkeypatch, passphrase.encode())
    with pytest.raises(ValueError, match="white space and commas divide secrets"):
        secret_of(None)


# A file.


def given_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, mode: int = 0o400) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    return file


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_gives_it_to_whoever_may_read_the_variable(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_by_file(tmp_path, monkeypatch, f"{ONE}\n{TWO}\n".encode(), mode)
    assert keys() == (ONE.encode(), TWO.encode())


@pytest.mark.parametrize("mode", [0o404, 0o644, 0o444, 0o460, 0o402, 0o401])
def test_a_file_that_others_may_read_or_change_is_refused_with_the_remedy(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = given_by_file(tmp_path, monkeypatch, ONE.encode(), mode)
    with pytest.raises(ValueError, match="chmod 0400") as caught:
        secret_of(None)
    assert str(file) in str(caught.value)
    assert f"{mode:04o}" in str(caught.value)
    assert "Kubernetes, defaultMode: 0440" in str(caught.value)
    assert "Docker's, mode: 0400" in str(caught.value)


def test_a_link_is_followed_as_a_volume_of_kubernetes_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = given_by_file(tmp_path, monkeypatch, ONE.encode())
    link = tmp_path / "link"
    link.symlink_to(file)
    monkeypatch.setenv(FILE_VARIABLE, str(link))
    assert keys() == (ONE.encode(),)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    monkeypatch.setenv(FILE_VARIABLE, str(pipe))
    with pytest.raises(ValueError, match="is no file, but a pipe"):
        secret_of(None)
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=r"^INTERACTION_SECRET_FILE \(.*\) is no file, but a folder"):
        secret_of(None)


@pytest.mark.parametrize("under", ["nothing", "secret/of"])  # of which the first is not there, the other below a file
def test_a_file_that_cant_be_read_is_named_with_its_variable_and_the_remedy(
    under: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_by_file(tmp_path, monkeypatch, ONE.encode())
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / under))
    said = r"INTERACTION_SECRET_FILE \(.*/(nothing|of)\) can't be read \(No.*\): put a secret there, .* or unset"
    with pytest.raises(OSError, match=said) as caught:
        secret_of(None)
    assert caught.value.errno in (errno.ENOENT, errno.ENOTDIR)


def test_a_variable_that_names_no_file_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, "")
    with pytest.raises(ValueError, match=r"^INTERACTION_SECRET_FILE is set, and empty: unset it, or name a file"):
        secret_of(None)


def test_a_mistake_with_a_file_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = len(os.listdir("/dev/fd"))
    for path in (tmp_path, given_by_file(tmp_path, monkeypatch, ONE.encode(), 0o444)):
        monkeypatch.setenv(FILE_VARIABLE, str(path))
        with pytest.raises(ValueError, match=FILE_VARIABLE):
            secret_of(None)
    assert len(os.listdir("/dev/fd")) == opened


@pytest.mark.parametrize("content", [b"x" * 70_000, b"\xff" * 40])
def test_what_a_file_holds_is_bounded_and_not_shown(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_by_file(tmp_path, monkeypatch, content)
    with pytest.raises(ValueError, match="INTERACTION_SECRET_FILE") as caught:
        secret_of(None)
    assert "xxx" not in str(caught.value)


def test_both_variables_at_once_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_by_file(tmp_path, monkeypatch, ONE.encode())
    monkeypatch.setenv(VARIABLE, ONE)
    with pytest.raises(ValueError, match="both set: unset one"):
        secret_of(None)


# What it shows.


def test_it_shows_nothing_of_itself() -> None:
    secret = secret_of([ONE, TWO])
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "one-" not in shown
        assert "two-" not in shown
    assert repr(secret) == "Secret(2, not shown)"


def test_it_is_not_pickled() -> None:
    secret = secret_of(ONE)
    for carry in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="a secret is not pickled"):
            carry(secret)
