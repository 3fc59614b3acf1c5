"""The arithmetic of torch.optim.SGD on CUDA as read from the machine code of torch 2.13.0+cu130, by PyTorch's CPU operations.

`add(z, x, a)` is one fused multiply-add a*x + z: torch.add with alpha is that for float32 and float64 on CPUs with FMA.  NaNs are a
class here; their payloads are not modelled.  `exceptions` (sm_75 to sm_90) are two places where nvcc fused another product:

    E1  aligned, no grad_scale, maximize, no weight decay, not the first step; f32, f16, bf16: b = fma(m, b, round((1-d)*g))
    E2  aligned, grad_scale; f32, and f64 without momentum: p = round(p - round(lr*g)) for elements i with i % 4 != 3
"""

import numpy as np
import torch

from .running import INTEGERS, TORCH_DTYPES
from .runs import WIDTHS, Run, State


def states_of(run: Run, exceptions: bool) -> list[State]:
    """What the contract says is in `.grad`, parameter and buffer after every step."""
    param = _load(run, run.param)
    buffer = None if run.buffer is None else _load(run, run.buffer)
    if run.lr_is_tensor == 2 and run.path == "forloop" and run.dtype[0] == "c":
        raise NotImplementedError("complex addcmul is compiled at run time and was not read")
    step = _fused if run.path == "fused" else _eager
    states = []
    for grad, found_inf in zip(run.grads, run.found_inf):
        grad = _load(run, grad)
        if run.momentum and buffer is None and found_inf == 1.0:
            buffer = torch.zeros_like(grad)
        elif found_inf != 1.0:
            grad, param, buffer = step(run, grad, param, buffer, exceptions)
        states.append(tuple(_store(run, value) for value in (grad, param, torch.zeros_like(param) if buffer is None else buffer)))
    return states


def _load(run: Run, words: np.ndarray) -> torch.Tensor:
    """Values; complex numbers as pairs, shape (numel, 2)."""
    flat = torch.from_numpy(words.view(INTEGERS[WIDTHS[run.dtype]][1]).copy())
    if run.dtype[0] == "c":
        return flat.view(torch.float32 if run.dtype == "c64" else torch.float64).view(-1, 2)
    return flat.view(TORCH_DTYPES[run.dtype])


def _store(run: Run, values: torch.Tensor) -> np.ndarray:
    return values.reshape(-1).view(INTEGERS[WIDTHS[run.dtype]][0]).numpy().view(run.uint).copy()


def _scalar(dtype: torch.dtype, value: float) -> float:
    """The value in the format that the device computes in."""
    return value if dtype == torch.float64 else float(np.float32(value))


def add(z: torch.Tensor, x: torch.Tensor, a: float) -> torch.Tensor:
    """a*x + z with one rounding; shape and dtype of z."""
    return torch.add(z.contiguous(), x.contiguous(), alpha=a)


def _fused(run: Run, grad, param, buffer, exceptions):
    work = torch.float64 if run.dtype == "f64" else torch.float32
    lr, momentum, decay, dampening = (_scalar(work, value) for value in (run.lr, run.momentum, run.weight_decay, run.dampening))
    if run.lr_is_tensor:
        lr = float(np.float32(run.lr))
    keep = _scalar(work, 1 - dampening)
    g, p = grad.to(work), param.to(work)
    if run.grad_scale is not None:
        g = g / torch.tensor(run.grad_scale, dtype=torch.float32).to(work)
        grad = g.to(grad.dtype)
    if run.maximize:
        g = -g
    if decay:
        g = add(g, p, decay)
    special = exceptions and run.is_aligned
    if run.momentum:
        if buffer is None:
            b = g
        elif special and run.grad_scale is None and run.maximize and not decay and run.dtype != "f64":
            b = add(g * keep, buffer.to(work), momentum)
        else:
            b = add(buffer.to(work) * momentum, g, keep)
        g = add(g, b, momentum) if run.nesterov else b
        buffer = b.to(param.dtype)
    updated = add(p, g, -lr)
    if special and run.grad_scale is not None and (run.dtype == "f32" or run.dtype == "f64" and not run.momentum):
        apart = torch.arange(run.numel) % 4 != 3
        updated = torch.where(apart, p - g * lr, updated)
    return grad, updated.to(param.dtype), buffer


def _eager(run: Run, grad, param, buffer, exceptions):
    """for-loop and foreach: one kernel, and one rounding to the dtype, per operation."""
    work = torch.float64 if run.dtype in ("f64", "c128") else torch.float32
    lr = float(np.float32(run.lr)) if run.lr_is_tensor else run.lr

    def axpy(z, x, a):
        a = _scalar(work, a)
        return z + _complex_product(x, a, real_first=exceptions) if run.dtype[0] == "c" else add(z.to(work), x.to(work), a).to(z.dtype)

    def scale(x, a):
        a = _scalar(work, a)
        if run.dtype[0] == "c":
            return _complex_product(x, a, real_first=exceptions and run.path == "forloop")
        return (x.to(work) * a).to(x.dtype)

    g = -grad if run.maximize else grad
    if run.weight_decay:
        g = axpy(g, param, run.weight_decay)
    if run.momentum:
        buffer = g.clone() if buffer is None else axpy(scale(buffer, run.momentum), g, 1 - run.dampening)
        direction = axpy(g, buffer, run.momentum) if run.nesterov else buffer
        if run.nesterov and run.path == "foreach" and not run.maximize and not run.weight_decay:
            grad = direction
        g = direction
    if run.lr_is_tensor == 2 and run.path == "forloop":
        product = g.to(work) * _scalar(work, lr)
        return grad, (param.to(work) - product).to(param.dtype), buffer
    return grad, axpy(param, g, -lr), buffer


def _complex_product(x: torch.Tensor, a: float, real_first: bool) -> torch.Tensor:
    """(a + 0i) * x for pairs x, shape (numel, 2); `real_first` tells which product of the imaginary part is the fused one."""
    real, imaginary = x[:, 0], x[:, 1]
    return torch.stack([add(-(imaginary * 0.0), real, a),
                        add(real * 0.0, imaginary, a) if real_first else add(imaginary * a, real, 0.0)], -1)
