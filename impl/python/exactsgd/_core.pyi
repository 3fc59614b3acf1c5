from collections.abc import Callable, Sequence
from typing import Any, NoReturn

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

    def step_group(
        self,
        number: int,
        group: dict[str, Any],
        state: dict[Any, Any],
        torch_threads: int,
        threads: int,
        grad_scale: Any,
        found_inf: Any,
        writes_grads: bool,
        allocate: Callable[[Any, tuple[int, ...], tuple[int, ...]], Any],
        adopt: Callable[[Any, Any, Any, tuple[int, ...], bool], Any],
        /,
    ) -> tuple[list[Any], tuple[list[Any], list[Any], list[Any]] | None]:
        """step() for group["params"] that have a gradient, with momentum buffers in `state`.

        `number` says which group of its optimizer it is: what its last step found out is believed where it still holds.
        `writes_grads`: whether gradients are written, too.
        Returns the tensors that were written, new buffers left out, and what was not stepped, as step() may leave some:
        params, gradients, buffers; None where all were."""

    def prepare(
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
    ) -> list[Any]:
        """What step() would do first, and nothing of the step: the new momentum buffers, None for params that need none.
        Raises what step() raises before its arithmetic."""

class Optimizer:
    """sgd_optimizer.  Python brings groups and state up to date before it asks for anything.  Errors are PyTorch's."""

    def __new__(
        cls,
        defaults: dict[str, Any],
        groups: list[tuple[list[Any], list[str | None] | None, dict[str, Any], list[bool] | None]],
        contract: str,
        defects: str,
        torch_threads: int,
        threads: int,
        plain: tuple[type, ...],
        lend: Callable[[object], Any],
        adopt: Callable[[Any, Any, Any, tuple[int, ...], bool], Any],
        warn: Callable[[str], object],
        /,
    ) -> Optimizer:
        """`groups`: params, their names, values, which of them are not leaves.  `lend` makes a tensor of a DLPack capsule."""

    def set_groups(
        self, groups: list[tuple[list[Any], list[str | None] | None, dict[str, Any], list[bool] | None]], /
    ) -> None: ...
    def add_group(self, group: tuple[list[Any], list[str | None] | None, dict[str, Any], list[bool] | None], /) -> str:
        """add_param_group; returns what is to be warned of, or ""."""

    def groups(self) -> list[dict[str, Any]]:
        """Values of all groups, without params."""

    def set_defaults(self, defaults: dict[str, Any], /) -> None: ...
    def text(self, class_name: str, /) -> str: ...
    def set_state(self, tensor: int, values: dict[str, Any] | None, /) -> None:
        """State of a param, counted over all groups; None: it has none."""

    def state(self, tensor: int, /) -> dict[str, Any] | None: ...
    def set_other_state(self, entries: dict[Any, dict[str, Any]], /) -> None: ...
    def other_state(self) -> dict[Any, dict[str, Any]]: ...
    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any, /) -> None: ...
    def add_hook(self, kind: int, callable: Callable[[Any], Any], prepend: bool, /) -> int:
        """Kinds are those of sgd_hook_kind.  Step hooks get the step's host, state hooks the state dict (their answer, where
        not None, replaces it), the others None."""

    def remove_hook(self, handle: int, /) -> None: ...
    def step(
        self, host: object, closure: Callable[[], Any], collect: Callable[[], tuple[list[Any], list[Any], Any, Any]], /
    ) -> tuple[Any]:
        """Hooks, closure, `collect` (gradients, memory for momentum buffers, one a param or None; grad_scale, found_inf), step,
        hooks.  Returns the closure's value."""

    def zero_grad(self, grads: list[Any], set_to_none: bool, /) -> None:
        """Zeroes gradients, or replaces them by None in the list."""

def refuse(name: str, detail: str | None = None, more: str | None = None, /) -> NoReturn:
    """Raises the error of refusals.def of this name."""

def set_global_hooks(pre: Callable[[Any], object], post: Callable[[Any], object], /) -> None:
    """What runs before and after every step of every Optimizer, with its host."""
