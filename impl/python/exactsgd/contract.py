"""exactsgd.contract.SGD: all of torch.optim.SGD in C, for verification (torch/optim/optimizer.py and sgd.py).

Every public method goes to the library's optimizer: checks, defaults, groups, hooks and their order, packing, loading, zero_grad,
text and the step.  What users see are live Python dicts all the same: before a call C is told what stands in them, afterwards
they are told what C made of it.  For speed there is exactsgd.SGD.
"""

import functools
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.autograd.profiler import record_function
from torch.optim.optimizer import Optimizer, ParamsT, _device_dtype_check_for_fused
from torch.utils.hooks import RemovableHandle

from . import _core
from .contract_parts import Call, Described, Handle, describe, merge, warn
from .fallback import reason_to_fall_back, step_in_torch
from .settings import (
    DEFECTS, OLDER, PLAIN_TENSORS, adopt_sparse, contract, empty_buffer, gather, lend_tensor, make_engine, threads_of_torch,
    threads_to_use, writes_grads,
)

__all__ = ["SGD"]

STEP_PRE, STEP_POST, STATE_PRE, STATE_POST, LOAD_PRE, LOAD_POST = range(6)


class SGD(Optimizer):
    """As exactsgd.SGD, arguments, errors and bits, with everything around the arithmetic in C too.

    Each call costs time proportional to the number of params and keys, since C is told all of it anew.
    `torch.get_num_threads()` is that of the construction.
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
        self._defects: str = defects
        self.defaults: dict[str, Any] = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._warned_capturable_if_run_uncaptured = True
        self._check_defaults()
        if isinstance(params, Tensor):
            _core.refuse("RAW_TENSOR", torch.typename(params))
        groups: list[Any] = list(params)
        if groups and not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        described = [describe(group) for group in groups]
        self._handle = self._create(self.defaults, described)
        for group, values, description in zip(groups, self._handle.groups(), described):
            self._append_group(group, description[0], values)
        if fused:
            self._step_supports_amp_scaling = True
            self._need_device_dtype_check_for_fused = True

    # ---- the C side ---------------------------------------------------------------------------------------------------

    def _create(self, defaults: dict[str, Any], groups: list[Described]) -> _core.Optimizer:
        return _core.Optimizer(defaults, groups, contract(), self._defects, threads_of_torch(), threads_to_use(),
                               PLAIN_TENSORS, lend_tensor, adopt_sparse, warn)

    def _check_defaults(self) -> None:
        """C checks options before it looks at params: that there are none is all that may be wrong."""
        try:
            self._create({**self.defaults, "differentiable": False, "fused": None}, [])
        except ValueError as error:
            try:
                _core.refuse("NO_PARAMS")
            except ValueError as expected:
                if str(error) != str(expected):
                    raise error from None

    @property
    def _c(self) -> _core.Optimizer:
        """Copies and pickles come without it and make their own."""
        handle: _core.Optimizer | None = self.__dict__.get("_handle")
        if handle is None:
            handle = self._handle = self._create({"lr": 0.0, "momentum": 0, "dampening": 0, "weight_decay": 0, **OLDER},
                                                 [([], None, {}, None)])
        return handle

    def _params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    def _push(self, left_out: Iterable[int] = ()) -> _core.Optimizer:
        """Tells C what stands in the live dicts.  Groups that are left out of a step must not make C refuse it."""
        handle = self._c
        handle.set_defaults(self.defaults)
        told = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        for number in left_out:
            told[number]["foreach"] = False
        handle.set_groups([(list(group["params"]), None, values, None) for group, values in zip(self.param_groups, told)])
        params = self._params()
        for i, param in enumerate(params):
            handle.set_state(i, self.state.get(param))
        known = set(params)
        handle.set_other_state({key: value for key, value in self.state.items() if key not in known})
        return handle

    def _pull_state(self) -> None:
        """Tells the live dicts what C has made of state."""
        for i, param in enumerate(self._params()):
            values = self._c.state(i)
            if values is None:
                self.state.pop(param, None)
                continue
            entry = self.state[param]
            for key in [key for key in entry if key not in values]:
                del entry[key]
            merge(entry, values)

    def _append_group(self, group: dict[str, Any], params: list[Tensor], values: dict[str, Any]) -> None:
        group["params"] = params
        merge(group, values)
        self.param_groups.append(group)

    # ---- groups, text, pickling ---------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a param group, with PyTorch's checks; the dict becomes the live one.

        Raises:
            TypeError, ValueError: with PyTorch's texts.
        """
        described = describe(param_group)
        warning = self._push().add_group(described)
        if warning:
            warn(warning)
        self._append_group(param_group, described[0], self._c.groups()[-1])

    def __repr__(self) -> str:
        return self._push().text(type(self).__name__)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups, "_defects": self._defects}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.defaults.setdefault("differentiable", False)
        for group in self.param_groups:
            for key, value in OLDER.items():
                group.setdefault(key, value)

    @property
    def defects(self) -> str:
        """"fix" or "reproduce"; kept by copies and pickles."""
        return self._defects

    # ---- hooks --------------------------------------------------------------------------------------------------------

    def _register(self, kind: int, run: Callable[["SGD", Any], Any], prepend: bool) -> RemovableHandle:
        """`run` gets the optimizer, which C's side must not keep alive, and what C hands to hooks of the kind."""
        this = weakref.ref(self)

        def call(payload: Any) -> Any:
            optimizer = this()
            assert optimizer is not None, "a hook runs only while its optimizer lives"
            return run(optimizer, payload)

        return Handle(self, self._c.add_hook(kind, call, prepend))

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(optimizer, args, kwargs) -> None or new (args, kwargs), before each step."""
        return self._register(STEP_PRE, lambda optimizer, call: call.pre(hook), False)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(optimizer, args, kwargs), after each step."""
        return self._register(STEP_POST, lambda optimizer, call: call.post(hook), False)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """hook(optimizer), before state_dict()."""
        def run(optimizer: "SGD", payload: Any) -> None:
            hook(optimizer)
            optimizer._push()

        return self._register(STATE_PRE, run, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """hook(optimizer, state_dict) -> None or another state dict, after state_dict()."""
        return self._register(STATE_POST, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """hook(optimizer, state_dict) -> None or another state dict, before load_state_dict()."""
        def run(optimizer: "SGD", state_dict: Any) -> Any:
            result = hook(optimizer, state_dict)
            optimizer._loading = state_dict if result is None else result
            optimizer._push()
            return result

        return self._register(LOAD_PRE, run, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """hook(optimizer), after load_state_dict()."""
        def run(optimizer: "SGD", payload: Any) -> None:
            optimizer._pull_loaded()
            hook(optimizer)

        return self._register(LOAD_POST, run, prepend)

    # ---- state dicts --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": {id: {...}}, "param_groups": [...]}; tensors are those of the optimizer, not copies."""
        result: dict[str, Any] = self._push().state_dict()
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state dict; floating params get state cast to their dtype.

        Raises:
            ValueError: another number of groups, or of params in one, with PyTorch's texts.
        """
        self._loading: Any = state_dict.copy()
        self._loaded = False
        try:
            self._push().load_state_dict(self._loading)
            self._pull_loaded()
        finally:
            del self._loading

    def _pull_loaded(self) -> None:
        """Groups and state as loaded, once: new dicts, with "params" where the loaded ones had them."""
        if self._loaded:
            return
        self._loaded = True
        groups = []
        for old, saved, values in zip(self.param_groups, self._loading["param_groups"], self._c.groups()):
            group: dict[str, Any] = {key: None for key in saved if key == "params" or key in values}
            groups.append({**group, **values, "params": old["params"]})
        self.param_groups = groups
        self.state = defaultdict(dict)
        order = {key: i for i, key in enumerate(self._loading["state"])}
        ids = [i for saved in self._loading["param_groups"] for i in saved["params"]]
        loaded = {i: (param, self._c.state(number)) for number, (i, param) in enumerate(zip(ids, self._params()))}
        found = {i: (param, entry) for i, (param, entry) in loaded.items() if entry is not None}
        others = self._c.other_state()
        for key in sorted([*found, *others], key=lambda key: order.get(key, len(order))):
            owner, values = found[key] if key in found else (key, others[key])
            self.state[owner] = values

    # ---- step and zero_grad -------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of all params that have a gradient; returns what the closure returned, or None.

        Raises:
            What PyTorch raises, with its texts; what a hook raises.
        """
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def _run_step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = Call(self, step_itself, args, kwargs)

        def closure() -> Any:
            with torch.set_grad_enabled(self.defaults["differentiable"]):
                return step_itself(*call.args, **call.kwargs)

        def collect() -> Any:
            with torch.set_grad_enabled(self.defaults["differentiable"]):
                return self._collect(call)

        with record_function(f"Optimizer.step#{type(self).__name__}.step"):
            (loss,) = self._c.step(call, closure, collect)
            call.finish()
            return loss

    def _collect(self, call: Call) -> tuple[list[Tensor | None], list[Tensor | None], Tensor | None, Tensor | None]:
        """Gradients, and memory for buffers to be made, one a param; then C is told the rest."""
        grads: list[Tensor | None] = []
        memory: list[Tensor | None] = []
        left_out: list[int] = []
        scaling = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        for number, group in enumerate(self.param_groups):
            collected = self._collect_group(group, call, *scaling)
            if collected is None:
                left_out.append(number)
                collected = [None] * len(group["params"]), [None] * len(group["params"])
            grads += collected[0]
            memory += collected[1]
        self._push(left_out)
        return (grads, memory, *scaling) if len(left_out) < len(self.param_groups) else (grads, memory, None, None)

    def _collect_group(
        self, group: dict[str, Any], call: Call, grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> tuple[list[Tensor | None], list[Tensor | None]] | None:
        """One group's; None where the library cannot take it and PyTorch has stepped it here."""
        params, grads, buffers = gather(self, group)
        reason = reason_to_fall_back(params, grads, buffers, group)
        if not reason and group["foreach"] and len(set(group["params"])) < len(group["params"]):
            reason = "tensors that share memory"
        made: list[Tensor | None] = []
        if not reason:
            try:
                made = self._engine().prepare(params, grads, buffers, group, threads_of_torch(), threads_to_use(), grad_scale,
                                              found_inf, empty_buffer, adopt_sparse)
            except _core.Unsupported as why:
                reason = str(why)
        if reason:
            step_in_torch(reason, params, grads, buffers, group, grad_scale, found_inf)
            for param, buffer in zip(params, buffers):
                self.state[param]["momentum_buffer"] = buffer
            return None
        written = [*params, *(buffer for buffer in buffers if buffer is not None)]
        call.written += written + grads if writes_grads(group, grad_scale) else written
        given = dict(zip(params, zip(grads, made)))
        return [given[p][0] if p in given else None for p in group["params"]], [
            given[p][1] if p in given else None for p in group["params"]
        ]

    def _engine(self) -> _core.Engine:
        engine: _core.Engine | None = self.__dict__.get("_engine_handle")
        if engine is None:
            engine = self._engine_handle = make_engine(self._defects)
        return engine

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Sets gradients to None, or to zeros in place."""
        with record_function(f"Optimizer.zero_grad#{type(self).__name__}.zero_grad"):
            grads = [param.grad for param in self._params()]
            for grad in grads if not set_to_none else []:
                if grad is None:
                    continue
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
            self._zero(grads, set_to_none)

    def _zero(self, grads: list[Tensor | None], set_to_none: bool) -> None:
        slots = list(grads)
        try:
            self._push().zero_grad(slots, set_to_none)
        except _core.Unsupported:  # memory that only PyTorch can reach
            slots = [None if set_to_none or grad is None else grad.zero_() for grad in grads]
        for param, old, new in zip(self._params(), grads, slots):
            if new is None and old is not None:
                param.grad = None
        increment_version([grad for grad in slots if grad is not None])

    # ---- what else the base class does --------------------------------------------------------------------------------

    _optimizer_step_code = Optimizer._optimizer_step_code

    def _patch_step_function(self) -> None:
        """Steps are wrapped already."""


step_itself = SGD.step
"""What is left of a step between its hooks: the closure; the rest is C's."""


@functools.wraps(step_itself)
def _wrapped_step(*args: Any, **kwargs: Any) -> Any:
    return args[0]._run_step(args, kwargs)


_step = torch._disable_dynamo(_wrapped_step)  # type: ignore[attr-defined]
setattr(_step, "hooked", True)
setattr(SGD, "step", _step)
