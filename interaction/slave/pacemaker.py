"""The pacemaker as its slave sees it: a process that is started with the first session, told, and listened to.

Whether it beats is decided in `core.pacemaker`; what it does stands in `rpc.pacemaker`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interaction.rpc.pacemaker
from interaction.address import Endpoint
from interaction.config import SlaveOptions
from interaction.core.lease import Lease
from interaction.core.model import ConnectOffer
from interaction.rpc import forks
from interaction.slave.withheld import environment_of_child
from interaction.slave.witness import Witness, witness_for
from interaction.tls import TLS

_log = logging.getLogger("interaction.slave")
_PROGRAM = Path(interaction.rpc.pacemaker.__file__).parent / "__main__.py"
_READY_PATIENCE = 2.0  # seconds that a session's first task waits until there is somebody to beat while it runs
_END_PATIENCE = 0.5  # seconds until a process that has closed its pipe is killed

Word = list[Any]  # a kind, and what belongs to it


class Pacemaker:
    """One slave's pacemaker. All but `wait_until_ready` is called on the loop; nothing there waits for the process.

    `heard`, where it is set, is called when the pacemaker has said something. `incarnation` is the slave's.
    """

    def __init__(self, incarnation: str, witness: Witness | None) -> None:
        self._incarnation = incarnation
        self.witness = witness
        self.heard: Callable[[], None] | None = None
        self.took_over = False  # whether it has ever beaten in this session
        self._number = 0  # of the session
        self._begun_last = 0  # the number of the session that was last begun
        self._told = 0  # the number of the session that the process knows of
        self._process: subprocess.Popen[bytes] | None = None
        self._beginning: threading.Thread | None = None
        self._gate = threading.Lock()
        self._stopped = False
        self._failed = False  # it has been said that it does not work
        self._unread = b""
        self._words: list[Word] = []
        self._ready = threading.Event()
        self._loop = asyncio.get_running_loop()

    # A session.

    def begin(self, offer: ConnectOffer, master: Endpoint, options: SlaveOptions, lease: Lease) -> None:
        """A session begins: start the process where there is none, and tell it, in the background."""
        self._number = self._begun_last = self._number + 1
        self._mark()
        self.took_over = False
        self._ready.clear()
        settings = {
            "path": [os.path.abspath(entry) for entry in sys.path],
            "master": (master.host, master.port, master.tls),
            "tls": _pems(options.tls),
            "channel": options.channel,
            "token": offer.token,
            "secret": None if options.secret is None else [key.decode() for key in options.secret.keys],
            "incarnation": self._incarnation,
            "max_message_bytes": offer.max_message_bytes,
        }
        word = _line("begin", self._number, lease.duration, options.heartbeat_span, lease.renewed_at, settings)
        arguments = (self._number, word, lease, self._beginning)
        self._beginning = threading.Thread(
            target=self._begin, args=arguments, name="interaction-pacemaker", daemon=True
        )
        try:
            self._beginning.start()
        except RuntimeError as error:  # no more threads, or the interpreter ends
            self._beginning = None
            self._fail(f"can't be started: {error}")

    def _begin(self, number: int, word: bytes, lease: Lease, before: threading.Thread | None) -> None:
        """On a thread of its own, after the one before."""
        if before is not None:
            before.join()
        process = None
        try:
            with self._gate:
                if self._stopped or number != self._number:
                    return
                started = self._process is None
                process = self._process = self._process or _start(self.witness)
            _write(process, word)
        except OSError as error:
            self._call(self._not_begun, process, error)
        else:
            self._call(self._begun, number, lease, process if started else None)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError as error:  # the loop has ended meanwhile, and the slave with it
            _log.debug("too late for the pacemaker: %s", error)

    def _begun(self, number: int, lease: Lease, started: subprocess.Popen[bytes] | None) -> None:
        if started is not None and started is self._process:
            self._unread = b""
            self._loop.add_reader(_output(started), self._readable)
        self._told = number
        if number == self._number:
            self._ready.set()
            self.pulse(lease)
        elif number == self._begun_last:  # else the next session is being told: it takes this one's place
            self._say("end", number)

    def _not_begun(self, process: subprocess.Popen[bytes] | None, error: OSError) -> None:
        if process is not None and process is self._process:
            self._let_go(process, _END_PATIENCE)
        self._fail(f"can't be started: {error}")

    def wait_until_ready(self) -> None:
        """Wait, on another thread than the loop's, until it can beat for this session, or never will."""
        self._ready.wait(_READY_PATIENCE)

    def pulse(self, lease: Lease) -> None:
        """The loop runs, and beats itself."""
        if self._told == self._number:
            self._say("pulse", self._number, self._loop.time(), lease.newest, lease.renewed_at, lease.duration)

    def end(self) -> None:
        """The session is over."""
        self.heard = None
        self._ready.set()
        if self._told == self._number:
            self._say("end", self._number)
        self._number += 1  # what comes late is of no session
        self._mark()

    def _mark(self) -> None:
        if self.witness is not None:
            self.witness.session(self._number)

    def hear(self) -> list[Word]:
        """What it has said in this session since the last time: all that it had said by now."""
        self._read()
        words = [[kind, *rest] for kind, number, *rest in self._words if number == self._number]
        self._words.clear()
        self.took_over = self.took_over or any(word[0] == "took" for word in words)
        return words

    # The process.

    def _say(self, *word: object) -> None:
        if self._process is None:
            return
        try:
            os.write(_input(self._process), _line(*word))  # short enough to be written as a whole or not at all
        except BlockingIOError:
            _log.debug("the pacemaker does not read")
        except OSError as error:  # it has ended: its output says so, too
            _log.debug("the pacemaker can't be told: %s", error)

    def _readable(self) -> None:
        self._read()
        if self._words and self.heard is not None:
            self.heard()

    def _read(self) -> None:
        process = self._process
        if process is None or not self._told:  # not begun
            return
        while True:
            try:
                part = os.read(_output(process), 65536)
            except BlockingIOError:
                break
            if not part:
                self._died(process)
                break
            self._unread += part
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            word = json.loads(line)
            if word[0] == "failed":
                self._fail(f"has failed: {word[1]}")
            else:
                self._words.append(word)

    def _died(self, process: subprocess.Popen[bytes]) -> None:
        self._let_go(process, _END_PATIENCE)
        self._fail(f"has ended ({_exit_of(process)})")

    def _fail(self, what: str) -> None:
        self._ready.set()
        log, self._failed = (_log.debug if self._failed else _log.warning), True
        log(
            "the pacemaker of this slave %s; until the next session its heartbeat stops while a task holds the GIL",
            what,
        )

    def stop(self) -> None:
        """End the process."""
        with self._gate:
            self._stopped = True
            process = self._process
            if process is not None:
                process.kill()  # it has nothing to finish
        self._ready.set()
        if process is not None and process is self._process:
            self._let_go(process, 0.0)
        if self.witness is not None:
            self.witness.close()

    def _let_go(self, process: subprocess.Popen[bytes], patience: float) -> None:
        self._loop.remove_reader(_output(process))
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._beginning is not None:  # what it writes to a process that has ended fails at once
            self._beginning.join()
        with self._gate:
            self._process, self._told = None, 0
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def pacemaker_for(options: SlaveOptions, incarnation: str) -> Pacemaker | None:
    """One for a slave of those options, where it has a use: tasks that hold the GIL, or that wait while others run."""
    witness = witness_for(options)
    beats = options.pacemaker and options.isolation == "thread"
    return Pacemaker(incarnation, witness) if beats or witness is not None else None


def _start(witness: Witness | None) -> subprocess.Popen[bytes]:
    if sys.platform != "linux":  # whether the slave is stopped must be seen, and both clocks must be one
        raise OSError("it needs Linux")
    if getattr(sys, "frozen", False) or not sys.executable:
        raise OSError("there is no Python interpreter to run it")
    shared = () if witness is None else (witness.descriptor,)
    with forks.held_off():
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and a file of this package
            [sys.executable, "-I", "-S", str(_PROGRAM), str(os.getpid()), *map(str, shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment_of_child(),
            start_new_session=True,  # Ctrl-C is for the slave
            pass_fds=shared,
        )
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None, "as asked for"
            os.set_blocking(pipe.fileno(), False)
            forks.let_go_of(pipe)
    return process


def _write(process: subprocess.Popen[bytes], content: bytes) -> None:
    """Write all of it, however long that takes. Raises OSError where the process ends first."""
    pipe = _input(process)
    while content:
        try:
            content = content[os.write(pipe, content) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(pipe, select.POLLOUT)
            poll.poll()


def _input(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None, "a pipe"
    return process.stdin.fileno()


def _output(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None, "a pipe"
    return process.stdout.fileno()


def _line(*word: object) -> bytes:
    return json.dumps(word).encode() + b"\n"


def _pems(tls: TLS | None) -> list[Any] | None:
    if tls is None:
        return None
    now = tls.current
    pems = [None if pem is None else pem.decode("latin-1") for pem in (now.certificate, now.key, now.authority)]
    return [*pems, dict(tls.files), now.mutual, now.server_name]


def _exit_of(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
