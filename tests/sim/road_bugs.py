"""Bugs of the fast road, and of slots and backlog, that the simulation must catch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from interaction.core.admission import Ticket
from interaction.core.custody import Ending
from interaction.core.model import TaskOffer, TaskResult
from interaction.core.outcomes import Outcomes
from interaction.core.road import Awaited, Road
from interaction.core.task import TaskMachine, TaskStatus
from interaction.core.tenancy import Turn
from interaction.exception import SlaveTaskAlreadyExist
from tests.sim.link import SimLink
from tests.sim.master import SimMaster
from tests.sim.planting import each_link, each_machine, each_outcomes, each_road, each_slave, nothing, put
from tests.sim.road import Packed
from tests.sim.run import Plant
from tests.sim.slave import SimSlave
from tests.sim.task import SimTask
from tests.sim.wire import Said

# The slave's.


def results_in_flight_not_released(slave: SimSlave) -> None:
    """What a broken stream has not brought home stays in flight."""
    put(slave.outbox, "released", nothing)


def id_forgotten_with_its_end(slave: SimSlave) -> None:
    """An id is forgotten when its task has ended, though nobody has acknowledged the result."""
    admission = slave.tenancy.admission
    ended = admission.ended

    def ending(ticket: Ticket) -> None:
        ended(ticket)
        admission._known.pop(ticket.offer.task_id, None)

    put(admission, "ended", ending)


def outbox_not_full(slave: SimSlave) -> None:
    """Tasks are taken however many results wait."""
    admission = slave.tenancy.admission
    offer = admission.offer
    put(admission, "offer", lambda task, session, *, outbox_full=False: offer(task, session))


def one_place_more(slave: SimSlave) -> None:
    """More tasks are taken than there are places."""
    slave.tenancy.admission.backlog += 1


def waiting_task_begins_without_its_session(slave: SimSlave) -> None:
    """A task of the backlog begins when there is a slot, whatever has become of its session."""
    put(slave.tenancy, "turn", lambda ticket, now: Turn.BEGIN)


def waiting_task_dropped_with_the_lease(slave: SimSlave) -> None:
    """A task of the backlog is dropped while its master may come back for it."""
    tenancy = slave.tenancy
    turn = tenancy.turn

    def dropping(ticket: Ticket, now: float) -> Turn:
        decision = turn(ticket, now)
        if decision is not Turn.WAIT:
            return decision
        ticket.session = ""  # nobody's: it is not handed back, either
        return Turn.DROP

    put(tenancy, "turn", dropping)


def result_forgotten_when_said(slave: SimSlave, outcomes: Outcomes[TaskResult]) -> None:
    """A result leaves the outbox when it goes on a stream."""
    ended = outcomes.ended

    def ending(task_id: str, result: TaskResult, size: int, now: float) -> None:
        ended(task_id, result, size, now)
        slave.outbox.acknowledged(task_id)

    put(outcomes, "ended", ending)


def kept_task_does_not_begin(slave: SimSlave, outcomes: Outcomes[TaskResult]) -> None:
    """A task that was to begin when its master was told does not, where the stream breaks before."""
    broken = outcomes.broken
    put(outcomes, "broken", lambda: ([], broken()[1]))


def bare_acceptances_not_said(slave: SimSlave, outcomes: Outcomes[TaskResult]) -> None:
    """An acceptance waits for its result, however long that takes."""
    put(outcomes, "flush", nothing)


# The master's.


def acknowledged_by_the_stream_before_written(master: SimMaster, link: SimLink) -> None:
    """A result on a stream is acknowledged when it comes."""
    outcome = link.delivery.outcome

    def acknowledging(said: Said, recorded: Callable[[str], object]) -> None:
        if isinstance(said, TaskResult):
            recorded(said.task_id)
        outcome(said, recorded)

    put(link.delivery, "outcome", acknowledging)


def refusal_forgotten(master: SimMaster, link: SimLink) -> None:
    """A task for which the slave has no place is not told so."""
    not_started = link.custody.not_started

    def refusing(task: SimTask, error: BaseException) -> tuple[bool, Ending[SimTask] | None]:
        return (False, None) if isinstance(error, SlaveTaskAlreadyExist) else not_started(task, error)

    put(link.custody, "not_started", refusing)


def acceptance_revives(master: SimMaster, link: SimLink) -> None:
    """An acceptance that the result has overtaken counts."""

    def in_machine(task: TaskMachine) -> None:
        def accepting() -> bool:
            task.status = TaskStatus.STARTED
            return True

        put(task, "accept", accepting)

    each_machine(link, in_machine)


def awaited_dropped_at_a_break(road: Road[Packed]) -> None:
    """What has no answer when its stream breaks is forgotten."""
    ended = road.ended

    def dropping(why: BaseException | None) -> list[Awaited[Packed]]:
        ended(why)
        return []

    put(road, "ended", dropping)


def left_over_under_a_new_id(road: Road[Packed]) -> None:
    """What a broken stream leaves over is handed over as if it were new."""
    ended = road.ended

    def renaming(why: BaseException | None) -> list[Awaited[Packed]]:
        return [replace(one, task=(one.task[0], renamed(one.task[1]))) for one in ended(why)]

    put(road, "ended", renaming)


def renamed(offer: TaskOffer) -> TaskOffer:
    """The same task under another id."""
    return replace(offer, task_id=f"{offer.task_id} again")


def acknowledgements_mixed_up(road: Road[Packed]) -> None:
    """A message acknowledges the tasks that it brings."""
    take = road.take

    def taking() -> tuple[list[Packed], Sequence[str]]:
        tasks, acknowledged = take()
        return tasks, [*acknowledged, *road._awaited]

    put(road, "take", taking)


def plants(kind: Callable[[Any], Plant], *bugs: Callable[..., None]) -> dict[str, Plant]:
    """These bugs, by name."""
    return {bug.__name__: kind(bug) for bug in bugs}


ROAD_BUGS: dict[str, Plant] = {
    **plants(
        each_slave,
        results_in_flight_not_released,
        id_forgotten_with_its_end,
        outbox_not_full,
        one_place_more,
        waiting_task_begins_without_its_session,
        waiting_task_dropped_with_the_lease,
    ),
    **plants(each_outcomes, result_forgotten_when_said, kept_task_does_not_begin, bare_acceptances_not_said),
    **plants(each_link, acknowledged_by_the_stream_before_written, refusal_forgotten, acceptance_revives),
    **plants(each_road, awaited_dropped_at_a_break, left_over_under_a_new_id, acknowledgements_mixed_up),
}
