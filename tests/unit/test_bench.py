"""What the benchmark makes of its figures: a wrong ratio would be worse than none."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.bars import BARS, Bar, judge
from bench.catalogue import SYSTEMS
from bench.measure import Book, growth, percentile, ratios, spread
from bench.process import Failed, Process
from bench.profile import WAY, stages
from bench.settings import EXPERIMENTS, PEERS, Plan, parse
from bench.work import shares_of


def book_of(**rows: list[float]) -> Book:
    """A book with round trips by system, a value a repeat."""
    book = Book()
    for repeat in range(max(map(len, rows.values()))):
        for system, values in rows.items():
            if repeat < len(values):
                book.add("roundtrip", "p50", "µs", system.replace("_", "-"), values[repeat])
    return book


def shown(book: Book) -> str:
    output = io.StringIO()
    report.show(book, Console(file=output, width=200))
    return output.getvalue()


@pytest.mark.parametrize(
    ("values", "median", "low", "high"),
    [([7.0], 7, 7, 7), ([3.0, 1.0], 2, 1.5, 2.5), ([5.0, 1.0, 4.0, 2.0, 3.0], 3, 2, 4)],
)
def test_a_spread_is_the_median_and_the_quartiles(values: list[float], median: float, low: float, high: float) -> None:
    found = spread(values)
    assert (found.median, found.low, found.high) == (median, low, high)


def test_a_percentile_is_among_the_values() -> None:
    assert percentile([3.0], 99) == 3.0
    assert percentile(list(map(float, range(101))), 50) == 50.0
    assert percentile(list(map(float, range(101))), 99) == 99.0


def test_ratios_are_taken_repeat_by_repeat_and_a_repeat_without_a_partner_has_none() -> None:
    assert ratios([2.0, 30.0, 5.0], [1.0, 10.0]) == [2.0, 3.0]


def test_growth_compares_the_last_fifth_with_the_first() -> None:
    assert growth([1.0] * 9) is None
    assert growth([10.0] * 10) == 1.0
    assert growth([10.0] * 5 + [11.0] * 5) == pytest.approx(1.1)
    assert growth([10.0, 10.0, 99.0, *[10.0] * 12]) == 1.0  # one that was disturbed decides nothing


@pytest.mark.parametrize(
    ("ratio", "at_most", "verdict"),
    [
        (1.5, True, "AIM"),
        (1.51, True, "PASS"),
        (2.0, True, "PASS"),
        (2.01, True, "MISS"),
        (12.0, False, "AIM"),
        (11.9, False, "PASS"),
        (8.0, False, "PASS"),
        (7.9, False, "MISS"),
    ],
)
def test_a_ratio_at_its_limit_is_good_enough(ratio: float, at_most: bool, verdict: str) -> None:
    bar, aim = (2.0, 1.5) if at_most else (8.0, 12.0)
    assert Bar("", "", "", "", "", bar, aim, at_most).verdict(ratio) == verdict


def test_every_bar_is_about_something_that_is_measured() -> None:
    for bar in BARS:
        assert bar.experiment in EXPERIMENTS
        assert {bar.above, bar.below} <= set(SYSTEMS)
    assert set(PEERS) <= set(SYSTEMS)


def test_a_verdict_is_that_of_the_median_ratio() -> None:
    book = book_of(grpc_stream=[100.0, 200.0, 100.0], facade=[190.0, 380.0, 900.0])  # 1.9, 1.9, 9
    first, *others = judge(book)
    assert first.ratio is not None
    assert (first.ratio.median, first.verdict, first.bar, first.aim) == (1.9, "PASS", "≤ 2", "≤ 1.5")
    assert {one.verdict for one in others} == {"not measured"}


def test_an_experiment_that_was_not_run_is_not_judged() -> None:
    assert list(judge(Book())) == []


@pytest.mark.parametrize(("last", "verdict"), [(10.9, "PASS"), (9.1, "PASS"), (11.1, "MISS"), (8.9, "MISS")])
def test_a_cost_that_moves_by_more_than_a_tenth_is_not_flat(last: float, verdict: str) -> None:
    book = Book()
    for window in range(10):
        book.add("growth", "time", "µs/task", "pool", 10.0 if window < 5 else last, float(window))
        book.add("growth", "cpu", "µs/task", "pool", 20.0, float(window))
        book.add("growth", "memory", "MiB", "pool", 80.0, float(window))
    by_time, by_cpu = judge(book)
    assert (by_time.verdict, by_cpu.verdict) == (verdict, "PASS")
    assert verdict in shown(book)


def test_the_table_has_medians_ratios_and_what_is_missing() -> None:
    book = book_of(grpc_stream=[100.0, 100.0, 100.0], facade=[150.0, 149.0, 151.0], ray=[1500.0, 1500.0, 1500.0])
    book.misses("Dask is not installed: '.[bench]'")
    book.misses("Dask is not installed: '.[bench]'")
    book.failures.append("Celery failed: it is tired")
    text = shown(book)
    row = next(line for line in text.splitlines() if line.startswith("│ interaction"))
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["interaction", "150 (150 to 150)", "1.50", "0.10"]
    assert text.count("MISSING: Dask is not installed: '.[bench]'") == 1
    assert "FAILED: Celery failed: it is tired" in text
    assert "AIM" in text


def test_the_json_has_every_value(tmp_path: Path) -> None:
    book = book_of(grpc_stream=[100.0, 300.0], facade=[150.0, 450.0])
    report.write_json(book, {"repeats": 2}, tmp_path / "found.json")
    content = json.loads((tmp_path / "found.json").read_text())
    assert [(one["system"], one["values"], one["median"]) for one in content["series"]] == [
        ("grpc-stream", [100.0, 300.0], 200.0),
        ("facade", [150.0, 450.0], 300.0),
    ]
    assert content["bars"][0]["ratio"] == {"median": 1.5, "low": 1.5, "high": 1.5}
    assert {"machine", "versions", "missing", "failures", "when"} <= set(content)


def test_a_way_is_measured_from_stamp_to_stamp_and_what_lacks_one_is_left_out() -> None:
    whole = [(float(number), what) for number, (what, _) in enumerate(WAY, start=1)]
    late = [(10.0 + 2 * when, what) for when, what in whole]  # its result of the trip before is acknowledged meanwhile
    stamps = [(0.0, "started"), *whole, (9.0, "started"), (9.5, "result read"), *late, (30.0, "started")]
    assert stages(stamps) == [[1.0] * len(WAY), [3.0, *[2.0] * (len(WAY) - 1)]]


def test_the_innermost_function_with_an_owner_counts_and_threads_that_wait_do_not() -> None:
    lines = [
        "Thread.run (threading.py:982);_run (interaction/rpc/loop.py:38);select (selectors.py:468) 900",
        "_run (interaction/rpc/loop.py:38);Task.start (interaction/master/task.py:1);dumps (json/encoder.py:2) 30",
        "_run (interaction/rpc/loop.py:38);write (grpc/aio/_call.py:595) 10",
    ]
    samples, owners, functions = shares_of([*lines, " 7"])
    assert samples == 40
    assert owners == [("interaction: master", 0.75), ("grpc.aio, its Python", 0.25)]
    assert functions == [("dumps (json/encoder.py)", 0.75), ("write (grpc/aio/_call.py)", 0.25)]


def test_the_command_line_is_read() -> None:
    assert parse([]) == Plan()
    told = parse(["roundtrip", "payload", "--peers", "ray,dask", "--repeats", "3"])
    assert (told.what, told.peers, told.repeats) == (("roundtrip", "payload"), ("ray", "dask"), 3)
    assert parse(["--peers", "none"]).peers == ()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["roundtrips"], "'roundtrips' is none of roundtrip, "),
        (["--repeats", "0"], "must be a whole number of at least 1, not '0'"),
        (["--seconds", "0"], "--seconds must be more than 0"),
        (["--peers", "rey"], "'rey' is none of ray, dask, celery"),
        (["--json", "/nowhere/at/all.json"], "there is no folder /nowhere/at"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert sentence in capsys.readouterr().err


def test_the_bare_limit_answers_and_its_processes_end() -> None:
    with Process("bench.driver", {"system": "grpc-stream", "workers": 1}) as process:
        assert len(process.ask("round_trips", seconds=0.01)["seconds"]) >= 10
        assert process.ask("burst", count=5)["seconds"] > 0
        cost = process.cost()
        assert cost.processes == 2
        assert cost.memory > 0
        with pytest.raises(Failed, match="KeyError"):
            process.ask("sing")
    assert process.cost().processes == 0


def test_the_facade_is_driven_in_processes_of_its_own() -> None:
    with Process("bench.driver", {"system": "facade-stamped", "workers": 1}) as process:
        assert len(process.ask("round_trips", seconds=0.01)["seconds"]) >= 10
        noted = process.ask("stamps")["stamps"]
        assert len(stages([(when, what) for when, what in noted])) >= 10
        assert process.ask("payloads", size=1000, seconds=0.01)["seconds"]
    assert process.cost().processes == 0


def test_a_process_that_can_not_start_says_so() -> None:
    with pytest.raises(Failed, match="ended without an answer"):
        Process("bench.driver", {"system": "facade", "workers": 1, "nonsense": True})
