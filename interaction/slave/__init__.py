"""The slave: the facade, and what its hooks may raise."""

from interaction.slave.action import ConnectionRefuse, DisconnectionRefuse, TaskFail, TaskRefuse
from interaction.slave.slave import Slave

__all__ = ["ConnectionRefuse", "DisconnectionRefuse", "Slave", "TaskFail", "TaskRefuse"]
