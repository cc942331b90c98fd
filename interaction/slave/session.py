"""A session at the slave."""

from __future__ import annotations

from interaction.core.model import ConnectOffer
from interaction.rpc.master_client import MasterClient
from interaction.slave.heartbeat import Heart
from interaction.slave.reporter import Reporter


class Session:
    """What lives as long as one session at the slave does."""

    def __init__(self, offer: ConnectOffer, client: MasterClient, heart: Heart, reporter: Reporter) -> None:
        self.master_address = offer.master_address
        self.max_message_bytes = offer.max_message_bytes
        self.client = client
        self.heart = heart
        self.reporter = reporter
