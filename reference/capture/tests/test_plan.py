"""What would be broken: a run that PyTorch refuses, or a hash over elements that PyTorch leaves to chance."""

from dataclasses import replace

import numpy as np
import pytest

from capture.arrays import Generated
from capture.dtypes import BF16, DTYPES, F32
from capture.plan import CAPABILITIES, PATHS, Run, Selection, fused_can_run, plan, runs_of
from capture.problems import Group, Problem, Tensor
from capture.undefined import undefined_after
from helpers import PLAIN, one_tensor

MOMENTUM = replace(PLAIN, momentum=0.5)
ALL = Selection(seed=1, cases=500, dtypes=(BF16,), paths=PATHS, capabilities=CAPABILITIES, threads=(1, 2))


def large(numel: int, steps: int, hyper=MOMENTUM, dtype=BF16) -> Problem:
    return one_tensor(dtype, Generated(1, numel), [Generated(2, numel)] * steps, hyper)


def with_presence(hyper, *columns: str) -> Problem:
    """One tensor per column; x: a gradient in that step, -: None."""
    one = np.ones(1, np.uint32)
    tensors = tuple(Tensor(1, one, tuple(one if mark == "x" else None for mark in column)) for column in columns)
    return Problem(F32, 0, len(columns[0]), frozenset({"none"}), (Group(hyper, tensors),))


@pytest.mark.parametrize("columns, runs", [
    (("xx", "--"), True), (("xxx", "x-x"), True), (("x-", "-x"), True), (("x-x", "-xx"), True),
    (("xx", "-x"), False), (("x-x", "--x"), False)])
def test_fused_runs_where_no_step_mixes_old_and_new_buffers(columns, runs):
    assert fused_can_run(with_presence(MOMENTUM, *columns), threads=1) is runs
    assert fused_can_run(with_presence(PLAIN, *columns), threads=1)


@pytest.mark.parametrize("numel, threads, steps, runs", [
    (65544, 1, 2, True), (32767, 1, 3, True), (65543, 1, 2, False), (65536, 1, 2, False), (65544, 2, 2, False), (65543, 2, 1, True)])
def test_no_hashed_array_holds_elements_left_to_chance(numel, threads, steps, runs):
    assert fused_can_run(large(numel, steps), threads) is runs
    assert fused_can_run(large(numel, steps, hyper=PLAIN), threads)
    assert fused_can_run(large(numel, steps, dtype=F32), threads)


def test_undefined_elements_spread_as_the_kernel_reads():
    bits = np.zeros(34, np.uint16)
    masks = undefined_after(one_tensor(BF16, bits, [bits] * 3, MOMENTUM), threads=1)
    assert [np.flatnonzero(masks[step][0]).tolist() for step in range(3)] == [[], [29, 30, 31], [22, 23, 26, 27, 29, 30, 31]]
    masks = undefined_after(one_tensor(BF16, np.zeros(72, np.uint16), [np.zeros(72, np.uint16)] * 2, MOMENTUM), threads=2)
    assert np.flatnonzero(masks[1][0]).tolist() == [60, 61, 62, 63]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_a_plan_has_the_cases_asked_for_and_no_run_twice(dtype):
    planned = plan(replace(ALL, dtypes=(dtype,)))
    assert sum(len(runs) for _, runs in planned) == ALL.cases
    assert all(len(set(runs)) == len(runs) for _, runs in planned)


def test_large_problems_run_with_all_thread_counts_and_avx512_with_the_fewest():
    runs = runs_of(large(32768, 1, hyper=PLAIN), ALL)
    assert runs.count(Run("forloop", "avx2", 1)) == runs.count(Run("forloop", "avx2", 2)) == 1
    assert [run.threads for run in runs if run.capability == "avx512"] == [1, 1, 1]


def test_small_problems_take_turns_through_the_thread_counts():
    turns = [{run.threads for run in runs if run.capability == "avx2"} for problem, runs in plan(ALL) if not problem.is_large]
    assert turns.count({1}) > 0 and turns.count({2}) > 0 and turns.count({1, 2}) == 0
