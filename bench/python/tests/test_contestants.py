"""The callbacks that the harness gets, called as it calls them: steps over its memory have PyTorch's bits."""
import ctypes
import types

import pytest

torch = pytest.importorskip("torch")

from sgd_bench import contestants, session  # noqa: E402

HYPER = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 1e-4, "nesterov": 0}
CODES = {torch.bfloat16: 4, torch.complex64: 5, torch.complex128: 5}  # DLPack's type codes; the others are 2


class Harness:
    """Params and gradients in memory of its own, as DLTensors, and a host that steps them."""

    def __init__(self, implementations=contestants.IMPLEMENTATIONS, dtype="f32", shapes=((5, 3), (40,), (0,), ())):
        self.dtype = dtype
        torch.manual_seed(1)
        made = contestants.DTYPES[dtype]
        self.params, self.grads = ([torch.randn(shape, dtype=made) for shape in shapes] for _ in range(2))
        self.first = [param.clone() for param in self.params]
        self.host = session.Host(implementations, "torch", lambda each, name: contestants.view(each, contestants.DTYPES[name]),
                                 contestants.Missing)
        self.kept = []
        sides = [(session.DLTensor * len(shapes))(*map(self.descriptor, side)) for side in (self.params, self.grads)]
        self.kept += sides
        self.tensors = session.TensorsStruct(ctypes.sizeof(session.TensorsStruct), len(shapes), *sides)
        self.out = session.ContestantStruct(ctypes.sizeof(session.ContestantStruct))

    def descriptor(self, tensor):
        sizes = (ctypes.c_int64 * max(tensor.dim(), 1))(*tensor.shape)
        self.kept.append(sizes)
        dtype = session.DLDataType(CODES.get(tensor.dtype, 2), 8 * tensor.element_size(), 1)
        return session.DLTensor(tensor.data_ptr() or None, 1, 0, tensor.dim(), dtype, sizes, None, 0)

    def open(self, implementation="torch", path="forloop", **changes):
        values = {**HYPER, "path": path, "implementation": implementation, "dtype": self.dtype, "shapes": "made",
                  "hyper": "momentum_decay", "contract": contestants.contract(), "device": "cpu", "threads": 1, **changes}
        values["name"] = "/".join((path, implementation, self.dtype, "made", "threads:1"))
        case = session.CaseStruct(ctypes.sizeof(session.CaseStruct),
                                  **{key: value.encode() if isinstance(value, str) else value for key, value in values.items()})
        lent = session.TensorsStruct.from_buffer_copy(self.tensors)
        status = self.host.struct.open(None, ctypes.byref(case), ctypes.byref(lent), ctypes.byref(self.out))
        for struct in case, lent:  # theirs only during the call
            ctypes.memset(ctypes.byref(struct), 0x55, ctypes.sizeof(struct))
        return status

    def step(self):
        """As the timed loop does: CPython's functions by their addresses.  False where the step failed."""
        call = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(self.host.struct.step)
        drop = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(self.host.struct.drop)
        result = call(self.out.callable)
        drop(result)
        return result is not None

    def buffers(self):
        out = (session.DLTensor * self.tensors.count)()
        assert self.host.struct.buffers(None, self.out.callable, out) == 0
        return [contestants.view(each, contestants.DTYPES[self.dtype]) if each.data else None for each in out]


def equal(left, right):
    return all(torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
               for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("implementation", ["torch", "python"])
@pytest.mark.parametrize("dtype", list(contestants.DTYPES))
@pytest.mark.parametrize("path", list(contestants.PATHS))
def test_steps_have_pytorch_s_bits(implementation, path, dtype):
    if implementation == "python":
        pytest.importorskip("exactsgd")
    harness = Harness(dtype=dtype)
    if path == "fused" and dtype in ("c64", "c128"):
        assert harness.open(implementation, path) == 0
        assert not harness.out.callable and b"complex" in harness.out.why
        return
    twins = [torch.nn.Parameter(each.clone()) for each in harness.first]
    for twin, grad in zip(twins, harness.grads):
        twin.grad = grad.clone()
    optimizer = torch.optim.SGD(twins, lr=0.1, momentum=0.9, weight_decay=1e-4, **contestants.PATHS[path])
    assert harness.open(implementation, path) == 0
    assert (harness.out.checked, harness.out.has_defects) == (1, implementation == "torch")
    for _ in range(3):
        assert harness.step()
        optimizer.step()
    assert torch.get_num_threads() == 1
    if implementation == "torch" or not (path == "fused" and dtype in ("f16", "bf16")):  # there, the drop-in is right
        assert equal(harness.params, [twin.detach() for twin in twins])
        buffers = harness.buffers()
        assert buffers[2] is None  # nothing in it: no address
        assert equal([each for each in buffers if each is not None],
                     [optimizer.state[twin]["momentum_buffer"] for twin in twins if twin.numel()])
    harness.host.struct.close(None, harness.out.callable)
    assert not harness.host.contestants


def test_there_are_no_buffers_before_the_first_step():
    harness = Harness()
    harness.open()
    assert harness.buffers() == [None] * 4


def test_hyper_parameters_arrive():
    harness = Harness()
    harness.open(lr=0.5, momentum=0.25, nesterov=1, weight_decay=0.0)
    group = next(iter(harness.host.contestants.values())).optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.5, 0.25, True, 0.0)


def test_another_contract_is_left_out():
    harness = Harness()
    other = {"cpu-fma": "cpu-base", "cpu-base": "cpu-fma"}[contestants.contract()]
    assert harness.open(contract=other) == 0
    assert not harness.out.callable and contestants.contract().encode() in harness.out.why


@pytest.mark.parametrize("path, sizes", [("fused", 0), ("forloop", 4 * 300), ("foreach", 4 * 600)])
def test_peak_memory(path, sizes):
    """The for-loop holds one changed gradient at a time, foreach all of them, fused none."""
    harness = Harness(shapes=((300,), (300,)))
    harness.open(path=path)
    harness.step()
    peak = harness.host.struct.peak_memory(None, harness.out.callable)
    assert sizes <= peak <= sizes + 64  # lr and weight decay as tensors, for a moment


class Broken(contestants.Contestant):
    def __init__(self, *arguments):
        super().__init__(*arguments)

        def step():
            raise RuntimeError("out of\nluck")

        self.step = step


def test_a_step_that_fails_says_why():
    harness = Harness({"torch": Broken})
    assert harness.open() == 0
    with pytest.raises(RuntimeError):  # of ctypes, which sees the error that the harness's loop clears
        harness.step()
    why = harness.host.struct.failure(None, harness.out.callable)
    assert ctypes.string_at(why) == b"RuntimeError: out of luck"


def test_an_open_that_fails_says_why():
    def broken(*_):
        raise ValueError("no such thing")

    harness = Harness({"torch": broken})
    assert harness.open() == 1
    assert harness.out.why == b"ValueError: no such thing"


def test_compiling_is_for_a_few_tensors():
    many = types.SimpleNamespace(**HYPER, path="forloop", dtype="f32", contract=contestants.contract(), device="cpu", threads=1)
    with pytest.raises(contestants.Missing, match="minutes"):
        contestants.Compiled(many, [torch.zeros(1)] * 1000, [torch.zeros(1)] * 1000)
