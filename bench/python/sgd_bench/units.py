"""Numbers with their units, for people."""
import math

__all__ = ["time", "size", "percent", "times", "number", "count", "interval", "name_of"]

NAMES = {"forloop": "for-loop", "single_pass": "single pass", "by_op": "by op", "python": "drop-in", "torch": "PyTorch",
         "compiled": "PyTorch compiled"}


def _figures(value):
    """Three significant digits, never in powers of ten."""
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.{2 - math.floor(math.log10(value))}f}"


def time(ns):
    if ns is None:
        return "–"
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= scale:
            return f"{_figures(ns / scale)} {unit}"
    return f"{_figures(ns)} ns"


def size(count):
    if count is None or count < 0:
        return "–"
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{_figures(count / scale)} {unit}"
    return f"{count:,.0f} B"


def percent(share):
    return "–" if share is None else f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def times(value):
    """A ratio, as in 2.41 times."""
    if value is None:
        return "–"
    return f"{value:.0f}×" if value >= 100 else f"{value:.1f}×" if value >= 10 else f"{value:.2f}×"


def interval(ratio):
    return f"{times(ratio.low)[:-1]} – {times(ratio.high)[:-1]}" if ratio.low is not None else "no interval"


def number(value):
    return "–" if value is None else f"{value:,.0f}" if float(value).is_integer() else _figures(value)


def count(value):
    """A number of things, short: 25.6 M."""
    for unit, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e4)):
        if value is not None and value >= scale:
            return _figures(value / (1e3 if scale == 1e4 else scale)) + unit
    return number(value)


def name_of(value):
    """What a value of a label is called on the page."""
    return NAMES.get(value, str(value).replace("_", " + ") if value == "momentum_decay" else value)
