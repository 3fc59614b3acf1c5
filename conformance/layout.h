/* layout.h - how a tensor of a case lies in memory, and its elements on the way there and back.
 *
 * Elements are in row-major order in vector files and wherever they are compared; in memory they are where the layout says.
 */
#ifndef CONFORM_LAYOUT_H
#define CONFORM_LAYOUT_H

#include "vectors.h"

typedef struct case_layout {
    int32_t ndim;
    const int64_t *shape, *strides; /* in elements */
    size_t offset;                  /* of the first element, in elements */
} case_layout;

/* Of row `layout` of the file, VECTORS_NONE standing for the contiguous one of tensor `tensor`'s numel elements. */
case_layout layout_of(const vectors *file, uint32_t layout, size_t tensor);

/* Elements from the beginning of the memory to behind the last one. */
size_t layout_room(const case_layout *layout);

/* Whether memory and row-major order are the same. */
bool layout_is_plain(const case_layout *layout);

bool layout_same_strides(const case_layout *layout, const int64_t *strides);

/* Copies elements of `size` bytes, from row-major order to their places and back. */
void layout_scatter(const case_layout *layout, size_t size, const void *elements, unsigned char *memory);
void layout_gather(const case_layout *layout, size_t size, const unsigned char *memory, void *elements);

/* Writes `byte` over all places. */
void layout_blank(const case_layout *layout, size_t size, unsigned char byte, unsigned char *memory);

#endif
