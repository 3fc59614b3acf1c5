/* oracle.h - executes the rules of a rulebook, one rounding at a time, plainly and slowly.
 *
 * It shares no code with kernels/ and none with impl/: it reads rules.def, converts 16-bit formats in its own way, and
 * knows PyTorch's segments and thread chunks from the WIDTH table.  Used by conformance only.
 *
 * Thread-safety: an oracle is constant after creation; any number of threads may step tensors of their own with it.
 */
#ifndef SGD_ORACLE_H
#define SGD_ORACLE_H

#include "contract.h"

typedef struct sgd_oracle sgd_oracle;

/* Compiles every rule of `book`, which must outlive the oracle.  Returns NULL and writes a one-line reason (a rule that does
 * not parse, or no memory) to `message` where it is not NULL. */
sgd_oracle *sgd_oracle_create(const sgd_rulebook *book, char *message, size_t message_size);
void sgd_oracle_destroy(sgd_oracle *oracle);

/* One param group's options and the circumstances of PyTorch's run. */
typedef struct sgd_oracle_options {
    sgd_contract contract;
    sgd_path path;
    sgd_defects defects;
    uint32_t torch_threads; /* torch.get_num_threads() of the run; at least 1 */
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} sgd_oracle_options;

/* Why an element of a momentum buffer is undefined; it spreads to whatever reads the element in the next step. */
typedef enum sgd_oracle_undefined {
    SGD_UNDEFINED_CHANCE = 1,  /* PyTorch reads beyond the buffer or races with another thread */
    SGD_UNDEFINED_OPEN_NAN = 2 /* PyTorch repeats it, but it comes from the bits of a NaN that the contract leaves open */
} sgd_oracle_undefined;

/* One contiguous tensor; all memory is the caller's.  `buffer` and `undefined` may be NULL while momentum is 0. */
typedef struct sgd_oracle_tensor {
    sgd_dtype dtype;
    size_t numel;
    void *param;        /* numel elements, updated */
    void *grad;         /* numel elements, written only where PyTorch writes p.grad; NULL: p.grad is None */
    void *buffer;       /* numel elements, updated when momentum != 0 */
    bool has_buffer;    /* state[p]["momentum_buffer"] exists; set by the step that makes it */
    uint8_t *undefined; /* numel sets of sgd_oracle_undefined, zeroed by the caller before the first step: buffer elements
                           that nobody can foretell (defect pytorch#191763); may be NULL when the caller does not ask */
} sgd_oracle_tensor;

/* One step of one param group, as torch/optim/sgd.py would take it.  False where PyTorch raises instead (fused with buffers
 * for some tensors only; the tensors are then unchanged), where memory ran out, or where a changed book's rules leave a value
 * unrounded that goes to memory. */
bool sgd_oracle_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_oracle_tensor *tensors, size_t count);

/* The segment of element `index` of a tensor, as the WIDTH table has it; for messages. */
sgd_segment sgd_oracle_segment(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, size_t numel,
                               size_t index);

#endif
