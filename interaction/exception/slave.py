"""What a slave refuses with: one class for each code, named after it."""

from __future__ import annotations

from interaction.exception.base import ResponseException
from interaction.exception.code import SlaveErrorCode


class SlaveResponseException(ResponseException):
    """A slave refused."""


class SlaveSuccess(SlaveResponseException):
    """Kept from DI-engine, as the class of the code for "no error"; never raised."""

    code, status_code, success = SlaveErrorCode.SUCCESS, 200, True


class SlaveSystemShuttingDown(SlaveResponseException):
    """The slave is shutting down."""

    code, status_code = SlaveErrorCode.SYSTEM_SHUTTING_DOWN, 401


class SlaveRequestInvalid(SlaveResponseException):
    """A field of the request is missing or malformed; the message names it."""

    code = SlaveErrorCode.REQUEST_INVALID


class SlaveChannelNotFound(SlaveResponseException):
    """The request names no channel."""

    code = SlaveErrorCode.CHANNEL_NOT_FOUND


class SlaveChannelInvalid(SlaveResponseException):
    """The slave has another channel than the master."""

    code, status_code = SlaveErrorCode.CHANNEL_INVALID, 403


class SlaveMasterTokenNotFound(SlaveResponseException):
    """The request brings no token."""

    code = SlaveErrorCode.MASTER_TOKEN_NOT_FOUND


class SlaveMasterTokenInvalid(SlaveResponseException):
    """The token is not that of the slave's session."""

    code, status_code = SlaveErrorCode.MASTER_TOKEN_INVALID, 403


class SlaveSelfTokenNotFound(SlaveResponseException):
    """Kept from DI-engine, whose slave called itself; never raised."""

    code = SlaveErrorCode.SELF_TOKEN_NOT_FOUND


class SlaveSelfTokenInvalid(SlaveResponseException):
    """Kept from DI-engine, whose slave called itself; never raised."""

    code, status_code = SlaveErrorCode.SELF_TOKEN_INVALID, 403


class SlaveSlaveAlreadyConnected(SlaveResponseException):
    """The slave has a living session with another master, or with another connection of this one."""

    code = SlaveErrorCode.SLAVE_ALREADY_CONNECTED


class SlaveSlaveNotConnected(SlaveResponseException):
    """The slave has no session."""

    code = SlaveErrorCode.SLAVE_NOT_CONNECTED


class SlaveSlaveConnectionRefused(SlaveResponseException):
    """The slave's user refused the connection (``ConnectionRefuse``)."""

    code, status_code = SlaveErrorCode.SLAVE_CONNECTION_REFUSED, 403


class SlaveSlaveDisconnectionRefused(SlaveResponseException):
    """The slave's user refused the disconnection (``DisconnectionRefuse``)."""

    code, status_code = SlaveErrorCode.SLAVE_DISCONNECTION_REFUSED, 403


class SlaveTaskAlreadyExist(SlaveResponseException):
    """The slave has no place for a further task now."""

    code = SlaveErrorCode.TASK_ALREADY_EXIST


class SlaveTaskRefused(SlaveResponseException):
    """The slave's user refused the task (``TaskRefuse``)."""

    code, status_code = SlaveErrorCode.TASK_REFUSED, 403


class SlaveTaskDataInvalid(SlaveResponseException):
    """The slave can't read the task's data, or knows the task's id with other data."""

    code = SlaveErrorCode.TASK_DATA_INVALID


class SlaveSignatureNotFound(SlaveResponseException):
    """The slave has a secret, and the request brings no signature: its sender has none."""

    code = SlaveErrorCode.SIGNATURE_NOT_FOUND


class SlaveSignatureInvalid(SlaveResponseException):
    """The request's signature is not by the slave's secret, or the slave has none."""

    code, status_code = SlaveErrorCode.SIGNATURE_INVALID, 403


class SlaveSignatureStale(SlaveResponseException):
    """The request's signature is right, and not for now: the two clocks differ by too much, or it came before."""

    code, status_code = SlaveErrorCode.SIGNATURE_STALE, 403


class SlaveCertificateInvalid(SlaveResponseException):
    """The slave tells masters from slaves by their certificates: the caller's is no master's."""

    code, status_code = SlaveErrorCode.CERTIFICATE_INVALID, 403


# From the code to the class that a request refused with it raises.
SLAVE_EXCEPTIONS: dict[int, type[SlaveResponseException]] = {
    SlaveErrorCode.SYSTEM_SHUTTING_DOWN: SlaveSystemShuttingDown,
    SlaveErrorCode.REQUEST_INVALID: SlaveRequestInvalid,
    SlaveErrorCode.CHANNEL_NOT_FOUND: SlaveChannelNotFound,
    SlaveErrorCode.CHANNEL_INVALID: SlaveChannelInvalid,
    SlaveErrorCode.MASTER_TOKEN_NOT_FOUND: SlaveMasterTokenNotFound,
    SlaveErrorCode.MASTER_TOKEN_INVALID: SlaveMasterTokenInvalid,
    SlaveErrorCode.SELF_TOKEN_NOT_FOUND: SlaveSelfTokenNotFound,
    SlaveErrorCode.SELF_TOKEN_INVALID: SlaveSelfTokenInvalid,
    SlaveErrorCode.SLAVE_ALREADY_CONNECTED: SlaveSlaveAlreadyConnected,
    SlaveErrorCode.SLAVE_NOT_CONNECTED: SlaveSlaveNotConnected,
    SlaveErrorCode.SLAVE_CONNECTION_REFUSED: SlaveSlaveConnectionRefused,
    SlaveErrorCode.SLAVE_DISCONNECTION_REFUSED: SlaveSlaveDisconnectionRefused,
    SlaveErrorCode.TASK_ALREADY_EXIST: SlaveTaskAlreadyExist,
    SlaveErrorCode.TASK_REFUSED: SlaveTaskRefused,
    SlaveErrorCode.TASK_DATA_INVALID: SlaveTaskDataInvalid,
    SlaveErrorCode.SIGNATURE_NOT_FOUND: SlaveSignatureNotFound,
    SlaveErrorCode.SIGNATURE_INVALID: SlaveSignatureInvalid,
    SlaveErrorCode.SIGNATURE_STALE: SlaveSignatureStale,
    SlaveErrorCode.CERTIFICATE_INVALID: SlaveCertificateInvalid,
}


def get_slave_exception_class_by_error_code(error_code: int) -> type[SlaveResponseException]:
    """The class of an error code. Raises KeyError for what is none."""
    return SlaveSuccess if error_code == SlaveErrorCode.SUCCESS else SLAVE_EXCEPTIONS[error_code]
