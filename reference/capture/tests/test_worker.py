"""What would be broken: bits that are not PyTorch's, or an error of PyTorch that goes unseen."""

import pickle
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from capture import children, stepping, worker
from capture.arrays import Hashed
from capture.dtypes import BF16, C64, DTYPES, F32, F64, decode, encode
from capture.errors import CaptureError
from capture.model import Group, Layout, Scalar, Scaling, contiguous
from capture.plan import PATHS, Run
from capture.problems import LARGE_PLACE, generate
from helpers import PLAIN, one_tensor


def values(dtype, *numbers: float) -> np.ndarray:
    return encode(dtype, np.array(numbers))


def numbers(dtype, bits: np.ndarray) -> list[float]:
    return decode(dtype, bits).tolist()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_two_steps_with_momentum_give_what_pencil_and_paper_give(dtype, path):
    grad = values(dtype, 0.5, -2.0)
    problem = one_tensor(dtype, values(dtype, 1.0, 3.0), [grad, grad], replace(PLAIN, momentum=0.5))
    (first,), (second,) = stepping.steps_of(problem, path)
    assert [numbers(dtype, bits) for bits in first[:3]] == [[0.875, 3.5], [0.5, -2.0], [0.5, -2.0]]
    assert [numbers(dtype, bits) for bits in second[:3]] == [[0.6875, 4.25], [0.75, -3.0], [0.5, -2.0]]


@pytest.mark.parametrize("path, grad_after", [("forloop", 1.0), ("foreach", 1.5), ("fused", 1.0)])
def test_foreach_with_nesterov_leaves_the_direction_in_the_gradient(path, grad_after):
    hyper = replace(PLAIN, momentum=0.5, nesterov=True)
    [[(param, _, grad, _)]] = stepping.steps_of(one_tensor(F32, values(F32, 1.0), [values(F32, 1.0)], hyper), path)
    assert (numbers(F32, param), numbers(F32, grad)) == ([0.625], [grad_after])


def test_complex_numbers_are_stepped_as_numbers():
    """(1 + 2i) - 0.25 * (4 - 8i), and a second number that stays where it is."""
    problem = one_tensor(C64, values(C64, 1, 2, 5, 0), [values(C64, 4, -8, 0, 0)])
    [[(param, buffer, grad, layout)]] = stepping.steps_of(problem, "forloop")
    assert (numbers(C64, param), buffer, numbers(C64, grad), layout) == ([0, 4, 5, 0], None, [4, -8, 0, 0], None)


def test_elements_of_a_layout_come_and_go_in_row_major_order():
    """A transposed parameter and the first row for both rows; the buffer is made in the order of the gradient's clone."""
    problem = one_tensor(F32, values(F32, 1, 2, 3, 4), [values(F32, 1, 2, 1, 2)], replace(PLAIN, momentum=0.5))
    tensor = replace(problem.tensors[0], layout=Layout((2, 2), (1, 2), 3), grad_layouts=(Layout((2, 2), (0, 1)),))
    [[(param, buffer, _, layout)]] = stepping.steps_of(replace(problem, groups=(Group(problem.groups[0].hyper, (tensor,)),)), "forloop")
    assert numbers(F32, param) == [0.75, 1.5, 2.75, 3.5]
    assert numbers(F32, buffer) == [1, 2, 1, 2]
    assert layout == contiguous(2, 2)


@pytest.mark.parametrize("path", PATHS)
def test_a_tensor_lr_is_changed_in_place_between_steps(path):
    group = one_tensor(F32, values(F32, 1.0), [values(F32, 1.0)] * 2).groups[0]
    changes = tuple(replace(PLAIN, lr=lr) for lr in (0.25, 0.5))
    group = replace(group, changes=changes, scalars=(("lr", Scalar(F64, 1, True)),))
    problem = replace(one_tensor(F32, values(F32, 1.0), [values(F32, 1.0)] * 2), groups=(group,))
    assert [numbers(F32, state[0][0]) for state in stepping.steps_of(problem, path)] == [[0.75], [0.25]]


def test_grad_scale_divides_and_found_inf_skips():
    problem = replace(one_tensor(F32, values(F32, 1.0), [values(F32, 4.0)] * 2), scaling=(Scaling(8.0, 0.0), Scaling(8.0, 1.0)))
    first, second = ([numbers(F32, bits) for bits in (param, grad)] for [(param, _, grad, _)] in stepping.steps_of(problem, "fused"))
    assert (first, second) == ([[0.875], [0.5]], [[0.875], [4.0]])


def test_none_gradients_and_absent_buffers_are_told_apart():
    one = values(F32, 1.0)
    first, second = stepping.steps_of(one_tensor(F32, one, [None, one], replace(PLAIN, momentum=0.5)), "forloop")
    assert first[0][1] is None and first[0][2] is None
    assert numbers(F32, second[0][1]) == [1.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_signalling_nans_reach_pytorch_untouched(dtype):
    signalling = dtype.pack([0, 1], dtype.exponent_all_ones, 1)
    problem = one_tensor(dtype, values(dtype, 1.0, 1.0), [signalling], replace(PLAIN, momentum=0.5))
    [[(_, buffer, grad, _)]] = stepping.steps_of(problem, "forloop")
    assert buffer.tolist() == grad.tolist() == signalling.tolist()


def test_child_processes_fuse_on_avx2_and_round_twice_on_default():
    """Against exact rational arithmetic: p - lr * g rounded once, or the product rounded too."""
    seed = next(seed for seed in range(100) if generate(seed, 0, F64).groups[0].hyper.lr not in (0, 1, 0.5))
    problem = generate(seed, 0, F64)
    assert problem.groups[0].hyper == replace(PLAIN, lr=problem.groups[0].hyper.lr) and not problem.flags
    planned = [(problem, [Run("forloop", capability, 1) for capability in ("avx2", "default")])]
    [[fused, apart]], provenance = children.run_all(planned, seed)
    lr = problem.groups[0].hyper.lr
    p, g = decode(F64, problem.tensors[0].param), decode(F64, problem.tensors[0].grads[0])
    once = [float(Fraction(x) - Fraction(lr) * Fraction(y)) for x, y in zip(p, g)]
    twice = [x - lr * y for x, y in zip(p, g)]
    assert once != twice
    assert numbers(F64, fused[0][0][0]) == once
    assert numbers(F64, apart[0][0][0]) == twice
    assert provenance["torch_version"].startswith("2.13.0") and len(provenance["torch_commit"]) == 40


def test_large_outputs_come_back_as_hashes(monkeypatch):
    monkeypatch.setattr(stepping, "provenance", lambda: {"capability": "AVX2"})
    problem = generate(1, LARGE_PLACE, BF16)
    request = {"capability": "avx2", "threads": 1, "seed": 1, "runs": [["plain", "bf16", LARGE_PLACE, "forloop"]]}
    [outcome] = pickle.loads(worker.answer(request))["outcomes"]
    kinds = [isinstance(states[0], Hashed) for states in outcome[-1]]
    assert kinds == [tensor.numel > 4096 for tensor in problem.tensors]


def test_an_error_of_pytorch_names_the_case(monkeypatch):
    def refuses(problem, path):
        raise RuntimeError("value cannot be converted")

    monkeypatch.setattr(stepping, "steps_of", refuses)
    monkeypatch.setattr(stepping, "provenance", lambda: {"capability": "AVX2"})
    request = {"capability": "avx2", "threads": 1, "seed": 3, "runs": [["plain", "f16", 4, "foreach"]]}
    with pytest.raises(CaptureError, match="foreach/f16 plain problem 4, seed 3, avx2, 1 threads: RuntimeError: value cannot"):
        worker.answer(request)


def test_another_capability_than_asked_for_is_refused(monkeypatch):
    monkeypatch.setattr(stepping, "provenance", lambda: {"capability": "DEFAULT"})
    with pytest.raises(CaptureError, match="took capability DEFAULT where avx2"):
        worker.answer({"capability": "avx2", "threads": 1, "seed": 1, "runs": []})


def test_a_child_that_is_killed_is_named(monkeypatch, tmp_path):
    deadly = tmp_path / "python"
    deadly.write_text("#!/bin/sh\nkill -ILL $$\n")
    deadly.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(deadly))
    with pytest.raises(CaptureError, match="child process avx512, 1 threads: ended by SIGILL"):
        children.run_all([(generate(1, 0, F32), [Run("forloop", "avx512", 1)])], 1)
