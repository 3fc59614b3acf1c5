"""What would be broken: another process gets other problems, or a problem that PyTorch refuses."""

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.arrays import STORED_LIMIT, Generated, as_bits, hash_bits
from capture.dtypes import BF16, COMPLEX, DTYPES, F16, F32, F64, decode, encode
from capture.features import MAKERS, generate, problems
from capture.hyper import DAMPENINGS, STAGES, Stages
from capture.model import Sparse
from capture.pools import POOLS
from capture.problems import LARGE_SIZES
from helpers import comparable_problem

kinds = st.sampled_from([(feature, dtype) for feature, (_, dtypes) in MAKERS.items() for dtype in dtypes])
any_problem = st.builds(lambda seed, index, kind: generate(kind[0], seed, index, kind[1]), st.integers(0, 2**64), st.integers(0, 5000), kinds)


@given(st.integers(0, 2**64), st.integers(0, 5000), kinds)
def test_a_problem_depends_on_seed_index_feature_and_dtype_alone(seed, index, kind):
    feature, dtype = kind
    problem = generate(feature, seed, index, dtype)
    assert comparable_problem(problem) == comparable_problem(generate(feature, seed, index, dtype))
    assert (problem.feature, problem.dtype, problem.index) == (feature, dtype, index)
    assert problem.tensors[0].dtype == dtype


def assert_entries_in_range(tensor, grad):
    """A sparse gradient has the parameter's shape, indices inside it, and a block of values for each of them."""
    assert grad.shape == tensor.layout.shape
    assert grad.indices.dtype == np.int64
    assert all(((0 <= row) & (row < extent)).all() for row, extent in zip(grad.indices, grad.shape))
    block = np.prod(grad.shape[grad.sparse_dim :], dtype=int) * tensor.dtype.parts
    assert (grad.values.dtype, grad.values.shape) == (tensor.dtype.uint, (grad.nnz * block,))
    if grad.coalesced:
        assert np.unique(grad.indices, axis=1).shape == grad.indices.shape


@given(any_problem)
def test_counts_and_shapes_are_in_range(problem):
    assert 1 <= problem.steps <= 5
    assert 1 <= len(problem.groups) <= 2
    assert 1 <= len(problem.tensors) <= 6
    for tensor in problem.tensors:
        assert len(tensor.grads) == problem.steps
        for values in (tensor.param, *tensor.grads):
            if isinstance(values, Sparse):
                assert_entries_in_range(tensor, values)
            elif values is not None:
                assert isinstance(values, Generated) == (tensor.numel > STORED_LIMIT)
                bits = as_bits(tensor.dtype, values)
                assert (bits.dtype, bits.shape) == (tensor.dtype.uint, (tensor.numel * tensor.dtype.parts,))
        for layout in filter(None, (tensor.layout, *tensor.grad_layouts)):
            assert (layout.numel, layout.shape) == (tensor.numel, tensor.layout.shape)


@given(any_problem)
def test_pytorch_accepts_the_hyper_parameters(problem):
    for hyper in (hyper for group in problem.groups for hyper in (group.hyper, *group.changes)):
        values = (hyper.lr, hyper.momentum, hyper.dampening, hyper.weight_decay)
        assert all(type(value) is float and 0 <= value <= F16.max_finite for value in values)
        assert 0 <= 1 - hyper.dampening <= 1
        assert not hyper.nesterov or (hyper.momentum > 0 and hyper.dampening == 0)


@given(any_problem)
def test_a_tensor_holds_the_value_that_the_file_says(problem):
    for group in problem.groups:
        for name, scalar in group.scalars:
            for step in range(problem.steps):
                value = getattr(group.hyper_at(step), name)
                assert decode(scalar.dtype, encode(scalar.dtype, np.array([value])))[0] == value
    for scaling in problem.scaling:
        assert scaling.grad_scale is None or np.float32(scaling.grad_scale) == scaling.grad_scale


@given(any_problem)
def test_what_elements_share_has_one_value(problem):
    for tensor in problem.tensors:
        for step, layout in enumerate(tensor.grad_layouts):
            if layout is None or not layout.overlaps or not layout.numel:
                continue
            shaped = tensor.grads[step].reshape(*layout.shape, tensor.dtype.parts)
            for dim, stride in enumerate(layout.strides):
                assert stride or (shaped == shaped.take([0], dim)).all()


@given(any_problem)
def test_flags_tell_of_every_special_element(problem):
    flags = problem.flags
    assert ("none" in flags) == any(grad is None for tensor in problem.tensors for grad in tensor.grads)
    assert ("large" in flags) == any(tensor.numel > STORED_LIMIT for tensor in problem.tensors)
    with np.errstate(invalid="ignore"):
        data = [decode(tensor.dtype, values) for tensor in problem.tensors for values in (tensor.param, *tensor.grads)
                if isinstance(values, np.ndarray)]
    assert "nan" in flags or not any(np.isnan(values).any() for values in data)
    assert flags & {"nan", "inf"} or not any(np.isinf(values).any() for values in data)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_the_first_problems_cover_all_stages_with_all_pools(dtype):
    seen = set()
    for problem in islice(problems(1, [("plain", dtype)]), 160):
        if problem.steps > 1:
            hyper = problem.groups[0].hyper
            momentum = "nesterov" if hyper.nesterov else "none" if not hyper.momentum else "damped" if hyper.dampening else "plain"
            stages = Stages(momentum, hyper.weight_decay != 0, hyper.maximize)
            seen |= {(stages, flag) for flag in problem.flags or {"normal"}}
    assert {(stages, pool) for stages in STAGES for pool in POOLS} <= seen


def test_some_dampenings_differ_when_subtracted_in_float():
    one = np.float32(1)
    assert any(np.float32(1 - dampening) != one - np.float32(dampening) for dampening in DAMPENINGS)


@given(st.integers(0, 2**64 - 1), st.sampled_from(DTYPES))
def test_generated_arrays_follow_the_documented_formula(seed, dtype):
    mask = 2**64 - 1
    expected = []
    for i in range(5):
        z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        sign, exponent = z >> 63, dtype.bias - 12 + (z >> 52) % 16
        expected.append(sign << (dtype.width - 1) | exponent << dtype.mantissa_bits | z % (1 << dtype.mantissa_bits))
    assert Generated(seed, 5).bits(dtype).tolist() == expected
    assert all(2**-12 <= abs(value) < 2**4 for value in decode(dtype, Generated(seed, 64).bits(dtype)))


@pytest.mark.parametrize("dtype, part", [(COMPLEX[0], F32), (COMPLEX[1], F64)], ids=["c64", "c128"])
def test_a_generated_complex_array_is_one_of_its_parts(dtype, part):
    assert Generated(5, 7).bits(dtype).tolist() == Generated(5, 14).bits(part).tolist()


def test_the_hash_is_xxh3():
    assert hash_bits(np.zeros(0, np.uint16)) == 0x2D06800538D394C2


@settings(max_examples=300)
@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_encoding_rounds_to_nearest(value):
    for dtype in (F64, F32, F16):
        clipped = min(max(value, -dtype.max_finite), dtype.max_finite)
        assert decode(dtype, encode(dtype, np.array([value])))[0] == np.array([clipped]).astype(f"f{dtype.width // 8}")[0]
    bits = encode(BF16, np.array([value]))
    assert math.isfinite(decode(BF16, bits)[0])


def test_bf16_encodes_ties_to_even():
    assert encode(BF16, np.array([1 + 2**-8, 1 + 3 * 2**-8])).tolist() == [0x3F80, 0x3F82]


def test_large_sizes_lie_on_both_sides_of_the_thread_boundary():
    assert {32767, 32768, 32769, 65543} <= set(LARGE_SIZES)
