"""The oracle beside the real torch.optim.SGD: every dtype, layout, thread count and kind of hyper-parameter, every bit of
params, gradients and momentum buffers after every step.  A failure names the call that runs its case again."""

import os
import random
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
if not torch.__version__.startswith("2.13.0"):
    pytest.skip("the contracts are torch 2.13.0's", allow_module_level=True)

import liboracle  # noqa: E402
from liboracle import BASE, CONTRACT, DTYPES, PATHS, REPRODUCE, Options, State  # noqa: E402

CASES = int(os.environ.get("SGD_ORACLE_CASES", "250"))  # of each test
INTEGER = {8: torch.int64, 4: torch.int32, 2: torch.int16}
SHAPES = [(), (0,), (1,), (3,), (7,), (13,), (16,), (23,), (24,), (33,), (56,), (70,), (5, 7), (8, 9), (3, 40), (33, 5), (1, 37), (37, 1),
          (2, 1, 19), (4, 3, 5), (2, 3, 4, 5), (3, 4, 6, 2), (2, 8, 1, 1), (1, 5, 7, 3), (2, 3, 2, 3, 2), (0, 4), (6, 70)]
LARGE = [(32768,), (32801,), (65543,), (129, 257), (257, 131), (2, 3, 5, 1103)]
KINDS = ["plain", "plain", "permuted", "permuted", "channels_last", "stride2", "padded", "like_param"]


# ---- inputs ---------------------------------------------------------------------------------------------------------------


def values(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype, special: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rng.getrandbits(60))
    real = {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(dtype, dtype)
    shape = (*shape, 2) if real != dtype else shape
    scale = 10.0 ** torch.randint(-3, 2, shape, generator=generator)
    made = (torch.randn(shape, dtype=torch.float64, generator=generator) * scale).to(real)
    if special:
        tiny, top = torch.finfo(real).smallest_normal, torch.finfo(real).max
        odd = torch.tensor([0.0, -0.0, tiny / 4, -tiny / 2, tiny, -top, top, float("inf"), float("-inf"), float("nan")], dtype=real)
        integers = odd.view(INTEGER[real.itemsize])
        odd = torch.cat([integers, integers[-1:] + 3, ~(integers[-1:] ^ 5), integers[-3:-2] + 9]).view(real)
        chosen = odd[torch.randint(0, len(odd), shape, generator=generator)]
        made = torch.where(torch.rand(shape, generator=generator) < special, chosen, made)
    return torch.view_as_complex(made) if real != dtype else made


def laid_out(rng: random.Random, plain: torch.Tensor, kind: str, like: torch.Tensor | None = None) -> torch.Tensor:
    """The same elements with other strides, in memory of their own with something between them."""
    shape = list(plain.shape)
    order = list(range(len(shape)))
    if kind == "permuted":
        rng.shuffle(order)
    elif kind == "channels_last" and len(shape) == 4:
        order = [0, 2, 3, 1]
    strides, next_stride = [0] * len(shape), 2 if kind == "stride2" else 1
    for d in reversed(order):
        strides[d] = next_stride
        next_stride *= max(shape[d], 1)
        if kind == "padded" and rng.random() < 0.6:
            next_stride += rng.randint(1, 5)
    if kind == "expanded" and shape:
        for d in rng.sample(range(len(shape)), rng.randint(1, len(shape))):
            strides[d] = 0
    if kind == "like_param" and like is not None:
        strides = list(like.stride())
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides)) if plain.numel() else 0
    memory = values(rng, (span + 1,), plain.dtype, 0)
    made = memory[:span].as_strided(shape, strides)
    if 0 not in strides:
        made.copy_(plain)
    return made


def own_copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor and of the memory between its elements."""
    return memory_of(tensor).clone().as_strided(tensor.shape, tensor.stride())


def memory_of(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride())) if tensor.numel() else 0
    return tensor.as_strided((span,), (1,), tensor.storage_offset())


# ---- one case -------------------------------------------------------------------------------------------------------------


class Case:
    def __init__(self, seed: int, path: str, threads: int):
        self.rng = rng = random.Random(f"{seed} {path} {threads}")
        self.path = PATHS.index(path)
        self.threads = threads
        self.special = rng.choice([0, 0, 0.1, 0.4])
        large = rng.random() < 0.03
        dtypes = list(DTYPES)[: 4 if path == "fused" else 6]
        self.layouts = rng.random() < 0.75
        count = 1 if large else rng.choice([1, 1, 2, 3])
        self.params = []
        for _ in range(count):
            shape = rng.choice(LARGE if large else SHAPES)
            plain = values(rng, shape, rng.choice(dtypes), self.special)
            self.params.append(laid_out(rng, plain, rng.choice(KINDS)) if self.layouts else plain)
        if not self.layouts:
            self.params = [param for param in self.params if param.dim()] or [values(rng, (5,), dtypes[0], 0)]
        self.none = rng.choice([0, 0, 0.3])
        self.group = self.options()

    def tensor(self, value: float, chance: float, grad: bool):
        if self.rng.random() >= chance:
            return value
        made = torch.tensor(value, dtype=self.rng.choice(list(DTYPES)[:4]))
        return made.requires_grad_(grad)

    def options(self) -> dict:
        rng, forloop = self.rng, self.path == 0
        nesterov = rng.random() < 0.35
        return {
            "lr": self.tensor(rng.choice([0.0, 1e-3, 0.1, 0.3, 3.14159]), 0.3, forloop and rng.random() < 0.8),
            "momentum": self.tensor(rng.choice([0.9, 0.5, 0.99] if nesterov else [0, 0.9, 0.5, 1e-9]), 0.2, False),
            "dampening": 0 if nesterov else rng.choice([0, 0, 0.1, 0.9, 0.058]),
            "weight_decay": self.tensor(rng.choice([0, 0, 1e-2, 0.1, 1e-9]), 0.3, forloop and rng.random() < 0.8),
            "nesterov": nesterov, "maximize": rng.random() < 0.3,
            "foreach": PATHS[self.path] == "foreach", "fused": PATHS[self.path] == "fused",
        }  # fmt: skip

    def grad(self, param: torch.Tensor) -> torch.Tensor | None:
        rng = self.rng
        if rng.random() < self.none:
            return None
        plain = values(rng, tuple(param.shape), param.dtype, self.special)
        kinds = [*KINDS, "like_param", "expanded"] if self.layouts else ["plain"]
        return laid_out(rng, plain, rng.choice(kinds), param)

    def scaling(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        rng = self.rng
        if PATHS[self.path] != "fused" or rng.random() < 0.5:
            return None, None
        scale = rng.choice([None, 1.0, 2.0, 3.0, 65536.0, 0.1])
        found = rng.choice([None, 0.0, 0.0, 2.0, float("nan")])
        return (None if scale is None else torch.tensor(scale)), (None if found is None else torch.tensor(found))

    def c_options(self, scale: torch.Tensor | None, found: torch.Tensor | None) -> Options:
        group = self.group
        lr, decay = group["lr"], group["weight_decay"]
        dtype = {name: DTYPES[group[name].dtype] if isinstance(group[name], torch.Tensor) else 0 for name in ("lr", "weight_decay", "momentum")}
        return Options(
            contract=CONTRACT, path=self.path, defects=REPRODUCE, torch_threads=self.threads,
            lr=float(lr), momentum=float(group["momentum"]), dampening=float(group["dampening"]), weight_decay=float(decay),
            nesterov=group["nesterov"], maximize=group["maximize"],
            lr_addcmul=getattr(lr, "requires_grad", False), weight_decay_addcmul=getattr(decay, "requires_grad", False),
            momentum_is_tensor=isinstance(group["momentum"], torch.Tensor),
            lr_dtype=dtype["lr"], weight_decay_dtype=dtype["weight_decay"], momentum_dtype=dtype["momentum"],
            has_grad_scale=scale is not None, grad_scale=0 if scale is None else scale.item(),
            found_inf=found is not None and found.item() == 1,
        )  # fmt: skip


def different(ours: torch.Tensor, theirs: torch.Tensor, any_nan: bool, undefined: torch.Tensor | None) -> list[int]:
    """Which elements of two pieces of memory differ."""
    parts = [torch.view_as_real(x).reshape(-1) if x.dtype.is_complex else x for x in (ours, theirs)]
    wrong = parts[0].view(INTEGER[parts[0].dtype.itemsize]) != parts[1].view(INTEGER[parts[1].dtype.itemsize])
    if any_nan:
        wrong &= ~(parts[0].isnan() & parts[1].isnan())
    if ours.dtype.is_complex:
        wrong = wrong.view(-1, 2).any(1)
    if undefined is not None:
        wrong &= undefined == 0
    return wrong.nonzero().flatten().tolist()


def check(ours: torch.Tensor, theirs: torch.Tensor, what: str, any_nan: bool, undefined: torch.Tensor | None = None) -> None:
    theirs = theirs.detach()
    assert ours.stride() == theirs.stride(), f"{what}: strides {ours.stride()}, torch {theirs.stride()} of {tuple(theirs.shape)}"
    mine, torchs = memory_of(ours), memory_of(theirs)
    wrong = different(mine, torchs, any_nan, undefined)
    if wrong:
        at = wrong[0]
        raise AssertionError(f"{what}: {len(wrong)} of {len(mine)} differ, first at {at}: {mine[at].item()}, torch {torchs[at].item()}; "
                             f"shape {tuple(theirs.shape)}, strides {theirs.stride()}, {theirs.dtype}, all at {wrong[:12]}")


def check_state(state: State, param: torch.Tensor, optimizer: torch.optim.SGD, what: str, any_nan: bool) -> None:
    any_nan = any_nan or liboracle.nans_are_open(PATHS.index(what.split()[0]), param.dtype)
    theirs = optimizer.state[param].get("momentum_buffer") if param in optimizer.state else None
    assert (theirs is None) == (state.buffer is None), f"{what}: buffer made by one only"
    if theirs is not None:
        check(state.buffer, theirs, f"{what} buffer", any_nan, state.undefined[: state.param.numel()])
    check(state.param, param, f"{what} param", any_nan)
    if state.grad is not None:
        check(state.grad, param.grad, f"{what} grad", any_nan)


def compare(seed: int, path: str, threads: int) -> int:
    """Steps both; returns the number of steps that both took."""
    torch.set_num_threads(threads)
    case = Case(seed, path, threads)
    params = [torch.nn.Parameter(own_copy(param)) for param in case.params]
    states = [State(own_copy(param), case.layouts) for param in case.params]
    optimizer = torch.optim.SGD([{"params": params, **case.group}])
    for step in range(3):
        for param, state in zip(params, states, strict=True):
            grad = case.grad(state.param)
            state.grad = None if grad is None else own_copy(grad)
            param.grad = None if grad is None else own_copy(grad)
        scale, found = case.scaling()
        optimizer.grad_scale, optimizer.found_inf = scale, found
        done = liboracle.step(case.c_options(scale, found), states)
        if path == "fused" and not done:
            return step  # torch might read memory that is not the tensor's
        try:
            optimizer.step()
        except (RuntimeError, TypeError) as error:
            assert not done, f"torch raises {error}"
            return step
        assert done, "the oracle refuses what torch takes"
        for i, (param, state) in enumerate(zip(params, states, strict=True)):
            check_state(state, param, optimizer, f"{path} step {step} tensor {i}", False)
    return 3


def compare_many(first: int, path: str, threads: int) -> None:
    taken = 0
    for seed in range(first, first + CASES):
        try:
            taken += compare(seed, path, threads)
        except AssertionError as error:
            raise AssertionError(f"compare({seed}, {path!r}, {threads}) under contract {CONTRACT}: {error}") from None
    assert taken > CASES, "most cases must not be refused"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("threads", (1, 2))
def test_the_oracle_differs_from_torch(path: str, threads: int) -> None:
    compare_many(0, path, threads)


@pytest.mark.skipif(CONTRACT == BASE, reason="is that other capability")
@pytest.mark.parametrize("path", PATHS)
def test_the_oracle_differs_from_torch_without_fma(path: str) -> None:
    code = f"import test_oracle_against_torch as t\nassert t.CONTRACT == t.BASE\nfor n in (1, 2): t.compare_many(0, {path!r}, n)"
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=os.path.dirname(__file__), capture_output=True,
                           text=True, env=dict(os.environ, ATEN_CPU_CAPABILITY="default"))
    assert child.returncode == 0, child.stderr[-2000:]
