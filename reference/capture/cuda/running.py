"""Steps torch.optim.SGD over one run on a device.  Nothing here computes: what comes back is what PyTorch left in memory."""

from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import torch

from ..stepping import FLAGS_OF_PATH
from .runs import BUFFER, GRAD, PARAM, WIDTHS, Run, State, Words

TORCH_DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
                "c64": torch.complex64, "c128": torch.complex128}
INTEGERS = {64: (torch.int64, np.int64), 32: (torch.int32, np.int32), 16: (torch.int16, np.int16)}


def states_of(run: Run, device: str) -> list[State]:
    """`.grad`, parameter and buffer after every step.  Raises whatever PyTorch raises."""
    param = torch.nn.Parameter(placed(run, run.param, PARAM, device))
    lr = run.lr
    if run.lr_is_tensor:
        lr = torch.tensor(run.lr, dtype=torch.float32, device=device, requires_grad=run.lr_is_tensor == 2)
    optimizer = torch.optim.SGD([param], lr=lr, momentum=run.momentum, dampening=run.dampening, weight_decay=run.weight_decay,
                                nesterov=run.nesterov, maximize=run.maximize, **FLAGS_OF_PATH[run.path])
    if run.buffer is not None:
        optimizer.state[param]["momentum_buffer"] = placed(run, run.buffer, BUFFER, device)
    if run.grad_scale is not None:
        optimizer.grad_scale = torch.tensor(run.grad_scale, dtype=torch.float32, device=device)
    states = []
    for grad, found_inf in zip(run.grads, run.found_inf):
        param.grad = placed(run, grad, GRAD, device)
        if found_inf is not None:
            optimizer.found_inf = torch.tensor(found_inf, dtype=torch.float32, device=device)
        with buffers_made_here(run, device) if run.path == "fused" else nullcontext():
            optimizer.step()
        buffer = optimizer.state.get(param, {}).get("momentum_buffer")
        states.append((words_of(run, param.grad), words_of(run, param),
                       np.zeros_like(run.param) if buffer is None else words_of(run, buffer)))
    return states


@contextmanager
def buffers_made_here(run: Run, device: str):
    """The buffer that the fused path makes in its first step is placed as the run says and zeroed, not left as memory happens to be."""
    with mock.patch.object(torch, "empty_like", lambda like: placed(run, np.zeros_like(run.param), BUFFER, device)):
        yield


def placed(run: Run, words: Words, tensor: int, device: str) -> torch.Tensor:
    """A new tensor with these bits, one element behind an aligned address if the run's `misaligned` names the tensor."""
    integers, plain = INTEGERS[WIDTHS[run.dtype]]
    skipped = run.words // max(run.numel, 1) if run.misaligned & tensor else 0
    memory = torch.zeros(words.size + skipped, dtype=integers, device=device)
    memory[skipped:] = torch.from_numpy(words.view(plain).copy()).to(device)
    placed_one = memory[skipped:].view(TORCH_DTYPES[run.dtype])
    if placed_one.data_ptr() % 64 != (skipped * WIDTHS[run.dtype] // 8 if words.size else 0):
        raise RuntimeError(f"{device}: the allocator's addresses are not multiples of 64")
    return placed_one


def words_of(run: Run, tensor: torch.Tensor) -> Words:
    """A copy of the tensor's bits, shape (run.words,)."""
    flat = torch.view_as_real(tensor.detach()).reshape(-1) if tensor.is_complex() else tensor.detach()
    return flat.view(INTEGERS[WIDTHS[run.dtype]][0]).cpu().numpy().view(run.uint).copy()
