"""The oracle (../oracle.h) through ctypes: one step over the memory of torch tensors."""

import ctypes
import os
from pathlib import Path

import torch

LIBRARY = os.environ.get("SGD_ORACLE", Path(__file__).parents[3] / "build/default/reference/contract/libsgd_oracle.so")

DIMS = 8
DTYPES = {torch.float64: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 3, torch.complex64: 4, torch.complex128: 5}
PATHS = ("forloop", "foreach", "fused")
FMA, BASE = 0, 1
FIX, REPRODUCE = 0, 1
CONTRACT = BASE if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else FMA


class Options(ctypes.Structure):
    _fields_ = [
        ("contract", ctypes.c_int), ("path", ctypes.c_int), ("defects", ctypes.c_int), ("torch_threads", ctypes.c_uint32),
        ("lr", ctypes.c_double), ("momentum", ctypes.c_double), ("dampening", ctypes.c_double), ("weight_decay", ctypes.c_double),
        ("nesterov", ctypes.c_bool), ("maximize", ctypes.c_bool),
        ("lr_addcmul", ctypes.c_bool), ("weight_decay_addcmul", ctypes.c_bool), ("momentum_is_tensor", ctypes.c_bool),
        ("lr_dtype", ctypes.c_int), ("weight_decay_dtype", ctypes.c_int), ("momentum_dtype", ctypes.c_int),
        ("has_grad_scale", ctypes.c_bool), ("grad_scale", ctypes.c_float), ("found_inf", ctypes.c_bool),
    ]  # fmt: skip


class Layout(ctypes.Structure):
    _fields_ = [
        ("ndim", ctypes.c_uint32), ("shape", ctypes.c_int64 * DIMS), ("param_strides", ctypes.c_int64 * DIMS),
        ("grad_strides", ctypes.c_int64 * DIMS), ("buffer_strides", ctypes.c_int64 * DIMS),
    ]  # fmt: skip


class Tensor(ctypes.Structure):
    _fields_ = [
        ("dtype", ctypes.c_int), ("numel", ctypes.c_size_t), ("param", ctypes.c_void_p), ("grad", ctypes.c_void_p),
        ("buffer", ctypes.c_void_p), ("has_buffer", ctypes.c_bool), ("undefined", ctypes.c_void_p),
        ("layout", ctypes.POINTER(Layout)),
    ]  # fmt: skip


lib = ctypes.CDLL(str(LIBRARY))
lib.sgd_oracle_create.restype = ctypes.c_void_p
lib.sgd_oracle_step.restype = ctypes.c_bool
lib.sgd_oracle_storage_defect.restype = ctypes.c_char_p
lib.sgd_rulebook_torch.restype = ctypes.c_void_p
book = ctypes.c_void_p(lib.sgd_rulebook_torch())
oracle = ctypes.c_void_p(lib.sgd_oracle_create(book, None, ctypes.c_size_t(0)))


def nans_are_open(path: int, dtype: torch.dtype) -> bool:
    return lib.sgd_rulebook_nan(book, CONTRACT, path, DTYPES[dtype]) != 0


class State:
    """A parameter as the oracle keeps it: memory of its own with the layout of `param`, a buffer, its undefined elements."""

    def __init__(self, param: torch.Tensor, with_layout: bool):
        self.param = param
        self.buffer_memory = torch.zeros(param.numel() + 1, dtype=param.dtype)
        self.undefined = torch.zeros(param.numel() + 1, dtype=torch.uint8)
        self.layout = Layout(param.dim(), (*param.shape,), (*param.stride(),)) if with_layout else None
        self.has_buffer = False
        self.grad = None

    def c_tensor(self) -> Tensor:
        if self.layout and self.grad is not None:
            self.layout.grad_strides = (*self.grad.stride(),)
        return Tensor(
            DTYPES[self.param.dtype], self.param.numel(), self.param.data_ptr() or 8,
            None if self.grad is None else self.grad.data_ptr() or 8, self.buffer_memory.data_ptr(), self.has_buffer,
            self.undefined.data_ptr(), ctypes.pointer(self.layout) if self.layout else None,
        )  # fmt: skip

    @property
    def buffer(self) -> torch.Tensor | None:
        if not self.has_buffer:
            return None
        strides = self.layout.buffer_strides[: self.param.dim()] if self.layout else torch.empty(self.param.shape).stride()
        return torch.as_strided(self.buffer_memory, self.param.shape, tuple(strides))


def step(options: Options, states: list[State]) -> bool:
    tensors = (Tensor * len(states))(*(state.c_tensor() for state in states))
    done = lib.sgd_oracle_step(oracle, ctypes.byref(options), tensors, ctypes.c_size_t(len(states)))
    for state, tensor in zip(states, tensors, strict=True):
        state.has_buffer = tensor.has_buffer
    return done
