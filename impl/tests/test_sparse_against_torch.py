"""sgd_step beside the real torch.optim.SGD with sparse gradients: coalesced or not, hybrid, of any layout, over params of any
layout; momentum buffers that are sparse or dense; whatever PyTorch refuses, in its words."""

import ctypes
import os
import random
import subprocess
import sys

import pytest
from libsgd import CONTRACTS, ISAS, Config, Error, Item, SgdError, Tensor, lib

torch = pytest.importorskip("torch")
if not torch.__version__.startswith("2.13.0"):
    pytest.skip("the contracts are torch 2.13.0's", allow_module_level=True)

import sparse_oracle  # noqa: E402
from test_step_against_torch import CONTRACT, DTYPES, View, bits, laid_out, options_of, same_layout, values  # noqa: E402

CASES_PER_TEST = 80
PATHS = ("forloop", "foreach")
TYPES = {10: ValueError, 11: TypeError, 12: RuntimeError, 13: NotImplementedError}
SHAPES = [(), (1,), (5,), (70,), (0,), (4, 3), (3, 0), (10, 17), (6, 33), (1, 70), (3, 4, 5), (9, 2, 33), (2, 3, 2, 2), (3, 2, 6, 5),
          (2, 33000)]
WEIGHTS = [3] * (len(SHAPES) - 1) + [0.2]


class Sparse(ctypes.Structure):
    """sgd_sparse of sparse.h."""

    _fields_ = [("indices", Tensor), ("values", Tensor), ("ndim", ctypes.c_int32), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("coalesced", ctypes.c_bool), ("owned", ctypes.c_void_p)]


def borrowed(tensor: torch.Tensor) -> tuple[Sparse, list]:
    """An sgd_sparse over a torch tensor, and what has to live as long."""
    views = View(tensor._indices()), View(tensor._values())
    shape = (ctypes.c_int64 * max(tensor.dim(), 1))(*tensor.shape)
    return Sparse(views[0].dl, views[1].dl, tensor.dim(), shape, tensor.is_coalesced(), None), [views, shape]


def dense_of(tensor: Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy of a DLTensor."""
    shape = tensor.shape[: tensor.ndim]
    strides = ctypes.cast(tensor.strides, ctypes.POINTER(ctypes.c_int64))[: tensor.ndim] if tensor.strides else None
    made = torch.empty(shape, dtype=dtype) if strides is None else torch.empty_strided(shape, strides, dtype=dtype)
    span = 1 + sum((n - 1) * s for n, s in zip(shape, made.stride())) if made.numel() else 0
    ctypes.memmove(made.data_ptr(), tensor.data, span * dtype.itemsize)
    return made


def torch_of(sparse: Sparse, dtype: torch.dtype) -> torch.Tensor:
    indices, tensor = dense_of(sparse.indices, torch.int64), dense_of(sparse.values, dtype)
    return torch.sparse_coo_tensor(indices, tensor, sparse.shape[: sparse.ndim], is_coalesced=sparse.coalesced, check_invariants=False)


class Ours:
    """sgd_step, with state kept here as torch.optim keeps it."""

    def __init__(self, setting: dict):
        self.config = Config(ctypes.sizeof(Config), CONTRACT, 1, setting["schedule"], setting["torch_threads"],
                             setting["threads"], lib.sgd_backend_cpu(setting["isa"]))
        self.dense: dict[int, torch.Tensor] = {}
        self.sparse: dict[int, Sparse] = {}

    def __enter__(self) -> "Ours":
        return self

    def __exit__(self, *_) -> None:
        for sparse in self.sparse.values():
            lib.sgd_sparse_destroy(ctypes.byref(sparse))

    def buffer(self, i: int, dtype: torch.dtype) -> torch.Tensor | None:
        return torch_of(self.sparse[i], dtype) if i in self.sparse else self.dense.get(i)

    def step(self, params: list[torch.Tensor], grads: list[torch.Tensor | None], group: dict) -> list[torch.Tensor | None]:
        """What p.grad is afterwards."""
        options, kept = options_of(group)
        error, items = Error(), (Item * len(params))()
        made_sparse, made_dense, sparse_grads = {}, {}, {}
        for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
            item = items[i]
            had = i in self.sparse or i in self.dense
            views = [View(param)]
            if grad is not None and grad.is_sparse:
                sparse_grads[i], more = borrowed(grad)
                kept.append(more)
                item.sparse_grad = ctypes.addressof(sparse_grads[i])
                made_sparse[i] = self.sparse.get(i) or Sparse()
                item.sparse_buffer = ctypes.addressof(made_sparse[i])
            elif grad is not None:
                views.append(View(grad))
                item.grad = ctypes.addressof(views[1].dl)
                if not had:
                    made_dense[i] = torch.empty_like(grad)
            if i in self.sparse:
                item.sparse_buffer = ctypes.addressof(self.sparse[i])
            elif i in self.dense or i in made_dense:
                views.append(View(self.dense.get(i, made_dense.get(i))))
                item.buffer = ctypes.addressof(views[-1].dl)
            item.param, item.has_buffer = ctypes.addressof(views[0].dl), had
            kept.append(views)
        status = lib.sgd_step(ctypes.byref(self.config), ctypes.byref(options), items, ctypes.c_size_t(len(params)), None, None,
                              ctypes.byref(error))
        if status:
            raise TYPES.get(status, SgdError)(error.message.decode())
        for i, item in enumerate(items):
            if item.has_buffer and i not in self.dense and i not in self.sparse:
                (self.sparse if i in made_sparse else self.dense)[i] = made_sparse.get(i, made_dense.get(i))
        after = list(grads)
        for i, sparse in sparse_grads.items():
            after[i] = torch_of(sparse, params[i].dtype) if sparse.owned else grads[i]
            lib.sgd_sparse_destroy(ctypes.byref(sparse))
        return after


# ---- random optimizers ------------------------------------------------------------------------------------------------


class Case:
    """One random optimizer: params, gradients of every step, options."""

    def __init__(self, seed: int, path: str, threads: int):
        self.rng = rng = random.Random(f"sparse {seed} {path}")
        self.setting = {"schedule": rng.randint(0, 1), "isa": rng.choice(ISAS), "threads": rng.randint(1, 2), "torch_threads": threads}
        self.special = rng.random() < 0.3
        self.odd = rng.random() < 0.15
        self.many = rng.random() < 0.1
        self.dense = rng.choice([0, 0, 0, 0.3])
        self.steps = rng.randint(1, 4)
        self.group = self.options(path)
        dtypes = [d for d in DTYPES if d != torch.float16 or self.group["momentum"] == 0 or rng.random() < 0.5]
        self.params = [self.param(rng.choice(dtypes)) for _ in range(1 if self.odd or torch.float16 in dtypes else rng.randint(1, 3))]
        self.sparse_dims = [rng.randint(0 if rng.random() < 0.1 else min(1, p.dim()), p.dim()) for p in self.params]

    def param(self, dtype: torch.dtype) -> torch.Tensor:
        shape = (self.rng.choice([2, 100, 20000]), ) if self.many else self.rng.choices(SHAPES, WEIGHTS)[0]
        return laid_out(self.rng, values(self.rng, shape, dtype, self.special),
                        ["plain", "plain", "plain", "permuted", "channels_last", "strided", "padded"])

    def entries(self, indexed: torch.Size, block: torch.Size) -> int:
        if indexed.numel() == 0:
            return 0
        most = 400_000 // max(block.numel(), 1)
        few, many = [0, 1, 2, 3, 5, 8, 16, 17, 40, 130], [17, 33, 100, 101, 700, 5000, 33000]
        return min(self.rng.choice(many if self.many else few), most)

    def grad(self, i: int) -> torch.Tensor:
        rng, param = self.rng, self.params[i]
        if rng.random() < self.dense:
            return laid_out(rng, values(rng, param.shape, param.dtype, self.special), ["plain", "permuted", "strided"])
        dims = self.sparse_dims[i] if not self.odd or rng.random() < 0.7 else rng.randint(0, param.dim())
        nnz = self.entries(param.shape[:dims], param.shape[dims:])
        columns = [torch.tensor([rng.randrange(n) for _ in range(nnz)], dtype=torch.int64) for n in param.shape[:dims]]
        indices = torch.stack(columns) if dims else torch.empty(0, nnz, dtype=torch.int64)
        if rng.random() < 0.5:
            indices = torch.unique(indices, dim=1) if dims else indices[:, :1]
        coalesced = bool((torch.unique(indices, dim=1).shape == indices.shape) if dims else indices.shape[1] < 2)
        ordered = coalesced and (not dims or torch.equal(torch.unique(indices, dim=1), indices))
        if rng.random() < 0.2:
            indices = indices.t().contiguous().t()
        plain = values(rng, (indices.shape[1], *param.shape[dims:]), param.dtype, self.special)
        made = laid_out(rng, plain, ["plain"] * 6 + ["permuted", "strided", "padded", "expanded"] if self.odd else ["plain"])
        if made.is_contiguous():  # torch takes stride(0) for the size of an entry, and writes beyond the param where it is not
            made = torch.empty(made.shape, dtype=made.dtype).copy_(made)
        return torch.sparse_coo_tensor(indices, made, param.shape, is_coalesced=bool(ordered and rng.random() < 0.8),
                                       check_invariants=False)

    def options(self, path: str) -> dict:
        rng = self.rng
        nesterov = rng.random() < 0.35
        lr = rng.choice([0.0, 1e-3, 0.1, 0.3, 3.14159, 1e-10])
        group = {"lr": lr, "momentum": rng.choice([0.9, 0.5, 0.99] if nesterov else [0, 0.9, 0.9, 0.5, 1e-9]),
                 "dampening": 0 if nesterov else rng.choice([0, 0, 0.1, 0.9, 0.058, 1]), "weight_decay": 0, "nesterov": nesterov,
                 "maximize": rng.random() < 0.3, "differentiable": False, "foreach": path == "foreach", "fused": False}
        if self.odd and rng.random() < 0.4:
            name, value = rng.choice([("lr", 1e5), ("lr", 1e39), ("lr", torch.tensor(0.1)), ("lr", torch.tensor(0.1, requires_grad=True)),
                                      ("weight_decay", 0.1), ("dampening", -1e39), ("momentum", torch.tensor(0.9)), ("fused", True)])
            group[name] = value
            group["nesterov"] &= name not in ("dampening", "momentum")
            group["foreach"] &= not group["fused"]
            self.dense *= not group["fused"]  # fused steps of dense gradients are others' business
        return group


# ---- comparison ---------------------------------------------------------------------------------------------------------


def check_bits(ours: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    assert ours.shape == theirs.shape, f"{what}: shape {tuple(ours.shape)}, torch {tuple(theirs.shape)}"
    different = bits(ours) != bits(theirs)
    if theirs.dtype.is_complex:  # the contract leaves their NaN payloads open
        parts = [torch.view_as_real(x.detach()).contiguous() for x in (ours, theirs)]
        different &= ~(parts[0].isnan() & parts[1].isnan())
    if different.any():
        index = tuple(different.nonzero()[0].tolist())
        raise AssertionError(f"{what}: {int(different.sum())} of {different.numel()} differ, first at {index}: "
                             f"{bits(ours)[index]:x}, torch {bits(theirs)[index]:x}; shape {tuple(theirs.shape)}, {theirs.dtype}")


def check_equal(ours: torch.Tensor | None, theirs: torch.Tensor | None, what: str) -> None:
    assert (ours is None) == (theirs is None), f"{what}: {'missing' if ours is None else 'torch has none'}"
    if theirs is None:
        return
    assert ours.is_sparse == theirs.is_sparse, f"{what}: sparse {ours.is_sparse}, torch {theirs.is_sparse}"
    if not theirs.is_sparse:
        check_bits(ours, theirs, what)
        return
    assert torch.equal(ours._indices(), theirs._indices()), f"{what}: indices {ours._indices()}, torch {theirs._indices()}"
    assert ours.is_coalesced() == theirs.is_coalesced(), f"{what}: coalesced {ours.is_coalesced()}"
    assert ours._values().is_contiguous() == theirs._values().is_contiguous(), f"{what}: values' layout"
    check_bits(ours._values(), theirs._values(), what + " values")


def attempt(step) -> tuple[object, Exception | None]:
    try:
        return step(), None
    except (RuntimeError, TypeError, ValueError, SgdError) as error:
        return None, error


def copied(grad: torch.Tensor | None) -> torch.Tensor | None:
    if grad is None or not grad.is_sparse:
        return None if grad is None else same_layout(grad)
    return torch.sparse_coo_tensor(same_layout(grad._indices()), same_layout(grad._values()), grad.shape,
                                   is_coalesced=grad.is_coalesced(), check_invariants=False)


class Foretold:
    """What the oracle says of a step, from torch's own state before it: params, buffers, gradients, the first refusal."""

    def __init__(self, params, optimizer, group: dict, threads: int):
        self.error, self.after = None, {}
        buffers = [optimizer.state[param].get("momentum_buffer") if param in optimizer.state else None for param in params]
        for i, (param, buffer) in enumerate(zip(params, buffers, strict=True)):
            if param.grad is None or not param.grad.is_sparse:
                continue
            missing = {b is None for p, b in zip(params, buffers, strict=True) if p.dtype == param.dtype and p.grad is not None}
            copy = same_layout(param)
            buffer = copied(buffer) if group["momentum"] != 0 else None
            made, refused = attempt(lambda: sparse_oracle.step(copy, copied(param.grad), buffer, group, len(missing) > 1, CONTRACT, threads))
            self.error = self.error or refused
            self.after[i] = (copy, *(made or ()))

    def check(self, params, optimizer, group: dict, what: str) -> None:
        for i, (param, buffer, grad) in self.after.items():
            theirs = params[i]
            if group["momentum"] != 0:
                check_equal(buffer, optimizer.state[theirs]["momentum_buffer"], f"{what}, buffer {i} of the oracle")
            check_equal(param, theirs.detach(), f"{what}, param {i} of the oracle")
            check_equal(grad, theirs.grad, f"{what}, grad {i} of the oracle")


def check_refusal(error: Exception | None, refused: Exception, what: str) -> None:
    assert type(error) is type(refused) and str(refused).startswith(str(error)), f"{what}: {error!r}, torch {refused!r}"


def compare(seed: int, path: str, threads: int = 1) -> int:
    """The steps that both took."""
    case = Case(seed, path, threads)
    # With threads, torch refuses more than 100 entries on a strided leaf that requires grad: its threads leave no_grad behind.
    theirs = [same_layout(param).requires_grad_(threads == 1) for param in case.params]
    params = [same_layout(param) for param in case.params]
    made, refused = attempt(lambda: torch.optim.SGD([{"params": theirs, **case.group}]))
    if refused:
        return 0
    with Ours(case.setting) as ours:
        for step in range(case.steps):
            grads = [None if case.rng.random() < 0.1 else case.grad(i) for i in range(len(params))]
            for param, grad in zip(theirs, grads, strict=True):
                param.grad = copied(grad)
            before = [same_layout(param) for param in params]
            foretold = Foretold(theirs, made, case.group, threads)
            _, refused = attempt(made.step)
            after, error = attempt(lambda: ours.step(params, grads, case.group))
            assert (refused is None) == (error is None), f"step {step}: raised {error!r}, torch {refused!r}"
            if refused:
                check_refusal(error, refused, f"step {step}")
                if all(grad is None or grad.is_sparse for grad in grads) and not (case.group["fused"] and theirs[0].is_complex()):
                    check_refusal(foretold.error, refused, f"step {step} of the oracle")
                for i, param in enumerate(before):
                    check_equal(params[i], param, f"step {step}, param {i} after an error")
                return step
            for i, param in enumerate(theirs):
                buffer = made.state[param].get("momentum_buffer") if param in made.state else None
                check_equal(ours.buffer(i, param.dtype), buffer, f"step {step}, buffer {i}")
                check_equal(params[i], param.detach(), f"step {step}, param {i}")
                check_equal(after[i], param.grad, f"step {step}, grad {i}")
            assert not foretold.error, f"step {step} of the oracle: {foretold.error!r}"
            foretold.check(theirs, made, case.group, f"step {step}")
    return case.steps


def compare_block(block: int, path: str, threads: int, cases: int = CASES_PER_TEST) -> None:
    torch.set_num_threads(threads)
    steps = 0
    for seed in range(block * cases, (block + 1) * cases):
        try:
            steps += compare(seed, path, threads)
        except (AssertionError, SgdError) as error:
            raise AssertionError(f"compare({seed}, {path!r}, {threads}) in {CONTRACTS[CONTRACT]}: {error}") from None
    assert steps > cases


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("threads", (1, 2))
def test_bits_differ_from_torch(path: str, threads: int) -> None:
    compare_block(threads, path, threads)


def test_bits_differ_from_torch_without_fma() -> None:
    """The same in a child process, whose capability is the other one."""
    code = "import test_sparse_against_torch as t\nfor path in t.PATHS:\n    t.compare_block(0, path, 1)\nassert t.CONTRACT == 1"
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=os.path.dirname(__file__), capture_output=True, text=True,
                           env=dict(os.environ, ATEN_CPU_CAPABILITY="default"))
    assert child.returncode == 0, child.stderr[-2000:]
