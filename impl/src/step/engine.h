/* engine.h - one step of one param group, in two halves: everything that can fail is looked at, then the work is done.
 *
 * sgd_step (functional.h) is the two halves in a row; an optimizer looks at all its groups before it steps the first.
 */
#ifndef SGD_ENGINE_H
#define SGD_ENGINE_H

#include <sgd/functional.h>

#include "layout.h"

typedef struct sparse_step sparse_step; /* sparse.h */

#define DL_BOOL 6 /* DLPack's kDLBool, which version 0.6 of the header lacks */

/* Fills `error` where the caller gave one, and returns `status`. */
sgd_status sgd_error_set(sgd_error *error, sgd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks a config for its own consistency and chooses the backend where it names none. */
sgd_status config_check(sgd_config *config, sgd_error *error);

/* ---- tensors --------------------------------------------------------------------------------------------------------- */

/* A DLPack descriptor, checked. */
typedef struct tensor_view {
    sgd_dtype dtype;
    size_t numel;
    void *data; /* byte_offset added */
    int32_t ndim;
    const int64_t *shape;   /* the descriptor's */
    const int64_t *strides; /* the descriptor's; NULL: contiguous */
    bool contiguous;
} tensor_view;

/* Checks a descriptor for the backend's device; `what` and `index` name the tensor in the message ("parameter 3"). */
sgd_status tensor_view_check(const DLTensor *tensor, const sgd_backend *backend, const char *what, size_t index,
                             tensor_view *out, sgd_error *error);

bool tensor_view_same_shape(const tensor_view *x, const tensor_view *y);

/* False where the library has no such dtype. */
bool tensor_dtype(DLDataType type, sgd_dtype *out);

/* Its strides, written to `room` where the descriptor leaves them out. */
const int64_t *tensor_view_strides(const tensor_view *view, int64_t room[LAYOUT_DIMS]);

/* ---- hyper-parameters ------------------------------------------------------------------------------------------------ */

/* Reads the value of a tensor option: its one element in double. */
sgd_status number_read(const sgd_tensor_option *option, double *out, sgd_error *error);

/* The dtype in which addcmul_ computes where parameter and option have no dimensions: the wider one of the two. */
sgd_dtype number_promote(sgd_dtype dtype, DLDataType option);

/* One element from one dtype to another of as many parts, rounded to nearest. */
void number_convert(sgd_dtype from, const void *in, sgd_dtype to, void *out);

/* The same on the way to the wider dtype and back, with PyTorch's NaNs: its conversion of a single f16 to float makes one of
 * all, and without F16C one that comes from double loses its payload. */
void number_promote_element(sgd_dtype from, const void *in, sgd_dtype to, void *out);
void number_demote_element(sgd_contract contract, sgd_dtype from, const void *in, sgd_dtype to, void *out);

/* Options with their tensors read, as the path takes them. */
sgd_status options_resolve(const sgd_options *options, sgd_path path, sgd_hyper *out, sgd_error *error);

/* The checks of SGD.__init__; it looks at the params between the two halves. */
sgd_status options_check_values(const sgd_options *options, sgd_error *error);
sgd_status options_check_path(const sgd_options *options, sgd_error *error);

/* ---- the two halves -------------------------------------------------------------------------------------------------- */

/* An item, checked. */
typedef struct step_item {
    tensor_view param, grad, buffer; /* buffer.data NULL: momentum is 0, or it is sparse */
    sgd_item *from;
    sparse_step *sparse; /* made by step_reserve where the gradient is sparse, for step_run */
    bool active;     /* it has a gradient */
    bool first;      /* no buffer yet */
    bool flat;       /* param, gradient and buffer fill their memory in one common order */
    bool write_grad; /* PyTorch writes p.grad */
    bool promotes;   /* without dimensions, beside an option of a wider dtype: addcmul_ and mul_ compute in that */
} step_item;

/* What an array of an item's takes in the scratch: its elements, up to a multiple of a cache line. */
size_t step_item_bytes(const step_item *item);

/* A param group, checked and ready to run. */
typedef struct step_group {
    const sgd_config *config;
    size_t number; /* of the group, for messages */
    sgd_path path;
    sgd_hyper hyper;
    /* Dtypes of tensors that promote a parameter without dimensions: where hyper says addcmul, and momentum's in mul_. */
    DLDataType lr_type, weight_decay_type, momentum_type;
    bool momentum_is_tensor; /* foreach then multiplies by it unrounded, as the for-loop does */
    bool skip;               /* found_inf */
    float grad_scale;        /* hyper.grad_scale points here once the group runs */
    bool has_grad_scale;
    step_item *items;
    size_t count;
} step_group;

/* Looks at everything; `prepared` has room for `count` items.  Nothing is changed, nothing allocated. */
sgd_status step_prepare(const sgd_config *config, const sgd_options *options, sgd_item *items, size_t count,
                        const sgd_scaling *scaling, step_item *prepared, step_group *out, sgd_error *error);

/* alpha of add_ must fit the dtype. */
sgd_status step_check_alpha(sgd_dtype dtype, double alpha, sgd_error *error);

/* Whether the backend computes a cell; with PyTorch's words where PyTorch has none either. */
sgd_status step_check_claim(const sgd_config *config, sgd_path path, sgd_dtype dtype, sgd_error *error);

/* Whether, among the group's items of a dtype (SGD_DTYPE_COUNT: of any) with a gradient, some have a buffer and some not. */
bool step_buffers_mixed(const step_group *group, sgd_dtype dtype);

/* Makes room for a group's step in the workspace; it keeps what it has grown to, but for what sparse gradients take: that goes
 * with step_release, which follows the last group's step, or the first error. */
sgd_status step_reserve(const step_group *group, sgd_workspace *workspace, sgd_error *error);

/* Does the work; fails only where the backend does.  Sets has_buffer in the items. */
sgd_status step_run(step_group *group, sgd_workspace *workspace, sgd_error *error);

/* ---- work space ------------------------------------------------------------------------------------------------------ */

struct sgd_workspace {
    /* host memory, one entry per item of the largest group */
    step_item *items;
    sgd_step_tensor *tensors; /* those of one list */
    struct by_op_tensor *walks;
    sgd_operand *operands;
    size_t capacity;
    size_t item_capacity;
    /* device memory */
    const sgd_backend *backend;
    void *scratch;
    size_t scratch_size;
    sparse_step *sparse; /* those of the present step */
};

void workspace_clear(sgd_workspace *workspace);
void step_release(sgd_workspace *workspace);

/* ---- by_op.c --------------------------------------------------------------------------------------------------------- */

/* A tensor on its way through the operations. */
typedef struct by_op_tensor {
    const step_item *item;
    void *grad; /* where its gradient is at the moment: its own memory, the scratch, its buffer ... */
    int64_t grad_strides[LAYOUT_DIMS]; /* ... and how it lies there; not kept for flat items */
    char *scratch;
} by_op_tensor;

/* One eager step over a list, operation by operation (torch/optim/sgd.py), whatever the layouts; `scratch` has by_op_scratch
 * bytes for each item, one after the other. */
sgd_status by_op_step(const step_group *group, const sgd_arithmetic *arithmetic, size_t count, by_op_tensor *walks,
                      sgd_operand *operands, void *scratch);
size_t by_op_scratch(const step_item *item);

#endif
