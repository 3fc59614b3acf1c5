"""Times torch.optim.SGD's three paths on the device with CUDA events, beside the bandwidth of a device-to-device copy.

A step reads parameter, gradient and buffer and writes parameter and buffer: five streams.  lr 0.001, momentum 0.9, weight decay 0.0001,
buffers there before the first timed step, as in bench/.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from ..stepping import FLAGS_OF_PATH

SHAPES = Path(__file__).resolve().parents[3] / "bench" / "shapes"
DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
HYPER = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}


def measure(small: bool) -> dict[str, dict]:
    """Milliseconds per step by 'shapes dtype path'; `small` shrinks everything, to try the program."""
    results = _limits(1 << (16 if small else 28))
    cases = {"100M": ("f32", "bf16"), "many-small": ("f32", "bf16"), "resnet50": tuple(DTYPES)}
    for shapes, dtypes in cases.items():
        sizes = [10] * 3 if small else [100_000_000] if shapes == "100M" else sizes_of(SHAPES / f"{shapes}.txt")
        for dtype in dtypes:
            for path in FLAGS_OF_PATH:
                for captured in (False, True) if shapes != "100M" else (False,):
                    name = f"{shapes} {dtype} {path}" + (" graph" if captured else "")
                    results[name] = _time_path(sizes, DTYPES[dtype], path, captured)
    return results


def sizes_of(file: Path) -> list[int]:
    """Elements of each tensor of a shapes file: lines `[COUNT *] NAME DIMENSIONS`."""
    sizes = []
    for line in file.read_text().splitlines():
        count, _, tensor = line.split("#")[0].rpartition("*")
        if tensor.strip():
            sizes += [torch.Size(map(int, tensor.split()[-1].split("x"))).numel()] * int(count or 1)
    return sizes


def _limits(numel: int) -> dict[str, dict]:
    a, b = (torch.randn(numel, device="cuda") for _ in range(2))
    return {"limit copy f32": _timed(lambda: a.copy_(b), 2 * numel * 4),
            "limit a += k*b f32": _timed(lambda: a.add_(b, alpha=0.5), 3 * numel * 4)}


def _time_path(sizes: list[int], dtype: torch.dtype, path: str, captured: bool) -> dict:
    torch.cuda.empty_cache()
    params = [torch.nn.Parameter(torch.randn(size, device="cuda").to(dtype)) for size in sizes]
    for param in params:
        param.grad = torch.randn(param.shape, device="cuda").to(dtype)
    optimizer = torch.optim.SGD(params, **HYPER, **FLAGS_OF_PATH[path])
    optimizer.step()
    step: Callable = optimizer.step
    if captured:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            optimizer.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            optimizer.step()
        step = graph.replay
    return _timed(step, 5 * sum(sizes) * params[0].element_size())


def _timed(step: Callable, bytes_moved: int) -> dict:
    """Median, least and greatest milliseconds of 5 batches after warming up; each batch is at least 40 ms or 10 steps."""
    for _ in range(3):
        step()
    per_step = max(_batch(step, 3), 1e-3)
    count = max(10, int(40 / per_step))
    times = sorted(_batch(step, count) for _ in range(5))
    return {"ms": median(times), "least": times[0], "greatest": times[-1], "steps": 5 * count, "bytes": bytes_moved,
            "GB/s": bytes_moved / median(times) / 1e6}


def _batch(step: Callable, count: int) -> float:
    """Milliseconds per step between two events around `count` steps."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(count):
        step()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / count
