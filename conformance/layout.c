/* layout.c - see layout.h. */
#include "layout.h"

#include <string.h>

case_layout layout_of(const vectors *file, uint32_t layout, size_t tensor)
{
    static const int64_t one = 1;
    /* A checked file's sizes and strides are below 2^63. */
    if (layout == VECTORS_NONE)
        return (case_layout){.ndim = 1, .shape = (const int64_t *)&file->tensor.numel[tensor], .strides = &one};
    size_t dim = file->layout.dim_begin[layout];
    return (case_layout){.ndim = file->layout.ndim[layout],
                         .shape = (const int64_t *)file->dim.size + dim,
                         .strides = (const int64_t *)file->dim.stride + dim,
                         .offset = file->layout.offset[layout]};
}

size_t layout_room(const case_layout *layout)
{
    size_t last = layout->offset;
    for (int32_t d = 0; d < layout->ndim; d++) {
        if (!layout->shape[d])
            return layout->offset;
        last += (size_t)((layout->shape[d] - 1) * layout->strides[d]);
    }
    return last + 1;
}

bool layout_is_plain(const case_layout *layout)
{
    int64_t step = 1;
    for (int32_t d = layout->ndim; d-- > 0; step *= layout->shape[d])
        if (layout->shape[d] != 1 && layout->strides[d] != step)
            return layout->offset == 0 && layout_room(layout) == 0;
    return layout->offset == 0;
}

bool layout_same_strides(const case_layout *layout, const int64_t *strides)
{
    return memcmp(layout->strides, strides, (size_t)layout->ndim * sizeof *strides) == 0;
}

/* Calls `visit` with the place of each element, in row-major order. */
static void walk(const case_layout *layout, void (*visit)(void *context, size_t place), void *context)
{
    int64_t index[VECTORS_MAX_DIMS] = {0};
    size_t place = layout->offset;
    int32_t d;
    if (layout_room(layout) == layout->offset)
        return;
    do {
        visit(context, place);
        for (d = layout->ndim - 1; d >= 0; d--) {
            place += (size_t)layout->strides[d];
            if (++index[d] < layout->shape[d])
                break;
            place -= (size_t)(layout->shape[d] * layout->strides[d]);
            index[d] = 0;
        }
    } while (d >= 0);
}

/* The two sides of a copy; `elements` moves on. */
typedef struct copy {
    size_t size;
    const unsigned char *from;
    unsigned char *to;
    unsigned char byte;
} copy;

static void scatter_one(void *context, size_t place)
{
    copy *copy = context;
    memcpy(copy->to + place * copy->size, copy->from, copy->size);
    copy->from += copy->size;
}

static void gather_one(void *context, size_t place)
{
    copy *copy = context;
    memcpy(copy->to, copy->from + place * copy->size, copy->size);
    copy->to += copy->size;
}

static void blank_one(void *context, size_t place)
{
    copy *copy = context;
    memset(copy->to + place * copy->size, copy->byte, copy->size);
}

void layout_scatter(const case_layout *layout, size_t size, const void *elements, unsigned char *memory)
{
    if (layout_is_plain(layout))
        memcpy(memory, elements, layout_room(layout) * size);
    else
        walk(layout, scatter_one, &(copy){.size = size, .from = elements, .to = memory});
}

void layout_gather(const case_layout *layout, size_t size, const unsigned char *memory, void *elements)
{
    if (layout_is_plain(layout))
        memcpy(elements, memory, layout_room(layout) * size);
    else
        walk(layout, gather_one, &(copy){.size = size, .from = memory, .to = elements});
}

void layout_blank(const case_layout *layout, size_t size, unsigned char byte, unsigned char *memory)
{
    if (layout_is_plain(layout))
        memset(memory, byte, layout_room(layout) * size);
    else
        walk(layout, blank_one, &(copy){.size = size, .to = memory, .byte = byte});
}
