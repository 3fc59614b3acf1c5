from collections.abc import Callable, Sequence
from typing import Any

version: str

class Unsupported(ValueError):
    """The library does not take these tensors or options; nothing has changed."""

class Engine:
    """Which bits to compute, and memory that steps reuse.  Steps may run in several threads at once."""

    def __new__(cls, contract: str, defects: str, plain: tuple[type, ...] | None) -> Engine:
        """`contract` and `defects`: names of the C library's ("torch-2.13/cpu-fma"; "fix", "reproduce").
        `plain`: the types of tensors that are taken, None: everything with `__dlpack__`."""

    def step(
        self,
        params: Sequence[Any],
        grads: Sequence[Any],
        momentum_buffers: list[Any],
        group: dict[str, Any],
        torch_threads: int,
        threads: int,
        grad_scale: Any,
        found_inf: Any,
        allocate: Callable[[Any, tuple[int, ...], tuple[int, ...]], Any],
        adopt: Callable[[Any, Any, Any, tuple[int, ...], bool], Any] | None,
        /,
    ) -> int:
        """One step of one param group, whose options `group` holds (foreign keys are not looked at).

        `momentum_buffers`: one for each param, None where there is none yet, which this replaces by a new one from
        `allocate(grad, shape, strides in elements)`; an empty list where momentum is 0.
        `adopt(tensor or None, indices, values, shape, coalesced)` gives a COO tensor the value that two DLPack capsules hold, or
        makes a new one, and returns it; None: no sparse gradients.
        Returns how many params were stepped: all, or, where params share memory and are taken one after the other, those before
        one that the library does not take.
        Releases the GIL.  Raises PyTorch's exceptions, or Unsupported; nothing has changed then."""
