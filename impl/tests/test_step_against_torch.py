"""sgd_step beside the real torch.optim.SGD over whatever a tensor can be: complex, strided, expanded, 0-dim and empty tensors,
hyper-parameters that are tensors, gradient scaling; momentum buffers are torch tensors that the library is handed."""

import ctypes
import itertools
import os
import random
import subprocess
import sys

import pytest
from libsgd import (CONTRACTS, ISAS, PATHS, Config, Error, Item, Options, Scaling, SgdError, Tensor, TensorOption, lib,
                    plain_backend)

torch = pytest.importorskip("torch")
if not torch.__version__.startswith("2.13.0"):
    pytest.skip("the contracts are torch 2.13.0's", allow_module_level=True)

CASES_PER_TEST, LARGE_CASES = 150, 50
DTYPES = {torch.float64: (2, 64), torch.float32: (2, 32), torch.float16: (2, 16), torch.bfloat16: (4, 16),
          torch.complex64: (5, 64), torch.complex128: (5, 128)}
NUMBERS = {torch.float64: (2, 64), torch.float32: (2, 32), torch.float16: (2, 16), torch.bfloat16: (4, 16),
           torch.uint8: (1, 8), torch.int64: (0, 64), torch.int32: (0, 32), torch.int16: (0, 16), torch.int8: (0, 8)}
INTEGER = {8: torch.int64, 4: torch.int32, 2: torch.int16}
CONTRACT = 1 if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else 0


class View:
    """A DLTensor over a torch tensor; keeps what it points to."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor
        self.shape = (ctypes.c_int64 * max(tensor.dim(), 1))(*tensor.shape)
        self.strides = (ctypes.c_int64 * max(tensor.dim(), 1))(*tensor.stride())
        code, bits = {**NUMBERS, **DTYPES}[tensor.dtype]
        self.dl = Tensor(tensor.data_ptr(), 1, 0, tensor.dim(), code, bits, 1, self.shape,
                         ctypes.cast(self.strides, ctypes.c_void_p), 0)

    @property
    def pointer(self):
        return ctypes.pointer(self.dl)


def option(value) -> tuple[float, TensorOption, object]:
    if not isinstance(value, torch.Tensor):
        return float(value), TensorOption(None, False), None
    view = View(value.detach())
    return 0.0, TensorOption(ctypes.cast(view.pointer, ctypes.c_void_p), value.requires_grad), view


def options_of(group: dict) -> tuple[Options, list]:
    names = ("lr", "momentum", "dampening", "weight_decay")
    read = {name: option(group[name]) for name in names}
    tristate = {None: -1, False: 0, True: 1}
    options = Options(ctypes.sizeof(Options), *(read[name][0] for name in names), group["nesterov"], group["maximize"],
                      group["differentiable"], tristate[group["foreach"]], tristate[group["fused"]],
                      *(read[name][1] for name in names))
    return options, [read[name][2] for name in names]


class Ours:
    """The functional interface, with state kept here as torch.optim keeps it."""

    def __init__(self, setting: dict):
        self.setting = setting
        self.plain = plain_backend(setting["isa"])
        backend = ctypes.addressof(self.plain) if setting.get("plain") else lib.sgd_backend_cpu(setting["isa"])
        self.config = Config(ctypes.sizeof(Config), CONTRACT, setting.get("defects", 1), setting["schedule"],
                             setting["torch_threads"], setting["threads"], backend)
        self.buffers: dict[int, torch.Tensor] = {}

    def step(self, params: list[torch.Tensor], grads: list[torch.Tensor | None], group: dict, scaling: dict) -> None:
        options, kept = options_of(group)
        error, items = Error(), (Item * max(len(params), 1))()
        made: dict[int, torch.Tensor] = {}
        for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
            views = [View(param), None if grad is None else View(grad), None]
            buffer = self.buffers.get(i)
            if buffer is None and grad is not None and group["momentum"] != 0:
                buffer = made[i] = self.new_buffer(options, views[0], views[1])
            if buffer is not None:
                views[2] = View(buffer)
            kept.append(views)
            items[i] = Item(*(None if view is None else ctypes.cast(view.pointer, ctypes.c_void_p) for view in views),
                            i in self.buffers, None, None)
        scales = {name: View(tensor) for name, tensor in scaling.items()}
        pointers = Scaling(*(ctypes.cast(scales[name].pointer, ctypes.c_void_p) if name in scales else None
                             for name in ("grad_scale", "found_inf")))
        if lib.sgd_step(ctypes.byref(self.config), ctypes.byref(options), items, ctypes.c_size_t(len(params)),
                        ctypes.byref(pointers), None, ctypes.byref(error)):
            raise SgdError(error.message.decode())
        self.buffers.update({i: buffer for i, buffer in made.items() if items[i].has_buffer})

    def new_buffer(self, options: Options, param: View, grad: View) -> torch.Tensor:
        strides, error = (ctypes.c_int64 * 64)(), Error()
        if lib.sgd_buffer_strides(ctypes.byref(options), ctypes.c_void_p(self.config.backend), param.pointer, grad.pointer,
                                  strides, ctypes.byref(error)):
            raise SgdError(error.message.decode())
        shape = tuple(param.tensor.shape)
        return torch.empty_strided(shape, strides[: len(shape)], dtype=param.tensor.dtype).fill_(7)


# ---- random optimizers ------------------------------------------------------------------------------------------------


def values(rng: random.Random, shape, dtype: torch.dtype, special: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    made = torch.randn(shape, dtype=torch.complex128 if dtype.is_complex else torch.float64, generator=generator)
    made = made * torch.pow(10.0, torch.randint(-2, 3, shape, generator=generator))
    if special and made.numel():
        flat = made.view(-1)
        parts = torch.view_as_real(flat).view(-1) if dtype.is_complex else flat
        for _ in range(rng.randint(1, 8)):
            parts[rng.randrange(parts.numel())] = rng.choice([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-320, 1e-40, 6e-8,
                                                              -1e-41, 1e300, 6e4, 3e38])
    return made.to(dtype)


def laid_out(rng: random.Random, plain: torch.Tensor, kinds: list[str]) -> torch.Tensor:
    """The same values in another layout."""
    kind = rng.choice(kinds)
    dims = plain.dim()
    if kind == "permuted" and dims > 1:
        order = list(range(dims))
        rng.shuffle(order)
        inverse = [order.index(d) for d in range(dims)]
        return plain.permute(order).contiguous().permute(inverse)
    if kind == "channels_last" and dims == 4:
        return plain.contiguous(memory_format=torch.channels_last)
    if kind == "strided" and dims:
        d = rng.randrange(dims)
        shape = list(plain.shape)
        shape[d] = 2 * shape[d] + 1
        base = torch.zeros(shape, dtype=plain.dtype)
        view = base.narrow(d, rng.randint(0, 1), shape[d] - 1)[tuple(slice(None, None, 2) if e == d else slice(None) for e in range(dims))]
        return view.copy_(plain)
    if kind == "padded" and dims:
        base = torch.zeros([*plain.shape[:-1], plain.shape[-1] + rng.randint(1, 5)], dtype=plain.dtype)
        return base[..., : plain.shape[-1]].copy_(plain)
    if kind == "expanded" and dims:
        d = rng.randrange(dims)
        if plain.shape[d] > 1:
            return plain.narrow(d, 0, 1).expand(plain.shape)
    return plain.clone()


SHAPES = [(), (1,), (7,), (33,), (70,), (0,), (3, 0), (7, 10), (5, 70), (70, 5), (33, 33), (1, 40), (40, 1), (2, 3, 37), (3, 4, 5, 6),
          (2, 1, 8, 9), (2, 35, 1, 2), (130,), (1, 1, 1), (4, 2, 33), (200, 170), (32800,)]
WEIGHTS = [3] * (len(SHAPES) - 2) + [1, 1]
LARGE = [(300, 270), (140, 1030), (9, 700, 19), (130, 70, 3, 3), (66000,), (2, 150, 260), (33, 8, 17, 21)]
"""More than a box in which strided tensors are stepped (kernels/cpu/strided.h), and not whole ones."""


class Case:
    """One random optimizer: params, gradients of every step, options."""

    def __init__(self, seed: int, path: str, threads: int, large: bool):
        self.rng = rng = random.Random(f"{seed} {path}")
        self.path = path
        self.large = large
        self.setting = {"schedule": rng.randint(0, 1), "isa": rng.choice(ISAS), "threads": rng.randint(1, 3),
                        "torch_threads": threads, "plain": rng.random() < 0.25}
        self.special = rng.random() < 0.3
        self.steps = rng.randint(1, 2 if large else 4)
        dtypes = list(DTYPES)[: 4 if path == "fused" else 6]
        self.params = [self.param(rng.choice(dtypes)) for _ in range(rng.randint(1, 2 if large else 4))]
        self.group = self.options()

    def param(self, dtype: torch.dtype) -> torch.Tensor:
        rng = self.rng
        if self.path == "fused":
            half = dtype.itemsize == 2
            # In blocks of 16, pytorch#191763 leaves nothing to chance for these, with one thread.
            shape = rng.choice([(9,), (15,), (3, 8), (8, 5, 1), (4, 14), (2, 3, 2, 2), ()] if half else SHAPES)
            return laid_out(rng, values(rng, shape, dtype, self.special), ["plain", "plain", "permuted", "channels_last"])
        shape = rng.choice(LARGE) if self.large else rng.choices(SHAPES, WEIGHTS)[0]
        return laid_out(rng, values(rng, shape, dtype, self.special), ["plain", "plain", "permuted", "channels_last", "strided", "padded"])

    def grad(self, param: torch.Tensor, written: bool) -> torch.Tensor:
        plain = values(self.rng, param.shape, param.dtype, self.special)
        if self.path == "fused":  # the kernel walks storage: only what lies as its parameter does is defined
            grad = torch.empty_like(param).copy_(plain)
            assert grad.stride() == param.stride()
            return grad
        kinds = ["plain", "plain", "like", "permuted", "channels_last", "strided", "padded"] + ([] if written else ["expanded"])
        grad = laid_out(self.rng, plain, kinds)
        return torch.empty_like(param).copy_(grad) if self.rng.random() < 0.3 else grad

    def number(self, value: float, tensor: float, grad: bool):
        rng = self.rng
        if rng.random() >= tensor:
            return value
        dtype = rng.choice([torch.float64, torch.float32, torch.float32, torch.float16, torch.bfloat16])
        made = torch.tensor(value, dtype=dtype)
        return made.requires_grad_() if grad and rng.random() < 0.5 else made

    def options(self) -> dict:
        rng = self.rng
        nesterov = rng.random() < 0.35
        eager = self.path == "forloop"
        return {
            "lr": self.number(rng.choice([0.0, 1e-3, 0.1, 0.3, 3.14159]), 0.35, True),
            "momentum": self.number(rng.choice([0.9, 0.5, 0.99] if nesterov else [0, 0, 0.9, 0.5, 1e-9]),
                                    0.15 if all(param.dim() for param in self.params) else 0.5, False),
            "dampening": 0 if nesterov else rng.choice([0, 0, 0.1, 0.9, 0.058]),
            "weight_decay": self.number(rng.choice([0, 0, 1e-2, 0.1, 1e-9]), 0.25, eager),
            "nesterov": nesterov, "maximize": rng.random() < 0.3, "differentiable": False,
            "foreach": self.path == "foreach", "fused": self.path == "fused",
        }

    def scaling(self) -> dict[str, torch.Tensor]:
        rng = self.rng
        if self.path != "fused" or rng.random() < 0.5:
            return {}
        made = {"grad_scale": torch.tensor(rng.choice([1.0, 2.0, 3.0, 65536.0, 0.1]))}
        if rng.random() < 0.5:
            # On a first step, found_inf makes torch keep uninitialised memory as a buffer.
            made["found_inf"] = torch.tensor(rng.choice([0.0, 0.0, 2.0, 0.5]))
        return made


# ---- comparison ---------------------------------------------------------------------------------------------------------


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The elements in row-major order as integers, two for a complex one."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype.is_complex:
        tensor = torch.view_as_real(tensor)
    return tensor.contiguous().view(INTEGER[tensor.dtype.itemsize])


def check_equal(ours: torch.Tensor, theirs: torch.Tensor, what: str, any_nan: bool) -> None:
    assert ours.stride() == theirs.stride(), f"{what}: strides {ours.stride()}, torch {theirs.stride()}"
    different = bits(ours) != bits(theirs)
    if any_nan or theirs.dtype.is_complex:
        parts = [torch.view_as_real(x.detach()) if x.dtype.is_complex else x.detach() for x in (ours, theirs)]
        different &= ~(parts[0].contiguous().isnan() & parts[1].contiguous().isnan())
    if different.any():
        index = different.nonzero()[0].tolist()
        raise AssertionError(f"{what}: {int(different.sum())} of {different.numel()} differ, first at {index}: "
                             f"{bits(ours)[tuple(index)]:x}, torch {bits(theirs)[tuple(index)]:x}; "
                             f"shape {tuple(theirs.shape)}, {theirs.dtype}")


def same_layout(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of tensor and of the memory between its elements."""
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride())) if tensor.numel() else 0
    base = torch.as_strided(tensor.detach(), (span,), (1,)).clone()
    return torch.as_strided(base, tensor.shape, tensor.stride())


def compare(seed: int, path: str, threads: int = 1, large: bool = False) -> None:
    case = Case(seed, path, threads, large)
    theirs = [torch.nn.Parameter(same_layout(param)) for param in case.params]
    params = [same_layout(param) for param in case.params]
    optimizer = torch.optim.SGD([{"params": theirs, **case.group}])
    ours = Ours(case.setting)
    written = (path == "foreach" and case.group["nesterov"]) or getattr(case.group["weight_decay"], "requires_grad", False)
    any_nan = CONTRACT == 1 and path == "fused"
    none = case.rng.choice([0, 0, 0.3]) if path != "fused" else 0
    for step in range(case.steps):
        grads = [None if case.rng.random() < none else case.grad(param, written) for param in params]
        for param, grad in zip(theirs, grads, strict=True):
            param.grad = None if grad is None else same_layout(grad)
        grads = [None if grad is None else same_layout(grad) for grad in grads]
        scaling = case.scaling()
        optimizer.grad_scale, optimizer.found_inf = scaling.get("grad_scale"), scaling.get("found_inf")
        optimizer.step()
        ours.step(params, grads, case.group, scaling)
        for i, param in enumerate(theirs):
            buffer = optimizer.state[param].get("momentum_buffer") if param in optimizer.state else None
            assert (buffer is None) == (i not in ours.buffers), f"step {step}, buffer {i}"
            if buffer is not None:
                check_equal(ours.buffers[i], buffer, f"step {step}, buffer {i}", any_nan)
            check_equal(params[i], param.detach(), f"step {step}, param {i}", any_nan)
            if grads[i] is not None:
                check_equal(grads[i], param.grad, f"step {step}, grad {i}", any_nan)


def compare_block(block: int, path: str, threads: int, large: bool = False) -> None:
    torch.set_num_threads(threads)
    for seed in range(block * CASES_PER_TEST, (block + 1) * CASES_PER_TEST)[: LARGE_CASES if large else CASES_PER_TEST]:
        try:
            compare(seed, path, threads, large)
        except (AssertionError, SgdError) as error:
            raise AssertionError(f"compare({seed}, {path!r}, {threads}, {large}) in {CONTRACTS[CONTRACT]}: {error}") from None


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("threads", (1, 2))
def test_bits_differ_from_torch(path: str, threads: int) -> None:
    if path == "fused" and threads > 1:
        pytest.skip("pytorch#191763 races between threads")
    compare_block(0, path, threads)


@pytest.mark.parametrize("path", ("forloop", "foreach"))
@pytest.mark.parametrize("threads", (1, 2, 3))
def test_bits_of_large_tensors_differ_from_torch(path: str, threads: int) -> None:
    compare_block(0, path, threads, large=True)


@pytest.mark.parametrize("dtype", list(DTYPES)[:4])
def test_fused_rounds_strided_tensors_in_another_order_than_contiguous_ones(dtype: torch.dtype) -> None:
    """PyTorch's own walks their storage: what it should give are the bits of contiguous copies."""
    rng = random.Random(str(dtype))
    kinds = ["plain", "permuted", "channels_last", "strided", "padded"]
    for shape in [shape for shape in SHAPES if len(shape) > 0] + LARGE:
        setting = {"schedule": 0, "isa": rng.choice(ISAS), "threads": rng.randint(1, 3), "torch_threads": 1, "defects": 0,
                   "plain": rng.random() < 0.25}
        group = {"lr": 0.1, "momentum": rng.choice([0, 0.9]), "dampening": 0.5, "weight_decay": rng.choice([0, 0.1]),
                 "nesterov": False, "maximize": rng.random() < 0.5, "differentiable": False, "foreach": False, "fused": True}
        param = values(rng, shape, dtype, True)
        strided, contiguous = Ours(setting), Ours(setting)
        params = [laid_out(rng, param, kinds)], [param.clone()]
        for _ in range(2):
            grad = laid_out(rng, values(rng, shape, dtype, True), [*kinds, "expanded"])
            strided.step(params[0], [grad], group, {})
            contiguous.step(params[1], [grad.contiguous()], group, {})
            different = bits(params[0][0]) != bits(params[1][0])
            assert not different.any(), f"{shape} of {dtype}, {setting}, {group}: {int(different.sum())} differ"


def test_bits_differ_from_torch_without_fma() -> None:
    """The same in a child process, whose capability is the other one."""
    code = "import test_step_against_torch as t\nfor path in t.PATHS:\n    t.compare_block(1, path, 1)\nassert t.CONTRACT == 1"
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=os.path.dirname(__file__), capture_output=True, text=True,
                           env=dict(os.environ, ATEN_CPU_CAPABILITY="default"))
    assert child.returncode == 0, child.stderr[-2000:]


@pytest.mark.parametrize("path", PATHS)
def test_an_integer_lr_is_negated_in_another_dtype(path: str) -> None:
    """-lr of an unsigned tensor wraps, but for fused, which reads the number."""
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        for value in (0, 1, 100, torch.iinfo(dtype).max % 2**31):
            lr = torch.tensor(value, dtype=dtype)
            group = {"lr": lr, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False,
                     "differentiable": False, "foreach": path == "foreach", "fused": path == "fused"}
            theirs = torch.nn.Parameter(torch.linspace(-1, 1, 7))
            theirs.grad, ours = torch.linspace(3, 1, 7), theirs.detach().clone()
            torch.optim.SGD([{"params": [theirs], **group}]).step()
            Ours({"schedule": 0, "isa": ISAS[0], "threads": 1, "torch_threads": 1}).step([ours], [torch.linspace(3, 1, 7)], group, {})
            check_equal(ours, theirs.detach(), f"{dtype} {value}", False)


# ---- errors of lists ----------------------------------------------------------------------------------------------------


def refusals(dtypes: tuple[torch.dtype, ...], path: str, lr: float) -> tuple[str, str]:
    """What torch and the library say of a group with these dtypes in this order, where one tensor of each cannot be stepped:
    the first without momentum buffer, at another place in each list, for fused; any, lr being too large, for foreach."""
    params, buffers = [], []
    for number, dtype in enumerate(dtypes):
        for place in range(number + 2):
            params.append(torch.zeros(2, dtype=dtype))
            buffers.append(path == "foreach" or place <= number)
    group = {"lr": lr, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False, "differentiable": False,
             "foreach": path == "foreach", "fused": path == "fused"}
    leaves = [torch.nn.Parameter(param.clone()) for param in params]
    theirs = torch.optim.SGD([{"params": leaves, **group}])
    ours = Ours({"schedule": 0, "isa": ISAS[0], "threads": 1, "torch_threads": 1})
    for index, (leaf, has_buffer) in enumerate(zip(leaves, buffers, strict=True)):
        leaf.grad = torch.ones_like(leaf)
        if has_buffer:
            theirs.state[leaf]["momentum_buffer"] = torch.zeros_like(params[index])
            ours.buffers[index] = torch.zeros_like(params[index])
    with pytest.raises((TypeError, RuntimeError)) as theirs_said:
        theirs.step()
    with pytest.raises(SgdError) as ours_said:
        ours.step(params, [torch.ones_like(param) for param in params], group, {})
    return str(theirs_said.value), str(ours_said.value)


@pytest.mark.parametrize("path, lr, dtypes", [("fused", 0.1, 4), ("foreach", 1e300, 6)])
def test_an_error_names_another_dtype_than_torch(path: str, lr: float, dtypes: int) -> None:
    for chosen in itertools.permutations(list(DTYPES)[:dtypes], 3):
        if path == "foreach" and not {torch.float64, torch.complex128}.isdisjoint(chosen):
            continue  # they can hold it
        theirs, ours = refusals(chosen, path, lr)
        assert ours == theirs, f"{chosen}: {ours}, torch: {theirs}"
