"""Ratios of medians and their intervals, held against data whose ratio is known."""
import numpy as np
import pytest
from sgd_bench.ratios import LEAST_PAIRS, Ratio, ratio


def rounds(values):
    return dict(enumerate(values))


def test_ratio_of_medians():
    found = ratio(rounds([1, 2, 100]), rounds([6, 3, 5]))
    assert found.value == 5 / 2
    assert found.low <= found.value <= found.high
    assert found.pairs == 3


def test_noise_that_both_share_cancels():
    noise = np.random.default_rng(1).uniform(1, 10, 15)
    found = ratio(rounds(noise), rounds(2 * noise))
    assert found.value == pytest.approx(2)
    alone = ratio(rounds(noise), rounds(2 * noise[::-1]))
    assert found.high - found.low < 0.7 * (alone.high - alone.low)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        found = ratio(rounds(random.lognormal(0, 0.1, 15)), rounds(1.5 * random.lognormal(0, 0.1, 15)))
        hits += found.low <= 1.5 <= found.high
    assert 0.9 <= hits / 200 <= 1


def test_same_seed_same_interval():
    times, others = rounds([1.0, 1.1, 0.9, 1.3]), rounds([2.0, 2.2, 2.1, 1.7])
    assert ratio(times, others, seed=3) == ratio(times, others, seed=3)


def test_only_rounds_that_both_have_are_pairs():
    assert ratio({0: 1.0, 1: 1.0, 7: 99.0}, {0: 2.0, 1: 2.0, 2: 50.0}) == Ratio(2.0, None, None, 2)
    assert ratio({0: 1.0}, {1: 2.0}) is None


def test_too_few_pairs_have_no_interval():
    assert ratio(rounds([1.0] * (LEAST_PAIRS - 1)), rounds([3.0] * (LEAST_PAIRS - 1))).low is None


def test_pairs_all_alike():
    assert ratio(rounds([2.0] * 5), rounds([4.0] * 5)) == Ratio(2.0, 2.0, 2.0, 5)


@pytest.mark.parametrize("low, high, verdict", [(1.01, 1.2, "faster"), (0.8, 0.99, "slower"), (0.9, 1.1, "unclear"),
                                                (None, None, "unclear")])
def test_verdict(low, high, verdict):
    assert Ratio(1.0, low, high, 5).verdict == verdict
