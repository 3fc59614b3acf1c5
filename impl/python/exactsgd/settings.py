"""What both classes for PyTorch share: contract, threads, what a step gathers, memory for the library."""

import functools
import os
from typing import Any

import torch
import torch.utils.dlpack
from torch import Tensor
from torch.optim.optimizer import Optimizer, _device_dtype_check_for_fused

from ._core import Engine

PLAIN_TENSORS = (torch.nn.Parameter, torch.Tensor)
"""Types whose tensors are memory and nothing else."""

DEFECTS = ("fix", "reproduce")

OLDER: dict[str, Any] = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}
"""What groups of older versions lack, and get when they are unpickled or loaded."""

_process = os.getpid()


@functools.cache
def contract() -> str:
    """The name of the bits that this PyTorch computes on this machine."""
    return "torch-2.13/cpu-base" if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else "torch-2.13/cpu-fma"


def make_engine(defects: str) -> Engine:
    """An engine for PyTorch's tensors.  Raises ValueError for `defects` other than "fix" and "reproduce"."""
    return Engine(contract(), defects, PLAIN_TENSORS)


def threads_of_torch() -> int:
    """torch.get_num_threads(), which decides bits: where PyTorch's chunks of 16-bit and complex tensors begin."""
    return torch.get_num_threads()


def threads_to_use() -> int:
    """How many threads compute, which decides none.  One in a forked child, where OpenMP's team is gone."""
    return torch.get_num_threads() if os.getpid() == _process else 1


def empty_buffer(grad: torch.Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
    """Memory for a momentum buffer."""
    return grad.new_empty_strided(shape, strides)


def adopt_sparse(
    old: torch.Tensor | None, indices: object, values: object, shape: tuple[int, ...], coalesced: bool
) -> torch.Tensor:
    """A COO tensor like the library's; where there is an old one, that one gets its value."""
    from_dlpack = torch.utils.dlpack.from_dlpack
    new = torch.sparse_coo_tensor(from_dlpack(indices), from_dlpack(values), shape, check_invariants=False,
                                  is_coalesced=coalesced)
    return new.clone() if old is None else old.copy_(new)


def lend_tensor(capsule: object) -> torch.Tensor:
    """A dense tensor over memory of the library's."""
    return torch.utils.dlpack.from_dlpack(capsule)


Gathered = tuple[list[Tensor], list[Tensor], list[Tensor | None]]
"""Params, gradients, momentum buffers."""


def gather(optimizer: Optimizer, group: dict[str, Any]) -> Gathered:
    """Params with a gradient, the gradients, and the momentum buffers, if there are to be any (SGD._init_group)."""
    params: list[Tensor] = []
    grads: list[Tensor] = []
    buffers: list[Tensor | None] = []
    has_momentum = bool(group["momentum"] != 0)
    for param in group["params"]:
        grad = param.grad
        if grad is None:
            continue
        if group["fused"] and getattr(optimizer, "_need_device_dtype_check_for_fused", True):
            _device_dtype_check_for_fused(param)
            optimizer._need_device_dtype_check_for_fused = False  # type: ignore[attr-defined]
        params.append(param)
        grads.append(grad)
        if has_momentum:
            buffers.append(optimizer.state[param].get("momentum_buffer"))
    return params, grads, buffers


def writes_grads(group: dict[str, Any], grad_scale: Tensor | None) -> bool:
    """Whether a step leaves something in p.grad, as PyTorch does."""
    if group["foreach"]:
        return bool(group["nesterov"] and group["momentum"] != 0 and not group["maximize"] and group["weight_decay"] == 0)
    if group["fused"]:
        return grad_scale is not None
    weight_decay = group["weight_decay"]
    return isinstance(weight_decay, Tensor) and weight_decay.requires_grad and not group["maximize"]
