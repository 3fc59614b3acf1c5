"""Golden vectors as columns without duplicates, and as HDF5.  The format is described in ../vectors/README.md."""

import io

import h5py
import numpy as np

from .arrays import STORED_LIMIT, Generated, Hashed, hash_bits
from .children import Outcome
from .dtypes import Dtype
from .plan import CAPABILITIES, PATHS, Run
from .problems import Problem

SCHEMA = "exactsgd-vectors"
SCHEMA_VERSION = 1
NONE = 0xFFFFFFFF
STORED, GENERATED, HASHED = range(3)
CHUNK = 1 << 15
COLUMNS = {
    "problem": {"group_begin": "u4", "group_count": "u4", "steps": "u1", "flags": "u4"},
    "group": {"tensor_begin": "u4", "tensor_count": "u4", "lr": "f8", "momentum": "f8", "dampening": "f8", "weight_decay": "f8",
              "nesterov": "u1", "maximize": "u1"},
    "tensor": {"dtype": "u1", "numel": "u8", "param": "u4", "grad_begin": "u4"},
    "grad": {"array": "u4"},
    "case": {"problem": "u4", "path": "u1", "capability": "u1", "threads": "u1", "outcome_begin": "u4"},
    "outcome": {"param": "u4", "buffer": "u4", "grad": "u4"},
    "array": {"kind": "u1", "dtype": "u1", "numel": "u8", "where": "u8"},
}
"""The tables, their columns, and the columns' little-endian types."""


class Table:
    """Rows of one table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[tuple] = []

    def add(self, **values) -> int:
        """Appends a row, all columns given by name; returns its number."""
        self.rows.append(tuple(values[column] for column in COLUMNS[self.name]))
        if len(values) != len(COLUMNS[self.name]):
            raise TypeError(f"table {self.name} has no such columns: {values.keys() - COLUMNS[self.name].keys()}")
        return len(self.rows) - 1

    def columns(self) -> dict[str, np.ndarray]:
        """Each column as an array of shape (rows,)."""
        types = COLUMNS[self.name]
        by_column = zip(*self.rows, strict=True) if self.rows else [()] * len(types)
        return {name: np.array(values, f"<{kind}") for (name, kind), values in zip(types.items(), by_column, strict=True)}


class VectorFile:
    """A vector file in the making: problems are added with the outcomes of their runs; equal arrays become one."""

    def __init__(self) -> None:
        self.tables = {name: Table(name) for name in COLUMNS}
        self._known: dict[tuple, int] = {}
        self._bits: dict[int, list[np.ndarray]] = {16: [], 32: [], 64: []}
        self._used = {16: 0, 32: 0, 64: 0}

    def add(self, problem: Problem, runs: list[Run], outcomes: list[Outcome]) -> None:
        """Adds a problem and its cases: one run and one outcome each."""
        problem_row = self._add_problem(problem)
        rows = [[[[NONE] * 3 for _ in problem.tensors] for _ in range(problem.steps)] for _ in runs]
        # The same quantity of all runs side by side: what differs by a last bit only compresses well.
        for step in range(problem.steps):
            for tensor in range(len(problem.tensors)):
                for field in range(3):
                    for case, outcome in zip(rows, outcomes, strict=True):
                        case[step][tensor][field] = self._array(problem.dtype, outcome[step][tensor][field])
        begins: dict[tuple, int] = {}
        for run, case in zip(runs, rows, strict=True):
            block = tuple(tuple(fields) for step in case for fields in step)
            if block not in begins:
                begins[block] = len(self.tables["outcome"].rows)
                for param, buffer, grad in block:
                    self.tables["outcome"].add(param=param, buffer=buffer, grad=grad)
            self.tables["case"].add(problem=problem_row, path=PATHS.index(run.path), capability=CAPABILITIES.index(run.capability),
                                    threads=run.threads, outcome_begin=begins[block])

    def _add_problem(self, problem: Problem) -> int:
        group_begin = len(self.tables["group"].rows)
        for group in problem.groups:
            tensor_begin = len(self.tables["tensor"].rows)
            for tensor in group.tensors:
                param = self._array(problem.dtype, tensor.param)
                grad_begin = len(self.tables["grad"].rows)
                for grad in tensor.grads:
                    self.tables["grad"].add(array=self._array(problem.dtype, grad))
                self.tables["tensor"].add(dtype=problem.dtype.code, numel=tensor.numel, param=param, grad_begin=grad_begin)
            self.tables["group"].add(tensor_begin=tensor_begin, tensor_count=len(group.tensors), **vars(group.hyper))
        return self.tables["problem"].add(group_begin=group_begin, group_count=len(problem.groups), steps=problem.steps,
                                          flags=problem.flag_bits)

    def _array(self, dtype: Dtype, values: np.ndarray | Generated | Hashed | None) -> int:
        """The row of an array, a new one if no equal array of the dtype has been added; NONE for None."""
        if values is None:
            return NONE
        if isinstance(values, Hashed):
            return self._row((dtype.code, values.numel, values.hash), HASHED, values.hash)
        if isinstance(values, Generated):
            # Known by its hash, so that an output that a step left as it was is found to be this array.
            return self._row((dtype.code, values.numel, hash_bits(values.bits(dtype))), GENERATED, values.seed)
        if values.size > STORED_LIMIT:
            raise ValueError(f"{values.size} elements are hashed, not stored")
        key = (dtype.code, values.size, values.tobytes())
        if key not in self._known:
            self._bits[dtype.width].append(values)
            self._used[dtype.width] += values.size
        return self._row(key, STORED, self._used[dtype.width] - values.size)

    def _row(self, key: tuple, kind: int, where: int) -> int:
        if key not in self._known:
            self._known[key] = self.tables["array"].add(kind=kind, dtype=key[0], numel=key[1], where=where)
        return self._known[key]

    def to_hdf5(self, attributes: dict[str, str | int]) -> bytes:
        """The whole file; depends on nothing but what was added and the attributes."""
        image = io.BytesIO()
        with h5py.File(image, "w", libver=("v110", "v110"), track_order=False) as file:
            for name, value in {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **attributes}.items():
                # Fixed-length strings live in the object header, under its checksum; others would live in a heap that has none.
                file.attrs[name] = np.bytes_(value.encode("ascii", "replace")) if isinstance(value, str) else np.int64(value)
            for table in self.tables.values():
                for name, column in table.columns().items():
                    _write(file, f"{table.name}/{name}", column)
            for width, parts in self._bits.items():
                _write(file, f"bits/u{width}", np.concatenate([np.zeros(0, f"<u{width // 8}"), *parts]))
        return image.getvalue()


def _write(file: h5py.File, name: str, column: np.ndarray) -> None:
    chunk = min(CHUNK, max(1, column.size))
    file.create_dataset(name, data=column, chunks=(chunk,), maxshape=(None,), shuffle=True, compression="gzip", compression_opts=9,
                        fletcher32=True, track_times=False)
