"""exactsgd.sgd: one step over arrays whose state the caller keeps.  Needs no PyTorch."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from ._core import Engine, Unsupported

__all__ = ["sgd"]

_engines: dict[tuple[str, str], Engine] = {}


def _engine(contract: str, defects: str) -> Engine:
    key = contract, defects
    if key not in _engines:
        _engines[key] = Engine(contract, defects, None)
    return _engines[key]


def _allocate_numpy(grad: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """An array with these strides, in elements, which leave no holes."""
    import numpy

    order = sorted(range(len(shape)), key=lambda i: (-strides[i], i))
    inverse = sorted(range(len(shape)), key=order.__getitem__)
    return numpy.empty([shape[i] for i in order], grad.dtype).transpose(inverse)


def _allocate(grad: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """A new momentum buffer from the library that the gradient belongs to."""
    if type(grad).__module__.partition(".")[0] == "numpy":
        return _allocate_numpy(grad, shape, strides)
    if hasattr(grad, "__array_namespace__"):
        return grad.__array_namespace__().empty_like(grad)
    if hasattr(grad, "new_empty_strided"):  # PyTorch
        return grad.new_empty_strided(shape, strides)
    raise TypeError(f"no momentum buffer can be made for {type(grad).__name__}: pass one of zeros, or empty_like=")


def sgd(
    params: Sequence[Any],
    grads: Sequence[Any],
    momentum_buffers: list[Any] | None = None,
    *,
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    foreach: bool | None = None,
    fused: bool | None = None,
    grad_scale: Any = None,
    found_inf: Any = None,
    contract: str = "torch-2.13/cpu-fma",
    defects: Literal["fix", "reproduce"] = "fix",
    torch_threads: int = 1,
    threads: int = 0,
    empty_like: Callable[[Any], Any] | None = None,
) -> None:
    """One SGD step, in place.

    Args:
        params: arrays with ``__dlpack__``, writable host memory, of any shape and strides; float64, float32, float16, bfloat16,
            complex64 or complex128.  They must not overlap.
        grads: one array of the param's shape and dtype for each param; None where there is none.
        momentum_buffers: one array of the param's shape and dtype for each param, or None where there is none yet; new ones are
            put into this list.  May be left out only where momentum is 0.
        lr, momentum, dampening, weight_decay, nesterov, maximize: as in torch.optim.SGD.
        foreach, fused: which of PyTorch's implementations gives the bits; the for-loop where both are None.
        grad_scale, found_inf: float32 arrays of one element, for fused: gradients are divided by the first, and written back; the
            step is left out where the second is exactly 1.
        contract: whose bits ("torch-2.13/cpu-fma": PyTorch 2.13 on a CPU with AVX2, "torch-2.13/cpu-base": without).
        defects: "fix", or "reproduce" for PyTorch's bits where it has a known defect (pytorch#191763).
        torch_threads: the torch.get_num_threads() whose bits are meant; matters for 16-bit and complex arrays of 32768
            elements or more.
        threads: how many threads compute, 0: as many as OpenMP likes; changes no bit.
        empty_like: makes a momentum buffer for a gradient, where its library is not known here.

    Raises:
        ValueError, TypeError, RuntimeError, NotImplementedError, AssertionError: with PyTorch's texts where it has one.
        Unsupported: arrays that the library does not take.
        Nothing has changed then.
    """
    if len(params) != len(grads) or (momentum_buffers is not None and len(momentum_buffers) != len(params)):
        raise ValueError("params, grads and momentum_buffers must be of one length")
    if momentum != 0 and momentum_buffers is None:
        raise TypeError("with momentum, momentum_buffers must be a list")
    group = {
        "lr": float(lr), "momentum": float(momentum), "dampening": float(dampening), "weight_decay": float(weight_decay),
        "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "fused": fused,
    }
    chosen = [i for i, grad in enumerate(grads) if grad is not None]
    buffers = [momentum_buffers[i] for i in chosen] if momentum_buffers is not None and momentum != 0 else []
    allocate = _allocate if empty_like is None else lambda grad, shape, strides: empty_like(grad)
    done = _engine(contract, defects).step(
        [params[i] for i in chosen], [grads[i] for i in chosen], buffers, group, torch_threads, threads, grad_scale,
        found_inf, allocate, None,
    )
    if done < len(chosen):
        raise Unsupported(f"array {chosen[done]} shares memory with another, and the library does not take it")
    for i, buffer in zip(chosen, buffers):
        if momentum_buffers is not None:
            momentum_buffers[i] = buffer
