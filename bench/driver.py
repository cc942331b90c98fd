"""A process in which one system is used, and timed. `python -m bench.driver '{"system": NAME, "workers": N, ...}'`."""

from __future__ import annotations

import json
import sys

from bench.catalogue import SYSTEMS
from bench.ours import Facade, StampedFacade
from bench.process import Command, answer_commands


def main() -> None:
    """Use it until there is nobody to ask."""
    options = json.loads(sys.argv[1])
    with SYSTEMS[options.pop("system")].make(**options) as system:
        commands: dict[str, Command] = {
            "round_trips": lambda seconds: {"seconds": system.round_trips(seconds)},
            "burst": lambda count: {"seconds": system.burst(count)},
            "payloads": lambda size, seconds: {"seconds": system.payloads(size, seconds)},
        }
        if isinstance(system, Facade):
            commands["processes"] = system.processes
        if isinstance(system, StampedFacade):
            commands["stamps"] = system.stamps
        answer_commands({}, commands)


if __name__ == "__main__":
    main()
