"""What the foreign tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.slave_programs import NODE, SlaveProgram, running_slave
from tests.installing import install_grpcurl, install_node_example

Grpcurl = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no test's time limit count the first build of a program, which has a limit of its own."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(60, func_only=True))


@pytest.fixture(scope="session")
def node_example() -> None:
    install_node_example()


@pytest.fixture
def node_slave(node_example: None) -> Iterator[SlaveProgram]:
    with running_slave(NODE) as slave:
        yield slave


@pytest.fixture(scope="session")
def grpcurl() -> Grpcurl:
    """The real grpcurl: a call of it gives what it printed, whether it succeeded or not."""
    program = install_grpcurl()

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), "-plaintext", "-max-time", "20", *arguments]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=30)

    return call
