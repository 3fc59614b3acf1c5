"""Ratios of medians and their intervals, held against simulated times whose ratio is known."""
import numpy as np
import pytest
from sgd_bench.ratios import LEAST_PAIRS, Ratio, ratio

TRUE = 2.4


def rounds(values):
    return dict(enumerate(values))


def simulated(random, count):
    """A machine that drifts, noise of each measurement's own, and now and then a disturbed one."""
    drift = random.lognormal(0, 0.1, count)

    def times(true):
        disturbed = np.where(random.random(count) < 0.1, random.uniform(1, 3, count), 1)
        return rounds(true * drift * random.lognormal(0, 0.02, count) * disturbed)

    return times(1), times(TRUE)


@pytest.mark.parametrize("count", [LEAST_PAIRS, 9, 15])
def test_interval_covers_the_truth_as_often_as_it_says(count):
    random, trials, hits = np.random.default_rng(count), 400, 0
    for _ in range(trials):
        found = ratio(*simulated(random, count))
        assert found.low <= found.value <= found.high
        hits += found.low <= TRUE <= found.high
    assert hits / trials > 0.95 - 4 * (0.95 * 0.05 / trials) ** 0.5  # four standard deviations of luck


def test_noise_that_both_share_cancels():
    random = np.random.default_rng(1)
    widths = [(found.high - found.low) / found.value for found in (ratio(*simulated(random, 9)) for _ in range(100))]
    assert np.median(widths) < 0.1


def test_ratio_of_medians():
    assert ratio(rounds([1, 2, 100]), rounds([6, 3, 5])) == Ratio(5 / 2, None, None, 3)


def test_only_rounds_that_both_have_are_pairs():
    assert ratio({0: 1.0, 1: 1.0, 7: 99.0}, {0: 2.0, 1: 2.0, 2: 50.0}) == Ratio(2.0, None, None, 2)
    assert ratio({0: 1.0}, {1: 2.0}) is None
    assert ratio({}, {}) is None


def test_too_few_pairs_have_no_interval():
    assert ratio(rounds([1.0] * (LEAST_PAIRS - 1)), rounds([3.0] * (LEAST_PAIRS - 1))).low is None


def test_pairs_all_alike():
    assert ratio(rounds([2.0] * LEAST_PAIRS), rounds([4.0] * LEAST_PAIRS)) == Ratio(2.0, 2.0, 2.0, LEAST_PAIRS)


@pytest.mark.parametrize("low, high, verdict", [(1.01, 1.2, "faster"), (0.8, 0.99, "slower"), (0.9, 1.1, "unclear"),
                                                (None, None, "unclear")])
def test_verdict(low, high, verdict):
    assert Ratio(1.0, low, high, 9).verdict == verdict


@pytest.mark.parametrize("found, text", [(Ratio(2.404, 2.381, 2.42, 9), "2.40 [2.38, 2.42]"),
                                         (Ratio(80.26, 79, 81.3, 9), "80.3 [79.0, 81.3]"),
                                         (Ratio(351.2, 340.6, 360, 9), "351 [341, 360]"), (Ratio(1.5, None, None, 3), "1.50")])
def test_text(found, text):
    assert str(found) == text
