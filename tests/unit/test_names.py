"""What stands for a number is shown by its name, wherever a person may see it, and stays the number that it was."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from enum import Enum
from typing import Any

import pytest

from interaction import TaskStatus
from interaction.exception import LossReason, MasterErrorCode, SlaveErrorCode

KINDS = [TaskStatus, SlaveErrorCode, MasterErrorCode, LossReason]
MEMBERS: list[Any] = [member for kind in KINDS for member in kind]
NUMBERS = [member for member in MEMBERS if isinstance(member, int)]


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_people_see_the_name(member: Enum, capsys: pytest.CaptureFixture[str]) -> None:
    print(member)
    assert capsys.readouterr().out == f"{member.name}\n"
    shown = [f"{member}", f"{member!s}", "{}".format(member), "%s" % member, str(member), format(member)]  # noqa: UP031, UP032
    assert shown == [member.name] * 6
    assert f"{member:>20}|{member:<20}|{member:^20}" == f"{member.name:>20}|{member.name:<20}|{member.name:^20}"
    assert f"{member:.3s}" == member.name[:3]
    record = logging.LogRecord("name", logging.INFO, "path", 1, "it is %s", (member,), None)
    assert record.getMessage() == f"it is {member.name}"
    assert member.name in repr(member)


@pytest.mark.parametrize("member", NUMBERS, ids=repr)
def test_it_is_the_number_all_the_same(member: Any) -> None:
    value = member.value
    assert (int(member), member, hash(member), json.dumps(member)) == (value, value, hash(value), str(value))
    assert "%d" % member == str(value)  # noqa: UP031
    formats = ["d", "x", "#04x", "08d", "n", "b", "o", "X", "e", ",d", "+d", "5d"]
    assert [format(member, each) for each in formats] == [format(value, each) for each in formats]
    assert member + 0 == value
    assert sorted([member, -1]) == [-1, value]


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_it_is_one_object_wherever_it_has_been(member: Any) -> None:
    for again in (pickle.loads(pickle.dumps(member)), copy.copy(member), copy.deepcopy(member), type(member)(member)):
        assert again is member
    assert type(member)[member.name] is member
