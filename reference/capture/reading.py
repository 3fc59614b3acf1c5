"""Reads a vector file back into problems, runs and outcomes."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from .arrays import Generated, Hashed
from .children import Outcome
from .dtypes import BY_CODE, Dtype
from .hyper import Hyper
from .plan import CAPABILITIES, PATHS, Run
from .pools import FLAGS
from .problems import Group, Problem, Tensor
from .store import COLUMNS, GENERATED, HASHED, NONE, SCHEMA, SCHEMA_VERSION


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
        if (attributes.get("schema"), attributes.get("schema_version")) != (SCHEMA, SCHEMA_VERSION):
            raise ValueError(f"{path}: not {SCHEMA} version {SCHEMA_VERSION}")
        tables = {table: {column: file[table][column][:] for column in columns} for table, columns in COLUMNS.items()}
        bits = {width: file[f"bits/u{width}"][:] for width in (16, 32, 64)}
    reader = _Reader(tables, bits)
    problems = [reader.problem(row) for row in range(len(tables["problem"]["steps"]))]
    return Contents(attributes, problems, [reader.case(row, problems) for row in range(len(tables["case"]["problem"]))])


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
        return self.bits[BY_CODE[found["dtype"]].width][found["where"] : found["where"] + found["numel"]]

    def tensor(self, row: int, steps: int) -> Tensor:
        found = self.row("tensor", row)
        grads = self.tables["grad"]["array"][found["grad_begin"] : found["grad_begin"] + steps]
        return Tensor(found["numel"], self.array(found["param"]), tuple(self.array(grad) for grad in grads))

    def group(self, row: int, steps: int) -> Group:
        found = self.row("group", row)
        begin, count = found.pop("tensor_begin"), found.pop("tensor_count")
        found.update(nesterov=bool(found["nesterov"]), maximize=bool(found["maximize"]))
        return Group(Hyper(**found), tuple(self.tensor(tensor, steps) for tensor in range(begin, begin + count)))

    def problem(self, row: int) -> Problem:
        found = self.row("problem", row)
        begin, steps = found["group_begin"], found["steps"]
        groups = tuple(self.group(group, steps) for group in range(begin, begin + found["group_count"]))
        flags = frozenset(flag for bit, flag in enumerate(FLAGS) if found["flags"] >> bit & 1)
        return Problem(self.dtype(self.tables["group"]["tensor_begin"][begin]), row, steps, flags, groups)

    def dtype(self, tensor: int) -> Dtype:
        return BY_CODE[int(self.tables["tensor"]["dtype"][tensor])]

    def case(self, row: int, problems: list[Problem]) -> Case:
        found = self.row("case", row)
        problem = problems[found["problem"]]
        width = len(problem.tensors)
        outcome = [[[self.array(int(self.tables["outcome"][field][found["outcome_begin"] + step * width + tensor]))
                     for field in COLUMNS["outcome"]] for tensor in range(width)] for step in range(problem.steps)]
        return Case(found["problem"], Run(PATHS[found["path"]], CAPABILITIES[found["capability"]], found["threads"]), outcome)
