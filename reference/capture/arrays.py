"""Arrays that a vector file need not store: inputs made from a seed, outputs known by their hash."""

from dataclasses import dataclass

import numpy as np
import xxhash

from .dtypes import Dtype

STORED_LIMIT = 4096
"""Arrays of more elements are generated (inputs) or hashed (outputs)."""


@dataclass(frozen=True)
class Generated:
    """`numel` normal numbers between 2^-12 and 2^4 in magnitude that follow from `seed`."""

    seed: int
    numel: int

    def bits(self, dtype: Dtype) -> np.ndarray:
        """Shape (numel * parts,), unsigned integers of the dtype's width."""
        counter = np.arange(1, self.numel * dtype.parts + 1, dtype=np.uint64)
        z = splitmix64(np.uint64(self.seed) + counter * np.uint64(0x9E3779B97F4A7C15))
        exponent = np.uint64(dtype.bias - 12) + (z >> np.uint64(52)) % np.uint64(16)
        mantissa = z & np.uint64((1 << dtype.mantissa_bits) - 1)
        return dtype.pack(z >> np.uint64(63), exponent, mantissa)


@dataclass(frozen=True)
class Hashed:
    """The XXH3 hash of an array of `numel` elements."""

    hash: int
    numel: int


def splitmix64(z: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64, modulo 2^64, elementwise."""
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def hash_bits(bits: np.ndarray) -> int:
    """XXH3 with 64 bits and seed 0 over the elements' little-endian bytes."""
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(bits).tobytes())


def as_bits(dtype: Dtype, values: np.ndarray | Generated) -> np.ndarray:
    """The bit patterns of an input, shape (numel * parts,), whichever way it is held."""
    return values.bits(dtype) if isinstance(values, Generated) else values
