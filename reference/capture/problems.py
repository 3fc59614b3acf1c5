"""The plain problems, and the builder that all problems are made with.

Deterministic in (seed, index, dtype), made without torch, so that every child process makes the same ones.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .arrays import STORED_LIMIT, Generated, as_bits
from .dtypes import Dtype
from .hyper import STAGES, Hyper, draw_hyper
from .model import Group, Layout, Problem, Scaling, Tensor
from .pools import POOLS, draw, strew

SMALL_SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 39, 40, 47, 48, 49, 63, 64, 65, 70, 95, 96, 97, 127, 128, 129)
"""Both sides of every vector width, its multiples, and lengths with a long tail."""
SPLIT_SIZES = (33, 39, 47, 49, 63, 65, 70, 97)
"""Lengths that have a vector body and a tail for every width in use."""
MIDDLE_SIZES = (255, 256, 257, 519, 1023, 1024, 1037)
LARGE_SIZES = (32767, 32768, 32769, 65536, 65543, 65544, 98321)
"""Both sides of the number of elements from which PyTorch splits a tensor among threads, and cuts at odd places."""

PERIOD = 64
LARGE_PLACE = 7
NONE_PLACES = (3, 13, 21, 29, 35, 45, 53, 61)
"""Of every PERIOD problems one has large tensors and eight have gradients that are None; the others cover, then roam."""
SMALL_POOL_WEIGHTS = (0.62, 0.08, 0.05, 0.07, 0.04, 0.03, 0.03, 0.08)
"""How often a problem that does not cover draws each of POOLS."""


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    """Problem number `index` (from 0) of the dtype; seed must not be negative."""
    rng = np.random.Generator(np.random.PCG64([seed, dtype.code, index]))
    block, place = divmod(index, PERIOD)
    if place == LARGE_PLACE:
        return _large(rng, dtype, index, block)
    if place in NONE_PLACES:
        return _with_none(rng, dtype, index)
    number = _covering_number(index)
    if number < len(STAGES) * len(POOLS):
        return _covering(rng, dtype, index, number)
    return _roaming(rng, dtype, index)


def _covering_number(index: int) -> int:
    """How many problems before this one were neither large nor with None gradients."""
    block, place = divmod(index, PERIOD)
    special = sorted((LARGE_PLACE, *NONE_PLACES))
    return block * (PERIOD - len(special)) + place - sum(other < place for other in special)


def _covering(rng: np.random.Generator, dtype: Dtype, index: int, number: int) -> Problem:
    """Problem `number` of all stage combinations times all data pools: two or three steps, so first and later steps alike."""
    pool_number, stage_number = divmod(number, len(STAGES))
    lead_pool = POOLS[pool_number]
    hyper = draw_hyper(rng, STAGES[stage_number])
    if lead_pool == "overflow":
        hyper = replace(hyper, lr=float(rng.choice([1.0, 3.14159, 100.0])))
    steps = int(rng.integers(2, 4))
    builder = Builder(rng, dtype, index, steps)
    lead = builder.tensor(int(rng.choice(SPLIT_SIZES)), lead_pool, hyper, mixed=False)
    others = [builder.tensor(draw_size(rng), "normal", hyper, mixed=False) for _ in range(rng.integers(0, 3))]
    return builder.problem([Group(hyper, (lead, *others))])


def _roaming(rng: np.random.Generator, dtype: Dtype, index: int) -> Problem:
    """A random problem: 1 to 5 steps, 1 to 6 tensors in 1 or 2 groups, any stages, any pools."""
    steps = int(rng.choice([1, 2, 3, 4, 5], p=[0.2, 0.3, 0.25, 0.15, 0.1]))
    builder = Builder(rng, dtype, index, steps)
    groups = []
    for count in draw_tensor_counts(rng, lowest=1):
        hyper = draw_hyper(rng, STAGES[rng.integers(len(STAGES))])
        pool = str(rng.choice(POOLS, p=SMALL_POOL_WEIGHTS))
        groups.append(Group(hyper, tuple(builder.tensor(draw_size(rng), pool, hyper) for _ in range(count))))
    return builder.problem(groups)


def _with_none(rng: np.random.Generator, dtype: Dtype, index: int) -> Problem:
    """Two to five steps over tensors of which some have no gradient in some steps."""
    steps = int(rng.integers(2, 6))
    builder = Builder(rng, dtype, index, steps)
    counts = draw_tensor_counts(rng, lowest=2)
    present = draw_presence(rng, steps, sum(counts))
    columns = iter(present.T)
    groups = []
    for count in counts:
        hyper = draw_hyper(rng, STAGES[rng.integers(len(STAGES))])
        tensors = (builder.tensor(draw_size(rng), "normal", hyper) for _ in range(count))
        groups.append(Group(hyper, tuple(tensor.without(next(columns)) for tensor in tensors)))
    builder.flags.add("none")
    return builder.problem(groups)


def _large(rng: np.random.Generator, dtype: Dtype, index: int, block: int) -> Problem:
    """One large tensor, or two, beside small ones; 1 to 3 steps."""
    steps = 1 + block % 3
    builder = Builder(rng, dtype, index, steps)
    hyper = draw_hyper(rng, STAGES[(5 * block + 11) % len(STAGES)])
    tensors = [builder.large_tensor(LARGE_SIZES[block % len(LARGE_SIZES)])]
    if block % 4 == 3:
        tensors.append(builder.large_tensor(LARGE_SIZES[(block + 3) % len(LARGE_SIZES)]))
    for _ in range(rng.integers(1, 3)):
        tensors.insert(rng.integers(len(tensors) + 1), builder.tensor(draw_size(rng), "normal", hyper))
    return builder.problem([Group(hyper, tuple(tensors))])


@dataclass
class Builder:
    """Draws tensors for one problem and remembers what they are made to show."""

    rng: np.random.Generator
    dtype: Dtype
    index: int
    steps: int
    flags: set[str] = field(default_factory=set)

    def tensor(self, numel: int, pool: str, hyper: Hyper, mixed: bool = True, dtype: Dtype | None = None) -> Tensor:
        """A small tensor from the pool; if mixed, one `normal` tensor in eight gets special elements strewn in."""
        dtype = dtype or self.dtype
        data = draw(pool, self.rng, dtype, numel * dtype.parts, self.steps, hyper)
        if pool == "normal" and mixed and self.rng.random() < 0.125:
            pool = str(self.rng.choice(["wide", "subnormal", "zero", "inf", "overflow", "nan"]))
            data = strew(pool, self.rng, dtype, data)
        if pool != "normal":
            self.flags.add(pool)
        return Tensor(dtype, numel, data[0], tuple(data[1]))

    def large_tensor(self, numel: int) -> Tensor:
        """A tensor whose data follows from seeds."""
        if numel <= STORED_LIMIT:
            raise ValueError(f"{numel} elements are stored, not generated")
        self.flags.add("large")
        param, *grads = (Generated(int(seed), numel) for seed in self.rng.integers(0, 2**64, self.steps + 1, np.uint64))
        return Tensor(self.dtype, numel, param, tuple(grads))

    def laid_out(self, layout: Layout, grad_layouts: list[Layout], pool: str, hyper: Hyper) -> Tensor:
        """A tensor, small or large, whose elements lie as said; what several elements share has one value."""
        tensor = self.large_tensor(layout.numel) if layout.numel > STORED_LIMIT else self.tensor(layout.numel, pool, hyper)
        grads = tuple(_shared(tensor.dtype, grad, where) for grad, where in zip(tensor.grads, grad_layouts, strict=True))
        return replace(tensor, grads=grads, layout=layout, grad_layouts=tuple(grad_layouts))

    def problem(self, groups: list[Group], feature: str = "plain", scaling: tuple[Scaling, ...] = ()) -> Problem:
        return Problem(self.dtype, self.index, self.steps, frozenset(self.flags), tuple(groups), feature, scaling)


def _shared(dtype: Dtype, values: np.ndarray | Generated, layout: Layout) -> np.ndarray | Generated:
    """The values with those of an expanded tensor's first row, or column, in every one."""
    if not layout.overlaps:
        return values
    first = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in layout.strides)
    shaped = as_bits(dtype, values).reshape(*layout.shape, dtype.parts)
    return np.broadcast_to(shaped[first], shaped.shape).reshape(-1)


def draw_size(rng: np.random.Generator) -> int:
    return int(rng.choice(MIDDLE_SIZES if rng.random() < 0.015 else SMALL_SIZES))


def draw_tensor_counts(rng: np.random.Generator, lowest: int) -> list[int]:
    """How many tensors each group has: one or two groups, six tensors at most in all."""
    count = max(lowest, int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])))
    if count > 1 and rng.random() < 0.4:
        first = int(rng.integers(1, count))
        return [first, count - first]
    return [count]


def draw_presence(rng: np.random.Generator, steps: int, count: int, kinds=("never", "gap", "late", "scattered")) -> np.ndarray:
    """Booleans of shape (steps, count), at least one of them False: which gradients there are.

    Never: one tensor has none at all.  Gap: some are missing after the first step.  Step: a whole step has none.  Late: one comes after
    the others.  Scattered: any.  Late and scattered ones let buffers that exist meet buffers that do not.
    """
    kind = rng.choice(kinds)
    present = np.ones((steps, count), bool)
    chosen = rng.integers(count)
    if kind == "never":
        present[:, chosen] = False
    elif kind == "gap":
        present[1:] = rng.random((steps - 1, count)) < 0.6
        present[rng.integers(1, steps), chosen] = False
    elif kind == "step":
        present[rng.integers(steps)] = False
    elif kind == "late":
        present[: rng.integers(1, steps), chosen] = False
    else:
        present = rng.random((steps, count)) < 0.7
        present[rng.integers(steps), chosen] = False
    return present
