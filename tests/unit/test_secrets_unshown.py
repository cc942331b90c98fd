"""No record shows a token, a key or a secret: not by `repr`, which gets into logs, tracebacks and reports of failed
tests, and not by a pickle."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

import interaction
from interaction import TLS
from interaction.core.admission import Admission, Ticket
from interaction.core.engagement import Engagement
from interaction.secret import Secret

SECRET = re.compile(r"token|secret|key|successor|signature|credential|password|given|settings")
SECRET_ITSELF = Secret([b"canary" * 8])
KNOWN = 6  # records of which that is asked at least: else this test looks in the wrong place
# What is called so, and is none: refusals' classes, and the numbers of what may be read.
NONE = {("Refusals", "no_token"), ("Refusals", "malformed_token")}


def classes() -> Iterator[type]:
    for module in pkgutil.walk_packages(interaction.__path__, "interaction."):
        if ".v1" in module.name or module.name.endswith("__main__"):
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                yield kind


def fields_of(kind: type) -> list[str]:
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if issubclass(kind, tuple):
        return list(getattr(kind, "_fields", ()))
    return []


def records() -> list[Any]:
    """Each record with its secret fields."""
    found = []
    for kind in classes():
        told = inspect.get_annotations(kind)
        secret = [
            name
            for name in fields_of(kind)
            if (SECRET.search(name) or (name == "session" and told.get(name) == "str"))  # by its token
            and (kind.__name__, name) not in NONE
        ]
        if secret:
            found.append(pytest.param(kind, secret, id=kind.__name__))
    return found


def made(kind: type, values: dict[str, Any]) -> Any:
    """One of these, whatever its constructor thinks of that."""
    if issubclass(kind, tuple):
        return tuple.__new__(kind, [values[name] for name in fields_of(kind)])
    one = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(one, name, value)
    return one


def test_there_are_such_records() -> None:
    assert len(records()) >= KNOWN


@pytest.mark.parametrize(("kind", "secret"), records())
@pytest.mark.parametrize("form", ["text", "bytes", "inside"])
def test_a_record_does_not_show_what_is_secret_in_it(kind: type, secret: list[str], form: str) -> None:
    hidden = {name: f"{name}-canary" for name in secret}
    values: dict[str, Any] = dict.fromkeys(fields_of(kind), 1)
    for name, text in hidden.items():
        values[name] = {"text": text, "bytes": text.encode(), "inside": {"token": text}}[form]
    one = made(kind, values)
    for shown in (repr(one), str(one), f"{one}", repr([one])):
        assert "canary" not in shown


@pytest.mark.parametrize(("kind", "secret"), records())
def test_a_record_is_not_pickled_with_what_is_secret_in_it(kind: type, secret: list[str]) -> None:
    """Of options, what is secret refuses that itself."""
    value = SECRET_ITSELF if kind.__name__.endswith("Options") else "canary"
    one = made(kind, {**dict.fromkeys(fields_of(kind), 1), **dict.fromkeys(secret, value)})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps([one], protocol)


def test_a_slaves_session_is_not_pickled() -> None:
    """Nor its tasks, which know it by its token."""
    admission, engagement = Admission(1), Engagement(3.0)
    admission._known["id"] = made(Ticket, {"session": "t" * 43})
    for it in (admission, engagement):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(it)


@pytest.fixture(scope="module")
def tls() -> TLS:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    return TLS(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes(), authority.cert_pem.bytes())


def test_a_key_is_not_pickled_and_what_has_none_is(tls: TLS) -> None:
    with pytest.raises(TypeError, match=r"a TLS that holds a key is not pickled: make it in the process that needs it"):
        pickle.dumps(tls)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps({"options": [tls]})
    assert copy.deepcopy(tls) is copy.copy(tls) is tls
    bare = TLS(authority=tls.authority, mutual=True, server_name="x")
    assert pickle.loads(pickle.dumps(bare)) == bare
    assert tls.key is not None
    assert tls.certificate is not None
    without = tls.without_key()
    assert (without.key, without.certificate, without.authority) == (None, tls.certificate, tls.authority)
    assert TLS(tls.certificate + tls.key, tls.key).without_key() == TLS(tls.certificate, tls.key).without_key()
    content = pickle.dumps(without)
    assert tls.key not in content
    assert pickle.loads(content) == without


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret([b"x" * 32]))
