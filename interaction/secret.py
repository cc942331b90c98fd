"""A secret that a master and its slaves both know: where it comes from, and what keeps it from being shown."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import NoReturn

VARIABLE = "INTERACTION_SECRET"
FILE_VARIABLE = "INTERACTION_SECRET_FILE"
MIN_LENGTH, MAX_LENGTH, MOST = 32, 1024, 8  # characters of each, and how many
_MOST_BYTES = 64 * 1024  # of a file
_FORM = re.compile(r"[!-+\--~]*")  # visible ASCII without a comma, so that nobody's encoding or shell changes it
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
HOW_TO_MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one'


class Secret:
    """One secret, or several: the first one signs, each is accepted. It is shown nowhere, and does not travel."""

    __slots__ = ("keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = tuple(keys)

    def __repr__(self) -> str:
        return f"Secret({len(self.keys)}, not shown)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: each process gets it by its environment")


def secret_of(given: str | Sequence[str] | None) -> Secret | None:
    """Read a user's `secret=`; None: that of the environment. Returns None where there is none, as with an empty
    sequence.

    Raises TypeError and ValueError, which show nothing of it, and OSError for a file that can't be read.
    """
    if given is None:
        return _of_environment()
    if isinstance(given, str):
        return _secret("secret", [given])
    if isinstance(given, bytes) or not isinstance(given, Sequence):
        raise TypeError(f"secret must be a string or a sequence of strings, not {type(given).__name__}")
    for one in given:
        if not isinstance(one, str):
            raise TypeError(f"secret must be a string or a sequence of strings, and holds a {type(one).__name__}")
    return _secret("secret", given) if given else None


def _of_environment() -> Secret | None:
    text, path = os.environ.get(VARIABLE), os.environ.get(FILE_VARIABLE)
    if text is not None and path is not None:
        raise ValueError(f"{VARIABLE} and {FILE_VARIABLE} are both set: unset one of them")
    if path is not None:
        return _split(f"{FILE_VARIABLE} ({path})", _content_of(path))
    return None if text is None else _split(VARIABLE, text)


def _split(name: str, text: str) -> Secret:
    """Several stand behind one another, with commas or white space between."""
    texts = text.replace(",", " ").split()
    return _secret(name, texts, " (white space and commas divide secrets: none has any in it)" if texts[1:] else "")


def _secret(name: str, texts: Sequence[str], divided: str = "") -> Secret:
    if not texts:
        raise ValueError(f"{name} is set, and empty: unset it, or put a secret there; {HOW_TO_MAKE}")
    if len(texts) > MOST:
        raise ValueError(f"{name} holds {len(texts)} secrets; {MOST} are taken, of which the first one signs{divided}")
    for number, text in enumerate(texts, 1):
        if not _FORM.fullmatch(text):
            raise ValueError(
                f"{name} holds a blank, a comma or what is not ASCII; several secrets are given as a sequence "
                f"(in the environment with commas between); {HOW_TO_MAKE}"
            )
        if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
            which = name if len(texts) == 1 else f"number {number} of the {len(texts)} secrets of {name}"
            raise ValueError(
                f"{which} has {len(text)} characters, and needs {MIN_LENGTH} to {MAX_LENGTH}{divided}; {HOW_TO_MAKE}"
            )
    return Secret([text.encode() for text in dict.fromkeys(texts)])


def _content_of(path: str) -> str:
    """Read a file that nobody else on this host may read or change. Links are followed, as Kubernetes has them."""
    if not path:
        raise ValueError(f"{FILE_VARIABLE} is set, and empty: unset it, or name a file that holds a secret")
    name = f"{FILE_VARIABLE} ({path})"
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # which never waits for a pipe's other end
        try:
            _check(name, os.fstat(file))
            content = _read(file)
        finally:
            os.close(file)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{name} can't be read ({error.strerror}): put a secret there, for the user that this runs as, or unset "
            f"the variable; {HOW_TO_MAKE}",
        ) from None
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{name} is longer than any secret")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{name} holds what is not ASCII; {HOW_TO_MAKE}") from None


def _check(name: str, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{name} is no file, but {_KINDS.get(stat.S_IFMT(about.st_mode), 'something else')}")
    if os.name == "posix" and about.st_uid not in (0, os.geteuid()):
        raise ValueError(f"{name} belongs to another user (uid {about.st_uid}), who may change it: chown it")
    if os.name == "posix" and about.st_mode & _OTHERS:
        raise ValueError(
            f"{name} has the mode {stat.S_IMODE(about.st_mode):04o}, so others on this host may read or change it: "
            "chmod 0400 (or 0440); for a volume of Kubernetes, defaultMode: 0440; for a secret of Docker's, mode: 0400 "
            "and uid: beside its source, or chmod of the file where Compose mounts one (file:)"
        )


def _read(file: int) -> bytes:
    content = b""
    while len(content) <= _MOST_BYTES and (more := os.read(file, _MOST_BYTES + 1 - len(content))):
        content += more
    return content
