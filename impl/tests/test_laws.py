"""Laws of the optimizer: how it is computed changes no bit, and what PyTorch computes alike is alike."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from libsgd import BITS, CONTRACTS, DTYPES, ISAS, PATHS, Hyper, Setting, run

EXAMPLES = settings(max_examples=150, deadline=None)

sizes = st.sampled_from([0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 129]) | st.integers(0, 200)
finite = st.sampled_from([0.0, 1e-7, 1e-3, 0.1, 0.3, 0.5, 0.9, 0.99, 1.0, 1.5])


@st.composite
def hypers(draw) -> Hyper:
    momentum = draw(finite)
    nesterov = momentum > 0 and draw(st.booleans())
    return Hyper(
        lr=draw(finite),
        momentum=momentum,
        dampening=0.0 if nesterov else draw(finite),
        weight_decay=draw(finite),
        nesterov=nesterov,
        maximize=draw(st.booleans()),
    )


def arrays(draw, dtype: str, numels: list[int], special: bool) -> list[np.ndarray]:
    """Random bit patterns, NaNs and infinities among them if `special`; else values of moderate size."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    width = BITS[dtype](0).itemsize * 8
    if special:
        return [random.integers(0, 2**width, n, dtype=BITS[dtype]) for n in numels]
    values = [random.standard_normal(n) for n in numels]
    if dtype == "bf16":
        return [(v.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16) for v in values]
    kind = {"f64": np.float64, "f32": np.float32, "f16": np.float16}[dtype]
    return [v.astype(kind).view(BITS[dtype]) for v in values]


@st.composite
def problems(draw, special: bool = True, dtypes: tuple[str, ...] = DTYPES):
    """(dtype, params, gradients per step, hyper-parameters)"""
    dtype = draw(st.sampled_from(dtypes))
    numels = draw(st.lists(sizes, min_size=1, max_size=4))
    steps = [arrays(draw, dtype, numels, special) for _ in range(draw(st.integers(1, 3)))]
    return dtype, arrays(draw, dtype, numels, special), steps, draw(hypers())


def assert_same(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)


def nans_in_fused_base_are_open(problem, path: str, contract: int) -> bool:
    """Where the contract states no NaN payload, two instruction sets may differ in it."""
    return path == "fused" and contract == CONTRACTS.index("torch-2.13/cpu-base")


@EXAMPLES
@given(problems(), st.sampled_from(PATHS), st.sampled_from(range(len(CONTRACTS))), st.integers(1, 4))
def test_schedule_and_instruction_set_change_no_bit(problem, path, contract, torch_threads):
    if nans_in_fused_base_are_open(problem, path, contract):
        return
    expected = run(*problem, Setting(path, contract, torch_threads))
    for isa in ISAS:
        for schedule in (0, 1):
            assert_same(run(*problem, Setting(path, contract, torch_threads, schedule, isa)), expected)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.sampled_from(PATHS), st.sampled_from(DTYPES), hypers())
def test_thread_count_changes_no_bit(data, path, dtype, hyper):
    numels = [32769, 65543, 1000, 17]
    params = arrays(data.draw, dtype, numels, special=True)
    steps = [arrays(data.draw, dtype, numels, special=True) for _ in range(2)]
    settings_of = lambda threads, schedule: Setting(path, 0, 2, schedule, ISAS[-1], threads)
    expected = run(dtype, params, steps, hyper, settings_of(1, 0))
    for threads in (2, 3, 7):
        for schedule in (0, 1):
            assert_same(run(dtype, params, steps, hyper, settings_of(threads, schedule)), expected)


@EXAMPLES
@given(problems(), st.sampled_from(PATHS))
def test_one_optimizer_over_a_list_is_one_optimizer_per_tensor(problem, path):
    dtype, params, steps, hyper = problem
    setting = Setting(path, isa=ISAS[-1])
    together = run(dtype, params, steps, hyper, setting)
    for i, param in enumerate(params):
        alone = run(dtype, [param], [[step[i]] for step in steps], hyper, setting)
        assert_same(together[i :: len(params)], alone)


@EXAMPLES
@given(problems(dtypes=("f64", "f32")), st.sampled_from(range(len(CONTRACTS))))
def test_forloop_and_foreach_agree_in_f32_and_f64(problem, contract):
    count = 2 * len(problem[1])  # gradients are left as foreach changes them
    forloop = run(*problem, Setting("forloop", contract))[:count]
    assert_same(run(*problem, Setting("foreach", contract))[:count], forloop)


@EXAMPLES
@given(problems(special=False), st.sampled_from(PATHS))
def test_maximize_is_minimize_with_the_gradients_negated(problem, path):
    dtype, params, steps, hyper = problem
    sign = BITS[dtype](1) << BITS[dtype](BITS[dtype](0).itemsize * 8 - 1)
    negated = [[grad ^ sign for grad in step] for step in steps]
    options = {**hyper.__dict__, "maximize": True}
    count = 2 * len(params)
    maximized = run(dtype, params, steps, Hyper(**options), Setting(path))[:count]
    minimized = run(dtype, params, negated, Hyper(**{**options, "maximize": False}), Setting(path))[:count]
    assert_same(maximized, minimized)


@EXAMPLES
@given(problems(special=False), st.sampled_from(PATHS))
def test_without_learning_rate_no_parameter_moves(problem, path):
    dtype, params, steps, hyper = problem
    still = Hyper(**{**hyper.__dict__, "lr": 0.0})
    assert_same(run(dtype, params, steps, still, Setting(path))[: len(params)], params)
