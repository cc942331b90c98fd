"""What was written down is read again, whatever has become of it."""

from __future__ import annotations

import pytest

from interaction.core.model import ResultStatus
from interaction.rpc import convert, payload
from interaction.v1 import task_pb2


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"",
        task_pb2.TaskResult(task_id="a", status=77).SerializeToString(),  # type: ignore[arg-type]  # of a later release
        task_pb2.TaskResult(task_id="a", status=1, result={"json": "{"}).SerializeToString(),  # type: ignore[arg-type]
    ],
)
def test_a_result_that_can_not_be_read_is_a_failure_that_says_so(content: bytes) -> None:
    result = convert.unpack_result(content)
    assert result.status is ResultStatus.FAILED
    assert result.failure is not None
    assert result.failure.type == "PayloadError"


@pytest.mark.parametrize("status", ResultStatus)
def test_a_result_is_read_as_it_was_written(status: ResultStatus) -> None:
    report = convert.write_result("a", status, payload.encode({"a": [1, b"x"]}, "result"), None)
    result = convert.unpack_result(convert.pack(report))
    assert (result.task_id, result.status, result.value) == ("a", status, {"a": [1, b"x"]})
