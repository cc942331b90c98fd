"""Everything that this package raises for a reason of its own.

::

    ResponseException                    the peer answered, and refused: status_code, success, code, message, data
    ├── SlaveResponseException           a slave refused; one class for each SlaveErrorCode:
    │   └── SlaveSuccess, SlaveSystemShuttingDown, SlaveRequestInvalid, SlaveChannelNotFound, SlaveChannelInvalid,
    │       SlaveMasterTokenNotFound, SlaveMasterTokenInvalid, SlaveSelfTokenNotFound, SlaveSelfTokenInvalid,
    │       SlaveSlaveAlreadyConnected, SlaveSlaveNotConnected, SlaveSlaveConnectionRefused,
    │       SlaveSlaveDisconnectionRefused, SlaveTaskAlreadyExist, SlaveTaskRefused, SlaveTaskDataInvalid,
    │       SlaveSignatureNotFound, SlaveSignatureInvalid, SlaveSignatureStale, SlaveCertificateInvalid
    └── MasterResponseException          a master refused; one class for each MasterErrorCode:
        └── MasterSuccess, MasterSystemShuttingDown, MasterRequestInvalid, MasterChannelNotGiven, MasterChannelInvalid,
            MasterMasterTokenNotGiven, MasterMasterTokenInvalid, MasterSelfTokenNotGiven, MasterSelfTokenInvalid,
            MasterSlaveTokenNotGiven, MasterSlaveTokenInvalid, MasterTaskDataInvalid, MasterSignatureNotGiven,
            MasterSignatureInvalid, MasterSignatureStale, MasterCertificateInvalid
    RequestException (OSError)           no answer: nobody there, or the deadline passed
    TaskException                        why a task has no good result (``task.error``)
    ├── TaskFailed                       it ran and failed: type, message, traceback; its cause is a RemoteTraceback
    ├── TaskLost                         its slave is gone, or handed it back: reason
    ├── TaskCancelled                    it was asked to end
    └── NoSlave (RuntimeError)           a pool has no slave for it, and does not wait for one
    JournalError                         the master's journal can't be opened, read or written
    └── JournalGone                      its file was deleted, moved, replaced or truncated while in use
    LeaseExpired                         a slave heard nothing from its master, or was not believed, for a whole lease
    PayloadError (ValueError)            data that can't be carried or read: path
    └── PayloadTooLarge                  data over the message limit: size, limit
"""

from __future__ import annotations

from interaction.exception.base import JournalError, JournalGone, RequestException, ResponseException
from interaction.exception.code import LossReason, MasterErrorCode, SlaveErrorCode
from interaction.exception.master import (
    MasterCertificateInvalid,
    MasterChannelInvalid,
    MasterChannelNotGiven,
    MasterMasterTokenInvalid,
    MasterMasterTokenNotGiven,
    MasterRequestInvalid,
    MasterResponseException,
    MasterSelfTokenInvalid,
    MasterSelfTokenNotGiven,
    MasterSignatureInvalid,
    MasterSignatureNotGiven,
    MasterSignatureStale,
    MasterSlaveTokenInvalid,
    MasterSlaveTokenNotGiven,
    MasterSuccess,
    MasterSystemShuttingDown,
    MasterTaskDataInvalid,
    get_master_exception_class_by_error_code,
)
from interaction.exception.payload import PayloadError, PayloadTooLarge
from interaction.exception.slave import (
    SlaveCertificateInvalid,
    SlaveChannelInvalid,
    SlaveChannelNotFound,
    SlaveMasterTokenInvalid,
    SlaveMasterTokenNotFound,
    SlaveRequestInvalid,
    SlaveResponseException,
    SlaveSelfTokenInvalid,
    SlaveSelfTokenNotFound,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveConnectionRefused,
    SlaveSlaveDisconnectionRefused,
    SlaveSlaveNotConnected,
    SlaveSuccess,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    SlaveTaskDataInvalid,
    SlaveTaskRefused,
    get_slave_exception_class_by_error_code,
)
from interaction.exception.task import (
    LeaseExpired,
    NoSlave,
    RemoteTraceback,
    TaskCancelled,
    TaskException,
    TaskFailed,
    TaskLost,
)

__all__ = [
    "JournalError",
    "JournalGone",
    "LeaseExpired",
    "LossReason",
    "MasterCertificateInvalid",
    "MasterChannelInvalid",
    "MasterChannelNotGiven",
    "MasterErrorCode",
    "MasterMasterTokenInvalid",
    "MasterMasterTokenNotGiven",
    "MasterRequestInvalid",
    "MasterResponseException",
    "MasterSelfTokenInvalid",
    "MasterSelfTokenNotGiven",
    "MasterSignatureInvalid",
    "MasterSignatureNotGiven",
    "MasterSignatureStale",
    "MasterSlaveTokenInvalid",
    "MasterSlaveTokenNotGiven",
    "MasterSuccess",
    "MasterSystemShuttingDown",
    "MasterTaskDataInvalid",
    "NoSlave",
    "PayloadError",
    "PayloadTooLarge",
    "RemoteTraceback",
    "RequestException",
    "ResponseException",
    "SlaveCertificateInvalid",
    "SlaveChannelInvalid",
    "SlaveChannelNotFound",
    "SlaveErrorCode",
    "SlaveMasterTokenInvalid",
    "SlaveMasterTokenNotFound",
    "SlaveRequestInvalid",
    "SlaveResponseException",
    "SlaveSelfTokenInvalid",
    "SlaveSelfTokenNotFound",
    "SlaveSignatureInvalid",
    "SlaveSignatureNotFound",
    "SlaveSignatureStale",
    "SlaveSlaveAlreadyConnected",
    "SlaveSlaveConnectionRefused",
    "SlaveSlaveDisconnectionRefused",
    "SlaveSlaveNotConnected",
    "SlaveSuccess",
    "SlaveSystemShuttingDown",
    "SlaveTaskAlreadyExist",
    "SlaveTaskDataInvalid",
    "SlaveTaskRefused",
    "TaskCancelled",
    "TaskException",
    "TaskFailed",
    "TaskLost",
    "get_master_exception_class_by_error_code",
    "get_slave_exception_class_by_error_code",
]
