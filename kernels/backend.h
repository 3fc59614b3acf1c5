/* backend.h - what a device offers.  A vendor implements this struct; the built-in CPU is the same struct.
 *
 * A backend computes; it owns no optimizer state and decides nothing.  The library hands it whole steps over lists of
 * tensors (`step`), and, for the schedule that walks memory once per operation as PyTorch does, single operations over
 * lists (`negate`, `axpy`, `scale`, `copy`).  What each must compute, rounding by rounding, is the numeric contract:
 * reference/contract/rules.def, or `sgd-conform contract`.
 *
 * A backend can do more of its work once: what it makes of a step's lists of tensors it may keep as a plan (`prepare`), which
 * the library runs for as long as the same tensors step (`run`).  `step` is required and enough.
 *
 * sgd_backend, sgd_arithmetic and sgd_hyper begin with their size, so that a later version can append members: read only what
 * struct_size covers.  The structs that travel in arrays are fixed for an ABI version.  Pointers are device pointers, made by
 * `allocate` or by the user on that device, borrowed for the call.  A call may return before the device is done;
 * `synchronize` waits.
 *
 * Elements are contiguous: strided tensors are brought into the order in which PyTorch walks them by the library, with
 * `copy_strided`, but for a backend that offers `run_strided`.  What is left of a layout is how PyTorch's inner loop sees it
 * (sgd_inner, sgd_operand.row), since the bits of 16-bit and complex operations depend on that.
 *
 * Thread-safety: calls on different tensors may come from different threads at once.
 */
#ifndef SGD_BACKEND_H
#define SGD_BACKEND_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SGD_BACKEND_ABI_VERSION 3

/* What the arithmetic of a call depends on besides its operands. */
typedef struct sgd_arithmetic {
    size_t struct_size;
    sgd_contract contract;
    sgd_path path;          /* FORLOOP, FOREACH: the eager rules; FUSED */
    sgd_defects defects;    /* matters for fused f16 and bf16 */
    uint32_t torch_threads; /* PyTorch's thread count whose chunks decide the 16-bit segments; at least 1 */
    uint32_t threads;       /* threads to compute with at most, 0: the backend's choice; never changes a bit */
} sgd_arithmetic;

/* The options of one param group as the user gave them, in double; rounding them is the contract's business. */
typedef struct sgd_hyper {
    size_t struct_size;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
    bool lr_addcmul;           /* lr is a tensor that requires grad: p.addcmul_(g, lr, value=-1) instead of add_ */
    bool weight_decay_addcmul; /* the same for weight decay: g.addcmul_(p, weight_decay), which changes p.grad itself */
    const float *grad_scale;   /* fused only: one float on the device, g = g / scale is stored to p.grad; NULL: none */
} sgd_hyper;

typedef struct sgd_step_tensor {
    sgd_dtype dtype;
    bool first;      /* no buffer yet: this step makes it (buffer is uninitialised memory) */
    bool write_grad; /* PyTorch leaves the changed gradient in p.grad: write it back (foreach with nesterov: g after nesterov;
                        weight_decay_addcmul: g after decay; fused with grad_scale: g after the division) */
    size_t numel;
    void *param;  /* read and written */
    void *grad;   /* read; written only if write_grad */
    void *buffer; /* read and written when momentum != 0, else NULL */
} sgd_step_tensor;

/* Tensors of a plan that step together, as a call of `step` takes them. */
typedef struct sgd_list {
    sgd_path path; /* holds here in place of the arithmetic's */
    size_t count;
    const sgd_step_tensor *tensors;
} sgd_list;

/* One operand list entry of a single operation: numel elements each; out may be x or y itself, else they do not overlap. */
typedef struct sgd_operand {
    sgd_dtype dtype;
    sgd_inner inner;
    size_t numel;
    size_t row; /* PyTorch's inner loop takes so many elements a turn, each with a body and a tail; 0: all of them */
    void *out;
    const void *x;
    const void *y;
} sgd_operand;

/* ---- tensors that are not contiguous --------------------------------------------------------------------------------- */

typedef enum sgd_operation {
    SGD_OP_STEP, /* a whole step, as sgd_backend.step computes it */
    SGD_OP_NEGATE,
    SGD_OP_COPY,
    SGD_OP_AXPY,
    SGD_OP_SCALE,
    SGD_OP_ADDCMUL
} sgd_operation;

/* The tensors of one item; RESULT is a gradient that the step has changed, but not in place. */
typedef enum sgd_role { SGD_ROLE_PARAM, SGD_ROLE_GRAD, SGD_ROLE_BUFFER, SGD_ROLE_RESULT, SGD_ROLE_COUNT } sgd_role;

#define SGD_STRIDED_OPS 6 /* the most operations that a step takes */

/* One operation; out, x and y mean what they mean in sgd_operand. */
typedef struct sgd_strided_op {
    sgd_operation operation;
    double alpha, value; /* addcmul: scalar and value */
    sgd_role out, x, y;  /* y: SGD_ROLE_COUNT where there is none */
    sgd_inner inner;
    size_t row;
    const int64_t *index; /* strides of an element's number in the order in which PyTorch walks, that of the innermost
                             dimension being 1; NULL: the number decides no bit */
} sgd_strided_op;

/* Operations, one after the other, on the elements of tensors of one shape.  An element takes part only in what happens to the
 * element at its own index, so that elements may come in any order, and each may go through all operations at once. */
typedef struct sgd_strided {
    sgd_dtype dtype;
    bool first, write_grad; /* as in sgd_step_tensor, for SGD_OP_STEP */
    size_t numel;
    int32_t ndim; /* at most 64 */
    const int64_t *shape; /* innermost dimension first: the order that suits the tensors best */
    void *data[SGD_ROLE_COUNT]; /* NULL: not there; a result without memory is needed within the call only */
    const int64_t *strides[SGD_ROLE_COUNT]; /* in elements, dimensions as in `shape` */
    size_t op_count;
    sgd_strided_op ops[SGD_STRIDED_OPS];
    void *scratch; /* of strided_scratch's size */
    size_t scratch_size;
} sgd_strided;

/* What a backend claims to compute bit for bit. */
typedef struct sgd_claim {
    sgd_contract contract;
    sgd_path path;
    sgd_dtype dtype;
} sgd_claim;

typedef struct sgd_backend {
    size_t struct_size;
    uint32_t abi_version;
    const char *name;   /* "cpu-avx2" */
    void *context;      /* handed to every function */
    int32_t dl_device;  /* DLPack's DLDeviceType of the tensors it takes */
    const sgd_claim *claims;
    size_t claim_count;

    /* Memory on the device, aligned to 64 bytes at least, not NULL even for 0 bytes; `release` takes NULL. */
    sgd_status (*allocate)(void *context, size_t bytes, void **out);
    void (*release)(void *context, void *memory);
    sgd_status (*synchronize)(void *context);

    /* One SGD step over a list, all rounding as arithmetic->contract and ->path say.  Required. */
    sgd_status (*step)(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                       const sgd_step_tensor *tensors);

    /* Single operations for the schedule by_op; all NULL where a backend only takes whole steps.
     *   negate: out = -x    copy: out = x    axpy: out = y + alpha*x    scale: out = alpha*x
     *   addcmul: out = y + value*x*scalar, value being 1 or -1; the scalar is a tensor's, rounded to the dtype
     * scale's scalar: PyTorch's foreach casts it to the dtype, its for-loop does not (arithmetic->path says which). */
    sgd_status (*negate)(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_operand *operands);
    sgd_status (*copy)(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_operand *operands);
    sgd_status (*axpy)(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                       const sgd_operand *operands);
    sgd_status (*scale)(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                        const sgd_operand *operands);
    sgd_status (*addcmul)(void *context, const sgd_arithmetic *arithmetic, double value, double scalar, size_t count,
                          const sgd_operand *operands);

    /* Copies elements of `size` bytes (2 to 16) between layouts: out[index * out_strides] = in[index * in_strides] for every
     * index below shape[0 .. ndim); strides count elements, may be 0 or negative in `in`.  NULL: contiguous tensors only. */
    sgd_status (*copy_strided)(void *context, size_t size, int32_t ndim, const int64_t *shape, void *out,
                               const int64_t *out_strides, const void *in, const int64_t *in_strides);

    /* Whole steps, prepared once; all three or none.
     *
     * prepare: makes a plan of lists, all of one optimizer step, in which no two tensors share memory.  Arithmetic, lists and
     * the array of tensors are borrowed for the call; the memory of params, gradients and buffers stays where it is for as long
     * as the plan is run.  *plan comes in as NULL or as an earlier plan of this context, which is given up: its memory may be
     * used again, and should be, since a training loop has new gradients, hence a new plan, at every step.  On an error nothing
     * has been computed, and *plan, NULL or not, is good for `prepare` and `discard` only.
     * run: one step of all lists, hypers[i] being that of lists[i].  Values may change from run to run, not so whether momentum
     * is 0 and whether there is a grad_scale; `first` holds at every run.  An answer other than SGD_OK is a step that failed in
     * the middle.  A plan is run by one thread at a time, different ones at once.
     * discard: frees a plan; takes NULL. */
    sgd_status (*prepare)(void *context, const sgd_arithmetic *arithmetic, size_t list_count, const sgd_list *lists, void **plan);
    sgd_status (*run)(void *context, void *plan, const sgd_hyper *const *hypers);
    void (*discard)(void *context, void *plan);

    /* Operations on one item's strided tensors.  Both NULL: the library brings them into order, whole, by copy_strided; piece
     * by piece takes a backend less memory and half of the way. */
    sgd_status (*run_strided)(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper,
                              const sgd_strided *strided);
    size_t (*strided_scratch)(void *context, const sgd_arithmetic *arithmetic); /* bytes on the device, for any tensor */
} sgd_backend;

/* ---- the built-in CPU backend --------------------------------------------------------------------------------------- */

typedef enum sgd_isa {
#define ISA(id, name) SGD_ISA_##id,
#include "cpu/isa.def"
#undef ISA
    SGD_ISA_COUNT
} sgd_isa;

SGD_API const char *sgd_isa_name(sgd_isa isa);
SGD_API bool sgd_isa_parse(const char *name, sgd_isa *out);

/* Whether this processor and its operating system run the instruction set. */
SGD_API bool sgd_isa_available(sgd_isa isa);

/* The widest available instruction set, capped by the environment variable SGD_ISA (a name of cpu/isa.def) if that is set. */
SGD_API sgd_isa sgd_isa_best(void);

/* The CPU backend for one instruction set: a constant, never freed.  NULL where the machine lacks it.  All of them give the
 * same bits in the default floating-point environment, but for NaN payloads that the contract leaves open. */
SGD_API const sgd_backend *sgd_backend_cpu(sgd_isa isa);

#ifdef __cplusplus
}
#endif
#endif
