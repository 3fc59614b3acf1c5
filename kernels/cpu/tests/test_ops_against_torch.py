"""Every function of the CPU backend beside the torch operation whose bits it claims, one operation at a time.

Layouts are brought into the order in which TensorIterator walks them here, by rules of ATen/TensorIterator.cpp that are written
down once more: what the library does with its own layouts is not used.  torch runs in this process with the machine's capability;
a child process runs all of this again with ATEN_CPU_CAPABILITY=default.
"""

import ctypes
import functools
import itertools
import os
import random
import subprocess
import sys

import numpy as np
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # two OpenMP teams in one process, of few threads with little to do
torch = pytest.importorskip("torch")
if not torch.__version__.startswith("2.13.0"):
    pytest.skip("the contracts are torch 2.13.0's", allow_module_level=True)

import backend  # noqa: E402
from backend import BROADCAST, BROADCAST_OTHER, CONTIGUOUS, DTYPES, FOREACH, FORLOOP, FUSED, ISAS, STRIDED, STRIDED_IN_PLACE  # noqa: E402

SIZES = [*range(1, 19), 23, 24, 25, 31, 32, 33, 47, 48, 63, 64, 65, 70, 100, 257, 1037]
CHUNKED = [32767, 32768, 40001, 65543, 98321]
"""Sizes that two threads share."""
ALPHAS = [0.1, -0.9, 1.0, 0.0, -3.14159, 1e-30, -1e-30, 1e-200, 1e4, float("inf")]
IDS = {dtype: str(dtype).removeprefix("torch.") for dtype in DTYPES}
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=IDS.get)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    torch.set_num_threads(request.param)
    return request.param


# ---- values and bits ---------------------------------------------------------------------------------------------------


def parts(dtype: "torch.dtype") -> "torch.dtype":
    return {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(dtype, dtype)


INTEGERS = {torch.float64: (torch.int64, np.uint64), torch.float32: (torch.int32, np.uint32),
            torch.float16: (torch.int16, np.uint16), torch.bfloat16: (torch.int16, np.uint16)}


@functools.cache
def edges(dtype: "torch.dtype") -> "torch.Tensor":
    info = torch.finfo(dtype)
    ladder = [info.tiny, info.smallest_normal * info.eps, info.tiny * 3 * info.eps, info.max, 1e-30, 1e-25, 1e-200, 1.0]
    values = [*ladder, 0.0, float("inf"), float("nan")]
    values = torch.tensor(values + [-value for value in values], dtype=torch.float64).to(dtype)
    quiet = values.view(INTEGERS[dtype][0])
    payloads = quiet[torch.isnan(values)] | 5
    signalling = payloads & ~(1 << {8: 51, 4: 22, 2: 9 if dtype == torch.float16 else 6}[dtype.itemsize])
    return torch.cat([quiet, payloads, signalling]).view(dtype)


def random_values(rng: random.Random, dtype: "torch.dtype", numel: int, special: float) -> "torch.Tensor":
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    part = parts(dtype)
    count = numel * dtype.itemsize // part.itemsize
    values = torch.randn(count, generator=generator, dtype=torch.float64).to(part)
    picks = edges(part)[torch.randint(len(edges(part)), (count,), generator=generator)]
    chosen = torch.rand(count, generator=generator) < special
    integer = INTEGERS[part][0]
    values = torch.where(chosen, picks.view(integer), values.view(integer)).view(part)
    return values.view(dtype) if dtype.is_complex else values


def bits(tensor: "torch.Tensor", nan_class: bool = False) -> np.ndarray:
    """The bits of contiguous elements, complex ones part by part; any NaN as one where the payload is open."""
    part = parts(tensor.dtype)
    if tensor.dtype.is_complex:
        tensor = torch.view_as_real(tensor.contiguous())
    tensor = tensor.contiguous().view(-1)
    integer, unsigned = INTEGERS[part]
    if part != tensor.dtype or nan_class:
        tensor = torch.where(torch.isnan(tensor), torch.full_like(tensor, float("nan")), tensor)
    return tensor.view(integer).numpy().view(unsigned)


def check(what: str, ours: "torch.Tensor", theirs: "torch.Tensor", nan_class: bool = False) -> None:
    nan_class = nan_class or ours.dtype.is_complex
    mine, want = bits(ours, nan_class), bits(theirs, nan_class)
    wrong = np.flatnonzero(mine != want)
    assert wrong.size == 0, (f"{what}: {wrong.size} of {want.size} differ, first at {wrong[0]}: "
                             f"{mine[wrong[0]]:#x}, torch {want[wrong[0]]:#x}")


# ---- layouts -----------------------------------------------------------------------------------------------------------


def walk(shape, strides) -> tuple[list[int], int, list[int]]:
    """TensorIteratorBase::reorder_dimensions and coalesce_dimensions: the dimensions from the outermost on, the innermost
    row's length and its strides.  The operands that decide come first, an output that does not exist yet not at all."""
    perm = list(reversed(range(len(shape))))

    def outside(a: int, b: int) -> int:
        for stride in strides:
            if stride[a] == 0 or stride[b] == 0:
                continue
            if stride[a] != stride[b]:
                return 1 if stride[a] > stride[b] else -1
            if shape[a] > shape[b]:
                return 1
        return 0

    for i in range(1, len(perm)):
        moved = i
        for other in reversed(range(i)):
            order = outside(perm[other], perm[moved])
            if order < 0:
                break
            if order > 0:
                perm[other], perm[moved] = perm[moved], perm[other]
                moved = other
    return perm[::-1], perm, shape


def rows(shape, perm, strides) -> tuple[int, list[int]]:
    """Length and strides of the innermost row once dimensions are coalesced; perm begins with the innermost."""
    if not perm:
        return 1, [1 for _ in strides]
    length, inner = shape[perm[0]], [stride[perm[0]] for stride in strides]
    for d in perm[1:]:
        if shape[d] == 1:
            continue
        if length != 1 and any(stride[d] != length * step for stride, step in zip(strides, inner)):
            break
        if length == 1:
            inner = [stride[d] for stride in strides]
        length *= shape[d]
    return length, inner


def inner_kind(length: int, out: int, inputs: list[int], in_place: bool) -> int:
    if length == 1 or (out == 1 and all(step == 1 for step in inputs)):
        return CONTIGUOUS
    if out == 1 and sorted(inputs) == [0] + [1] * (len(inputs) - 1):
        return BROADCAST_OTHER if inputs.index(0) == 1 else BROADCAST
    return STRIDED_IN_PLACE if in_place else STRIDED


class Walk:
    """The order in which torch walks operands of one shape, as the backend wants to hear of it."""

    def __init__(self, inputs: list["torch.Tensor"], in_place: bool):
        shape = list(inputs[0].shape)
        strides = [list(tensor.stride()) for tensor in inputs]  # in place, the first input is the output as well
        self.dims, perm, _ = walk(shape, strides)
        output, step = list(strides[0]), 1
        if not in_place:  # allocated dense, in this order
            for d in perm:
                output[d], step = step, step * shape[d]
        length, inner = rows(shape, perm, [output, *strides])
        self.row = length
        self.inner = inner_kind(length, inner[0], inner[1:], in_place)

    def line_up(self, tensor: "torch.Tensor") -> "torch.Tensor":
        return tensor.permute(self.dims).contiguous().view(-1)


def strided(values: "torch.Tensor", shape, strides) -> "torch.Tensor":
    """A tensor of this layout with its elements from `values`, in storage of its own."""
    extent = 1 + sum((n - 1) * s for n, s in zip(shape, strides))
    return values[:extent].clone().as_strided(shape, strides)


def storage(tensor: "torch.Tensor") -> "torch.Tensor":
    """All elements of the memory behind a tensor, those between its own included."""
    return tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.itemsize,), (1,))


def dense(shape, order) -> list[int]:
    """Strides of a dense layout whose dimensions are `order`, outermost first."""
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d], step = step, step * shape[d]
    return strides


def layouts_of(shape) -> dict[str, list[int]]:
    """Strides of tensors of a shape, by name: all that PyTorch's loops tell apart."""
    order = list(range(len(shape)))
    contiguous = dense(shape, order)
    padded = dense([*shape[:-1], shape[-1] + 5], order)
    found = {"contiguous": contiguous, "transposed": dense(shape, order[::-1]), "padded": padded,
             "step2": [2 * stride for stride in contiguous], "one": [0] * len(shape),
             "expanded_rows": [0] * (len(shape) - 1) + [1],
             "expanded_columns": dense([*shape[:-1], 1], order)[:-1] + [0]}
    if len(shape) == 4:
        found["channels_last"] = dense(shape, [0, 2, 3, 1])
    return found


SHAPES = [(1,), (5,), (33,), (70,), (7, 10), (3, 70), (70, 3), (4, 32), (6, 9, 11), (2, 5, 3, 7), (3, 1, 13)]
CHUNKED_SHAPES = [(601, 70), (5, 7001)]
WRITABLE = ("contiguous", "transposed", "padded", "step2", "channels_last")


def layout_pairs(shape) -> list[tuple[str, str]]:
    names = list(layouts_of(shape))
    return [(y, x) for y, x in itertools.product(names, names)]


# ---- single operations --------------------------------------------------------------------------------------------------


def ours(name: str, setting, scalars, walked: Walk, x, y=None, in_place=True) -> "torch.Tensor":
    """One backend function on every instruction set, which have to agree; in the walk's order."""
    results = []
    for isa in ISAS.values():
        a, b = walked.line_up(x).clone(), None if y is None else walked.line_up(y).clone()
        target = b if b is not None else a
        out = target if in_place else torch.empty_like(target)
        backend.call(isa, name, setting, *scalars, backend.operand(out, a, b, walked.row, walked.inner))
        results.append(out)
    for isa, result in zip(ISAS, results):
        check(f"{name} on {isa} beside {next(iter(ISAS))}", result, results[0])
    return results[0]


def check_axpy(rng: random.Random, x, y, alpha: float, what: str) -> None:
    setting = backend.arithmetic(FORLOOP, rng.randint(1, 3))
    alpha = float(torch.tensor(alpha, dtype=torch.float64).clamp(-torch.finfo(y.dtype).max, torch.finfo(y.dtype).max))
    walked = Walk([y, x], in_place=False)
    theirs = torch.add(y, x, alpha=alpha)
    check(f"add {what} alpha {alpha}", ours("axpy", setting, [alpha], walked, x, y, in_place=False), walked.line_up(theirs))
    if 0 not in y.stride() or y.numel() == 1:
        walked = Walk([y, x], in_place=True)
        mine = ours("axpy", setting, [alpha], walked, x, y)
        check(f"add_ {what} alpha {alpha}", mine, walked.line_up(y.add_(x, alpha=alpha)))


def check_unary(rng: random.Random, x, alpha: float, what: str) -> None:
    threads = rng.randint(1, 3)
    walked = Walk([x], in_place=False)
    negated = ours("negate", backend.arithmetic(FORLOOP, threads), [], walked, x, in_place=False)
    check(f"neg {what}", negated, walked.line_up(torch.neg(x)))
    check(f"clone {what}", ours("copy", backend.arithmetic(FORLOOP, threads), [], walked, x, in_place=False), walked.line_up(x))
    if 0 in x.stride() and x.numel() > 1:
        return
    walked = Walk([x], in_place=True)
    for path, multiply in ((FORLOOP, lambda t: t.mul_(alpha)), (FOREACH, lambda t: torch._foreach_mul_([t], alpha))):
        theirs = strided(storage(x), x.shape, x.stride())
        mine = ours("scale", backend.arithmetic(path, threads), [alpha], walked, x)
        multiply(theirs)
        check(f"mul_ {what} path {path} by {alpha}", mine, walked.line_up(theirs))


def check_addcmul(rng: random.Random, x, y, scalar: float, what: str) -> None:
    if 0 in y.stride() and y.numel() > 1:
        return
    setting, value = backend.arithmetic(FORLOOP, rng.randint(1, 3)), rng.choice([-1, 1])
    tensor = torch.tensor(scalar, dtype=rng.choice([torch.float64, torch.float32]))
    scalar = tensor.item()
    walked = Walk([y, x], in_place=True)
    if walked.inner in (BROADCAST, BROADCAST_OTHER):  # the scalar is a second operand of stride 0
        walked.inner = STRIDED_IN_PLACE
    mine = ours("addcmul", setting, [value, scalar], walked, x, y)
    y.addcmul_(x, tensor, value=value)
    check(f"addcmul_ {what} value {value} scalar {scalar}", mine, walked.line_up(y))


def values_for(rng: random.Random, dtype, shape, strides) -> "torch.Tensor":
    extent = 1 + sum((n - 1) * s for n, s in zip(shape, strides))
    return strided(random_values(rng, dtype, extent, rng.choice([0, 0.2, 0.8])), shape, strides)


def check_all_of(rng: random.Random, dtype, shape, y_layout: str, x_layout: str) -> None:
    strides = layouts_of(shape)
    alpha = rng.choice(ALPHAS)
    what = f"{IDS[dtype]} {tuple(shape)} {y_layout} with {x_layout}"

    def fresh():
        return (values_for(rng, dtype, shape, strides[x_layout]), values_for(rng, dtype, shape, strides[y_layout]))

    check_axpy(rng, *fresh(), alpha, what)
    check_addcmul(rng, *fresh(), rng.choice([0.1, -0.9, 1.0, 1e-30, 0.0]), what)
    if y_layout == x_layout:
        check_unary(rng, fresh()[0], alpha, what)


@by_dtype
def test_contiguous_bits_differ_from_torch(dtype, threads) -> None:
    rng = random.Random(f"contiguous {dtype} {threads}")
    for numel in SIZES + CHUNKED:
        for _ in range(12 if numel < 100 else 3):
            check_all_of(rng, dtype, (numel,), "contiguous", "contiguous")


@by_dtype
def test_layouts_change_other_bits_than_in_torch(dtype, threads) -> None:
    rng = random.Random(f"layouts {dtype} {threads}")
    for shape in SHAPES:
        for y_layout, x_layout in layout_pairs(shape):
            for _ in range(2):
                check_all_of(rng, dtype, shape, y_layout, x_layout)


@by_dtype
def test_thread_chunks_cut_rows_elsewhere_than_in_torch(dtype, threads) -> None:
    rng = random.Random(f"chunks {dtype} {threads}")
    for shape in CHUNKED_SHAPES:
        for y_layout, x_layout in layout_pairs(shape):
            check_all_of(rng, dtype, shape, y_layout, x_layout)


# ---- steps ----------------------------------------------------------------------------------------------------------------


def random_options(rng: random.Random) -> dict:
    nesterov = rng.random() < 0.3
    return {"lr": rng.choice([0.0, 1e-3, 0.1, 3.14159]), "momentum": rng.choice([0.9, 0.5] if nesterov else [0.0, 0.9, 1e-9]),
            "dampening": 0.0 if nesterov else rng.choice([0.0, 0.1, 0.9]), "weight_decay": rng.choice([0.0, 1e-2, 0.1, 1e-9]),
            "nesterov": nesterov, "maximize": rng.random() < 0.4}


def check_eager_step(rng: random.Random, dtype, numel: int) -> None:
    foreach = rng.random() < 0.5
    special = rng.choice([0, 0.2, 0.6])
    param, grad, buffer = (random_values(rng, dtype, numel, special) for _ in range(3))
    options, first = random_options(rng), rng.random() < 0.3
    lr_tensor, decay_tensor = (not foreach and rng.random() < 0.4 for _ in range(2))
    write = (decay_tensor and options["weight_decay"] != 0 and not options["maximize"]) or (
        foreach and options["nesterov"] and options["weight_decay"] == 0 and not options["maximize"])
    leaf = torch.nn.Parameter(param.clone())
    leaf.grad = grad.clone()
    given = dict(options)
    for name, wanted in (("lr", lr_tensor), ("weight_decay", decay_tensor)):
        if wanted:
            given[name] = torch.tensor(options[name], dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.SGD([leaf], foreach=foreach, fused=False, **given)
    if not first and options["momentum"]:
        theirs.state[leaf]["momentum_buffer"] = buffer.clone()
    theirs.step()
    setting = backend.arithmetic(FOREACH if foreach else FORLOOP, rng.randint(1, 3))
    for name, isa in ISAS.items():
        p, g, b = param.clone(), grad.clone(), buffer.clone()
        backend.step(isa, setting, {**options, "lr_addcmul": lr_tensor, "weight_decay_addcmul": decay_tensor}, p, g,
                     b if options["momentum"] else None, first, write)
        what = f"{name} {IDS[dtype]} {numel} foreach {foreach} first {first} {given}"
        check(f"param {what}", p, leaf.detach())
        check(f"grad {what}", g, leaf.grad)
        if options["momentum"]:
            check(f"buffer {what}", b, theirs.state[leaf]["momentum_buffer"])


@by_dtype
def test_eager_steps_differ_from_torch(dtype, threads) -> None:
    rng = random.Random(f"eager step {dtype} {threads}")
    for numel in SIZES + CHUNKED:
        for _ in range(20 if numel < 100 else 5):
            check_eager_step(rng, dtype, numel)


def determined(numel: int, dtype) -> bool:
    """Whether pytorch#191763 leaves nothing to chance (one thread)."""
    return dtype.itemsize > 2 or numel < 16 or numel % 16 >= 8


def check_scaled_step(rng: random.Random, dtype, numel: int) -> None:
    special = rng.choice([0, 0.2, 0.6]) if backend.CONTRACT == 0 else rng.choice([0, 0.6])
    param, grad, buffer = (random_values(rng, dtype, numel, special) for _ in range(3))
    options, first = random_options(rng), rng.random() < 0.3
    scale = rng.choice([1.0, 3.0, 65536.0, 1e-3, 0.1, 0.0, 1e-40, float("inf"), None])
    p, g, b = param.clone(), grad.clone(), buffer.clone()
    torch._fused_sgd_([p], [g], [b] if options["momentum"] else [], **options, is_first_step=first,
                      grad_scale=None if scale is None else torch.tensor([scale]), found_inf=torch.tensor([0.0]))
    setting = backend.arithmetic(FUSED, rng.randint(1, 3))
    for name, isa in ISAS.items():
        mine = [param.clone(), grad.clone(), buffer.clone()]
        backend.step(isa, setting, {**options, "grad_scale": scale}, mine[0], mine[1],
                     mine[2] if options["momentum"] else None, first, scale is not None)
        for which, ours_, theirs in zip(("param", "grad", "buffer"), mine, (p, g, b)):
            check(f"{which} {name} {IDS[dtype]} {numel} scale {scale} first {first} {options}", ours_, theirs,
                  nan_class=backend.CONTRACT == 1)


@pytest.mark.parametrize("dtype", DTYPES[:4], ids=IDS.get)
def test_fused_steps_with_grad_scale_differ_from_torch(dtype, threads) -> None:
    rng = random.Random(f"fused {dtype} {threads}")
    for numel in SIZES + CHUNKED:
        if not determined(numel, dtype) or (threads > 1 and dtype.itemsize == 2 and numel > 32):
            continue
        for _ in range(20 if numel < 100 else 5):
            check_scaled_step(rng, dtype, numel)


# ---- copies ---------------------------------------------------------------------------------------------------------------


@by_dtype
def test_copies_between_layouts_differ_from_torch(dtype) -> None:
    rng = random.Random(f"copy {dtype}")
    for shape in [(), *SHAPES, *CHUNKED_SHAPES]:
        strides = layouts_of(shape) if shape else {"contiguous": []}
        for to, source in itertools.product(strides, strides):
            if to not in WRITABLE:
                continue
            out, x = (values_for(rng, dtype, shape, strides[name]) for name in (to, source))
            mine = storage(out).clone().as_strided(shape, out.stride())
            integers = [(ctypes.c_int64 * len(shape))(*values) for values in (shape, out.stride(), x.stride())]
            isa = next(iter(ISAS.values()))
            status = isa.copy_strided(isa.context, out.itemsize, len(shape), integers[0], mine.data_ptr(), integers[1],
                                      x.data_ptr(), integers[2])
            assert status == 0
            check(f"{IDS[dtype]} {shape} {to} from {source}", storage(mine), storage(out.copy_(x)))


# ---- the other contract -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(backend.CONTRACT == 1, reason="this is the process without FMA")
def test_bits_differ_from_torch_without_fma(threads) -> None:
    if threads > 1:
        pytest.skip("the child of one thread's turn runs both")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "ATEN_CPU_CAPABILITY": "default"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ATEN_CPU_CAPABILITY=default {' '.join(command)}\n{done.stdout}"
