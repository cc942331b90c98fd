"""SlaveService, every implementation: who is there, and what a call must bring."""

from __future__ import annotations

import re
import signal
from typing import Any

import grpc
import pytest

from interaction.v1 import slave_service_pb2 as messages
from tests.contract.slave_programs import CHANNEL, WAIT, SlaveProgram
from tests.contract.wire import (
    ALREADY_CONNECTED,
    CHANNEL_GIVEN,
    FORBIDDEN,
    GONE,
    ILLEGAL,
    NOBODY,
    NOT_CONNECTED,
    REQUEST_INVALID,
    TOKEN_INVALID,
    Caller,
    Metadata,
    Refusal,
    metadata_of,
    new_id,
    new_token,
    refused,
)

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own

TOKEN = ("token", "t" * 64)
NO_CHANNEL, WRONG_CHANNEL = (ILLEGAL, "CHANNEL_NOT_FOUND"), (FORBIDDEN, "CHANNEL_INVALID")
NO_TOKEN = (NOBODY, "MASTER_TOKEN_NOT_FOUND")

# Empty: what is missing is told by the next check.
REQUESTS = {
    "Connect": messages.ConnectRequest(),
    "Disconnect": messages.DisconnectRequest(),
    "NewTask": messages.NewTaskRequest(),
}


def test_ping_needs_no_metadata_and_always_answers_the_same(caller: Caller, program: SlaveProgram) -> None:
    first = caller.ping()
    assert re.fullmatch("[0-9a-f]{32}", first.incarnation)
    assert program.implementation.language in (None, first.language)
    assert caller.connect().incarnation == first.incarnation
    assert caller.ping() == first


def wrong(metadata: Metadata, expected: Refusal) -> Any:
    text = ", ".join(f"{key} {value}" for key, value in metadata).replace("t" * 64, "ok")
    return pytest.param(metadata, expected, id=f"{text[:50] or 'nothing'}-{expected[1]}")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        wrong((), NO_CHANNEL),
        wrong((TOKEN,), NO_CHANNEL),
        wrong((("token", "short"),), NO_CHANNEL),
        *(
            wrong((("channel", text), TOKEN), WRONG_CHANNEL)
            for text in (
                "",
                "8",
                "-7",
                "seven",
                "7.0",
                "+7",
                "0x7",
                "7, 7",
                "7,",
                "9223372036854775808",
                "18446744073709551623",  # 7, where only 64 bits are looked at
                "9" * 5000,
            )
        ),
        wrong((("channel", "8"),), WRONG_CHANNEL),
        wrong((("channel", "8"), ("token", "short")), WRONG_CHANNEL),
        wrong((CHANNEL_GIVEN, CHANNEL_GIVEN, TOKEN), WRONG_CHANNEL),
        wrong((CHANNEL_GIVEN, ("channel", "8"), TOKEN), WRONG_CHANNEL),
        wrong((("channel", "8"), CHANNEL_GIVEN, TOKEN), WRONG_CHANNEL),
        wrong((CHANNEL_GIVEN,), NO_TOKEN),
        *(
            wrong((CHANNEL_GIVEN, ("token", text)), TOKEN_INVALID)
            for text in ("", "short", "t" * 31, "t" * 129, "spaces in it, and long enough for a token", "t" * 63 + "!")
        ),
        wrong((CHANNEL_GIVEN, TOKEN, TOKEN), TOKEN_INVALID),
        wrong((CHANNEL_GIVEN, TOKEN, ("token", "u" * 64)), TOKEN_INVALID),
    ],
)
def test_channel_and_token_are_checked_in_order_and_before_anything_else(
    caller: Caller, metadata: Metadata, expected: Refusal
) -> None:
    for method, request in REQUESTS.items():
        assert refused(getattr(caller.stub, method), request, metadata=metadata, timeout=WAIT) == expected


@pytest.mark.parametrize("length", [32, 128])
@pytest.mark.parametrize("channel", [str(CHANNEL), f"00{CHANNEL}"])
def test_a_channel_is_compared_as_a_number_and_a_token_may_have_any_allowed_length(
    caller: Caller, channel: str, length: int
) -> None:
    token = f"-_9aZ{new_token() * 3}"[:length]
    metadata = (("channel", channel), ("token", token))
    call = caller.stub.Connect
    assert refused(call, messages.ConnectRequest(), metadata=metadata, timeout=WAIT) == REQUEST_INVALID
    caller.connect(token=token)
    caller.disconnect()


def test_without_a_session_there_is_nothing_to_do_but_to_connect(caller: Caller) -> None:
    assert refused(caller.new_task, {}) == NOT_CONNECTED
    assert refused(caller.disconnect) == NOT_CONNECTED
    assert refused(caller.new_task, {}, "no UUID") == NOT_CONNECTED


def test_another_token_than_the_sessions_changes_nothing(caller: Caller) -> None:
    caller.connect()
    other = new_token()
    assert refused(caller.new_task, {"a": 1, "b": 2}, token=other) == TOKEN_INVALID
    assert refused(caller.new_task, {}, "no UUID", token=other) == TOKEN_INVALID
    assert refused(caller.disconnect, token=other) == TOKEN_INVALID
    assert refused(caller.connect, token=other) == ALREADY_CONNECTED
    task = caller.new_task({"a": 1, "b": 2})
    assert caller.report().result.task_id == task
    caller.disconnect()


def test_a_token_that_only_begins_like_the_sessions_is_another(caller: Caller) -> None:
    caller.connect()
    for other in (caller.token[:-1], caller.token + "x", caller.token.swapcase()):
        assert refused(caller.new_task, {}, token=other) == TOKEN_INVALID


def test_what_the_features_lack_is_unimplemented(caller: Caller) -> None:
    answer = caller.connect()
    assert answer.features == caller.ping().features
    requests = {
        "work": lambda: next(caller.stub.Work(iter([]), metadata=metadata_of(caller.token), timeout=WAIT)),
        "cancel": lambda: caller.stub.CancelTask(
            messages.CancelTaskRequest(task_id=new_id()), metadata=metadata_of(caller.token), timeout=WAIT
        ),
    }
    for feature in requests.keys() - set(answer.features):
        assert refused(requests[feature]) == (grpc.StatusCode.UNIMPLEMENTED, "")


def test_a_slave_that_shuts_down_says_so_before_anything_else(caller: Caller, program: SlaveProgram) -> None:
    caller.connect()
    assert caller.beat() == 1
    caller.master.silent = True  # so that the slave, which waits for the end of its stream, is still there
    program.process.send_signal(signal.SIGTERM)
    assert caller.beat() == 2
    for method, request in REQUESTS.items():
        assert refused(getattr(caller.stub, method), request, timeout=WAIT) == (GONE, "SYSTEM_SHUTTING_DOWN")
    assert refused(caller.new_task, {}) == (GONE, "SYSTEM_SHUTTING_DOWN")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_slave_that_is_asked_to_stop_says_that_it_leaves(
    caller: Caller, program: SlaveProgram, number: signal.Signals
) -> None:
    caller.connect()
    assert caller.beat() == 1
    program.process.send_signal(number)
    leaving = caller.master.beats.get(timeout=WAIT)
    assert (leaving.sequence, leaving.leaving is None) == (2, False)
    assert program.process.wait(timeout=WAIT) == 0


def test_tokens_are_never_printed(caller: Caller, program: SlaveProgram, resumes: bool) -> None:
    tokens = [new_token() for _ in range(4)]
    caller.connect(token=tokens[0])
    for data in ({"a": 1, "b": 2}, {}):
        caller.new_task(data)
        caller.report()
    assert refused(caller.new_task, {}, token=tokens[1]) == TOKEN_INVALID
    assert refused(caller.connect, tokens[1], token=tokens[2]) == ALREADY_CONNECTED
    if resumes:
        caller.connect(tokens[0], token=tokens[3])
    program.process.send_signal(signal.SIGTERM)
    output = program.output()
    assert not [token for token in tokens if token in output]
