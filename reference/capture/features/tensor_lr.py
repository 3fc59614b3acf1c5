"""Hyper-parameters given as tensors: lr always, the others now and then, changed in place between steps.

torch/optim/sgd.py reads a tensor with item(), but for lr and weight_decay that require grad, which the for-loop hands to addcmul_, and
for momentum, which goes to mul_ as it is.  A 0-dim parameter takes part in the promotion of dtypes there, so there are some.
"""

from dataclasses import replace

import numpy as np

from ..dtypes import BF16, F16, F32, F64, Dtype, round_to
from ..hyper import Hyper
from ..model import SCALARS, Group, Problem, Scalar, Tensor, contiguous
from ..problems import Builder, draw_size
from .drawing import draw_changes, draw_pool, hyper_of, rng_of

FLOATS = (F64, F32, F16, BF16)


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    rng = rng_of("tensor-lr", seed, index, dtype)
    steps = int(rng.integers(2, 5))
    builder = Builder(rng, dtype, index, steps)
    hyper = hyper_of(rng, index)
    scalars = _draw_scalars(rng, hyper)
    changes = draw_changes(rng, hyper, steps) if rng.random() < 0.5 else ()
    changes = tuple(_representable(_same_kind(change, hyper), scalars) for change in changes)
    tensors = tuple(_tensor(builder, hyper) for _ in range(rng.integers(1, 4)))
    return builder.problem([Group(_representable(hyper, scalars), tensors, changes, scalars)], "tensor-lr")


def _draw_scalars(rng: np.random.Generator, hyper: Hyper) -> tuple[tuple[str, Scalar], ...]:
    def draw(*weights: float) -> Dtype:
        return FLOATS[rng.choice(len(FLOATS), p=weights)]

    scalars = [("lr", Scalar(draw(0.35, 0.35, 0.15, 0.15), int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1])), bool(rng.random() < 0.5)))]
    if hyper.momentum and rng.random() < 0.3:
        scalars.append(("momentum", Scalar(draw(0.4, 0.4, 0.1, 0.1))))
    if hyper.dampening and rng.random() < 0.3:
        scalars.append(("dampening", Scalar(draw(0.5, 0.5, 0.0, 0.0))))
    if hyper.weight_decay and rng.random() < 0.4:
        scalars.append(("weight_decay", Scalar(draw(0.35, 0.35, 0.15, 0.15), 0, bool(rng.random() < 0.4))))
    return tuple(scalars)


def _same_kind(change: Hyper, hyper: Hyper) -> Hyper:
    """The change with the momentum and weight decay of `hyper` where that has, or lacks, them: a tensor stays one."""
    return replace(change, **{name: getattr(hyper, name) for name in ("momentum", "dampening", "weight_decay", "nesterov")
                              if not getattr(change, name) or not getattr(hyper, name)})


def _representable(hyper: Hyper, scalars: tuple[tuple[str, Scalar], ...]) -> Hyper:
    """Each value that a tensor holds rounded to the tensor's dtype."""
    return replace(hyper, **{name: round_to(scalar.dtype, getattr(hyper, name)) for name, scalar in scalars if name in SCALARS})


def _tensor(builder: Builder, hyper: Hyper) -> Tensor:
    pool = draw_pool(builder.rng)
    if builder.rng.random() < 0.2:
        return builder.laid_out(contiguous(), [contiguous()] * builder.steps, pool, hyper)
    return builder.tensor(draw_size(builder.rng), pool, hyper)
