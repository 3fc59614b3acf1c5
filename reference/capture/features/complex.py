"""complex64 and complex128: the plain problems over them, each number an independent draw.

Real hyper-parameters become (a, 0), and the zero products are computed: infinities in one part make NaNs in the other.
"""

from dataclasses import replace

from ..dtypes import Dtype
from ..model import Problem
from ..problems import generate as generate_plain


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    return replace(generate_plain(seed, index, dtype), feature="complex")
