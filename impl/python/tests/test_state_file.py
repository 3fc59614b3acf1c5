"""State files: what goes in comes out, between Python and C, and what is wrong is said."""

import copy
import ctypes
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import exactsgd
import exactsgd.contract
from comparing import check_value

C_LIBRARY = Path(os.environ.get("SGD_STATE_LIBRARY",
                                Path(__file__).parents[3] / "build/default/impl/libsgd_state_file.so"))


def some_state() -> dict[str, Any]:
    """Every kind of value, tensors of every dtype and of odd layouts."""
    torch.manual_seed(0)
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128)
    state: dict[Any, Any] = {i: {"momentum_buffer": torch.randn(3, 4).to(dtype)} for i, dtype in enumerate(dtypes)}
    state[6] = {"momentum_buffer": torch.randn(4, 3).t(), "params": torch.tensor(2.0, requires_grad=True), "": torch.zeros(0, 2)}
    state[7] = {"momentum_buffer": torch.sparse_coo_tensor([[3, 1]], torch.randn(2, 2), (5, 2), check_invariants=True)}
    state[8] = {"nan": torch.tensor([0x7F800001, -1], dtype=torch.int32).view(torch.float32), "mask": torch.tensor([True, False])}
    state["foreign/key"] = {"a.b%c": 1, "step": torch.tensor(7)}
    groups = [
        {"lr": 0.1, "momentum": 1, "nesterov": True, "foreach": None, "name": "ünï", "param_names": ["a", ""],
         "params": [0, 1]},
        {"lr": torch.tensor([[1e-3]], dtype=torch.float64), "nan": float("nan"), "params": list(range(2, 9))}, {"params": []},
    ]
    return {"state": state, "param_groups": groups}


def test_bits_are_lost(tmp_path: Path) -> None:
    state = some_state()
    exactsgd.save_state(state, tmp_path / "s.h5")
    check_value(exactsgd.load_state(tmp_path / "s.h5"), state, "state_dict")
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_the_library_reads_another_file(tmp_path: Path) -> None:
    if not C_LIBRARY.exists():
        pytest.skip("libsgd_state_file is not built")
    library = ctypes.CDLL(str(C_LIBRARY))
    state = some_state()
    exactsgd.save_state(state, tmp_path / "python.h5")
    handle, error = ctypes.c_void_p(), ctypes.create_string_buffer(1024)
    assert library.sgd_state_read(str(tmp_path / "python.h5").encode(), ctypes.byref(handle), error) == 0, error.raw[4:200]
    assert library.sgd_state_write(handle, str(tmp_path / "c.h5").encode(), error) == 0, error.raw[4:200]
    library.sgd_state_destroy(handle)
    check_value(exactsgd.load_state(tmp_path / "c.h5"), state, "state_dict")


def test_an_optimizer_goes_on_elsewhere(tmp_path: Path) -> None:
    def model(cls: Any) -> tuple[torch.nn.Parameter, Any]:
        p = torch.nn.Parameter(torch.arange(9.0).reshape(3, 3))
        return p, cls([p], lr=0.1, momentum=0.9)

    one, ours = model(exactsgd.SGD)
    one.grad = torch.ones(3, 3)
    ours.step()
    exactsgd.save_state(ours, tmp_path / "s.h5")
    for cls in (torch.optim.SGD, exactsgd.contract.SGD, exactsgd.SGD):
        other, theirs = model(cls)
        other.data, other.grad = one.detach().clone(), torch.ones(3, 3)
        theirs.load_state_dict(exactsgd.load_state(tmp_path / "s.h5"))
        expected = copy.deepcopy(ours)
        expected.param_groups[0]["params"][0].grad = torch.ones(3, 3)
        expected.step()
        theirs.step()
        check_value(other.detach(), expected.param_groups[0]["params"][0].detach(), str(cls))
    kept = io.BytesIO()
    torch.save(exactsgd.load_state(tmp_path / "s.h5"), kept)
    kept.seek(0)
    exactsgd.save_state(torch.load(kept), tmp_path / "t.h5")
    check_value(exactsgd.load_state(tmp_path / "t.h5"), ours.state_dict(), "state_dict")


def test_arrays_are_lost(tmp_path: Path) -> None:
    optimizer = exactsgd.ArraySGD([np.zeros((3, 2), order="F"), np.zeros(2, np.complex64)], lr=0.5, momentum=0.9)
    optimizer.step([np.asfortranarray(np.arange(6.0).reshape(3, 2)), np.array([1 + 2j, 3], np.complex64)])
    exactsgd.save_state(optimizer, tmp_path / "s.h5")
    loaded = exactsgd.load_state(tmp_path / "s.h5", arrays="numpy")
    for i in range(2):
        found, buffer = loaded["state"][i]["momentum_buffer"], optimizer.momentum_buffers[i]
        assert found.dtype == buffer.dtype and found.strides == buffer.strides and found.tobytes("A") == buffer.tobytes("A")
    assert loaded["param_groups"] == optimizer.state_dict()["param_groups"]


def test_damage_passes(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    exactsgd.save_state({"state": {0: {"momentum_buffer": torch.randn(50)}}, "param_groups": [{"params": [0]}]}, path)
    whole = path.read_bytes()
    for at in [*range(0, 512, 7), *range(512, len(whole), 211)]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises((OSError, exactsgd.Unsupported), match="damaged|version"):
            exactsgd.load_state(path)
    for size in (0, 3, 511, 512, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(OSError, match="truncated|not an exactsgd"):
            exactsgd.load_state(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(OSError, match="damaged"):
        exactsgd.load_state(path)


def test_a_later_version_is_read(tmp_path: Path) -> None:
    import zlib

    lines = b"exactsgd-state\nversion 2\n"
    (tmp_path / "s.h5").write_bytes((lines + b"header %08x\n" % zlib.crc32(lines)).ljust(512, b"\0"))
    with pytest.raises(exactsgd.Unsupported, match="version 2, this library reads 1"):
        exactsgd.load_state(tmp_path / "s.h5")


def test_a_failed_write_leaves_something(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    exactsgd.save_state({"state": {}, "param_groups": []}, path)
    before = path.read_bytes()
    for bad in ({"state": {}, "param_groups": [{"params": [], "x": object()}]}, {"state": {(1, 2): {}}, "param_groups": []},
                {"state": {0: {"x": 2**70}}, "param_groups": []}):
        with pytest.raises(exactsgd.Unsupported, match="no place in a state file"):
            exactsgd.save_state(bad, path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["s.h5"]
    with pytest.raises(OSError):
        exactsgd.save_state({"state": {}, "param_groups": []}, tmp_path / "missing" / "s.h5")


def test_a_missing_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exactsgd.load_state(tmp_path / "s.h5")
