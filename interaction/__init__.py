"""One master hands tasks to long-lived slaves on other machines, and gets every result back exactly once."""

from interaction import log
from interaction.exception import RequestException
from interaction.master import Master, SlaveConnectionProxy, SlavePool, Task, TaskStatus
from interaction.slave import ConnectionRefuse, DisconnectionRefuse, Slave, TaskFail, TaskRefuse
from interaction.tls import TLS
from interaction.version import __version__

__all__ = [
    "TLS",
    "ConnectionRefuse",
    "DisconnectionRefuse",
    "Master",
    "RequestException",
    "Slave",
    "SlaveConnectionProxy",
    "SlavePool",
    "Task",
    "TaskFail",
    "TaskRefuse",
    "TaskStatus",
    "__version__",
]

log.set_up()
