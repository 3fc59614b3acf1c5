/* copy_strided.c - copies between layouts, as at::copy_ does between tensors of one dtype.
 *
 * Dimensions are ordered by the output's strides and merged where both layouts allow it; what is left in the middle is copied
 * as blocks of bytes where both sides are contiguous, and in tiles that the cache holds where not.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* More dimensions of two or more elements than memory has address bits for. */
#define MOST_DIMS 64
/* A side of a tile: one cache line of either tensor. */
#define TILE_BYTES 64

typedef struct dim {
    int64_t size, out, in; /* strides in elements */
} dim;

typedef struct layouts {
    size_t size; /* bytes per element */
    int count;
    dim dims[MOST_DIMS]; /* outermost first */
} layouts;

/* Sorts the dimension in behind those with larger output strides; equal ones keep their order. */
static void insert(layouts *l, dim new)
{
    int at = l->count++;
    for (; at > 0 && llabs(l->dims[at - 1].out) < llabs(new.out); at--)
        l->dims[at] = l->dims[at - 1];
    l->dims[at] = new;
}

static bool mergeable(dim outer, dim inner)
{
    return outer.out == inner.size * inner.out && outer.in == inner.size * inner.in;
}

static void merge(layouts *l)
{
    int count = 0;
    for (int i = 0; i < l->count; i++) {
        if (count > 0 && mergeable(l->dims[count - 1], l->dims[i])) {
            l->dims[count - 1] = (dim){l->dims[count - 1].size * l->dims[i].size, l->dims[i].out, l->dims[i].in};
        } else {
            l->dims[count++] = l->dims[i];
        }
    }
    l->count = count;
}

/* A dimension that the input walks with a smaller step than the innermost one goes next to it, to be tiled with it. */
static void pair_up(layouts *l)
{
    if (l->count < 2)
        return;
    int best = l->count - 1;
    for (int i = 0; i < l->count; i++)
        if (llabs(l->dims[i].in) < llabs(l->dims[best].in) && l->dims[i].in != 0)
            best = i;
    dim chosen = l->dims[best];
    for (int i = best; i < l->count - 2; i++)
        l->dims[i] = l->dims[i + 1];
    if (best < l->count - 1)
        l->dims[l->count - 2] = chosen;
}

/* ---- one dimension ---------------------------------------------------------------------------------------------------------- */

/* A constant stride lets the compiler keep it out of the loop. */
#define COPY_ELEMENTS(bytes, out_stride, in_stride)                                                 \
    for (int64_t i = 0; i < dim.size; i++)                                                          \
        memcpy(out + i * (out_stride) * (bytes), in + i * (in_stride) * (bytes), (bytes))

#define COPY_ROW(bytes)                                                                             \
    do {                                                                                            \
        if (dim.out == 1 && dim.in == 0)                                                            \
            COPY_ELEMENTS(bytes, 1, 0);                                                             \
        else if (dim.out == 1 && dim.in == 2)                                                       \
            COPY_ELEMENTS(bytes, 1, 2);                                                             \
        else                                                                                        \
            COPY_ELEMENTS(bytes, dim.out, dim.in);                                                  \
    } while (0)

static void copy_row(size_t size, dim dim, char *restrict out, const char *restrict in)
{
    if (dim.out == 1 && dim.in == 1) {
        memcpy(out, in, (size_t)dim.size * size);
        return;
    }
    switch (size) {
    case 2: COPY_ROW(2); break;
    case 4: COPY_ROW(4); break;
    case 8: COPY_ROW(8); break;
    default: COPY_ROW(16); break;
    }
}

/* ---- two dimensions that the tensors walk the other way round ------------------------------------------------------------ */

/* A square of as many elements a side as a vector of 16 bytes holds, its rows `out_pitch` and `in_pitch` bytes apart.  Each round
 * interleaves the upper half of the rows with the lower one, as often as makes rows of columns. */
#define TRANSPOSE(name, element, lanes, low, high)                                                                   \
    static inline void name(char *out, int64_t out_pitch, const char *in, int64_t in_pitch)                          \
    {                                                                                                                \
        typedef element vector __attribute__((vector_size(16)));                                                     \
        vector rows[lanes], next[lanes];                                                                             \
        for (int i = 0; i < (lanes); i++)                                                                            \
            memcpy(&rows[i], in + i * in_pitch, 16);                                                                 \
        for (int round = 1; round < (lanes); round *= 2) {                                                           \
            for (int i = 0; i < (lanes) / 2; i++) {                                                                  \
                next[2 * i] = __builtin_shufflevector(rows[i], rows[i + (lanes) / 2], low);                          \
                next[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + (lanes) / 2], high);                     \
            }                                                                                                        \
            memcpy(rows, next, sizeof rows);                                                                         \
        }                                                                                                            \
        for (int i = 0; i < (lanes); i++)                                                                            \
            memcpy(out + i * out_pitch, &rows[i], 16);                                                               \
    }

#define LIST(...) __VA_ARGS__
TRANSPOSE(transpose_2, uint16_t, 8, LIST(0, 8, 1, 9, 2, 10, 3, 11), LIST(4, 12, 5, 13, 6, 14, 7, 15))
TRANSPOSE(transpose_4, uint32_t, 4, LIST(0, 4, 1, 5), LIST(2, 6, 3, 7))
TRANSPOSE(transpose_8, uint64_t, 2, LIST(0, 2), LIST(1, 3))

static int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }

#define TRANSPOSE_SQUARES(bytes, lanes, transpose)                                                                   \
    do {                                                                                                             \
        for (int64_t j = 0; j + (lanes) <= columns; j += (lanes))                                                    \
            for (int64_t i = 0; i + (lanes) <= rows; i += (lanes))                                                   \
                transpose(out + i * out_pitch + j * (bytes), out_pitch, in + j * in_pitch + i * (bytes), in_pitch);  \
        return lanes;                                                                                                \
    } while (0)

/* As many squares as there are in `rows` x `columns` elements of out; returns how many elements one has a side. */
static inline int64_t transpose_squares(size_t size, int64_t rows, int64_t columns, char *out, int64_t out_pitch, const char *in,
                                        int64_t in_pitch)
{
    switch (size) {
    case 2: TRANSPOSE_SQUARES(2, 8, transpose_2);
    case 4: TRANSPOSE_SQUARES(4, 4, transpose_4);
    case 8: TRANSPOSE_SQUARES(8, 2, transpose_8);
    default: return INT64_MAX;
    }
}

#define WHOLE_TILE(bytes)                                                                                            \
    transpose_squares((bytes), TILE_BYTES / (bytes), TILE_BYTES / (bytes), out, out_pitch, in, in_pitch)

/* A tile; or less than one, at the edges of a plane: squares, then what is left on two sides of them. */
static void copy_tile(size_t size, int64_t rows, int64_t columns, char *out, int64_t out_pitch, const char *in, int64_t in_pitch)
{
    int64_t bytes = (int64_t)size;
    if (rows * bytes == TILE_BYTES && columns * bytes == TILE_BYTES && size < 16) {
        size == 2 ? WHOLE_TILE(2) : size == 4 ? WHOLE_TILE(4) : WHOLE_TILE(8);
        return;
    }
    int64_t side = transpose_squares(size, rows, columns, out, out_pitch, in, in_pitch);
    for (int64_t i = 0; i < rows; i++) {
        int64_t from = i < rows - rows % side ? columns - columns % side : 0;
        if (from < columns)
            copy_row(size, (dim){columns - from, 1, in_pitch / bytes}, out + i * out_pitch + from * bytes,
                     in + i * bytes + from * in_pitch);
    }
}

/* In tiles, along the rows of the side that has them farther apart: its lines come from farther away, too. */
static void transpose_plane(size_t size, dim outer, dim inner, char *out, const char *in)
{
    int64_t bytes = (int64_t)size, tile = TILE_BYTES / bytes, out_pitch = outer.out * bytes, in_pitch = inner.in * bytes;
    bool along_in = llabs(inner.in) > llabs(outer.out);
    int64_t slow_size = along_in ? inner.size : outer.size, fast_size = along_in ? outer.size : inner.size;
    for (int64_t slow = 0; slow < slow_size; slow += tile)
        for (int64_t fast = 0; fast < fast_size; fast += tile) {
            int64_t i = along_in ? fast : slow, j = along_in ? slow : fast;
            copy_tile(size, at_most(outer.size - i, tile), at_most(inner.size - j, tile), out + i * out_pitch + j * bytes,
                      out_pitch, in + j * in_pitch + i * bytes, in_pitch);
        }
}

/* The two innermost dimensions; in tiles where the input runs along the outer of the two. */
static void copy_plane(size_t size, dim outer, dim inner, char *out, const char *in)
{
    int64_t bytes = (int64_t)size, tile = inner.in == 1 || inner.in == 0 ? inner.size : TILE_BYTES / bytes;
    if (inner.out == 1 && outer.in == 1 && inner.in != 0) {
        transpose_plane(size, outer, inner, out, in);
        return;
    }
    for (int64_t from = 0; from < inner.size; from += tile) {
        dim part = {at_most(inner.size - from, tile), inner.out, inner.in};
        for (int64_t i = 0; i < outer.size; i++)
            copy_row(size, part, out + (i * outer.out + from * inner.out) * bytes, in + (i * outer.in + from * inner.in) * bytes);
    }
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------- */

static void copy_all(const layouts *l, char *out, const char *in)
{
    const dim one = {1, 0, 0}, *inner = l->count > 0 ? &l->dims[l->count - 1] : &one;
    const dim *outer = l->count > 1 ? &l->dims[l->count - 2] : &one;
    int loops = l->count > 2 ? l->count - 2 : 0;
    int64_t index[MOST_DIMS] = {0}, bytes = (int64_t)l->size;
    for (int d = 0; d >= 0;) {
        copy_plane(l->size, *outer, *inner, out, in);
        for (d = loops - 1; d >= 0; d--) { /* the next index: a counter with a digit per dimension */
            out += l->dims[d].out * bytes;
            in += l->dims[d].in * bytes;
            if (++index[d] < l->dims[d].size)
                break;
            out -= l->dims[d].size * l->dims[d].out * bytes;
            in -= l->dims[d].size * l->dims[d].in * bytes;
            index[d] = 0;
        }
    }
}

sgd_status copy_strided(size_t size, int32_t ndim, const int64_t *shape, void *out, const int64_t *out_strides, const void *in,
                        const int64_t *in_strides)
{
    layouts l = {.size = size};
    if (size != 2 && size != 4 && size != 8 && size != 16)
        return SGD_ERROR_UNSUPPORTED;
    for (int32_t d = 0; d < ndim; d++)
        if (shape[d] == 0)
            return SGD_OK;
    for (int32_t d = 0; d < ndim; d++) {
        if (shape[d] == 1)
            continue;
        if (l.count == MOST_DIMS)
            return SGD_ERROR_ARGUMENT;
        insert(&l, (dim){shape[d], out_strides[d], in_strides[d]});
    }
    merge(&l);
    pair_up(&l);
    copy_all(&l, out, in);
    return SGD_OK;
}
