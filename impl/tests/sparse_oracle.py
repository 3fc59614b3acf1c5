"""The sparse oracle (reference/contract/sparse_oracle.h) through ctypes."""

import ctypes
import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2] / "reference/contract/tests"))
from liboracle import DIMS, DTYPES, LIBRARY, Options  # noqa: E402

SPARSE_BUFFER, DENSE_BUFFER = 1, 2
ERRORS = {"RuntimeError": RuntimeError, "NotImplementedError": NotImplementedError}


class Sparse(ctypes.Structure):
    _fields_ = [
        ("sparse_dim", ctypes.c_size_t), ("nnz", ctypes.c_size_t), ("indices", ctypes.c_void_p), ("values", ctypes.c_void_p),
        ("strides", ctypes.c_int64 * (DIMS + 1)), ("coalesced", ctypes.c_bool),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("dtype", ctypes.c_int), ("ndim", ctypes.c_uint32), ("shape", ctypes.c_int64 * DIMS), ("param_strides", ctypes.c_int64 * DIMS),
        ("param", ctypes.c_void_p), ("grad", Sparse), ("buffer_kind", ctypes.c_int), ("buffer", Sparse),
        ("dense_buffer", ctypes.c_void_p), ("buffer_strides", ctypes.c_int64 * DIMS), ("new_buffer", Sparse), ("new_grad", Sparse),
        ("grad_changed", ctypes.c_bool),
    ]


lib = ctypes.CDLL(str(LIBRARY))
lib.sgd_oracle_create.restype = ctypes.c_void_p
lib.sgd_oracle_sparse_step.restype = ctypes.c_bool
lib.sgd_rulebook_torch.restype = ctypes.c_void_p
oracle = ctypes.c_void_p(lib.sgd_oracle_create(ctypes.c_void_p(lib.sgd_rulebook_torch()), None, ctypes.c_size_t(0)))


def value_of(option) -> float:
    return option.item() if isinstance(option, torch.Tensor) else float(option)


def dtype_of(option, own: torch.dtype) -> int:
    return DTYPES[option.dtype if isinstance(option, torch.Tensor) else own]


def options_of(group: dict, contract: int, threads: int, dtype: torch.dtype) -> Options:
    path = 2 if group["fused"] else 1 if group["foreach"] else 0
    grads = [path == 0 and getattr(group[name], "requires_grad", False) for name in ("lr", "weight_decay")]
    return Options(contract, path, 1, threads, *(value_of(group[name]) for name in ("lr", "momentum", "dampening", "weight_decay")),
                   group["nesterov"], group["maximize"], *grads, isinstance(group["momentum"], torch.Tensor),
                   dtype_of(group["lr"], dtype), dtype_of(group["weight_decay"], dtype), False, 0, False)


def borrowed(tensor: torch.Tensor) -> tuple[Sparse, list]:
    indices, values = tensor._indices().contiguous(), tensor._values()
    return Sparse(tensor.sparse_dim(), tensor._nnz(), indices.data_ptr(), values.data_ptr(), (*values.stride(),),
                  tensor.is_coalesced()), [indices, values]


def torch_of(sparse: Sparse, param: torch.Tensor) -> torch.Tensor:
    """A copy."""
    indices = torch.empty(sparse.sparse_dim, sparse.nnz, dtype=torch.int64)
    shape = (sparse.nnz, *param.shape[sparse.sparse_dim :])
    values = torch.empty_strided(shape, sparse.strides[: len(shape)], dtype=param.dtype)
    span = 1 + sum((n - 1) * s for n, s in zip(shape, values.stride())) if values.numel() else 0
    ctypes.memmove(indices.data_ptr(), sparse.indices, indices.numel() * 8)
    ctypes.memmove(values.data_ptr(), sparse.values, span * param.dtype.itemsize)
    return torch.sparse_coo_tensor(indices, values, param.shape, is_coalesced=sparse.coalesced, check_invariants=False)


def step(param: torch.Tensor, grad: torch.Tensor, buffer: torch.Tensor | None, group: dict, mixed: bool, contract: int,
         threads: int) -> tuple[torch.Tensor | None, torch.Tensor]:
    """The momentum buffer and p.grad after a step that changes `param`, and `buffer` where that is dense."""
    message = ctypes.create_string_buffer(512)
    sparse, kept = borrowed(grad)
    tensor = Tensor(DTYPES[param.dtype], param.dim(), (*param.shape,), (*param.stride(),), param.data_ptr(), sparse)
    if buffer is not None and buffer.is_sparse:
        tensor.buffer_kind = SPARSE_BUFFER
        tensor.buffer, more = borrowed(buffer)
        kept.append(more)
    elif buffer is not None:
        tensor.buffer_kind, tensor.dense_buffer, tensor.buffer_strides = DENSE_BUFFER, buffer.data_ptr(), (*buffer.stride(),)
    options = options_of(group, contract, threads, param.dtype)
    if not lib.sgd_oracle_sparse_step(oracle, ctypes.byref(options), mixed, ctypes.byref(tensor), message, ctypes.c_size_t(512)):
        kind, _, text = message.value.decode().partition(": ")
        raise ERRORS.get(kind, AssertionError)(text)
    made = torch_of(tensor.new_buffer, param) if tensor.new_buffer.values else None
    after = torch_of(tensor.new_grad, param) if tensor.grad_changed else grad
    lib.sgd_oracle_sparse_free(ctypes.byref(tensor.new_buffer))
    lib.sgd_oracle_sparse_free(ctypes.byref(tensor.new_grad))
    return (buffer if made is None else made), after
