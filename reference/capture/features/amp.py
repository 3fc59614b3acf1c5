"""Mixed precision: what torch.amp.GradScaler hands to a fused step, grad_scale and found_inf.

A fused step divides the gradient by grad_scale and stores it; found_inf == 1 skips the step.  On a step that makes a buffer that would
leave uninitialised memory in the state, see ../../vectors/defects.json, so found_inf is never 1 there.
"""

import numpy as np

from ..dtypes import Dtype
from ..hyper import Hyper
from ..model import Group, Problem, Scaling
from ..problems import Builder, draw_size
from .drawing import draw_changes, draw_pool, hyper_of, rng_of

SCALES = (65536.0, 1024.0, 2.0, 1.0, 3.0, 0.1, 1e-3, 7.5, 0.0, float("inf"))
SCALE_WEIGHTS = (0.25, 0.15, 0.1, 0.05, 0.15, 0.1, 0.08, 0.08, 0.02, 0.02)
INFS = (0.0, 1.0, -0.0, 0.5, 2.0, -1.0, float("nan"))
INF_WEIGHTS = (0.45, 0.25, 0.06, 0.06, 0.06, 0.06, 0.06)
"""Everything but exactly 1 is a usual step."""


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    rng = rng_of("amp", seed, index, dtype)
    steps = int(rng.integers(2, 6))
    builder = Builder(rng, dtype, index, steps)
    hyper = hyper_of(rng, index)
    changes = draw_changes(rng, hyper, steps) if rng.random() < 0.25 else ()
    tensors = tuple(builder.tensor(draw_size(rng), draw_pool(rng), hyper) for _ in range(rng.integers(1, 4)))
    group = Group(hyper, tensors, changes)
    return builder.problem([group], "amp", _draw_scaling(rng, group, steps))


def _draw_scaling(rng: np.random.Generator, group: Group, steps: int) -> tuple[Scaling, ...]:
    kind = rng.choice(["both", "scale", "inf"], p=[0.7, 0.15, 0.15])
    result, has_buffer = [], False
    for step in range(steps):
        scale = float(np.float32(rng.choice(SCALES, p=SCALE_WEIGHTS)))
        inf = float(rng.choice(INFS, p=INF_WEIGHTS))
        if inf == 1 and _makes_buffer(group.hyper_at(step), has_buffer):
            inf = 0.0
        has_buffer |= group.hyper_at(step).momentum != 0
        result.append(Scaling(None if kind == "inf" else scale, None if kind == "scale" else inf))
    return tuple(result)


def _makes_buffer(hyper: Hyper, has_buffer: bool) -> bool:
    return hyper.momentum != 0 and not has_buffer
