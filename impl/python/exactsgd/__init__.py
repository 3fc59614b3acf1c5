"""torch.optim.SGD in C, with PyTorch's bits.

SGD             the drop-in for torch.optim.SGD (needs torch)
contract.SGD    the same, with groups, state, hooks and checks in C too (needs torch)
ArraySGD, sgd   for NumPy arrays and anything else with ``__dlpack__`` (need no torch)
save_state, load_state  an optimizer's state in one HDF5 file (need h5py)

PyTorch is imported when SGD is first asked for, never before.
"""

from typing import TYPE_CHECKING, Any

from ._core import Unsupported
from ._core import version as __version__
from .arrays import ArraySGD
from .functional import sgd
from .state_file import load_state, save_state

if TYPE_CHECKING:
    from .fallback import fallback_counts
    from .torch_sgd import SGD

__all__ = ["SGD", "ArraySGD", "Unsupported", "__version__", "fallback_counts", "load_state", "save_state", "sgd"]

_LATER = {"SGD": "torch_sgd", "fallback_counts": "fallback"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value
