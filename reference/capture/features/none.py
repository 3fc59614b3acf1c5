"""Gradients that are None in some steps: such tensors are left alone, and make no momentum buffer."""

import numpy as np

from ..dtypes import Dtype
from ..model import Group, Problem
from ..problems import Builder, draw_presence, draw_size, draw_tensor_counts
from .drawing import draw_changes, draw_pool, hyper_of, rng_of


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    """In every second problem no step has to make some buffers and keep others, which the fused path refuses."""
    rng = rng_of("none", seed, index, dtype)
    steps = int(rng.integers(2, 6))
    builder = Builder(rng, dtype, index, steps, {"none"})
    counts = draw_tensor_counts(rng, lowest=2)
    present = draw_presence(rng, steps, sum(counts), ("never", "gap", "step") if index % 2 else ("late", "scattered", "step"))
    columns = iter(present.T)
    groups = []
    for number, count in enumerate(counts):
        hyper = hyper_of(rng, index + 5 * number)
        changes = draw_changes(rng, hyper, steps) if rng.random() < 0.25 else ()
        tensors = [builder.tensor(draw_size(rng), draw_pool(rng), hyper) for _ in range(count)]
        groups.append(Group(hyper, tuple(tensor.without(next(columns)) for tensor in tensors), changes))
    return builder.problem(groups, "none")
