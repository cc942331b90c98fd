"""The error codes of both sides, and why a slave is gone."""

from __future__ import annotations

from enum import Enum, IntEnum, unique

_NUMBERS_ONLY = frozenset("bcdeEfFgGnoxX%")  # the formats that end so


class NamedNumber(IntEnum):
    """A number that people see by its name. A format that only a number has, such as `d` or `#x`, shows the number."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, how: str) -> str:
        return format(self.value if how[-1:] in _NUMBERS_ONLY else self.name, how)


@unique
class SlaveErrorCode(NamedNumber):
    """What a slave answers with. The numbers are DI-engine's; 102, 603, and those from 701 on are new."""

    SUCCESS = 0
    SYSTEM_SHUTTING_DOWN = 101
    REQUEST_INVALID = 102
    CHANNEL_NOT_FOUND = 201
    CHANNEL_INVALID = 202
    MASTER_TOKEN_NOT_FOUND = 301
    MASTER_TOKEN_INVALID = 302
    SELF_TOKEN_NOT_FOUND = 401
    SELF_TOKEN_INVALID = 402
    SLAVE_ALREADY_CONNECTED = 501
    SLAVE_NOT_CONNECTED = 502
    SLAVE_CONNECTION_REFUSED = 503
    SLAVE_DISCONNECTION_REFUSED = 504
    TASK_ALREADY_EXIST = 601
    TASK_REFUSED = 602
    TASK_DATA_INVALID = 603
    SIGNATURE_NOT_FOUND = 701
    SIGNATURE_INVALID = 702
    SIGNATURE_STALE = 703
    CERTIFICATE_INVALID = 801


@unique
class MasterErrorCode(NamedNumber):
    """What a master answers with. The numbers are DI-engine's; 102, and those from 701 on are new."""

    SUCCESS = 0
    SYSTEM_SHUTTING_DOWN = 101
    REQUEST_INVALID = 102
    CHANNEL_NOT_GIVEN = 201
    CHANNEL_INVALID = 202
    MASTER_TOKEN_NOT_GIVEN = 301
    MASTER_TOKEN_INVALID = 302
    SELF_TOKEN_NOT_GIVEN = 401
    SELF_TOKEN_INVALID = 402
    SLAVE_TOKEN_NOT_GIVEN = 501
    SLAVE_TOKEN_INVALID = 502
    TASK_DATA_INVALID = 601
    SIGNATURE_NOT_GIVEN = 701
    SIGNATURE_INVALID = 702
    SIGNATURE_STALE = 703
    CERTIFICATE_INVALID = 801


@unique
class LossReason(Enum):
    """Why a slave is gone."""

    EXITED = "exited"  # nobody listens at its address any more
    RESTARTED = "restarted"  # another process answers there
    SILENT = "silent"  # no heartbeat for the whole tolerance
    DISCONNECTED = "disconnected"  # either side ended the session
    DRAINED = "drained"  # the slave finished its work and left
    RETURNED = "returned"  # the slave handed the task back, which had not begun: of tasks only
    NOT_HELD = "not held"  # the slave is there, and does not have the task: of tasks only, after a master's restart

    def __str__(self) -> str:
        return self.name
