"""The master: the facade, its connections, their tasks, and a pool of them."""

from interaction.master.connection import SlaveConnectionProxy
from interaction.master.master import Master
from interaction.master.pool import SlavePool
from interaction.master.pool_future import PoolFuture
from interaction.master.task import Task, TaskStatus

__all__ = ["Master", "PoolFuture", "SlaveConnectionProxy", "SlavePool", "Task", "TaskStatus"]
