"""Arrays without PyTorch: exactsgd.sgd, exactsgd.ArraySGD."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import exactsgd

OPTIONS: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}


def test_the_package_needs_torch() -> None:
    script = ("import sys; sys.modules['torch'] = None; import exactsgd, numpy; p = numpy.ones(3);"
              "exactsgd.sgd([p], [numpy.ones(3)], lr=0.5); assert p.tolist() == [0.5] * 3")
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "complex64", "complex128"])
@pytest.mark.parametrize("path", ["forloop", "foreach", "fused"])
def test_arrays_differ_from_torch(dtype: str, path: str) -> None:
    import torch

    if path == "fused" and dtype.startswith("complex"):
        pytest.skip("PyTorch has none")
    random = np.random.default_rng(0)
    shapes = [(24,), (3, 8), (2, 3, 4)]
    arrays = [(random.standard_normal(shape) * (1 + 1j if dtype.startswith("complex") else 1)).astype(dtype) for shape in shapes]
    arrays[1] = np.asfortranarray(arrays[1])
    tensors = [torch.nn.Parameter(torch.from_numpy(array.copy(order="K"))) for array in arrays]
    chosen = {"foreach": path == "foreach", "fused": path == "fused"}
    theirs = torch.optim.SGD(tensors, **OPTIONS, **chosen)
    contract = "torch-2.13/cpu-base" if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else "torch-2.13/cpu-fma"
    ours = exactsgd.ArraySGD(arrays, **OPTIONS, **chosen, defects="reproduce", contract=contract)
    for _ in range(3):
        grads: list[Any] = [random.standard_normal(array.shape).astype(dtype) for array in arrays]
        grads[1] = np.asfortranarray(grads[1])
        for tensor, grad in zip(tensors, grads):
            tensor.grad = torch.from_numpy(grad.copy(order="K"))
        theirs.step()
        ours.step(grads)
    for array, buffer, tensor in zip(arrays, ours.momentum_buffers, tensors):
        assert array.tobytes() == tensor.detach().numpy().tobytes()
        assert buffer.tobytes() == theirs.state[tensor]["momentum_buffer"].numpy().tobytes()


def test_state_does_not_travel() -> None:
    p, q = np.zeros(3), np.zeros(3)
    one, other = (exactsgd.ArraySGD([{"params": [array]}], lr=1.0, momentum=0.5) for array in (p, q))
    one.step([np.ones(3)])
    one.param_groups[0]["lr"] = 0.25
    other.load_state_dict(one.state_dict())
    other.step([np.ones(3)])
    assert q.tolist() == [-0.375] * 3 and other.param_groups[0]["lr"] == 0.25


def test_missing_gradients_make_buffers() -> None:
    buffers: list[Any] = [None, None]
    exactsgd.sgd([np.zeros(2), np.zeros(2)], [None, np.ones(2)], buffers, momentum=0.9)
    assert buffers[0] is None and buffers[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("call, error, text", [
    (lambda: exactsgd.sgd([np.zeros(2)], [np.zeros(2), None]), ValueError, "of one length"),
    (lambda: exactsgd.sgd([np.zeros(2)], [np.zeros(2)], momentum=0.9), TypeError, "must be a list"),
    (lambda: exactsgd.sgd([[1.0]], [np.zeros(1)]), TypeError, "__dlpack__"),
    (lambda: exactsgd.sgd([np.zeros(2)], [np.zeros(3)]), exactsgd.Unsupported, "shape"),
    (lambda: exactsgd.sgd([np.zeros(2)], [np.zeros(2, np.float32)]), exactsgd.Unsupported, "f32"),
    (lambda: exactsgd.sgd([np.zeros(2, np.int64)], [np.zeros(2, np.int64)]), exactsgd.Unsupported, "none of f64"),
    (lambda: exactsgd.sgd([np.broadcast_to(np.zeros(1), 2)], [np.zeros(2)]), ValueError, "read-only"),
    (lambda: exactsgd.sgd([np.zeros(2)], [np.zeros(2)], contract="torch-3"), ValueError, "no contract"),
    (lambda: exactsgd.ArraySGD([]), ValueError, "optimizer got an empty parameter list"),
    (lambda: exactsgd.ArraySGD([np.zeros(2)], lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda: exactsgd.ArraySGD([np.zeros(2)], rate=1), TypeError, "unknown option rate"),
    (lambda: exactsgd.ArraySGD([np.zeros(2)], nesterov=True), ValueError, "Nesterov momentum requires"),
    (lambda: exactsgd.ArraySGD([np.zeros(2)]).step([]), ValueError, "0 gradients for 1 params"),
])
def test_bad_input_is_taken(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_shared_memory_is_stepped_at_once() -> None:
    p = np.zeros(4)
    exactsgd.sgd([p[:3], p[1:]], [np.ones(3), np.ones(3)], lr=1.0)
    assert p.tolist() == [-1.0, -2.0, -2.0, -1.0]
    with pytest.raises(exactsgd.Unsupported, match="share memory"):
        exactsgd.sgd([p], [p], lr=1.0)


def test_arrays_from_before_versions_are_refused() -> None:
    class Old:
        def __init__(self) -> None:
            self.array = np.zeros(2)

        def __dlpack__(self) -> Any:
            return self.array.__dlpack__()

    old = Old()
    exactsgd.sgd([old], [np.ones(2)], lr=1.0)
    assert old.array.tolist() == [-1.0, -1.0]


def test_an_error_of_an_array_is_taken_for_a_missing_method() -> None:
    class Broken:
        def __dlpack__(self, **keywords: Any) -> Any:
            raise AttributeError("its own")

    with pytest.raises(AttributeError, match="its own"):
        exactsgd.sgd([Broken()], [np.ones(2)])
