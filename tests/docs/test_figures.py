"""The figures in the documents and in the contract are the code's constants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interaction import config, secret, text
from interaction.core import admission, batch, engagement, lease, outbox, recovery, road, session, signature
from interaction.rpc import (
    convert,
    encoded,
    fields,
    master_server,
    payload,
    plain,
    status,
    strangers,
    text_limit,
    transport,
)

ROOT = Path(__file__).resolve().parents[2]
KIB, MIB = 1024, 1024 * 1024
SERVER, CHANNEL = dict(transport.server_options(1)), dict(transport._CHANNEL_OPTIONS)
PROTOS = "protos/interaction/v1"

# Where a figure stands, in which words, and the constant that it is. What stands twice stands here twice.
FIGURES: list[tuple[str, str, float]] = [
    ("docs/operating.md", r"two clocks may differ by (\d+) s", signature.WINDOW),
    (f"{PROTOS}/slave_service.proto", r"the time: (\d+) s more or less", signature.WINDOW),
    ("docs/operating.md", r"A secret has (\d+) to 1,024 visible", secret.MIN_LENGTH),
    ("docs/operating.md", r"A secret has 32 to ([\d,]+) visible", secret.MAX_LENGTH),
    (f"{PROTOS}/slave_service.proto", r"the same secret, (\d+) to 1024 visible", secret.MIN_LENGTH),
    (f"{PROTOS}/slave_service.proto", r"the same secret, 32 to (\d+) visible", secret.MAX_LENGTH),
    ("docs/security.md", r"The nonces of a session, ([\d,]+) at least", signature.MOST),
    ("docs/operating.md", r"A refusal carries at most (\d+) KiB of data", status.MAX_REFUSAL_BYTES / KIB),
    (f"{PROTOS}/error.proto", r"A refusal carries at most (\d+) KiB of data", status.MAX_REFUSAL_BYTES / KIB),
    ("interaction/slave/action.py", r"At most (\d+) KiB", status.MAX_REFUSAL_BYTES / KIB),
    (f"{PROTOS}/error.proto", r"the message, of at most (\d+) KiB", encoded.FAILURE_MESSAGE_BYTES / KIB),
    (f"{PROTOS}/error.proto", r"a master reads up to (\d+) KiB of a call's", CHANNEL["grpc.max_metadata_size"] / KIB),
    (
        "docs/operating.md",
        r"A server reads at most (\d+) KiB of a call's metadata",
        SERVER["grpc.max_metadata_size"] / KIB,
    ),
    ("CHANGELOG.md", r"A server reads at most (\d+) KiB of a call's metadata", SERVER["grpc.max_metadata_size"] / KIB),
    ("docs/operating.md", r"serves ([\d,]+) calls of a connection at once", SERVER["grpc.max_concurrent_streams"]),
    ("CHANGELOG.md", r"serves ([\d,]+) calls of a connection at once", SERVER["grpc.max_concurrent_streams"]),
    ("docs/operating.md", r"A message is at most (\d+) MiB", config.DEFAULT_MAX_MESSAGE_BYTES / MIB),
    ("docs/migrating.md", r"so is more than (\d+) MiB", config.DEFAULT_MAX_MESSAGE_BYTES / MIB),
    ("interaction/master/master.py", r"None means (\d+) MiB", config.DEFAULT_MAX_MESSAGE_BYTES / MIB),
    ("interaction/slave/slave.py", r"None means (\d+) MiB", config.DEFAULT_MAX_MESSAGE_BYTES / MIB),
    (f"{PROTOS}/slave_service.proto", r"0 means not told: (\d+) MiB", config.ASSUMED_MAX_MESSAGE_BYTES / MIB),
    ("docs/operating.md", r"What is larger than (\d+) MiB goes by a call", batch.LARGEST / MIB),
    ("docs/operating.md", r"Data nests at most (\d+) deep", plain.MAX_DEPTH),
    ("docs/migrating.md", r"Data nest at most (\d+) deep", plain.MAX_DEPTH),
    (f"{PROTOS}/payload.proto", r"nest at most (\d+) deep", plain.MAX_DEPTH),
    (f"{PROTOS}/payload.proto", r"in `value` at most (\d+)", plain.MAX_VALUE_DEPTH),
    (f"{PROTOS}/payload.proto", r"where (\d+) is kept each of them reads it", plain.MAX_VALUE_DEPTH),
    ("CHANGELOG.md", r"`google.protobuf.Value` nests at most (\d+) deep", plain.MAX_VALUE_DEPTH),
    (f"{PROTOS}/payload.proto", r"of up to ([\d,]+) decimal digits", len(str(payload._LARGEST_DECIMAL)) - 1),
    (f"{PROTOS}/payload.proto", r"A text has at most (\d+) MiB", config.MAX_JSON_BYTES / MIB),
    (f"{PROTOS}/payload.proto", r"MiB \(([\d,]+) bytes of UTF-8\)", config.MAX_JSON_BYTES),
    (f"{PROTOS}/payload.proto", r"One of up to (\d+) MiB is never too long", text_limit.LIGHT / MIB),
    (f"{PROTOS}/payload.proto", r"that it would not fit in (\d+) MiB", text_limit.MOST_MEMORY / MIB),
    (f"{PROTOS}/payload.proto", r"counts, in bytes, (\d+) for a list", text_limit.LIST),
    (f"{PROTOS}/payload.proto", r"(\d+) for an object, [\d]+ for a comma", text_limit.MAPPING),
    (f"{PROTOS}/payload.proto", r"(\d+) for a comma", text_limit.NEXT),
    (f"{PROTOS}/payload.proto", r"(\d+) for a string", text_limit.STRING),
    (f"{PROTOS}/payload.proto", r"(\d+) for a key", text_limit.KEY),
    (f"{PROTOS}/payload.proto", r"or (\d+) where that is new", text_limit.NEW_KEY),
    (f"{PROTOS}/payload.proto", r"and (\d+) more where it begins with", text_limit.DOLLAR_KEY),
    (f"{PROTOS}/payload.proto", r"and ([\d.]+) for each byte of the text", text_limit.COPIES),
    (f"{PROTOS}/slave_service.proto", r"has at most ([\d,]+) fields", fields.MOST_FIELDS),
    ("CHANGELOG.md", r"a message has at most ([\d,]+) fields", fields.MOST_FIELDS),
    ("CHANGELOG.md", r"JSON text has at most (\d+) MiB", config.MAX_JSON_BYTES / MIB),
    ("docs/operating.md", r"The JSON beside them has at most (\d+) MiB", config.MAX_JSON_BYTES / MIB),
    ("docs/operating.md", r"it would take more than (\d+) MiB to read", text_limit.MOST_MEMORY / MIB),
    (f"{PROTOS}/slave_service.proto", r"takes one of the others of at most (\d+) KiB", strangers.MOST_BYTES / KIB),
    (f"{PROTOS}/slave_service.proto", r"has had no call for (\d+) s", transport.IDLE_SECONDS),
    (f"{PROTOS}/slave_service.proto", r"finished its handshake within (\d+)", transport.HANDSHAKE_SECONDS),
    ("CHANGELOG.md", r"has had no call for (\d+) s", transport.IDLE_SECONDS),
    ("CHANGELOG.md", r"take no message beyond (\d+) KiB", strangers.MOST_BYTES / KIB),
    ("docs/operating.md", r"A slave holds ([\d,]+) unacknowledged results", outbox.CAPACITY),
    ("docs/operating.md", r"for as long as their slave keeps them: (\d+) minutes", outbox.RETENTION / 60),
    ("docs/operating.md", r"At most (\d+) slaves are called at once", recovery.IN_FLIGHT),
    ("docs/operating.md", r"while more than (\d+) % of", 100 * recovery.LOST_SHARE),
    ("docs/operating.md", r"closes after (\d+) s without one", road.IDLE),
    ("docs/operating.md", r"`Master\(heartbeat_tolerance\)` \| (\d+) s", config.DEFAULT_HEARTBEAT_TOLERANCE),
    ("docs/operating.md", r"two thirds of that \| (\d+) s", config.DEFAULT_HEARTBEAT_TOLERANCE * session.LEASE_SHARE),
    ("docs/operating.md", r"`Slave\(heartbeat_span\)` \| (\d+) s", config.DEFAULT_HEARTBEAT_SPAN),
    ("docs/operating.md", r"`Master\(heartbeat_check_span\)` \| (\d+) s", config.DEFAULT_HEARTBEAT_CHECK_SPAN),
    ("docs/migrating.md", r"`heartbeat_tolerance` is (\d+) s", config.DEFAULT_HEARTBEAT_TOLERANCE),
    ("docs/migrating.md", r"`request_timeout` \((\d+) s\)", config.DEFAULT_REQUEST_TIMEOUT),
    (f"{PROTOS}/slave_service.proto", r"a missing one means (\d+)", config.DEFAULT_MASTER_PORT),
    (f"{PROTOS}/master_service.proto", r"by convention on port (\d+)", config.DEFAULT_MASTER_PORT),
    (f"{PROTOS}/slave_service.proto", r"by convention on port (\d+)", config.DEFAULT_SLAVE_PORT),
    (f"{PROTOS}/master_service.proto", r"pauses that grow from at most 0.1 s to (\d+) s", outbox.LONGEST_PAUSE),
    (f"{PROTOS}/master_service.proto", r"More than ([\d,]+) count as `begun_known`", master_server.MOST_BEGUN),
    (f"{PROTOS}/task.proto", r"of `type` at most (\d+) characters", text.LONGEST_NAME),
    (f"{PROTOS}/task.proto", r"of `message` ([\d,]+), and of", text.LONGEST_SENTENCE),
    (f"{PROTOS}/task.proto", r"line by line, (\d+) KiB from its beginning", encoded.FAILURE_TRACEBACK_BYTES / KIB),
    (f"{PROTOS}/task.proto", r"a TaskError of more than (\d+) MiB", convert.MAX_FAILURE_BYTES / MIB),
    (f"{PROTOS}/slave_service.proto", r"for ([\d.]+) s the master waits for that", session.WITNESS_PATIENCE),
    ("docs/operating.md", r"pacemaker does not say so within ([\d.]+) s", session.WITNESS_PATIENCE),
]
# What the contract asks for at least, where the code may do more.
LEAST: list[tuple[str, str, float]] = [
    (f"{PROTOS}/slave_service.proto", r"those of at least the last (\d+)\)", engagement.REMEMBERED_TOKENS),
    (f"{PROTOS}/slave_service.proto", r"remembers at least the ([\d,]+) last ids", admission.REMEMBERED_TASKS),
    (f"{PROTOS}/slave_service.proto", r"`slots` \+ `backlog` \+ (\d+) results", outbox.CAPACITY),
    (f"{PROTOS}/slave_service.proto", r"its results for at least (\d+) minutes", outbox.RETENTION / 60),
    (f"{PROTOS}/slave_service.proto", r"lets at least (\d+) minutes pass", CHANNEL["grpc.keepalive_time_ms"] / 60_000),
]


def flat(file: str) -> str:
    """A text on one line, without the marks of comments."""
    return re.sub(r"\s+(?://\s+)?", " ", (ROOT / file).read_text(encoding="utf-8"))


def figures(file: str, words: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(words, flat(file))]


@pytest.mark.parametrize(("file", "words", "constant"), FIGURES, ids=lambda one: str(one)[:60])
def test_a_documented_figure_is_the_codes(file: str, words: str, constant: float) -> None:
    found = figures(file, words)
    assert found, "the words have changed: so must this test"
    assert found == [pytest.approx(constant)] * len(found)


@pytest.mark.parametrize(("file", "words", "constant"), LEAST, ids=lambda one: str(one)[:60])
def test_the_code_does_what_the_contract_asks_for_at_least(file: str, words: str, constant: float) -> None:
    (asked,) = figures(file, words)
    assert 0 < asked <= constant


def test_no_other_figure_is_told_for_the_same() -> None:
    """Each sentence about a limit of size is among those above, or is about something that was measured."""
    protos = [f"{PROTOS}/{path.name}" for path in (ROOT / PROTOS).glob("*.proto")]
    for file in ("docs/operating.md", "docs/migrating.md", "CHANGELOG.md", *protos):
        text = flat(file)
        known = [one.span() for name, words, _ in FIGURES if name == file for one in re.finditer(words, text)]
        for told in re.finditer(r"at most [\d,]+ (?:KiB|MiB|deep)", text):
            assert any(first <= told.end() <= last + 10 for first, last in known), told


def test_a_stream_is_doubted_when_the_contract_says() -> None:
    for file in (f"{PROTOS}/master_service.proto", "docs/operating.md"):
        assert len(re.findall(r"for three quarters of (?:it|the lease)", flat(file))) == 1
    assert lease.DOUBT_SHARE == 3 / 4


def test_the_lower_bounds_of_the_readme_are_those_of_what_is_installed() -> None:
    readme = flat("README.md")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (grpcio,) = re.findall(r'"grpcio>=([\d.]+?)(?:\.0)?,<2"', project)
    (old,) = re.findall(r'"protobuf>=([\d.]+),<8; python_version < \'3.12\'"', project)
    (new,) = re.findall(r'"protobuf>=([\d.]+?)(?:\.0)?,<8; python_version >= \'3.12\'"', project)
    assert f"grpcio ≥ {grpcio} (beside older ones" in readme
    assert f"protobuf {old} to 7, on Python 3.12 and newer ≥ {new} (older ones" in readme
