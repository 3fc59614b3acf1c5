"""Sparse gradients: coalesced, uncoalesced and hybrid ones, some without entries, over parameters that are contiguous or not.

ATen/native/sparse/SparseTensorMath.cpp: which of its loops adds them depends on the flag, on the dense dimensions, and on how the
parameter lies in memory; momentum buffers are sparse, too, and merged or, of one entry, kept coalesced.
"""

from dataclasses import replace

import numpy as np

from ..dtypes import F16, Dtype
from ..hyper import Hyper
from ..model import Group, Problem, Sparse, Tensor, contiguous
from ..problems import Builder, draw_presence
from .drawing import draw_pool, hyper_of, rng_of
from .layout import channels_last, every_other, padded, transposed

SHAPES = (((40,), 1), ((10, 17), 1), ((9, 4), 2), ((6, 33), 1), ((6, 2, 33), 2), ((3, 4, 5), 1), ((5, 2, 3), 3), ((1, 70), 1), ((3, 2, 4, 5), 1),
          ((3, 2, 4, 5), 2))
"""A shape, and how many of its dimensions are indexed."""
FEW, MANY = (0, 1, 2, 3, 5, 8, 12), (17, 33, 90, 130)
"""How many entries a gradient has; from 17 on, those of a strided parameter are sorted by a sort that is not stable."""
LAYOUTS = (transposed, every_other, padded)


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    rng = rng_of("sparse", seed, index, dtype)
    hyper = replace(hyper_of(rng, index), weight_decay=0.0)
    steps = int(rng.integers(1, 5))
    if dtype is F16 and hyper.momentum != 0:  # PyTorch merges no float16 tensors
        hyper, steps = replace(hyper, nesterov=False), 1
    builder = Builder(rng, dtype, index, steps)
    tensors = [_tensor(builder, hyper, index + number) for number in range(rng.integers(1, 4))]
    if steps > 1 and len(tensors) > 1 and rng.random() < 0.3:
        builder.flags.add("none")
        present = draw_presence(rng, steps, len(tensors), ("never", "gap", "late"))
        tensors = [tensor.without(column) for tensor, column in zip(tensors, present.T)]
    return builder.problem([Group(hyper, tuple(tensors))], "sparse")


def _tensor(builder: Builder, hyper: Hyper, turn: int) -> Tensor:
    rng, (shape, sparse_dim) = builder.rng, SHAPES[turn % len(SHAPES)]
    pool, param = draw_pool(rng), contiguous(*shape)
    if rng.random() < 0.4:
        param = channels_last(rng, shape) if len(shape) == 4 else LAYOUTS[rng.integers(len(LAYOUTS))](rng, shape)
    made = builder.tensor(param.numel, pool, hyper)
    grads = tuple(_grad(builder, hyper, shape, sparse_dim, pool) for _ in range(builder.steps))
    return replace(made, grads=grads, layout=param)


def _grad(builder: Builder, hyper: Hyper, shape: tuple[int, ...], sparse_dim: int, pool: str) -> Sparse:
    rng, block = builder.rng, contiguous(*shape[sparse_dim:]).numel
    nnz = int(rng.choice(MANY if block < 6 and rng.random() < 0.3 else FEW))
    places = rng.integers(contiguous(*shape[:sparse_dim]).numel, size=nnz)
    coalesced = rng.random() < 0.5
    if coalesced:
        places = np.unique(places)
    indices = np.stack(np.unravel_index(places, shape[:sparse_dim])).astype(np.int64)
    values = builder.tensor(len(places) * block, pool, hyper).grads[0]
    return Sparse(shape, indices, values, coalesced)
