"""The public C API through ctypes, just enough for tests: an optimizer over NumPy arrays of bits."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIBRARY = os.environ.get("SGD_LIBRARY", Path(__file__).parents[2] / "build/default/impl/libsgd.so")

DTYPES = ("f64", "f32", "f16", "bf16")
BITS = {"f64": np.uint64, "f32": np.uint32, "f16": np.uint16, "bf16": np.uint16}
PATHS = ("forloop", "foreach", "fused")
CONTRACTS = ("torch-2.13/cpu-fma", "torch-2.13/cpu-base")
KDL_CPU, KDL_FLOAT, KDL_BFLOAT = 1, 2, 4


class TensorOption(ctypes.Structure):
    _fields_ = [("tensor", ctypes.c_void_p), ("requires_grad", ctypes.c_bool)]


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("lr", ctypes.c_double),
        ("momentum", ctypes.c_double),
        ("dampening", ctypes.c_double),
        ("weight_decay", ctypes.c_double),
        ("nesterov", ctypes.c_bool),
        ("maximize", ctypes.c_bool),
        ("differentiable", ctypes.c_bool),
        ("foreach", ctypes.c_int),
        ("fused", ctypes.c_int),
        ("lr_tensor", TensorOption),
        ("momentum_tensor", TensorOption),
        ("dampening_tensor", TensorOption),
        ("weight_decay_tensor", TensorOption),
    ]


class Config(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("contract", ctypes.c_int),
        ("defects", ctypes.c_int),
        ("schedule", ctypes.c_int),
        ("torch_threads", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("backend", ctypes.c_void_p),
    ]


class Tensor(ctypes.Structure):
    """DLTensor of dlpack.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int),
        ("device_id", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


class Item(ctypes.Structure):
    """sgd_item of functional.h."""

    _fields_ = [
        ("param", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("buffer", ctypes.c_void_p),
        ("has_buffer", ctypes.c_bool),
        ("sparse_grad", ctypes.c_void_p),
        ("sparse_buffer", ctypes.c_void_p),
    ]


class Scaling(ctypes.Structure):
    _fields_ = [("grad_scale", ctypes.c_void_p), ("found_inf", ctypes.c_void_p)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 512)]


lib = ctypes.CDLL(str(LIBRARY))
lib.sgd_backend_cpu.restype = ctypes.c_void_p
lib.sgd_isa_available.restype = ctypes.c_bool
lib.sgd_isa_name.restype = ctypes.c_char_p

ISAS = tuple(isa for isa in range(3) if lib.sgd_isa_available(isa))


def plain_backend(isa: int) -> ctypes.Array:
    """The CPU backend without run_strided and strided_scratch, its last members: strided tensors are then copied as wholes."""
    backend = lib.sgd_backend_cpu(isa)
    size = ctypes.c_size_t.from_address(backend).value
    copy = (ctypes.c_char * size).from_buffer_copy(ctypes.string_at(backend, size))
    ctypes.memset(ctypes.addressof(copy) + size - 2 * ctypes.sizeof(ctypes.c_void_p), 0, 2 * ctypes.sizeof(ctypes.c_void_p))
    return copy


@dataclass(frozen=True)
class Hyper:
    """The options of torch.optim.SGD."""

    lr: float = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    maximize: bool = False


@dataclass(frozen=True)
class Setting:
    """Which bits (path, contract, torch_threads) and how they are computed (schedule, isa, threads)."""

    path: str = "forloop"
    contract: int = 0
    torch_threads: int = 1
    schedule: int = 0
    isa: int = 0
    threads: int = 1
    defects: int = 0


class SgdError(Exception):
    """The library's message, which is PyTorch's where PyTorch has one."""


def _tensor(array: np.ndarray, dtype: str) -> Tensor:
    shape = (ctypes.c_int64 * 1)(array.size)
    code = KDL_BFLOAT if dtype == "bf16" else KDL_FLOAT
    return Tensor(array.ctypes.data, KDL_CPU, 0, 1, code, array.itemsize * 8, 1, shape, None, 0)


def _options(hyper: Hyper, path: str) -> Options:
    return Options(
        ctypes.sizeof(Options), hyper.lr, hyper.momentum, hyper.dampening, hyper.weight_decay, hyper.nesterov,
        hyper.maximize, False, path == "foreach", path == "fused",
    )


class Optimizer:
    """An optimizer over param groups: lists of (dtype, array of bits), which are stepped in place."""

    def __init__(self, groups: list[list[tuple[str, np.ndarray]]], hypers: list[Hyper], setting: Setting):
        self.setting = setting
        self.params = [param for group in groups for param in group]
        self._handle, self._error = ctypes.c_void_p(), Error()
        config = Config(
            ctypes.sizeof(Config), setting.contract, setting.defects, setting.schedule, setting.torch_threads,
            setting.threads, lib.sgd_backend_cpu(setting.isa),
        )
        for number, (group, hyper) in enumerate(zip(groups, hypers, strict=True)):
            options = _options(hyper, setting.path)
            tensors = (Tensor * len(group))(*[_tensor(array, dtype) for dtype, array in group])
            count, error = ctypes.c_size_t(len(group)), ctypes.byref(self._error)
            if number == 0:
                self._check(lib.sgd_optimizer_create(ctypes.byref(options), ctypes.byref(config), tensors, count,
                                                     ctypes.byref(self._handle), error))
            else:
                self._check(lib.sgd_optimizer_add_group(self._handle, ctypes.byref(options), tensors, count, error))

    def __enter__(self) -> "Optimizer":
        return self

    def __exit__(self, *_) -> None:
        lib.sgd_optimizer_destroy(self._handle)

    def _check(self, status: int) -> None:
        if status:
            raise SgdError(self._error.message.decode())

    def set_hyper(self, group: int, hyper: Hyper) -> None:
        options = _options(hyper, self.setting.path)
        self._check(lib.sgd_optimizer_set_options(self._handle, ctypes.c_size_t(group), ctypes.byref(options),
                                                  ctypes.byref(self._error)))

    def step(self, grads: list[np.ndarray | None]) -> None:
        """One gradient per parameter, over all groups (None: no gradient); written where PyTorch writes p.grad."""
        tensors = [None if grad is None else _tensor(grad, dtype)
                   for grad, (dtype, _) in zip(grads, self.params, strict=True)]
        pointers = (ctypes.POINTER(Tensor) * len(tensors))(
            *[None if tensor is None else ctypes.pointer(tensor) for tensor in tensors])
        self._check(lib.sgd_optimizer_step(self._handle, pointers, ctypes.c_size_t(len(tensors)),
                                           ctypes.byref(self._error)))

    def buffer(self, index: int) -> np.ndarray | None:
        """A copy of a momentum buffer; None where the state has none."""
        view = Tensor()
        lib.sgd_optimizer_momentum_buffer(self._handle, ctypes.c_size_t(index), ctypes.byref(view), None)
        if not view.data:
            return None
        copy = np.zeros_like(self.params[index][1])
        ctypes.memmove(copy.ctypes.data, view.data, copy.nbytes)
        return copy


def run(
    dtype: str, params: list[np.ndarray], steps: list[list[np.ndarray | None]], hyper: Hyper, setting: Setting
) -> list[np.ndarray]:
    """Steps one param group and returns the params' bits, the momentum buffers' and the last gradients', in this order.

    `params` and every list in `steps` hold arrays of bits (None: no gradient); none of them is changed.
    """
    params = [array.copy() for array in params]
    grads: list[np.ndarray | None] = []
    with Optimizer([[(dtype, param) for param in params]], [hyper], setting) as optimizer:
        for step in steps:
            grads = [None if grad is None else grad.copy() for grad in step]
            optimizer.step(grads)
        buffers = [optimizer.buffer(i) for i in range(len(params))]
    missing = [np.zeros_like(param) if buffer is None else buffer for buffer, param in zip(buffers, params)]
    return params + missing + [grad for grad in grads if grad is not None]
