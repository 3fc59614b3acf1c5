"""torch.optim.SGD and a class of ours side by side: every action is done to both, what they answer and raise must be equal."""

import copy
import io
import pickle
import random
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from comparing import check_optimizers, check_value, params_of
from making import COMPLEX, DENSE_LAYOUTS, DETERMINED_SHAPES, HALF, LAYOUTS, REAL, SHAPES, lay_out, sparse, values

Stock = torch.optim.SGD
"""Bound here, before anybody rebinds it."""

BASE = torch.backends.cpu.get_cpu_capability() == "DEFAULT"


def told(error: Any) -> tuple[type, str]:
    """An exception's type and text, without addresses and without the list of all of the dispatcher's backends."""
    return type(error), re.sub(r" at 0x[0-9a-f]+| This could be because the operator doesn't exist.*", "", str(error), flags=re.DOTALL)


class HookError(Exception):
    """Raised by hooks and closures of these tests."""


@dataclass
class Side:
    """One of the two."""

    make: Callable[..., torch.optim.Optimizer]
    optimizer: torch.optim.Optimizer
    log: list[Any] = field(default_factory=list)
    handles: list[Any] = field(default_factory=list)
    schedulers: list[Any] = field(default_factory=list)


@dataclass
class Plan:
    """What is drawn once for a pair."""

    path: str
    dtypes: tuple[torch.dtype, ...]
    special: bool
    layouts: bool
    tensors: bool
    differentiable: bool
    coo: bool

    @property
    def open_nans(self) -> bool:
        """Whether payloads are left open: complex numbers, fused without AVX2, hyper-parameters that are NaN are not drawn."""
        return self.special and (any(dtype.is_complex for dtype in self.dtypes) or (BASE and self.path == "fused"))


def draw_plan(generator: random.Random) -> Plan:
    path = generator.choice(["forloop", "forloop", "foreach", "foreach", "fused", "fused"])
    sets = [REAL, (torch.float32,), (torch.float32, torch.float16), (torch.bfloat16,), (torch.float16,)]
    if path != "fused":
        sets += [COMPLEX, (*REAL, *COMPLEX)]
    return Plan(
        path, generator.choice(sets), generator.random() < 0.3, generator.random() < 0.6, generator.random() < 0.3,
        path == "forloop" and generator.random() < 0.1, path != "fused" and generator.random() < 0.2,
    )


def draw_number(generator: random.Random, numbers: list[Any], tensors: bool) -> Any:
    """A number, or now and then a tensor of one."""
    number = generator.choice(numbers)
    if not tensors or generator.random() < 0.5:
        return number
    return torch.tensor(float(number), dtype=generator.choice([torch.float64, torch.float32]))


def draw_options(generator: random.Random, plan: Plan) -> dict[str, Any]:
    nesterov = generator.random() < 0.4
    lr = draw_number(generator, [0.0, 1e-3, 0.1, 0.3, 1, 3.14159], plan.tensors)
    if isinstance(lr, torch.Tensor):
        lr = lr.reshape(generator.choice([(), (1,), (1, 1)]))
        lr = lr.requires_grad_() if plan.path == "forloop" and generator.random() < 0.3 else lr
    return {
        "lr": lr,
        "momentum": draw_number(generator, [0.9, 0.5, 0.99, 1] if nesterov else [0, 0.0, 0.9, 0.5, 0.99, 1e-9], plan.tensors),
        "dampening": 0 if nesterov else generator.choice([0, 0.0, 0.1, 0.9, 1]),
        "weight_decay": draw_number(generator, [0, 0.0, 1e-2, 0.1, 1e-9], plan.tensors),
        "nesterov": nesterov,
        "maximize": generator.random() < 0.3,
    }


def draw_shape(generator: random.Random, plan: Plan, dtype: torch.dtype) -> tuple[int, ...]:
    return generator.choice(DETERMINED_SHAPES if plan.path == "fused" and dtype in HALF else SHAPES)


def draw_layout(generator: random.Random, plan: Plan, like: torch.Tensor | None = None) -> str:
    """Fused takes storage as it lies: outside of what fills its memory it would read what is not the tensor's."""
    if not plan.layouts or (like is not None and generator.random() < 0.3):
        return "same"
    if plan.coo:  # adding a sparse tensor to one with a storage offset, torch counts the offset twice
        return generator.choice([layout for layout in LAYOUTS if layout != "offset"])
    return generator.choice(DENSE_LAYOUTS if plan.path == "fused" else LAYOUTS)


def draw_param(generator: random.Random, plan: Plan) -> torch.Tensor:
    dtype = generator.choice(plan.dtypes)
    tensor = lay_out(values(generator, draw_shape(generator, plan, dtype), dtype, plan.special), draw_layout(generator, plan))
    return torch.nn.Parameter(tensor, requires_grad=not plan.differentiable)


def draw_grad(generator: random.Random, plan: Plan, param: torch.Tensor) -> torch.Tensor | None:
    if generator.random() < 0.15:
        return None
    if plan.coo and param.ndim and generator.random() < 0.5:
        return sparse(generator, tuple(param.shape), param.dtype, plan.special)
    tensor = values(generator, tuple(param.shape), param.dtype, plan.special)
    if plan.layouts and plan.path != "fused" and param.ndim and param.shape[0] and generator.random() < 0.15:
        return tensor[:1].expand_as(tensor)
    layout = draw_layout(generator, plan, param)
    return torch.empty_like(param.detach()).copy_(tensor) if layout == "same" else lay_out(tensor, layout)


class Twin:
    """A pair over the same random params, and everything that one can do to it."""

    def __init__(self, make: Callable[..., torch.optim.Optimizer], seed: int):
        generator = random.Random(seed)
        self.plan = draw_plan(generator)
        self.alive = True
        self.sides: list[Side] = []
        number = generator.getrandbits(32)
        self.outcome(lambda side: None)
        made = [self._construct(cls, random.Random(number)) for cls in (Stock, make)]
        if isinstance(made[0], Exception) or isinstance(made[1], Exception):
            assert told(made[0]) == told(made[1]), f"{made[1]!r}, torch: {made[0]!r}"
            self.alive = False
            return
        self.sides = [Side(cls, optimizer) for cls, optimizer in zip((Stock, make), made)]

    def _construct(self, make: Callable[..., torch.optim.Optimizer], generator: random.Random) -> Any:
        defaults = draw_options(generator, self.plan)
        defaults["lr"] = -1.0 if generator.random() < 0.01 else defaults["lr"]
        defaults["momentum"] = -0.5 if generator.random() < 0.01 else defaults["momentum"]
        defaults["foreach"] = True if self.plan.path == "foreach" else generator.choice([None, False])
        defaults["fused"] = True if self.plan.path == "fused" else generator.choice([None, False])
        defaults["differentiable"] = self.plan.differentiable
        self._names = generator.random() < 0.2
        groups = [self._draw_group(generator, number) for number in range(generator.choice([1, 1, 2, 3]))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return make(groups, **defaults)
        except Exception as error:
            return error

    def _draw_group(self, generator: random.Random, number: int) -> dict[str, Any]:
        params: list[Any] = [draw_param(generator, self.plan) for _ in range(generator.choice([0, 1, 1, 2, 3, 4]))]
        if params and generator.random() < 0.05:
            params.append(params[0])
        if self._names:
            params = [(f"g{number}.{i}", param) for i, param in enumerate(params)]
        own = draw_options(generator, self.plan) if generator.random() < 0.5 else {}
        if self._names and not params:
            own["param_names"] = []
        return {"params": params, **own}

    # ---- both ---------------------------------------------------------------------------------------------------------

    def outcome(self, act: Callable[[Side], Any], survives: tuple[type[Exception], ...] = ()) -> list[Any]:
        """Does it to both, compares what comes out; after an exception that may leave torch half way it is over."""
        if not self.alive or not self.sides:
            return []
        results: list[Any] = []
        for side in self.sides:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results.append(act(side))
            except Exception as error:
                results.append(error)
        theirs, ours = results
        if isinstance(theirs, Exception) or isinstance(ours, Exception):
            assert self._same_error(ours, theirs), f"{ours!r}, torch: {theirs!r}"
            self.alive = isinstance(theirs, survives)
        return results

    def _same_error(self, ours: Any, theirs: Any) -> bool:
        """Type and text.  Where several params are in the wrong, torch names the first in the order of its operations, group
        after group; ours looks at all of them before it begins, and at what PyTorch has to step first of all."""
        if not isinstance(ours, Exception) or not isinstance(theirs, Exception):
            return False
        if self.plan.path == "foreach" and self.plan.coo:
            return {type(ours), type(theirs)} <= {RuntimeError, NotImplementedError, TypeError} or told(ours) == told(theirs)
        (one, text), (other, expected) = told(ours), told(theirs)
        groups = self.sides[0].optimizer.param_groups
        several = (len(self.plan.dtypes) > 1 or len(groups) > 1) and expected.startswith("expected Tensor as element")
        return one is other and (text == expected or (several and text[-30:] == expected[-30:]))

    def check(self) -> None:
        if not self.alive:
            return
        theirs, ours = self.sides
        check_optimizers(ours.optimizer, theirs.optimizer, self.plan.open_nans)
        check_value(ours.log, theirs.log, "log", self.plan.open_nans)
        assert repr(ours.optimizer) == repr(theirs.optimizer), f"{ours.optimizer}\ntorch: {theirs.optimizer}"

    def versions(self) -> list[list[int]]:
        """Autograd's counters of params and gradients, which tell whether they were written."""
        return [[tensor._version for param in params_of(side.optimizer) for tensor in (param, param.grad) if tensor is not None]
                for side in self.sides]

    # ---- actions ------------------------------------------------------------------------------------------------------

    def grads(self, seed: int) -> None:
        def act(side: Side) -> None:
            generator = random.Random(seed)
            for param in params_of(side.optimizer):
                param.grad = draw_grad(generator, self.plan, param)

        self.outcome(act)

    def _may_skip(self, optimizer: torch.optim.Optimizer) -> bool:
        """A step that found_inf skips leaves torch with uninitialised buffers where there were none."""
        return all(group["momentum"] == 0 or optimizer.state.get(param, {}).get("momentum_buffer") is not None
                   for group in optimizer.param_groups for param in group["params"] if param.grad is not None)

    def step(self, seed: int, closure: str) -> None:
        """With a closure or without, for fused now and then under a gradient scaler's attributes."""
        def act(side: Side) -> Any:
            generator = random.Random(seed)
            optimizer: Any = side.optimizer
            if self.plan.path == "fused" and generator.random() < 0.4:
                optimizer.grad_scale = torch.tensor(generator.choice([1.0, 2.0, 1024.0, 0.3]))
                skips = generator.random() < 0.3 and self._may_skip(optimizer)
                optimizer.found_inf = torch.tensor(1.0 if skips else generator.choice([0.0, 0.5, 2.0]))
            loss = torch.tensor(generator.random())

            def evaluate() -> Any:
                side.log.append(("closure", torch.is_grad_enabled()))
                if closure == "raises":
                    raise HookError("closure")
                return loss

            try:
                return optimizer.step(evaluate) if closure != "none" else optimizer.step()
            finally:
                optimizer.grad_scale = optimizer.found_inf = None
                del optimizer.grad_scale, optimizer.found_inf
                side.log.append(("grad enabled", torch.is_grad_enabled()))

        before = self.versions()
        results = self.outcome(act, (HookError,))
        if results and self.alive and not isinstance(results[0], Exception):
            check_value(results[1], results[0], "step()")
            theirs, ours = ([new > old for new, old in zip(*pair)] for pair in zip(self.versions(), before))
            if self.plan.path == "fused":  # torch does not say what its fused kernels write
                theirs = [one or other for one, other in zip(ours, theirs)]
            assert ours == theirs, f"written, says autograd: {ours}, torch: {theirs}"

    def options(self, seed: int) -> None:
        """What a user or a scheduler writes into live groups."""
        def act(side: Side) -> None:
            generator = random.Random(seed)
            for group in side.optimizer.param_groups:
                chosen = draw_options(generator, self.plan)
                for key in generator.sample(sorted(chosen), generator.randint(0, 3)):
                    group[key] = chosen[key]
                if isinstance(group["lr"], torch.Tensor) and generator.random() < 0.5:
                    with torch.no_grad():
                        group["lr"].mul_(0.5)
                if generator.random() < 0.1:
                    group["note"] = ("anything", seed)
                if generator.random() < 0.01 and len(self.plan.dtypes) == 1 and not self.plan.coo:  # one mistake at a time
                    group["lr"] = 1e300

        self.outcome(act)

    def schedule(self, kind: str) -> None:
        def act(side: Side) -> None:
            if any(isinstance(group["lr"], torch.Tensor) and group["lr"].requires_grad for group in side.optimizer.param_groups):
                return
            if len(side.schedulers) < 2:
                lr = torch.optim.lr_scheduler
                makers = {
                    "step": lambda: lr.StepLR(side.optimizer, 1, 0.5), "cosine": lambda: lr.CosineAnnealingLR(side.optimizer, 5),
                    "lambda": lambda: lr.LambdaLR(side.optimizer, lambda epoch: 0.9**epoch),
                    "cyclic": lambda: lr.CyclicLR(side.optimizer, 0.01, 0.1, 2, cycle_momentum=False),
                }
                side.schedulers.append(makers[kind]())
            for scheduler in side.schedulers:
                scheduler.step()

        self.outcome(act)

    def load(self, seed: int, through: str) -> None:
        """Into itself or a fresh optimizer, from the dict, from its copy or through a file."""
        def act(side: Side) -> None:
            generator = random.Random(seed)
            saved = side.optimizer.state_dict()
            if through == "file":
                file = io.BytesIO()
                torch.save(saved, file)
                file.seek(0)
                saved = torch.load(file, weights_only=False)
            elif through == "copy":
                saved = copy.deepcopy(saved)
            if generator.random() < 0.1:
                saved["state"]["foreign"] = {"kept": 1}
            if generator.random() < 0.05:
                saved["param_groups"] = saved["param_groups"][:-1]
            if generator.random() < 0.3:
                for group in saved["param_groups"]:
                    group.pop("nesterov", None), group.pop("fused", None)
                    if self.plan.path == "fused":
                        group["fused"] = True
            if generator.random() < 0.2 and not (self.plan.special and torch.bfloat16 in self.plan.dtypes):  # how NaNs are cast
                saved["state"] = {key: {name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point()
                                        else value for name, value in entry.items()} for key, entry in saved["state"].items()}
            side.optimizer.load_state_dict(saved)

        self.outcome(act, (HookError,))

    def copy(self, how: str) -> None:
        """Goes on with a copy; gradients, hooks and schedulers stay behind, as in PyTorch."""
        def act(side: Side) -> None:
            for param in params_of(side.optimizer):
                param.grad = None
            side.optimizer = copy.deepcopy(side.optimizer) if how == "deepcopy" else pickle.loads(pickle.dumps(side.optimizer))
            side.handles, side.schedulers = [], []

        if self.sides and self.alive and not any(
            isinstance(value, torch.Tensor) and value.requires_grad and not value.is_leaf
            for group in self.sides[0].optimizer.param_groups for value in group.values()
        ):
            self.outcome(act)

    def hook(self, kind: str, what: str) -> None:
        def act(side: Side) -> None:
            def hook(*arguments: Any) -> Any:
                side.log.append((kind, what, [type(argument).__name__ for argument in arguments[1:]]))
                if what == "raises":
                    raise HookError(kind)
                if kind == "step_pre" and what == "changes":
                    return arguments[1], arguments[2]
                if kind == "step_pre" and what == "wrong":
                    return "wrong"
                if kind.endswith(("state_dict_post", "load_state_dict_pre")) and what == "changes":
                    return {**arguments[1], "param_groups": [{**group, "seen": kind} for group in arguments[1]["param_groups"]]}
                return None

            register = getattr(side.optimizer, f"register_{kind}_hook")
            side.handles.append(register(hook, prepend=True) if what == "prepended" and "step" not in kind else register(hook))

        self.outcome(act)

    def unhook(self) -> None:
        def act(side: Side) -> None:
            if side.handles:
                side.handles.pop().remove()

        self.outcome(act)

    def state(self, what: str) -> None:
        """A user's hand in the state."""
        def act(side: Side) -> None:
            for entry in side.optimizer.state.values():
                buffer = entry.get("momentum_buffer") if isinstance(entry, dict) else None
                if what == "replace" and buffer is not None:
                    entry["momentum_buffer"] = buffer.clone()
                elif what == "drop":
                    entry.pop("momentum_buffer", None)
                elif what == "note":
                    entry["note"] = 1

        self.outcome(act)

    def state_dict(self) -> None:
        results = self.outcome(lambda side: side.optimizer.state_dict(), (HookError,))
        if results and self.alive and not isinstance(results[0], Exception):
            check_value(results[1], results[0], "state_dict()", self.plan.open_nans)

    def zero_grad(self, set_to_none: bool) -> None:
        self.outcome(lambda side: side.optimizer.zero_grad(set_to_none))

    def add_group(self, seed: int) -> None:
        def act(side: Side) -> None:
            generator = random.Random(seed)
            group = self._draw_group(generator, len(side.optimizer.param_groups))
            if generator.random() < 0.1 and params_of(side.optimizer):
                group["params"] = [params_of(side.optimizer)[0]]
            side.optimizer.add_param_group(group)

        if self.sides and not self.sides[0].schedulers:
            self.outcome(act, (ValueError,))
