"""What a master refuses with: one class for each code, named after it."""

from __future__ import annotations

from interaction.exception.base import ResponseException
from interaction.exception.code import MasterErrorCode


class MasterResponseException(ResponseException):
    """A master refused."""


class MasterSuccess(MasterResponseException):
    """Kept from DI-engine, as the class of the code for "no error"; never raised."""

    code, status_code, success = MasterErrorCode.SUCCESS, 200, True


class MasterSystemShuttingDown(MasterResponseException):
    """The master is shutting down."""

    code, status_code = MasterErrorCode.SYSTEM_SHUTTING_DOWN, 401


class MasterRequestInvalid(MasterResponseException):
    """A field of the request is missing or malformed; the message names it."""

    code = MasterErrorCode.REQUEST_INVALID


class MasterChannelNotGiven(MasterResponseException):
    """The request names no channel."""

    code = MasterErrorCode.CHANNEL_NOT_GIVEN


class MasterChannelInvalid(MasterResponseException):
    """The master has another channel than the slave."""

    code, status_code = MasterErrorCode.CHANNEL_INVALID, 403


class MasterMasterTokenNotGiven(MasterResponseException):
    """Kept from DI-engine; never raised."""

    code = MasterErrorCode.MASTER_TOKEN_NOT_GIVEN


class MasterMasterTokenInvalid(MasterResponseException):
    """Kept from DI-engine; never raised."""

    code, status_code = MasterErrorCode.MASTER_TOKEN_INVALID, 403


class MasterSelfTokenNotGiven(MasterResponseException):
    """Kept from DI-engine, whose master called itself; never raised."""

    code = MasterErrorCode.SELF_TOKEN_NOT_GIVEN


class MasterSelfTokenInvalid(MasterResponseException):
    """Kept from DI-engine, whose master called itself; never raised."""

    code, status_code = MasterErrorCode.SELF_TOKEN_INVALID, 403


class MasterSlaveTokenNotGiven(MasterResponseException):
    """The request brings no token."""

    code = MasterErrorCode.SLAVE_TOKEN_NOT_GIVEN


class MasterSlaveTokenInvalid(MasterResponseException):
    """The token names no session of the master: the slave's session is over."""

    code, status_code = MasterErrorCode.SLAVE_TOKEN_INVALID, 403


class MasterTaskDataInvalid(MasterResponseException):
    """The master can't read the result."""

    code = MasterErrorCode.TASK_DATA_INVALID


class MasterSignatureNotGiven(MasterResponseException):
    """The master has a secret, and the request brings no signature: its sender has none."""

    code = MasterErrorCode.SIGNATURE_NOT_GIVEN


class MasterSignatureInvalid(MasterResponseException):
    """The request's signature is not by the master's secret, or the master has none."""

    code, status_code = MasterErrorCode.SIGNATURE_INVALID, 403


class MasterSignatureStale(MasterResponseException):
    """The request's signature is right, and not for now: the two clocks differ by too much, or it came before."""

    code, status_code = MasterErrorCode.SIGNATURE_STALE, 403


class MasterCertificateInvalid(MasterResponseException):
    """The master tells masters from slaves by their certificates: the caller's is no slave's, or not the session's."""

    code, status_code = MasterErrorCode.CERTIFICATE_INVALID, 403


# From the code to the class that a request refused with it raises.
MASTER_EXCEPTIONS: dict[int, type[MasterResponseException]] = {
    MasterErrorCode.SYSTEM_SHUTTING_DOWN: MasterSystemShuttingDown,
    MasterErrorCode.REQUEST_INVALID: MasterRequestInvalid,
    MasterErrorCode.CHANNEL_NOT_GIVEN: MasterChannelNotGiven,
    MasterErrorCode.CHANNEL_INVALID: MasterChannelInvalid,
    MasterErrorCode.MASTER_TOKEN_NOT_GIVEN: MasterMasterTokenNotGiven,
    MasterErrorCode.MASTER_TOKEN_INVALID: MasterMasterTokenInvalid,
    MasterErrorCode.SELF_TOKEN_NOT_GIVEN: MasterSelfTokenNotGiven,
    MasterErrorCode.SELF_TOKEN_INVALID: MasterSelfTokenInvalid,
    MasterErrorCode.SLAVE_TOKEN_NOT_GIVEN: MasterSlaveTokenNotGiven,
    MasterErrorCode.SLAVE_TOKEN_INVALID: MasterSlaveTokenInvalid,
    MasterErrorCode.TASK_DATA_INVALID: MasterTaskDataInvalid,
    MasterErrorCode.SIGNATURE_NOT_GIVEN: MasterSignatureNotGiven,
    MasterErrorCode.SIGNATURE_INVALID: MasterSignatureInvalid,
    MasterErrorCode.SIGNATURE_STALE: MasterSignatureStale,
    MasterErrorCode.CERTIFICATE_INVALID: MasterCertificateInvalid,
}


def get_master_exception_class_by_error_code(error_code: int) -> type[MasterResponseException]:
    """The class of an error code. Raises KeyError for what is none."""
    return MasterSuccess if error_code == MasterErrorCode.SUCCESS else MASTER_EXCEPTIONS[error_code]
