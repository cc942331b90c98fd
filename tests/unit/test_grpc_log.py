"""What gRPC logs by itself is fit for a log: no bytes of a peer's, and no traceback for a peer that goes."""

from __future__ import annotations

import logging

import pytest

from interaction.rpc.grpc_log import tame

GRPC = logging.getLogger("grpc._cython.cygrpc")


def fails(sentence: str, *args: object) -> None:
    """Log an exception, as gRPC does."""
    try:
        raise OSError("the batch")
    except OSError:
        GRPC.exception(sentence, *args)


@pytest.fixture(autouse=True)
def _tamed() -> None:
    tame()


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR])
def test_a_peer_that_goes_while_it_is_answered_is_no_error(caplog: pytest.LogCaptureFixture, level: int) -> None:
    with caplog.at_level(level, GRPC.name):
        fails("ExecuteBatchError raised in core by servicer method [%s]", "/interaction.v1.SlaveService/Ping")
    if level > logging.DEBUG:
        assert not caplog.records
    else:
        (record,) = caplog.records
        assert record.levelno == logging.DEBUG
        assert record.exc_info is None
        assert record.getMessage().endswith("[/interaction.v1.SlaveService/Ping]")


def test_bytes_that_may_be_a_token_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    fails("Invalid encoding in metadata: %r", b"\xffsecret")
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text
    assert "Latin-1" in caplog.text


def test_what_else_goes_wrong_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    fails("Unexpected [%s] raised by servicer method", "OSError")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "OSError: the batch" in caplog.text
