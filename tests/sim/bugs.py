"""Bugs that somebody might make, each put into the nodes of one run. The simulation must catch every one.

They replace methods of the core's objects from outside: nothing in the package knows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from interaction.core.admission import Admission, Ticket
from interaction.core.custody import Ending
from interaction.core.engagement import Claim
from interaction.core.journal import Entry, SessionKept, SessionRecord
from interaction.core.lease import Lease
from interaction.core.model import Acknowledgement, TaskOffer, TaskResult
from interaction.core.session import Await, Lose, Probe, ProbeAnswer
from interaction.core.task import TaskMachine
from interaction.exception import LossReason
from tests.sim.journal import Done, SimJournal
from tests.sim.link import SimLink
from tests.sim.master import SimMaster
from tests.sim.planting import each_journal, each_lease, each_link, each_machine, each_slave, nothing, put
from tests.sim.proof_bugs import PROOF_BUGS
from tests.sim.road_bugs import ROAD_BUGS
from tests.sim.run import Plant, Run
from tests.sim.slave import SimSlave
from tests.sim.task import SimTask

# The slave's.


def no_dedupe(slave: SimSlave) -> None:
    """A task that comes again is taken for a new one."""
    admission = slave.tenancy.admission
    offer = admission.offer

    def offering(task: TaskOffer, session: str, *, outbox_full: bool = False) -> tuple[Ticket, bool]:
        admission._known.pop(task.task_id, None)
        return offer(task, session, outbox_full=outbox_full)

    put(admission, "offer", offering)


def old_token_accepted(slave: SimSlave) -> None:
    """A task that bears any token is taken in the session that lives."""
    engagement = slave.tenancy.engagement
    check = engagement.check
    put(engagement, "check", lambda token: check(engagement.token or token))


def place_never_freed(slave: SimSlave) -> None:
    """A task that has ended keeps its place."""
    put(slave.tenancy.admission, "ended", nothing)


def hands_back_what_runs(slave: SimSlave) -> None:
    """A slave that drains hands back whatever it has."""
    admission = slave.tenancy.admission
    put(admission, "unbegun", lambda session: taken(admission, session))


def taken(admission: Admission, session: str) -> list[Ticket]:
    """The tasks of a session that have a place."""
    return [one for one in admission._places.values() if one.answer is not None and one.session == session]


def runs_what_it_has_handed_back(slave: SimSlave) -> None:
    """A task that was handed back stays in the backlog."""
    tenancy = slave.tenancy
    waiting = lambda session: [one for one in taken(tenancy.admission, session) if not one.begun]  # noqa: E731

    def handed_back(ticket: Ticket, report: TaskResult, now: float) -> bool:
        tenancy.outbox.put(ticket.offer.task_id, ticket.session, report, now)
        return True

    put(tenancy.admission, "unbegun", waiting)
    put(tenancy, "handed_back", handed_back)


def witness_forgets(slave: SimSlave) -> None:
    """It is not written down what begins."""
    if slave.tenancy._begun is not None:
        put(slave.tenancy._begun, "begins", nothing)


def lease_never_over(slave: SimSlave) -> None:
    """The slave does not let go."""
    put(slave.tenancy.engagement, "lease_over", lambda now: False)


def result_forgotten_when_reported(slave: SimSlave) -> None:
    """A result leaves the outbox when it is sent, not when it is acknowledged."""
    outbox = slave.outbox
    take = outbox.take_due

    def taking(session: str, now: float) -> Any:
        entries = take(session, now)
        for entry in entries:
            outbox.acknowledged(entry.task_id)
        return entries

    put(outbox, "take_due", taking)


def report_never_tried_again(slave: SimSlave) -> None:
    """A report that got no answer stays in flight."""
    put(slave.outbox, "failed", nothing)


def session_never_free(slave: SimSlave) -> None:
    """A session whose lease ran out stands in the way of the next."""
    engagement = slave.tenancy.engagement
    lease_over = engagement.lease_over

    def over(now: float) -> bool:
        ended = lease_over(now)
        if ended:
            engagement.asking = Claim("z" * 43, 1.0, 1.0, now)  # as if somebody were being asked about for ever
        return ended

    put(engagement, "lease_over", over)


def lease_from_receipt(slave: SimSlave, lease: Lease) -> None:
    """The lease counts from the receipt of an acknowledgement."""
    acknowledged = lease.acknowledged

    def receiving(sequence: int, duration: float | None = None) -> None:
        acknowledged(sequence, duration)
        lease._renewed_at = slave.now

    put(lease, "acknowledged", receiving)


def lease_as_long_as_the_tolerance(slave: SimSlave, lease: Lease) -> None:
    """The slave believes for twice as long as it was granted."""
    lease._granted *= 2


# The master's.


def result_taken_twice(master: SimMaster, link: SimLink) -> None:
    """A task that has its result stays open, and a second result ends it once more."""
    put(link.custody._tasks, "close", nothing)
    each_machine(link, finishes_again)


def finishes_again(task: TaskMachine) -> None:
    """Every result is the first."""
    finish = task.finish

    def finishing(result: Any) -> Acknowledgement:
        finish(result)
        return Acknowledgement.RECORDED

    put(task, "finish", finishing)


def ended_tasks_are_lost(master: SimMaster, link: SimLink) -> None:
    """The end of a session ends its tasks, those that have ended before too."""
    put(link.custody._tasks, "close", nothing)
    each_machine(link, lambda task: put(task, "lose", lambda error: True))


def lost_tasks_not_told(master: SimMaster, link: SimLink) -> None:
    """The end of a session does not end its tasks."""
    close = link.custody.close

    def closing(reason: LossReason | None, message: str, **how: Any) -> Ending[SimTask] | None:
        ending = close(reason, message, **how)
        return None if ending is None else replace(ending, lost=(), unsent=(), unbegun=(), untaken=())

    put(link.custody, "close", closing)


def what_is_lost_had_not_begun(master: SimMaster, link: SimLink) -> None:
    """A slave's death is taken for a proof."""
    close = link.custody.close

    def closing(
        reason: LossReason | None, message: str, *, asked: bool, begun: Collection[str] | None = None
    ) -> Ending[SimTask] | None:
        return close(reason, message, asked=asked, begun=() if reason is LossReason.EXITED else begun)

    put(link.custody, "close", closing)


def never_silent(master: SimMaster, link: SimLink) -> None:
    """Silence is not noticed."""
    tick = link.session.tick

    def ticking(now: float) -> Probe | Lose | None:
        decision = tick(min(now, link.session.last_heard))
        return None if isinstance(decision, Lose) else decision

    put(link.session, "tick", ticking)


def restart_not_noticed(master: SimMaster, link: SimLink) -> None:
    """Whoever answers a probe is taken for the slave."""
    probed = link.session.probed

    def probing(answer: ProbeAnswer, *, busy: bool = False) -> Probe | Lose | Await | None:
        known = link.session.incarnation
        return probed(ProbeAnswer(known if answer.incarnation else None, answer.nobody), busy=busy)

    put(link.session, "probed", probing)


def stall_reaches_into_the_future(master: SimMaster, link: SimLink) -> None:
    """A stall is added to what was heard after it."""

    def excusing(seconds: float, now: float) -> None:
        link.session.last_heard += 10 * seconds

    put(link.session, "excuse", excusing)


# The journal's.


def successor_not_known_at_once(master: SimMaster, slaves: list[SimSlave]) -> None:
    """A token that an earlier life may have given to the slave is known only when the slave is asked."""
    link_to = master.link_to
    put(master, "link_to", lambda slave, record: without_successor(link_to, slave, record))


def without_successor(link_to: Callable[..., SimLink], slave: SimSlave, record: SessionRecord) -> SimLink:
    """Link to the slave as if there were no successor."""
    link = link_to(slave, replace(record, successor=""))
    link.record = record
    return link


def acknowledged_before_written(master: SimMaster, link: SimLink) -> None:
    """A result is acknowledged while it is still on its way to the disk."""
    report = link.custody.report

    def reporting(result: TaskResult) -> SimTask | Acknowledgement:
        task = report(result)
        if isinstance(task, Acknowledgement):
            return task
        link.custody.recorded(result)
        return Acknowledgement.RECORDED

    put(link.custody, "report", reporting)


def adopted_without_question(master: SimMaster, link: SimLink) -> None:
    """What the slave does not hold is believed to run."""
    put(link.custody, "missing", lambda held: [])


def sent_before_written(journal: SimJournal) -> None:
    """What depends on a commit does not wait for it."""
    write = journal.write

    def writing(entries: Sequence[Entry], done: Done) -> None:
        done(None)
        write(entries, nothing)

    put(journal, "write", writing)


def told_before_written(journal: SimJournal) -> None:
    """What has happened is told before it is on the disk."""
    keep = journal.keep

    def keeping(entries: Sequence[Entry], done: Done) -> None:
        done(None)
        keep(entries, nothing)

    put(journal, "keep", keeping)


def owed_and_forgotten(journal: SimJournal) -> None:
    """What could not be written is not written later either."""
    put(journal, "_pay", lambda: journal._owed.clear())


def sessions_not_written(journal: SimJournal) -> None:
    """The new token of a session that was resumed is not written down."""
    write = journal.write

    def writing(entries: Sequence[Entry], done: Done) -> None:
        write([entry for entry in entries if not (isinstance(entry, SessionKept) and entry.session.successor)], done)

    put(journal, "write", writing)


BUGS: dict[str, Plant] = {
    **{
        bug.__name__: each_slave(bug)
        for bug in (
            no_dedupe,
            old_token_accepted,
            place_never_freed,
            hands_back_what_runs,
            runs_what_it_has_handed_back,
            witness_forgets,
            lease_never_over,
            result_forgotten_when_reported,
            report_never_tried_again,
            session_never_free,
        )
    },
    **{bug.__name__: each_lease(bug) for bug in (lease_from_receipt, lease_as_long_as_the_tolerance)},
    **{
        bug.__name__: each_link(bug)
        for bug in (
            result_taken_twice,
            ended_tasks_are_lost,
            lost_tasks_not_told,
            what_is_lost_had_not_begun,
            never_silent,
            restart_not_noticed,
            stall_reaches_into_the_future,
            acknowledged_before_written,
            adopted_without_question,
        )
    },
    successor_not_known_at_once.__name__: successor_not_known_at_once,
    **{
        bug.__name__: each_journal(bug)
        for bug in (sent_before_written, told_before_written, owed_and_forgotten, sessions_not_written)
    },
    **ROAD_BUGS,
    **PROOF_BUGS,
}


def caught_at(name: str, seeds: Iterable[int]) -> int | None:
    """The first of the seeds at which a run with that bug is found to be wrong, or breaks down."""
    for seed in seeds:
        try:
            violations = Run(seed, BUGS[name]).go().violations
        except (LookupError, AssertionError):
            return seed
        if violations:
            return seed
    return None
