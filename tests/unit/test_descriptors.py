"""The servers of one process leave it descriptors of its own, in whatever order they start."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from interaction.rpc import descriptors
from interaction.rpc.descriptors import Share

FEW = 256


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (FEW, FEW))
    shares = list(descriptors._shares)  # of servers that other tests have left
    for share in shares:
        share.give_back()
    try:
        yield
    finally:
        descriptors._shares.update(shares)


def test_a_master_and_a_slave_in_one_process_leave_it_a_quarter() -> None:
    shares = [Share() for _ in range(2)]
    assert [share.connections for share in shares] == [128, 42]
    assert sum(share.connections for share in shares) <= FEW - FEW // 4


def test_what_an_ended_server_took_is_had_by_the_next() -> None:
    first = Share()
    again = first.connections
    first.give_back()
    first.give_back()
    assert Share().connections == again


def test_what_a_forgotten_server_took_is_had_by_the_next() -> None:
    first = Share()
    again = first.connections
    del first
    assert Share().connections == again


def test_a_process_of_many_servers_has_a_few_connections_for_each() -> None:
    shares = [Share() for _ in range(50)]
    assert min(share.connections for share in shares) == FEW // 8


def test_connections_are_not_counted_where_descriptors_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert Share().options == []
