"""Reads a vector file back into problems, runs and outcomes."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from .arrays import Generated, Hashed
from .children import Outcome
from .dtypes import BY_CODE
from .hyper import Hyper
from .model import FEATURES, FLAGS, SCALARS, Group, Layout, Problem, Scalar, Scaling, Sparse, Tensor
from .plan import CAPABILITY_CODES, PATHS, Run
from .schema import ADDED, COLUMNS, FIRST, GENERATED, HASHED, NEW, NONE, SCHEMA, SCHEMA_VERSION

NAME_OF_CAPABILITY = {code: name for name, code in CAPABILITY_CODES.items()}


@dataclass(frozen=True)
class Case:
    """A run and what it left; `problem` counts from 0 in the file."""

    problem: int
    run: Run
    outcome: Outcome


@dataclass(frozen=True)
class Contents:
    """A whole vector file; each problem's `index` is its number in the file."""

    attributes: dict[str, str | int]
    problems: list[Problem]
    cases: list[Case]


def read(path: Path) -> Contents:
    """Raises OSError for a damaged file and ValueError for one of another schema."""
    with h5py.File(path) as file:
        attributes = {name: value.decode() if isinstance(value, bytes) else int(value) for name, value in file.attrs.items()}
        version = attributes.get("schema_version")
        if attributes.get("schema") != SCHEMA or version not in range(1, SCHEMA_VERSION + 1):
            raise ValueError(f"{path}: not {SCHEMA} version 1 to {SCHEMA_VERSION}")
        tables = _read_tables(file, COLUMNS if version > 1 else FIRST)
        bits = {width: file[f"bits/u{width}"][:] for width in (16, 32, 64)}
    reader = _Reader(tables, bits)
    problems = [reader.problem(row) for row in range(len(tables["problem"]["steps"]))]
    return Contents(attributes, problems, [reader.case(row, problems) for row in range(len(tables["case"]["problem"]))])


def _read_tables(file: h5py.File, columns: dict[str, dict[str, str]]) -> dict[str, dict[str, np.ndarray]]:
    """All tables of the latest version; what the file's version does not have says nothing."""
    tables = {table: {name: file[table][name][:] for name in names} for table, names in columns.items()}
    for table, added in ADDED.items():
        rows = len(next(iter(tables[table].values())))
        for name, (kind, default) in added.items():
            tables[table].setdefault(name, np.full(rows, default, f"<{kind}"))
    for table, names in NEW.items():
        tables.setdefault(table, {name: np.zeros(0, f"<{kind}") for name, kind in names.items()})
    return tables


class _Reader:
    """Follows rows from table to table."""

    def __init__(self, tables: dict[str, dict[str, np.ndarray]], bits: dict[int, np.ndarray]) -> None:
        self.tables = tables
        self.bits = bits

    def row(self, table: str, row: int) -> dict[str, int | float]:
        return {name: column[row].item() for name, column in self.tables[table].items()}

    def array(self, row: int) -> np.ndarray | Generated | Hashed | None:
        if row == NONE:
            return None
        found = self.row("array", row)
        if found["kind"] == GENERATED:
            return Generated(found["where"], found["numel"])
        if found["kind"] == HASHED:
            return Hashed(found["where"], found["numel"])
        dtype = BY_CODE[found["dtype"]]
        return self.bits[dtype.width][found["where"] : found["where"] + found["numel"] * dtype.parts]

    def either(self, array: int, sparse: int) -> np.ndarray | Generated | Hashed | Sparse | None:
        """What two columns say, of which one at most names a row."""
        if sparse == NONE:
            return self.array(array)
        found = self.row("sparse", sparse)
        indices = self.array(found["indices"]).view("<i8").reshape(found["sparse_dim"], found["nnz"])
        return Sparse(self.layout(found["layout"]).shape, indices, self.array(found["values"]), bool(found["coalesced"]))

    def layout(self, row: int) -> Layout | None:
        if row == NONE:
            return None
        found = self.row("layout", row)
        dims = [self.row("dim", dim) for dim in range(found["dim_begin"], found["dim_begin"] + found["ndim"])]
        return Layout(tuple(dim["size"] for dim in dims), tuple(dim["stride"] for dim in dims), found["offset"])

    def tensor(self, row: int, steps: int) -> Tensor:
        found = self.row("tensor", row)
        rows = [self.row("grad", grad) for grad in range(found["grad_begin"], found["grad_begin"] + steps)]
        layouts = tuple(self.layout(grad["layout"]) for grad in rows)
        return Tensor(BY_CODE[found["dtype"]], found["numel"], self.array(found["param"]), tuple(self.either(grad["array"], grad["sparse"]) for grad in rows),
                      self.layout(found["layout"]), layouts if any(layouts) else ())

    def hyper(self, found: dict[str, int | float]) -> Hyper:
        options = {name: found[name] for name in COLUMNS["option"]}
        return Hyper(**{**options, "nesterov": bool(found["nesterov"]), "maximize": bool(found["maximize"])})

    def group(self, row: int, steps: int) -> Group:
        found = self.row("group", row)
        begin, count, options = found["tensor_begin"], found["tensor_count"], found["option_begin"]
        changes = () if options == NONE else tuple(self.hyper(self.row("option", option)) for option in range(options, options + steps))
        scalars = tuple((name, self.scalar(found[f"{name}_scalar"])) for name in SCALARS if found[f"{name}_scalar"] != NONE)
        return Group(self.hyper(found), tuple(self.tensor(tensor, steps) for tensor in range(begin, begin + count)), changes, scalars)

    def scalar(self, row: int) -> Scalar:
        found = self.row("scalar", row)
        return Scalar(BY_CODE[found["dtype"]], found["ndim"], bool(found["requires_grad"]))

    def scaling(self, row: int) -> Scaling:
        found = self.row("scaling", row)
        return Scaling(*(found[name] if found[f"has_{name}"] else None for name in ("grad_scale", "found_inf")))

    def problem(self, row: int) -> Problem:
        found = self.row("problem", row)
        begin, steps, scaling = found["group_begin"], found["steps"], found["scaling_begin"]
        groups = tuple(self.group(group, steps) for group in range(begin, begin + found["group_count"]))
        flags = frozenset(flag for bit, flag in enumerate(FLAGS) if found["flags"] >> bit & 1)
        scalings = () if scaling == NONE else tuple(self.scaling(each) for each in range(scaling, scaling + steps))
        return Problem(groups[0].tensors[0].dtype, row, steps, flags, groups, FEATURES[found["feature"]], scalings)

    def case(self, row: int, problems: list[Problem]) -> Case:
        found = self.row("case", row)
        problem = problems[found["problem"]]
        width = len(problem.tensors)
        outcome = [[self.outcome(found["outcome_begin"] + step * width + tensor) for tensor in range(width)]
                   for step in range(problem.steps)]
        return Case(found["problem"], Run(PATHS[found["path"]], NAME_OF_CAPABILITY[found["capability"]], found["threads"]), outcome)

    def outcome(self, row: int) -> tuple:
        found = self.row("outcome", row)
        others = (self.either(found[name], found[f"{name}_sparse"]) for name in ("buffer", "grad"))
        return self.array(found["param"]), *others, self.layout(found["buffer_layout"])
