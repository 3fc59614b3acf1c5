"""Bits of tensors held against each other, and whole optimizers beside each other."""

from typing import Any

import torch

SIGNED = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The elements as integers, complex ones as two, in logical order."""
    plain = tensor.detach()
    if plain.is_complex():
        plain = torch.view_as_real(plain.resolve_conj())
    return plain.contiguous().view(SIGNED[plain.element_size()])


def check_dense(ours: torch.Tensor, theirs: torch.Tensor, what: str, open_nans: bool) -> None:
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, f"{what}: {ours.dtype} {ours.shape}, {theirs.dtype} {theirs.shape}"
    assert ours.stride() == theirs.stride(), f"{what}: strides {ours.stride()}, torch has {theirs.stride()}"
    assert ours.requires_grad == theirs.requires_grad, f"{what}: requires_grad"
    check_bits(ours, theirs, what, open_nans)


def check_bits(ours: torch.Tensor, theirs: torch.Tensor, what: str, open_nans: bool) -> None:
    differ = bits(ours) != bits(theirs)
    if open_nans and ours.is_complex():
        differ &= ~torch.view_as_real(ours.detach()).isnan() | ~torch.view_as_real(theirs.detach()).isnan()
    elif open_nans:
        differ &= ~ours.detach().isnan() | ~theirs.detach().isnan()
    assert not differ.any(), f"{what}: bits differ at {differ.nonzero().tolist()[:4]} of {tuple(ours.shape)}:\n{ours}\n{theirs}"


def check_tensor(ours: torch.Tensor, theirs: torch.Tensor, what: str, open_nans: bool) -> None:
    assert type(ours) is type(theirs) and ours.layout == theirs.layout, f"{what}: {type(ours)} {ours.layout}"
    if ours.layout != torch.sparse_coo:
        check_dense(ours, theirs, what, open_nans)
        return
    assert ours.is_coalesced() == theirs.is_coalesced(), f"{what}: coalesced"
    assert ours.shape == theirs.shape and ours.sparse_dim() == theirs.sparse_dim(), f"{what}: shape"
    for name, part in ("indices", torch.Tensor._indices), ("values", torch.Tensor._values):
        one, other = part(ours), part(theirs)
        assert name == "indices" or one.is_contiguous() == other.is_contiguous(), f"{what} {name}: contiguous"
        assert one.dtype == other.dtype and one.shape == other.shape, f"{what} {name}: {one.shape}, torch has {other.shape}"
        check_bits(one, other, f"{what} {name}", open_nans)


def check_value(ours: Any, theirs: Any, what: str, open_nans: bool = False) -> None:
    """Equal structure, order of keys, types and bits."""
    assert type(ours) is type(theirs), f"{what}: {type(ours)}, torch has {type(theirs)}"
    if isinstance(ours, torch.Tensor):
        check_tensor(ours, theirs, what, open_nans)
    elif isinstance(ours, dict):
        if what.endswith("['state']"):  # C has the params' first, in their order
            ours, theirs = ({key: state[key] for key in sorted(state, key=str)} for state in (ours, theirs))
        assert list(ours) == list(theirs), f"{what}: keys {list(ours)}, torch has {list(theirs)}"
        for key in ours:
            check_value(ours[key], theirs[key], f"{what}[{key!r}]", open_nans)
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), f"{what}: {len(ours)} entries, torch has {len(theirs)}"
        for i, (one, other) in enumerate(zip(ours, theirs)):
            check_value(one, other, f"{what}[{i}]", open_nans)
    else:
        assert ours == theirs or (ours != ours and theirs != theirs), f"{what}: {ours}, torch has {theirs}"


def params_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def seen(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Groups and state as they lie there, params by number; no hook runs."""
    number = {id(param): i for i, param in reversed(list(enumerate(params_of(optimizer))))}
    return {
        "groups": [{key: [number[id(param)] for param in value] if key == "params" else value for key, value in group.items()}
                   for group in optimizer.param_groups],
        "state": {number.get(id(key), key) if isinstance(key, torch.Tensor) else key: value for key, value in optimizer.state.items()},
        "defaults": optimizer.defaults,
    }


def check_optimizers(ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer, open_nans: bool = False) -> None:
    """Params, gradients, state, groups, defaults."""
    mine, others = params_of(ours), params_of(theirs)
    assert len(mine) == len(others)
    for i, (one, other) in enumerate(zip(mine, others)):
        check_tensor(one, other, f"param {i}", open_nans)
        assert (one.grad is None) == (other.grad is None), f"grad {i}"
        if one.grad is not None:
            check_tensor(one.grad, other.grad, f"grad {i}", open_nans)
    check_value(seen(ours), seen(theirs), "optimizer", open_nans)
