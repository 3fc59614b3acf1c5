/* oracle.h - executes the rules of a rulebook, one rounding at a time, plainly and slowly.
 *
 * It shares no code with kernels/ and none with impl/: it reads rules.def, converts 16-bit formats in its own way, knows
 * PyTorch's segments and thread chunks from the WIDTH and GROUP tables, and has a model of its own of how PyTorch walks
 * strided tensors.  Used by conformance, and by bench to check what it times.
 *
 * Thread-safety: an oracle is constant after creation; any number of threads may step tensors of their own with it.
 */
#ifndef SGD_ORACLE_H
#define SGD_ORACLE_H

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sgd_oracle sgd_oracle;

/* Compiles every rule of `book`, which must outlive the oracle.  Returns NULL and writes a one-line reason (a rule that does
 * not parse, or no memory) to `message` where it is not NULL. */
sgd_oracle *sgd_oracle_create(const sgd_rulebook *book, char *message, size_t message_size);
void sgd_oracle_destroy(sgd_oracle *oracle);

/* One param group's options and the circumstances of PyTorch's run.  All zero but path, lr and torch_threads is a plain one. */
typedef struct sgd_oracle_options {
    sgd_contract contract;
    sgd_path path;
    sgd_defects defects;
    uint32_t torch_threads; /* torch.get_num_threads() of the run; at least 1 */
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
    bool lr_addcmul;           /* for-loop: lr is a tensor that requires grad: p.addcmul_(g, lr, value=-1)            */
    bool weight_decay_addcmul; /* for-loop: the same for weight decay: g.addcmul_(p.clone(), wd); changes p.grad      */
    bool momentum_is_tensor;   /* foreach then reads momentum as the for-loop does                                    */
    sgd_dtype lr_dtype, weight_decay_dtype, momentum_dtype; /* of these three tensors, which are 0-dim; a 0-dim param then
                                                               computes in the wider dtype */
    bool has_grad_scale;       /* fused: g = g / grad_scale, stored to p.grad                                         */
    float grad_scale;
    bool found_inf; /* fused: found_inf was exactly 1: the step is skipped.  PyTorch then makes a first buffer of
                       uninitialised memory; here there is none */
} sgd_oracle_options;

/* How a tensor lies in memory: element [i0, i1, ..] is at i0*strides[0] + i1*strides[1] + .. elements from its pointer.
 * Strides are not negative; 0 repeats an element (expanded gradients).  The memory reaches to the farthest element. */
#define SGD_ORACLE_DIMS 8
typedef struct sgd_oracle_layout {
    uint32_t ndim; /* 0: one element */
    int64_t shape[SGD_ORACLE_DIMS];
    int64_t param_strides[SGD_ORACLE_DIMS], grad_strides[SGD_ORACLE_DIMS];
    int64_t buffer_strides[SGD_ORACLE_DIMS]; /* set to PyTorch's by the step that makes the buffer */
} sgd_oracle_layout;

/* Why an element of a momentum buffer is undefined; it spreads to whatever reads the element in the next step. */
typedef enum sgd_oracle_undefined {
    SGD_UNDEFINED_CHANCE = 1,  /* PyTorch reads beyond the buffer or races with another thread */
    SGD_UNDEFINED_OPEN_NAN = 2 /* PyTorch repeats it, but it comes from the bits of a NaN that the contract leaves open */
} sgd_oracle_undefined;

/* One tensor; all memory is the caller's.  `buffer` and `undefined` may be NULL while momentum is 0.  `numel` is the number of
 * elements; without a layout param, grad and buffer are 1-dim and contiguous. */
typedef struct sgd_oracle_tensor {
    sgd_dtype dtype;
    size_t numel;
    void *param;        /* updated */
    void *grad;         /* written only where PyTorch writes p.grad; NULL: p.grad is None */
    void *buffer;       /* updated when momentum != 0; a new one fills the first numel elements, in some order */
    bool has_buffer;    /* state[p]["momentum_buffer"] exists; set by the step that makes it */
    uint8_t *undefined; /* numel sets of sgd_oracle_undefined, one for each place in the buffer's memory, zeroed by the caller
                           before the first step: buffer elements that nobody can foretell (defect pytorch#191763); may be
                           NULL when the caller does not ask */
    sgd_oracle_layout *layout; /* NULL: contiguous */
} sgd_oracle_tensor;

/* One step of one param group, as torch/optim/sgd.py would take it.  False, with all tensors unchanged, where PyTorch raises
 * instead: fused with buffers for some tensors only, complex dtypes or options of the for-loop; grad_scale or found_inf outside
 * fused; weight_decay_addcmul outside the for-loop; an in-place change of a tensor with elements in several places at once.
 * False too where fused with its defects reproduced would leave a tensor's memory, where memory ran out, or where a changed
 * book's rules leave a value unrounded that goes to memory. */
bool sgd_oracle_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_oracle_tensor *tensors, size_t count);

/* The id of the defect by which fused walks memory from each tensor's first element and knows nothing of strides, where it shows
 * for this tensor: its param, gradient and buffer do not all lie in one order without gaps.  NULL where it does not. */
const char *sgd_oracle_storage_defect(const sgd_oracle *oracle, const sgd_oracle_options *options,
                                      const sgd_oracle_tensor *tensor);

/* The segment of element `index` of a contiguous tensor, as the WIDTH table has it; for messages. */
sgd_segment sgd_oracle_segment(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, size_t numel,
                               size_t index);

/* The length of the rows that a contiguous tensor falls into, each with a body and a tail of its own: PyTorch's thread chunks.  A
 * row computes alone what it computes within its tensor.  So does a part of a row that begins a multiple of 64 elements behind
 * the row's beginning, and ends such a multiple behind it or with it; but for defects that are reproduced. */
size_t sgd_oracle_row(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, size_t numel);

#ifdef __cplusplus
}
#endif
#endif
