"""Tensors that are not contiguous, or not one-dimensional: which elements PyTorch's inner loops take as vectors depends on it.

ATen/TensorIterator.cpp orders and joins dimensions; fused kernels walk raw storage instead (ATen/native/cpu/FusedSGDKernel.cpp).
"""

from dataclasses import replace

import numpy as np

from ..dtypes import Dtype
from ..model import Group, Layout, Problem, contiguous
from ..problems import Builder
from .drawing import draw_pool, hyper_of, rng_of

Shape = tuple[int, ...]
Pair = tuple[Layout, Layout]
LENGTHS = (1, 5, 16, 31, 32, 33, 40, 64, 65, 70, 97)
PERIOD, LARGE_PLACE = 16, 5
"""Of every PERIOD problems one has a tensor that threads share."""

# ---- shapes ---------------------------------------------------------------------------------------------------------


def matrix(rng: np.random.Generator) -> Shape:
    return int(rng.integers(2, 8)), int(rng.choice(LENGTHS))


def cube(rng: np.random.Generator) -> Shape:
    return int(rng.integers(1, 4)), int(rng.integers(2, 6)), int(rng.choice((3, 7, 16, 33, 40)))


def image(rng: np.random.Generator) -> Shape:
    return int(rng.integers(1, 4)), int(rng.integers(2, 9)), int(rng.integers(1, 6)), int(rng.integers(2, 8))


def ones(rng: np.random.Generator) -> Shape:
    return int(rng.choice(LENGTHS)), 1, int(rng.integers(2, 4)), 1


def scalar(rng: np.random.Generator) -> Shape:
    return ()


def empty(rng: np.random.Generator) -> Shape:
    return (0, 3) if rng.random() < 0.5 else (4, 0, 2)


def large_matrix(rng: np.random.Generator) -> Shape:
    return [(480, 70), (70, 481), (33, 1030), (7, 4685)][rng.integers(4)]


def large_image(rng: np.random.Generator) -> Shape:
    return [(16, 8, 16, 17), (3, 11, 20, 52)][rng.integers(2)]


# ---- layouts of a shape ---------------------------------------------------------------------------------------------


def dense(shape: Shape, order: Shape) -> Layout:
    """No gaps; dimensions from the outermost to the innermost as `order` has them."""
    strides, step = [0] * len(shape), 1
    for dim in reversed(order):
        strides[dim] = step
        step *= max(shape[dim], 1)
    return Layout(shape, tuple(strides))


def plain(rng: np.random.Generator, shape: Shape) -> Layout:
    return contiguous(*shape)


def transposed(rng: np.random.Generator, shape: Shape) -> Layout:
    return dense(shape, tuple(reversed(range(len(shape)))))


def channels_last(rng: np.random.Generator, shape: Shape) -> Layout:
    return dense(shape, (0, *range(2, len(shape)), 1))


def permuted(rng: np.random.Generator, shape: Shape) -> Layout:
    return dense(shape, tuple(map(int, rng.permutation(len(shape)))))


def every_other(rng: np.random.Generator, shape: Shape) -> Layout:
    """Every second element of its storage."""
    return Layout(shape, tuple(2 * stride for stride in contiguous(*shape).strides))


def padded(rng: np.random.Generator, shape: Shape) -> Layout:
    """Rows of a storage that is wider than they are."""
    return Layout(shape, contiguous(*shape[:-1], shape[-1] + int(rng.integers(1, 9))).strides)


def odd_ones(rng: np.random.Generator, shape: Shape) -> Layout:
    """Contiguous, but for the strides of dimensions of one element, which say nothing."""
    strides = [int(rng.integers(1, 99)) if size == 1 else stride for size, stride in zip(shape, contiguous(*shape).strides)]
    return Layout(shape, tuple(strides))


def ragged(rng: np.random.Generator, shape: Shape) -> Layout:
    """Any order with any gaps."""
    strides, step = [0] * len(shape), int(rng.choice([1, 1, 1, 2]))
    for dim in rng.permutation(len(shape)):
        strides[dim] = step
        step = step * max(shape[dim], 1) + (int(rng.integers(1, 4)) if rng.random() < 0.3 else 0)
    return Layout(shape, tuple(strides))


def one_row(rng: np.random.Generator, shape: Shape) -> Layout:
    """A row for all rows: torch.Tensor.expand."""
    return _expanded(shape, (0,))


def one_column(rng: np.random.Generator, shape: Shape) -> Layout:
    return _expanded(shape, (len(shape) - 1,))


def one_element(rng: np.random.Generator, shape: Shape) -> Layout:
    return _expanded(shape, tuple(range(len(shape))))


def _expanded(shape: Shape, dims: Shape) -> Layout:
    small = contiguous(*(1 if dim in dims else size for dim, size in enumerate(shape)))
    return Layout(shape, tuple(0 if dim in dims else stride for dim, stride in enumerate(small.strides)))


# ---- problems -------------------------------------------------------------------------------------------------------

ALIKE = ((image, plain), (matrix, transposed), (image, channels_last), (cube, permuted), (scalar, plain), (image, permuted), (ones, odd_ones),
         (empty, plain))
"""Parameter and gradients lie alike, without gaps."""

SHUFFLED = ((matrix, plain, transposed), (image, channels_last, plain), (image, permuted, permuted), (cube, permuted, plain))
"""Without gaps, but in different orders, which the fused kernels know nothing of: a shape, the parameter's layout, the gradients' layout."""

UNLIKE = (*SHUFFLED, (matrix, every_other, every_other), (matrix, every_other, plain), (matrix, plain, every_other),
          (matrix, padded, plain), (matrix, plain, padded), (cube, padded, padded), (matrix, plain, one_row),
          (matrix, plain, one_column), (matrix, plain, one_element), (cube, transposed, one_row), (ones, odd_ones, plain),
          (matrix, ragged, ragged), (cube, ragged, ragged), (image, ragged, ragged))
"""The same with gaps, with elements that are several, and with any strides."""

LARGE = ((large_matrix, plain, plain), (large_matrix, transposed, transposed), (large_image, channels_last, channels_last),
         (large_matrix, padded, padded), (large_matrix, plain, transposed), (large_matrix, every_other, plain),
         (large_image, permuted, permuted), (large_matrix, padded, plain))


def generate(seed: int, index: int, dtype: Dtype) -> Problem:
    """Every second problem lies alike all through; every eighth is shuffled all through, the others anyhow."""
    rng = rng_of("layout", seed, index, dtype)
    turn = index // 2 * 5 + dtype.code
    builder = Builder(rng, dtype, index, int(rng.integers(2, 4)))
    hyper = hyper_of(rng, index // 2 + turn // len(UNLIKE))
    tensors = []
    for number in range(rng.integers(1, 4)):
        families = ALIKE if index % 2 == 0 else SHUFFLED if index % 8 == 3 else UNLIKE
        family = families[(turn + number) % len(families)]
        if number == 0 and index % PERIOD == LARGE_PLACE:
            family = LARGE[(index // PERIOD + dtype.code) % len(LARGE)]
        layout, grad_layouts = _draw_layouts(rng, builder.steps, *family)
        tensors.append(builder.laid_out(layout, grad_layouts, draw_pool(rng), hyper))
    return builder.problem([Group(hyper, tuple(tensors))], "layout")


def _draw_layouts(rng: np.random.Generator, steps: int, shape_of, layout_of, grad_layout_of=None) -> tuple[Layout, list[Layout]]:
    """The parameter's layout and that of each gradient; among unlike ones a later gradient may be contiguous."""
    shape = shape_of(rng)
    layout = layout_of(rng, shape)
    if grad_layout_of is None:
        return _shifted(rng, layout), [layout] * steps
    grad = grad_layout_of(rng, shape)
    layouts = [grad if step == 0 or rng.random() < 0.7 else contiguous(*shape) for step in range(steps)]
    return _shifted(rng, layout), [_shifted(rng, each) for each in layouts]


def _shifted(rng: np.random.Generator, layout: Layout) -> Layout:
    """Now and then not at the beginning of the storage."""
    return replace(layout, offset=int(rng.integers(1, 6))) if rng.random() < 0.2 else layout
