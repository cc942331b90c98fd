"""Memory that is short while data is written: a MemoryError that says so, no less data, and no process that dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS, and how much is used")

ROOT = Path(__file__).parents[2]
SCRIPT = """
import resource, sys
from collections import Counter
from interaction.core.model import ResultStatus
from interaction.rpc import convert, payload

VALUE = {VALUE}
RESULT = {"x": VALUE, "y": 5}

def used():
    return int(open("/proc/self/statm").read().split()[0]) * 4096

def written(how):
    encoded = payload.encode(RESULT, "result")
    if how == "result":
        return convert.pack(convert.write_result("0" * 36, ResultStatus.COMPLETED, encoded, None))
    from interaction.core.model import TaskOffer
    return convert.pack_task(TaskOffer("0" * 36, RESULT, b""), 0) if how == "task" else convert.pack(encoded)

def read(how, content):
    if how == "result":
        return payload.decode(convert.unpack_report(content).message.result, "result")
    return convert.unpack_task(*content)[0].data if how == "task" else convert.unpack_mapping(content)

ends = Counter()
for how in ("result", "task", "alone"):
    read(how, written(how))
    for room in range(256, 40 * 1024, 1021):
        content = None
        resource.setrlimit(resource.RLIMIT_AS, (used() + room * 1024, resource.RLIM_INFINITY))
        try:
            content = written(how)
        except MemoryError as error:
            end = f"{how} MemoryError"
        except BaseException as error:
            end = f"{how} {type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        if content is not None:
            end = f"{how} {'whole' if read(how, content) == RESULT else 'in part'}"
        ends[end] += 1
print(*sorted(ends), sep="\\n")
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("value", ["bytes([7]) * 3_000_000", "'a' * 3_000_000", "[bytes([7]) * 500_000] * 6"])
def test_where_memory_is_short_data_is_written_whole_or_raises_memory_error(value: str) -> None:
    """A buffer was left out, or the process died by SIGSEGV."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{VALUE}", value)], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{how} {end}" for how in ("alone", "result", "task") for end in ("MemoryError", "whole")
    ]
