"""What would be broken: a file that does not give back what was put in, or does not notice a flipped bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capture.arrays import Generated, Hashed, hash_bits
from capture.dtypes import BF16, C64, F32, F64
from capture.plan import CAPABILITIES, PATHS, Run
from capture.features import MAKERS, generate
from capture.model import contiguous
from capture.reading import read
from capture.schema import ADDED, COLUMNS, HASHED, NONE
from capture.store import VectorFile
from helpers import comparable, comparable_problem, one_tensor, plain_data

any_run = st.builds(Run, st.sampled_from(PATHS), st.sampled_from(CAPABILITIES), st.integers(1, 3))
any_runs = st.lists(any_run, min_size=1, max_size=5, unique=True)
kinds = st.sampled_from([(feature, dtype) for feature, (_, dtypes) in MAKERS.items() for dtype in dtypes])
tmp_path_once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def invented_outcome(problem, random):
    """Arrays of the right shape, some equal to the inputs, some None."""
    def array(tensor):
        if tensor.numel > 4096:
            return Hashed(int(random.integers(2**63)), tensor.numel)
        return random.choice([tensor.param, tensor.param ^ tensor.dtype.uint.type(1)])

    def maybe(tensor):
        return array(tensor) if random.random() < 0.7 else None

    def layout(tensor):
        return random.choice([None, contiguous(tensor.numel, 1), contiguous(1, tensor.numel)])

    return [[[array(tensor), maybe(tensor), maybe(tensor), layout(tensor)] for tensor in problem.tensors] for _ in range(problem.steps)]


@tmp_path_once
@given(st.lists(st.tuples(st.integers(0, 64), kinds, any_runs), max_size=4), st.integers(0, 9))
def test_what_is_stored_is_read_back(tmp_path, parts, seed):
    random = np.random.default_rng(seed)
    file = VectorFile()
    expected = []
    for row, (index, (feature, dtype), runs) in enumerate(parts):
        problem = generate(feature, seed, index, dtype)
        outcomes = [invented_outcome(problem, random) for _ in runs]
        file.add(problem, runs, outcomes)
        expected += [(row, run, comparable(outcome)) for run, outcome in zip(runs, outcomes)]
    path = tmp_path / "any.h5"
    path.write_bytes(file.to_hdf5({"seed": seed, "source": "invented"}))
    contents = read(path)
    assert contents.attributes == {"schema": "exactsgd-vectors", "schema_version": 2, "seed": seed, "source": "invented"}
    assert [comparable_problem(problem) for problem in contents.problems] == [
        comparable_problem(generate(feature, seed, index, dtype)) for index, (feature, dtype), _ in parts]
    assert [(case.problem, case.run, comparable(case.outcome)) for case in contents.cases] == expected


def test_equal_arrays_are_stored_once():
    bits = np.arange(5, dtype=np.uint32)
    problem = one_tensor(F32, bits, [bits, bits.copy()])
    file = VectorFile()
    runs = [Run("forloop", "avx2", 1), Run("foreach", "avx2", 1)]
    file.add(problem, runs, [[[[bits.copy(), None, bits, None]], [[bits, None, bits, None]]]] * 2)
    assert len(file.tables["array"].rows) == 1
    assert len({row[COLUMN_OF_BEGIN] for row in file.tables["case"].rows}) == 1


COLUMN_OF_BEGIN = list(COLUMNS["case"]).index("outcome_begin")


def test_equal_bits_of_different_dtypes_stay_apart():
    file = VectorFile()
    for dtype in (F32, replace(F32, code=0)):
        file.add(one_tensor(dtype, np.zeros(3, np.uint32), [None]), [], [])
    assert [row[1] for row in file.tables["array"].rows] == [1, 0]


def test_a_large_output_that_a_step_left_alone_is_the_generated_input():
    values = Generated(7, 5000)
    same, other = Hashed(hash_bits(values.bits(BF16)), 5000), Hashed(1, 5000)
    file = VectorFile()
    file.add(one_tensor(BF16, values, [values]), [Run("forloop", "avx2", 1)], [[[[same, other, same, None]]]])
    assert file.tables["outcome"].rows == [(0, 1, 0, NONE, NONE, NONE)]
    assert file.tables["array"].rows[1][0] == HASHED


def test_complex_numbers_are_counted_as_one(tmp_path):
    bits = np.arange(10, dtype=np.uint32)
    file = VectorFile()
    file.add(one_tensor(C64, bits, [bits + np.uint32(1)]), [], [])
    assert file.tables["array"].rows == [(0, 4, 5, 0), (0, 4, 5, 10)]
    path = tmp_path / "complex.h5"
    path.write_bytes(file.to_hdf5({}))
    assert read(path).problems[0].tensors[0].grads[0].tolist() == list(range(1, 11))


def test_a_plain_problem_says_nothing_of_what_version_2_added():
    file = VectorFile()
    bits = np.zeros(3, np.uint32)
    file.add(one_tensor(F32, bits, [bits]), [Run("forloop", "avx2", 1)], [[[[bits, None, bits, None]]]])
    for table, added in ADDED.items():
        [row] = file.tables[table].rows
        assert dict(zip(COLUMNS[table], row)).items() >= {name: default for name, (_, default) in added.items()}.items()


def test_an_empty_file_has_all_columns(tmp_path):
    path = tmp_path / "empty.h5"
    path.write_bytes(VectorFile().to_hdf5({}))
    assert read(path).cases == []


def test_large_bits_are_refused():
    with pytest.raises(ValueError, match="hashed"):
        VectorFile().add(one_tensor(F64, np.zeros(5000, np.uint64), []), [], [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.data())
def test_a_flipped_bit_is_noticed_or_harmless(tmp_path, small_file, data):
    image = bytearray(small_file.read_bytes())
    image[data.draw(st.integers(0, len(image) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(image)
    try:
        found = plain_data(damaged)
    except (OSError, RuntimeError, KeyError, ValueError):
        return
    assert found == plain_data(small_file)
