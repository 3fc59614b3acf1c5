/* copy_strided.c - copies between layouts, as at::copy_ does between tensors of one dtype.
 *
 * Dimensions are ordered by the output's strides and merged where both layouts allow it; what is left in the middle is copied
 * as blocks of bytes where both sides are contiguous, and element by element, in tiles that the cache holds, where not.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* More dimensions of two or more elements than memory has address bits for. */
#define MOST_DIMS 64
/* Elements a side: a tile's lines of both tensors fit the first-level cache. */
#define TILE 16

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

/* ---- the innermost dimensions --------------------------------------------------------------------------------------------- */

#define COPY_ELEMENTS(bytes)                                                                        \
    for (int64_t i = 0; i < dim.size; i++)                                                          \
        memcpy(out + i * dim.out * (bytes), in + i * dim.in * (bytes), (bytes))

static void copy_row(size_t size, dim dim, char *out, const char *in)
{
    if (dim.out == 1 && dim.in == 1) {
        memcpy(out, in, (size_t)dim.size * size);
        return;
    }
    switch (size) {
    case 2: COPY_ELEMENTS(2); break;
    case 4: COPY_ELEMENTS(4); break;
    case 8: COPY_ELEMENTS(8); break;
    default: COPY_ELEMENTS(16); break;
    }
}

static int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }

/* The two innermost dimensions; in tiles where the input runs along the outer of the two. */
static void copy_plane(size_t size, dim outer, dim inner, char *out, const char *in)
{
    int64_t bytes = (int64_t)size, tile = inner.in == 1 || inner.in == 0 ? inner.size : TILE;
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
