"""What exactsgd.contract is made of beside the class: hooks' handles, calls of step(), groups described for C."""

import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import optimizer as torch_optimizer
from torch.utils.hooks import RemovableHandle

from . import _core

Described = tuple[list[Tensor], list[str | None] | None, dict[str, Any], list[bool] | None]


class Handle(RemovableHandle):
    """What register_..._hook returns: remove() takes the hook away."""

    def __init__(self, optimizer: Any, number: int):
        self.id = number
        self._optimizer = weakref.ref(optimizer)

    def remove(self) -> None:
        optimizer = self._optimizer()
        if optimizer is not None:
            optimizer._c.remove_hook(self.id)


class Call:
    """One call of step(), for its hooks."""

    def __init__(self, optimizer: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.optimizer = optimizer
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.written: list[Tensor] = []
        self.finished = False

    def pre(self, hook: Callable[..., Any]) -> None:
        result = hook(self.optimizer, self.args, self.kwargs)
        if result is None:
            return
        if not (isinstance(result, tuple) and len(result) == 2):
            _core.refuse("HOOK_RESULT", repr(self.function), str(result))
        self.args, self.kwargs = result

    def post(self, hook: Callable[..., Any]) -> None:
        self.finish()
        hook(self.optimizer, self.args, self.kwargs)

    def finish(self) -> None:
        """What the step wrote becomes visible, once."""
        if not self.finished:
            self.finished = True
            increment_version(self.written)
            self.optimizer._pull_state()


def _global_pre(call: Call) -> None:
    for hook in torch_optimizer._global_optimizer_pre_hooks.values():
        call.pre(hook)


def _global_post(call: Call) -> None:
    call.finish()
    call.optimizer._optimizer_step_code()
    for hook in torch_optimizer._global_optimizer_post_hooks.values():
        call.post(hook)


_core.set_global_hooks(_global_pre, _global_post)


def _same(old: Any, new: Any) -> bool:
    """Whether C gave back what it was told, numpy's floats and strings' identities included."""
    if isinstance(old, (int, float, str, list)):
        return bool(old == new) or (old != old and new != new)
    return old is new


def merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    """Brings a live dict up to date; what is the same stays the object that it is."""
    for key, value in values.items():
        if key not in into or not _same(into[key], value):
            into[key] = value


def describe(group: Any) -> Described:
    """A param group for C: params, names, values, which are not leaves; raises what only Python can see."""
    if not isinstance(group, dict):
        _core.refuse("GROUP_NOT_DICT", str(type(group)))
    given = group["params"]
    if isinstance(given, set):
        _core.refuse("PARAMS_IN_SET")
    pairs = [pair if isinstance(pair, tuple) else (None, pair)
             for pair in ([given] if isinstance(given, Tensor) else list(given))]
    for _, param in pairs:
        if not isinstance(param, Tensor):
            _core.refuse("NOT_A_TENSOR", torch.typename(param))
    names = [pair[0] for pair in pairs]
    return (
        [pair[1] for pair in pairs], names if any(name is not None for name in names) else None,
        {key: value for key, value in group.items() if key != "params"},
        [not (param.is_leaf or param.retains_grad) for _, param in pairs],
    )


def warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)
