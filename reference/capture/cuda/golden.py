"""The capture's own problems on a device: all paths, several tensors and groups, None gradients, large tensors; as ../store.py has them."""

from unittest import mock

import numpy as np

from .. import stepping
from ..allowed import can_run
from ..arrays import STORED_LIMIT, Hashed, as_bits, hash_bits
from ..features import dtypes_of, generate
from ..model import Problem
from ..plan import PATHS, Run
from ..store import VectorFile
from . import model, runs
from .judging import Tally

FEATURES = {"plain": 1, "none": 4, "mixed": 4, "amp": 4, "complex": 4}
"""Those that need no layout, and the divisor of the number of problems."""


def capture(seed: int, count: int, device: str, capability: str, exceptions: bool) -> tuple[VectorFile, int, Tally]:
    """The first `count` problems of each real dtype and some of each feature as a file, the number of its cases, and how plain and complex
    ones compare with the model."""
    file, cases, tally = VectorFile(), 0, Tally()
    for feature, dtype in ((feature, dtype) for feature in FEATURES for dtype in dtypes_of(feature)):
        for index in range(count // FEATURES[feature]):
            problem = generate(feature, seed, index, dtype)
            outcomes = {path: _outcome(problem, path, device) for path in PATHS if can_run(problem, path, threads=1)}
            if feature in ("plain", "complex"):
                for path, outcome in outcomes.items():
                    _judge(tally, problem, path, outcome, exceptions)
            file.add(problem, [Run(path, capability, 1) for path in outcomes], [_kept(outcome) for outcome in outcomes.values()])
            cases += len(outcomes)
    return file, cases, tally


def _outcome(problem: Problem, path: str, device: str) -> list:
    """For each step and tensor its state: stepping.py's steps with its tensors moved to the device and back."""
    to_torch, from_torch = stepping.to_torch, stepping.from_torch
    with (mock.patch.object(stepping, "to_torch", lambda *values: to_torch(*values).to(device)),
          mock.patch.object(stepping, "from_torch", lambda dtype, tensor: from_torch(dtype, tensor.detach().cpu()))):
        return list(stepping.steps_of(problem, path))


def _kept(outcome: list) -> list:
    """Large arrays by their hash."""
    return [[[Hashed(hash_bits(part), part.size) if isinstance(part, np.ndarray) and part.size > STORED_LIMIT else part for part in state]
             for state in states] for states in outcome]


def _judge(tally: Tally, problem: Problem, path: str, outcome: list, exceptions: bool) -> None:
    """Compares each tensor that has all its gradients, as a run of its own: tensors do not see each other."""
    hypers = [group.hyper for group in problem.groups for _ in group.tensors]
    for number, (hyper, tensor) in enumerate(zip(hypers, problem.tensors, strict=True)):
        if any(grad is None for grad in tensor.grads):
            continue
        param, *grads = (as_bits(problem.dtype, values) for values in (tensor.param, *tensor.grads))
        run = runs.Run(problem.dtype.name, path, tensor.numel, **vars(hyper), param=param, grads=tuple(grads),
                       found_inf=(None,) * len(grads))
        found = [(states[number][2], states[number][0], np.zeros_like(param) if states[number][1] is None else states[number][1])
                 for states in outcome]
        tally.add(run, found, model.states_of(run, exceptions))
