"""Starts one child process per capability and thread count, and puts what they send back in the order of the plan."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .arrays import Hashed
from .errors import CaptureError
from .model import Layout, Problem, Sparse
from .plan import Run

Planned = list[tuple[Problem, list[Run]]]
Array = np.ndarray | Hashed | Sparse
Outcome = list[list[tuple[np.ndarray | Hashed, Array | None, Array | None, Layout | None]]]
"""Of one run: for each step, for each tensor, its param, buffer and grad, and the buffer's layout.

Arrays are bits in row-major order, or a hash, or a sparse tensor, or None: there is none.  A layout of None is one-dimensional and contiguous.
"""


def run_all(planned: Planned, seed: int) -> tuple[list[list[Outcome]], dict[str, str]]:
    """The outcomes of each problem's runs, in the plan's order, and the provenance.  Raises CaptureError."""
    work: dict[tuple[str, int], list[tuple[Problem, str, int, int]]] = defaultdict(list)
    for row, (problem, runs) in enumerate(planned):
        for column, run in enumerate(runs):
            work[run.capability, run.threads].append((problem, run.path, row, column))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        answers = list(pool.map(lambda item: _ask(*item[0], seed, item[1]), work.items()))
    outcomes: list[list[Outcome]] = [[[] for _ in runs] for _, runs in planned]
    provenance: dict[str, str] = {}
    for tasks, reply in zip(work.values(), answers, strict=True):
        found = dict(reply["provenance"])
        del found["capability"]
        found["source"] = f"torch {found['torch_version']}, stepped"
        if provenance and found != provenance:
            raise CaptureError(f"torch: the child processes differ: {found} and {provenance}")
        provenance = found
        for (_, _, row, column), outcome in zip(tasks, reply["outcomes"], strict=True):
            outcomes[row][column] = outcome
    return outcomes, provenance


def _ask(capability: str, threads: int, seed: int, tasks: list[tuple[Problem, str, int, int]]) -> dict:
    """Runs one child process to its end."""
    runs = [[problem.feature, problem.dtype.name, problem.index, path] for problem, path, _, _ in tasks]
    request = json.dumps({"capability": capability, "threads": threads, "seed": seed, "runs": runs})
    package_parent = str(Path(__file__).resolve().parent.parent)
    search_path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), package_parent]))
    environment = dict(os.environ, ATEN_CPU_CAPABILITY=capability, PYTHONPATH=search_path)
    child = subprocess.run([sys.executable, "-m", "capture.worker"], input=request.encode(), capture_output=True, env=environment)
    if child.returncode < 0:
        raise CaptureError(f"child process {capability}, {threads} threads: ended by {signal.Signals(-child.returncode).name}")
    if child.returncode:
        last_line = (child.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise CaptureError(last_line if child.returncode == 2 else f"child process {capability}, {threads} threads: {last_line}")
    return pickle.loads(child.stdout)
