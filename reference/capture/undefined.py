"""Which momentum buffer elements PyTorch leaves to chance in fused runs of 16-bit dtypes (pytorch#191763).

From a tensor's second gradient on, the kernel's blocks of 16 elements take their momentum from the wrong places of the old buffer: element
j of the block at b from elements b + 2j and b + 2j + 1, from j = 8 on from b + 2j - 8 and b + 2j - 7.  That reaches eight elements past the
block: past the end of the buffer, where anything may lie, or into the part of the next thread, which may have been there already.
"""

from math import ceil

import numpy as np

from .model import Problem, contiguous

BLOCK = 16
THREAD_UNIT = 32
"""Threads get whole multiples of so many elements."""


def undefined_after(problem: Problem, threads: int) -> list[list[np.ndarray]]:
    """For each step, for each tensor, booleans of shape (numel,): the elements of its buffer that a fused run leaves to chance.

    The kernel counts in the order of memory, the result is in row-major order.
    """
    tensors = [(group, tensor) for group in problem.groups for tensor in group.tensors]
    masks = [np.zeros(tensor.numel, bool) for _, tensor in tensors]
    places: list[np.ndarray | None] = [None] * len(masks)
    result = []
    for step in range(problem.steps):
        for index, (group, tensor) in enumerate(tensors):
            if tensor.grads[step] is None or group.hyper_at(step).momentum == 0 or problem.skips(step):
                continue
            if places[index] is None:
                layout = tensor.grad_layout(step) or contiguous(tensor.numel)
                places[index] = layout.places()  # the buffer's are empty_like(grad)'s
            elif tensor.dtype.width == 16:
                masks[index] = _next_mask(masks[index], threads)
        result.append([mask if place is None else mask[place] for mask, place in zip(masks, places)])
    return result


def _next_mask(old: np.ndarray, threads: int) -> np.ndarray:
    """The mask after a later step from the mask before it; the tail behind the last whole block reads its own elements only."""
    numel = old.size
    body = numel - numel % BLOCK
    if body == 0:
        return old
    lane = np.arange(BLOCK)
    first = (np.arange(0, body, BLOCK)[:, None] + 2 * lane - np.where(lane < 8, 0, 8)).ravel()
    readable = np.concatenate([old, np.ones(BLOCK, bool)])
    new = old.copy()
    new[:body] = readable[first] | readable[first + 1]
    if threads > 1 and numel > THREAD_UNIT:
        part = THREAD_UNIT * ceil(ceil(numel / THREAD_UNIT) / threads)
        for end in range(part, numel, part):
            new[end - 4 : end] = True
    return new
