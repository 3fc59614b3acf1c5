/* sparse_sort.c - coalesce() sorts the flat indices with torch.sort(), which leaves equal indices in an order that decides in
 * which order their values are summed.
 *
 * ATen/native/cpu/SortingKernel.cpp: below 32768 keys std::sort over (key, place) pairs that compares keys alone, which in
 * libstdc++ is introsort; from there on a radix sort, which is stable.  Every comparison and every move of introsort is
 * visible in the result, so it is followed step by step: the median of three moves to the front, Hoare's partition around
 * it, heapsort where that went too deep, and insertion at the end.
 */
#include <stdlib.h>

#include "sparse.h"

#define SHORT 16    /* not partitioned further */
#define RADIX 32768 /* at::internal::GRAIN_SIZE */

static bool before(const sort_entry *x, const sort_entry *y) { return x->key < y->key; }

static void swap(sort_entry *x, sort_entry *y)
{
    sort_entry kept = *x;
    *x = *y;
    *y = kept;
}

/* Keeps the order of equal keys. */
static void insertion_sort(sort_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        sort_entry moving = entries[i];
        size_t at = i;
        for (; at > 0 && before(&moving, &entries[at - 1]); at--)
            entries[at] = entries[at - 1];
        entries[at] = moving;
    }
}

/* ---- heapsort, largest first -------------------------------------------------------------------------------------------- */

/* Refills a hole from its larger child down to a leaf, then lets `value` rise from there, at most to where the hole was. */
static void sift(sort_entry *heap, size_t count, size_t hole, sort_entry value)
{
    size_t top = hole;
    for (size_t child; (child = 2 * hole + 1) < count; hole = child) {
        if (child + 1 < count && !before(&heap[child + 1], &heap[child]))
            child++;
        heap[hole] = heap[child];
    }
    for (size_t parent; hole > top && before(&heap[parent = (hole - 1) / 2], &value); hole = parent)
        heap[hole] = heap[parent];
    heap[hole] = value;
}

static void heap_sort(sort_entry *entries, size_t count)
{
    for (size_t parent = count / 2; parent-- > 0;)
        sift(entries, count, parent, entries[parent]);
    for (size_t last = count; last-- > 1;) {
        sort_entry value = entries[last];
        entries[last] = entries[0];
        sift(entries, last, 0, value);
    }
}

/* ---- introsort ---------------------------------------------------------------------------------------------------------- */

static void median_to(sort_entry *to, sort_entry *a, sort_entry *b, sort_entry *c)
{
    sort_entry *low = before(a, b) ? a : b, *high = before(a, b) ? b : a;
    if (before(high, c))
        swap(to, high);
    else
        swap(to, before(low, c) ? c : low);
}

/* Around entries[0], which stays; what it returns begins the upper part. */
static size_t partition(sort_entry *entries, size_t count)
{
    size_t low = 1, high = count;
    for (;; low++) {
        while (before(&entries[low], &entries[0]))
            low++;
        do
            high--;
        while (before(&entries[0], &entries[high]));
        if (low >= high)
            return low;
        swap(&entries[low], &entries[high]);
    }
}

static void introsort(sort_entry *entries, size_t count, int depth)
{
    while (count > SHORT) {
        if (depth-- == 0) {
            heap_sort(entries, count);
            return;
        }
        median_to(&entries[0], &entries[1], &entries[count / 2], &entries[count - 1]);
        size_t cut = partition(entries, count);
        introsort(entries + cut, count - cut, depth);
        count = cut;
    }
}

static int by_key_and_place(const void *left, const void *right)
{
    const sort_entry *x = left, *y = right;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

void sort_like_torch(sort_entry *entries, size_t count)
{
    if (count >= RADIX) {
        qsort(entries, count, sizeof *entries, by_key_and_place);
        return;
    }
    int depth = 0;
    for (size_t halves = count; halves > 1; halves /= 2)
        depth += 2;
    introsort(entries, count, depth);
    insertion_sort(entries, count);
}
