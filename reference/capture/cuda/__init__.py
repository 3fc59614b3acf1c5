"""Runs the real torch.optim.SGD on a CUDA device, writes what it did, and says where it leaves the contract of torch 2.13.0+cu130.

`python -m capture.cuda --out FOLDER` (../../vectors/cuda/README.md tells what came of it):

    made.py       runs made for this device: micro vectors, NaN grids, scales, tensor lr, complex numbers, misaligned views
    running.py    one such run on a device: torch.optim.SGD over tensors placed aligned or not
    model.py      the contract as a program, on the CPU, for comparison; nothing that is captured comes from it
    judging.py    counts of runs that are bit-equal, and where the others first differ
    captured.py   runs with their states and that comparison
    nans.py       which rule explains the NaNs that came out
    golden.py     the problems of the rest of the package on the device, as a vector file
    runs.py       runs as HDF5, read and written: the interpreted ones that were there before, and the captured ones
    speed.py      PyTorch's three paths on the device beside its copy bandwidth

Any torch release is captured as it is: its version, the GPU and the driver are in every file's attributes.
"""
