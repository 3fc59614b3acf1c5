/* sparse_order.c - the order in which coalesce() meets entries of one index: that of torch.sort, which is not stable.
 *
 * ATen/native/cpu/SortingKernel.cpp: from 32768 keys on a radix sort, which is stable; below that std::sort of GCC's library
 * over pairs of key and place that compares keys alone.  This is that algorithm on an array of places, position by position:
 * quicksort to runs of 16 around the median of the second, the middle and the last key; heapsort where it went 2 log2(n)
 * levels deep; one insertion sort at the end.
 */
#include <stdlib.h>
#include <string.h>

#include "sparse_parts.h"

#define RUN 16
#define STABLE_FROM 32768

typedef struct sorting {
    const int64_t *keys;
    size_t *order;
} sorting;

static bool less(const sorting *s, size_t i, size_t j) { return s->keys[s->order[i]] < s->keys[s->order[j]]; }

static void exchange(const sorting *s, size_t i, size_t j)
{
    size_t place = s->order[i];
    s->order[i] = s->order[j];
    s->order[j] = place;
}

static void insert_all(const sorting *s, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t at = i; at > 0 && less(s, at, at - 1); at--)
            exchange(s, at, at - 1);
}

/* std::stable_sort's result, by merging. */
static void merge_sort(const int64_t *keys, size_t *order, size_t *room, size_t count)
{
    if (count < 2)
        return;
    size_t half = count / 2, left = 0, right = half;
    merge_sort(keys, order, room, half);
    merge_sort(keys, order + half, room, count - half);
    memcpy(room, order, count * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = right >= count || (left < half && keys[room[left]] <= keys[room[right]]) ? room[left++] : room[right++];
}

/* ---- heapsort of order[begin, end) -------------------------------------------------------------------------------------- */

/* Puts `place` into a heap of `count` whose root is `root`: the hole falls to a leaf, the larger child moving up each time
 * (the right one of two equal), and `place` climbs back from there. */
static void settle(const sorting *s, size_t begin, size_t count, size_t root, size_t place)
{
    size_t *heap = s->order + begin, hole = root;
    for (;;) {
        size_t right = 2 * hole + 2, left = right - 1, next;
        if (right < count)
            next = s->keys[heap[right]] < s->keys[heap[left]] ? left : right;
        else if (left < count)
            next = left;
        else
            break;
        heap[hole] = heap[next];
        hole = next;
    }
    while (hole > root && s->keys[heap[(hole - 1) / 2]] < s->keys[place]) {
        heap[hole] = heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    heap[hole] = place;
}

static void sort_by_heap(const sorting *s, size_t begin, size_t end)
{
    size_t count = end - begin, *heap = s->order + begin;
    for (size_t i = count / 2; i > 0; i--)
        settle(s, begin, count, i - 1, heap[i - 1]);
    for (size_t left = count - 1; left > 0; left--) {
        size_t last = heap[left];
        heap[left] = heap[0];
        settle(s, begin, left, 0, last);
    }
}

/* ---- quicksort ---------------------------------------------------------------------------------------------------------- */

/* Which of three holds the median; which of equal ones is what std::__move_median_to_first decides. */
static size_t median(const sorting *s, size_t a, size_t b, size_t c)
{
    if (less(s, a, b))
        return less(s, b, c) ? b : less(s, a, c) ? c : a;
    return less(s, a, c) ? a : less(s, b, c) ? c : b;
}

static void sort_to_runs(const sorting *s, size_t begin, size_t end, unsigned levels)
{
    while (end - begin > RUN) {
        if (levels == 0) {
            sort_by_heap(s, begin, end);
            return;
        }
        levels--;
        exchange(s, begin, median(s, begin + 1, begin + (end - begin) / 2, end - 1));
        size_t low = begin + 1, high = end;
        while (true) {
            while (less(s, low, begin))
                low++;
            high--;
            while (less(s, begin, high))
                high--;
            if (low >= high)
                break;
            exchange(s, low, high);
            low++;
        }
        sort_to_runs(s, low, end, levels);
        end = low;
    }
}

bool coo_order(const int64_t *keys, size_t count, size_t *order)
{
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    if (count >= STABLE_FROM) {
        size_t *room = malloc(count * sizeof *room);
        if (room)
            merge_sort(keys, order, room, count);
        free(room);
        return room != NULL;
    }
    sorting s = {keys, order};
    unsigned levels = 0;
    for (size_t n = count; n > 1; n >>= 1)
        levels += 2;
    sort_to_runs(&s, 0, count, levels);
    insert_all(&s, count);
    return true;
}
