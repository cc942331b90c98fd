"""Users subclass the facade, and call their own attributes what they like."""

from __future__ import annotations

from typing import Any

import pytest

from interaction import Master, Slave
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


@pytest.mark.parametrize("facade", [Master("127.0.0.1", 0), Slave("127.0.0.1", 0)], ids=["master", "slave"])
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
