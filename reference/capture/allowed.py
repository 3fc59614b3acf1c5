"""Which runs PyTorch can do: not those in which it raises, nor those whose numbers it would leave to chance."""

from .arrays import STORED_LIMIT
from .model import Group, Problem, Tensor
from .undefined import undefined_after


def can_run(problem: Problem, path: str, threads: int) -> bool:
    if path == "fused":
        return fused_can_run(problem, threads)
    return not problem.scaling and all(_eager_can_run(group, path, problem.steps) for group in problem.groups)


def _eager_can_run(group: Group, path: str, steps: int) -> bool:
    """False where foreach is asked for addcmul_, and where a step writes into an expanded gradient."""
    decay = group.scalar("weight_decay")
    if decay and decay.requires_grad and path == "foreach":
        return False
    return not any(_writes_grad(group, path, step) and _is_expanded(tensor, step) for step in range(steps) for tensor in group.tensors)


def _writes_grad(group: Group, path: str, step: int) -> bool:
    """True if the step changes p.grad itself."""
    hyper, decay = group.hyper_at(step), group.scalar("weight_decay")
    if path == "foreach":
        return hyper.nesterov and hyper.momentum != 0 and hyper.weight_decay == 0 and not hyper.maximize
    return hyper.weight_decay != 0 and not hyper.maximize and decay is not None and decay.requires_grad


def _is_expanded(tensor: Tensor, step: int) -> bool:
    layout = tensor.grad_layout(step)
    return tensor.grads[step] is not None and layout is not None and layout.overlaps


def fused_can_run(problem: Problem, threads: int) -> bool:
    """False where PyTorch raises, where it reads or writes beside a tensor's elements, and where it would leave a hashed output or a whole
    buffer to chance."""
    decays = [group.scalar("weight_decay") for group in problem.groups]
    return not (problem.has_sparse
                or any(tensor.dtype.parts > 1 for tensor in problem.tensors)
                or any(decay and decay.requires_grad for decay in decays)
                or any(_mixes_buffers(group, problem.steps) for group in problem.groups)
                or not all(map(_fills_its_storage, problem.tensors))
                or _leaves_buffer_unmade(problem)
                or _hashes_chance(problem, threads))


def _mixes_buffers(group: Group, steps: int) -> bool:
    """True if some step has gradients both for tensors with a momentum buffer and for tensors that have none yet."""
    seen = [False] * len(group.tensors)
    for step in range(steps):
        here = _with_momentum(group, step)
        if len({seen[index] for index in here}) == 2:
            return True
        for index in here:
            seen[index] = True
    return False


def _with_momentum(group: Group, step: int) -> list[int]:
    """The tensors that have a momentum buffer after the step."""
    momentum = group.hyper_at(step).momentum != 0
    return [index for index, tensor in enumerate(group.tensors) if momentum and tensor.grads[step] is not None]


def _leaves_buffer_unmade(problem: Problem) -> bool:
    """True if found_inf skips a step that would make a momentum buffer: its memory then stays uninitialised."""
    for group in problem.groups:
        seen: set[int] = set()
        for step in range(problem.steps):
            here = set(_with_momentum(group, step))
            if problem.skips(step) and here - seen:
                return True
            seen |= here
    return False


def _fills_its_storage(tensor: Tensor) -> bool:
    """True if parameter and gradients have no gaps and share nothing: the fused kernels take `numel` elements from where each begins."""
    layouts = (tensor.layout, *(tensor.grad_layout(step) for step in range(len(tensor.grads))))
    return all(layout.is_dense for layout in layouts if layout is not None)


def _hashes_chance(problem: Problem, threads: int) -> bool:
    """True if an array that is known by its hash only would hold undefined elements."""
    if not problem.is_large:
        return False
    return any(mask.size > STORED_LIMIT and mask.any() for masks in undefined_after(problem, threads) for mask in masks)
