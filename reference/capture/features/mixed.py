"""Several dtypes in one param group, and steps in which some tensors have a momentum buffer and others do not.

torch/optim/sgd.py, _multi_tensor_sgd: a dtype's list with a buffer missing goes through a Python loop whose mul_ reads momentum as
float; other dtypes' lists do not.  Options change between steps, so that momentum may come and go.
"""

from ..dtypes import COMPLEX, DTYPES, Dtype
from ..model import Group, Problem
from ..problems import Builder, draw_presence, draw_size
from .drawing import draw_changes, draw_pool, hyper_of, rng_of


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    """In two of three problems of a real dtype the fused path can run: no complex dtypes, and buffers that all come at once."""
    rng = rng_of("mixed", seed, index, dtype)
    steps = int(rng.integers(2, 6))
    builder = Builder(rng, dtype, index, steps)
    whole = dtype in DTYPES and index % 3 != 0
    others = DTYPES if whole else DTYPES + COMPLEX
    count = int(rng.integers(2, 7))
    dtypes = [dtype, *(dtype if rng.random() < 0.4 else others[rng.integers(len(others))] for _ in range(count - 1))]
    hyper = hyper_of(rng, index + index // 16)
    changes = draw_changes(rng, hyper, steps) if rng.random() < 0.6 else ()
    tensors = [builder.tensor(draw_size(rng), draw_pool(rng), hyper, dtype=each) for each in dtypes]
    if not whole:
        builder.flags.add("none")
        present = draw_presence(rng, steps, count, ("late", "scattered"))
        tensors = [tensor.without(column) for tensor, column in zip(tensors, present.T)]
    return builder.problem([Group(hyper, tuple(tensors), changes)], "mixed")
