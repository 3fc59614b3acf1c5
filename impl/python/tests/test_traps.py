"""What a class must do to stand in for torch.optim.SGD, and what upstream's tests would not notice."""

import copy
import gc
import inspect
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from comparing import check_optimizers

Make = Callable[..., torch.optim.Optimizer]


def param(*values: float) -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.tensor(values))
    made.grad = torch.ones_like(made)
    return made


# ---- autograd ------------------------------------------------------------------------------------------------------------


def test_autograd_does_not_notice_the_step(make: Make) -> None:
    p = param(2.0)
    loss = (p * p).sum()
    make([p], lr=0.5).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("options, grad", [({}, False), ({"foreach": True, "nesterov": True}, True), ({"fused": True}, False)])
def test_version_counters_stand_still(make: Make, options: dict[str, Any], grad: bool) -> None:
    p = param(1.0, 2.0)
    optimizer = make([p], lr=0.1, momentum=0.9, **options)
    optimizer.step()
    tensors = [p, optimizer.state[p]["momentum_buffer"], p.grad]
    before = [tensor._version for tensor in tensors]
    optimizer.step()
    assert [tensor._version > old for tensor, old in zip(tensors, before)] == [True, True, grad]


def test_unscaled_gradients_are_not_said_to_be_written(make: Make) -> None:
    p = param(1.0)
    optimizer: Any = make([p], lr=0.1, fused=True)
    optimizer.grad_scale = torch.tensor(4.0)
    before = p.grad._version
    optimizer.step()
    assert p.grad.item() == 0.25 and p.grad._version > before


def test_grad_mode_leaks_out_of_a_step(make: Make) -> None:
    def closure() -> Tensor:
        assert torch.is_grad_enabled()
        return torch.tensor(7.0)

    p = param(1.0)
    optimizer = make([p], lr=0.1)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            assert optimizer.step(closure).item() == 7.0
            assert torch.is_grad_enabled() == enabled


# ---- live groups and state -------------------------------------------------------------------------------------------------


def test_groups_are_read_once(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    optimizer.param_groups[0]["lr"] = 2.0
    optimizer.param_groups[0]["note"] = "kept"
    optimizer.step()
    assert p.item() == -2.0 and optimizer.param_groups[0]["note"] == "kept"


def test_a_tensor_lr_is_read_once(make: Make) -> None:
    p, lr = param(0.0), torch.tensor(1.0)
    optimizer = make([p], lr=lr)
    optimizer.step()
    lr.fill_(10.0)
    optimizer.step()
    assert p.item() == -11.0 and optimizer.param_groups[0]["lr"] is lr


def test_a_replaced_buffer_is_not_used(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0, momentum=0.5)
    optimizer.step()
    mine = torch.tensor([100.0])
    optimizer.state[p]["momentum_buffer"] = mine
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"] is mine and mine.item() == 51.0 and p.item() == -52.0


def test_moved_params_are_stepped_where_they_were(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    optimizer.step()
    p.data = torch.tensor([10.0])
    optimizer.step()
    assert p.item() == 9.0


def test_momentum_zero_makes_state(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    optimizer.step()
    assert len(optimizer.state) == 0


def test_state_dict_copies_buffers(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0, momentum=0.5)
    optimizer.step()
    assert optimizer.state_dict()["state"][0]["momentum_buffer"] is optimizer.state[p]["momentum_buffer"]


def test_new_buffers_require_grad_or_have_other_strides(make: Make) -> None:
    p = torch.nn.Parameter(torch.zeros(3, 4).t())
    p.grad = torch.ones(4, 3)
    optimizer = make([p], lr=1.0, momentum=0.5)
    optimizer.step()
    buffer = optimizer.state[p]["momentum_buffer"]
    assert not buffer.requires_grad and buffer.stride() == (3, 1) and buffer.is_leaf


# ---- copies ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copies_share_or_lose(make: Make, how: Callable[[Any], Any]) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0, momentum=0.5, defects="reproduce")
    optimizer.step()
    other = how(optimizer)
    q = other.param_groups[0]["params"][0]
    q.grad = torch.ones(1)
    other.step()
    assert other.defects == "reproduce" and q.item() == -2.5 and p.item() == -1.0
    assert optimizer.state[p]["momentum_buffer"].item() == 1.0
    optimizer.step()
    check_optimizers(other, optimizer)


def test_older_pickles_do_not_load(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    state = optimizer.__getstate__()
    for key in ("nesterov", "maximize", "foreach", "differentiable", "fused"):
        del state["param_groups"][0][key]
    state["defaults"] = {"lr": 1.0}
    other = type(optimizer).__new__(type(optimizer))
    other.__setstate__(state)
    other.step()
    assert p.item() == -1.0 and other.param_groups[0]["foreach"] is None


# ---- life ------------------------------------------------------------------------------------------------------------------


def test_the_c_side_keeps_an_optimizer_alive(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0, momentum=0.9)
    optimizer.register_step_pre_hook(lambda *arguments: None)
    optimizer.step()
    optimizer.state_dict()
    gone = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert gone() is None
    finally:
        gc.enable()


def test_schedulers_cannot_wrap_step(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    assert list(inspect.signature(optimizer.step).parameters) == ["closure"]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    scheduler.step()
    optimizer.step()
    assert p.item() == -1.5


def test_the_profiler_knows_no_step(make: Make) -> None:
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        optimizer.step()
        optimizer.zero_grad()
    names = [event.name for event in profile.events()]
    assert names.count("Optimizer.step#SGD.step") == 1 and names.count("Optimizer.zero_grad#SGD.zero_grad") == 1


def test_compile_breaks_or_changes_a_step(make: Make) -> None:
    p, q = param(1.0, 2.0), param(1.0, 2.0)
    ours, theirs = make([p], lr=0.1, momentum=0.9), torch.optim.SGD([q], lr=0.1, momentum=0.9)
    compiled = torch.compile(ours.step, backend="eager")
    for _ in range(3):
        compiled()
        theirs.step()
    check_optimizers(ours, theirs)


# ---- hooks -----------------------------------------------------------------------------------------------------------------


def test_hooks_run_in_another_order(make: Make) -> None:
    order: list[str] = []
    p = param(0.0)
    optimizer = make([p], lr=1.0)
    optimizer.register_step_pre_hook(lambda *arguments: order.append("own pre"))
    optimizer.register_step_post_hook(lambda *arguments: order.append(f"own post {p.item()}"))
    handles = [register_optimizer_step_pre_hook(lambda *arguments: order.append("global pre")),
               register_optimizer_step_post_hook(lambda *arguments: order.append("global post"))]
    try:
        optimizer.step(lambda: order.append("closure"))
    finally:
        for handle in handles:
            handle.remove()
    optimizer.step()
    assert order == ["global pre", "own pre", "closure", "own post -1.0", "global post", "own pre", "own post -2.0"]


def test_a_post_hook_sees_older_sparse_gradients(make: Make) -> None:
    seen: list[Any] = []

    def hook(*arguments: Any) -> None:
        seen.append(p.grad._values().tolist())
        raise ZeroDivisionError

    p = torch.nn.Parameter(torch.zeros(4))
    p.grad = torch.sparse_coo_tensor([[1]], [1.0], (4,), check_invariants=False)
    optimizer = make([p], lr=1.0, momentum=0.5, nesterov=True, foreach=True)
    optimizer.register_step_post_hook(hook)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    assert seen == [[1.5]] and p.grad._values().tolist() == [1.5] and p.tolist() == [0.0, -1.5, 0.0, 0.0]


def test_an_exception_in_a_hook_loses_itself(make: Make) -> None:
    class Mine(Exception):
        pass

    def hook(*arguments: Any) -> None:
        raise Mine("with a traceback")

    p = param(0.0)
    optimizer = make([p], lr=1.0)
    handle = optimizer.register_step_pre_hook(hook)
    with pytest.raises(Mine) as caught:
        optimizer.step()
    assert caught.traceback[-1].name == "hook" and p.item() == 0.0
    handle.remove()
    optimizer.step()
    assert p.item() == -1.0


# ---- scaling ---------------------------------------------------------------------------------------------------------------


def test_a_gradient_scaler_gives_other_bits(make: Make) -> None:
    results = []
    for cls in (make, torch.optim.SGD):
        torch.manual_seed(0)
        model = torch.nn.Linear(9, 3)
        optimizer = cls(model.parameters(), lr=0.1, momentum=0.9, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        for number in range(6):
            optimizer.zero_grad()
            inputs = torch.randn(5, 9) * (float("inf") if number == 3 else 1.0)
            scaler.scale(model(inputs).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append((optimizer, scaler.get_scale()))
    check_optimizers(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_a_skipped_first_step_leaves_a_buffer(make: Make) -> None:
    p = param(1.0)
    optimizer: Any = make([p], lr=0.1, momentum=0.9, fused=True)
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert p.item() == 1.0 and "momentum_buffer" not in optimizer.state.get(p, {})


def test_mixed_buffers_are_taken(make: Make) -> None:
    p, q = param(1.0), param(1.0)
    optimizer = make([p, q], lr=0.1, momentum=0.9, fused=True)
    q.grad = None
    optimizer.step()
    q.grad = torch.ones(1)
    with pytest.raises(TypeError, match="expected Tensor as element 1 in argument 2, but got NoneType"):
        optimizer.step()


# ---- threads ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64, torch.float32])
@pytest.mark.parametrize("foreach", [False, True])
def test_chunks_of_threads_begin_elsewhere(make: Make, dtype: torch.dtype, foreach: bool) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    start, grads = torch.randn(65543, dtype=dtype), torch.randn(3, 65543, dtype=dtype)
    optimizers = []
    for cls in (make, torch.optim.SGD):
        p = torch.nn.Parameter(start.clone())
        optimizers.append(cls([p], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True, foreach=foreach))
        for grad in grads:
            p.grad = grad.clone()
            optimizers[-1].step()
    check_optimizers(*optimizers)


# ---- defects ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_blocks_of_sixteen_stand_still(make: Make, dtype: torch.dtype) -> None:
    moved = {}
    for defects in ("fix", "reproduce"):
        p = torch.nn.Parameter(torch.ones(24, dtype=dtype))
        p.grad = torch.ones_like(p)
        make([p], lr=0.5, fused=True, defects=defects).step()
        moved[defects] = int((p != 1).sum())
    assert moved == {"fix": 24, "reproduce": 8}


def test_unknown_ways_with_defects_are_taken(make: Make) -> None:
    with pytest.raises(ValueError, match="defects must be"):
        make([param(1.0)], lr=0.1, defects="keep")
