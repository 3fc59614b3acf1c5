"""The floating-point formats as bit patterns: numpy knows neither bfloat16 nor payloads, so all data is kept as unsigned integers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Dtype:
    """A binary interchange format with one sign bit; `code` is its number in the file format.

    An element of a complex dtype is two numbers of `width` bits, real part first; arrays of bits hold numbers, not elements.
    """

    name: str
    code: int
    width: int
    mantissa_bits: int
    parts: int = 1

    @property
    def uint(self) -> np.dtype:
        """The unsigned integer type of the same width."""
        return np.dtype(f"<u{self.width // 8}")

    @property
    def exponent_bits(self) -> int:
        return self.width - 1 - self.mantissa_bits

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def exponent_all_ones(self) -> int:
        """The exponent field of infinities and NaNs."""
        return (1 << self.exponent_bits) - 1

    @property
    def max_finite(self) -> float:
        return float(decode(self, np.array([(self.exponent_all_ones << self.mantissa_bits) - 1], self.uint))[0])

    def pack(self, sign, exponent, mantissa) -> np.ndarray:
        """Bit patterns from integer fields (arrays or scalars that broadcast); fields must be in range."""
        sign, exponent, mantissa = (np.asarray(field).astype(np.uint64) for field in (sign, exponent, mantissa))
        bits = sign << np.uint64(self.width - 1) | exponent << np.uint64(self.mantissa_bits) | mantissa
        return bits.astype(self.uint)


F64 = Dtype("f64", 0, 64, 52)
F32 = Dtype("f32", 1, 32, 23)
F16 = Dtype("f16", 2, 16, 10)
BF16 = Dtype("bf16", 3, 16, 7)
C64 = Dtype("c64", 4, 32, 23, parts=2)
C128 = Dtype("c128", 5, 64, 52, parts=2)
DTYPES = (F64, F32, F16, BF16)
"""The real ones."""
COMPLEX = (C64, C128)
BY_NAME = {dtype.name: dtype for dtype in DTYPES + COMPLEX}
I64 = Dtype("i64", 16, 64, 0)
"""Indices of sparse tensors: as wide as said, no number format."""
BY_CODE = {dtype.code: dtype for dtype in (*DTYPES, *COMPLEX, I64)}


def round_to(dtype: Dtype, value: float) -> float:
    """The number of the dtype nearest to a finite one."""
    return float(decode(dtype, encode(dtype, np.array([value])))[0])


def encode(dtype: Dtype, values: np.ndarray) -> np.ndarray:
    """Finite float64 values, shape (n,), as bit patterns; clipped to the finite range.  bf16 goes through float32."""
    values = np.clip(np.asarray(values, np.float64), -dtype.max_finite, dtype.max_finite)
    if dtype is BF16:
        wide = values.astype(np.float32).view(np.uint32)
        return ((wide + np.uint32(0x7FFF) + (wide >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    return values.astype(f"<f{dtype.width // 8}").view(dtype.uint)


def decode(dtype: Dtype, bits: np.ndarray) -> np.ndarray:
    """Bit patterns, shape (n,), as float64; exact for every number."""
    if dtype is BF16:
        return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return bits.view(f"<f{dtype.width // 8}").astype(np.float64)
