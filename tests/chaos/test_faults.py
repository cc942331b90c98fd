"""The short form of scripts/chaos: one round of each fault, on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.children import WAYS
from tests.chaos.clocks import move_clocks
from tests.chaos.descriptors import exhaust_master, exhaust_slaves
from tests.chaos.failpoints import MAY_END, die_at_failpoints
from tests.chaos.findings import Findings
from tests.chaos.forks import KINDS, fork_everywhere
from tests.chaos.kills import kill_slaves
from tests.chaos.master_kills import kill_masters
from tests.chaos.master_stops import stop_master
from tests.chaos.network import CUTS, NoNetwork
from tests.chaos.partitions import cut_wires
from tests.chaos.process import ROOT
from tests.chaos.stops import stop_slaves
from tests.chaos.wires import spoil_wires

pytestmark = pytest.mark.timeout(120)
SEED = 1


def judged(found: Findings, hits: int) -> Findings:
    assert found.violations == []
    assert found.hits == hits
    assert found.ended["COMPLETED"] > 0
    assert found.tasks == sum(found.ended.values())
    assert json.loads(json.dumps(found.figures()))["hits"] == hits
    return found


def test_slaves_are_killed_at_any_moment(tmp_path: Path) -> None:
    found = judged(kill_slaves(tmp_path, SEED), 12)
    assert found.ended["LOST"] >= 3, "most kills hit a task"
    assert max(found.known_after) < 5.0  # the tolerance is 15 s; scripts/chaos measures how long it takes


def test_slaves_die_at_each_failpoint(tmp_path: Path) -> None:
    found = judged(die_at_failpoints(tmp_path, SEED), len(MAY_END))
    assert len(found.known_after) == len(MAY_END)


def test_slaves_stand_still_for_twice_the_tolerance_and_what_they_say_afterwards_is_stale(tmp_path: Path) -> None:
    found = judged(stop_slaves(tmp_path, SEED, slaves=2), 2)
    assert (found.stale_offered, found.stale_accepted) == (2, 0)
    assert len(found.known_after) == 2


def test_a_master_with_a_journal_is_killed_and_loses_nothing(tmp_path: Path) -> None:
    found = judged(kill_masters(tmp_path, SEED, kills=4, slaves=2), 4)
    assert found.known_after


def test_the_master_stands_still_and_its_slaves_let_go_first(tmp_path: Path) -> None:
    found = judged(stop_master(tmp_path, SEED, slaves=2), 2)
    assert len(found.margins) == 4


def test_wires_are_cut_and_the_slave_lets_go_first(tmp_path: Path) -> None:
    try:
        found = judged(cut_wires(tmp_path, SEED), len(CUTS))
    except NoNetwork as reason:
        pytest.skip(f"no network namespaces: {reason}")
    assert len(found.margins) == len(found.known_after) == len(CUTS)


def test_bad_wires_lose_nothing(tmp_path: Path) -> None:
    judged(spoil_wires(tmp_path, SEED), 14)


def test_a_slave_without_descriptors_is_lost_and_recovers(tmp_path: Path) -> None:
    judged(exhaust_slaves(tmp_path, SEED), 1)


def test_a_master_without_descriptors_goes_on_and_recovers(tmp_path: Path) -> None:
    judged(exhaust_master(tmp_path, SEED), 1)


def test_clocks_are_moved_by_hours(tmp_path: Path) -> None:
    judged(move_clocks(tmp_path, SEED, slaves=1), 4)


def test_everybody_forks_and_no_child_dies_or_hangs_or_hides_the_end_of_a_slave(tmp_path: Path) -> None:
    found = judged(fork_everywhere(tmp_path, SEED, kills=1, at_once=5.0), len(KINDS))
    assert set(found.children) == set(WAYS)
    assert found.reasons.keys() <= {"EXITED"}
    assert len(found.known_after) == len(KINDS)


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "scripts/chaos", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_script_prints_a_table_and_writes_the_same_figures(tmp_path: Path) -> None:
    told = script("--only", "failpoints", "--rounds", "1", "--json", str(tmp_path / "figures"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert "failpoints" in told.stdout
    faults = json.loads((tmp_path / "figures").read_text())["faults"]
    assert list(faults) == ["failpoints"]
    assert faults["failpoints"]["hits"] == len(MAY_END)


def test_the_script_knows_its_faults() -> None:
    told = script("--only", "failpoints,flood")
    assert told.returncode == 2
    assert "no fault flood; there are kills, failpoints, stops" in told.stderr
