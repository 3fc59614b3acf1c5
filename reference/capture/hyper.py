"""Hyper-parameters: every combination of SGD's stages, and values that tell one rounding from another."""

from dataclasses import dataclass
from itertools import product

import numpy as np

LRS = (0.1, 1e-3, 0.0, 1e-2 / 3, 3.14159, 1e-7, 1.0, 0.5, 1 + 2**-8, 1 + 2**-11 + 2**-40, 0.1 + 2**-30)
MOMENTA = (0.9, 0.99, 0.1, 0.5, 1.0, 1 + 2**-11 + 2**-40, 1 + 2**-8 + 2**-40, 1 - 2**-9, 1 + 2**-8, 1 + 3 * 2**-8,
           1 - 2**-12, 1 + 2**-24, 0.9 + 2**-12, 1e-9)
DAMPENINGS = (0.1, 0.3, 0.9, 1.0, 2**-25, 2**-25 + 2**-50, 0.5, 2**-9, 2**-12, 1e-3)
WEIGHT_DECAYS = (1e-4, 5e-4, 0.1, 1e-9, 0.5, 1e-2, 1 + 2**-11 + 2**-40, 1 + 2**-8, 1e-7)
"""Among them: ties of the rounding to 8, 11 and 24 bits (1 + 2^-8, 1 - 2^-9, 1 + 2^-11, 1 - 2^-12, 1 + 2^-24), the same with 2^-40
added, which a rounding by way of float32 loses; dampenings d whose 1 - d differs when subtracted in float; values below f16's range."""


@dataclass(frozen=True)
class Stages:
    """Which stages of the algorithm run: `momentum` is none, plain, damped or nesterov."""

    momentum: str
    decays: bool
    maximize: bool


STAGES = tuple(Stages(*choice) for choice in product(("none", "plain", "damped", "nesterov"), (False, True), (False, True)))


@dataclass(frozen=True)
class Hyper:
    """The hyper-parameters of one param group, as torch.optim.SGD takes them."""

    lr: float
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool
    maximize: bool


def draw_hyper(rng: np.random.Generator, stages: Stages) -> Hyper:
    """Values for the given stages, two in three from the pools above; all finite, within f16's range and 1 - dampening in [0, 1]."""
    momentum = 0.0 if stages.momentum == "none" else _draw(rng, MOMENTA, rng.uniform(0.01, 1.0))
    damped = stages.momentum == "damped" or (stages.momentum == "none" and rng.random() < 0.25)
    return Hyper(
        lr=_draw(rng, LRS, 10 ** rng.uniform(-5.0, 0.7)),
        momentum=momentum,
        dampening=_draw(rng, DAMPENINGS, rng.uniform(0.001, 1.0)) if damped else 0.0,
        weight_decay=_draw(rng, WEIGHT_DECAYS, 10 ** rng.uniform(-6.0, 0.0)) if stages.decays else 0.0,
        nesterov=stages.momentum == "nesterov",
        maximize=stages.maximize,
    )


def _draw(rng: np.random.Generator, pool: tuple[float, ...], other: float) -> float:
    chosen = pool[rng.integers(len(pool))]
    return float(chosen if rng.random() < 2 / 3 else other)
