"""Options: the documented defaults and minima, and a sentence for each mistake."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from interaction import Master, Slave
from interaction.config import MasterOptions, SlaveOptions, allow_list, given
from interaction.tls import TLS

AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("127.0.0.1")
PEM, KEY = ISSUED.cert_chain_pems[0].bytes(), ISSUED.private_key_pem.bytes()
BASE: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "channel": 0,
    "request_retries": 5,
    "request_retry_waiting": 1.0,
    "request_timeout": 30.0,
    "max_message_bytes": 1 << 20,
    "tls": None,
    "reflection": True,
}


def master(**changes: Any) -> MasterOptions:
    own = {"heartbeat_tolerance": 15.0, "heartbeat_check_span": 1.0, "my_address": None, "client_tls": None}
    return MasterOptions(**{**BASE, **own, **changes})


def slave(**changes: Any) -> SlaveOptions:
    return SlaveOptions(
        **{**BASE, "heartbeat_span": 3.0, "allowed_masters": None, "pacemaker": True, "isolation": "thread", **changes}
    )


class Worker(Slave):
    def _process_task(self, task: Any) -> Any:
        raise AssertionError("it is not started")


def options_of(facade: Master | Slave) -> dict[str, Any]:
    return dict(vars(facade._interaction.options))


def test_the_documented_defaults_of_a_master() -> None:
    for facade in (Master(), Master(None, None, None, None, None, None, None, None)):
        assert (
            options_of(facade).items()
            >= {
                "host": "0.0.0.0",
                "port": 7235,
                "heartbeat_tolerance": 15.0,
                "heartbeat_check_span": 1.0,
                "request_retries": 5,
                "request_retry_waiting": 1.0,
                "channel": 0,
                "my_address": None,
                "max_message_bytes": 64 * 1024 * 1024,
            }.items()
        )


def test_the_documented_defaults_of_a_slave() -> None:
    for facade in (Worker(), Worker(None, None, None, None, None, None)):
        assert (
            options_of(facade).items()
            >= {
                "host": "0.0.0.0",
                "port": 7236,
                "heartbeat_span": 3.0,
                "request_retries": 5,
                "request_retry_waiting": 1.0,
                "channel": 0,
                "max_message_bytes": 64 * 1024 * 1024,
            }.items()
        )


def test_the_documented_parameters_may_be_given_by_position() -> None:
    given_master = options_of(Master("localhost", 1, 2.0, 3.0, 4, 5.0, 6, "host:7"))
    assert [given_master[name] for name in ("host", "port", "heartbeat_tolerance", "heartbeat_check_span")] == [
        "localhost",
        1,
        2.0,
        3.0,
    ]
    assert [given_master[name] for name in ("request_retries", "request_retry_waiting", "channel", "my_address")] == [
        4,
        5.0,
        6,
        "host:7",
    ]
    given_slave = options_of(Worker("localhost", 1, 2.0, 3, 4.0, 5))
    names = ("host", "port", "heartbeat_span", "request_retries", "request_retry_waiting", "channel")
    assert [given_slave[name] for name in names] == ["localhost", 1, 2.0, 3, 4.0, 5]
    with pytest.raises(TypeError):
        Master("localhost", 1, 2.0, 3.0, 4, 5.0, 6, "host:7", 30.0)  # type: ignore[call-arg]


def test_a_duration_below_its_minimum_is_the_minimum() -> None:
    options = master(heartbeat_tolerance=0.0, heartbeat_check_span=0)
    assert (options.heartbeat_tolerance, options.heartbeat_check_span) == (0.2, 0.1)
    assert slave(heartbeat_span=0.1).heartbeat_span == 0.2


@pytest.mark.parametrize("make", [master, slave], ids=["master", "slave"])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("host", None, TypeError),
        ("host", 7, TypeError),
        ("host", "", ValueError),
        ("host", "a b", ValueError),
        ("port", -1, ValueError),
        ("port", 65536, ValueError),
        ("port", 1.0, TypeError),
        ("port", "80", TypeError),
        ("port", True, TypeError),
        ("channel", 2**63, ValueError),
        ("channel", -(2**63) - 1, ValueError),
        ("channel", "7", TypeError),
        ("request_retries", -1, ValueError),
        ("request_retries", 2.5, TypeError),
        ("request_retry_waiting", -0.1, ValueError),
        ("request_retry_waiting", float("nan"), ValueError),
        ("request_retry_waiting", float("inf"), ValueError),
        ("request_retry_waiting", "1", TypeError),
        ("request_timeout", 0, ValueError),
        ("max_message_bytes", 1000, ValueError),
        ("max_message_bytes", 2**31, ValueError),
        ("max_message_bytes", 1e6, TypeError),
        ("tls", TLS(authority=PEM), ValueError),
    ],
)
def test_a_mistake_names_the_parameter(
    make: Callable[..., object], name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        make(**{name: value})


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "1", None, True])
def test_a_heartbeat_duration_that_is_none_is_refused(value: object) -> None:
    for name in ("heartbeat_tolerance", "heartbeat_check_span"):
        with pytest.raises((TypeError, ValueError), match=name):
            master(**{name: value})
    with pytest.raises((TypeError, ValueError), match="heartbeat_span"):
        slave(heartbeat_span=value)


@pytest.mark.parametrize("address", ["ftp://host:1", "host:0", "", "host/path"])
def test_an_address_that_no_slave_would_take_is_refused_here(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|host"):
        master(my_address=address)


def test_numbers_of_numpy_are_numbers() -> None:
    options = master(port=np.int64(7), channel=np.int32(1), request_timeout=np.float32(2), request_retries=np.uint8(3))
    found = (options.port, options.channel, options.request_timeout, options.request_retries)
    assert found == (7, 1, 2.0, 3)
    assert [type(number) for number in found] == [int, int, float, int]
    assert slave(slots=np.int64(2), backlog=np.int16(3)).slots == 2
    for wrong in (np.bool_(True), np.float64(7), np.array([7, 8]), 10**400):
        with pytest.raises((TypeError, ValueError), match="port must be"):
            master(port=wrong)
    with pytest.raises(ValueError, match="request_timeout must be a finite positive number"):
        master(request_timeout=10**400)


def test_zero_and_other_extremes_are_values() -> None:
    options = master(request_retries=0, request_retry_waiting=0, port=65535, channel=-(2**63))
    assert (options.request_retries, options.request_retry_waiting, options.port) == (0, 0, 65535)
    assert given(0, 5) == 0
    assert given(None, 5) == 5


def test_a_facade_refuses_a_mistake_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="port"):
        Master("127.0.0.1", "7235")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="channel"):
        Worker("127.0.0.1", 0, channel="7")  # type: ignore[arg-type]


def test_an_allow_list_is_no_bare_string() -> None:
    with pytest.raises(TypeError, match=r"10\.0\.0\.1"):
        allow_list("10.0.0.1")
    assert allow_list(None) is None


# TLS.


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"certificate": PEM}, "go together"),
        ({"key": PEM}, "go together"),
        ({"certificate": b"nonsense", "key": PEM}, "certificate"),
        ({"certificate": "text", "key": PEM}, "certificate"),
        ({"authority": b""}, "authority"),
        ({"mutual": True}, "authority"),
    ],
    ids=str,
)
def test_tls_that_cannot_work_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TLS(**options)


def test_a_key_is_never_shown() -> None:
    tls = TLS(PEM, KEY, PEM)
    shown = f"{tls} {tls!r} {slave(tls=tls)!r}"
    assert not any(line.decode() in shown for line in (*KEY.split(b"\n")[1:-2], *PEM.split(b"\n")[1:-2]))


def test_tls_is_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_bytes(PEM)
    (tmp_path / "key.pem").write_bytes(PEM + KEY)
    tls = TLS.from_files(certificate=tmp_path / "cert.pem", key=str(tmp_path / "key.pem"), server_name="name")
    assert tls == TLS(PEM, PEM + KEY, None, mutual=False, server_name="name")
    with pytest.raises(FileNotFoundError):
        TLS.from_files(authority=tmp_path / "none.pem")


def test_options_can_go_to_another_process() -> None:
    options = master(my_address="host:1", client_tls=TLS(authority=PEM))
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(TypeError, match="not pickled"):  # but a key
        pickle.dumps(master(tls=TLS(PEM, KEY)))


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_whether_there_is_a_pacemaker_is_true_or_false(value: object) -> None:
    with pytest.raises(TypeError, match="pacemaker must be True or False, not "):
        slave(pacemaker=value)


@pytest.mark.parametrize("value", [None, "", "Process", "fork"])
def test_an_isolation_that_there_is_not_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ValueError, match=f"isolation must be 'thread' or 'process', not {value!r}"):
        slave(isolation=value)
