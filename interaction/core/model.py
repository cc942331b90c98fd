"""What the two services say, as plain models: `rpc` turns messages into these and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

from interaction.core.token import NotPickled
from interaction.exception import ResponseException

Data = Mapping[str, Any]


@unique
class Body(Enum):
    """Decision about the message of a call that is admitted."""

    READ = "read"
    UNREAD = "unread"  # the answer is the same whatever it says
    IN_TURN = "in turn"  # anybody may have sent it: one is read at a time


@dataclass(frozen=True)
class Identity:
    """Who answers at a slave's address. `incarnation` is 32 lower-case hexadecimal digits."""

    incarnation: str
    language: str = ""
    version: str = ""
    features: Sequence[str] = ()


@dataclass(frozen=True)
class ConnectOffer(NotPickled):
    """A master's wish to open a session, or with `previous_token` to resume one. `lease` is in seconds."""

    token: str = field(repr=False)
    previous_token: str | None = field(repr=False)
    master_address: str
    lease: float
    data: Data
    max_message_bytes: int


@dataclass(frozen=True)
class ConnectAnswer:
    """A slave's answer to an offer that it takes."""

    incarnation: str
    data: Data = field(default_factory=dict)
    slots: int = 1
    backlog: int = 0
    features: Sequence[str] = ()
    held: Sequence[HeldTask] = ()
    max_message_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldTask:
    """A task that a slave still holds for a resumed session."""

    task_id: str
    ended: bool


@dataclass(frozen=True)
class TaskOffer:
    """A task for a slave. `digest` stands for the content: equal content, equal digest.

    `incarnation` is that of the slave that it is for; empty means any.
    """

    task_id: str
    data: Data
    digest: bytes
    incarnation: str = ""


class ResultStatus(Enum):
    """How a task ended at the slave. The values are the contract's."""

    COMPLETED = 1
    FAILED = 2
    CANCELLED = 3
    RETURNED = 4


class Acknowledgement(Enum):
    """What a master did with a result. The values are the contract's."""

    RECORDED = 1
    DUPLICATE = 2
    STALE = 3


@dataclass(frozen=True)
class Failure:
    """Why a task failed, for people."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class TaskResult:
    """The end of a task, as the slave tells it. `value` is the decoded result."""

    task_id: str
    status: ResultStatus
    value: Any
    failure: Failure | None = None


@dataclass(frozen=True)
class Outcome:
    """What a slave says of one task on the fast road. One of the three: it is accepted, refused, or has ended."""

    task_id: str
    accepted: Data | None = None
    refused: ResponseException | None = None
    result: TaskResult | None = None
