"""A master in a process of its own, that keeps slaves busy and connects again to each that it loses.

python -m tests.chaos.master OPTIONS

Options: `slaves`, their names with host and port; `seed`, `longest`, and `padding` of the tasks; `forks`: whether it
starts processes in every way meanwhile, and tells `children`; all others are the master's own. It tells `ready`,
`connected`, `known` for each loss, and, asked for it, `report`: the findings.
"""

from __future__ import annotations

import threading

from interaction import RequestException
from interaction.exception import SlaveResponseException
from tests.chaos.children import start_until
from tests.chaos.load import Load, Mourning, quick
from tests.chaos.program import commands, log_errors, move_clock, options, say

AGAIN = 0.1  # seconds between two attempts to connect


class Telling(Mourning):
    """Tells of each loss at once."""

    def told(self, name: str) -> None:
        """Wait for the loss of that name, and tell."""
        loss = self.loss(name)
        if loss is not None:
            say("known", name=name, known_at=loss[0], reason=loss[1].name)


def keep_busy(master: Telling, load: Load, name: str, host: str, port: int, over: threading.Event) -> None:
    """Connect, give tasks until it is lost, and again."""
    while not over.is_set():
        connection = master.new_connection(name, host, port)
        try:
            connection.connect()
        except (RequestException, SlaveResponseException):
            over.wait(AGAIN)
            continue
        say("connected", name=name)
        load.work(connection, over)
        if connection.is_connected:
            connection.close()
        else:
            master.told(name)


def main() -> None:
    given = options()
    log_errors()
    load = Load(given.pop("seed"), given.pop("longest"), given.pop("padding", 0))
    slaves, over = given.pop("slaves"), threading.Event()
    forks = given.pop("forks", False)
    with quick(Telling, **given) as master:
        assert isinstance(master, Telling)

        def end() -> None:
            over.set()
            load.stop()
            for thread in threads:
                thread.join()

        threads = [threading.Thread(target=keep_busy, args=(master, load, *slave, over)) for slave in slaves]
        if forks:
            threads.append(threading.Thread(target=start_until, args=(over,)))
        for thread in threads:
            thread.start()
        say("ready", port=master.port)
        for told in commands():
            if told["command"] == "clock":
                move_clock(told["seconds"])
                say("clock")
            elif told["command"] == "report":
                end()
                say("report", findings=vars(load.findings()))
        end()


if __name__ == "__main__":
    main()
