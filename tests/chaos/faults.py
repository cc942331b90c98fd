"""All faults by their names: each a round that takes some seconds, with its chances from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.chaos.clocks import move_clocks
from tests.chaos.descriptors import exhaust_master, exhaust_slaves
from tests.chaos.failpoints import die_at_failpoints
from tests.chaos.findings import Findings
from tests.chaos.forks import fork_everywhere
from tests.chaos.kills import kill_slaves
from tests.chaos.master_kills import kill_masters
from tests.chaos.master_stops import stop_master
from tests.chaos.partitions import cut_wires
from tests.chaos.stops import stop_slaves
from tests.chaos.wires import spoil_wires

FAULTS: dict[str, Callable[[Path, int], Findings]] = {
    "kills": kill_slaves,
    "failpoints": die_at_failpoints,
    "stops": stop_slaves,
    "master-kills": kill_masters,
    "master-stops": stop_master,
    "partitions": cut_wires,
    "wires": spoil_wires,
    "descriptors": exhaust_slaves,
    "master-descriptors": exhaust_master,
    "clocks": move_clocks,
    "forks": fork_everywhere,
}
