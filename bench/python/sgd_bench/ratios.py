"""How many times as fast one implementation is as another, with what the noise of the run allows to say about it.

Cases of a block run interleaved, one repetition of each per round, so that what disturbs the machine disturbs both: the two
times of a round are a pair.  The ratio is that of the medians.  Its interval is the exact one for the median of the pairs'
ratios, between two of their order statistics (a binomial quantile, as in a sign test).  It supposes nothing about how times are
distributed, and one disturbed round at either end does not widen it; a bootstrap of the medians was three times as wide with 9
rounds of a machine that drifts by 10 %, and with 3 rounds held the truth 7 times in 10.
"""
import functools
import statistics
from dataclasses import dataclass

CONFIDENCE = 0.95
LEAST_PAIRS = 6  # of five, even the widest interval has no more than 93.75 %


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

    def __str__(self):
        return _digits(self.value) if self.low is None else f"{_digits(self.value)} [{_digits(self.low)}, {_digits(self.high)}]"


def _digits(value):
    """Two digits behind the point, and three in all where there are more before it."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


@functools.cache
def _outside(pairs):
    """How many of the ratios may lie below the interval, and as many above: each lies below the true median with chance 1/2."""
    from scipy.stats import binom  # half a second to import, which no mistyped command line should take

    return int(binom.ppf((1 - CONFIDENCE) / 2, pairs, 0.5)) - 1


def ratio(times, others):
    """The ratio of medians, above 1 where `times` are the shorter ones; both are {round: time}.  None without a pair."""
    rounds = sorted(times.keys() & others.keys())
    if not rounds:
        return None
    value = statistics.median(others[each] for each in rounds) / statistics.median(times[each] for each in rounds)
    if len(rounds) < LEAST_PAIRS:
        return Ratio(value, None, None, len(rounds))
    ratios = sorted(others[each] / times[each] for each in rounds)
    outside = _outside(len(rounds))
    # The ratio of the medians is no order statistic of the ratios: where it lies outside, the interval takes it in.
    return Ratio(value, min(value, ratios[outside]), max(value, ratios[-1 - outside]), len(rounds))
