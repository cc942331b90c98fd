"""The slave."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from interaction.config import (
    DEFAULT_BACKLOG,
    DEFAULT_CHANNEL,
    DEFAULT_HEARTBEAT_SPAN,
    DEFAULT_HOOK_TIMEOUT,
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_REQUEST_RETRIES,
    DEFAULT_REQUEST_RETRY_WAITING,
    DEFAULT_REQUEST_TIMEOUT,
    DEFAULT_SLAVE_PORT,
    DEFAULT_SLOTS,
    GLOBAL_HOST,
    SlaveOptions,
    allow_list,
    given,
)
from interaction.rpc.coroutines import check_hooks
from interaction.rpc.facade import Facade, not_made
from interaction.secret import secret_of
from interaction.slave import sigterm
from interaction.slave.service import Arguments, SlaveService
from interaction.slave.user import HOOKS
from interaction.tls import TLS

_Self = TypeVar("_Self", bound="Slave")


class _Unmade:
    """Stands where the constructor puts what is behind the facade, until it does, and keeps what that is made of."""

    def __init__(self, kind: type, made_of: Arguments) -> None:
        self._kind = kind
        self.made_of = made_of

    def __getattr__(self, name: str) -> Any:
        raise not_made(self._kind)


class Slave(Facade):
    """Waits for a master, and runs its tasks one after another. Subclass it, and implement `_process_task`.

    `_process_task` runs on one thread (with `slots`, on as many), and the other hooks on another; heartbeats wait for
    neither.

    Args:
        host: where the server listens. None means `0.0.0.0`.
        port: its port; 0 binds a free one, readable as `port` after `start()`. None means 7236.
        heartbeat_span: seconds between two heartbeats, or a third of the lease where that is shorter. None means 3.0,
            minimum 0.2.
        request_retries: how often the report of a result is tried again, after a transport failure, at the pace of
            `request_retry_waiting`. Then the pauses double up to 5 s: a result is reported until it is acknowledged.
            None means 5; 0 means 0.
        request_retry_waiting: the longest pause before each of these, in seconds. None means 1.0.
        channel: an integer that master and slaves must share; a label, not a secret. None means 0.
        request_timeout: seconds until one report of a result is given up and tried again. None means 30.0.
        max_message_bytes: the longest message that is taken. None means 64 MiB.
        tls: the server's TLS, and that by which a master is dialled whose address says `https://`. None means none.
        secret: what the master knows as well, at least 32 characters: no call is taken that is not signed by it. Of
            several the first one signs, and each is accepted. None means that of `INTERACTION_SECRET` or
            `INTERACTION_SECRET_FILE` in the environment, and `()` none.
        allowed_masters: hosts, addresses and networks that may be dialled as a master. None allows all.
        reflection: whether to serve gRPC server reflection, which grpcurl needs.
        pacemaker: whether a process beside the slave (10 MB; 35 with a backlog) beats for it while a task holds the
            GIL, and knows what of a backlog had not begun if the slave dies. Linux only.
        slots: how many tasks run at once, each on a thread (or in a process) of its own; 1 to 1000.
        backlog: how many more are taken, to run as places get free; 0 to 10,000. With 0 a task that finds no free slot
            is refused (TASK_ALREADY_EXIST).
        labels: what is noted about this slave, at the master's `connection.labels`: names and values, such as
            `{"gpu": "a100"}`. A `SlavePool` chooses by them. None means none.
        fast_road: whether to serve `SlaveService.Work`, by which tasks and results go many in a message. False makes
            each a call of its own: for a network between that lets no long streams pass.
        hook_timeout: seconds that a hook may take. Who asked is refused then, what the hook says later is dropped, and
            the next one runs beside it, on another thread, as it does where who asked is gone. A master waits for its
            own `request_timeout`.
        isolation: `"thread"` runs `_process_task` in this process; `"process"` in a child process, in which this class
            is constructed once more, with the same arguments. The other hooks stay here, and share nothing with it. A
            child that dies fails its task, and is replaced. No pacemaker is needed then but for a backlog.

    Raises:
        TypeError, ValueError: an argument that can't be; the message names it. Or a hook that is a coroutine function,
            or a class without a `_process_task`.
    """

    _interaction: SlaveService

    def __new__(cls: type[_Self], *args: Any, **options: Any) -> _Self:
        """Keep the arguments, by which `isolation="process"` constructs the slave once more."""
        made = super().__new__(cls)
        made.__dict__["_interaction"] = _Unmade(cls, (args, options))
        return made

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        heartbeat_span: float | None = None,
        request_retries: int | None = None,
        request_retry_waiting: float | None = None,
        channel: int | None = None,
        *,
        request_timeout: float | None = None,
        max_message_bytes: int | None = None,
        tls: TLS | None = None,
        secret: str | Sequence[str] | None = None,
        allowed_masters: Sequence[str] | None = None,
        reflection: bool = True,
        pacemaker: bool = True,
        isolation: str = "thread",
        slots: int = DEFAULT_SLOTS,
        backlog: int = DEFAULT_BACKLOG,
        labels: Mapping[str, str] | None = None,
        fast_road: bool = True,
        hook_timeout: float = DEFAULT_HOOK_TIMEOUT,
    ) -> None:
        options = SlaveOptions(
            host=given(host, GLOBAL_HOST),
            port=given(port, DEFAULT_SLAVE_PORT),
            channel=given(channel, DEFAULT_CHANNEL),
            request_retries=given(request_retries, DEFAULT_REQUEST_RETRIES),
            request_retry_waiting=given(request_retry_waiting, DEFAULT_REQUEST_RETRY_WAITING),
            request_timeout=given(request_timeout, DEFAULT_REQUEST_TIMEOUT),
            max_message_bytes=given(max_message_bytes, DEFAULT_MAX_MESSAGE_BYTES),
            tls=tls,
            secret=secret_of(secret),
            reflection=reflection,
            heartbeat_span=given(heartbeat_span, DEFAULT_HEARTBEAT_SPAN),
            allowed_masters=allow_list(allowed_masters),
            pacemaker=pacemaker,
            isolation=isolation,
            slots=slots,
            backlog=backlog,
            fast_road=fast_road,
            hook_timeout=hook_timeout,
            labels=given(labels, {}),
        )
        if inspect.getattr_static(self, "_process_task") is vars(Slave)["_process_task"]:
            raise TypeError(
                f"{type(self).__name__} does not say what a task is: define _process_task(self, task) in it"
            )
        check_hooks(self, HOOKS, awaited=False, instead="; what has to be awaited, asyncio.run() does inside it")
        before: SlaveService | _Unmade = self.__dict__["_interaction"]
        self._interaction = SlaveService(options, self, Slave, before.made_of)

    # What a user implements.

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        """Do one task. To be implemented: without it no slave is made.

        Args:
            task: the task data, as the master sent it.

        Returns:
            The result: any value that can be carried; None arrives as an empty mapping.

        Raises:
            TaskFail: the task has failed. Any other exception fails it as well, with its type, message and traceback,
                and so does one that is raised when the result is written.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement _process_task")

    def _before_connection(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Called before a connection is taken, with what the master's `_before_connect` returned.

        Returns a mapping for the master's `_after_connect`; anything else is nothing. `ConnectionRefuse`, and any other
        exception, refuses the connection.
        """
        return None

    def _before_disconnection(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Called before the master ends the connection; as `_before_connection`, with `DisconnectionRefuse`."""
        return None

    def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Called before a task is taken, with its data; as `_before_connection`, with `TaskRefuse`."""
        return None

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        """Called once when the connection has ended without a disconnection.

        Args:
            master_address: the master's address, as it told it.
            error: `LeaseExpired`, or the `MasterResponseException` by which the master ended it.
        """

    # The service's life.

    def drain(self, timeout: float | None = None) -> bool:
        """Take no new task, let those that run end, deliver their results, leave the master, and shut down.

        What was taken and has not begun is handed back: a pool has it done by another slave, and the owner of a single
        task finds it LOST with the reason RETURNED. Meanwhile the health is NOT_SERVING, and the heartbeat goes on. The
        master loses this slave as DRAINED.

        Args:
            timeout: seconds after which it shuts down all the same; None waits as long as it takes.

        Returns:
            Whether every task had ended, and every result had been acknowledged.

        Raises:
            RuntimeError: it does not run, or the caller is a hook or a task of this slave, which it would wait for.
        """
        drained = self._interaction.drain(timeout)
        self.shutdown()
        return drained

    def close(self) -> None:
        """Shut down when the tasks that run have ended and their results are acknowledged, and join.

        As `drain()` without a timeout: nothing new is taken, and the log says after a while what it waits for. The end
        of `with` is the same, unless an exception ends the block: then what runs is left behind, and its master loses
        it. Harmless when repeated. Raises RuntimeError as `join()` does, and then does nothing.
        """
        self._interaction.finish()
        self.shutdown()
        if self._interaction.started:
            self._interaction.join_closed()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._interaction.mine:
            self._interaction.check_may_wait()
            self._interaction.end_at_once()
        super().__exit__(kind, error, traceback)

    def join(self) -> None:
        """Wait until it is shut down and all has ended: the server, hooks, tasks.

        Returns at once where it was never started, which the log tells. What a drain has left behind is not waited for.
        On the main thread, and where nobody else handles SIGINT, Ctrl-C has all slaves of the process drain, which a
        line on standard error says. A second Ctrl-C ends them at once; then this raises KeyboardInterrupt, which a
        program that does not catch it ends with exit code 130.

        Raises:
            RuntimeError: called by code that it would wait for, such as a task.
        """
        super().join()

    def drain_at_sigterm(self, timeout: float | None = None) -> None:
        """Drain when the process is asked to end by SIGTERM; `join()` returns then. A second SIGTERM ends it at once.

        Of several slaves in a process all drain that have asked for it. Where none of them runs, the process ends.

        Raises ValueError outside of the main thread, where Python takes no signal handlers.
        """
        sigterm.drain_at_sigterm(self._interaction, timeout)
