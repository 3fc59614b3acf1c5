"""The CPU backend's struct (kernels/backend.h) through ctypes, over contiguous torch tensors."""

import ctypes
import os
from pathlib import Path

import torch

LIBRARY = os.environ.get("SGD_LIBRARY", Path(__file__).parents[3] / "build/default/impl/libsgd.so")

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128)
"""In the order of names.def."""
FORLOOP, FOREACH, FUSED = range(3)
CONTIGUOUS, BROADCAST, BROADCAST_OTHER, STRIDED, STRIDED_IN_PLACE = range(5)
FIX, REPRODUCE = range(2)

CONTRACT = 1 if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else 0
"""cpu-base or cpu-fma: what torch computes in this process."""

pointer, size = ctypes.c_void_p, ctypes.c_size_t


class Arithmetic(ctypes.Structure):
    _fields_ = [("struct_size", size), ("contract", ctypes.c_int), ("path", ctypes.c_int), ("defects", ctypes.c_int),
                ("torch_threads", ctypes.c_uint32), ("threads", ctypes.c_uint32)]


class Hyper(ctypes.Structure):
    _fields_ = [("struct_size", size), ("lr", ctypes.c_double), ("momentum", ctypes.c_double),
                ("dampening", ctypes.c_double), ("weight_decay", ctypes.c_double), ("nesterov", ctypes.c_bool),
                ("maximize", ctypes.c_bool), ("lr_addcmul", ctypes.c_bool), ("weight_decay_addcmul", ctypes.c_bool),
                ("grad_scale", ctypes.POINTER(ctypes.c_float))]


class StepTensor(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int), ("first", ctypes.c_bool), ("write_grad", ctypes.c_bool), ("numel", size),
                ("param", pointer), ("grad", pointer), ("buffer", pointer)]


class Operand(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int), ("inner", ctypes.c_int), ("numel", size), ("row", size), ("out", pointer),
                ("x", pointer), ("y", pointer)]


def _function(*arguments):
    return ctypes.CFUNCTYPE(ctypes.c_int, pointer, *arguments)


_arithmetic, _operands, _double = ctypes.POINTER(Arithmetic), ctypes.POINTER(Operand), ctypes.c_double
_integers = ctypes.POINTER(ctypes.c_int64)


class Struct(ctypes.Structure):
    _fields_ = [
        ("struct_size", size), ("abi_version", ctypes.c_uint32), ("name", ctypes.c_char_p), ("context", pointer),
        ("dl_device", ctypes.c_int32), ("claims", pointer), ("claim_count", size), ("allocate", pointer),
        ("release", pointer), ("synchronize", pointer),
        ("step", _function(_arithmetic, ctypes.POINTER(Hyper), size, ctypes.POINTER(StepTensor))),
        ("negate", _function(_arithmetic, size, _operands)),
        ("copy", _function(_arithmetic, size, _operands)),
        ("axpy", _function(_arithmetic, _double, size, _operands)),
        ("scale", _function(_arithmetic, _double, size, _operands)),
        ("addcmul", _function(_arithmetic, _double, _double, size, _operands)),
        ("copy_strided", _function(size, ctypes.c_int32, _integers, pointer, _integers, pointer, _integers)),
    ]


_library = ctypes.CDLL(str(LIBRARY))
_library.sgd_backend_cpu.restype = ctypes.POINTER(Struct)
_library.sgd_isa_name.restype = ctypes.c_char_p
ISAS = {_library.sgd_isa_name(isa).decode(): _library.sgd_backend_cpu(isa).contents
        for isa in range(16) if _library.sgd_isa_name(isa) and _library.sgd_backend_cpu(isa)}
"""The backends that run on this machine, by instruction set."""


def arithmetic(path: int, threads: int = 1, defects: int = REPRODUCE) -> Arithmetic:
    """What torch computes in this process at its present thread count."""
    return Arithmetic(ctypes.sizeof(Arithmetic), CONTRACT, path, defects, torch.get_num_threads(), threads)


def operand(out, x, y=None, row: int = 0, inner: int = CONTIGUOUS) -> Operand:
    assert all(t is None or t.is_contiguous() for t in (out, x, y))
    return Operand(DTYPES.index(out.dtype), inner, out.numel(), row, out.data_ptr(), x.data_ptr(),
                   None if y is None else y.data_ptr())


def call(backend: Struct, name: str, arithmetic: Arithmetic, *arguments) -> None:
    """negate, copy, axpy, scale or addcmul of one operand, which comes last."""
    *scalars, one = arguments
    status = getattr(backend, name)(backend.context, ctypes.byref(arithmetic), *scalars, 1, ctypes.byref(one))
    assert status == 0, f"{name} answers {status}"


def step(backend: Struct, arithmetic: Arithmetic, options: dict, param, grad, buffer, first: bool, write_grad: bool) -> None:
    """One step of one tensor; `options` are members of sgd_hyper, grad_scale a number or None."""
    options = dict(options)
    scale = options.pop("grad_scale", None)
    hyper = Hyper(struct_size=ctypes.sizeof(Hyper), **options)
    if scale is not None:
        hyper.grad_scale = ctypes.pointer(ctypes.c_float(scale))
    tensor = StepTensor(DTYPES.index(param.dtype), first, write_grad, param.numel(), param.data_ptr(), grad.data_ptr(),
                        None if buffer is None else buffer.data_ptr())
    status = backend.step(backend.context, ctypes.byref(arithmetic), ctypes.byref(hyper), 1, ctypes.byref(tensor))
    assert status == 0, f"step answers {status}"
