"""The CartPole example, and the demo that runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cartpole.dispatch import Dispatch, Loss, NoSlaveLeft, Played
from cartpole.policy import PARAMETERS, EvolutionStrategy, Floats, Policy, centred_ranks, episode_seeds
from cartpole.processes import SlaveError, SlaveProcess, slave_processes
from cartpole.settings import Settings
from cartpole.train import Watch, tasks_of, train

from interaction import Master, Slave, SlaveConnectionProxy, Task
from interaction.exception import TaskFailed

ROOT = Path(__file__).parent.parent.parent
CHANNEL = 5


# The policy and the strategy.


def evolve(seed: int, generations: int, fitness: Callable[[Floats], float]) -> tuple[Floats, list[float]]:
    """A strategy's last centre, and the mean fitness of each generation."""
    strategy, means = EvolutionStrategy(seed, 8), []
    for generation in range(generations):
        scores = np.array([fitness(member) for member in strategy.ask(generation)])
        strategy.tell(generation, scores)
        means.append(float(scores.mean()))
    return strategy.centre, means


def distance(parameters: Floats) -> float:
    return -float(np.sum((parameters - 1) ** 2))


def test_the_same_seed_evolves_the_same_and_another_seed_does_not() -> None:
    first, again, other = (evolve(seed, 5, distance)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_strategy_gets_nearer_to_what_is_best() -> None:
    _, means = evolve(0, 60, distance)
    assert means[-1] > means[0] / 2


def test_members_come_in_antithetic_pairs_around_the_centre() -> None:
    strategy = EvolutionStrategy(1, 3)
    members = strategy.ask(0)
    assert members.shape == (6, PARAMETERS)
    assert np.allclose((members[:3] + members[3:]) / 2, strategy.centre)
    assert np.array_equal(members, strategy.ask(0))
    assert not np.array_equal(members, strategy.ask(1))


def test_ranks_are_centred_and_shared_by_equals() -> None:
    assert centred_ranks(np.array([10.0, 30.0, 20.0])).tolist() == [-0.5, 0.5, 0.0]
    assert centred_ranks(np.array([7.0, 7.0, 7.0])).tolist() == [0.0, 0.0, 0.0]


def test_each_episode_has_a_seed_of_its_own_that_never_changes() -> None:
    seeds = [s for g in range(3) for m in range(3) for s in episode_seeds(0, g, m, 3)]
    assert len(set(seeds)) == 27
    assert episode_seeds(0, 1, 2, 3) == episode_seeds(0, 1, 2, 5)[:3]
    assert episode_seeds(0, 0, 0, 1) == [2968811710]  # by NumPy's promise the same on every machine


def test_the_policy_pushes_left_or_right() -> None:
    parameters = np.zeros(PARAMETERS)
    parameters[-1] = 1.0
    assert Policy(parameters)(np.zeros(4, np.float32)) == 1
    assert Policy(-parameters)(np.zeros(4, np.float32)) == 0


# The dispatch, with slaves in this process.


class Player(Slave):
    """Gives back the number that it is sent, where it is let."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, channel=CHANNEL)
        self.go_on = threading.Event()

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if "waits" in task:
            assert self.go_on.wait(30), "nobody let the task go on"
        if "fails" in task:
            raise ArithmeticError("as it was told")
        return task["number"]


class Table:
    """Two players at a master, and what happened to their tasks."""

    def __init__(self, stack: ExitStack) -> None:
        self.players = [Player(), Player()]
        for player in self.players:
            stack.enter_context(player)
            stack.callback(player.go_on.set)
        master = stack.enter_context(Master("127.0.0.1", 0, channel=CHANNEL))
        self.connections = [
            stack.enter_context(master.new_connection(name, "127.0.0.1", player.port))
            for name, player in zip("ab", self.players, strict=True)
        ]
        self.played: list[Played] = []
        self.losses: list[Loss] = []
        self.on_start: Callable[[SlaveConnectionProxy, Task], object] = lambda connection, task: None
        self.on_played: Callable[[Played], object] = lambda played: None
        self.dispatch = Dispatch(self.connections, self._started, self._has_played, self.losses.append)

    def _started(self, connection: SlaveConnectionProxy, task: Task) -> None:
        self.on_start(connection, task)

    def _has_played(self, played: Played) -> None:
        self.played.append(played)
        self.on_played(played)


@pytest.fixture
def table() -> Iterator[Table]:
    with ExitStack() as stack:
        yield Table(stack)


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"number": number} for number in range(count)]


def test_results_come_in_the_order_of_the_tasks_whatever_the_order_of_their_ends(table: Table) -> None:
    tasks = numbers(6)
    tasks[0]["waits"] = True  # its slave plays nothing else, until the other has played all the rest

    def let_go(played: Played) -> None:
        if len(table.played) == 5:
            for player in table.players:
                player.go_on.set()

    table.on_played = let_go
    assert table.dispatch.play(tasks) == [0, 1, 2, 3, 4, 5]
    assert table.played[-1].result == 0
    assert table.losses == []


def test_the_task_of_a_lost_slave_goes_to_another(table: Table) -> None:
    tasks = [{**task, "waits": True} for task in numbers(4)]

    def lose_one(connection: SlaveConnectionProxy, task: Task) -> None:
        if connection.name == "a":
            connection.close()
            table.players[1].go_on.set()

    table.on_start = lose_one
    assert table.dispatch.play(tasks) == [0, 1, 2, 3]
    assert [(loss.slave, loss.reason) for loss in table.losses] == [("a", "DISCONNECTED")]
    assert sorted(played.attempts for played in table.played) == [1, 1, 1, 2]
    assert table.dispatch.play(numbers(3)) == [0, 1, 2]  # with who is left


def test_a_slave_that_was_gone_before_it_could_begin_costs_no_task(table: Table) -> None:
    table.connections[0].close()
    assert table.dispatch.play(numbers(3)) == [0, 1, 2]
    assert len(table.losses) <= 1  # the other may have played them all first


def test_when_the_last_slave_is_gone_it_says_so(table: Table) -> None:
    table.on_start = lambda connection, task: connection.close()
    with pytest.raises(NoSlaveLeft, match="with 6 tasks left"):
        table.dispatch.play([{**task, "waits": True} for task in numbers(6)])


def test_a_task_that_raises_at_its_slave_raises_here(table: Table) -> None:
    with pytest.raises(TaskFailed, match="ArithmeticError: as it was told"):
        table.dispatch.play([*numbers(2), {"fails": True}])


# Training, with real processes.

TINY = Settings(seed=6, generations=3, slaves=2, pairs=2, episodes=150)  # long tasks: one is hit also on a busy machine


class Recorder(Watch):
    def __init__(self) -> None:
        self.pids: list[int] = []
        self.killed_ones: list[str] = []

    @contextmanager
    def watching(self, slaves: Sequence[SlaveProcess]) -> Iterator[None]:
        self.pids = [slave.pid for slave in slaves]
        yield

    def killed(self, slave: SlaveProcess) -> None:
        self.killed_ones.append(slave.name)


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_killed_slave_changes_nothing_but_the_losses() -> None:
    watch = Recorder()
    outcome = train(TINY, watch)
    assert watch.killed_ones == ["slave-2"]
    assert [(loss.slave, loss.reason) for _, loss in outcome.losses] == [("slave-2", "EXITED")]
    assert outcome.losses[0][0] >= 1, "it was half-way"
    assert [played.slave for played in outcome.played if played.attempts == 2] == ["slave-1"]
    assert len(outcome.played) == 3 * 4 + 8
    assert len(watch.pids) == 2
    assert not any(alive(pid) for pid in watch.pids)

    alone = train(replace(TINY, slaves=1, kill=False), Watch())
    assert alone.losses == []
    assert all(played.attempts == 1 for played in alone.played)
    assert alone.curve == outcome.curve
    assert alone.final == outcome.final


def test_a_slave_process_ends_when_its_standard_input_does() -> None:
    with slave_processes(1, CHANNEL) as (slave,):
        assert slave.port > 0
        slave.ask_to_end()
        assert slave._process.wait(20) == 0


def test_a_slave_process_that_does_not_come_up_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cartpole.processes.PACKAGE", "nowhere")
    with pytest.raises(SlaveError, match="slave-1 ended before it listened"), slave_processes(1, CHANNEL):
        pass


def children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, rest = stat.read_text().split(" ", 1)
            if int(rest.rpartition(")")[2].split()[1]) == parent:
                found.append(int(pid))
    return found


@contextmanager
def training(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A training in a process of its own that has played a generation, and its slaves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cartpole", "--slaves", "2", "--generations", "10", "--output", str(tmp_path / "c.png")],
        cwd=ROOT / "examples",
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    slaves: list[int] = []
    try:
        for line in process.stdout:
            if line.startswith("Generation"):
                break
        slaves = children_of(process.pid)
        yield process, slaves
    finally:
        for pid in (process.pid, *slaves):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@needs_proc
def test_an_interrupt_ends_everything_in_order(tmp_path: Path) -> None:
    with training(tmp_path) as (process, slaves):
        assert len(slaves) == 2
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 130
        assert output.endswith("Interrupted; the slaves have ended.\n")
        assert not any(alive(pid) for pid in slaves)


@needs_proc
def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    with training(tmp_path) as (process, slaves):
        for pid in slaves:
            os.kill(pid, signal.SIGSTOP)  # so that an orderly end takes long
        for _ in range(50):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
        assert process.poll() == 130


# What a task is.


def test_a_task_carries_the_parameters_and_the_seeds() -> None:
    members = list(EvolutionStrategy(0, 1).ask(0))
    first, second = tasks_of(0, 0, members, 2)
    assert np.array_equal(first["parameters"], members[0])
    assert second["seeds"] == episode_seeds(0, 0, 1, 2)
