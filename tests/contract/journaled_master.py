"""A master with a journal in a process of its own, to be killed: does what it is told on stdin, line by line, as JSON.

python -m tests.contract.journaled_master JOURNAL PORT      prints its port, then an answer for each line
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from interaction import Master, SlavePool, Task
from interaction.exception import LossReason

CHANNEL = 7


pools: list[SlavePool] = []  # the one of this process


def say(word: object) -> None:
    """One line, from any thread."""
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


class Told(Master):
    """Tells of what happens."""

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        say({"lost": name, "reason": reason.name})


def tell(task: Task) -> Task:
    """Have the end of a task told."""
    task.on_complete(lambda data, result: say({"completed": task.id, "data": dict(data), "result": result}))
    task.on_fail(lambda data, result: say({"failed": task.id, "error": str(task.error), "status": task.status.name}))
    return task


def do(master: Master, command: Mapping[str, Any]) -> object:
    """One command."""
    match command:
        case {"connect": name, "port": port}:
            master.new_connection(name, "127.0.0.1", port).connect()
            return {"connected": name}
        case {"start": name, "data": data, "tell": told}:
            task = master[name].new_task(data)
            if told:
                tell(task)
            task.start()
            return {"started": task.id}
        case {"submit": data}:
            future = pools[0].submit(data)
            future.add_done_callback(lambda done: say({"had": done.result()}))
            return {"submitted": data}
        case {"tasks": told}:
            tasks = master.tasks()
            answer = {"tasks": {task.id: task.status.name for task in tasks}}
            say(answer)
            for task in tasks if told else []:
                tell(task)
            return None
        case {"resumed": seconds}:
            return {"resumed": sorted(connection.name for connection in master.wait_until_resumed(seconds))}
        case {"disconnect": name}:
            master[name].disconnect()
            return {"disconnected": name}
    raise ValueError(f"no such command: {command}")


def main() -> None:
    journal, port, tolerance = sys.argv[1:]
    with Told("127.0.0.1", int(port), float(tolerance), 0.1, channel=CHANNEL, journal=f"sqlite:///{journal}") as master:
        pools.append(SlavePool(master))
        say({"port": master.port})
        for line in sys.stdin:
            answer = do(master, json.loads(line))
            if answer is not None:
                say(answer)


if __name__ == "__main__":
    main()
