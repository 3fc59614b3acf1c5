"""A run beside PyTorch as text of 100 columns, and as Markdown for a README: what a person reads first comes first."""
import textwrap

from .beside import against, blocks
from .goals import THREADS

WIDTH = 100
DEFAULT_HYPER = "momentum_decay"
DEFECT = "equal to the contract with PyTorch's defect in it: pytorch#191763, fused f16 and bf16 step no params in blocks of 16"
HEAD = ("path", "implementation", "ms/step", "of limit", "x PyTorch's same path", "x PyTorch's fastest", "bits")
ALIGN = "<<>>>>>"  # left or right
GOAL_HEAD = ("times as fast as PyTorch", "at least", "1 thread", "", "2 threads", "")
GOAL_ALIGN = "<>><><"


def threads_text(count):
    return f"{count} thread{'' if count == 1 else 's'}"


def title(block):
    case = next(iter(block.cases.values()))
    labels = block.labels
    text = f"{labels['shapes']} {labels['dtype']}, {threads_text(labels['threads'])}"
    for label, default in (("hyper", DEFAULT_HYPER), ("contract", "cpu-fma"), ("device", "cpu")):
        if labels[label] != default:
            text += f", {labels[label]}"
    tensors, elements = case.figure("tensors"), case.figure("elements")
    if tensors and elements:
        text += f": {tensors:,.0f} tensor{'' if tensors == 1 else 's'}, {elements:,.0f} elements"
    return text


def _milliseconds(ns):
    ms = ns / 1e6
    return f"{ms:.2f}" if ms >= 10 else f"{ms:.3f}" if ms >= 1 else f"{ms:.4f}"


def _bits(case):
    """equal* where PyTorch's bits are those of a defect, which the rows beside it do not have."""
    labels = case.labels
    with_defect = labels["implementation"] == "torch" and labels["path"] == "fused" and labels["dtype"] in ("f16", "bf16")
    return "equal*" if case.bits == "equal" and with_defect else case.bits


def row(block, case):
    """The cells of a case, in HEAD's order; one that has no time says why in the next to last."""
    labels = case.labels
    start = labels["path"], labels["implementation"]
    if case.bits == "wrong" or not case.times:
        return (*start, "", "", "", "", "WRONG" if case.bits == "wrong" else "failed")
    share = block.share(case)
    same, fastest = against(block, case, "same/torch"), against(block, case, "fastest/torch")
    is_torch = labels["implementation"] == "torch"
    return (*start, _milliseconds(case.ns), f"{100 * share.value:.0f} %" if share else "",
            "1" if is_torch else str(same or ""), "1" if case is block.fastest() else str(fastest or ""), _bits(case))


def notes(block):
    """Why bits are not simply equal, and why cases have no time."""
    told = {}
    for case in block.rows():
        why_bits = {"equal*": DEFECT, "unchecked": case.bits_why}.get(_bits(case))
        reason = why_bits if case.times else case.error
        if reason:
            told.setdefault(" ".join(reason.split()), []).append("/".join((case.labels["path"], case.labels["implementation"])))
    return [f"{'all' if len(names) == len(block.cases) else ', '.join(names)}: {reason}" for reason, names in told.items()]


def headline(block):
    """One sentence: what a user of PyTorch's default gains with the same bits."""
    ours, theirs = block.cases.get(("forloop", "single_pass")), block.torch("forloop")
    if not (ours and theirs and (found := against(block, ours, "forloop/torch"))):
        return None
    return (f"{block.labels['shapes']} {block.labels['dtype']}, {threads_text(block.labels['threads'])}: {found} times as "
            f"fast as PyTorch's default, the for-loop, with its bits: {_milliseconds(ours.ns)} ms for {_milliseconds(theirs.ns)}")


def origin(run):
    """Machine, date, versions, noise: what the figures hang on."""
    context = run.context
    machine, versions, noise = context["machine"], context.get("versions") or {}, context.get("noise") or {}
    cores = machine.get("cores")
    lines = [
        f"machine   {machine['cpu']}" + (f", {cores} core{'' if cores == 1 else 's'}" if cores else "")
        + (f", governor {machine['governor']}" if machine.get("governor") else ""),
        f"date      {context['date']}",
        "versions  " + ", ".join([f"ExactSGD {context.get('sgd_version', '')} {context.get('backend', '')}".strip(),
                                  *(f"{name} {version}" for name, version in versions.items() if version)])
        + (f", commit {context['commit'][:12]}" if context.get("commit") else ""),
    ]
    if context.get("compiler"):
        lines.append(f"built by  {context['compiler']} {context.get('flags') or ''}".rstrip())
    if isinstance(noise.get("figure"), (int, float)):
        disturbed = f": DISTURBED, {noise.get('why') or 'do not trust small differences'}" if noise.get("disturbed") else ""
        lines.append(f"noise     {100 * noise['figure']:.1f} % between calibration loops over the run{disturbed}")
    if context.get("partial"):
        lines.append("partial   the run was ended early: these are the results so far")
    return lines


LEGEND = ("ratio: how many times as fast, medians of rounds that ran interleaved; [ ]: 95 % confidence, exact, rounds as "
          "pairs; of limit: bytes a step must move over its time, against a stream of as many reads and writes in the same rounds")


def _wrapped(text, indent="  ", hanging="            "):
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False)


def _grid(head, rows, align):
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    return ["  " + "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, align, widths)).rstrip()
            for line in (head, *rows)]


def _markdown_grid(head, rows, align):
    def line(cells):
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"

    return [line(head), "|" + "|".join("---:" if side == ">" else "---" for side in align) + "|", *map(line, rows)]


def _by_goal(verdicts):
    found = {}
    for verdict in verdicts:
        found.setdefault(verdict.what, {})[verdict.threads] = verdict
    return found


def _goal_rows(verdicts):
    rows = []
    for what, by_threads in _by_goal(verdicts).items():
        least = dict.fromkeys(f"{verdict.at_least:g}" for verdict in by_threads.values())
        cells = [what, " / ".join(least)]
        for threads in THREADS:
            verdict = by_threads.get(threads)
            measured = verdict is not None and verdict.ratio is not None
            cells += [str(verdict.ratio), "yes" if verdict.reached else "NO"] if measured else ["not measured", ""]
        rows.append(cells)
    return rows


def worst_places(verdicts):
    """Where the least of several was."""
    lines = []
    for what, by_threads in _by_goal(verdicts).items():
        places = [f"on {threads_text(verdict.threads)} {verdict.where}, of {verdict.count}"
                  for verdict in by_threads.values() if verdict.count > 1]
        if places:
            lines.append(f"{what}: the least was {'; '.join(places)}")
    return lines


def drop_in_line(verdict):
    if verdict.ratio is None:
        return None
    return (f"drop-in: {verdict.ratio} times as fast as torch.optim.SGD on the same path at least, over {verdict.count} "
            f"case{'' if verdict.count == 1 else 's'}; the least is {verdict.where}"
            + ("" if verdict.ratio.value >= verdict.at_least else ": BELOW 1"))


def goals_text(verdicts):
    lines = ["The project's goals: the for-loop's bits where no path is named", "",
             *_grid(GOAL_HEAD, _goal_rows(verdicts), GOAL_ALIGN), ""]
    for line in worst_places(verdicts):
        lines += _wrapped(line, "  ", "    ")
    return lines


def text(run, verdicts=None, drop_in=None):
    """Goals or sentences, then where it was measured, then block after block."""
    lines = [*goals_text(verdicts), ""] if verdicts else []
    found = blocks(run)
    if not verdicts:
        for line in filter(None, map(headline, found)):
            lines += _wrapped(line, "  ", "    ")
    if drop_in and (line := drop_in_line(drop_in)):
        lines += _wrapped(line, "  ", "    ")
    lines.append("")
    for line in origin(run):
        lines += _wrapped(line)
    lines += _wrapped(LEGEND, "  ", "  ")
    for block in found:
        lines += ["", *_wrapped(title(block), ""), *_grid(HEAD, [row(block, case) for case in block.rows()], ALIGN)]
        for line in notes(block):
            lines += _wrapped(line, "  ", "    ")
    return "\n".join(lines).lstrip("\n") + "\n"


def markdown(run, verdicts=None, drop_in=None):
    lines = []
    if verdicts:
        lines += [*_markdown_grid(GOAL_HEAD, _goal_rows(verdicts), GOAL_ALIGN), ""]
        lines += [f"- {line}" for line in worst_places(verdicts)] + [""]
    if drop_in and (line := drop_in_line(drop_in)):
        lines += [line[0].upper() + line[1:] + ".", ""]
    lines += ["```", *origin(run), "```", "", LEGEND[0].upper() + LEGEND[1:] + "."]
    for block in blocks(run):
        lines += ["", f"**{title(block)}**", "", *_markdown_grid(HEAD, [row(block, case) for case in block.rows()], ALIGN)]
        lines += ["", *(f"- {line}" for line in notes(block))]
    return "\n".join(lines).rstrip() + "\n"
