"""exactsgd.ArraySGD: an optimizer over arrays with ``__dlpack__``.  Needs no PyTorch."""

from collections.abc import Sequence
from typing import Any, Literal

from .functional import sgd

__all__ = ["ArraySGD"]

_DEFAULTS: dict[str, Any] = {
    "lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False,
    "foreach": None, "differentiable": False, "fused": None,
}


class ArraySGD:
    """SGD over NumPy arrays and anything else with ``__dlpack__``, with PyTorch's bits; gradients are handed to step().

    Args:
        params: arrays, or dicts of param groups: {"params": arrays, and options of its own}.
        options: those of torch.optim.SGD but differentiable.
        contract, defects, torch_threads, threads: see `exactsgd.sgd`.

    Attributes:
        param_groups: list of dicts with "params" and the options, read at every step, so that a schedule may write to them.
        momentum_buffers: one array per param over all groups in order, None where there is none yet.

    Raises:
        ValueError: for options, with PyTorch's texts.
    """

    def __init__(
        self,
        params: Sequence[Any],
        *,
        contract: str = "torch-2.13/cpu-fma",
        defects: Literal["fix", "reproduce"] = "fix",
        torch_threads: int = 1,
        threads: int = 0,
        **options: Any,
    ) -> None:
        unknown = sorted(options.keys() - (_DEFAULTS.keys() - {"differentiable"}))
        if unknown:
            raise TypeError(f"unknown option {unknown[0]}")
        defaults = {**_DEFAULTS, **options}
        for key, name in ("lr", "learning rate"), ("momentum", "momentum value"), ("weight_decay", "weight_decay value"):
            if defaults[key] < 0.0:
                raise ValueError(f"Invalid {name}: {defaults[key]}")
        if defaults["nesterov"] and (defaults["momentum"] <= 0 or defaults["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if defaults["fused"] and defaults["foreach"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if not len(params):
            raise ValueError("optimizer got an empty parameter list")
        groups = list(params) if isinstance(params[0], dict) else [{"params": params}]
        self.param_groups: list[dict[str, Any]] = [{**defaults, **group, "params": list(group["params"])} for group in groups]
        self.momentum_buffers: list[Any] = [None for group in self.param_groups for _ in group["params"]]
        self._how: dict[str, Any] = {
            "contract": contract, "defects": defects, "torch_threads": torch_threads, "threads": threads,
        }

    def step(self, grads: Sequence[Any], *, grad_scale: Any = None, found_inf: Any = None) -> None:
        """One step.

        Args:
            grads: one array of the param's shape and dtype for each param over all groups, None where there is none.
            grad_scale, found_inf: see `exactsgd.sgd`.

        Raises:
            What `exactsgd.sgd` raises; groups before the failing one are stepped.
        """
        if len(grads) != len(self.momentum_buffers):
            raise ValueError(f"{len(grads)} gradients for {len(self.momentum_buffers)} params")
        first = 0
        for group in self.param_groups:
            params = group["params"]
            last = first + len(params)
            buffers = self.momentum_buffers[first:last]
            options = {key: group[key] for key in _DEFAULTS if key != "differentiable"}
            sgd(params, grads[first:last], buffers, grad_scale=grad_scale, found_inf=found_inf, **options, **self._how)
            self.momentum_buffers[first:last] = buffers
            first = last

    def state_dict(self) -> dict[str, Any]:
        """The form of torch.optim.SGD's, with these arrays: {"state": {id: {"momentum_buffer": array}}, "param_groups": [...]}."""
        groups, first = [], 0
        for group in self.param_groups:
            ids = list(range(first, first + len(group["params"])))
            groups.append({**group, "params": ids})
            first += len(ids)
        state = {i: {"momentum_buffer": buffer} for i, buffer in enumerate(self.momentum_buffers) if buffer is not None}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over options and momentum buffers (not copied, as in PyTorch).

        Raises:
            ValueError: another number of groups, or of params in one, with PyTorch's texts.
        """
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(new["params"]) != len(old["params"]) for new, old in zip(groups, self.param_groups)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        ids = [i for group in groups for i in group["params"]]
        self.momentum_buffers = [state_dict["state"].get(i, {}).get("momentum_buffer") for i in ids]
        self.param_groups = [{**new, "params": old["params"]} for new, old in zip(groups, self.param_groups)]
