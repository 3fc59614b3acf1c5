"""sgd_step_vjp beside autograd over torch.optim.SGD(differentiable=True), to the last bit.

Derivatives by params, gradients and buffers are compared on random numbers. Those by options are sums, whose order is nobody's
promise: they are compared on numbers of so few bits that no order rounds anything.
"""

import ctypes
import itertools
import random

import pytest
from libsgd import Error, Options, Tensor, TensorOption, lib

torch = pytest.importorskip("torch")
if not torch.__version__.startswith("2.13.0"):
    pytest.skip("the derivatives are torch 2.13.0's", allow_module_level=True)

STEPS, SHAPE = 3, (5, 7)
SCALARS = ("lr", "momentum", "dampening", "weight_decay")


class Item(ctypes.Structure):
    """sgd_vjp_item of vjp.h."""

    _fields_ = [
        ("param", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("buffer", ctypes.c_void_p),
        ("d_param", ctypes.c_void_p),
        ("d_buffer", ctypes.c_void_p),
        ("has_d_buffer", ctypes.c_bool),
        ("d_grad", ctypes.c_void_p),
    ]


class Scalars(ctypes.Structure):
    """sgd_vjp_options of vjp.h."""

    _fields_ = [(name, ctypes.c_double) for name in SCALARS]


class Case:
    """Options, tensors and cotangents of a run, drawn from a seed; `dyadic` ones have few bits."""

    def __init__(self, seed: int, dtype: torch.dtype, options: dict, has_buffer: bool, dyadic: bool):
        generator = torch.Generator().manual_seed(seed)
        self.seed, self.options, self.dtype = seed, options, dtype

        def draw() -> torch.Tensor:
            if dyadic:
                return torch.randint(-3, 4, SHAPE, generator=generator).to(dtype)
            return torch.randn(SHAPE, generator=generator, dtype=torch.float64).to(dtype)

        self.param, self.grads = draw(), [draw() for _ in range(STEPS)]
        self.buffer = draw() if has_buffer and options["momentum"] else None
        self.param_weight, self.buffer_weight = draw(), draw()
        self.loss_has_buffer = bool(seed % 2) and bool(options["momentum"])

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.dtype}, {self.options}, buffer {self.buffer is not None}"


def leaf(value) -> torch.Tensor:
    return torch.as_tensor(value).clone().requires_grad_()


def stock(case: Case, leaves: dict, tensors: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor | None, list]:
    """A run of torch.optim.SGD(differentiable=True): final param and buffer, and the record of each step."""
    param = leaves["param"].clone()
    options = case.options | {name: leaves[name] for name in tensors}
    optimizer = torch.optim.SGD([param], differentiable=True, **options)
    if case.buffer is not None:
        optimizer.state[param]["momentum_buffer"] = leaves["buffer"].clone()
    records = []
    for i in range(STEPS):
        buffer = optimizer.state[param].get("momentum_buffer")
        records.append([param.detach().clone(), None if buffer is None else buffer.detach().clone()])
        param.grad = leaves[f"grad {i}"].clone()
        optimizer.step()
    return param, optimizer.state[param].get("momentum_buffer"), records


def written_out(case: Case, leaves: dict) -> tuple[torch.Tensor, torch.Tensor | None, list]:
    """The same without an operation in place and with every option a tensor, so that autograd can differentiate all of it."""
    lr, momentum, dampening, weight_decay = (leaves[name] for name in SCALARS)
    param, buffer, records = leaves["param"], leaves.get("buffer"), []
    for i in range(STEPS):
        records.append([param.detach().clone(), None if buffer is None else buffer.detach().clone()])
        grad = leaves[f"grad {i}"]
        grad = -grad if case.options["maximize"] else grad
        grad = grad + weight_decay * param
        if case.options["momentum"]:
            buffer = grad.detach().clone() if buffer is None else momentum * buffer + (1 - dampening) * grad
            grad = grad + momentum * buffer if case.options["nesterov"] else buffer
        param = param - lr * grad
    return param, buffer, records


def autograd(case: Case, run, scalars: tuple[str, ...]) -> tuple[dict, list]:
    leaves = {name: leaf(torch.tensor(case.options[name], dtype=torch.float64)) for name in scalars}
    leaves |= {"param": leaf(case.param)} | {f"grad {i}": leaf(grad) for i, grad in enumerate(case.grads)}
    if case.buffer is not None:
        leaves["buffer"] = leaf(case.buffer)
    param, buffer, records = run(case, leaves)
    outputs, weights = [param], [case.param_weight]
    if case.loss_has_buffer and buffer.requires_grad:
        outputs, weights = [param, buffer], [case.param_weight, case.buffer_weight]
    derivatives = torch.autograd.grad(outputs, list(leaves.values()), weights, allow_unused=True)
    return dict(zip(leaves, derivatives, strict=True)), records


def descriptor(tensor: torch.Tensor | None, kept: list) -> int | None:
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    shape = (ctypes.c_int64 * tensor.dim())(*tensor.shape)
    view = Tensor(tensor.data_ptr(), 1, 0, tensor.dim(), 2, tensor.element_size() * 8, 1, shape, None, 0)
    kept += [tensor, view]
    return ctypes.addressof(view)


def ours(case: Case, records: list) -> dict:
    options = Options(ctypes.sizeof(Options), *(case.options[name] for name in SCALARS), case.options["nesterov"],
                      case.options["maximize"], True, -1, -1, *[TensorOption(None, False)] * 4)
    d_param, d_buffer = case.param_weight.clone(), case.buffer_weight.clone()
    item, sums, error, result, kept = Item(), Scalars(), Error(), {}, []
    item.d_param, item.d_buffer = descriptor(d_param, kept), descriptor(d_buffer, kept)
    item.has_d_buffer = case.loss_has_buffer
    for i in reversed(range(STEPS)):
        d_grad = result[f"grad {i}"] = torch.full_like(d_param, float("nan"))
        item.param, item.grad = descriptor(records[i][0], kept), descriptor(case.grads[i], kept)
        item.buffer, item.d_grad = descriptor(records[i][1], kept), descriptor(d_grad, kept)
        assert not lib.sgd_step_vjp(ctypes.byref(options), ctypes.byref(item), ctypes.c_size_t(1), ctypes.byref(sums),
                                    ctypes.byref(error)), error.message
    result |= {"param": d_param, "buffer": d_buffer if item.has_d_buffer else None}
    return result | {name: torch.tensor(getattr(sums, name), dtype=torch.float64) for name in SCALARS}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.int64 if tensor.dtype == torch.float64 else torch.int32)


def check(case: Case, run, scalars: tuple[str, ...] = ()) -> None:
    expected, records = autograd(case, run, scalars)
    got = ours(case, records)
    for name, derivative in expected.items():
        if derivative is None:  # no path leads there
            derivative = torch.zeros_like(got[name])
        if name in SCALARS:  # of either sign, where it is zero
            assert got[name] == derivative, f"{name}: {got[name]} instead of {derivative}; {case}"
        else:
            assert torch.equal(bits(got[name]), bits(derivative)), f"{name}: bits differ; {case}"


def cases(dtype: torch.dtype, dyadic: bool):
    """Every branch of a step, with options of few bits or of many."""
    seeds = itertools.count(1)
    for momentum, has_decay, nesterov, dampens, maximize, has_buffer, _ in itertools.product(*[(False, True)] * 6, range(4)):
        if (nesterov and (dampens or not momentum)) or (has_buffer and not momentum):
            continue
        seed = next(seeds)
        draw = random.Random(seed)
        value = (lambda: draw.choice((0.25, 0.5, 0.75))) if dyadic else (lambda: draw.uniform(0.01, 0.99))
        options = {"lr": value(), "momentum": value() if momentum else 0.0, "dampening": value() if dampens else 0.0,
                   "weight_decay": value() if has_decay else 0.0, "nesterov": nesterov, "maximize": maximize}
        yield Case(seed, dtype, options, has_buffer, dyadic)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32))
def test_derivatives_by_tensors_have_autograds_bits(dtype):
    for case in cases(dtype, dyadic=False):
        check(case, lambda case, leaves: stock(case, leaves, ()))


def test_derivatives_by_options_are_what_pytorchs_optimizer_gives():
    """Options as tensors that require grad, wherever PyTorch takes them and its backward works."""
    compared = 0
    for case in cases(torch.float64, dyadic=True):
        scalars = ["lr"] if case.options["nesterov"] or not case.options["momentum"] else []
        scalars += ["weight_decay"] if case.options["weight_decay"] else []
        scalars += ["momentum"] if case.options["momentum"] and not case.options["nesterov"] else []
        compared += len(scalars)
        check(case, lambda case, leaves: stock(case, leaves, tuple(scalars)), tuple(scalars))
    assert compared > 100


def test_derivatives_by_options_are_right_where_pytorch_has_none():
    """By every option of every case, against autograd over the step written out."""
    for case in cases(torch.float64, dyadic=True):
        check(case, written_out, SCALARS)


def test_pytorchs_backward_still_raises_where_ours_does_not():
    """What vjp.h says of PyTorch: lr that requires grad, momentum without nesterov, more than one step."""
    raising = [case for case in cases(torch.float64, dyadic=True)
               if case.options["momentum"] and not case.options["nesterov"]]
    assert raising
    for case in raising:
        with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
            autograd(case, lambda case, leaves: stock(case, leaves, ("lr",)), ("lr",))
