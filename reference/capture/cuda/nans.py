"""Which NaN comes out when NaNs go in: rules that explain what the NaN grid left, for the rows that the contract leaves open.

A rule is an order of the operands p, g, b, with or without a change of sign: the first one that is a NaN is the result, quieted or as it
is.  Or it is one constant.  Elements where only an infinity led to a NaN are told apart: `made` is what they hold.
"""

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from .judging import FIELDS, MANTISSA_BITS, is_nan
from .runs import WIDTHS, Run, State, Words


def lines(runs: list[Run], outcomes: list[list[State]]) -> Iterator[str]:
    """One line for each set of rules, with the runs of the grid that follow it."""
    by_rules: dict[str, list[str]] = {}
    for run, states in zip(runs, outcomes, strict=True):
        for field, words in zip(FIELDS, states[0], strict=True):
            if field != "buffer" or run.momentum:
                by_rules.setdefault(f"{run.dtype} {field}: {describe(run, words)}", []).append(_cell(run))
    for rules, cells in sorted(by_rules.items()):
        yield f"    {rules}"
        yield f"        {len(cells)} runs: {', '.join(cells)}"


def _cell(run: Run) -> str:
    flags = [("-", run.maximize), ("wd", run.weight_decay), ("scale", run.grad_scale), ("m", run.momentum), ("nesterov", run.nesterov),
             ("first", run.momentum and run.buffer is None)]
    return " ".join([run.path, "aligned" if run.is_aligned else "ragged", *(name for name, is_set in flags if is_set)])


def describe(run: Run, words: Words) -> str:
    """The rules that explain all NaNs of an output, or `no rule`; of rules with the same effect the shortest."""
    inputs = {"p": run.param, "g": run.grads[0], **({} if run.buffer is None else {"b": run.buffer})}
    holds = {name: is_nan(run.dtype, operand) for name, operand in inputs.items()}
    from_nan = is_nan(run.dtype, words) & np.logical_or.reduce(list(holds.values()))
    made = sorted(set(words[is_nan(run.dtype, words) & ~from_nan].tolist()))
    digits = WIDTHS[run.dtype] // 4
    told = [f"made {' '.join(f'{word:0{digits}x}' for word in made)}"] if made else []
    seen = sorted(set(words[from_nan].tolist()))
    if not seen:
        return "; ".join(["no NaN from a NaN", *told])
    if len(seen) == 1:
        return "; ".join([f"always {seen[0]:0{digits}x}", *told])
    fits = [rule for rule, result in _rules(run, inputs, holds) if np.array_equal(result[from_nan], words[from_nan])]
    shortest = min(map(len, fits), default=0)
    unexplained = f"no rule, seen {' '.join(f'{word:0{digits}x}' for word in seen)}"
    return "; ".join([" or ".join(fit for fit in fits if len(fit) == shortest) if fits else unexplained, *told])


def _rules(run: Run, inputs: dict[str, Words], holds: dict[str, np.ndarray]) -> Iterator[tuple[str, Words]]:
    """Names of rules and what they give for every element; zeros where no operand is a NaN."""
    sign, quiet_bit = (run.uint.type(1 << place) for place in (WIDTHS[run.dtype] - 1, MANTISSA_BITS[run.dtype] - 1))
    for count in range(1, len(inputs) + 1):
        for order in permutations(inputs, count):
            for signs, raw in product(product("+-", repeat=count), (False, True)):
                result = np.zeros_like(run.param)
                for name, mark in reversed(list(zip(order, signs))):
                    operand = inputs[name] if raw else inputs[name] | quiet_bit
                    result = np.where(holds[name], operand ^ sign if mark == "-" else operand, result)
                yield ("raw " if raw else "") + " ".join(mark.replace("+", "") + name for name, mark in zip(order, signs)), result
