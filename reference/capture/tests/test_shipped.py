"""What would be broken: the golden vectors in the repository are fewer, larger or others than the documentation says."""

from collections import Counter
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from capture.dtypes import BY_NAME, COMPLEX, decode
from capture.features import MAKERS
from capture.model import contiguous
from capture.plan import CAPABILITIES, PATHS, Selection, plan
from capture.reading import Contents, read
from capture.schema import COLUMNS, FIRST
from capture.undefined import undefined_after
from helpers import comparable, comparable_problem, without_chance

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
NAMES = ("f64", "f32", "f16", "bf16")
FEATURES = tuple(feature for feature in MAKERS if feature != "plain")
MIB = 1 << 20
each_dtype = pytest.mark.parametrize("name", NAMES)
each_feature = pytest.mark.parametrize("feature", FEATURES)


def file_of(name: str) -> Path:
    return VECTORS / f"torch-2.13.0-cpu-{name}.h5"


@cache
def contents_of(name: str) -> Contents:
    return read(file_of(name))


def test_the_files_are_small_and_the_cases_many():
    sizes = [file_of(name).stat().st_size for name in NAMES]
    assert max(sizes) <= 8 * MIB and sum(path.stat().st_size for path in VECTORS.glob("*.h5")) <= 20 * MIB
    assert sum(len(contents_of(name).cases) for name in NAMES) >= 10_000


@each_feature
def test_every_feature_has_200_cases_on_each_of_its_paths(feature):
    contents = contents_of(feature)
    assert {problem.feature for problem in contents.problems} == {feature}
    paths = {"amp": ("fused",), "complex": ("forloop", "foreach"), "sparse": ("forloop", "foreach")}.get(feature, PATHS)
    assert {path: count >= 200 for path, count in Counter(case.run.path for case in contents.cases).items()} == dict.fromkeys(paths, True)
    for runs in (Counter((case.run.path, case.run.capability != "default") for case in contents.cases),
                 Counter((case.run.path, case.run.threads) for case in contents.cases)):
        assert len(runs) == 2 * len(paths) and min(runs.values()) >= 80, runs
    assert 0 < sum(case.run.capability == "avx512" for case in contents.cases) < len(contents.cases) / 8


@each_feature
def test_every_feature_has_its_dtypes(feature):
    found = {tensor.dtype for problem in contents_of(feature).problems for tensor in problem.tensors}
    assert found == {BY_NAME[name] for name in NAMES} - (set(BY_NAME.values()) if feature == "complex" else set()) | (
        set() if feature == "amp" else set(COMPLEX))


@each_feature
def test_the_features_problems_follow_from_the_seed(feature):
    contents = contents_of(feature)
    kinds = tuple((feature, dtype) for dtype in MAKERS[feature][1])
    planned = plan(Selection(contents.attributes["seed"], len(contents.cases), kinds, PATHS, CAPABILITIES, (1, 2)))
    assert [comparable_problem(problem) for problem in contents.problems] == [comparable_problem(problem) for problem, _ in planned]
    assert [case.run for case in contents.cases] == [run for _, runs in planned for run in runs]


def test_layouts_of_every_kind_are_there():
    """On each path that takes them: gaps, elements that are several, transposed ones, no dimension, no element, shared by threads."""
    contents = contents_of("layout")
    kinds = {
        "gaps": lambda layout: layout.extent > layout.numel,
        "overlap": lambda layout: layout.overlaps,
        "transposed": lambda layout: layout.is_dense and layout != contiguous(*layout.shape),
        "offset": lambda layout: layout.offset > 0,
        "scalar": lambda layout: layout.shape == (),
        "empty": lambda layout: layout.numel == 0,
        "large": lambda layout: layout.numel > 32768,
    }
    found = {(kind, case.run.path) for case in contents.cases for tensor in contents.problems[case.problem].tensors
             for layout in filter(None, (tensor.layout, *tensor.grad_layouts)) for kind, has in kinds.items() if has(layout)}
    assert found == {(kind, path) for kind in kinds for path in PATHS} - {("gaps", "fused"), ("overlap", "fused")}


def test_scaling_of_every_kind_is_there():
    found = {(scaling.grad_scale is None, scaling.found_inf is None, scaling.skips) for problem in contents_of("amp").problems
             for scaling in problem.scaling}
    assert found == {(False, False, False), (False, False, True), (True, False, False), (True, False, True), (False, True, False)}


def test_sparse_gradients_and_buffers_of_every_kind_are_there():
    """Empty, coalesced, not coalesced, of one entry, with dense dimensions or not; buffers that are merged, gradients that foreach changes."""
    contents = contents_of("sparse")
    grads = [(grad, len(grad.shape) > grad.sparse_dim) for problem in contents.problems for tensor in problem.tensors
             for grad in tensor.grads if grad is not None]
    assert {(min(grad.nnz, 2), grad.coalesced, dense) for grad, dense in grads} >= {
        (entries, coalesced, dense) for entries in (0, 1, 2) for coalesced in (False, True) for dense in (False, True)}
    strided = {tensor.layout != contiguous(*tensor.layout.shape) for problem in contents.problems for tensor in problem.tensors}
    assert strided == {False, True}
    merged = changed = 0
    for case in contents.cases:
        for number, tensor in enumerate(contents.problems[case.problem].tensors):
            for step, grad in enumerate(tensor.grads):
                _, buffer, after, _ = case.outcome[step][number]
                merged += step > 0 and buffer is not None and buffer.nnz > 0
                changed += grad is not None and comparable(after) != comparable(grad)
    assert merged > 100 and changed > 30


def test_tensors_of_every_kind_are_options():
    found = {(name, scalar.requires_grad) for problem in contents_of("tensor-lr").problems for group in problem.groups
             for name, scalar in group.scalars}
    assert found == {("lr", False), ("lr", True), ("momentum", False), ("dampening", False), ("weight_decay", False),
                     ("weight_decay", True)}


@each_dtype
def test_every_path_has_300_cases_with_and_without_fma(name):
    cells = Counter((case.run.path, case.run.capability != "default") for case in contents_of(name).cases)
    assert all(cells[path, fma] >= 300 for path in PATHS for fma in (False, True)), cells


@each_dtype
def test_the_problems_follow_from_the_seed(name):
    contents = contents_of(name)
    selection = Selection(contents.attributes["seed"], len(contents.cases), (("plain", BY_NAME[name]),), PATHS, CAPABILITIES, (1, 2))
    planned = plan(selection)
    assert [comparable_problem(problem) for problem in contents.problems] == [comparable_problem(problem) for problem, _ in planned]
    assert [case.run for case in contents.cases] == [run for _, runs in planned for run in runs]


@each_dtype
def test_every_flag_meets_every_path(name):
    contents = contents_of(name)
    seen = {(flag, case.run.path) for case in contents.cases for flag in contents.problems[case.problem].flags}
    flags = ("wide", "subnormal", "cancel", "zero", "inf", "overflow", "nan", "none", "large")
    assert seen == {(flag, path) for flag in flags for path in PATHS}


@each_dtype
def test_overflow_and_underflow_happen(name):
    dtype, contents = BY_NAME[name], contents_of(name)
    overflowed = subnormal = 0
    for case in contents.cases:
        problem = contents.problems[case.problem]
        for states in case.outcome:
            for bits in (array for state in states for array in state if isinstance(array, np.ndarray)):
                if "overflow" in problem.flags and not problem.flags & {"inf", "nan"}:
                    overflowed += int((bits << 1 == dtype.exponent_all_ones << (dtype.mantissa_bits + 1)).sum())
                if problem.flags == {"subnormal"}:
                    magnitude = np.abs(decode(dtype, bits))
                    subnormal += int(((magnitude > 0) & (magnitude < 2.0 ** (1 - dtype.bias))).sum())
    assert overflowed > 100 and subnormal > 100


@each_dtype
def test_avx512_equals_avx2(name):
    """On the same problem and path with one thread, but for what PyTorch leaves to chance."""
    contents = contents_of(name)
    by_run = {(case.problem, case.run.path, case.run.capability, case.run.threads): case.outcome for case in contents.cases}
    compared = 0
    for (row, path, capability, threads), outcome in by_run.items():
        other = by_run.get((row, path, "avx2", threads))
        if capability == "avx512" and other is not None:
            chance = undefined_after(contents.problems[row], threads) if path == "fused" else None
            assert without_chance(outcome, chance) == without_chance(other, chance)
            compared += 1
    assert compared > 500


@pytest.mark.parametrize("name", NAMES + FEATURES)
def test_the_provenance_is_complete(name):
    attributes = contents_of(name).attributes
    assert attributes["schema"] == "exactsgd-vectors" and attributes["schema_version"] == (1 if name in NAMES else 2)
    assert attributes["torch_version"] == "2.13.0+cpu"
    assert attributes["torch_commit"].startswith("cf30153c")
    assert attributes["source"] == "torch 2.13.0+cpu, stepped"
    assert "GCC 13.3" in attributes["torch_build"] and "CXX_FLAGS" in attributes["torch_build"]
    assert attributes["capabilities"] == "default avx2 avx512"
    assert attributes["cpu_model"] and attributes["platform"].startswith("Linux x86_64")
    assert attributes["command"].startswith("scripts/capture --seed ") and f" {name} " in attributes["command"]


@pytest.mark.parametrize("name, schema", [*((name, FIRST) for name in NAMES), *((name, COLUMNS) for name in FEATURES)])
def test_every_column_is_shuffled_compressed_and_checksummed(name, schema):
    with h5py.File(file_of(name)) as file:
        columns = [column for table in file.values() for column in table.values()]
        assert len(columns) == sum(map(len, schema.values())) + len(("u16", "u32", "u64"))
        for column in columns:
            assert (column.shuffle, column.compression, column.fletcher32) == (True, "gzip", True)
            assert column.ndim == 1 and column.chunks
