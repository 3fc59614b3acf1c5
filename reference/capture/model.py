"""What a golden case is made of: tensors, layouts, param groups, problems.  Plain data, without torch."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from .arrays import Generated
from .dtypes import Dtype
from .hyper import Hyper

Values = np.ndarray | Generated

FLAGS = ("wide", "subnormal", "cancel", "zero", "inf", "overflow", "nan", "none", "large")
"""The names of the bits of problem.flags, from bit 0."""

FEATURES = ("plain", "complex", "tensor-lr", "layout", "amp", "none", "mixed", "sparse")
"""What a problem is there to show, in the order of the codes in the file format."""


@dataclass(frozen=True)
class Layout:
    """Where the elements of a tensor lie: element `index` at offset + sum(index * strides) of its storage, in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def extent(self) -> int:
        """Elements from the first to behind the last one, without the offset."""
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides)) if self.numel else 0

    @property
    def overlaps(self) -> bool:
        """True if an element of the storage is several of the tensor: an expanded tensor."""
        return any(size > 1 and stride == 0 for size, stride in zip(self.shape, self.strides))

    @property
    def is_dense(self) -> bool:
        """True if the elements fill their part of the storage, in whatever order."""
        return self.extent == self.numel and not self.overlaps

    def places(self) -> np.ndarray:
        """Where each element lies from the first address on, shape (numel,), in row-major order."""
        return sum((np.arange(size).reshape((-1,) + (1,) * (len(self.shape) - dim - 1)) * stride
                    for dim, (size, stride) in enumerate(zip(self.shape, self.strides))), np.zeros(self.shape, np.int64)).reshape(-1)


def contiguous(*shape: int) -> Layout:
    """Row-major, as torch.empty makes it: a dimension of no elements counts as one of one."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return Layout(tuple(shape), tuple(reversed(strides)))


@dataclass(frozen=True, eq=False)
class Sparse:
    """A COO tensor: `indices` int64 of shape (sparse_dim, nnz), `values` bits in row-major order, the flag of is_coalesced()."""

    shape: tuple[int, ...]
    indices: np.ndarray
    values: np.ndarray
    coalesced: bool

    @property
    def sparse_dim(self) -> int:
        return self.indices.shape[0]

    @property
    def nnz(self) -> int:
        return self.indices.shape[1]


@dataclass(frozen=True)
class Tensor:
    """A parameter and its gradient in every step (None: `p.grad` is None).

    Values are in row-major order, `numel` elements each; layouts say where they lie, None being one-dimensional and contiguous.
    `grad_layouts` is empty where all gradients are that.
    """

    dtype: Dtype
    numel: int
    param: Values
    grads: tuple[Values | Sparse | None, ...]
    layout: Layout | None = None
    grad_layouts: tuple[Layout | None, ...] = ()

    def grad_layout(self, step: int) -> Layout | None:
        return self.grad_layouts[step] if self.grad_layouts else None

    def without(self, present: np.ndarray) -> "Tensor":
        """The tensor with None for each gradient that is not present, shape (steps,)."""
        return replace(self, grads=tuple(grad if here else None for grad, here in zip(self.grads, present, strict=True)))


@dataclass(frozen=True)
class Scalar:
    """A hyper-parameter given as a tensor of one element; its value in each step is the group's."""

    dtype: Dtype
    ndim: int = 0
    requires_grad: bool = False


SCALARS = ("lr", "momentum", "dampening", "weight_decay")
"""The hyper-parameters that may be tensors."""


@dataclass(frozen=True)
class Group:
    """A param group: its options, and in `changes`, unless it is empty, those of every step."""

    hyper: Hyper
    tensors: tuple[Tensor, ...]
    changes: tuple[Hyper, ...] = ()
    scalars: tuple[tuple[str, Scalar], ...] = ()

    def hyper_at(self, step: int) -> Hyper:
        return self.changes[step] if self.changes else self.hyper

    def scalar(self, name: str) -> Scalar | None:
        return dict(self.scalars).get(name)


@dataclass(frozen=True)
class Scaling:
    """What torch.amp.GradScaler hands to a fused step: float32 values, None where it sets none."""

    grad_scale: float | None
    found_inf: float | None

    @property
    def skips(self) -> bool:
        return self.found_inf == 1


@dataclass(frozen=True)
class Problem:
    """An optimizer run to be: the same for every path, capability and thread count.

    `dtype` is the one the problem was made for, that of the first tensor.  `scaling` has an entry for every step, or none.
    """

    dtype: Dtype
    index: int
    steps: int
    flags: frozenset[str]
    groups: tuple[Group, ...]
    feature: str = "plain"
    scaling: tuple[Scaling, ...] = ()

    @property
    def has_sparse(self) -> bool:
        return any(isinstance(grad, Sparse) for tensor in self.tensors for grad in tensor.grads)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of all groups, in order."""
        return tuple(tensor for group in self.groups for tensor in group.tensors)

    @property
    def flag_bits(self) -> int:
        return sum(1 << FLAGS.index(flag) for flag in self.flags)

    @property
    def is_large(self) -> bool:
        return "large" in self.flags

    def skips(self, step: int) -> bool:
        """True if found_inf keeps a fused step from doing anything."""
        return bool(self.scaling) and self.scaling[step].skips
