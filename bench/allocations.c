/* allocations.c - malloc and its kin over glibc's, which are called by their other names. */
#include "allocations.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUBLIC __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

/* ---- counting ---------------------------------------------------------------------------------------------------- */

static atomic_bool counting;
static atomic_llong allocations, held, most_held;

PUBLIC void sgd_bench_allocations_begin(void)
{
    allocations = held = most_held = 0;
    counting = true;
}

PUBLIC void sgd_bench_allocations_end(long long *count, long long *peak_bytes)
{
    counting = false;
    *count = allocations;
    *peak_bytes = most_held;
}

static void *taken(void *memory)
{
    if (!memory || !atomic_load_explicit(&counting, memory_order_relaxed))
        return memory;
    atomic_fetch_add(&allocations, 1);
    long long now = atomic_fetch_add(&held, (long long)malloc_usable_size(memory)) + (long long)malloc_usable_size(memory);
    long long most = atomic_load(&most_held);
    while (now > most && !atomic_compare_exchange_weak(&most_held, &most, now))
        continue;
    return memory;
}

static size_t size_before(void *memory)
{
    return memory && atomic_load_explicit(&counting, memory_order_relaxed) ? malloc_usable_size(memory) : 0;
}

/* ---- the C library's names --------------------------------------------------------------------------------------- */

PUBLIC void *malloc(size_t size) { return taken(__libc_malloc(size)); }
PUBLIC void *calloc(size_t count, size_t size) { return taken(__libc_calloc(count, size)); }
PUBLIC void *memalign(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }
PUBLIC void *aligned_alloc(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }

PUBLIC void *realloc(void *memory, size_t size)
{
    size_t before = size_before(memory);
    void *moved = __libc_realloc(memory, size);
    if (before && (moved || size == 0))
        atomic_fetch_sub(&held, (long long)before);
    return taken(moved);
}

PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    int error = errno;
    void *memory = taken(__libc_memalign(alignment, size));
    errno = error;
    if (!memory)
        return ENOMEM;
    *out = memory;
    return 0;
}

PUBLIC void free(void *memory)
{
    size_t before = size_before(memory);
    if (before)
        atomic_fetch_sub(&held, (long long)before);
    __libc_free(memory);
}
