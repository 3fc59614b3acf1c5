"""Values with arrays in them, made comparable; files as plain data."""

from pathlib import Path

import h5py
import numpy as np

from capture.arrays import Generated
from capture.dtypes import Dtype
from capture.hyper import Hyper
from capture.model import Group, Layout, Problem, Sparse, Tensor, contiguous

PLAIN = Hyper(lr=0.25, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False)


def comparable(value):
    """Arrays become (type, bytes), lists, tuples and sparse tensors tuples, all the way down; everything else stays."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, Sparse):
        return "sparse", value.shape, comparable(value.indices), comparable(value.values), value.coalesced
    if isinstance(value, (list, tuple)):
        return tuple(map(comparable, value))
    return value


def comparable_problem(problem: Problem):
    """All of a problem but its index; a layout is spelt out, and that of no gradient does not matter."""
    def tensor_parts(tensor):
        layouts = [tensor.grad_layout(step) if grad is not None else None for step, grad in enumerate(tensor.grads)]
        return tensor.dtype, tensor.numel, comparable(tensor.param), comparable(tensor.grads), normal(tensor.layout), tuple(map(normal, layouts))

    groups = tuple((group.hyper, group.changes, group.scalars, tuple(map(tensor_parts, group.tensors))) for group in problem.groups)
    return problem.dtype, problem.steps, problem.flags, groups, problem.feature, repr(problem.scaling)


def normal(layout: Layout | None) -> Layout | None:
    """None for what is one-dimensional and contiguous, however it is said."""
    return None if layout is None or layout == contiguous(layout.numel) else layout


def one_tensor(dtype: Dtype, param: np.ndarray | Generated, grads: list, hyper: Hyper = PLAIN) -> Problem:
    """A problem of one group of one tensor; grads may hold None."""
    numel = param.numel if isinstance(param, Generated) else param.size // dtype.parts
    flags = frozenset({"large"} if isinstance(param, Generated) else ())
    return Problem(dtype, 0, len(grads), flags, (Group(hyper, (Tensor(dtype, numel, param, tuple(grads)),)),))


def plain_data(path: Path) -> dict:
    """Every attribute and dataset of an HDF5 file by name."""
    with h5py.File(path) as file:
        found = {f"@{name}": comparable(np.asarray(value)) for name, value in file.attrs.items()}
        for table in file:
            found.update((f"{table}/{column}", comparable(file[table][column][:])) for column in file[table])
    return found


def without_chance(outcome, chance):
    """The outcome with the undefined buffer elements, where there are any, set to zero."""
    if chance is None:
        return comparable(outcome)
    return comparable([[[param, buffer * ~mask if mask.any() else buffer, *rest] for (param, buffer, *rest), mask in zip(states, masks)]
                       for states, masks in zip(outcome, chance)])
