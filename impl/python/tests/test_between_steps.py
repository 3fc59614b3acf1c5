"""What a user does between steps is seen by the next one, though an optimizer remembers things of the last."""

import gc
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch

import exactsgd
from comparing import check_optimizers, params_of

Make = Callable[..., Any]
Change = Callable[[Any], None]


def first(optimizer: Any) -> Any:
    return optimizer.param_groups[0]["params"][0]


def buffer(optimizer: Any, number: int) -> Any:
    return optimizer.state[params_of(optimizer)[number]]["momentum_buffer"]


# ---- changes -------------------------------------------------------------------------------------------------------------


def other_memory(optimizer: Any) -> None:
    for param in params_of(optimizer):
        param.data = param.data.clone()


def other_strides_over_the_same_memory(optimizer: Any) -> None:
    first(optimizer).data = first(optimizer).data.as_strided((4, 6), (1, 4))


def other_shape_over_the_same_memory(optimizer: Any) -> None:
    first(optimizer).data = first(optimizer).data.view(8, 3)
    first(optimizer).grad = torch.ones(8, 3)
    buffer(optimizer, 0).data = buffer(optimizer, 0).data.view(8, 3)


def a_buffer_moves(optimizer: Any) -> None:
    buffer(optimizer, 1).data = buffer(optimizer, 1).data.clone().add_(1)


def a_buffer_is_another_tensor(optimizer: Any) -> None:
    optimizer.state[first(optimizer)]["momentum_buffer"] = torch.full((4, 6), 3.0)


def a_buffer_is_none(optimizer: Any) -> None:
    optimizer.state[first(optimizer)]["momentum_buffer"] = None


def two_buffers_are_one(optimizer: Any) -> None:
    params = params_of(optimizer)
    optimizer.state[params[2]]["momentum_buffer"] = optimizer.state[params[1]]["momentum_buffer"]


def a_gradient_is_its_param(optimizer: Any) -> None:
    first(optimizer).grad = first(optimizer).detach()


def a_gradient_is_another_param(optimizer: Any) -> None:
    params = params_of(optimizer)
    params[1].grad = params[2].detach()


def a_gradient_lies_in_a_buffer(optimizer: Any) -> None:
    params_of(optimizer)[2].grad = buffer(optimizer, 1)


def params_share_memory(optimizer: Any) -> None:
    params = params_of(optimizer)
    params[1].data = params[2].data


def gradients_go(optimizer: Any) -> None:
    for param in params_of(optimizer)[::2]:
        param.grad = None


def state_has_another_order(optimizer: Any) -> None:
    for param in list(optimizer.state)[::-1]:
        optimizer.state[param] = optimizer.state.pop(param)
    optimizer.state["foreign"] = {"kept": 1}


def state_begins_anew(optimizer: Any) -> None:
    optimizer.state = defaultdict(dict)


def state_grows_at_its_head(optimizer: Any) -> None:
    old = dict(optimizer.state)
    optimizer.state.clear()
    optimizer.state.update({f"foreign {i}": {} for i in range(20)})
    optimizer.state.update(old)


def params_change_places(optimizer: Any) -> None:
    optimizer.param_groups[0]["params"].reverse()


def a_param_goes(optimizer: Any) -> None:
    optimizer.state.pop(optimizer.param_groups[0]["params"].pop(0))


def groups_change_places(optimizer: Any) -> None:
    optimizer.param_groups.reverse()


def a_group_comes(optimizer: Any) -> None:
    new = torch.nn.Parameter(torch.ones(5))
    new.grad = torch.ones(5)
    optimizer.add_param_group({"params": [new], "lr": 0.5})


def momentum_goes_and_comes(optimizer: Any) -> None:
    group = optimizer.param_groups[0]
    group["momentum"] = 0.0 if group["momentum"] else 0.5


def another_path(optimizer: Any) -> None:
    group = optimizer.param_groups[0]
    group["foreach"] = not group["foreach"]


def sparse_and_dense(optimizer: Any) -> None:
    optimizer.param_groups[0].update(weight_decay=0.0, foreach=None, nesterov=False)
    param = first(optimizer)
    param.grad = param.grad.to_dense() if param.grad.is_sparse else param.grad.to_sparse(1)


def swapped_tensors(optimizer: Any) -> None:
    param, other = first(optimizer), torch.nn.Parameter(torch.full((4, 6), 7.0))
    other.grad = torch.ones(4, 6)
    torch.utils.swap_tensors(param, other)


CHANGES = (
    other_memory, other_strides_over_the_same_memory, other_shape_over_the_same_memory, a_buffer_moves,
    a_buffer_is_another_tensor, a_buffer_is_none, two_buffers_are_one, a_gradient_is_its_param,
    a_gradient_is_another_param, a_gradient_lies_in_a_buffer, params_share_memory, gradients_go, state_has_another_order,
    state_begins_anew, state_grows_at_its_head, params_change_places, a_param_goes, groups_change_places, a_group_comes,
    momentum_goes_and_comes, another_path, sparse_and_dense, swapped_tensors,
)


def beside_torch(make: Make, **options: Any) -> list[Any]:
    optimizers = []
    for cls in (make, torch.optim.SGD):
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(shape)) for shape in ((4, 6), (7,), (7,), (), (33,))]
        for param in params:
            param.grad = torch.randn_like(param)
        optimizers.append(cls([{"params": params[:3]}, {"params": params[3:], "lr": 0.01}], lr=0.1, momentum=0.9, **options))
    return optimizers


def step_all(optimizers: list[Any]) -> None:
    for optimizer in optimizers:
        optimizer.step()
    check_optimizers(*optimizers)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("options", [{}, {"foreach": True, "nesterov": True}, {"weight_decay": 0.1}])
def test_what_was_known_is_believed(make: Make, change: Change, options: dict[str, Any]) -> None:
    optimizers = beside_torch(make, **options)
    step_all(optimizers)
    step_all(optimizers)
    for _ in range(2):
        for optimizer in optimizers:
            change(optimizer)
        step_all(optimizers)
        step_all(optimizers)


# ---- what only PyTorch may write to, where the last step found plain memory ------------------------------------------------


def test_a_conjugate_over_the_same_memory_is_taken_for_plain(make: Make) -> None:
    optimizers = []
    for cls in (make, torch.optim.SGD):
        torch.manual_seed(0)
        param = torch.nn.Parameter(torch.randn(5, dtype=torch.complex64))
        param.grad = torch.randn(5, dtype=torch.complex64)
        optimizers.append(cls([param], lr=0.1, momentum=0.9))
    step_all(optimizers)
    for optimizer in optimizers:
        first(optimizer).data = first(optimizer).data.conj()
    for optimizer in optimizers:
        optimizer.step()
    ours, theirs = (first(optimizer).resolve_conj().tolist() for optimizer in optimizers)
    assert ours == theirs


def test_an_inference_buffer_where_another_was_is_written(make: Make) -> None:
    param = torch.nn.Parameter(torch.ones(64))
    param.grad = torch.ones(64)
    optimizer = make([param], lr=0.1, momentum=0.9)
    optimizer.step()
    with torch.inference_mode():
        del optimizer.state[param]["momentum_buffer"]
        optimizer.state[param]["momentum_buffer"] = torch.ones(64)
    with pytest.raises(RuntimeError, match="[Ii]nference"):
        optimizer.step()


# ---- what it must not keep -------------------------------------------------------------------------------------------------


def test_a_step_keeps_tensors_alive() -> None:
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    for param in params:
        param.grad = torch.ones(3)
    optimizer = exactsgd.SGD([{"params": params[:1]}, {"params": params[1:]}], lr=0.1, momentum=0.9)
    optimizer.step()
    optimizer.step()
    gone = [weakref.ref(tensor) for tensor in (params[1], params[1].grad, buffer(optimizer, 1))]
    gc.disable()
    try:
        optimizer.state.pop(params[1])
        del optimizer.param_groups[1], params, param
        assert [ref() for ref in gone] == [None, None, None]
    finally:
        gc.enable()


# ---- threads ---------------------------------------------------------------------------------------------------------------


def test_steps_in_several_threads_disturb_each_other() -> None:
    """They share an engine, whose memory one of them has at a time."""
    starts = [torch.full((size,), 1.0) for size in (100_000, 70_000, 130_000, 3)]
    params = [start.clone() for start in starts]
    buffers = [torch.zeros_like(start) for start in starts]

    def run(number: int) -> None:
        for _ in range(40):
            grad = torch.ones_like(params[number])
            exactsgd.sgd([params[number]], [grad], [buffers[number]], lr=0.5, momentum=0.5, threads=1)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(params))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected, momentum = torch.ones(1), torch.zeros(1)
    for _ in range(40):
        momentum = momentum * 0.5 + 1
        expected = expected - 0.5 * momentum
    for param in params:
        assert torch.equal(param, expected.expand_as(param))
