"""What a slave's user raises in a hook or a task to say no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class Refuse(Exception):
    """A refusal, in answer to the master.

    Attributes:
        data: a mapping for the master, at its exception's `data`; empty for nothing. At most 128 KiB: what is longer is
            left out.
        message: a sentence for people.
    """

    message = "refused"
    data: Mapping[str, Any] = MappingProxyType({})  # where a subclass does not call this constructor

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(self.message)
        self.data = {} if data is None else data


class ConnectionRefuse(Refuse):
    """Raised in `_before_connection`: the slave does not take the connection."""

    message = "the slave refuses the connection"


class DisconnectionRefuse(Refuse):
    """Raised in `_before_disconnection`: the slave does not end the connection."""

    message = "the slave refuses the disconnection"


class TaskRefuse(Refuse):
    """Raised in `_before_task`: the slave does not take the task."""

    message = "the slave refuses the task"


class TaskFail(Exception):
    """Raised in `_process_task`: the task has failed.

    Attributes:
        result: the task's result at the master, of any kind that can be carried; None arrives as an empty mapping.
        message: a sentence for people, at the master's `task.error.message`.
    """

    message = "the task has failed"  # this and the next: where a subclass does not call this constructor
    result: Any = None

    def __init__(self, result: Any = None, message: str | None = None) -> None:
        self.result = {} if result is None else result
        self.message = TaskFail.message if message is None else message
        super().__init__(self.message)
