"""Runs made for a CUDA device: what the problems of ../problems.py have not, deterministic in the seed, made without torch."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from ..dtypes import BY_NAME, Dtype
from ..hyper import STAGES, Hyper, draw_hyper
from ..pools import POOLS, draw
from .runs import BUFFER, PARAM, Run

REAL, COMPLEX = ("f64", "f32", "f16", "bf16"), {"c64": "f32", "c128": "f64"}
SCALES = (2.0, 3.0, 65536.0, 1.7000000476837158, 0.0010000000474974513)
FOUND = (0.0, 0.0, 1.0, 2.0, 0.5)
SIZES = (1, 2, 3, 4, 4, 5, 7, 8, 8, 12, 16, 17)
"""Multiples of four and others: the fused kernel's two paths."""
POOL_WEIGHTS = (0.36, 0.12, 0.1, 0.22, 0.05, 0.05, 0.05, 0.05)
"""How often a feature run draws each of POOLS."""


def micro() -> Iterator[tuple[str, Run, int, int]]:
    """Name, run, then what the first element must become with the exceptions E1 and E2 and without: its parameter, E1: its buffer."""
    cases = {
        "E2 f32": ("f32", 0x3F33988B, 0xBF61F24E, 0x3F3EE4A8, 0x3F3EE4A9),
        "E2 f64": ("f64", 0x3FE52BCB6EB8DAC2, 0x3FFBDDCEBBE32072, 0x3FE26269F5888AB6, 0x3FE26269F5888AB7),
        "E1 f32": ("f32", 0x3FBD3192, 0x3F78C0A7, 0x3EB7978B, 0x3EB7978A),
        "E1 f16": ("f16", 0xBD39, 0xBCB3, 0x8CCD, 0x8CCC),
        "E1 bf16": ("bf16", 0x3F3E, 0x3F2B, 0xB298, 0x0000),
    }
    for (name, (dtype, start, grad, special, plain)), (place, numel, misaligned) in product(
            cases.items(), (("aligned", 4, 0), ("numel 3", 3, 0), ("misaligned", 4, PARAM))):
        def filled(bits: int) -> np.ndarray:
            return np.full(numel, bits, BY_NAME[dtype].uint)

        if name.startswith("E2"):
            run = Run(dtype, "fused", numel, 0.1, 0.0, 0.0, 0.0, False, False, filled(start), (filled(grad),), grad_scale=2.0,
                      found_inf=(None,), misaligned=misaligned, kind="micro")
        else:
            run = Run(dtype, "fused", numel, 0.1, 0.9, 0.0, 0.0, False, True, filled(0), (filled(grad),), filled(start),
                      found_inf=(None,), misaligned=misaligned, kind="micro")
        yield f"{name} {place}", run, special if run.is_aligned else plain, plain


def nan_grid() -> Iterator[Run]:
    """Every combination of a number, an infinity and three NaNs in parameter, gradient and buffer; on all paths, in one step."""
    for name, path, numel in product(REAL, ("fused", "foreach", "forloop"), (128, 127)):
        dtype = BY_NAME[name]
        param, grad, buffer = (np.resize(part, numel) for part in _grid(dtype))
        for maximize, decay, stage, scale in product((False, True), (0.0, 0.1), ("none", "plain", "nesterov"), (None, 2.0)):
            if scale and path != "fused":
                continue
            momentum = 0.0 if stage == "none" else 0.9
            run = Run(name, path, numel, 0.1, momentum, 0.0, decay, stage == "nesterov", maximize, param, (grad,), grad_scale=scale,
                      found_inf=(None,), kind="nan")
            yield run
            if momentum:
                yield replace(run, buffer=buffer)


def _grid(dtype: Dtype) -> list[np.ndarray]:
    """Three arrays of 128 bit patterns: 5 x 5 x 5 combinations, then three ones."""
    quiet, top = 1 << (dtype.mantissa_bits - 1), dtype.exponent_all_ones
    one, infinity = dtype.pack(0, dtype.bias, 0), dtype.pack(0, top, 0)
    nans = dtype.pack(0, top, quiet | 0x15), dtype.pack(0, top, 0x2A), dtype.pack(1, top, quiet | 0x19)
    combinations = product(np.array([one, infinity, *nans], dtype.uint), repeat=3)
    return [np.concatenate([np.array(column), np.full(3, one, dtype.uint)]) for column in zip(*combinations, strict=True)]


def features(seed: int, rounds: int) -> Iterator[Run]:
    """`rounds` times every stage combination on every path and dtype with each of the options that `problems` knows nothing of."""
    for dtype, path in product((*REAL, *COMPLEX), ("fused", "foreach", "forloop")):
        if path == "fused" and dtype in COMPLEX:
            continue
        rng = np.random.Generator(np.random.PCG64([seed, (*REAL, *COMPLEX).index(dtype), len(path)]))
        for _, stages, option in product(range(rounds), STAGES, _options(dtype, path)):
            hyper = draw_hyper(rng, stages)
            yield _feature(rng, dtype, path, hyper, option)


def _options(dtype: str, path: str) -> tuple[str, ...]:
    if path == "fused":
        return "plain", "misaligned", "scale", "scale-misaligned", "found", "tensor-lr", "tensor-lr-scale"
    eager = ("misaligned", "tensor-lr", "tensor-lr-with-grad")
    return ("plain", *eager) if dtype in COMPLEX else eager


def _feature(rng: np.random.Generator, dtype: str, path: str, hyper: Hyper, option: str) -> Run:
    numel, steps = int(rng.choice(SIZES)), int(rng.integers(1, 4))
    real = BY_NAME[COMPLEX.get(dtype, dtype)]
    words = numel * (2 if dtype in COMPLEX else 1)
    param, grads = draw(str(rng.choice(POOLS, p=POOL_WEIGHTS)), rng, real, words, steps, hyper)
    buffer = None
    if hyper.momentum and rng.random() < 0.4:
        buffer = draw("normal", rng, real, words, 1, hyper)[0]
    scaled, found = "scale" in option or option == "found", option == "found"
    return Run(dtype, path, numel, **vars(hyper), param=param, grads=tuple(grads), buffer=buffer,
               lr_is_tensor=2 if option == "tensor-lr-with-grad" else int("tensor-lr" in option),
               grad_scale=float(rng.choice(SCALES)) if scaled else None,
               found_inf=tuple(float(rng.choice(FOUND)) if found else None for _ in range(steps)),
               misaligned=int(rng.integers(1, 1 + PARAM + 2 + BUFFER)) if "misaligned" in option else 0)


def long_runs(seed: int, count: int) -> Iterator[Run]:
    """Feature runs over many elements, two chunks of the multi-tensor kernels and more; too long to be stored."""
    rng = np.random.Generator(np.random.PCG64([seed, 99]))
    for number in range(count):
        dtype = (*REAL, *COMPLEX)[number % 6]
        path = ("fused", "foreach", "forloop")[number // 6 % 3]
        if path == "fused" and dtype in COMPLEX:
            continue
        options = _options(dtype, path)
        stages = STAGES[int(rng.integers(len(STAGES)))]
        small = _feature(rng, dtype, path, draw_hyper(rng, stages), options[int(rng.integers(len(options)))])
        numel = int(rng.choice((65532, 65536, 65540, 65541, 131076, 131079)))
        words = numel * (2 if dtype in COMPLEX else 1)
        real = BY_NAME[COMPLEX.get(dtype, dtype)]
        hyper = Hyper(small.lr, small.momentum, small.dampening, small.weight_decay, small.nesterov, small.maximize)
        param, grads = draw(("normal", "wide", "cancel")[number % 3], rng, real, words, len(small.grads), hyper)
        yield replace(small, numel=numel, param=param, grads=tuple(grads),
                      buffer=None if small.buffer is None else draw("normal", rng, real, words, 1, hyper)[0])
