"""Steps that PyTorch's own torch.optim.sgd.sgd() takes instead of the C library, counted by reason.

They are: tensor subclasses; tensors without host memory of their own (meta, fake, other devices, functorch's); layouts other than
strided and COO; tensors of inference mode, or negated or conjugated lazily; dtypes that the library does not have; params,
gradients or buffers that differ in shape or dtype, or share memory (but for the same parameter twice, or views of one storage
in the for-loop and fused of exactsgd.SGD, unless their gradients are sparse); options that are neither int, float nor a plain
tensor; a float64 tensor as momentum beside a narrower param without dimensions; differentiable=True where something requires grad,
so that autograd has to record the step; and anything under a dispatch mode.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd as torch_sgd

_counts: Counter[str] = Counter()


def fallback_counts() -> dict[str, int]:
    """How often a param group's step went to PyTorch, by reason, since the process began."""
    return dict(_counts)


def reason_to_fall_back(params: list[Tensor], grads: list[Tensor], buffers: list[Tensor | None], group: dict[str, Any]) -> str:
    """What only the host can see; "" for nothing."""
    if torch._C._len_torch_dispatch_stack():
        return "a dispatch mode is active"
    if torch.is_grad_enabled():
        inputs = [*params, *grads, *buffers, *(group[key] for key in ("lr", "weight_decay", "momentum", "dampening"))]
        if any(isinstance(value, Tensor) and value.requires_grad for value in inputs):
            return "autograd records the step"
    return ""


def step_in_torch(
    reason: str, params: list[Tensor], grads: list[Tensor], buffers: list[Tensor | None], group: dict[str, Any],
    grad_scale: Tensor | None, found_inf: Tensor | None,
) -> None:
    """The step of a param group by PyTorch itself; raises what PyTorch raises."""
    _counts[reason] += 1
    torch_sgd(
        params, grads, buffers, has_sparse_grad=any(grad.is_sparse for grad in grads),
        foreach=group["foreach"], fused=group["fused"], grad_scale=grad_scale, found_inf=found_inf,
        weight_decay=group["weight_decay"], momentum=group["momentum"], lr=group["lr"], dampening=group["dampening"],
        nesterov=group["nesterov"], maximize=group["maximize"],
    )
