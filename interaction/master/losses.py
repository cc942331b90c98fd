"""What the end of a session means for its tasks, as their owners and the log are told."""

from __future__ import annotations

import logging
import time
from copy import copy

from interaction.core.custody import Ending
from interaction.exception import LossReason
from interaction.master.base_task import BaseTask
from interaction.rpc.insist import insist

_log = logging.getLogger("interaction.master")


def how_it_ended(reason: LossReason | None, message: str, ended_at: float | None) -> str | None:
    """When and why a session has ended, for people; `ended_at` is on the monotonic clock. None where it has not, or had
    never begun."""
    if reason is None:
        return None
    ago = 0.0 if ended_at is None else time.monotonic() - ended_at
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago))
    how = "ended" if reason in (LossReason.DISCONNECTED, LossReason.DRAINED) else "was lost"
    why = f"{reason.name}: {message}" if message else reason.name
    return f"{how} at {at}, {ago:.1f} s ago ({why})"


def log_loss(name: str, ending: Ending[BaseTask], reason: LossReason) -> None:
    """Log how the connection of that name has ended: a loss that nobody wanted is a warning."""
    in_order = reason in (LossReason.DISCONNECTED, LossReason.DRAINED) and not ending.unfinished
    level = logging.INFO if in_order or ending.asked else logging.WARNING
    unbegun = len(ending.unbegun) + len(ending.untaken)
    known = f" (of which {unbegun} had not begun)" if unbegun else ""
    told = (name, reason.name, ending.message, len(ending.unfinished), known)
    _log.log(level, "connection %r is lost (%s): %s; unfinished tasks: %d%s", *told)


def tell_tasks(ending: Ending[BaseTask]) -> None:
    """The owners of the tasks learn of their end: each has an error of its own, which gathers a traceback where it is
    raised."""
    for task in ending.unsent:
        insist(task.fail_to_start, copy(ending.not_started))
    for task in ending.untaken:
        insist(task.fail_to_start, ending.not_taken)
    for task in ending.lost:
        insist(task.lose, copy(ending.error))
    for task in ending.unbegun:
        insist(task.lose, ending.not_begun)
