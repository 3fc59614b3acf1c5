"""Random models of use on torch.optim.SGD and on our classes, side by side.

EXACTSGD_EXAMPLES says how many (2000); 50,000 take about an hour.
"""

import os
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twin import Twin

from exactsgd import SGD, contract

EXAMPLES = int(os.environ.get("EXACTSGD_EXAMPLES", "2000"))

seeds = st.integers(0, 2**32 - 1)
HOOKS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")


def drop_in(*arguments: Any, **keywords: Any) -> torch.optim.Optimizer:
    return SGD(*arguments, **keywords, defects="reproduce")


def all_in_c(*arguments: Any, **keywords: Any) -> torch.optim.Optimizer:
    return contract.SGD(*arguments, **keywords, defects="reproduce")


class Beside(RuleBasedStateMachine):
    """One pair, in some order of use."""

    make = staticmethod(drop_in)
    twin: Twin

    @initialize(seed=seeds)
    def start(self, seed: int) -> None:
        self.twin = Twin(self.make, seed)
        self.twin.grads(seed)

    @rule(seed=seeds, closure=st.sampled_from(["none", "none", "none", "returns", "raises"]), fresh=st.booleans())
    def step(self, seed: int, closure: str, fresh: bool) -> None:
        if fresh:
            self.twin.grads(seed)
        self.twin.step(seed, closure)

    @rule(seed=seeds)
    def steps(self, seed: int) -> None:
        for number in range(3):
            self.twin.grads(seed + number)
            self.twin.step(seed + number, "none")
            self.twin.check()

    @rule(seed=seeds)
    def options(self, seed: int) -> None:
        self.twin.options(seed)

    @rule(kind=st.sampled_from(["step", "cosine", "lambda", "cyclic"]))
    def schedule(self, kind: str) -> None:
        self.twin.schedule(kind)

    @rule(seed=seeds, through=st.sampled_from(["dict", "copy", "file"]))
    def load(self, seed: int, through: str) -> None:
        self.twin.load(seed, through)

    @rule(how=st.sampled_from(["deepcopy", "pickle"]))
    def copy(self, how: str) -> None:
        self.twin.copy(how)

    @rule(kind=st.sampled_from(HOOKS), what=st.sampled_from(["sees", "changes", "prepended", "raises", "wrong"]))
    def hook(self, kind: str, what: str) -> None:
        self.twin.hook(kind, what)

    @rule()
    def unhook(self) -> None:
        self.twin.unhook()

    @rule(what=st.sampled_from(["replace", "drop", "note"]))
    def state(self, what: str) -> None:
        self.twin.state(what)

    @rule()
    def state_dict(self) -> None:
        self.twin.state_dict()

    @rule(set_to_none=st.booleans())
    def zero_grad(self, set_to_none: bool) -> None:
        self.twin.zero_grad(set_to_none)

    @rule(seed=seeds)
    def add_group(self, seed: int) -> None:
        self.twin.add_group(seed)

    @invariant()
    def alike(self) -> None:
        if hasattr(self, "twin"):
            self.twin.check()


class ContractBeside(Beside):
    """The same for the class whose groups, hooks and state are C's too."""

    make = staticmethod(all_in_c)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("machine, share", [(Beside, 1), (ContractBeside, 4)])
def test_use_that_differs_from_torch(machine: type[Beside], share: int) -> None:
    torch.set_num_threads(1)
    run_state_machine_as_test(machine, settings=settings(
        max_examples=max(1, EXAMPLES // share), stateful_step_count=12, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    ))
