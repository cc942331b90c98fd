"""A slave that plays CartPole episodes.

    python -m cartpole.slave --port 0 --channel 7      prints the port that it listens at; 0 takes a free one

It ends when its standard input does, so that it never outlives the process that started it. To start one by hand, on
another machine for example, give it a terminal or `tail -f /dev/null |`, and `--host 0.0.0.0`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

import gymnasium

from interaction import Slave

from .policy import Policy


class CartPoleSlave(Slave):
    """Plays the episodes of one policy for each task.

    A task is `{"parameters": array of floats, "seeds": a seed for each episode}`; its result is
    `{"returns": [...], "steps": [...], "seconds": how long it all took}`, an entry for each episode.
    """

    def __init__(self, host: str, port: int, channel: int) -> None:
        super().__init__(host, port, channel=channel)
        self._environment = gymnasium.make("CartPole-v1")  # one for all tasks: they run one after another

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        policy = Policy(task["parameters"])
        began = time.perf_counter()
        episodes = [self._play(policy, seed) for seed in task["seeds"]]
        return {
            "returns": [reward for reward, _ in episodes],
            "steps": [steps for _, steps in episodes],
            "seconds": time.perf_counter() - began,
        }

    def _play(self, policy: Policy, seed: int) -> tuple[float, int]:
        observation, _ = self._environment.reset(seed=seed)
        total, steps, over = 0.0, 0, False
        while not over:
            observation, reward, terminated, truncated, _ = self._environment.step(policy(observation))
            total, steps, over = total + float(reward), steps + 1, terminated or truncated
        return total, steps


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m cartpole.slave", description="Plays CartPole for a master.")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, and is the default")
    parser.add_argument("--channel", type=int, default=0, help="the same as the master's (%(default)s)")
    told = parser.parse_args()
    try:
        slave = CartPoleSlave(told.host, told.port, told.channel)
        slave.start()
    except (OSError, ValueError) as error:  # a port in use, a host that can't be
        sys.exit(f"{parser.prog}: {error}")
    try:
        print(slave.port, flush=True)
        sys.stdin.read()
    finally:
        slave.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
