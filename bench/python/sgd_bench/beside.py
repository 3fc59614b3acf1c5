"""A run's cases beside PyTorch's: blocks, the rows of a block, ratios against any of PyTorch's paths and against the limit.

A block is what ran interleaved over the same tensors: one shape set, dtype, set of hyper-parameters, contract and thread count.
"""
from dataclasses import dataclass, field

from .ratios import ratio

BLOCK = ("dtype", "shapes", "hyper", "contract", "device", "threads")
PATHS = ("forloop", "foreach", "fused")
IMPLEMENTATIONS = ("torch", "compiled", "single_pass", "by_op", "python")


@dataclass
class Block:
    labels: dict
    cases: dict = field(default_factory=dict)  # by path and implementation
    limits: list = field(default_factory=list)

    def torch(self, path):
        """PyTorch's case of a path, None where it has no time."""
        case = self.cases.get((path, "torch"))
        return case if case and case.times else None

    def fastest(self):
        """The fastest of PyTorch's paths, eager; None where it has no time."""
        found = [case for path in PATHS if (case := self.torch(path))]
        return min(found, key=lambda case: case.ns, default=None)

    def rows(self):
        return sorted(self.cases.values(), key=lambda case: (PATHS.index(case.labels["path"]),
                                                             IMPLEMENTATIONS.index(case.labels["implementation"])))

    def share(self, case):
        """Of the limit's bytes per second, with an interval; None where there is no limit."""
        moved = {round_: time / case.figure("bytes") for round_, time in case.times.items()}
        shares = [ratio(moved, {round_: time / limit.figure("bytes") for round_, time in limit.times.items()})
                  for limit in self.limits if limit.times]
        return min(filter(None, shares), key=lambda share: share.value, default=None) if moved else None


def blocks(run):
    """In the order of the run."""
    found = {}
    for case in run.cases + run.limits:
        labels = {label: case.labels[label] for label in BLOCK}
        block = found.setdefault(tuple(labels.values()), Block(labels))
        if case.labels["path"] == "limit":
            block.limits.append(case)
        else:
            block.cases[case.labels["path"], case.labels["implementation"]] = case
    return [block for block in found.values() if block.cases]


def against(block, case, which):
    """The ratio of a case to what a goal calls it: path/implementation, same/torch, fastest/torch, limit."""
    if case.bits == "wrong" or not case.times:
        return None
    if which == "limit":
        return block.share(case)
    path, implementation = which.split("/")
    if path == "fastest":
        base = block.fastest()
    else:
        base = block.cases.get((case.labels["path"] if path == "same" else path, implementation))
    return ratio(case.times, base.times) if base else None
