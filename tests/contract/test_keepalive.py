"""What neither side does to a peer with gRPC's default settings: ping it more often than it permits."""

from __future__ import annotations

import threading

from interaction import Master, SlaveConnectionProxy
from interaction.rpc import transport
from tests.contract.conftest import Call, MakeMaster, MakeSlave, Worker
from tests.contract.frames import PERMITTED, frame_watch
from tests.contract.slave_programs import WAIT
from tests.contract.wire import Caller

SILENCE = 11.0  # seconds without a word; who pings does so every 10 s as a rule


def running(connection: SlaveConnectionProxy, slave: Worker) -> None:
    connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)


def silent_session(caller: Caller, address: str) -> None:
    """One whose heartbeat stream is open, and brings a beat every hour."""
    caller.connect(address=address, lease=86_400.0)
    assert caller.beat() == 1


def test_streams_on_which_nothing_is_said_bring_no_pings_beyond_what_servers_permit(
    make_master: MakeMaster, make_slave: MakeSlave, call: Call
) -> None:
    slave, beating = make_slave(Worker, backlog=1), make_slave(Worker, heartbeat_span=3600.0)
    caller = call(beating)
    with frame_watch(slave.port) as to_slave, frame_watch(int(caller.master.address.rpartition(":")[2])) as to_master:
        master = make_master(Master)
        with master.new_connection("conn", "127.0.0.1", to_slave.port) as connection:
            running(connection, slave)
            silent_session(caller, f"127.0.0.1:{to_master.port}")
            threading.Event().wait(SILENCE)
            assert min(to_slave.said, to_master.said) > 0, "it is looked at"
            assert (to_slave.strikes, to_master.strikes) == (0, 0)
            slave.go_on.set()


def test_the_time_between_two_pings_is_longer_than_what_servers_permit() -> None:
    options = dict(transport._CHANNEL_OPTIONS)
    assert options["grpc.keepalive_time_ms"] > 1000 * PERMITTED
