"""A slave that things happen to. It writes down each task that it begins, so that one that began twice is seen.

python -m tests.chaos.slave OPTIONS

Options: `log`, the file for the tasks; `host`; `pacemaker`; `die_at`, a failpoint, and `die_after`, the tasks
that go well before; `zombie`: whether it reports a result although its session has ended. It tells `ready`, `lost`,
`dying`, and `stale` with the master's answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest.mock import patch

from interaction import RequestException, Slave
from interaction.address import Endpoint
from interaction.core.model import Acknowledgement, Data, TaskOffer
from interaction.core.outbox import Entry
from interaction.exception import MasterResponseException
from interaction.rpc.convert import Report, SizedReport
from interaction.rpc.loop import acquire, release
from interaction.rpc.master_client import MasterClient
from interaction.rpc.signing import Signer
from interaction.slave import desk, proof, workshop
from interaction.slave.work import WorkStream
from interaction.slave.worker import run_task
from interaction.tls import TLS
from tests.chaos.program import commands, log_errors, move_clock, options, say

OPTIONS = options()


def failpoint(name: str, number: int) -> None:
    """Where this process dies with its task of that number, counted from 1, if it was told to die here."""
    if OPTIONS.get("die_at") == name and number > OPTIONS["die_after"]:
        say("dying", point=name)
        os.kill(os.getpid(), signal.SIGKILL)


class Client(MasterClient):
    """What speaks to the master: it dies where it is told to, and what it knew can be used after its end."""

    newest: tuple[Endpoint, TLS | None, Signer, str, int] | None = None
    reports = 0  # so far: an acknowledgement may come after the next task

    def __init__(self, endpoint: Endpoint, tls: TLS | None, signer: Signer, token: str, max_message_bytes: int) -> None:
        super().__init__(endpoint, tls, signer, token, max_message_bytes)
        Client.newest = (endpoint, tls, signer, token, max_message_bytes)

    async def report(self, result: Report, timeout: float) -> Acknowledgement:
        Client.reports += 1
        number = Client.reports
        failpoint("computed", number)
        reporting = asyncio.ensure_future(super().report(result, timeout))
        if OPTIONS.get("die_at") == "reporting":
            await asyncio.wait({reporting}, timeout=0.0005)  # it leaves, and the answer is on its way or there
            failpoint("reporting", number)
        acknowledgement = await reporting
        failpoint("acknowledged", number)
        return acknowledgement


class Stream(WorkStream):
    """The fast road, which most results go by: it dies where it is told to."""

    acknowledgements = 0  # so far

    def report(self, entry: Entry[SizedReport]) -> bool:
        """As the package's own."""
        Client.reports += 1
        number = Client.reports
        failpoint("computed", number)
        said = super().report(entry)
        if OPTIONS.get("die_at") == "reporting":  # soon, when it has left, and the answer is on its way or there
            asyncio.get_running_loop().call_later(0.0005, failpoint, "reporting", number)
        return said

    def acknowledged(self, task_ids: Sequence[str]) -> None:
        """As the package's own."""
        super().acknowledged(task_ids)
        Stream.acknowledgements += len(task_ids)
        failpoint("acknowledged", Stream.acknowledgements)


class Zombie:
    """Reports the last task's result once more, by a session that has ended."""

    def __init__(self) -> None:
        self._report: SizedReport | None = None
        self._lost = False
        self._ready = threading.Condition()

    def run_task(self, process: Callable[[Data], Any], offer: TaskOffer, max_message_bytes: int) -> SizedReport:
        """As the package's own, and remembers the report."""
        with self._ready:
            self._report = None
        report = run_task(process, offer, max_message_bytes)
        with self._ready:
            self._report = report
            self._ready.notify_all()
        return report

    def walk(self) -> None:
        """The session is lost: say what nobody should believe, once the task that runs has ended."""
        with self._ready:
            self._ready.wait_for(lambda: self._report is not None, 10.0)
        assert Client.newest is not None, "there was a session"
        assert self._report is not None, "a task ran in it"
        thread = acquire("census")
        try:
            say("stale", task=self._report.task_id, answer=thread.run(self._offer(Client.newest, self._report)))
        finally:
            release("census")

    @staticmethod
    async def _offer(known: tuple[Endpoint, TLS | None, Signer, str, int], report: SizedReport) -> str:
        client = MasterClient(*known)
        try:
            return (await client.report(report.message, 10.0)).name
        except (MasterResponseException, RequestException) as error:
            return type(error).__name__
        finally:
            await client.close()


class Doomed(Slave):
    """Takes as long as a task says."""

    asked = 0  # tasks so far

    def __init__(self, zombie: Zombie | None) -> None:
        super().__init__(OPTIONS.get("host", "127.0.0.1"), 0, pacemaker=OPTIONS.get("pacemaker", True))
        self._zombie = zombie
        self._executed = os.open(OPTIONS["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _before_task(self, data: Mapping[str, Any]) -> None:
        Doomed.asked += 1
        failpoint("asked", Doomed.asked)

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        failpoint("accepted", Doomed.asked)
        os.write(self._executed, f"{task['number']}\n".encode())  # one write: whole lines from all processes
        threading.Event().wait(task["seconds"])
        failpoint("running", Doomed.asked)
        return {"number": task["number"], "padding": task["padding"]}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        say("lost", error=type(error).__name__)
        if self._zombie is not None:
            self._zombie.walk()


def main() -> None:
    zombie = Zombie() if OPTIONS.get("zombie") else None
    log_errors()
    with (
        patch.object(proof, "MasterClient", Client),
        patch.object(desk, "WorkStream", Stream),
        patch.object(workshop, "run_task", run_task if zombie is None else zombie.run_task),
        Doomed(zombie) as slave,
    ):
        say("ready", port=slave.port)
        for told in commands():
            if told["command"] == "clock":
                move_clock(told["seconds"])
                say("clock")


if __name__ == "__main__":
    main()
