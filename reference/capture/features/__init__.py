"""Problems by the feature of torch.optim.SGD that they show; `plain` is the optimizer without any."""

from collections.abc import Iterator

from ..dtypes import COMPLEX, DTYPES, Dtype
from ..model import Problem
from ..problems import generate as generate_plain
from . import amp, complex, layout, mixed, none, sparse, tensor_lr

MAKERS = {
    "plain": (generate_plain, DTYPES),
    "complex": (complex.generate, COMPLEX),
    "tensor-lr": (tensor_lr.generate, DTYPES + COMPLEX),
    "layout": (layout.generate, DTYPES + COMPLEX),
    "amp": (amp.generate, DTYPES),
    "none": (none.generate, DTYPES + COMPLEX),
    "mixed": (mixed.generate, DTYPES + COMPLEX),
    "sparse": (sparse.generate, DTYPES + COMPLEX),
}
"""For each feature the function from (seed, index, dtype) to a problem, and the dtypes it is for."""


def dtypes_of(feature: str) -> tuple[Dtype, ...]:
    return MAKERS[feature][1]


def generate(feature: str, seed: int, index: int, dtype: Dtype) -> Problem:
    """Problem number `index` (from 0) of a feature and a dtype; seed must not be negative."""
    return MAKERS[feature][0](seed, index, dtype)


def problems(seed: int, kinds: list[tuple[str, Dtype]]) -> Iterator[Problem]:
    """All problems, pairs of feature and dtype taking turns; never ends."""
    index = 0
    while True:
        for feature, dtype in kinds:
            yield generate(feature, seed, index, dtype)
        index += 1
