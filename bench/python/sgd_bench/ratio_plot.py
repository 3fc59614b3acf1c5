"""The ratio to PyTorch by shape set, dtype and path as a small SVG, light or dark as the reader's screen is: for a README.

One panel per shape set, of `single_pass` with the run's first hyper-parameters and contract and its least threads.
"""
import math

from .results import PYTORCH, Unusable
from .units import times

WIDTH, MOST_COLUMNS, GAP = 880, 3, 24  # of the picture; panels side by side; between them
HEAD, LANE, BETWEEN, FOOT = 30, 15, 9, 24  # of a panel: its name, a dtype and path, between dtypes, the axis
LEFT, RIGHT = 36, 46  # dtypes and ratios beside the plot
TOP, BOTTOM = 58, 26  # of the picture: title and legend, where it was measured


def _panel(cases, paths, left, top, width):
    """Positions of all that a panel shows."""
    ends = [end for case in cases for end in (case.ratio.value, case.ratio.low, case.ratio.high) if end is not None]
    low, high = min(0.8, *ends) / 1.1, max(4, *ends) * 1.1
    start, length = left + LEFT, width - LEFT - RIGHT

    def x_of(value):
        return round(start + length * math.log(value / low) / math.log(high / low), 1)

    dots, dtypes, y = [], [], top + HEAD
    for dtype in dict.fromkeys(case.labels["dtype"] for case in cases):
        first = y
        lanes = [(paths.index(case.labels["path"]), case.ratio) for case in cases if case.labels["dtype"] == dtype]
        for path, ratio in sorted(lanes, key=lambda lane: lane[0]):
            dots.append({"x": x_of(ratio.value), "y": y, "text": times(ratio.value), "path": path,
                         "low": x_of(ratio.low or ratio.value), "high": x_of(ratio.high or ratio.value),
                         "slower": ratio.verdict == "slower"})
            y += LANE
        dtypes.append({"name": dtype, "y": (first + y - LANE) / 2})
        y += BETWEEN
    bottom = y - BETWEEN - 2
    steps = (1, 2, 3) if high < 8 else (1, 3, 10, 30, 100) if high < 300 else (1, 10, 100, 1000, 10000)
    ticks = [{"x": x_of(step), "text": f"{step:,}×", "one": step == 1} for step in steps if step < high]
    first = cases[0]
    return {"name": first.labels["shapes"], "dots": dots,
            "dtypes": dtypes, "ticks": ticks, "left": left, "start": start, "end": start + length, "top": top, "bottom": bottom,
            "tensors": first.figure("tensors"), "elements": first.figure("elements")}


def ratio_plot(environment, run, ladder):
    """The SVG's text."""
    found = [case for case in run.ours if case.ratio and case.labels["implementation"] == "single_pass"
             and not case.labels["shapes"].startswith(ladder)]
    if not found:
        raise Unusable(f"{run.file}: no ratio to PyTorch to plot; sgd-bench vs-torch --json FILE measures it")
    threads = min(case.labels["threads"] for case in found)
    one = {**{label: found[0].labels[label] for label in ("hyper", "contract", "device")}, "threads": threads}
    found = [case for case in found if one.items() <= case.labels.items()]
    paths, sets = run.values("path"), list(dict.fromkeys(case.labels["shapes"] for case in found))
    columns = math.ceil(len(sets) / math.ceil(len(sets) / MOST_COLUMNS))
    width, panels, top = (WIDTH - GAP * (columns + 1)) / columns, [], TOP
    for at in range(0, len(sets), columns):
        row = [_panel([case for case in found if case.labels["shapes"] == shapes], paths,
                      GAP + column * (width + GAP), top, width) for column, shapes in enumerate(sets[at:at + columns])]
        panels += row
        top = max(panel["bottom"] for panel in row) + FOOT + 10
    return environment.get_template("ratio_plot.svg.j2").render(
        run=run, panels=panels, paths=paths, width=WIDTH, height=top + BOTTOM - 10, gap=GAP, threads=threads,
        hyper=one["hyper"], torch=run.context.get("versions", {}).get(PYTORCH[0], ""),
        wrong=sum(case.bits == "wrong" for case in run.ours))
