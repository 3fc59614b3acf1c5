"""A child process of the capture: one capability, one thread count, many runs.

`python -m capture.worker` reads a request (JSON) from standard input and writes the outcome (npz) to standard output:
    request   {"capability", "threads", "seed", "runs": [[dtype, index, path], ...]}
    present   u8 (R,): for each run, step and tensor three entries, param, buffer, grad: 1 if there is one, else 0
    payload   u8 (B,): the bytes of the present arrays up to STORED_LIMIT elements, one after the other
    hashes    u64 (H,): the hashes of the larger ones
    provenance  u8: JSON text
ATEN_CPU_CAPABILITY is set by whoever starts it.  What goes wrong is one line on standard error, exit status 2.
"""

import io
import json
import os
import sys

import numpy as np

from . import TORCH_RELEASE
from .arrays import STORED_LIMIT, hash_bits
from .dtypes import BY_NAME
from .errors import CaptureError
from .problems import Problem, generate


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


class Outcomes:
    """The arrays of many runs, flat."""

    def __init__(self) -> None:
        self.present: list[int] = []
        self.payload: list[bytes] = []
        self.hashes: list[int] = []

    def add(self, bits: np.ndarray | None) -> None:
        """Appends one array, shape (numel,), or that there is none."""
        self.present.append(bits is not None)
        if bits is None:
            return
        if bits.size > STORED_LIMIT:
            self.hashes.append(hash_bits(bits))
        else:
            self.payload.append(bits.tobytes())

    def to_npz(self, provenance: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, present=np.array(self.present, np.uint8), hashes=np.array(self.hashes, np.uint64),
                 payload=np.frombuffer(b"".join(self.payload), np.uint8),
                 provenance=np.frombuffer(json.dumps(provenance).encode(), np.uint8))
        return buffer.getvalue()


def answer(request: dict) -> bytes:
    """Does the request's runs in order; raises CaptureError that names the case if PyTorch raises."""
    stepping = import_stepping()
    stepping.prepare(request["threads"])
    provenance = stepping.provenance()
    if provenance["capability"].lower() != request["capability"]:
        raise CaptureError(f"torch: took capability {provenance['capability']} where {request['capability']} was asked for")
    outcomes = Outcomes()
    problem: Problem | None = None
    for dtype_name, index, path in request["runs"]:
        dtype = BY_NAME[dtype_name]
        if problem is None or (problem.dtype, problem.index) != (dtype, index):
            problem = generate(request["seed"], index, dtype)
        try:
            for states in stepping.steps_of(problem, path):
                for state in states:
                    for bits in state:
                        outcomes.add(bits)
        except Exception as error:
            raise CaptureError(f"{path}/{dtype_name} problem {index}, seed {request['seed']}, {request['capability']}, "
                               f"{request['threads']} threads: {type(error).__name__}: {error}") from error
    return outcomes.to_npz(provenance)


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
