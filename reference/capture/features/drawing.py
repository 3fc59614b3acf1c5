"""What the features' problems draw alike."""

from dataclasses import replace

import numpy as np

from ..dtypes import Dtype
from ..hyper import STAGES, Hyper, draw_hyper
from ..model import FEATURES
from ..pools import POOLS

POOL_WEIGHTS = (0.72, 0.06, 0.04, 0.05, 0.03, 0.03, 0.03, 0.04)
"""How often each of POOLS is drawn."""


def rng_of(feature: str, seed: int, index: int, dtype: Dtype) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, dtype.code, index, FEATURES.index(feature)]))


def draw_pool(rng: np.random.Generator) -> str:
    return str(rng.choice(POOLS, p=POOL_WEIGHTS))


def hyper_of(rng: np.random.Generator, number: int) -> Hyper:
    """Options for the stages that are the number's turn."""
    return draw_hyper(rng, STAGES[number % len(STAGES)])


def draw_changes(rng: np.random.Generator, hyper: Hyper, steps: int) -> tuple[Hyper, ...]:
    """The options of every step, as a scheduler changes them: the first step's are `hyper`, stages come and go."""
    changes = [hyper]
    for _ in range(steps - 1):
        other = draw_hyper(rng, STAGES[rng.integers(len(STAGES))])
        kind = rng.choice(["lr", "momentum", "decay", "all"], p=[0.5, 0.2, 0.15, 0.15])
        if kind == "lr":
            changes.append(replace(changes[-1], lr=other.lr))
        elif kind == "decay":
            changes.append(replace(changes[-1], weight_decay=other.weight_decay, maximize=other.maximize))
        elif kind == "momentum":
            changes.append(replace(changes[-1], momentum=other.momentum, dampening=other.dampening, nesterov=other.nesterov))
        else:
            changes.append(other)
    return tuple(changes)
