"""The master: has the members of each generation played by the slaves, and goes on when it loses one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interaction import Master, SlaveConnectionProxy, Task

from .dispatch import Dispatch, Loss, Played
from .policy import EvolutionStrategy, Floats, episode_seeds
from .processes import SlaveProcess, slave_processes
from .settings import Settings

HOST = "127.0.0.1"
CHANNEL = 7
FINAL_TASKS, FINAL_EPISODES = 8, 4  # that the trained policy plays at the end


@dataclass(frozen=True)
class Generation:
    """How the members of one generation did: the mean return of all, of the best, and of the worst."""

    number: int
    mean: float
    best: float
    worst: float


@dataclass
class Outcome:
    """What a training came to.

    Attributes:
        settings: what it was to be.
        curve: its generations.
        final: the mean return of the trained policy itself, in fresh episodes.
        played: each task that came to its result.
        losses: each slave that was lost, with the number of the generation.
        seconds: how long it took, without the start and the end of the processes.
    """

    settings: Settings
    curve: list[Generation] = field(default_factory=list)
    final: float = 0.0
    played: list[Played] = field(default_factory=list)
    losses: list[tuple[int, Loss]] = field(default_factory=list)
    seconds: float = 0.0


class Watch:
    """What there is to see of a training. Override what you want to show; `played` and `lost` are called by threads."""

    @contextmanager
    def watching(self, slaves: Sequence[SlaveProcess]) -> Iterator[None]:
        """Open while the slaves play."""
        yield

    def generation(self, generation: Generation) -> None:
        """A generation has been played."""

    def played(self, played: Played) -> None:
        """A task has been played."""

    def killed(self, slave: SlaveProcess) -> None:
        """A slave has been killed while it played."""

    def lost(self, loss: Loss) -> None:
        """The master knows that a slave is gone."""


class Assassin:
    """Kills one slave while it plays a task, once it is `armed`: what a training has to survive.

    A slave may have finished a short task by the time that its master knows it as started. So it is frozen first: if
    no result comes from it in a moment, then none is on the way, and the slave dies in the middle of a task.
    """

    MOMENT = 0.1  # seconds

    def __init__(self, victim: SlaveProcess, watch: Watch) -> None:
        self._victim = victim
        self._watch = watch
        self.armed = False

    def started(self, connection: SlaveConnectionProxy, task: Task) -> None:
        """The slave of the connection has begun a task."""
        if not self.armed or connection.name != self._victim.name:
            return
        self._victim.freeze()
        try:
            task.join(self.MOMENT)
        except TimeoutError:
            self.armed = False
            self._victim.kill()
            self._watch.killed(self._victim)
        else:
            self._victim.thaw()  # missed; its next task will do


def train(settings: Settings, watch: Watch) -> Outcome:
    """Start the slaves, train, and end them.

    The curve depends on the settings' seed and sizes only: not on timing, nor on who plays what, nor on who is killed.

    Raises:
        SlaveError: a slave did not start.
        NoSlaveLeft: all slaves are gone.
        TaskFailed: a slave raised while it played.
    """
    outcome = Outcome(settings)
    with ExitStack() as stack:  # whatever happens: first the connections end, then the master, then the processes
        slaves = stack.enter_context(slave_processes(settings.slaves, CHANNEL))
        master = stack.enter_context(Master(HOST, 0, channel=CHANNEL))
        connections = [stack.enter_context(master.new_connection(slave.name, HOST, slave.port)) for slave in slaves]
        assassin = Assassin(slaves[-1], watch)

        def played(event: Played) -> None:
            outcome.played.append(event)
            watch.played(event)

        def lost(event: Loss) -> None:
            outcome.losses.append((len(outcome.curve), event))
            watch.lost(event)

        dispatch = Dispatch(connections, assassin.started, played, lost)
        stack.enter_context(watch.watching(slaves))
        began = time.perf_counter()
        _evolve(outcome, dispatch, assassin, watch)
        outcome.seconds = time.perf_counter() - began
    return outcome


def _evolve(outcome: Outcome, dispatch: Dispatch, assassin: Assassin, watch: Watch) -> None:
    settings = outcome.settings
    strategy = EvolutionStrategy(settings.seed, settings.pairs)
    for number in range(settings.generations):
        if settings.kill and number == settings.kill_generation:
            assassin.armed = True
        members = list(strategy.ask(number))
        fitness = _returns(dispatch.play(tasks_of(settings.seed, number, members, settings.episodes)))
        strategy.tell(number, fitness)
        generation = Generation(number, float(fitness.mean()), float(fitness.max()), float(fitness.min()))
        outcome.curve.append(generation)
        watch.generation(generation)
    trained = [strategy.centre] * FINAL_TASKS
    outcome.final = float(
        _returns(dispatch.play(tasks_of(settings.seed, settings.generations, trained, FINAL_EPISODES))).mean()
    )


def tasks_of(seed: int, generation: int, members: Sequence[Floats], episodes: int) -> list[dict[str, Any]]:
    """A task for each member: its parameters, and the seeds of its episodes."""
    return [
        {"parameters": parameters, "seeds": episode_seeds(seed, generation, member, episodes)}
        for member, parameters in enumerate(members)
    ]


def _returns(results: Sequence[Any]) -> Floats:
    """The mean return of each task's episodes, in the order of the tasks."""
    return np.array([np.mean(result["returns"]) for result in results])
