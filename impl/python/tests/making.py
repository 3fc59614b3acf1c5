"""Random tensors of every layout, made twice with the same bits."""

import random

import numpy as np
import torch

REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex64, torch.complex128)
HALF = (torch.float16, torch.bfloat16)

SHAPES = ((), (1,), (0,), (7,), (8,), (17,), (33,), (70,), (5, 7), (16, 33), (1, 9), (3, 1), (2, 3, 4), (2, 3, 4, 5), (2, 0, 3), (257,))
DETERMINED_SHAPES = ((), (1,), (0,), (7,), (15,), (24,), (5, 3), (4, 2), (3, 8), (2, 3, 4), (2, 3, 4, 5), (2, 0, 3), (252,))
"""Where pytorch#191763 leaves nothing to chance on one thread: n < 16 or n % 16 >= 8."""

DENSE_LAYOUTS = ("contiguous", "transposed", "channels_last")
LAYOUTS = (*DENSE_LAYOUTS, "step", "padded", "offset")


def values(generator: random.Random, shape: tuple[int, ...], dtype: torch.dtype, special: bool) -> torch.Tensor:
    """Of moderate size; or any bit patterns, infinities, NaNs and denormals among them."""
    numel = int(np.prod(shape))
    if special:
        size = torch.empty(0, dtype=dtype).element_size()
        raw = torch.frombuffer(bytearray(generator.randbytes(max(1, numel) * size)), dtype=dtype)
        return raw[:numel].reshape(shape).clone()
    numbers = np.random.default_rng(generator.getrandbits(32))
    parts = torch.from_numpy(numbers.standard_normal((2, numel)))
    made = torch.complex(parts[0], parts[1]) if dtype.is_complex else parts[0]
    return made.to(dtype).reshape(shape)


def lay_out(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """The same elements, in memory of their own of another layout."""
    shape = tensor.shape
    if layout == "transposed" and tensor.ndim >= 2:
        return tensor.transpose(0, -1).clone(memory_format=torch.contiguous_format).transpose(0, -1)
    if layout == "channels_last" and tensor.ndim == 4:
        return tensor.clone(memory_format=torch.channels_last)
    if layout == "step" and tensor.ndim >= 1:
        return torch.zeros(*shape[:-1], 2 * shape[-1], dtype=tensor.dtype)[..., ::2].copy_(tensor)
    if layout == "padded" and tensor.ndim >= 1:
        return torch.zeros(*shape[:-1], shape[-1] + 3, dtype=tensor.dtype)[..., : shape[-1]].copy_(tensor)
    if layout == "offset":
        return torch.zeros(tensor.numel() + 1, dtype=tensor.dtype)[1:].view(shape).copy_(tensor)
    return tensor.clone(memory_format=torch.contiguous_format)


def sparse(generator: random.Random, shape: tuple[int, ...], dtype: torch.dtype, special: bool) -> torch.Tensor:
    """A COO gradient: coalesced or not, hybrid or not, empty or not."""
    dims = generator.randint(1, len(shape))
    numel = int(np.prod(shape[:dims]))
    count = generator.choice([0, 1, 3, 9]) if numel else 0
    flat = torch.tensor([generator.randrange(numel) for _ in range(count)], dtype=torch.int64)
    indices = torch.stack(torch.unravel_index(flat, shape[:dims])) if count else torch.zeros(dims, 0, dtype=torch.int64)
    made = torch.sparse_coo_tensor(indices, values(generator, (count, *shape[dims:]), dtype, special), shape)
    return made.coalesce() if generator.random() < 0.5 and dtype is not torch.float16 else made
