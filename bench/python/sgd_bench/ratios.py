"""How many times as fast one implementation is as another, with what the noise of the run allows to say about it.

Cases of a block run interleaved, one repetition of each per round, so that what disturbs the machine disturbs both: the two
times of a round are a pair, and the interval comes from drawing pairs.
"""
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

RESAMPLES = 2000
LEAST_PAIRS = 3  # fewer have no interval


@dataclass(frozen=True)
class Ratio:
    """`value` times as fast; from `low` to `high` with 95 % confidence, None where there are too few pairs to tell."""
    value: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def verdict(self):
        """faster, slower, or unclear: the interval holds 1, or there is none."""
        if self.low is None or self.low <= 1 <= self.high:
            return "unclear"
        return "faster" if self.low > 1 else "slower"


def _median_ratio(times, others, axis=-1):
    return np.median(others, axis=axis) / np.median(times, axis=axis)


def ratio(times, others, seed=0):
    """The ratio of medians, above 1 where `times` are the shorter ones; both are {round: time}.  None without a pair."""
    rounds = sorted(times.keys() & others.keys())
    if not rounds:
        return None
    pairs = [np.array([side[round_] for round_ in rounds], dtype=float) for side in (times, others)]
    value = float(_median_ratio(*pairs))
    if len(rounds) < LEAST_PAIRS:
        return Ratio(value, None, None, len(rounds))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # all pairs alike: the interval is the value
        interval = bootstrap(pairs, _median_ratio, paired=True, vectorized=True, n_resamples=RESAMPLES,
                             confidence_level=0.95, method="percentile",
                             rng=np.random.default_rng(seed)).confidence_interval
    low, high = float(interval.low), float(interval.high)
    return Ratio(value, *((low, high) if np.isfinite([low, high]).all() else (value, value)), len(rounds))
