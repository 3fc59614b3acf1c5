"""One optimizer on one tensor, the bits it starts from and the bits it leaves; and files of such runs (HDF5).

A file has a compound table `cases` and flat arrays `bits16`, `bits32`, `bits64`; its attribute `schema` says all of that in words.
The file of interpreted runs (format sgd-cuda-interpreted) came first; the captured ones (sgd-cuda-runs) extend its columns.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

DTYPES = ("f32", "f64", "f16", "bf16", "c64", "c128")
PATHS = ("fused", "foreach", "forloop")
ARCHS = ("sm_80", "sm_90", "sm_100")
"""All three in the order of their codes in the files."""
WIDTHS = {"f32": 32, "f64": 64, "f16": 16, "bf16": 16, "c64": 32, "c128": 64}
KINDS = ("micro", "nan", "feature")
PARAM, GRAD, BUFFER = 1, 2, 4
"""Bits of Run.misaligned."""
FORMAT = "sgd-cuda-runs 1"
SCHEMA = """Runs of torch.optim.SGD on a CUDA device, form 1. Each case is one optimizer on one contiguous 1-d tensor for 1 to 3 steps.

/cases: compound table, one row a case
  path             enum: fused (fused=True), foreach (foreach=True), forloop (both False)
  dtype            enum: f32 f64 f16 bf16 c64 c128
  kind             enum: micro, nan (grid of NaNs, infinities and a number), feature
  numel            elements (complex: complex elements)
  misaligned       bit 0 p, bit 1 grad, bit 2 momentum buffer: that tensor starts one ELEMENT after a 64-byte boundary (as a view t[1:]);
                   a buffer that for-loop or foreach makes is aligned whatever bit 2 says
  steps            1..3
  lr momentum dampening weight_decay   the Python floats (double)
  nesterov maximize                    0/1
  lr_is_tensor     0: lr is a Python float; 1: a 0-dim float32 tensor on the device that holds float32(lr); 2: such a tensor that requires grad
  grad_scale       float32, NaN: none. Same in all steps. fused only
  found_inf        float32[3], one value a step, NaN: none. fused only
  buffer_given     1: the state has a momentum buffer before step 1, its bits follow p0; 0: it has none
  offset           index of the case's first WORD in the flat array of its width

/bits16 (f16, bf16), /bits32 (f32, c64), /bits64 (f64, c128): unsigned little-endian bit patterns. W = numel (complex: 2*numel, re im interleaved).
Per case, from offset: p0[W], buffer0[W] if buffer_given, then for each step: grad_in[W], grad_after[W], p_after[W], buf_after[W].
  grad_in     .grad given before the step (a fresh tensor each step)
  grad_after  contents of the user's .grad tensor after the step
  buf_after   momentum buffer after the step; zeros if there is none
A buffer that fused makes in a step that found_inf skips holds zeros here: the program put them there, PyTorch leaves it uninitialised.
"""
COLUMNS = [("path", "u1"), ("dtype", "u1"), ("kind", "u1"), ("numel", "<u4"), ("misaligned", "u1"), ("steps", "u1"),
           ("lr", "<f8"), ("momentum", "<f8"), ("dampening", "<f8"), ("weight_decay", "<f8"), ("nesterov", "u1"), ("maximize", "u1"),
           ("lr_is_tensor", "u1"), ("grad_scale", "<f4"), ("found_inf", "<f4", (3,)), ("buffer_given", "u1"), ("offset", "<u4")]
ENUMS = {"path": PATHS, "dtype": DTYPES, "kind": KINDS}

Words = np.ndarray
State = tuple[Words, Words, Words]
"""`.grad`, parameter and momentum buffer after a step, each (W,) unsigned integers; zeros where there is no buffer."""


@dataclass(frozen=True)
class Run:
    """What an optimizer is given; `buffer` None: the state has none yet; `grad_scale` and `found_inf` None: not given."""

    dtype: str
    path: str
    numel: int
    lr: float
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool
    maximize: bool
    param: Words
    grads: tuple[Words, ...]
    buffer: Words | None = None
    lr_is_tensor: int = 0
    grad_scale: float | None = None
    found_inf: tuple[float | None, ...] = (None, None, None)
    misaligned: int = 0
    kind: str = "feature"
    arch: str = ""

    @property
    def words(self) -> int:
        return self.numel * (2 if self.dtype[0] == "c" else 1)

    @property
    def uint(self) -> np.dtype:
        return np.dtype(f"<u{WIDTHS[self.dtype] // 8}")

    @property
    def is_aligned(self) -> bool:
        """Whether the fused kernel takes its aligned path."""
        lists = PARAM | GRAD | (BUFFER if self.momentum else 0)
        return self.numel % 4 == 0 and not self.misaligned & lists


def write(runs: list[Run], outcomes: list[list[State]], attributes: dict[str, str | int]) -> bytes:
    """A whole file of runs and their states after each step."""
    rows, parts = [], {16: [], 32: [], 64: []}
    used = dict.fromkeys(parts, 0)
    for run, states in zip(runs, outcomes, strict=True):
        width = WIDTHS[run.dtype]
        arrays = [run.param, *([] if run.buffer is None else [run.buffer])]
        for grad, state in zip(run.grads, states, strict=True):
            arrays += [grad, *state]
        found = [np.nan if value is None else value for value in run.found_inf]
        rows.append((PATHS.index(run.path), DTYPES.index(run.dtype), KINDS.index(run.kind), run.numel, run.misaligned, len(run.grads),
                     run.lr, run.momentum, run.dampening, run.weight_decay, run.nesterov, run.maximize, run.lr_is_tensor,
                     np.nan if run.grad_scale is None else run.grad_scale, found + [np.nan] * (3 - len(found)),
                     run.buffer is not None, used[width]))
        parts[width] += arrays
        used[width] += sum(array.size for array in arrays)
    kinds = [(name, h5py.enum_dtype({value: code for code, value in enumerate(ENUMS[name])}, "u1") if name in ENUMS else kind, *shape)
             for name, kind, *shape in COLUMNS]
    image = io.BytesIO()
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        for name, value in {"format": FORMAT, "schema": SCHEMA, **attributes}.items():
            file.attrs[name] = np.bytes_(value.encode("ascii", "replace")) if isinstance(value, str) else np.int64(value)
        arrays = {"cases": np.array(rows, kinds), **{f"bits{width}": np.concatenate([np.zeros(0, f"<u{width // 8}"), *part])
                                                     for width, part in parts.items()}}
        for name, data in arrays.items():
            file.create_dataset(name, data=data, chunks=(min(1 << 15, max(1, data.size)),), maxshape=(None,), shuffle=True,
                                compression="gzip", compression_opts=9, fletcher32=True, track_times=False)
    return image.getvalue()


def read(path: Path) -> tuple[list[Run], list[list[State]], dict[str, str]]:
    """Runs, their states after each step, and the attributes, of either format."""
    with h5py.File(path) as file:
        attributes = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in file.attrs.items()}
        if not attributes.get("format", "").startswith("sgd-cuda-"):
            raise ValueError(f"{path}: not a file of CUDA runs")
        rows = file["cases"][:]
        bits = {width: file[f"bits{width}"][:] for width in (16, 32, 64)}
    runs, outcomes = [], []
    for row in rows:
        run, states = _case({name: row[name] for name in rows.dtype.names}, bits)
        runs.append(run)
        outcomes.append(states)
    return runs, outcomes, attributes


def _case(row: dict, bits: dict[int, np.ndarray]) -> tuple[Run, list[State]]:
    dtype, numel, steps = DTYPES[row["dtype"]], int(row["numel"]), int(row["steps"])
    words = numel * (2 if dtype[0] == "c" else 1)
    position = int(row["offset"])

    def take() -> Words:
        nonlocal position
        position += words
        return bits[WIDTHS[dtype]][position - words : position]

    param = take()
    if "buffer_given" in row:
        buffer = take() if row["buffer_given"] else None
    else:
        buffer = np.zeros_like(param) if row["momentum"] and not row["first_step_mask"] else None
    by_step = [[take() for _ in range(4)] for _ in range(steps)]
    run = Run(dtype, PATHS[row["path"]], numel, *(float(row[name]) for name in ("lr", "momentum", "dampening", "weight_decay")),
              bool(row["nesterov"]), bool(row["maximize"]), param, tuple(arrays[0] for arrays in by_step), buffer,
              int(row["lr_is_tensor"]), _optional(row["grad_scale"]), tuple(_optional(value) for value in row["found_inf"][:steps]),
              int(row["misaligned"]), KINDS[row["kind"]] if "kind" in row else "feature", ARCHS[row["arch"]] if "arch" in row else "")
    return run, [tuple(arrays[1:]) for arrays in by_step]


def _optional(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)
