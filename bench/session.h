/* session.h - a run of sgd-bench inside another program, which offers implementations of its own beside the library's.
 *
 * The whole run is the harness's: options, plan, memory, interleaving, checks of the bits, progress, Ctrl-C, table, JSON.  The
 * program that calls, the host, makes contestants when it is asked to, over tensors that all contestants of a block share, and
 * steps them when it is told to.  `sgd-bench vs-torch` is such a host, in Python through ctypes.
 *
 * Structs begin with their size, so that members can be appended: read only what struct_size covers.  Strings are UTF-8;
 * those that a host hands out must live until its next callback, those of sgd_bench_host until sgd_bench_main returns.  Every
 * callback comes from the thread that called sgd_bench_main.  One run at a time.
 */
#ifndef SGD_BENCH_SESSION_H
#define SGD_BENCH_SESSION_H

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SGD_BENCH_API __attribute__((visibility("default")))

/* What is to be timed.  The names are those of the case's own name, path/implementation/dtype/shapes/...; what is the default,
 * and so left out of that name, is given here all the same. */
typedef struct sgd_bench_case {
    size_t struct_size;
    const char *name;           /* "forloop/torch/f32/resnet50/threads:1"    */
    const char *path;           /* "forloop", "foreach", "fused"             */
    const char *implementation; /* "torch"                                   */
    const char *dtype;          /* "f64", "f32", "f16", "bf16", "c64", "c128" */
    const char *shapes;         /* "resnet50"                                */
    const char *hyper;          /* "plain", "momentum", "momentum_decay", "nesterov" */
    const char *contract;       /* "cpu-fma", "cpu-base"                     */
    const char *device;         /* "cpu"                                     */
    uint32_t threads;
    double lr, momentum, dampening, weight_decay;
    uint8_t nesterov;
} sgd_bench_case;

/* The tensors that all contestants of a block step, contiguous, in the harness's memory, which lives until the contestant is
 * closed.  The harness sets their values before the steps whose bits it checks, and lets them run on between. */
typedef struct sgd_bench_tensors {
    size_t struct_size;
    size_t count;
    DLTensor *params, *grads;
} sgd_bench_tensors;

/* What `open` makes; all zero but struct_size when it is called. */
typedef struct sgd_bench_contestant {
    size_t struct_size;
    void *callable;         /* goes to step; NULL: there is none */
    const char *why;        /* no callable: why not.  Not checked: why its bits are no promise */
    uint8_t checked;        /* 1: its bits are held against the oracle's, and it gets no time where they differ */
    uint8_t has_defects;    /* 1: PyTorch's known defects are part of its bits (fused f16 and bf16) */
    uint32_t torch_threads; /* the torch.get_num_threads() whose 16-bit segments it computes; 0: the case's threads */
} sgd_bench_contestant;

typedef struct sgd_bench_host {
    size_t struct_size;
    void *context;        /* goes to every callback that takes one */
    const char *versions; /* "torch 2.13.0+cpu, python 3.11.2": to the head of the table and, pair by pair, to the JSON */
    size_t implementation_count;
    const char *const *implementations; /* "torch", "compiled", "python" */

    /* Makes a contestant with a fresh state, without momentum buffers.  0, or another number where something broke, with `why`:
     * the case then counts as failed.  A case that the implementation does not have is no failure: 0 and no callable. */
    int (*open)(void *context, const sgd_bench_case *which, const sgd_bench_tensors *tensors, sgd_bench_contestant *out);

    /* One step.  Not NULL: done, and the result goes to `drop`.  NULL: failed.  Made for PyObject_CallNoArgs and Py_DecRef,
     * which the timed loop then calls directly. */
    void *(*step)(void *callable);
    void (*drop)(void *result);

    /* After a step that failed, before anything else: puts the error away (PyErr_Clear).  May be NULL. */
    void (*recover)(void);

    /* Why the last step of this contestant failed; NULL where nobody knows.  May be NULL. */
    const char *(*failure)(void *context, void *callable);

    /* The momentum buffers, one descriptor a tensor, contiguous; data NULL where there is none.  0, or another number where it
     * cannot tell.  Not asked for without momentum. */
    int (*buffers)(void *context, void *callable, DLTensor *out);

    /* Bytes that one step takes at most beyond the state; -1 where it does not know.  Takes a step.  Asked only where the
     * harness cannot count allocations itself.  May be NULL. */
    long long (*peak_memory)(void *context, void *callable);

    void (*close)(void *context, void *callable);
} sgd_bench_host;

/* What the program sgd-bench does with these arguments, beginning with the program's name: `list`, `shapes` or `run`.  `host`
 * may be NULL.  Returns the exit status: 0; 1 where a benchmark failed or its bits are wrong; 2, with one line on stderr, where
 * the command line, a file or the memory does not allow a run; 130 where SIGINT or SIGTERM ended it early.  Ends the program
 * itself for --help, --version and arguments that do not parse. */
SGD_BENCH_API int sgd_bench_main(int argc, char **argv, const sgd_bench_host *host);

#ifdef __cplusplus
}
#endif
#endif
