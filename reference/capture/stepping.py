"""Steps torch.optim.SGD over one problem.  The only module that imports torch."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch

from .arrays import Generated, as_bits
from .dtypes import Dtype
from .model import SCALARS, Group, Layout, Problem, Sparse, contiguous

FLOATS = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "c64": torch.complex64,
          "c128": torch.complex128}
INTEGERS = {64: (torch.int64, np.int64), 32: (torch.int32, np.int32), 16: (torch.int16, np.int16)}
FLAGS_OF_PATH = {
    "forloop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}

TensorState = tuple[np.ndarray, np.ndarray | Sparse | None, np.ndarray | Sparse | None, Layout | None]
"""Bits of the parameter, of the momentum buffer (None: the state has none) and of `p.grad` (None: it is None), in row-major order,
or sparse tensors, and the buffer's layout (None: one-dimensional and contiguous, or no buffer)."""


def steps_of(problem: Problem, path: str) -> Iterator[list[TensorState]]:
    """After every step the state of every tensor.  Raises whatever PyTorch raises."""
    tensors = problem.tensors
    params = [torch.nn.Parameter(to_torch(tensor.dtype, tensor.param, tensor.layout)) for tensor in tensors]
    remaining = iter(params)
    optimizer = torch.optim.SGD([{"params": [next(remaining) for _ in group.tensors], **_options(group)} for group in problem.groups],
                                **FLAGS_OF_PATH[path])
    for step in range(problem.steps):
        for group, options in zip(problem.groups, optimizer.param_groups, strict=True):
            _set_options(options, group, step)
        for param, tensor in zip(params, tensors, strict=True):
            grad = tensor.grads[step]
            sparse = isinstance(grad, Sparse)
            made = to_coo(tensor.dtype, grad) if sparse else None if grad is None else to_torch(tensor.dtype, grad, tensor.grad_layout(step))
            param.grad = made
        _set_scaling(optimizer, problem, step)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a tensor that requires grad becomes a number
            optimizer.step()
        yield [_state(tensor.dtype, param, optimizer.state.get(param, {}).get("momentum_buffer"))
               for param, tensor in zip(params, tensors, strict=True)]


def _options(group: Group) -> dict:
    """A param group's options before the first step."""
    options = dict(vars(group.hyper))
    for name, scalar in group.scalars:
        value = torch.full((1,) * scalar.ndim, options[name], dtype=FLOATS[scalar.dtype.name])
        options[name] = value.requires_grad_(scalar.requires_grad)
    return options


def _set_options(options: dict, group: Group, step: int) -> None:
    """Puts the step's values in place; those that are tensors keep their tensor."""
    for name, value in vars(group.hyper_at(step)).items():
        if name in SCALARS and group.scalar(name):
            options[name].detach().fill_(value)
        else:
            options[name] = value


def _set_scaling(optimizer: torch.optim.SGD, problem: Problem, step: int) -> None:
    """The attributes that torch.amp.GradScaler sets on an optimizer."""
    if problem.scaling:
        for name, value in vars(problem.scaling[step]).items():
            setattr(optimizer, name, None if value is None else torch.tensor(value, dtype=torch.float32))


def _state(dtype: Dtype, param: torch.Tensor, buffer: torch.Tensor | None) -> TensorState:
    layout = None if buffer is None or buffer.is_sparse else layout_of(buffer)
    return from_torch(dtype, param), _bits_or_none(dtype, buffer), _bits_or_none(dtype, param.grad), layout


def to_torch(dtype: Dtype, values: np.ndarray | Generated, layout: Layout | None = None) -> torch.Tensor:
    """A new tensor with these bits, in row-major order; goes by integers, so that no NaN is touched."""
    bits = as_bits(dtype, values)
    layout = layout or contiguous(bits.size // dtype.parts)
    storage = np.zeros((layout.offset + max(layout.extent, 1), dtype.parts), INTEGERS[dtype.width][1])
    steps = (*(stride * storage.strides[0] for stride in layout.strides), storage.strides[1])
    inside = np.lib.stride_tricks.as_strided(storage[layout.offset :], (*layout.shape, dtype.parts), steps)
    inside[...] = bits.view(storage.dtype).reshape(inside.shape)
    flat = torch.from_numpy(storage).view(FLOATS[dtype.name])[:, 0]
    return flat.as_strided(layout.shape, layout.strides, layout.offset)


def from_torch(dtype: Dtype, tensor: torch.Tensor) -> np.ndarray:
    """A copy of the tensor's bits, in row-major order."""
    parts = torch.view_as_real(tensor.detach()) if dtype.parts > 1 else tensor.detach()
    return parts.view(INTEGERS[dtype.width][0]).numpy().reshape(-1).view(dtype.uint).copy()


def to_coo(dtype: Dtype, sparse: Sparse) -> torch.Tensor:
    """In memory of torch's own, which foreach may resize where it adds to p.grad."""
    values = to_torch(dtype, sparse.values, contiguous(sparse.nnz, *sparse.shape[sparse.sparse_dim :])).clone()
    return torch.sparse_coo_tensor(torch.from_numpy(sparse.indices).clone(), values, sparse.shape, is_coalesced=sparse.coalesced,
                                   check_invariants=False)


def from_coo(dtype: Dtype, tensor: torch.Tensor) -> Sparse:
    """A copy; its values are contiguous, as all that follow from contiguous ones."""
    values = tensor._values()
    if not values.is_contiguous():
        raise ValueError("values of a sparse tensor are not contiguous")
    return Sparse(tuple(tensor.shape), tensor._indices().numpy().copy(), from_torch(dtype, values), tensor.is_coalesced())


def layout_of(tensor: torch.Tensor) -> Layout | None:
    layout = Layout(tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset())
    return None if layout == contiguous(tensor.numel()) else layout


def _bits_or_none(dtype: Dtype, tensor: torch.Tensor | None) -> np.ndarray | Sparse | None:
    if tensor is None:
        return None
    return from_coo(dtype, tensor) if tensor.is_sparse else from_torch(dtype, tensor)


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
