"""Users subclass the facade, and call their own attributes what they like."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from interaction import Master, Slave, aio
from tests.contract.conftest import CHANNEL
from tests.contract.slave_programs import WAIT

DOCUMENTED = {
    *("host", "port", "channel", "my_address", "start", "shutdown", "join", "close", "ping"),
    *("new_connection", "drain", "drain_at_sigterm", "tasks", "task", "wait_until_resumed"),
    *("_before_connect", "_after_connect", "_error_connect", "_before_disconnect", "_after_disconnect"),
    *("_error_disconnect", "_before_new_task", "_after_new_task", "_error_new_task", "_lost_slave"),
    *("_before_connection", "_before_disconnection", "_before_task", "_process_task", "_lost_connection"),
    "_interaction",  # all the rest
    "_is_protocol",  # typing.Generic's
}


class Idle(Slave):
    def _process_task(self, task: Any) -> Any:
        return task


@pytest.mark.parametrize("facade", [Master("127.0.0.1", 0), Idle("127.0.0.1", 0)], ids=["master", "slave"])
def test_the_facade_takes_no_name_that_is_not_documented(facade: Master | Slave) -> None:
    taken = {name for name in dir(facade) if not name.startswith("__")}
    assert taken <= DOCUMENTED


def test_a_subclass_may_have_a_state_a_log_and_options_of_its_own() -> None:
    class Learner(Slave):
        def __init__(self, *args: Any, **options: Any) -> None:
            self._options = {"lr": 0.1}
            super().__init__(*args, **options)
            self._state, self._log, self._port, self._server = [0], ["begin"], "a bottle", None
            self.options = self.name = self.hooks = None

        def _open(self) -> str:
            return "a file"

        def _close(self) -> str:
            return "it"

        def _process_task(self, task: Any) -> Any:
            self._state[0] += 1
            return {"steps": self._state[0], "lr": self._options["lr"], "opened": self._open()}

    class Trainer(Master):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._names = self._state = self._server = self.options = self.names = "mine"

    with (
        Learner("127.0.0.1", 0, channel=CHANNEL) as slave,
        Trainer("127.0.0.1", 0, channel=CHANNEL) as master,
        master.new_connection("conn", "127.0.0.1", slave.port) as connection,
    ):
        task = connection.new_task({}).start().join(WAIT)
        assert task.result == {"steps": 1, "lr": 0.1, "opened": "a file"}


def test_a_subclass_may_have_a_host_a_port_and_a_channel_of_its_own() -> None:
    class Learner(Idle):
        def __init__(self) -> None:
            self.host, self.port, self.channel = "mine", "also mine", [1, 2]
            super().__init__("127.0.0.1", 0, channel=CHANNEL)

    class Trainer(Master):
        my_address = "home"

        def __init__(self) -> None:
            super().__init__("127.0.0.1", 0, channel=CHANNEL)
            self.host, self.port, self.channel = "mine", "also mine", [1, 2]

    class Conductor(aio.Master):
        def __init__(self) -> None:
            self.host, self.port, self.channel = "mine", "also mine", [1, 2]
            super().__init__("127.0.0.1", 0, channel=CHANNEL)

    async def conduct(port: int) -> object:
        async with Conductor() as master, master.new_connection("conn", "127.0.0.1", port) as connection:
            task = connection.new_task({"n": 1})
            await task.start()
            await task.join(WAIT)
            assert [master.host, master.port, master.channel] == ["mine", "also mine", [1, 2]]
            return task.result

    with Learner() as slave, Trainer() as master:
        for one in (slave, master):
            assert [one.host, one.port, one.channel] == ["mine", "also mine", [1, 2]]
            assert one.ping()
        assert master.my_address == "home"
        port = slave._interaction.port
        with master.new_connection("conn", "127.0.0.1", port) as connection:
            assert connection.new_task({"n": 1}).start().join(WAIT).result == {"n": 1}
        assert asyncio.run(conduct(port)) == {"n": 1}


def test_what_is_shown_has_its_docstring() -> None:
    for kind, name in ((Master, "host"), (Slave, "port"), (aio.Master, "channel"), (Master, "my_address")):
        assert inspect.getdoc(inspect.getattr_static(kind, name))


class Forgetful(Idle):
    def __init__(self) -> None:
        self.mine = 1


class ForgetfulMaster(Master):
    def __init__(self) -> None:
        self.mine = 1


class ForgetfulAioMaster(aio.Master):
    def __init__(self) -> None:
        self.mine = 1


USES: dict[str, Callable[[Any], object]] = {
    "start": lambda facade: facade.start(),
    "with": lambda facade: facade.__enter__(),
    "close": lambda facade: facade.close(),
    "join": lambda facade: facade.join(),
    "ping": lambda facade: facade.ping(),
    "port": lambda facade: facade.port,
    "connect": lambda facade: facade.new_connection("conn", "127.0.0.1", 1),
    "in": lambda facade: "conn" in facade,
    "list": list,
    "drain": lambda facade: facade.drain(),
}


async def called(facade: Any, name: str, use: str) -> None:
    said = facade.__aenter__() if name == "__aenter__" else USES[use](facade)
    if inspect.isawaitable(said):
        await said


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [Forgetful, ForgetfulMaster, ForgetfulAioMaster])
def test_a_constructor_that_forgets_that_of_the_facade_is_told(kind: Callable[[], Any], use: str) -> None:
    facade = kind()
    name = {"with": "__enter__", "connect": "new_connection", "in": "__contains__", "list": "__iter__"}.get(use, use)
    if use == "with" and kind is ForgetfulAioMaster:
        name = "__aenter__"
    if not hasattr(type(facade), name):
        return  # the other facade's
    with pytest.raises(RuntimeError, match=rf"^{kind.__name__}\.__init__\(\) has not called super\(\).__init__\(\)"):
        asyncio.run(called(facade, name, use))


def test_a_slave_without_its_task_is_not_made() -> None:
    class Mixin:
        def _process_task(self, task: Any) -> Any:
            return task

    class Wrong(Slave, Mixin):
        """The facade's own comes first."""

    class Right(Mixin, Slave):
        pass

    for kind in (Slave, Wrong):
        with pytest.raises(TypeError, match=rf"{kind.__name__} .*_process_task\(self, task\)"):
            kind("127.0.0.1", 0)
    assert Right("127.0.0.1", 0).port == 0
