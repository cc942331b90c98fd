"""A secret that both know: who has it works as without, and who lacks it is told so at once, and changes nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from interaction import Master, SlavePool, TaskStatus
from interaction.core.signature import Checker, Key
from interaction.exception import (
    LeaseExpired,
    ResponseException,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
    SlaveSlaveConnectionRefused,
)
from interaction.secret import FILE_VARIABLE, VARIABLE
from tests.contract.conftest import MakeMaster, MakePool, MakeSlave, Worker, plain_and_aio
from tests.contract.frames import frame_watch
from tests.contract.holding import wait_until
from tests.contract.isolated_slave import Isolated
from tests.contract.isolation import do
from tests.contract.signing import OTHER, SECRET
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of all servers here away from that of those who sign."""

    check = Checker.check

    def move(seconds: float) -> None:
        monkeypatch.setattr(
            Checker, "check", lambda self, call, entry, now, answer: check(self, call, entry, now + seconds, answer)
        )

    return move


@pytest.mark.parametrize("fast_road", [True, False])
def test_whoever_has_it_works_as_without(
    make_master: MakeMaster, make_slave: MakeSlave, fast_road: bool, by_environment: None
) -> None:
    master, slave = make_master(Master), make_slave(Worker, fast_road=fast_road, backlog=10)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    for _ in range(2):
        connection.connect()
        tasks = [connection.new_task({"a": number, "b": 1}).start() for number in range(10)]
        assert [task.join(WAIT).result for task in tasks] == [{"sum": number + 1} for number in range(10)]
        connection.disconnect()


@pytest.mark.parametrize("fast_road", [True, False])
def test_a_pool_works_as_without(
    make_master: MakeMaster, make_slave: MakeSlave, make_pool: MakePool, fast_road: bool
) -> None:
    master = make_master(Master, secret=SECRET)
    connections = []
    for number in range(2):
        slave = make_slave(Worker, fast_road=fast_road, secret=SECRET)
        connections.append(master.new_connection(str(number), "127.0.0.1", slave.port))
        connections[-1].connect()
    pool: SlavePool = make_pool(master)
    futures = [pool.submit({"a": number, "b": 1}) for number in range(30)]
    assert [future.result(WAIT) for future in futures] == [{"sum": number + 1} for number in range(30)]


def test_the_secret_may_be_changed_while_all_runs(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    """First all accept the new one, then all sign by it, then nobody accepts the old one."""
    steps = [(SECRET,), (SECRET, OTHER), (OTHER, SECRET), (OTHER,)]
    for before, after in pairwise(steps):
        for masters, slaves in ((before, after), (after, before)):
            master, slave = make_master(Master, secret=masters), make_slave(Worker, secret=slaves)
            with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
                assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}


def checker_at(master: Any) -> Checker:
    """What checks signatures at a master, of either facade."""
    inner = getattr(master._interaction, "inner", master)
    checker: Checker = inner._interaction._checker
    return checker


REFUSED: list[tuple[Any, Any, type[ResponseException], str]] = [
    (None, SECRET, SlaveSignatureNotFound, "brings no metadata `signature`, and this slave has a secret: give both"),
    (SECRET, None, SlaveSignatureInvalid, "brings a signature, and this slave has no secret to check it by: give both"),
    (SECRET, OTHER, SlaveSignatureInvalid, "not by the secret of this slave.*: give both sides the same one"),
]


@pytest.mark.parametrize(("masters", "slaves", "kind", "said"), REFUSED, ids=["none", "only", "another"])
def test_who_has_another_one_or_none_is_told_at_once(
    make_master: MakeMaster, make_slave: MakeSlave, masters: Any, slaves: Any, kind: type[Exception], said: str
) -> None:
    master = make_master(Master, secret=masters, request_retries=5, request_retry_waiting=1.0)
    slave = make_slave(Worker, secret=slaves)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    began = time.monotonic()
    with pytest.raises(kind, match=said) as refused:
        connection.connect()
    assert time.monotonic() - began < 1.0
    assert "INTERACTION_SECRET" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert not connection.is_connected


@pytest.mark.parametrize(("moved", "said"), [(400, "behind this slave's"), (-400, "ahead of this slave's")])
def test_clocks_that_differ_by_too_much_are_told_at_once(
    make_master: MakeMaster, make_slave: MakeSlave, clock: Callable[[float], None], moved: float, said: str
) -> None:
    master, slave = make_master(Master, secret=SECRET), make_slave(Worker, secret=SECRET)
    clock(moved)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    with pytest.raises(SlaveSignatureStale, match=rf"the caller's is (399|400|401) s {said}, and 300 s are allowed"):
        connection.connect()
    clock(moved * 0.7)
    connection.connect()


def test_a_slave_whose_beats_are_not_believed_tries_on_until_its_lease_is_over_and_says_why(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The answer may be somebody else's, and a secret or a clock may be set right: it ends no session."""
    caplog.set_level(logging.INFO, "interaction.slave")
    slave = make_slave(Worker, secret=SECRET, pacemaker=False)
    with frame_watch(0) as way:
        master = make_master(Master, secret=SECRET, heartbeat_tolerance=3.0, my_address=f"127.0.0.1:{way.port}")
        way.target = master.port
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
        checker_at(master)._keys = (Key(OTHER.encode()),)
        way.snap()
        assert slave.lost_connection.wait(WAIT)
    ((_, error),) = slave.lost
    assert isinstance(error, LeaseExpired)
    assert "does not believe this slave: the signature is not by the secret of this master" in str(error)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len([one for one in warnings if "no beat is taken" in one.getMessage()]) == 1
    assert len([one for one in caplog.records if "opening it again" in one.getMessage()]) > 1


def test_a_session_goes_on_when_its_beats_are_believed_again(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker, secret=SECRET, pacemaker=False)
    with frame_watch(0) as way:
        master = make_master(Master, secret=SECRET, heartbeat_tolerance=10.0, my_address=f"127.0.0.1:{way.port}")
        way.target = master.port
        checker = checker_at(master)
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        checker._keys = (Key(OTHER.encode()),)
        way.snap()
        wait_until(lambda: slave._interaction._desk._session.heart.unheard.why is not None)  # type: ignore[union-attr]
        checker._keys = (Key(SECRET.encode()),)
        task = connection.new_task({"a": 1, "b": 2}).start()
        assert task.join(WAIT).result == {"sum": 3}
        assert slave.lost == []
        assert connection.is_connected


def test_a_session_whose_first_beat_is_not_believed_does_not_begin(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    master = make_master(Master, secret=SECRET)
    slave = make_slave(Worker, secret=SECRET, pacemaker=False)
    checker_at(master)._keys = (Key(OTHER.encode()),)
    with pytest.raises(SlaveSlaveConnectionRefused, match=r"can't reach the master at .* does not believe this slave"):
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
    assert slave.lost == []


def test_a_result_that_is_not_believed_is_kept_and_reported_again(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    master = make_master(Master, secret=SECRET)
    slave = make_slave(Worker, secret=SECRET, fast_road=False)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    checker = checker_at(master)
    refused: list[object] = []
    check = checker.check

    def refuse(call: Any, entry: Any, now: float, answer: Any = None) -> Any:
        refused.append(call.path)
        checker._keys = (Key((OTHER if len(refused) < 4 else SECRET).encode()),)
        return check(call, entry, now, answer)

    checker.check = refuse  # type: ignore[method-assign]
    slave.go_on.set()
    assert task.join(WAIT).result == {"waited": 1}
    assert refused[:4] == ["/interaction.v1.MasterService/ReportResult"] * 4


def test_a_task_whose_call_is_not_believed_is_done_by_another_slave_of_its_pool(
    make_master: MakeMaster, make_slave: MakeSlave, make_pool: MakePool
) -> None:
    """It was refused before it was read: it has surely not begun."""
    master = make_master(Master, secret=SECRET)
    slaves = [make_slave(Worker, secret=SECRET, fast_road=False) for _ in range(2)]
    for number, slave in enumerate(slaves):
        master.new_connection(str(number), "127.0.0.1", slave.port).connect()
    pool: SlavePool = make_pool(master)
    server: Any = slaves[0]._interaction._server
    server.guard._checks[0]._checker._keys = (Key(OTHER.encode()),)
    futures = [pool.submit({"a": number, "b": 1}) for number in range(10)]
    assert [future.result(WAIT) for future in futures] == [{"sum": number + 1} for number in range(10)]
    assert slaves[0].ran == []


def test_tasks_in_a_process_of_their_own_work_and_that_process_has_no_secret(
    make_master: MakeMaster, make_slave: MakeSlave, by_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERACTION_TEST_BESIDE", "kept")
    master, slave = make_master(Master), make_slave(Isolated)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    assert do(connection, "echo", value=1).status is TaskStatus.COMPLETED
    told = do(connection, "environment").result
    assert VARIABLE not in told["names"]
    assert "INTERACTION_TEST_BESIDE" in told["names"]
    assert SECRET not in told["proc"]
    assert os.environ[VARIABLE] == SECRET


@pytest.mark.parametrize("given", [SECRET, [SECRET, OTHER]])
def test_a_secret_by_argument_does_not_come_to_the_process_of_tasks(
    make_master: MakeMaster, make_slave: MakeSlave, given: Any
) -> None:
    master, slave = make_master(Master, secret=given), make_slave(Isolated, secret=given)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    held = do(connection, "secrets").result["keys"]
    assert len(held) == (1 if given == SECRET else 2)
    assert not {SECRET, OTHER} & set(held)
