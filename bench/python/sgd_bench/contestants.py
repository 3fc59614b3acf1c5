"""What PyTorch and the Python package offer beside the C library: steps over tensors that lie in the harness's memory.

`torch` is torch.optim.SGD as it is, `compiled` its step under torch.compile, `python` is exactsgd.SGD.
"""
import ctypes
import logging
import sys

import torch

DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
          "c64": torch.complex64, "c128": torch.complex128}
PATHS = {"forloop": {"foreach": False, "fused": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


class Missing(Exception):
    """A case that an implementation does not have, and why."""


def contract():
    """The contract that PyTorch computes by in this process."""
    return "cpu-base" if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else "cpu-fma"


def view(descriptor, dtype):
    """A tensor over a contiguous DLTensor's memory, which has to outlive it."""
    sizes = tuple(descriptor.shape[:descriptor.ndim])
    elements = 1
    for size in sizes:
        elements *= size
    if elements == 0:
        return torch.empty(sizes, dtype=dtype)
    memory = (ctypes.c_char * (elements * dtype.itemsize)).from_address(descriptor.data + descriptor.byte_offset)
    return torch.frombuffer(memory, dtype=dtype).view(sizes)


class Contestant:
    """torch.optim.SGD over params whose gradients are attached, as after a backward pass."""
    checked, has_defects, why = True, True, None

    def __init__(self, case, params, grads):
        self.check(case)
        self.params = [torch.nn.Parameter(param) for param in params]
        for param, grad in zip(self.params, grads):
            param.grad = grad
        torch.set_num_threads(case.threads)
        self.optimizer = self.make(lr=case.lr, momentum=case.momentum, dampening=case.dampening,
                                   weight_decay=case.weight_decay, nesterov=bool(case.nesterov), **PATHS[case.path])
        self.step = self.optimizer.step

    def check(self, case):
        if case.device != "cpu":
            raise Missing(f"on {case.device}, PyTorch is not offered")
        if case.contract != contract():
            raise Missing(f"PyTorch computes by {contract()} in this process")
        if case.path == "fused" and DTYPES[case.dtype].is_complex:
            raise Missing("PyTorch has no fused step for complex numbers")

    def make(self, **options):
        return torch.optim.SGD(self.params, **options)

    def buffers(self):
        """The momentum buffers, None where there is none."""
        return [self.optimizer.state[param].get("momentum_buffer") if param in self.optimizer.state else None
                for param in self.params]

    def peak_memory(self):
        """Bytes that PyTorch's allocator gave out at most, over what it had given out before the step."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
            self.step()
        events = profile.profiler.kineto_results.events()  # profile.events() leaves these out
        now = peak = 0
        for _, size in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
            now += size
            peak = max(peak, now)
        return peak

    def close(self):
        for param in self.params:
            param.grad = None


class Compiled(Contestant):
    """The step under torch.compile, which compiles in its first two calls: without buffers, and with them."""
    checked, has_defects = False, False
    why = "torch.compile fuses and reorders operations; its bits are not eager PyTorch's"
    most = 200  # tensors: 161 take 20 to 40 s, 1000 two and a half minutes, and were no faster than eager steps
    open = 0

    def __init__(self, case, params, grads):
        if len(params) > self.most:
            raise Missing(f"torch.compile takes minutes for more than {self.most} tensors")
        if Compiled.open:
            raise Missing("one compiled step at a time, since PyTorch would compile again in a timed step; --path chooses it")
        super().__init__(case, params, grads)
        logging.getLogger("torch").setLevel(logging.ERROR)  # it warns that it leaves out the profiler's marks
        # All steps share one code object: at its limit of versions, PyTorch would silently run eager code instead.
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        torch._dynamo.reset()
        Compiled.open += 1
        self.step = torch.compile(self.optimizer.step)
        print(f"sgd-bench: torch.compile works on {case.name}, 20 to 40 s for 161 tensors", file=sys.stderr, flush=True)
        # Here, so that no timed step compiles.  The momentum buffers stay: without them it would compile again.
        for _ in range(3):
            self.step()

    def close(self):
        super().close()
        Compiled.open -= 1


class Python(Contestant):
    """exactsgd.SGD, its whole step() from Python."""
    has_defects = False

    def make(self, **options):
        import exactsgd

        return exactsgd.SGD(self.params, **options)

    def peak_memory(self):
        return -1  # its allocations are C's, which PyTorch does not see


IMPLEMENTATIONS = {"torch": Contestant, "compiled": Compiled, "python": Python}
