/* allocations.h - counts what the process allocates: a library that stands before the C library's malloc.
 *
 * sgd-bench is linked with it; another program gets it by LD_PRELOAD=libsgd_bench_allocations.so.  Where it is not there,
 * libsgd_bench finds these two symbols to be NULL.
 */
#ifndef SGD_BENCH_ALLOCATIONS_H
#define SGD_BENCH_ALLOCATIONS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Begins to count, from 0; of all threads. */
__attribute__((weak, visibility("default"))) void sgd_bench_allocations_begin(void);

/* Ends it: how many allocations there were, and by how many bytes at most more was held than at the beginning. */
__attribute__((weak, visibility("default"))) void sgd_bench_allocations_end(long long *count, long long *peak_bytes);

#ifdef __cplusplus
}
#endif
#endif
