"""The master for asyncio: the same members as coroutines, on the caller's own loop, without a thread between.

A slave needs none of this: `interaction.Slave` serves both kinds of masters. Hooks and callbacks run on the loop, one
after another as in the plain facade, and may be coroutine functions.
"""

from interaction.aio.connection import SlaveConnectionProxy
from interaction.aio.master import Master
from interaction.aio.pool import PoolFuture, SlavePool
from interaction.aio.task import Task

__all__ = ["Master", "PoolFuture", "SlaveConnectionProxy", "SlavePool", "Task"]
