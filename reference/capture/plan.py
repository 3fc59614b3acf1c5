"""Which runs a file holds: each problem on its paths, capabilities and thread counts, less what PyTorch cannot run."""

from dataclasses import dataclass

from .allowed import can_run
from .dtypes import Dtype
from .features import problems
from .model import Problem

PATHS = ("forloop", "foreach", "fused")
CAPABILITIES = ("default", "avx2", "avx512")
"""Both in the order of their codes in the file format."""
CAPABILITY_CODES = {name: code for code, name in enumerate(CAPABILITIES)} | {"cuda-sm80": 16, "cuda-sm90": 17, "cuda-sm100": 18}
"""Those, and the CUDA devices that cuda/ captures on."""
AVX512_PERIOD = 8


@dataclass(frozen=True)
class Selection:
    """What the user asked for."""

    seed: int
    cases: int
    kinds: tuple[tuple[str, Dtype], ...]
    """Pairs of feature and dtype that problems take turns through."""
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
    for problem in problems(selection.seed, selection.kinds):
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
    only, beside avx2, and of the features' problems with one in AVX512_PERIOD: it is there to show that it gives the same bits.
    """
    turn = selection.threads[problem.index % len(selection.threads)]
    usual = selection.threads if problem.is_large else (turn,)
    fewest = (min(selection.threads),) if problem.feature == "plain" or problem.index % AVX512_PERIOD == 0 else ()
    return [Run(path, capability, threads)
            for path in selection.paths
            for capability in selection.capabilities
            for threads in (fewest if capability == "avx512" else usual)
            if can_run(problem, path, threads)]
