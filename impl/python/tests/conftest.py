"""Both classes for PyTorch, and a thread count that decides no bits."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import exactsgd
import exactsgd.contract


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["SGD", "contract.SGD"])
def make(request: pytest.FixtureRequest) -> Callable[..., torch.optim.Optimizer]:
    """The drop-in, or the class whose groups, state and hooks are C's too."""
    classes: dict[str, Any] = {"SGD": exactsgd.SGD, "contract.SGD": exactsgd.contract.SGD}
    chosen: Callable[..., torch.optim.Optimizer] = classes[request.param]
    return chosen
