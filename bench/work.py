"""What the processors do while tasks run: the time of each thread, and whose code it is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench.measure import Work
from bench.process import Process

Use = Callable[[float], int]  # gives tasks for that many seconds, and returns how many
_SECONDS = 5
_SAMPLES_A_SECOND = 500
_FUNCTIONS = 8  # that are named

# Innermost functions of threads that wait: a sampler can't tell whether they wait, or are about to.
WAITING = (
    "select (selectors.py",
    "wait (threading.py",
    "run (threading.py",
    "_worker (concurrent/",
    "answer_commands (",
    "_next (interaction/rpc/strand.py",
    "_read (interaction/slave/pacemaker.py",
)
# Whose code a function is, by a part of its file's name; the innermost function that has an owner counts.
OWNERS = (
    ("threading.py", "threads wake each other"),
    ("_write_to_self (", "threads wake each other"),
    ("call_soon_threadsafe (", "threads wake each other"),
    ("concurrent/futures/", "threads wake each other"),
    ("grpc/aio/", "grpc.aio, its Python"),
    ("asyncio/events.py", "grpc.aio's Cython and asyncio's C, called by the loop"),
    ("asyncio/", "asyncio, its Python"),
    ("interaction/rpc/payload.py", "interaction: payloads"),
    ("interaction/core/", "interaction: decisions"),
    ("interaction/rpc/", "interaction: rpc"),
    ("interaction/master/", "interaction: master"),
    ("interaction/aio/", "interaction: aio"),
    ("interaction/slave/", "interaction: slave"),
    ("bench/", "the benchmark"),
)


def work_of(title: str, process: Process, use: Use) -> Work:
    """Measure, while a driver of ours is used."""
    threads = _threads(process, use)
    owners: list[tuple[str, str, float]] = []
    functions: list[tuple[str, str, float]] = []
    with tempfile.TemporaryDirectory(prefix="bench-work-") as folder:
        spies = {role: _spy(told["pid"], Path(folder) / role) for role, told in process.ask("processes").items()}
        use(_SECONDS)
        for role, spy in spies.items():
            _, errors = spy.communicate()
            output = Path(folder) / role
            if spy.returncode != 0 or not output.exists():
                return Work(title, threads, [], [], f"py-spy could not look into the {role}: {errors.strip()}")
            samples, by_owner, by_function = shares_of(output.read_text().splitlines())
            named = f"{role}, {samples} samples"
            owners += [(named, owner, share) for owner, share in by_owner]
            functions += [(named, function, share) for function, share in by_function[:_FUNCTIONS]]
    return Work(title, threads, owners, functions, "")


def _threads(process: Process, use: Use) -> list[tuple[str, str, float]]:
    """Processor time of each thread of master and slave, in µs for a task, by the system's own account."""
    before = {role: dict(_run_times(told["pid"])) for role, told in process.ask("processes").items()}
    count = use(_SECONDS)
    work: Counter[tuple[str, str]] = Counter()
    for role, told in process.ask("processes").items():
        for thread, spent in _run_times(told["pid"]):
            name = told["threads"].get(thread, "gRPC's own threads")
            work[role, name] += spent - before[role].get(thread, 0)
    return [(role, name, spent / 1000 / count) for (role, name), spent in work.most_common() if spent > 0]


def _run_times(pid: int) -> Iterator[tuple[str, int]]:
    """The threads of a process, and the nanoseconds that each has run."""
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            yield folder.name, int((folder / "schedstat").read_text().split()[0])


def _spy(pid: int, output: Path) -> subprocess.Popen[str]:
    """Have a process watched; what was seen is in `output` at the end."""
    program = str(Path(sys.executable).with_name("py-spy"))
    options = ["--nonblocking", "--format=raw", f"--rate={_SAMPLES_A_SECOND}", f"--duration={_SECONDS}"]
    return subprocess.Popen(
        [program, "record", *options, f"--pid={pid}", f"--output={output}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def shares_of(lines: Sequence[str]) -> tuple[int, list[tuple[str, float]], list[tuple[str, float]]]:
    """How many samples there are, and the share of each owner and of each function, largest first.

    A line has a stack, outermost function first, and how often it was seen. Threads that wait are left out, and stacks
    that changed while they were read and came out empty.
    """
    owners: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in lines:
        whole, _, times = line.rpartition(" ")
        stack = whole.split(";")
        if stack[-1] and not any(part in stack[-1] for part in WAITING):
            owners[_owner(stack)] += int(times)
            functions[stack[-1].rpartition(":")[0] + ")"] += int(times)
    total = sum(owners.values())
    by_owner, by_function = (
        [(name, count / total) for name, count in counted.most_common()] for counted in (owners, functions)
    )
    return total, by_owner, by_function


def _owner(stack: Sequence[str]) -> str:
    for function in reversed(stack):
        for part, owner in OWNERS:
            if part in function:
                return owner
    return "other"
