"""Data pools: what a tensor and its gradients are made of, as bit patterns."""

import numpy as np

from .dtypes import Dtype, decode, encode
from .hyper import Hyper

POOLS = ("normal", "wide", "subnormal", "cancel", "zero", "inf", "overflow", "nan")

Draw = tuple[np.ndarray, list[np.ndarray]]


def draw(pool: str, rng: np.random.Generator, dtype: Dtype, numel: int, steps: int, hyper: Hyper) -> Draw:
    """A parameter, shape (numel,), and `steps` gradients of the same shape from one pool."""
    if pool == "cancel":
        return _cancelling(rng, dtype, numel, steps, hyper)
    if pool == "overflow":
        return _overflowing(rng, dtype, numel, steps, hyper)
    elements = ELEMENTS[pool]
    return elements(rng, dtype, numel), [elements(rng, dtype, numel) for _ in range(steps)]


def strew(pool: str, rng: np.random.Generator, dtype: Dtype, data: Draw) -> Draw:
    """Replaces about one element in ten of each array, and at least one, by elements of the pool."""
    param, grads = data
    return _strew_one(pool, rng, dtype, param), [_strew_one(pool, rng, dtype, grad) for grad in grads]


def _strew_one(pool: str, rng: np.random.Generator, dtype: Dtype, bits: np.ndarray) -> np.ndarray:
    chosen = rng.random(bits.size) < 0.1
    if bits.size:
        chosen[rng.integers(bits.size)] = True
    return np.where(chosen, ELEMENTS[pool](rng, dtype, bits.size), bits)


def _normal(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    return encode(dtype, rng.standard_normal(numel) * rng.choice([1.0, 0.25, 0.01]))


def _fields(rng: np.random.Generator, dtype: Dtype, numel: int, lowest: int, highest: int) -> np.ndarray:
    """Any sign and mantissa, exponent fields from lowest to highest."""
    exponent = rng.integers(lowest, highest + 1, numel)
    return dtype.pack(rng.integers(0, 2, numel), exponent, rng.integers(0, 1 << dtype.mantissa_bits, numel))


def _wide(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    return _fields(rng, dtype, numel, 0, dtype.exponent_all_ones - 1)


def _subnormal(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    """Half subnormal, half so small that a product with a hyper-parameter is subnormal."""
    return np.where(rng.random(numel) < 0.5, _fields(rng, dtype, numel, 0, 0), _fields(rng, dtype, numel, 1, 6))


def _zero(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    """Zeros of both signs, and one in four a small integer."""
    zeros = dtype.pack(rng.integers(0, 2, numel), 0, 0)
    return np.where(rng.random(numel) < 0.25, encode(dtype, rng.integers(-2, 3, numel).astype(float)), zeros)


def _inf(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    """Infinities among normal numbers and zeros."""
    infinities = dtype.pack(rng.integers(0, 2, numel), dtype.exponent_all_ones, 0)
    others = np.where(rng.random(numel) < 0.25, _zero(rng, dtype, numel), _normal(rng, dtype, numel))
    return np.where(rng.random(numel) < 0.3, infinities, others)


def _huge(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    return _fields(rng, dtype, numel, dtype.exponent_all_ones - 2, dtype.exponent_all_ones - 1)


def _nan(rng: np.random.Generator, dtype: Dtype, numel: int) -> np.ndarray:
    """NaNs of both signs, quiet and signalling, with any payload, among infinities and normal numbers."""
    payload = rng.integers(1, 1 << dtype.mantissa_bits, numel)
    quiet_bit = 1 << (dtype.mantissa_bits - 1)
    payload = np.where(rng.random(numel) < 0.2, quiet_bit, payload)
    nans = dtype.pack(rng.integers(0, 2, numel), dtype.exponent_all_ones, payload)
    return np.where(rng.random(numel) < 0.35, nans, _inf(rng, dtype, numel))


def _cancelling(rng: np.random.Generator, dtype: Dtype, numel: int, steps: int, hyper: Hyper) -> Draw:
    """Gradients that undo the parameter, the weight decay or the buffer up to a last bit or two."""
    param = _normal(rng, dtype, numel)
    p = decode(dtype, param)
    sign = -1.0 if hyper.maximize else 1.0
    grads: list[np.ndarray] = []
    for step in range(steps):
        if step and hyper.momentum:
            exact = -decode(dtype, grads[-1]) * hyper.momentum / max(1 - hyper.dampening, 0.125)
        elif hyper.lr and rng.random() < 0.7:
            exact = sign * p / hyper.lr
        else:
            exact = -sign * hyper.weight_decay * p
        bits = encode(dtype, exact)
        nudged = np.where((bits << 1).astype(dtype.uint) > 2, bits ^ rng.integers(0, 2, numel).astype(dtype.uint), bits)
        grads.append(nudged)
    return param, grads


def _overflowing(rng: np.random.Generator, dtype: Dtype, numel: int, steps: int, hyper: Hyper) -> Draw:
    """Numbers near the largest, most of them of signs that let the update grow."""
    param = _huge(rng, dtype, numel)
    sign_bit = dtype.uint.type(1 << (dtype.width - 1))
    outward = (param & sign_bit) ^ (sign_bit if not hyper.maximize else dtype.uint.type(0))
    grads = []
    for _ in range(steps):
        grad = _huge(rng, dtype, numel)
        grads.append(np.where(rng.random(numel) < 0.75, (grad & ~sign_bit) | outward, grad))
    return param, grads


ELEMENTS = {"normal": _normal, "wide": _wide, "subnormal": _subnormal, "zero": _zero, "inf": _inf, "overflow": _huge, "nan": _nan}
"""The pools whose elements are independent of each other."""
