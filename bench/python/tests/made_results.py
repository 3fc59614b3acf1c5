"""Makes result files as sgd-bench writes them, from a model of a machine: so many ns per step, per tensor and per byte.

    python3 made_results.py FILE.json [small]    # writes one to look at
"""
import json
import random
import sys

SETS = {"resnet50": (161, 25_557_032), "gpt2-small": (148, 124_439_808), "many-small": (1000, 64_000),
        "one-large": (1, 1 << 24), **{f"ladder:{1 << k}k": (1, 1 << (10 + k)) for k in range(0, 17, 2)}}
SMALL = {name: SETS[name] for name in ("resnet50", "many-small", "ladder:1k", "ladder:64k", "ladder:4096k")}
SIZES = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "c64": 8, "c128": 16}
PATHS = ("forloop", "foreach", "fused")
# ns per step, ns per tensor, times the limit's time per byte
COSTS = {"single_pass": (300, 6, 1.05), "by_op": (400, 25, 2.3), "python": (2500, 90, 1.06), "torch": (4000, 4100, 2.5),
         "compiled": (9000, 300, 1.3)}
CACHES = [(1, 32 << 10), (2, 512 << 10), (3, 32 << 20)]


def context(**changes):
    return {
        "schema": "exactsgd-bench/2", "date": "2026-11-27T23:05:11+00:00", "sgd_version": "0.1.0", "backend": "cpu-avx2",
        "commit": "1234567", "compiler": "GNU 12.2.0", "flags": "-O3 -ffp-contract=off",
        "machine": {"cpu": "Made Machine 9000", "sockets": 1, "cores": 2, "threads": 2, "memory_bytes": 16 << 30, "numa": 1,
                    "governor": "performance",
                    "caches": [{"level": level, "type": "data", "bytes": size} for level, size in CACHES]},
        "versions": {"torch": "2.13.0+cpu", "hwloc": "2.9.0", "google_benchmark": "1.7.1"},
        "effort": {"min_time": 0.3, "repetitions": 9}, "partial": False,
        "noise": {"figure": 0.012, "disturbed": False, "why": ""}, **changes}


def bandwidth(footprint):
    """Bytes per ns: faster in cache."""
    return next((speed for (_, size), speed in zip(CACHES, (180, 90, 48)) if footprint <= size), 26)


def labels(path, implementation, dtype, shapes, threads, hyper="momentum_decay"):
    name = "/".join([path, implementation, dtype, shapes, *([] if hyper == "momentum_decay" else [hyper]),
                     f"threads:{threads}"])
    return name, {"path": path, "implementation": implementation, "dtype": dtype, "shapes": shapes, "hyper": hyper,
                  "contract": "cpu-fma", "device": "cpu", "threads": threads}


def repetitions(name, told, median_ns, noise, extra, count=9):
    entries = []
    for index in range(count):
        ns = median_ns * noise[index]
        entries.append({"name": name, "run_name": name, "run_type": "iteration", "repetitions": count,
                        "repetition_index": 0, "round": index, "iterations": 10, "real_time": ns / 1e6, "cpu_time": ns / 1e6,
                        "time_unit": "ms", **told, **extra, "GB_per_s": extra["bytes"] / ns,
                        **({"share_of_limit": extra["limit_ns"] / ns} if told["path"] != "limit" else {})})
        del entries[-1]["limit_ns"]
    entries.append({"name": name + "_median", "run_name": name, "run_type": "aggregate", "aggregate_name": "median",
                    "real_time": median_ns / 1e6, "cpu_time": median_ns / 1e6, "time_unit": "ms"})
    return entries


def block(randomness, shapes, dtype, threads, hyper):
    """All cases of a block and its limit."""
    tensors, elements = SETS[shapes]
    size, streams = SIZES[dtype], 3 if hyper == "plain" else 5
    moved = streams * elements * size
    limit_ns = moved / bandwidth(elements * size * (2 if hyper == "plain" else 3)) / (1 + 0.6 * (threads - 1)) + 40
    noise = [1 + abs(randomness.gauss(0, 0.01)) for _ in range(9)]
    said = {"tensors": tensors, "elements": elements, "bytes": moved, "limit_ns": limit_ns}
    entries = repetitions(*labels("limit", f"streams_{streams - 2}r2w", dtype, shapes, threads, hyper), limit_ns, noise, said)
    for path in PATHS:
        for implementation, (step, tensor, byte) in COSTS.items():
            if (path == "fused" and implementation == "by_op") or (dtype[0] == "c" and path == "fused"):
                continue
            if path == "fused" and implementation == "torch":
                tensor, byte = tensor / 4, 1.12
            slow = 1.6 if size == 2 and implementation != "limit" else 1
            ns = step + tensor * tensors + limit_ns * byte * slow * (1.1 if path == "foreach" else 1)
            peak = {"by_op": elements * size, "torch": elements * size}.get(implementation, 0) if path != "fused" else 0
            bits = {"torch": "equal", "compiled": "unchecked"}.get(implementation, "equal")
            entries += repetitions(*labels(path, implementation, dtype, shapes, threads, hyper), ns,
                                   [x * (1 + abs(randomness.gauss(0, 0.02))) for x in noise],
                                   {**said, "peak_memory_bytes": peak, "bits": bits, "bits_why": "", "hash": "c0ffee"})
    return entries


def result(sets=None, dtypes=("f64", "f32", "f16", "bf16", "c64"), threads=(1, 2), hypers=("momentum_decay",), seed=1,
           **changes):
    randomness = random.Random(seed)
    entries = [entry for shapes in sets or SETS for dtype in dtypes for hyper in hypers for count in threads
               for entry in block(randomness, shapes, dtype, count, hyper)]
    slopes = [{"path": path, "implementation": implementation, "dtype": dtype, "hyper": hyper, "contract": "cpu-fma",
               "threads": count, "ns_per_tensor": tensor, "ns_per_byte": byte / 26, "sets": ["resnet50", "many-small"]}
              for path in PATHS for implementation, (_, tensor, byte) in COSTS.items() for dtype in dtypes
              for hyper in hypers for count in threads
              if not (path == "fused" and (implementation == "by_op" or dtype[0] == "c"))]
    return {"context": context(**changes), "benchmarks": entries, "slopes": slopes}


def small(**options):
    """Enough for a test."""
    return result(sets=SMALL, **{"dtypes": ("f32", "bf16"), **options})


def entries_of(document, name):
    return [entry for entry in document["benchmarks"] if entry["run_name"] == name]


def write(folder, document, name="result.json"):
    """Its path."""
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def spoil(document, name, **changes):
    """Changes all repetitions of a case."""
    for entry in entries_of(document, name):
        entry.update(changes)
    return document


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(small() if sys.argv[2:] else result(hypers=("momentum_decay", "nesterov")), file)
