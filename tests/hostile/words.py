"""Words that mean harm, every place in the contract where a peer may put them, and what may be shown of them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from interaction.text import one_line

MARK = "FORGED"
# It clears the screen, begins a line of a log, runs backwards, and has line breaks of other kinds.
SHORT = f"\x1b[2J\r\n{MARK} CRITICAL all slaves are lost\u202e\u2066\u2028{MARK}\x85{MARK}\0\x7f\ufeff\x9b2J"
NASTY = SHORT + "x" * 1_000_000
MOST_IN_A_SENTENCE = 13_000  # characters: three times what a peer may say in one, and what we say around it
MOST_IN_ALL = 150_000  # of everything that is told of an error, with its causes and tracebacks

Path = tuple[FieldDescriptor, ...]
DATA = ("interaction.v1.Payload", "google.protobuf.Duration")


def texts(message: Descriptor, path: Path = ()) -> Iterator[Path]:
    """Every field of text that a message of this kind may have; what users send as data is none of ours."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (*path, field)
        elif field.message_type is not None and field.message_type.full_name not in DATA:
            yield from texts(field.message_type, (*path, field))


def name_of(path: Path) -> str:
    return ".".join(field.name for field in path)


def put(message: Any, path: Path, text: str) -> None:
    """Put a text there. What is on the way to it is as it stands in the message, or made."""
    field, *rest = path
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        name, value = (text, "value") if rest[0].name == "key" else ("name", text)
        getattr(message, field.name)[name] = value
    elif rest and field.is_repeated:
        inside = getattr(message, field.name)
        put(inside[0] if inside else inside.add(), tuple(rest), text)
    elif rest:
        put(getattr(message, field.name), tuple(rest), text)
    elif field.is_repeated:
        getattr(message, field.name)[:] = [text]
    else:
        setattr(message, field.name, text)


def cases(*kinds: type[Message]) -> list[Any]:
    """One for each text of each kind of message."""
    found = [(kind, path) for kind in kinds for path in texts(cast(Descriptor, kind.DESCRIPTOR))]
    return [pytest.param(kind, path, id=f"{kind.DESCRIPTOR.name}.{name_of(path)}") for kind, path in found]


def assert_one_line(what: object) -> None:
    """It may stand in a log, in a sentence and on a screen."""
    text = str(what)
    assert one_line(text) == text
    assert len(text) <= MOST_IN_A_SENTENCE


def assert_no_forged_line(text: str) -> None:
    """Each line is fit to be shown, and none of them is the peer's."""
    for line in text.split("\n"):
        assert one_line(line.expandtabs(4)) == line.expandtabs(4)
        assert not line.startswith(MARK)
    assert len(text) <= MOST_IN_ALL


def assert_fit(*errors: BaseException | None) -> None:
    """Whatever is shown of an error: itself, as it is repeated, with its causes, and what it holds."""
    for error in errors:
        if error is None:
            continue
        assert_one_line(error)
        assert_no_forged_line(repr(error))
        assert_no_forged_line("".join(traceback.format_exception(type(error), error, error.__traceback__)))
        for name, value in vars(error).items():
            if name == "traceback" or not isinstance(value, str):  # that one has lines; what else there is, is data
                continue
            assert_one_line(value)


def assert_log_fit(records: Iterable[logging.LogRecord]) -> None:
    shown = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    for record in records:
        if record.name.startswith("interaction"):
            assert_one_line(record.getMessage())
            assert_no_forged_line(shown.format(record))
