"""Steps torch.optim.SGD over one problem.  The only module that imports torch."""

from collections.abc import Iterator

import numpy as np
import torch

from .arrays import as_bits
from .dtypes import Dtype
from .problems import Problem

FLOATS = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
INTEGERS = {64: (torch.int64, np.int64), 32: (torch.int32, np.int32), 16: (torch.int16, np.int16)}
FLAGS_OF_PATH = {
    "forloop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}

TensorState = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]
"""Bits of the parameter, of the momentum buffer (None: the state has none) and of `p.grad` (None: it is None), each (numel,)."""


def steps_of(problem: Problem, path: str) -> Iterator[list[TensorState]]:
    """After every step the state of every tensor.  Raises whatever PyTorch raises."""
    dtype = problem.dtype
    params = [torch.nn.Parameter(to_torch(dtype, as_bits(dtype, tensor.param))) for tensor in problem.tensors]
    optimizer = torch.optim.SGD(_param_groups(problem, params), **FLAGS_OF_PATH[path])
    for step in range(problem.steps):
        for param, tensor in zip(params, problem.tensors, strict=True):
            grad = tensor.grads[step]
            param.grad = None if grad is None else to_torch(dtype, as_bits(dtype, grad))
        optimizer.step()
        buffers = [optimizer.state.get(param, {}).get("momentum_buffer") for param in params]
        yield [(from_torch(dtype, param), _bits_or_none(dtype, buffer), _bits_or_none(dtype, param.grad))
               for param, buffer in zip(params, buffers, strict=True)]


def _param_groups(problem: Problem, params: list[torch.nn.Parameter]) -> list[dict]:
    remaining = iter(params)
    return [{"params": [next(remaining) for _ in group.tensors], **vars(group.hyper)} for group in problem.groups]


def to_torch(dtype: Dtype, bits: np.ndarray) -> torch.Tensor:
    """A new tensor with these bits, shape (numel,); goes by integers, so that no NaN is touched."""
    return torch.from_numpy(bits.view(INTEGERS[dtype.width][1]).copy()).view(FLOATS[dtype.name])


def from_torch(dtype: Dtype, tensor: torch.Tensor) -> np.ndarray:
    """A copy of the tensor's bits, shape (numel,)."""
    return tensor.detach().view(INTEGERS[dtype.width][0]).numpy().view(dtype.uint).copy()


def _bits_or_none(dtype: Dtype, tensor: torch.Tensor | None) -> np.ndarray | None:
    return None if tensor is None else from_torch(dtype, tensor)


def prepare(threads: int) -> None:
    """Sets the thread count and makes sure that subnormal numbers are kept."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def provenance() -> dict[str, str]:
    """What computes here: attributes of the file, and the capability that PyTorch took."""
    lines = [line.strip(" -") for line in torch.__config__.show().splitlines()]
    build = [line for line in lines if line.startswith(("GCC", "C++ Version", "Build settings"))]
    return {
        "torch_version": torch.__version__,
        "torch_commit": torch.version.git_version,
        "torch_build": "; ".join(build),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
