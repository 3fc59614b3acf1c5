"""exactsgd.SGD: torch.optim.SGD whose arithmetic is C's (torch/optim/sgd.py).

Groups, hooks, state, loading and pickling stay those of torch.optim.Optimizer; a step reads the live groups, hands params,
gradients and momentum buffers to the library, and tells autograd which of them were written.
"""

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim.optimizer import Optimizer, ParamsT

from ._core import Engine, Unsupported
from .fallback import reason_to_fall_back, step_in_torch
from .settings import (
    DEFECTS, OLDER, Gathered, adopt_sparse, empty_buffer, gather, make_engine, threads_of_torch, threads_to_use, writes_grads,
)

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with the bits of torch.optim.SGD 2.13 on this machine's CPU.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of param groups, as for every torch.optim.Optimizer.  Any shape, 0-dim and
            empty included, any strides; float64, float32, float16, bfloat16, complex64, complex128 on the CPU.  What else PyTorch
            can step, PyTorch does: see `exactsgd.fallback`.
        lr: learning rate, a number or a tensor of one element.
        momentum: factor of the momentum buffer; 0 keeps no state.
        dampening: the gradient enters the momentum buffer times 1 - dampening, but for the first time.
        weight_decay: L2 penalty.
        nesterov: Nesterov momentum; needs a momentum and no dampening.
        maximize: climb instead of descend.
        foreach, fused: which of PyTorch's implementations gives the bits; None, None: the for-loop, as PyTorch chooses on a CPU.
        differentiable: let autograd record the step (PyTorch then computes it).
        defects: "fix" computes what SGD should give where PyTorch 2.13 has a known defect (pytorch#191763: fused float16 and
            bfloat16 never update params in blocks of 16 elements; fused steps of non-contiguous tensors pair elements by
            storage); "reproduce" gives PyTorch's bits there too.

    Raises:
        ValueError, TypeError, RuntimeError: with PyTorch's texts.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        defects: Literal["fix", "reproduce"] = "fix",
    ) -> None:
        if defects not in DEFECTS:
            raise ValueError(f'defects must be "fix" or "reproduce", not {defects!r}')
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for name, value in ("learning rate", lr), ("momentum value", momentum), ("weight_decay value", weight_decay):
            if value < 0.0:
                raise ValueError(f"Invalid {name}: {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        self._defects: str = defects
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })
        self._engine()
        if fused:
            self._step_supports_amp_scaling = True
            self._need_device_dtype_check_for_fused = True
            if differentiable:
                raise RuntimeError("`fused` does not support `differentiable`")
            if foreach:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    @property
    def defects(self) -> str:
        """"fix" or "reproduce"; kept by copies and pickles."""
        return getattr(self, "_defects", "fix")

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_defects": self.defects}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in OLDER.items():
                group.setdefault(key, value)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch._disable_dynamo  # type: ignore[attr-defined]
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of all params that have a gradient.

        Args:
            closure: evaluates the model again and returns the loss; runs with gradients enabled.

        Returns:
            What the closure returned, or None.

        Raises:
            What PyTorch raises, with its texts.  Unlike there, a group whose step the library refuses is unchanged.
        """
        enabled, differentiable = torch.is_grad_enabled(), self.defaults["differentiable"]
        torch._C._set_grad_enabled(differentiable)
        try:
            loss = None
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
            self._step_groups()
            return loss
        finally:
            torch._C._set_grad_enabled(enabled)

    def _step_groups(self) -> None:
        engine, torch_threads, threads = self._engine(), threads_of_torch(), threads_to_use()
        grad_scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        looks_first = torch.is_grad_enabled() or torch._C._len_torch_dispatch_stack()
        for number, group in enumerate(self.param_groups):
            if group["fused"] and getattr(self, "_need_device_dtype_check_for_fused", True):
                gather(self, group)
            reason = reason_to_fall_back(*gather(self, group), group) if looks_first else ""
            rest: Gathered | None = None
            if not reason:
                try:
                    written, rest = engine.step_group(
                        number, group, self.state, torch_threads, threads, grad_scale, found_inf,
                        writes_grads(group, grad_scale), empty_buffer, adopt_sparse,
                    )
                    increment_version(written)
                    reason = "tensors that share memory" if rest else ""
                except Unsupported as why:
                    reason = str(why)
            if reason:
                self._step_in_torch(reason, rest or gather(self, group), group, grad_scale, found_inf)

    def _step_in_torch(
        self, reason: str, gathered: Gathered, group: dict[str, Any], grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> None:
        params, grads, buffers = gathered
        before = list(buffers)
        step_in_torch(reason, params, grads, buffers, group, grad_scale, found_inf)
        for param, old, buffer in zip(params, before, buffers):
            if buffer is not old:
                self.state[param]["momentum_buffer"] = buffer

    def _engine(self) -> Engine:
        """The C side, made with the optimizer; copies and pickles make their own when they first step."""
        engine: Engine | None = self.__dict__.get("_engine_handle")
        if engine is None:
            engine = self._engine_handle = make_engine(self.defects)
        return engine
