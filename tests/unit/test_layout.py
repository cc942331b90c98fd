"""The house rules that a reader of the folder listing relies on: who imports whom, and what no file does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "interaction"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "v1" not in path.relative_to(PACKAGE).parts)
BENCH = sorted((ROOT / "bench").rglob("*.py"))  # beside the package, and never in it
LONGEST = 350

# Each room, and the rooms that it may use beside itself. Whoever is not named here has no place in the package.
ROOMS: dict[str, set[str]] = {
    "__init__": {"master", "slave", "address", "config", "exception", "log", "tls", "version"},
    "aio": {"master", "rpc", "core", "address", "config", "exception", "tls", "waiters"},
    "master": {
        "rpc",
        "journal",
        "core",
        "address",
        "config",
        "exception",
        "secret",
        "text",
        "tls",
        "version",
        "waiters",
    },
    "slave": {"rpc", "core", "address", "config", "exception", "secret", "tls", "version"},
    "rpc": {
        "core",
        "address",
        "config",
        "exception",
        "pem",
        "roles",
        "secret",
        "text",
        "tls",
        "version",
        "v1",
        "waiters",
        "x509",
    },
    "journal": {"core", "exception", "places", "waiters"},
    "core": {"config", "exception"},
    "config": {"address", "secret", "tls"},
    "certs": {"pem", "places", "roles", "x509"},
    "tls": {"address", "pem", "roles", "x509"},
    "roles": set(),
    "exception": {"text"},
    "log": {"text"},
    "text": set(),
    "address": set(),
    "pem": {"places", "x509"},
    "places": set(),
    "x509": set(),
    "secret": set(),
    "signature": {"core", "rpc", "secret"},
    "version": set(),
    "waiters": set(),
}
WIRE = {"grpc", "google", "grpc_health", "grpc_reflection", "grpc_status"}
IMPURE = {"asyncio", "threading", "socket", "time", "random", "logging", "os", "concurrent", "subprocess", "datetime"}
FORBIDDEN_CALLS = {"eval", "exec", "print", "__import__", "compile", "input", "breakpoint"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: Path) -> Iterator[str]:
    """The full name of everything that a file imports, wherever it does."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def each_file(test: object) -> object:
    return pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))(test)


def each_file_here_and_beside(test: object) -> object:
    return pytest.mark.parametrize("path", [*FILES, *BENCH], ids=lambda path: str(path.relative_to(ROOT)))(test)


def test_every_file_has_a_room() -> None:
    assert {room_of(path) for path in FILES} == set(ROOMS)


@each_file
def test_nothing_is_imported_upwards(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        first, _, rest = name.partition(".")
        assert first not in {"bench", "tests", "examples"}, f"{room} imports {name}"
        if first == "interaction":
            target = rest.partition(".")[0]
            assert target == room or target in ROOMS[room], f"{room} imports {name}"


@each_file
def test_only_rpc_knows_of_the_wire(path: Path) -> None:
    outside = {name for name in imports_of(path) if name.partition(".")[0] in WIRE or name.startswith("interaction.v1")}
    assert room_of(path) == "rpc" or not outside


@each_file
def test_the_core_does_no_io_and_has_no_clock(path: Path) -> None:
    impure = {name for name in imports_of(path) if name.partition(".")[0] in IMPURE}
    assert room_of(path) != "core" or not impure


@each_file
def test_nothing_that_is_read_is_executed_and_nothing_is_printed(path: Path) -> None:
    assert not {name for name in imports_of(path) if name.partition(".")[0] in FORBIDDEN_MODULES}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"


@each_file_here_and_beside
def test_no_name_is_mangled(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "name", None)
        assert not re.fullmatch(r"__\w+(?<!__)", name or ""), name


@each_file_here_and_beside
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_no_test_is_too_long_to_read_either() -> None:
    """One test for all of them: who adds to one is told which to split by subject."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert not {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > LONGEST}


@each_file_here_and_beside
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", BENCH, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_measures_the_package_does_not_lean_on_its_tests(path: Path) -> None:
    assert not {name for name in imports_of(path) if name.partition(".")[0] in {"tests", "examples"}}


def test_the_names_of_ding_interaction_stay_where_they_were() -> None:
    from interaction import ConnectionRefuse, DisconnectionRefuse, Master, Slave, TaskFail, TaskRefuse
    from interaction.config import GLOBAL_HOST, LOCAL_HOST
    from interaction.exception import (
        MasterErrorCode,
        RequestException,
        ResponseException,
        SlaveChannelInvalid,
        SlaveErrorCode,
    )
    from interaction.master.connection import SlaveConnection, SlaveConnectionProxy
    from interaction.master.master import Master as SameMaster
    from interaction.master.task import TaskStatus
    from interaction.slave.action import TaskFail as SameTaskFail
    from interaction.slave.slave import Slave as SameSlave

    assert (LOCAL_HOST, GLOBAL_HOST, SlaveConnection) == ("127.0.0.1", "0.0.0.0", SlaveConnectionProxy)
    assert (SameMaster, SameSlave, SameTaskFail) == (Master, Slave, TaskFail)
    classes = (ConnectionRefuse, DisconnectionRefuse, TaskRefuse, MasterErrorCode, RequestException, ResponseException)
    assert all(isinstance(kind, type) for kind in (*classes, SlaveErrorCode, SlaveConnectionProxy, TaskStatus))
    assert issubclass(SlaveChannelInvalid, ResponseException)
