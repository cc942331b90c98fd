"""What a pacemaker hears of its slave, and how it waits: standard library and core, since it mostly waits.

Its slave's words come on standard input, and its own go to standard output, each a line of JSON: what happened, and
numbers. Secrets come in `begin` alone, and nothing of it is ever said.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import sys
import time

from interaction.core import begun
from interaction.core.pacemaker import Pace, Pacemaker

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes as long to import as all the rest
    from typing import Any, NoReturn

_EXIT_PATIENCE = 2.0  # seconds that a process which has closed its pipe takes at most to end
_LOST_SIGHT = 1.0  # seconds between two looks at whose child this is, where the system tells no end of a process


class Session:
    """One session of the slave. `settings` is what it takes to call the master."""

    def __init__(self, number: int, settings: dict[str, Any]) -> None:
        self.number = number
        self.settings = settings


class Wire:
    """The pipes to the slave, and the look at its process."""

    def __init__(self) -> None:
        self.pacemaker = Pacemaker()
        self.session: Session | None = None
        self.slave = int(sys.argv[1])  # it may have died since, and this be another's child
        self.ended = _end_of(self.slave)  # readable when the slave's process has ended; None where that can't be had
        self.witnesses = len(sys.argv) > 2  # what has begun stands in memory that both have
        self.over_with_slave = False  # that has ended, and it is to be said what had begun
        self._memory = mmap.mmap(int(sys.argv[2]), 0, access=mmap.ACCESS_READ) if self.witnesses else None
        self._unread = b""
        for pipe in (0, 1):
            os.set_blocking(pipe, False)

    def read(self) -> None:
        """Take in what has come. The end of the slave is the end of this process, unless it has something to say."""
        over = os.getppid() != self.slave  # the end of the pipe may be held by a fork of the slave
        while not self.over_with_slave:
            try:
                part = os.read(0, 65536)
            except BlockingIOError:
                break
            if not part:
                over = True
                break
            self._unread += part
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if over:
            self._slave_ended()

    def _slave_ended(self) -> None:
        """Its process has ended, or is about to."""
        if self._memory is None or self.session is None or not self._surely():
            end()
        self.over_with_slave = True

    def _surely(self) -> bool:
        """Whether no thread of the slave's runs any more: it has left its children to another process."""
        deadline = time.monotonic() + _EXIT_PATIENCE
        while os.getppid() == self.slave and time.monotonic() < deadline:
            select.select([] if self.ended is None else [self.ended], [], [], 0.01)
        return os.getppid() != self.slave

    def begun(self) -> list[str] | None:
        """Of a slave that has ended: which tasks of the session had begun. None where that is not known."""
        assert self._memory is not None, "else this process ends with the slave"
        assert self.session is not None, "likewise"
        number, ids = begun.read(self._memory)
        return ids if number == self.session.number else None

    def _take(self, word: list[Any]) -> None:
        kind, number, *rest = word
        if kind == "begin":
            duration, span, renewed_at, settings = rest
            self.session = Session(number, settings)
            self.pacemaker.begins(duration, span, renewed_at)
        elif self.session is not None and self.session.number == number:
            if kind == "pulse":
                self.pacemaker.pulse(*rest)
            else:
                self.over()

    def over(self) -> None:
        """The session is over."""
        self.session = None
        self.pacemaker.ends()

    def say(self, *word: str | int | float) -> None:
        """Say something to the slave. One that has not listened for thousands of beats is given up."""
        try:
            os.write(1, json.dumps(word).encode() + b"\n")
        except BlockingIOError:
            end()
        except BrokenPipeError:
            self._slave_ended()

    def patience(self, moment: float | None) -> float | None:
        """For how many seconds to wait until that moment, at most; None for as long as nothing comes."""
        seconds = None if moment is None else max(moment - time.monotonic(), 0.0)
        if self.ended is None:
            return _LOST_SIGHT if seconds is None else min(seconds, _LOST_SIGHT)
        return seconds

    def pace(self) -> Pace:
        """What to do now, by all that has come: there may be pulses from when this process loaded."""
        self.read()
        state = state_of(self.slave)
        if state in ("", "Z", "X") and not self.over_with_slave:
            self._slave_ended()
        if self.over_with_slave:
            return Pace.REST
        return self.pacemaker.pace(time.monotonic(), stopped=state in ("T", "t"))

    def is_to_load(self) -> bool:
        """Whether it may have to beat soon, or to say at once what had begun."""
        return self.pace() is not Pace.REST or (self.witnesses and self.session is not None)


def wait(wire: Wire) -> NoReturn:
    """Wait until it may be needed, then load what beating needs, and go on with that."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if wire.ended is not None:
        poll.register(wire.ended, select.POLLIN)
    while not wire.is_to_load():
        seconds = wire.patience(wire.pacemaker.next_look(time.monotonic()))
        poll.poll(None if seconds is None else 1000 * seconds + 1)
    assert wire.session is not None, "else it waits"
    sys.path[:] = wire.session.settings["path"]
    from interaction.rpc.pacemaker.beat import beat

    beat(wire)


def state_of(process: int) -> str:
    """T or t where a process stands still by a signal or a debugger, Z or X where it has ended, or nothing."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def end() -> NoReturn:
    """There is nobody to beat for: end at once, with the stream to the master, so that it knows, too."""
    os._exit(0)


def _end_of(process: int) -> int | None:
    try:
        return os.pidfd_open(process)
    except (AttributeError, OSError):
        return None
