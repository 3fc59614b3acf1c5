"""The public C API through ctypes, just enough for tests: one optimizer over NumPy arrays of bits."""

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


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 512)]


lib = ctypes.CDLL(str(LIBRARY))
lib.sgd_backend_cpu.restype = ctypes.c_void_p
lib.sgd_isa_available.restype = ctypes.c_bool
lib.sgd_isa_name.restype = ctypes.c_char_p

ISAS = tuple(isa for isa in range(3) if lib.sgd_isa_available(isa))


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


def _tensor(array: np.ndarray, dtype: str) -> Tensor:
    shape = (ctypes.c_int64 * 1)(array.size)
    code = KDL_BFLOAT if dtype == "bf16" else KDL_FLOAT
    return Tensor(array.ctypes.data, KDL_CPU, 0, 1, code, array.itemsize * 8, 1, shape, None, 0)


def _check(status: int, error: Error) -> None:
    if status:
        raise RuntimeError(error.message.decode())


def run(
    dtype: str, params: list[np.ndarray], steps: list[list[np.ndarray | None]], hyper: Hyper, setting: Setting
) -> list[np.ndarray]:
    """Steps one param group and returns the params' bits, the momentum buffers' and the last gradients', in this order.

    `params` and every list in `steps` hold arrays of bits (None: no gradient); none of them is changed.
    """
    params = [array.copy() for array in params]
    options = Options(
        ctypes.sizeof(Options), hyper.lr, hyper.momentum, hyper.dampening, hyper.weight_decay, hyper.nesterov,
        hyper.maximize, False, setting.path == "foreach", setting.path == "fused",
    )
    backend = lib.sgd_backend_cpu(setting.isa)
    config = Config(
        ctypes.sizeof(Config), setting.contract, 0, setting.schedule, setting.torch_threads, setting.threads, backend
    )
    optimizer, error = ctypes.c_void_p(), Error()
    count = ctypes.c_size_t(len(params))
    descriptors = (Tensor * len(params))(*[_tensor(array, dtype) for array in params])
    _check(
        lib.sgd_optimizer_create(
            ctypes.byref(options), ctypes.byref(config), descriptors, count, ctypes.byref(optimizer), ctypes.byref(error)
        ),
        error,
    )
    try:
        grads: list[np.ndarray | None] = []
        for step in steps:
            grads = [None if grad is None else grad.copy() for grad in step]
            tensors = [None if grad is None else _tensor(grad, dtype) for grad in grads]
            pointers = (ctypes.POINTER(Tensor) * len(grads))(
                *[None if tensor is None else ctypes.pointer(tensor) for tensor in tensors]
            )
            _check(lib.sgd_optimizer_step(optimizer, pointers, count, ctypes.byref(error)), error)
        return params + _buffers(optimizer, params) + [grad for grad in grads if grad is not None]
    finally:
        lib.sgd_optimizer_destroy(optimizer)


def _buffers(optimizer: ctypes.c_void_p, params: list[np.ndarray]) -> list[np.ndarray]:
    buffers = []
    for i, param in enumerate(params):
        view = Tensor()
        lib.sgd_optimizer_momentum_buffer(optimizer, ctypes.c_size_t(i), ctypes.byref(view), None)
        copy = np.zeros_like(param)
        if view.data:
            ctypes.memmove(copy.ctypes.data, view.data, copy.nbytes)
        buffers.append(copy)
    return buffers
