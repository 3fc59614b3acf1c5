"""Values with arrays in them, made comparable; files as plain data."""

from pathlib import Path

import h5py
import numpy as np

from capture.arrays import Generated
from capture.dtypes import Dtype
from capture.hyper import Hyper
from capture.problems import Group, Problem, Tensor

PLAIN = Hyper(lr=0.25, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False)


def comparable(value):
    """Arrays become (type, bytes), lists and tuples tuples, all the way down; everything else stays."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(map(comparable, value))
    return value


def comparable_problem(problem: Problem):
    """All of a problem but its index."""
    groups = tuple((group.hyper, tuple((tensor.numel, comparable(tensor.param), comparable(tensor.grads)) for tensor in group.tensors))
                   for group in problem.groups)
    return problem.dtype, problem.steps, problem.flags, groups


def one_tensor(dtype: Dtype, param: np.ndarray | Generated, grads: list, hyper: Hyper = PLAIN) -> Problem:
    """A problem of one group of one tensor; grads may hold None."""
    numel = param.numel if isinstance(param, Generated) else param.size
    flags = frozenset({"large"} if isinstance(param, Generated) else ())
    return Problem(dtype, 0, len(grads), flags, (Group(hyper, (Tensor(numel, param, tuple(grads)),)),))


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
    return comparable([[[param, buffer * ~mask if mask.any() else buffer, grad] for (param, buffer, grad), mask in zip(states, masks)]
                       for states, masks in zip(outcome, chance)])
