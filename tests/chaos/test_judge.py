"""The judge of the chaos finds what must not be, and what runs the rounds tells it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interaction import Slave
from tests.chaos import rounds
from tests.chaos.census import MIB, Holding, mib_per_hour
from tests.chaos.findings import Findings, executed_twice
from tests.chaos.load import Load, quick
from tests.chaos.network import NoNetwork
from tests.chaos.process import Process
from tests.chaos.proxy import Proxy
from tests.chaos.rounds import Rounds
from tests.chaos.soak import Soak, Watched

HOLDING = Holding(at=0.0, resident_bytes=MIB, descriptors=10, asyncio_tasks=5, threads=3)


class Liar(Slave):
    """Gives a wrong result."""

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        return {"number": task["number"] + 1, "padding": task["padding"]}


@pytest.mark.parametrize("name", ["hanging", "doubled_callbacks", "executed_twice", "wrong_results", "stale_accepted"])
def test_each_count_is_a_violation(name: str) -> None:
    found = Findings()
    assert found.violations == []
    found.count(**{name: 2})
    assert [sentence[-2:] for sentence in found.violations] == [" 2"]


def test_findings_add_up_and_know_late_losses_and_masters_that_were_first() -> None:
    found, more = Findings(rounds=1), Findings(rounds=1)
    more.known(1.0, 2.0, "in time")
    more.known(3.0, 2.0, "cut")
    more.first(0.1, "well")
    more.first(-0.1, "both")
    more.ended["LOST"] += 1
    found.add(more)
    assert (found.rounds, found.percentile(1.0), found.ended["LOST"]) == (2, 3.0, 1)
    late, early = found.violations
    assert late.startswith("cut: the loss was known after 3.00 s")
    assert early.startswith("both: the master gave the slave up 0.100 s before")


def test_a_task_that_is_not_completed_is_a_violation_where_none_may_be() -> None:
    found = Findings()
    found.ended.update(COMPLETED=3)
    found.nothing_but_completed()
    assert found.violations == []
    found.ended.update(LOST=1)
    found.nothing_but_completed()
    assert len(found.violations) == 1


def test_a_task_that_was_begun_twice_is_found_across_the_logs(tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "other"]
    logs[0].write_text("1\n2\n3\n")
    logs[1].write_text("3\n4\n")
    assert executed_twice(logs) == 1


def test_wrong_results_and_second_callbacks_are_found() -> None:
    load, over = Load(seed=0, longest=0.0), threading.Event()
    with Liar("127.0.0.1", 0) as slave, quick() as master:
        with master.new_connection("liar", "127.0.0.1", slave.port) as connection:
            working = threading.Thread(target=load.work, args=(connection, over))
            working.start()
            try:
                assert load.completes("liar")
            finally:
                over.set()
                working.join()
        done = sum(record.task.status.name == "COMPLETED" for record in load.records)
        load.records[0].calls += 1
        load.records[0].seen = None
        found = load.findings()
    assert found.wrong_results == done > 0
    assert found.doubled_callbacks == 1
    assert found.wrong == ["task 0 has ended, and no callback was called"]


def test_a_round_that_breaks_or_can_not_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, seed: int) -> Findings:
        raise TimeoutError("nobody came")

    def impossible(folder: Path, seed: int) -> Findings:
        raise NoNetwork("not here")

    monkeypatch.setattr(rounds, "FAULTS", {"broken": broken, "impossible": impossible})
    going = Rounds(["broken", "impossible"], seed=5, rounds=2)
    assert going.violations == ["no round was finished"]
    going.run()
    assert going.left_out == {"impossible": "not here"}
    assert going.violations == [f"broken: seed {seed}: the round broke: TimeoutError: nobody came" for seed in (5, 6)]


def test_the_slope_is_that_of_the_line() -> None:
    samples = [replace(HOLDING, at=600.0 * n, resident_bytes=100 * MIB + n * MIB) for n in range(5)]
    assert mib_per_hour(samples) == pytest.approx(6.0)


def test_a_leak_is_told() -> None:
    soak = Soak(minutes=60)
    grown = [replace(HOLDING, at=60.0 * n, resident_bytes=n * MIB) for n in range(60)]
    soak.watched = [Watched("master", HOLDING, replace(HOLDING, descriptors=11), grown)]
    assert soak.violations == [
        "master: its memory grows by 60.00 MiB/h",
        "master: descriptors were 10 at the start, and 11 at the end",
    ]


@pytest.mark.timeout(120)
def test_a_short_soak_comes_back_to_its_start() -> None:
    soak = Soak(minutes=0.1)
    soak.run()
    assert soak.violations == []
    assert soak.counts.ended["COMPLETED"] > 0
    assert len(soak.watched) == 2
    assert all(watched.samples for watched in soak.watched)


def test_a_process_that_does_not_say_what_it_should_is_gone(tmp_path: Path) -> None:
    with Process("tests.chaos.slave", {"log": str(tmp_path / "log")}) as process:
        with pytest.raises(TimeoutError, match="did not say 'lost'"):
            process.take("lost", 0.01)
        process.kill()
        with pytest.raises(EOFError, match="ended before it said 'lost'"):
            process.take("lost")


def test_the_proxy_hands_on_swallows_and_resets() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Proxy(listener.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 10.0) as near,
        listener.accept()[0] as far,
    ):
        near.sendall(b"one")
        assert far.recv(3) == b"one"
        proxy.swallow("there", True)
        near.sendall(b"two")
        far.settimeout(0.1)
        with pytest.raises(TimeoutError):
            far.recv(3)
        far.settimeout(10.0)
        proxy.swallow("there", False)
        assert far.recv(3) == b"two"
        proxy.half_close("there")
        assert far.recv(3) == b""
        far.sendall(b"three")
        assert near.recv(5) == b"three"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            near.recv(1)
