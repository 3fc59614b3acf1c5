"""The library beside the real torch.optim.SGD, step by step: what golden files do not vary.

Several dtypes in one param group, options changed between steps (momentum to zero and back, weight decay switched on),
gradients that come and go.  torch runs in this process with one thread, so the contract is that of its capability.
"""

import random

import numpy as np
import pytest
from libsgd import BITS, DTYPES, ISAS, PATHS, Hyper, Optimizer, SgdError, Setting

torch = pytest.importorskip("torch")
if not torch.__version__.startswith("2.13.0"):
    pytest.skip("the contracts are torch 2.13.0's", allow_module_level=True)

OPTIMIZERS_PER_TEST = 150
SIZES = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70, 100, 257, 1037]
DETERMINED_SIZES = [n for n in SIZES if n < 16 or n % 16 >= 8]
"""Where pytorch#191763 leaves nothing to chance."""
SIGNED = {"f64": np.int64, "f32": np.int32, "f16": np.int16, "bf16": np.int16}
TORCH = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

CONTRACT = 1 if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else 0


def to_torch(bits: np.ndarray, dtype: str) -> "torch.Tensor":
    return torch.from_numpy(bits.view(SIGNED[dtype]).copy()).view(TORCH[dtype])


def to_bits(tensor: "torch.Tensor", dtype: str) -> np.ndarray:
    signed = {"f64": torch.int64, "f32": torch.int32, "f16": torch.int16, "bf16": torch.int16}[dtype]
    return tensor.detach().view(signed).numpy().view(BITS[dtype])


class Case:
    """One random optimizer on both sides."""

    def __init__(self, seed: int, path: str):
        self.random = random.Random(seed)
        self.path = path
        self.special = self.random.random() < 0.4 and not (path == "fused" and CONTRACT)
        dtypes = self.random.choice([DTYPES, DTYPES, ("f16",), ("bf16",), ("f32", "f16")])
        self.groups = [[self.tensor(self.random.choice(dtypes)) for _ in range(self.random.randint(1, 5))]
                       for _ in range(self.random.choice([1, 1, 2, 3]))]
        self.hypers = [self.hyper() for _ in self.groups]

    def tensor(self, dtype: str) -> tuple[str, np.ndarray]:
        half = dtype in ("f16", "bf16")
        return dtype, self.values(dtype, self.random.choice(DETERMINED_SIZES if self.path == "fused" and half else SIZES))

    def values(self, dtype: str, numel: int) -> np.ndarray:
        if self.special:
            return np.frombuffer(self.random.randbytes(numel * BITS[dtype](0).itemsize), dtype=BITS[dtype]).copy()
        normal = np.random.default_rng(self.random.getrandbits(32)).standard_normal(numel)
        return to_bits(torch.from_numpy(normal).to(TORCH[dtype]), dtype).copy()

    def hyper(self) -> Hyper:
        choice = self.random.choice
        nesterov = self.random.random() < 0.4
        return Hyper(
            lr=choice([0.0, 1e-3, 0.1, 0.3, 3.14159]),
            momentum=choice([0.9, 0.5, 0.99, 1.0] if nesterov else [0.0, 0.0, 0.9, 0.5, 0.99, 1e-9]),
            dampening=0.0 if nesterov else choice([0.0, 0.0, 0.1, 0.9, 1.0]),
            weight_decay=choice([0.0, 0.0, 1e-2, 0.1, 1e-9]),
            nesterov=nesterov,
            maximize=self.random.random() < 0.4,
        )


def check_equal(params, optimizer: Optimizer, theirs, grads) -> None:
    for i, (tensor, (dtype, ours)) in enumerate(zip(params, optimizer.params, strict=True)):
        np.testing.assert_array_equal(ours, to_bits(tensor, dtype), err_msg=f"param {i}")
        buffer = theirs.state[tensor].get("momentum_buffer") if tensor in theirs.state else None
        assert (buffer is None) == (optimizer.buffer(i) is None), f"buffer {i}"
        if buffer is not None:
            np.testing.assert_array_equal(optimizer.buffer(i), to_bits(buffer, dtype), err_msg=f"buffer {i}")
        if grads[i] is not None:
            np.testing.assert_array_equal(grads[i], to_bits(tensor.grad, dtype), err_msg=f"grad {i}")


def step_both(case: Case, params, theirs, optimizer: Optimizer, none: float) -> bool:
    """One step with new gradients on both sides; false where both raise."""
    grads = []
    for tensor, (dtype, bits) in zip(params, optimizer.params, strict=True):
        grad = None if case.random.random() < none else case.values(dtype, bits.size)
        tensor.grad = None if grad is None else to_torch(grad, dtype)
        grads.append(grad)
    refused = None
    try:
        theirs.step()
    except TypeError as error:  # fused, with buffers for some tensors only
        refused = str(error)
    if refused:
        with pytest.raises(SgdError):
            optimizer.step(grads)
        return False
    optimizer.step(grads)
    check_equal(params, optimizer, theirs, grads)
    return True


def compare(seed: int, path: str) -> None:
    case = Case(seed, path)
    tensors = [[torch.nn.Parameter(to_torch(bits, dtype)) for dtype, bits in group] for group in case.groups]
    options = [{**hyper.__dict__, "foreach": path == "foreach", "fused": path == "fused"} for hyper in case.hypers]
    theirs = torch.optim.SGD([{"params": group, **chosen} for group, chosen in zip(tensors, options)])
    params = [tensor for group in tensors for tensor in group]
    setting = Setting(path, CONTRACT, 1, case.random.randint(0, 1), case.random.choice(ISAS), case.random.randint(1, 2), 1)
    none = case.random.choice([0, 0, 0.3, 0.6])
    with Optimizer(case.groups, case.hypers, setting) as optimizer:
        for _ in range(case.random.randint(1, 6)):
            if not step_both(case, params, theirs, optimizer, none):
                return
            for number, group in enumerate(theirs.param_groups):
                if case.random.random() < 0.5:
                    hyper = case.hyper()
                    group.update(hyper.__dict__)
                    optimizer.set_hyper(number, hyper)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("block", range(4))
def test_bits_differ_from_torch(path: str, block: int) -> None:
    torch.set_num_threads(1)
    for seed in range(block * OPTIMIZERS_PER_TEST, (block + 1) * OPTIMIZERS_PER_TEST):
        try:
            compare(seed, path)
        except AssertionError as error:
            raise AssertionError(f"compare({seed}, {path!r}): {error}") from None
