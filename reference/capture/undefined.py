"""Which momentum buffer elements PyTorch leaves to chance in fused runs of 16-bit dtypes (pytorch#191763).

From a tensor's second gradient on, the kernel's blocks of 16 elements take their momentum from the wrong places of the old buffer: element
j of the block at b from elements b + 2j and b + 2j + 1, from j = 8 on from b + 2j - 8 and b + 2j - 7.  That reaches eight elements past the
block: past the end of the buffer, where anything may lie, or into the part of the next thread, which may have been there already.
"""

from math import ceil

import numpy as np

from .problems import Problem

BLOCK = 16
THREAD_UNIT = 32
"""Threads get whole multiples of so many elements."""


def undefined_after(problem: Problem, threads: int) -> list[list[np.ndarray]]:
    """For each step, for each tensor, booleans of shape (numel,): the elements of its buffer that a fused run leaves to chance."""
    momenta = [group.hyper.momentum for group in problem.groups for _ in group.tensors]
    masks = [np.zeros(tensor.numel, bool) for tensor in problem.tensors]
    has_buffer = [False] * len(masks)
    result = []
    for step in range(problem.steps):
        for index, tensor in enumerate(problem.tensors):
            if problem.dtype.width != 16 or momenta[index] == 0 or tensor.grads[step] is None:
                continue
            if has_buffer[index]:
                masks[index] = _next_mask(masks[index], threads)
            has_buffer[index] = True
        result.append(list(masks))
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
