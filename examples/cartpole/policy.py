"""A small policy and a small evolution strategy. Nothing in here knows of tasks or slaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HIDDEN = 8
PARAMETERS = 6 * HIDDEN + 1
SCALE = np.array([2.4, 2.0, 0.21, 2.0])  # how large each number of an observation gets
FIRST_SPREAD = 0.2  # of the first parameters
NOISE = 0.3  # how far the members of a generation are from its centre
STEP = 1.2  # how far the centre goes
MOMENTUM = 0.8  # how much of its last move it makes again


class Policy:
    """Four numbers in, one hidden layer, and out comes 0 (push to the left) or 1 (push to the right)."""

    def __init__(self, parameters: Floats) -> None:
        self._weights = parameters[: 4 * HIDDEN].reshape(HIDDEN, 4) / SCALE
        self._biases = parameters[4 * HIDDEN : 5 * HIDDEN]
        self._out = parameters[5 * HIDDEN : 6 * HIDDEN]
        self._out_bias = parameters[6 * HIDDEN]

    def __call__(self, observation: NDArray[Any]) -> int:
        """The action for an observation."""
        return int(self._out @ np.tanh(self._weights @ observation + self._biases) + self._out_bias > 0)


class EvolutionStrategy:
    """OpenAI's evolution strategy: try antithetic noise around a centre, and move the centre to where it did well.

    `ask` for the members of a generation, play them wherever you like, and `tell` how each did, in the same order.

    Args:
        seed: what the first centre and all noise are drawn from.
        pairs: half the number of members; each noise is tried in both directions.
    """

    def __init__(self, seed: int, pairs: int) -> None:
        self._seed = seed
        self._pairs = pairs
        self._moved = np.zeros(PARAMETERS)
        self.centre: Floats = FIRST_SPREAD * np.random.default_rng([seed]).standard_normal(PARAMETERS)

    def ask(self, generation: int) -> Floats:
        """The parameters of each member, one in a row."""
        return self.centre + NOISE * self._noise(generation)

    def tell(self, generation: int, fitness: Floats) -> None:
        """Move the centre by how each member did."""
        # Summed row by row in the members' order, not by BLAS, which may add in another order on other threads.
        gradient = (centred_ranks(fitness)[:, None] * self._noise(generation)).mean(axis=0)
        self._moved = MOMENTUM * self._moved + (1 - MOMENTUM) * gradient
        self.centre = self.centre + STEP * self._moved

    def _noise(self, generation: int) -> Floats:
        half = np.random.default_rng([self._seed, generation]).standard_normal((self._pairs, PARAMETERS))
        return np.concatenate([half, -half])


def centred_ranks(fitness: Floats) -> Floats:
    """From -0.5 for the worst to 0.5 for the best; equals share the mean of their ranks."""
    ordered = np.sort(fitness)
    below, up_to = (np.searchsorted(ordered, fitness, side) for side in ("left", "right"))
    ranks: Floats = (below + up_to - 1) / 2
    return ranks / max(len(fitness) - 1, 1) - 0.5


def episode_seeds(seed: int, generation: int, member: int, episodes: int) -> list[int]:
    """The environment's seed of each episode: the same wherever, whenever and however often it is played."""
    return [int(np.random.SeedSequence([seed, generation, member, n]).generate_state(1)[0]) for n in range(episodes)]
