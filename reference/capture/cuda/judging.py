"""Compares states bit for bit, and says in one line where they first differ.  A NaN for a NaN is counted apart."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .runs import WIDTHS, Run, State, Words

MANTISSA_BITS = {"f64": 52, "c128": 52, "f32": 23, "c64": 23, "f16": 10, "bf16": 7}
FIELDS = ("grad", "param", "buffer")


def is_nan(dtype: str, words: Words) -> np.ndarray:
    """Booleans of the words' shape."""
    infinity = (1 << (WIDTHS[dtype] - 1)) - (1 << MANTISSA_BITS[dtype])
    return (words & ((1 << (WIDTHS[dtype] - 1)) - 1)) > infinity


@dataclass
class Tally:
    """Runs compared, equal, equal but for NaN payloads; the cells of the others with one example each."""

    runs: int = 0
    equal: int = 0
    nan_only: int = 0
    cells: Counter = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, run: Run, found: list[State], expected: list[State]) -> None:
        self.runs += 1
        difference = first_difference(run, found, expected, nan_is_nan=True)
        if difference is not None:
            cell = cell_of(run)
            self.cells[cell] += 1
            self.examples.setdefault(cell, difference)
        elif first_difference(run, found, expected, nan_is_nan=False) is None:
            self.equal += 1
        else:
            self.nan_only += 1

    def lines(self, title: str) -> Iterable[str]:
        differ = self.runs - self.equal - self.nan_only
        yield f"{title:44} {self.runs:6,} runs {self.equal:6,} bit-equal {self.nan_only:6,} NaN payload only {differ:6,} differ"
        for cell, count in sorted(self.cells.items()):
            yield f"    {count:5,}  {cell}"
            yield f"           {self.examples[cell]}"


def cell_of(run: Run) -> str:
    """The dtype, path, flags and alignment of a run in words."""
    flags = [("maximize", run.maximize), ("decay", run.weight_decay), ("momentum", run.momentum), ("damped", run.dampening),
             ("nesterov", run.nesterov), ("scale", run.grad_scale is not None), ("found_inf", run.found_inf[0] is not None),
             ("tensor-lr", run.lr_is_tensor == 1), ("tensor-lr-with-grad", run.lr_is_tensor == 2), ("buffer-given", run.buffer is not None)]
    place = "aligned" if run.is_aligned else "ragged"
    return " ".join([f"{run.path}/{run.dtype}", place, *(name for name, is_set in flags if is_set)])


def first_difference(run: Run, found: list[State], expected: list[State], nan_is_nan: bool) -> str | None:
    """Step, field, element and both bit patterns; None if all is equal."""
    for step, (left, right) in enumerate(zip(found, expected, strict=True)):
        for name, a, b in zip(FIELDS, left, right, strict=True):
            differs = a != b
            if nan_is_nan:
                differs &= ~(is_nan(run.dtype, a) & is_nan(run.dtype, b))
            if differs.any():
                at = int(np.argmax(differs))
                digits = WIDTHS[run.dtype] // 4
                return (f"step {step + 1} {name}[{at}] of {a.size}: {a[at]:0{digits}x}, expected {b[at]:0{digits}x} "
                        f"(p {run.param[at]:0{digits}x} g {run.grads[step][at]:0{digits}x}; {int(differs.sum())} words differ; "
                        f"lr {run.lr!r} momentum {run.momentum!r} dampening {run.dampening!r} decay {run.weight_decay!r} "
                        f"scale {run.grad_scale!r})")
    return None
