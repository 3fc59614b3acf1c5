"""Golden vectors as columns without duplicates, and as HDF5.  The format is described in ../vectors/README.md."""

import io

import h5py
import numpy as np

from .arrays import STORED_LIMIT, Generated, Hashed, hash_bits
from .children import Outcome
from .dtypes import I64, Dtype
from .model import FEATURES, SCALARS, Group, Layout, Problem, Sparse, Tensor, contiguous
from .plan import CAPABILITY_CODES, PATHS, Run
from .schema import COLUMNS, GENERATED, HASHED, NONE, SCHEMA, SCHEMA_VERSION, STORED, Table

CHUNK = 1 << 15


class VectorFile:
    """A vector file in the making: problems are added with the outcomes of their runs; equal arrays become one."""

    def __init__(self) -> None:
        self.tables = {name: Table(name) for name in COLUMNS}
        self._known: dict[tuple, int] = {}
        self._bits: dict[int, list[np.ndarray]] = {16: [], 32: [], 64: []}
        self._used = {16: 0, 32: 0, 64: 0}
        self._layouts: dict[Layout, int] = {}

    def add(self, problem: Problem, runs: list[Run], outcomes: list[Outcome]) -> None:
        """Adds a problem and its cases: one run and one outcome each."""
        problem_row = self._add_problem(problem)
        rows = [[[{} for _ in problem.tensors] for _ in range(problem.steps)] for _ in runs]
        # The same quantity of all runs side by side: what differs by a last bit only compresses well.
        for step in range(problem.steps):
            for number, tensor in enumerate(problem.tensors):
                for field, name in enumerate(("param", "buffer", "grad")):
                    for case, outcome in zip(rows, outcomes, strict=True):
                        values = outcome[step][number][field]
                        case[step][number][name] = self._array(tensor.dtype, values)
                        if name != "param":
                            case[step][number][f"{name}_sparse"] = self._sparse(tensor.dtype, values)
                for case, outcome in zip(rows, outcomes, strict=True):
                    case[step][number]["buffer_layout"] = self._layout(outcome[step][number][3])
        begins: dict[tuple, int] = {}
        for run, case in zip(runs, rows, strict=True):
            block = tuple(tuple(fields.items()) for step in case for fields in step)
            if block not in begins:
                begins[block] = len(self.tables["outcome"].rows)
                for fields in block:
                    self.tables["outcome"].add(**dict(fields))
            self.tables["case"].add(problem=problem_row, path=PATHS.index(run.path), capability=CAPABILITY_CODES[run.capability],
                                    threads=run.threads, outcome_begin=begins[block])

    def _add_problem(self, problem: Problem) -> int:
        group_begin = len(self.tables["group"].rows)
        for group in problem.groups:
            tensor_begin = len(self.tables["tensor"].rows)
            for tensor in group.tensors:
                self._add_tensor(tensor)
            self.tables["group"].add(tensor_begin=tensor_begin, tensor_count=len(group.tensors), **vars(group.hyper),
                                     option_begin=self._options(group),
                                     **{f"{name}_scalar": self._scalar(group, name) for name in SCALARS})
        return self.tables["problem"].add(group_begin=group_begin, group_count=len(problem.groups), steps=problem.steps,
                                          flags=problem.flag_bits, feature=FEATURES.index(problem.feature),
                                          scaling_begin=self._scaling(problem))

    def _add_tensor(self, tensor: Tensor) -> None:
        param = self._array(tensor.dtype, tensor.param)
        grad_begin = len(self.tables["grad"].rows)
        for step, grad in enumerate(tensor.grads):
            layout = None if grad is None else tensor.grad_layout(step)
            self.tables["grad"].add(array=self._array(tensor.dtype, grad), layout=self._layout(layout),
                                    sparse=self._sparse(tensor.dtype, grad))
        self.tables["tensor"].add(dtype=tensor.dtype.code, numel=tensor.numel, param=param, grad_begin=grad_begin,
                                  layout=self._layout(tensor.layout))

    def _options(self, group: Group) -> int:
        """The first of the rows with the options of every step."""
        rows = [self.tables["option"].add(**vars(hyper)) for hyper in group.changes]
        return rows[0] if rows else NONE

    def _scalar(self, group: Group, name: str) -> int:
        scalar = group.scalar(name)
        if scalar is None:
            return NONE
        return self._once("scalar", dtype=scalar.dtype.code, ndim=scalar.ndim, requires_grad=scalar.requires_grad)

    def _scaling(self, problem: Problem) -> int:
        """The first of the rows with the scaling of every step."""
        rows = [self.tables["scaling"].add(has_grad_scale=scaling.grad_scale is not None, has_found_inf=scaling.found_inf is not None,
                                           grad_scale=scaling.grad_scale or 0.0,
                                           found_inf=0.0 if scaling.found_inf is None else scaling.found_inf)
                for scaling in problem.scaling]
        return rows[0] if rows else NONE

    def _layout(self, layout: Layout | None) -> int:
        """The row of a layout, a new one if no equal one has been added; NONE for None."""
        if layout is None:
            return NONE
        if layout not in self._layouts:
            begin = len(self.tables["dim"].rows)
            for size, stride in zip(layout.shape, layout.strides, strict=True):
                self.tables["dim"].add(size=size, stride=stride)
            self._layouts[layout] = self.tables["layout"].add(dim_begin=begin, ndim=len(layout.shape), offset=layout.offset)
        return self._layouts[layout]

    def _once(self, table: str, **values) -> int:
        """The row of a table without added columns that holds the values, a new one only where there is none."""
        row = tuple(values[column] for column in COLUMNS[table])
        rows = self.tables[table].rows
        return rows.index(row) if row in rows else self.tables[table].add(**values)

    def _sparse(self, dtype: Dtype, values) -> int:
        """The row of a sparse tensor; NONE for whatever is none."""
        if not isinstance(values, Sparse):
            return NONE
        return self._once("sparse", layout=self._layout(contiguous(*values.shape)), sparse_dim=values.sparse_dim,
                          coalesced=int(values.coalesced), nnz=values.nnz,
                          indices=self._array(I64, values.indices.reshape(-1).view("<u8")), values=self._array(dtype, values.values))

    def _array(self, dtype: Dtype, values: np.ndarray | Generated | Hashed | Sparse | None) -> int:
        """The row of an array, a new one if no equal array of the dtype has been added; NONE for None and sparse tensors."""
        if values is None or isinstance(values, Sparse):
            return NONE
        if isinstance(values, Hashed):
            return self._row((dtype.code, values.numel, values.hash), HASHED, values.hash)
        if isinstance(values, Generated):
            # Known by its hash, so that an output that a step left as it was is found to be this array.
            return self._row((dtype.code, values.numel, hash_bits(values.bits(dtype))), GENERATED, values.seed)
        numel = values.size // dtype.parts
        if numel > STORED_LIMIT:
            raise ValueError(f"{numel} elements are hashed, not stored")
        key = (dtype.code, numel, values.tobytes())
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
