"""What would be broken: the golden vectors in the repository are fewer, larger or others than the documentation says."""

from collections import Counter
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from capture.dtypes import BY_NAME, decode
from capture.plan import CAPABILITIES, PATHS, Selection, plan
from capture.reading import Contents, read
from capture.schema import COLUMNS, FIRST
from capture.undefined import undefined_after
from helpers import comparable_problem, without_chance

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
NAMES = ("f64", "f32", "f16", "bf16")
MIB = 1 << 20
each_dtype = pytest.mark.parametrize("name", NAMES)


def file_of(name: str) -> Path:
    return VECTORS / f"torch-2.13.0-cpu-{name}.h5"


@cache
def contents_of(name: str) -> Contents:
    return read(file_of(name))


def test_the_files_are_small_and_the_cases_many():
    sizes = [file_of(name).stat().st_size for name in NAMES]
    assert max(sizes) <= 8 * MIB and sum(sizes) <= 24 * MIB
    assert sum(len(contents_of(name).cases) for name in NAMES) >= 10_000


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


@each_dtype
def test_the_provenance_is_complete(name):
    attributes = contents_of(name).attributes
    assert attributes["schema"] == "exactsgd-vectors" and attributes["schema_version"] == 1
    assert attributes["torch_version"] == "2.13.0+cpu"
    assert attributes["torch_commit"].startswith("cf30153c")
    assert attributes["source"] == "torch 2.13.0+cpu, stepped"
    assert "GCC 13.3" in attributes["torch_build"] and "CXX_FLAGS" in attributes["torch_build"]
    assert attributes["capabilities"] == "default avx2 avx512"
    assert attributes["cpu_model"] and attributes["platform"].startswith("Linux x86_64")
    assert attributes["command"].startswith("scripts/capture --seed ") and f"--dtype {name} " in attributes["command"]


@each_dtype
def test_every_column_is_shuffled_compressed_and_checksummed(name):
    with h5py.File(file_of(name)) as file:
        columns = [column for table in file.values() for column in table.values()]
        assert len(columns) == sum(map(len, FIRST.values())) + len(("u16", "u32", "u64"))
        for column in columns:
            assert (column.shuffle, column.compression, column.fletcher32) == (True, "gzip", True)
            assert column.ndim == 1 and column.chunks
