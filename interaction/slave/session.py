"""A session at the slave, and the user whose slave it is."""

from __future__ import annotations

from typing import Any, Protocol

from interaction.core.model import ConnectOffer, Data
from interaction.rpc.master_client import MasterClient
from interaction.slave.heartbeat import Heart
from interaction.slave.reporter import Reporter


class SlaveHooks(Protocol):
    """The user's side of a slave."""

    def _before_connection(self, data: Data) -> object: ...
    def _before_disconnection(self, data: Data) -> object: ...
    def _before_task(self, data: Data) -> object: ...
    def _lost_connection(self, master_address: str, error: Exception) -> object: ...
    def _process_task(self, task: Data) -> Any: ...


class Session:
    """What lives as long as one session at the slave does."""

    def __init__(self, offer: ConnectOffer, client: MasterClient, heart: Heart, reporter: Reporter) -> None:
        self.master_address = offer.master_address
        self.max_message_bytes = offer.max_message_bytes
        self.client = client
        self.heart = heart
        self.reporter = reporter
