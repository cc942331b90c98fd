"""How a bug gets into the nodes of a run: in every life of a process, and into all that comes to be in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interaction.core.lease import Lease
from interaction.core.model import ConnectAnswer, TaskResult
from interaction.core.outcomes import Outcomes
from interaction.core.road import Road
from interaction.core.session import Session
from interaction.core.task import TaskMachine
from tests.sim.journal import SimJournal
from tests.sim.link import SimLink
from tests.sim.master import SimMaster
from tests.sim.road import Packed
from tests.sim.run import Plant
from tests.sim.slave import SimSlave
from tests.sim.task import SimTask
from tests.sim.wire import Wire


def put(target: object, name: str, function: Callable[..., Any]) -> None:
    """Replace a method of one object."""
    setattr(target, name, function)


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


def each_slave(change: Callable[[SimSlave], None]) -> Plant:
    """A bug in the slaves, in every life of theirs."""

    def plant(master: SimMaster, slaves: list[SimSlave]) -> None:
        for slave in slaves:
            change(slave)

    return plant


def each_link(change: Callable[[SimMaster, SimLink], None]) -> Plant:
    """A bug in all that a master keeps of a session."""

    def plant(master: SimMaster, slaves: list[SimSlave]) -> None:
        if "add" in vars(master.registry):  # planted before
            return
        add = master.registry.add

        def adding(token: str, session: Session, link: SimLink) -> None:
            change(master, link)
            add(token, session, link)

        put(master.registry, "add", adding)

    return plant


def each_lease(change: Callable[[SimSlave, Lease], None]) -> Plant:
    """A bug in the lease of every session."""

    def in_slave(slave: SimSlave) -> None:
        begin = slave.tenancy.engagement._begin

        def beginning(*arguments: Any) -> None:
            begin(*arguments)
            lease = slave.tenancy.engagement.lease
            assert lease is not None
            change(slave, lease)

        put(slave.tenancy.engagement, "_begin", beginning)

    return each_slave(in_slave)


def each_machine(link: SimLink, change: Callable[[TaskMachine], None]) -> None:
    """A bug in every task of a session."""
    add = link.custody._tasks.add

    def adding(task_id: str, task: SimTask) -> None:
        change(task.machine)
        add(task_id, task)

    put(link.custody._tasks, "add", adding)


def each_road(change: Callable[[Road[Packed]], None]) -> Plant:
    """A bug in the master's side of every fast road."""

    def in_link(master: SimMaster, link: SimLink) -> None:
        opened = link.delivery.opened

        def opening(answer: ConnectAnswer) -> None:
            opened(answer)
            if link.delivery.fast is not None:
                change(link.delivery.fast.road)

        put(link.delivery, "opened", opening)

    return each_link(in_link)


def each_outcomes(change: Callable[[SimSlave, Outcomes[TaskResult]], None]) -> Plant:
    """A bug in the slave's side of every stream of the fast road."""

    def in_slave(slave: SimSlave) -> None:
        open_work = slave._open_work

        def opening(token: str, wire: Wire) -> None:
            known = wire.work
            open_work(token, wire)
            if wire.work is not None and wire.work is not known:
                change(slave, wire.work.outcomes)

        put(slave, "_open_work", opening)

    return each_slave(in_slave)


def each_journal(change: Callable[[SimJournal], None]) -> Plant:
    """A bug in the journal of every life of the master."""

    def plant(master: SimMaster, slaves: list[SimSlave]) -> None:
        if master.journal is not None:
            change(master.journal)

    return plant
