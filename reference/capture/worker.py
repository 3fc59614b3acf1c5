"""A child process of the capture: one capability, one thread count, many runs.

`python -m capture.worker` reads a request (JSON) from standard input and writes a reply (pickle) to standard output:
    request   {"capability", "threads", "seed", "runs": [[feature, dtype, index, path], ...]}
    reply     {"provenance", "outcomes"}: one outcome for each run, see children.py
ATEN_CPU_CAPABILITY is set by whoever starts it.  What goes wrong is one line on standard error, exit status 2.
"""

import json
import os
import pickle
import sys

import numpy as np

from . import TORCH_RELEASE
from .arrays import STORED_LIMIT, Hashed, hash_bits
from .dtypes import BY_NAME, Dtype
from .errors import CaptureError
from .features import generate
from .model import Problem, Sparse


def import_stepping():
    """The module `stepping`, once torch is known to be there in the right release; raises CaptureError."""
    try:
        import torch
    except ImportError as error:
        raise CaptureError(f"torch: cannot be imported by {sys.executable} ({error}); release {TORCH_RELEASE} is needed") from error
    if torch.__version__.split("+")[0] != TORCH_RELEASE:
        raise CaptureError(f"torch: {sys.executable} has release {torch.__version__}; {TORCH_RELEASE} is needed")
    from . import stepping

    return stepping


def hashed_if_large(dtype: Dtype, bits: np.ndarray | Sparse | None) -> np.ndarray | Sparse | Hashed | None:
    """Above STORED_LIMIT elements a dense output is known by its hash."""
    if bits is None or isinstance(bits, Sparse) or bits.size <= STORED_LIMIT * dtype.parts:
        return bits
    return Hashed(hash_bits(bits), bits.size // dtype.parts)


def outcome_of(stepping, problem: Problem, path: str) -> list[list[tuple]]:
    """One run, see children.Outcome."""
    return [[(*(hashed_if_large(tensor.dtype, bits) for bits in state[:3]), state[3])
             for tensor, state in zip(problem.tensors, states, strict=True)] for states in stepping.steps_of(problem, path)]


def answer(request: dict) -> bytes:
    """Does the request's runs in order; raises CaptureError that names the case if PyTorch raises."""
    stepping = import_stepping()
    stepping.prepare(request["threads"])
    provenance = stepping.provenance()
    if provenance["capability"].lower() != request["capability"]:
        raise CaptureError(f"torch: took capability {provenance['capability']} where {request['capability']} was asked for")
    outcomes = []
    problem: Problem | None = None
    for feature, dtype_name, index, path in request["runs"]:
        dtype = BY_NAME[dtype_name]
        if problem is None or (problem.feature, problem.dtype, problem.index) != (feature, dtype, index):
            problem = generate(feature, request["seed"], index, dtype)
        try:
            outcomes.append(outcome_of(stepping, problem, path))
        except Exception as error:
            raise CaptureError(f"{path}/{dtype_name} {feature} problem {index}, seed {request['seed']}, {request['capability']}, "
                               f"{request['threads']} threads: {type(error).__name__}: {error}") from error
    return pickle.dumps({"provenance": provenance, "outcomes": outcomes})


def main() -> int:
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        results.write(answer(json.load(sys.stdin)))
        results.flush()
    except CaptureError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
