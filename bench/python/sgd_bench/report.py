"""sgd-bench report: result files to one HTML page that needs nothing else, and no network.

    sgd-bench report FILE.json [FILE.json ...] --out report.html
    sgd-bench report FILE.json --plot ratio.svg       # the ratio to PyTorch as a small picture

The page has the tables as HTML and the cases as JSON; page/*.js filters, sorts and draws them with plotly.js, which is
embedded.
"""
import argparse
import os
import pathlib
import shlex
import statistics
import sys
import tempfile

import jinja2
from plotly.offline import get_plotlyjs

from . import units
from .ratio_plot import ratio_plot
from .results import DTYPE_BYTES, Unusable, load

# Facets of the filter: several values at once as buttons, or one of a list.
BUTTONS = ("path", "implementation", "dtype", "shapes")
LISTS = ("threads", "hyper", "contract", "device")
LADDER = "ladder"  # begins the names of the shape sets that are one tensor each, of growing size


def environment():
    made = jinja2.Environment(loader=jinja2.FileSystemLoader(pathlib.Path(__file__).with_name("page")), autoescape=True,
                              trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters.update({name: getattr(units, name) for name in units.__all__})
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False, "allow_nan": False}
    return made


def command(case):
    """What measures this case again."""
    does = "run" if case.labels["implementation"] in ("single_pass", "by_op") else "vs-torch"
    return f"sgd-bench {does} --filter {shlex.quote(case.name)}"


def summary(run):
    """Ratios of one implementation of ours after the other: how many, how sure, and from where to where."""
    rows = []
    for implementation in dict.fromkeys(case.labels["implementation"] for case in run.ours):
        cases = sorted((case for case in run.ours if case.ratio and case.labels["implementation"] == implementation),
                       key=lambda case: case.ratio.value)
        if cases:
            verdicts = [case.ratio.verdict for case in cases]
            rows.append({"implementation": implementation, "pairs": len(cases), "lowest": cases[0], "highest": cases[-1],
                         "median": statistics.median(case.ratio.value for case in cases),
                         **{verdict: verdicts.count(verdict) for verdict in ("faster", "slower", "unclear")}})
    return rows


def memory(run):
    """The most memory beyond state that a path and implementation took, in bytes and against the params' size."""
    rows = {}
    for case in run.cases:
        elements, size = case.figure("elements"), DTYPE_BYTES.get(case.labels["dtype"])
        if case.peak is None or not elements or not size:
            continue
        key = path, implementation = case.labels["path"], case.labels["implementation"]
        row = {"path": path, "implementation": implementation, "peak": case.peak, "share": case.peak / (elements * size),
               "case": case}
        if key not in rows or (row["share"], row["peak"]) > (rows[key]["share"], rows[key]["peak"]):
            rows[key] = row
    return list(rows.values())


def plotted(run):
    """What the plots need of a run, as JSON."""
    def case_data(case):
        ratio = case.ratio and [case.ratio.value, case.ratio.low, case.ratio.high, case.ratio.verdict]
        return {"name": case.name, **case.labels, "ns": case.ns, "footprint": case.footprint, "bits": case.bits,
                "gbps": case.figure("GB_per_s"), "share": case.figure("share_of_limit"), "ratio": ratio, "ours": case.ours}

    limits = [{**limit.labels, "gbps": limit.figure("GB_per_s")} for limit in run.limits]
    caches = [[f"L{cache['level']}", cache["bytes"]] for cache in run.context["machine"].get("caches", [])
              if cache.get("type", "data").lower() not in ("instruction", "i")]
    defaults = {"hyper": "momentum_decay", "contract": "cpu-fma", "device": "cpu", "threads": None}
    slopes = [{**defaults, **slope} for slope in run.slopes]
    return {"cases": [case_data(case) for case in run.cases], "limits": limits, "caches": caches, "slopes": slopes}


def values(runs, label):
    """What all runs together have for a label."""
    found = list(dict.fromkeys(value for run in runs for value in run.values(label)))
    return sorted(found) if label == "threads" else found


def page(runs):
    """The page's text."""
    facets = {label: values(runs, label) for label in BUTTONS + LISTS}
    data = {"runs": [plotted(run) for run in runs], "facets": facets, "ladder": LADDER}
    return environment().get_template("report.html.j2").render(
        runs=runs, facets=facets, buttons=BUTTONS, lists=LISTS, ladder=LADDER, summary=summary, memory=memory, command=command,
        has_ladder=any(shapes.startswith(LADDER) for shapes in facets["shapes"]), data=data,
        plotly_js=get_plotlyjs())


def write_whole(path, text):
    """All of a file, or none of it and what was there before."""
    path = pathlib.Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_text(text, encoding="utf-8")
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="sgd-bench report", description="Result files to one HTML page, or to one plot.")
    parser.add_argument("files", nargs="+", metavar="FILE.json", help="what sgd-bench run or vs-torch wrote with --json")
    parser.add_argument("--out", metavar="FILE.html", help="where the page goes")
    parser.add_argument("--plot", metavar="FILE.svg", help="the ratio to PyTorch by dtype and shape set, of the first file")
    options = parser.parse_args(arguments)
    if not options.out and not options.plot:
        parser.error("where to? --out FILE.html or --plot FILE.svg")
    try:
        runs, made = [load(file) for file in options.files], {}
        if options.out:
            made[options.out] = page(runs)
        if options.plot:
            made[options.plot] = ratio_plot(environment(), runs[0], LADDER)
    except Unusable as problem:
        print(f"sgd-bench: {problem}", file=sys.stderr)
        return 2
    for path, text in made.items():
        try:
            write_whole(path, text)
        except OSError as error:
            print(f"sgd-bench: {path}: cannot be written: {error.strerror or error}", file=sys.stderr)
            return 2
        print(f"{path}: {units.size(len(text.encode()))}")
    return 0
