"""Which runs a file holds: each problem on its paths, capabilities and thread counts, less what PyTorch leaves undefined."""

from dataclasses import dataclass

from .arrays import STORED_LIMIT
from .dtypes import Dtype
from .problems import Group, Problem, problems
from .undefined import undefined_after

PATHS = ("forloop", "foreach", "fused")
CAPABILITIES = ("default", "avx2", "avx512")
"""Both in the order of their codes in the file format."""


@dataclass(frozen=True)
class Selection:
    """What the user asked for."""

    seed: int
    cases: int
    dtypes: tuple[Dtype, ...]
    paths: tuple[str, ...]
    capabilities: tuple[str, ...]
    threads: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One case to be."""

    path: str
    capability: str
    threads: int


def plan(selection: Selection) -> list[tuple[Problem, list[Run]]]:
    """Problems with their runs, `selection.cases` runs in all; problems that no run is left of are passed over."""
    planned: list[tuple[Problem, list[Run]]] = []
    missing = selection.cases
    for problem in problems(selection.seed, selection.dtypes):
        runs = runs_of(problem, selection)[:missing]
        if runs:
            planned.append((problem, runs))
        missing -= len(runs)
        if missing == 0:
            return planned
    raise AssertionError("problems never end")


def runs_of(problem: Problem, selection: Selection) -> list[Run]:
    """The runs of one problem.

    Small problems take turns through the thread counts, large ones are run with all of them.  avx512 is run with the fewest threads
    only, beside avx2: it is there to show that it gives the same bits.
    """
    turn = selection.threads[problem.index % len(selection.threads)]
    usual = selection.threads if problem.is_large else (turn,)
    fewest = (min(selection.threads),)
    return [Run(path, capability, threads)
            for path in selection.paths
            for capability in selection.capabilities
            for threads in (fewest if capability == "avx512" else usual)
            if path != "fused" or fused_can_run(problem, threads)]


def fused_can_run(problem: Problem, threads: int) -> bool:
    """False where PyTorch raises TypeError, and where a hashed output would hold elements that PyTorch leaves to chance."""
    return not any(map(_mixes_buffers, problem.groups)) and not _hashes_chance(problem, threads)


def _mixes_buffers(group: Group) -> bool:
    """True if some step has gradients both for tensors with a momentum buffer and for tensors that have none yet."""
    if group.hyper.momentum == 0:
        return False
    seen = [False] * len(group.tensors)
    for gradients in zip(*(tensor.grads for tensor in group.tensors), strict=True):
        here = [index for index, gradient in enumerate(gradients) if gradient is not None]
        if len({seen[index] for index in here}) == 2:
            return True
        for index in here:
            seen[index] = True
    return False


def _hashes_chance(problem: Problem, threads: int) -> bool:
    """True if an array that is known by its hash only would hold undefined elements."""
    if not problem.is_large:
        return False
    return any(mask.size > STORED_LIMIT and mask.any() for masks in undefined_after(problem, threads) for mask in masks)
