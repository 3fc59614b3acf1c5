"""What PyTorch computes instead of the library is known, right, and counted."""

from collections.abc import Callable
from typing import Any

import torch

import exactsgd

Make = Callable[..., torch.optim.Optimizer]


def param(*values: float) -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.tensor(values))
    made.grad = torch.ones_like(made)
    return made


class Marked(torch.Tensor):
    """A subclass that changes nothing."""


def falls_back(step: Callable[[], Any]) -> dict[str, int]:
    before = exactsgd.fallback_counts()
    step()
    return {reason: count - before.get(reason, 0) for reason, count in exactsgd.fallback_counts().items()
            if count != before.get(reason, 0)}


def test_a_plain_step_falls_back(make: Make) -> None:
    p, row = param(1.0), torch.nn.Parameter(torch.zeros(4, 2))
    row.grad = torch.sparse_coo_tensor(torch.tensor([[1, 1]]), torch.ones(2, 2), (4, 2), check_invariants=False)
    c = torch.nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    c.grad = torch.ones_like(c)
    assert falls_back(make([p, row, c], lr=torch.tensor(0.1), momentum=0.9).step) == {}


def test_fallbacks_are_not_counted(make: Make) -> None:
    subclass = torch.zeros(2).as_subclass(Marked)
    subclass.grad = torch.ones(2).as_subclass(Marked)
    assert falls_back(make([subclass], lr=1.0).step) == {"a tensor of the type Marked": 1} and subclass[0].item() == -1.0

    meta = torch.nn.Parameter(torch.zeros(2, device="meta"))
    meta.grad = torch.zeros(2, device="meta")
    assert list(falls_back(make([meta], lr=1.0).step).values()) == [1]

    with torch.inference_mode():
        inference = torch.zeros(2)
        inference.grad = torch.ones(2)
        assert falls_back(make([inference], lr=1.0).step) == {"a tensor of inference mode": 1} and inference[0].item() == -1.0

    conjugate = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    conjugate.grad = torch.tensor([1 + 2j, 3j]).conj()
    assert falls_back(make([conjugate], lr=1.0).step) == {"a tensor that is negated or conjugated lazily": 1}
    assert conjugate.tolist() == [-1 + 2j, 3j]

    negative = torch.nn.Parameter(torch.zeros(2))
    negative.grad = torch.tensor([1 + 2j, 3j]).conj().imag
    assert falls_back(make([negative], lr=1.0).step) == {"a tensor that is negated or conjugated lazily": 1}
    assert negative.tolist() == [2.0, 3.0]

    storage = torch.zeros(3)
    views = [torch.nn.Parameter(storage[:2]), torch.nn.Parameter(storage[1:])]
    for view in views:
        view.grad = torch.ones(2)
    assert falls_back(make(views, lr=1.0, foreach=True).step) == {"tensors that share memory": 1}
    assert storage.tolist() == [-1.0, -2.0, -1.0]


def test_promoted_momentum_differs_from_torch(make: Make) -> None:
    results = []
    for cls in (make, torch.optim.SGD):
        p = torch.nn.Parameter(torch.tensor(0.3))
        optimizer = cls([p], lr=0.1, momentum=torch.tensor(0.9, dtype=torch.float64))
        for number in range(20):
            p.grad = torch.tensor(1.1 + number)
            optimizer.step()
        results.append((p.item(), optimizer.state[p]["momentum_buffer"].item()))
    assert results[0] == results[1]


def test_differentiable_steps_record_nothing(make: Make) -> None:
    leaf = torch.tensor([2.0], requires_grad=True)
    p = leaf.clone()
    p.retain_grad()
    p.grad = leaf * 3
    optimizer = make([p], lr=0.5, differentiable=True)
    assert falls_back(optimizer.step) == {"autograd records the step": 1}
    p.backward()
    assert leaf.grad.item() == 1 - 0.5 * 3


def test_a_dispatch_mode_is_passed_by(make: Make) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    optimizer = make([param(1.0)], lr=1.0)
    with Watch():
        counted = falls_back(optimizer.step)
    assert counted == {"a dispatch mode is active": 1} and "aten.add_.Tensor" in seen
