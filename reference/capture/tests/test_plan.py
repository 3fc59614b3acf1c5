"""What would be broken: a run that PyTorch refuses, or a hash over elements that PyTorch leaves to chance."""

from dataclasses import replace

import numpy as np
import pytest

from capture.allowed import can_run, fused_can_run
from capture.arrays import Generated
from capture.dtypes import BF16, C64, DTYPES, F32, F64
from capture.features import MAKERS, generate
from capture.model import Group, Layout, Problem, Scalar, Scaling, Tensor, contiguous
from capture.plan import CAPABILITIES, PATHS, Run, Selection, plan, runs_of
from capture.undefined import undefined_after
from helpers import PLAIN, one_tensor

MOMENTUM = replace(PLAIN, momentum=0.5)
ALL = Selection(seed=1, cases=500, kinds=(("plain", BF16),), paths=PATHS, capabilities=CAPABILITIES, threads=(1, 2))


def large(numel: int, steps: int, hyper=MOMENTUM, dtype=BF16) -> Problem:
    return one_tensor(dtype, Generated(1, numel), [Generated(2, numel)] * steps, hyper)


def with_presence(hyper, *columns: str) -> Problem:
    """One tensor per column; x: a gradient in that step, -: None."""
    one = np.ones(1, np.uint32)
    tensors = tuple(Tensor(F32, 1, one, tuple(one if mark == "x" else None for mark in column)) for column in columns)
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


def test_undefined_elements_are_counted_in_the_order_of_memory():
    """Element 29 of a transposed buffer of 17 rows and 2 columns is the one in column 1, row 12."""
    bits = np.zeros(34, np.uint16)
    problem = one_tensor(BF16, bits, [bits] * 2, MOMENTUM)
    transposed = Layout((17, 2), (1, 17))
    tensor = replace(problem.tensors[0], layout=transposed, grad_layouts=(transposed,) * 2)
    [[masks]] = undefined_after(replace(problem, groups=(Group(MOMENTUM, (tensor,)),)), threads=1)[1:]
    assert [divmod(index, 2) for index in np.flatnonzero(masks)] == [(12, 1), (13, 1), (14, 1)]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_a_plan_has_the_cases_asked_for_and_no_run_twice(dtype):
    planned = plan(replace(ALL, kinds=(("plain", dtype),)))
    assert sum(len(runs) for _, runs in planned) == ALL.cases
    assert all(len(set(runs)) == len(runs) for _, runs in planned)


def test_large_problems_run_with_all_thread_counts_and_avx512_with_the_fewest():
    runs = runs_of(large(32768, 1, hyper=PLAIN), ALL)
    assert runs.count(Run("forloop", "avx2", 1)) == runs.count(Run("forloop", "avx2", 2)) == 1
    assert [run.threads for run in runs if run.capability == "avx512"] == [1, 1, 1]


def test_small_problems_take_turns_through_the_thread_counts():
    turns = [{run.threads for run in runs if run.capability == "avx2"} for problem, runs in plan(ALL) if not problem.is_large]
    assert turns.count({1}) > 0 and turns.count({2}) > 0 and turns.count({1, 2}) == 0


def one_layout(layout: Layout, grad_layout: Layout, hyper=MOMENTUM) -> Problem:
    problem = one_tensor(F32, np.ones(layout.numel, np.uint32), [np.ones(layout.numel, np.uint32)] * 2, hyper)
    tensor = replace(problem.tensors[0], layout=layout, grad_layouts=(grad_layout,) * 2)
    return replace(problem, groups=(Group(hyper, (tensor,)),))


@pytest.mark.parametrize("layout, grad_layout, runs", [
    (contiguous(3, 4), contiguous(3, 4), True),
    (Layout((3, 4), (1, 3)), Layout((3, 4), (1, 3)), True),
    (Layout((3, 1), (1, 9)), contiguous(3, 1), True),
    (contiguous(3, 4), Layout((3, 4), (1, 3)), True),
    (Layout((3, 4), (8, 2)), Layout((3, 4), (8, 2)), False),
    (contiguous(3, 4), Layout((3, 4), (0, 1)), False)])
def test_fused_runs_only_where_raw_storage_is_the_tensors(layout, grad_layout, runs):
    assert can_run(one_layout(layout, grad_layout), "fused", 1) is runs
    assert can_run(one_layout(layout, grad_layout), "forloop", 1)


def test_no_step_writes_into_an_expanded_gradient():
    problem = one_layout(contiguous(3, 4), Layout((3, 4), (0, 1)), replace(MOMENTUM, nesterov=True))
    assert can_run(problem, "forloop", 1) and not can_run(problem, "foreach", 1)
    group = Group(replace(PLAIN, weight_decay=0.5), problem.tensors, (), (("weight_decay", Scalar(F64, requires_grad=True)),))
    assert not can_run(replace(problem, groups=(group,)), "forloop", 1)


@pytest.mark.parametrize("found_inf, runs", [([1, 0], False), ([0, 1], True), ([0.5, 1], True), ([None, 1], True)])
def test_found_inf_never_skips_the_step_that_makes_a_buffer(found_inf, runs):
    problem = replace(one_tensor(F32, np.ones(1, np.uint32), [np.ones(1, np.uint32)] * 2, MOMENTUM),
                      scaling=tuple(Scaling(None, value) for value in found_inf))
    assert can_run(problem, "fused", 1) is runs
    assert not can_run(problem, "forloop", 1) and not can_run(problem, "foreach", 1)


def test_complex_numbers_are_not_for_the_fused_path():
    assert not can_run(one_tensor(C64, np.ones(2, np.uint32), [np.ones(2, np.uint32)]), "fused", 1)


@pytest.mark.parametrize("feature", MAKERS)
def test_every_feature_runs_wherever_pytorch_lets_it(feature):
    found = {path for dtype in MAKERS[feature][1] for index in range(40) for path in PATHS
             if can_run(generate(feature, 1, index, dtype), path, 1)}
    eager = {"forloop", "foreach"}
    assert found == {"amp": {"fused"}, "complex": eager, "sparse": eager}.get(feature, set(PATHS))


def test_a_feature_shows_that_avx512_is_avx2_now_and_then():
    runs = [run for index in range(16) for run in runs_of(generate("mixed", 1, index, F32), ALL)]
    assert 0 < sum(run.capability == "avx512" for run in runs) < sum(run.capability == "avx2" for run in runs) / 4
