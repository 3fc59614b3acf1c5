"""Which engine a process with PyTorch uses: its contract, its threads, its plain tensors."""

import os

import torch
import torch.utils.dlpack

from ._core import Engine

PLAIN_TENSORS = (torch.nn.Parameter, torch.Tensor)
"""Types whose tensors are memory and nothing else."""

DEFECTS = ("fix", "reproduce")

_process = os.getpid()


def contract() -> str:
    """The name of the bits that this PyTorch computes on this machine."""
    return "torch-2.13/cpu-base" if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else "torch-2.13/cpu-fma"


def make_engine(defects: str) -> Engine:
    """An engine for PyTorch's tensors.  Raises ValueError for `defects` other than "fix" and "reproduce"."""
    return Engine(contract(), defects, PLAIN_TENSORS)


def threads_of_torch() -> int:
    """torch.get_num_threads(), which decides bits: where PyTorch's chunks of 16-bit and complex tensors begin."""
    return torch.get_num_threads()


def threads_to_use() -> int:
    """How many threads compute, which decides none.  One in a forked child, where OpenMP's team is gone."""
    return torch.get_num_threads() if os.getpid() == _process else 1


def empty_buffer(grad: torch.Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
    """Memory for a momentum buffer."""
    return torch.empty_strided(shape, strides, dtype=grad.dtype, device=grad.device)


def adopt_sparse(
    old: torch.Tensor | None, indices: object, values: object, shape: tuple[int, ...], coalesced: bool
) -> torch.Tensor:
    """A COO tensor like the library's; where there is an old one, that one gets its value."""
    from_dlpack = torch.utils.dlpack.from_dlpack
    new = torch.sparse_coo_tensor(from_dlpack(indices), from_dlpack(values), shape, check_invariants=False,
                                  is_coalesced=coalesced)
    return new.clone() if old is None else old.copy_(new)
