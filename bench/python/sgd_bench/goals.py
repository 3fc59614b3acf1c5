"""What the project wants to reach (goals.json), held against a run."""
import fnmatch
import json
import pathlib
from dataclasses import dataclass

from .beside import against, blocks
from .ratios import Ratio

THREADS = (1, 2)


@dataclass
class Verdict:
    """One goal at one thread count: the least that was measured, and where; None where nothing was."""
    what: str
    threads: int
    at_least: float
    ratio: Ratio | None
    where: str | None
    count: int

    @property
    def reached(self):
        return self.ratio is not None and self.ratio.value >= self.at_least


def goals():
    return json.loads(pathlib.Path(__file__).with_name("goals.json").read_text())["goals"]


def sets():
    """The shape sets that goals name."""
    return list(dict.fromkeys(name for goal in goals() if (name := goal["ours"].split("/")[3]) != "*"))


def filters():
    """Globs of exactly the cases that the goals need: ours, and what they are held against."""
    found = []
    for goal in goals():
        path, _, dtype, shapes = goal["ours"].split("/")
        found.append(goal["ours"])
        if goal["against"] != "limit":
            base, implementation = goal["against"].split("/")
            base = {"same": path, "fastest": "*"}.get(base, base)
            found.append(f"{base}/{implementation}/{dtype}/{shapes}")
    return [f"{name}/threads:*" for name in dict.fromkeys(found)]


def judge(run, goal, threads):
    """The least ratio over all cases that the goal means."""
    found = []
    for block in blocks(run):
        if block.labels["threads"] != threads:
            continue
        for case in block.rows():
            name = "/".join(case.labels[label] for label in ("path", "implementation", "dtype", "shapes"))
            if fnmatch.fnmatchcase(name, goal["ours"]) and case.name.startswith(f"{name}/threads:"):
                found.append((against(block, case, goal["against"]), name))
    measured = [(ratio, name) for ratio, name in found if ratio]
    ratio, where = min(measured, key=lambda pair: pair[0].value, default=(None, None))
    return Verdict(goal["what"], threads, goal["at_least"][str(threads)], ratio, where, len(measured))


def verdicts(run):
    return [judge(run, goal, threads) for goal in goals() for threads in THREADS if str(threads) in goal["at_least"]]


def drop_in(run):
    """The drop-in against torch.optim.SGD on the same path: the least ratio anywhere, where, and of how many."""
    found = [(ratio, case.name) for block in blocks(run) for case in block.rows()
             if case.labels["implementation"] == "python" and (ratio := against(block, case, "same/torch"))]
    ratio, where = min(found, key=lambda pair: pair[0].value, default=(None, None))
    return Verdict("drop-in against torch.optim.SGD on the same path", 0, 1.0, ratio, where, len(found))
