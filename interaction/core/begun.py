"""Which tasks of a slave have begun: written where another process can read it when the slave's has died at any moment.

The memory has a head, and a cell for each of some thousand tasks. A task's id stands in its cell before any user's code
runs for it, and the cell is another's only when the task has ended and its result was acknowledged. So what stands in
no cell has not begun: a task whose id was half written had not begun either, and the one before it was over. This
imports nothing, for a process that waits and reads should be small.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from mmap import mmap

    from interaction.core.admission import Ticket

    Memory = bytearray | mmap

HEAD = 16  # bytes: the number of the session, and whether a task may have begun that stands in no cell
CELL = 36  # bytes: a task's id
MOST_CELLS = 32_768  # whose ids fit into a message of the shortest limit that is usual, 4 MiB
_NUMBER = slice(0, 8)
_INCOMPLETE = 8


def size_for(capacity: int) -> int:
    """How many bytes it takes, for so many tasks at once that have begun and have no acknowledged result.

    With twice the cells at least half are free whenever it is looked which are.
    """
    return HEAD + CELL * min(2 * capacity, MOST_CELLS)


def number(memory: Memory, session: int) -> None:
    """From now on it is about the session of that number."""
    memory[_NUMBER] = session.to_bytes(8, "little")


def read(memory: Memory) -> tuple[int, list[str] | None]:
    """The number of the session, and the ids of all tasks that have begun and whose end its master may not know, with
    others. None in place of them: there may be more."""
    session = int.from_bytes(memory[_NUMBER], "little")
    if memory[_INCOMPLETE]:
        return session, None
    cells = [memory[at : at + CELL] for at in range(HEAD, len(memory) - CELL + 1, CELL)]
    return session, [bytes(cell).decode("ascii", "replace") for cell in cells if cell[0] and cell[-1]]


class Begun:
    """What a slave writes there. `waiting` has the ids of the tasks that have ended, and whose results were not
    acknowledged."""

    def __init__(self, memory: Memory, waiting: Container[str]) -> None:
        self._memory = memory
        self._waiting = waiting
        self._free = list(range(HEAD, len(memory) - CELL + 1, CELL))
        self._tickets: dict[int, Ticket] = {}  # by where their cells are
        self._scarce = len(self._free) // 8

    def reserve(self, ticket: Ticket) -> None:
        """A task is to have a cell, if it has none. On the loop."""
        if not self._free:
            self._look_for_free()
        if self._free and not ticket.cell:
            at = ticket.cell = self._free.pop()
            self._tickets[at] = ticket

    def _look_for_free(self) -> None:
        """Where few are, to look again with each task would cost more than it is worth: then none gets one any more."""
        if not self._memory[_INCOMPLETE]:
            waiting = self._waiting
            free = [at for at, one in self._tickets.items() if one.ended and one.offer.task_id not in waiting]
            self._free = free if len(free) >= self._scarce else []

    def begins(self, ticket: Ticket) -> None:
        """Users' code is about to run for a task. On any thread: one write, and no lock that could be left taken."""
        at = ticket.cell
        if self._tickets.get(at) is ticket:
            self._memory[at : at + CELL] = ticket.offer.task_id.encode()
        else:
            self._memory[_INCOMPLETE] = 1
