"""The master: the facade, its connections, and their tasks."""

from interaction.master.connection import SlaveConnectionProxy
from interaction.master.master import Master
from interaction.master.task import Task, TaskStatus

__all__ = ["Master", "SlaveConnectionProxy", "Task", "TaskStatus"]
