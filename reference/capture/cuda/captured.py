"""Runs with what PyTorch made of them, and how that compares with the model."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import model, running
from .judging import Tally, first_difference
from .runs import Run, State


@dataclass
class Captured:
    """Runs, their states, and how they compare with the model; counts of what is not kept or not compared, and why."""

    runs: list[Run] = field(default_factory=list)
    states: list[list[State]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    apart: Counter = field(default_factory=Counter)

    def add(self, run: Run, device: str, exceptions: bool) -> None:
        """Does the run twice; it is kept if the bits are the same."""
        try:
            states, again = (running.states_of(run, device) for _ in range(2))
        except (RuntimeError, TypeError) as error:
            self.apart[f"{run.path}/{run.dtype}: PyTorch raises {type(error).__name__}: {str(error).splitlines()[0]}"] += 1
            return
        if first_difference(run, states, again, nan_is_nan=False):
            self.apart[f"{run.path}/{run.dtype}: other bits a second time, not kept"] += 1
            return
        self.runs.append(run)
        self.states.append(states)
        try:
            self.tally.add(run, states, model.states_of(run, exceptions))
        except NotImplementedError:
            self.apart[f"{run.path}/{run.dtype}: not compared, not in the model"] += 1

    def lines(self, title: str) -> Iterator[str]:
        yield from self.tally.lines(f"{title} against the model")
        yield from (f"    {count:5,}  {what}" for what, count in sorted(self.apart.items()))
