"""Reads what `sgd-bench run|vs-torch --json` wrote: cases with medians, ratios to PyTorch, limits, slopes.

A file that cannot be used raises Unusable with one line that says which file, and what is wrong with it.
"""
import json
import math
import pathlib
import statistics
from dataclasses import dataclass, field

import fastjsonschema

from .ratios import Ratio, ratio

SCHEMA = "exactsgd-bench/2"
PYTORCH = ("torch", "compiled")  # implementations that are not ours; the first is what ratios are to
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
DTYPE_BYTES = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "c64": 8, "c128": 16}
# A name leaves out what is the default.
DEFAULTS = {"hyper": "momentum_decay", "contract": "cpu-fma", "device": "cpu"}
LABELS = ("path", "implementation", "dtype", "shapes", "hyper", "contract", "device", "threads")


class Unusable(Exception):
    """An input that cannot be used, in one line."""


@dataclass
class Case:
    """One benchmark over its repetitions; what could not be measured is None."""
    name: str
    labels: dict
    times: dict = field(default_factory=dict)  # ns by round
    entries: list = field(default_factory=list)
    ratio: Ratio | None = None  # to PyTorch on the same path
    against: str | None = None

    @property
    def ours(self):
        return self.labels["implementation"] not in PYTORCH

    @property
    def ns(self):
        return statistics.median(self.times.values()) if self.times else None

    @property
    def spread(self):
        """From the fastest repetition to the slowest, as a share of the median."""
        return (max(self.times.values()) - min(self.times.values())) / self.ns if len(self.times) > 1 else None

    @property
    def error(self):
        told = [entry.get("error_message") or "no reason given" for entry in self.entries if entry.get("error_occurred")]
        if told:
            return told[0]
        return None if self.times else "no time was measured"

    @property
    def bits(self):
        """The worst of the repetitions."""
        found = {entry.get("bits", "unchecked") for entry in self.entries}
        return next(bits for bits in ("wrong", "unchecked", "equal") if bits in found)

    @property
    def bits_why(self):
        return next((entry["bits_why"] for entry in self.entries if entry.get("bits_why")), None)

    def figure(self, key, choose=statistics.median):
        """A counter over the repetitions."""
        values = [entry[key] for entry in self.entries if _finite(entry.get(key))]
        return choose(values) if values else None

    @property
    def peak(self):
        """Bytes allocated at most beyond state; the harness writes -1 where it does not know."""
        found = self.figure("peak_memory_bytes", max)
        return None if found is None or found < 0 else found

    @property
    def footprint(self):
        """Bytes that params, gradients and, with momentum, buffers take."""
        elements, size = self.figure("elements"), DTYPE_BYTES.get(self.labels["dtype"])
        return elements * size * (2 if self.labels["hyper"] == "plain" else 3) if elements and size else None


@dataclass
class Run:
    """One result file."""
    file: str
    context: dict
    cases: list
    limits: list
    slopes: list

    def values(self, label):
        """What the cases have for a label, in the file's order."""
        return list(dict.fromkeys(case.labels[label] for case in self.cases))

    @property
    def ours(self):
        return [case for case in self.cases if case.ours]

    @property
    def pytorch(self):
        return [case for case in self.cases if not case.ours]


def _finite(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _parse(path):
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Unusable(f"{path}: not a text file") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = "; cut off?" if text.startswith("{") and not text.rstrip().endswith("}") else ""
        raise Unusable(f"{path}: not JSON: line {error.lineno}: {error.msg}{cut}") from None
    except RecursionError:
        raise Unusable(f"{path}: not a result of sgd-bench: nested too deeply") from None


def _check(path, document):
    context = document.get("context") if isinstance(document, dict) else None
    if not isinstance(context, dict) or "schema" not in context:
        google = isinstance(context, dict) and "benchmarks" in document
        what = "Google Benchmark's, but not sgd-bench's" if google else "no schema"
        raise Unusable(f"{path}: not a result of sgd-bench ({what}); write one with sgd-bench run --json FILE")
    if context["schema"] != SCHEMA:
        raise Unusable(f"{path}: schema {context['schema']!r:.80}; this sgd-bench reads {SCHEMA}")
    schema = json.loads(pathlib.Path(__file__).with_name("result.schema.json").read_text(encoding="utf-8"))
    try:
        fastjsonschema.compile(schema)(document)
    except fastjsonschema.JsonSchemaException as error:
        raise Unusable(f"{path}: {' '.join(error.message.split()).removeprefix('data.'):.200}") from None
    if not any(entry["run_type"] == "iteration" and entry["path"] != "limit" for entry in document["benchmarks"]):
        raise Unusable(f"{path}: holds no benchmark")


def _labels(entry):
    return {label: entry.get(label, DEFAULTS.get(label)) for label in LABELS}


def _group(entries):
    """Entries of repetitions into cases."""
    cases = {}
    for entry in entries:
        case = cases.setdefault(entry["run_name"], Case(entry["run_name"], _labels(entry)))
        time = entry.get("real_time")
        if not entry.get("error_occurred") and _finite(time) and time > 0:
            case.times[entry.get("round", len(case.entries))] = time * NANOSECONDS[entry.get("time_unit", "ns")]
        case.entries.append(entry)
    return list(cases.values())


def _add_ratios(cases):
    """Beside PyTorch's case of the same path and block.  A wrong answer has no speed."""
    by_labels = {tuple(case.labels.values()): case for case in cases}
    for case in cases:
        base = by_labels.get(tuple({**case.labels, "implementation": PYTORCH[0]}.values()))
        if base is None or base is case or (case.ours and case.bits == "wrong"):
            continue
        case.ratio, case.against = ratio(case.times, base.times), base.name


def load(path):
    """The run in a file."""
    document = _parse(path)
    _check(path, document)
    repetitions = [entry for entry in document["benchmarks"] if entry["run_type"] == "iteration"]
    cases = _group(entry for entry in repetitions if entry["path"] != "limit")
    _add_ratios(cases)
    return Run(str(path), document["context"], cases, _group(entry for entry in repetitions if entry["path"] == "limit"),
               document.get("slopes", []))
