"""Runs the real torch.optim.SGD and writes what it did, bit for bit, as golden vectors.

One case on its way through the package:

    problems.generate   a problem from (seed, index, dtype): tensors, gradients, hyper-parameters; never imports torch
    plan.plan           on which path, capability and thread count each problem is run
    children.run_all    one child process per capability and thread count ...
    worker.main         ... which regenerates its problems and steps torch.optim.SGD over them
    store.VectorFile    columns without duplicates, written as HDF5 (format: ../vectors/README.md)
    reading.read        the way back, for tests and other programs
    cuda/               the same on a GPU, of whatever torch is there
"""

TORCH_RELEASE = "2.13.0"
"""The only torch release whose bits this package captures on CPUs."""
