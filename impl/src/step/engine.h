/* engine.h - a step of param groups, in two halves: everything that can fail is looked at, then the work is done.
 *
 * sgd_step (functional.h) is the two halves in a row over one group; an optimizer looks at all its groups before it steps the
 * first.  What the first half finds is kept in the workspace: where the next step has the same tensors but for where they lie,
 * in groups that lead the same way, comparing them takes its place (keep.c).
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

/* Whether two checked configs are the same. */
bool config_same(const sgd_config *x, const sgd_config *y);

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
    DLDevice device;
    DLDataType type;
} tensor_view;

/* What is left of a descriptor for the next step to compare with, by content. */
typedef struct kept_tensor {
    void *data; /* byte_offset added */
    DLDevice device; /* from here to `type` as in a DLTensor */
    int32_t ndim;    /* negative: there was none */
    DLDataType type;
    const int64_t *shape, *strides; /* the workspace's */
} kept_tensor;

/* Checks a descriptor for the backend's device; `what` and `index` name the tensor in the message ("parameter 3"). */
sgd_status tensor_view_check(const DLTensor *tensor, const sgd_backend *backend, const char *what, size_t index,
                             tensor_view *out, sgd_error *error);

bool tensor_is_aligned(const void *data, sgd_dtype dtype);
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

/* How an item is stepped: by the backend as it is, brought into order first, or operation by operation. */
typedef enum step_way { WAY_NONE, WAY_DIRECT, WAY_GATHERED, WAY_BY_OP, WAY_SPARSE } step_way;

/* An item, checked. */
typedef struct step_item {
    tensor_view grad, param, buffer; /* buffer.data NULL: momentum is 0, or it is sparse */
    step_way way;
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
    size_t direct, by_op, others; /* how many items go which way */
    unsigned dtypes;              /* a bit each of those that step */
    size_t first_list, list_count; /* its direct items, in the workspace */
} step_group;

/* Looks at everything; `prepared` has room for `count` items.  Nothing is changed, nothing allocated. */
sgd_status step_prepare(const sgd_config *config, const sgd_options *options, sgd_item *items, size_t count,
                        const sgd_scaling *scaling, step_item *prepared, step_group *out, sgd_error *error);

/* What of a group there is without its items. */
sgd_status step_group_begin(const sgd_config *config, const sgd_options *options, const sgd_scaling *scaling, step_group *out,
                            sgd_error *error);

/* Which steps leave something in p.grad: see sgd_step_tensor.write_grad. */
bool step_writes_grad(const step_group *group);

/* alpha of add_ must fit the dtype. */
sgd_status step_check_alpha(sgd_dtype dtype, double alpha, sgd_error *error);

/* The alphas that an eager step of a dtype would pass to add; `first`: it makes the buffer. */
sgd_status step_check_alphas(const sgd_hyper *hyper, sgd_dtype dtype, bool first, sgd_error *error);

/* Whether the backend computes a cell; with PyTorch's words where PyTorch has none either. */
sgd_status step_check_claim(const sgd_config *config, sgd_path path, sgd_dtype dtype, sgd_error *error);

/* Whether, among the group's items of a dtype (SGD_DTYPE_COUNT: of any) with a gradient, some have a buffer and some not. */
bool step_buffers_mixed(const step_group *group, sgd_dtype dtype);

/* Makes room for a group's step in the workspace; it keeps what it has grown to, but for what sparse gradients take: that goes
 * with step_release, which follows the last group's step, or the first error. */
sgd_status step_reserve(step_group *group, sgd_workspace *workspace, sgd_error *error);

/* Whether a step is worth a plan: the next one might be the same, and no tensor is in it twice, so that all may go at once. */
typedef enum step_kind { STEP_ONCE, STEP_AGAIN_GRADS, STEP_AGAIN } step_kind;

/* Lists the tensors of the groups that a step is made of; but for STEP_ONCE with a plan of the backend's, and kept for the next
 * step: STEP_AGAIN_GRADS where only gradients will have to be compared. */
sgd_status steps_plan(step_group *groups, size_t count, step_kind kind, sgd_workspace *workspace, sgd_error *error);

/* The same for a held step whose tensors have moved. */
sgd_status steps_plan_moved(step_group *groups, size_t count, sgd_workspace *workspace, sgd_error *error);

sgd_step_tensor step_tensor_of(const step_item *item);

/* Does the work; fails only where the backend does.  `done` (NULL: nobody asks) groups were stepped. */
sgd_status steps_run(step_group *groups, size_t count, sgd_workspace *workspace, size_t *done, sgd_error *error);

/* The items that are in no list. */
sgd_status step_run_others(const step_group *group, sgd_workspace *workspace);

/* What the backend is told of a group, and the path of its items of a dtype. */
sgd_arithmetic step_arithmetic(const step_group *group);
sgd_path step_list_path(const step_group *group, sgd_dtype dtype);

/* ---- keep.c: the next step ------------------------------------------------------------------------------------------- */

/* What a planned step leaves in the workspace: views with shapes and strides that outlive the call, and what is to be compared
 * of each item: for an optimizer, which knows its own params and buffers, the gradient; for sgd_step all three tensors.
 * `keep_reserve` makes the room.  Whether the workspace holds a step is then in `holds`. */
sgd_status keep_reserve(const step_group *groups, size_t count, step_kind kind, sgd_workspace *workspace, sgd_error *error);
void keep_step(step_group *groups, size_t count, step_kind kind, sgd_workspace *workspace);

/* Whether options lead the same way through a group as those for which it was prepared, and nothing is wrong with them; takes
 * over their values. */
bool step_group_renew(step_group *group, const sgd_options *options, const sgd_scaling *scaling);

/* Whether a gradient (NULL: none) or all tensors of items are those that were kept, but for where they lie; that is taken over,
 * and `moved` says if anything has. */
bool keep_same_grad(kept_tensor *kept, const DLTensor *grad, step_item *item, bool *moved);
bool keep_same_items(sgd_workspace *workspace, const sgd_item *items, size_t count, bool *moved);

/* ---- work space ------------------------------------------------------------------------------------------------------ */

struct sgd_workspace {
    /* host memory */
    step_item *items; /* of sgd_step, with `group` and `config` */
    size_t item_room;
    step_group group;
    sgd_config config;
    struct by_op_tensor *walks; /* those of one list */
    sgd_operand *operands;
    size_t by_op_room;
    sgd_step_tensor *tensors; /* those of all lists of the step */
    size_t tensor_room;
    sgd_list *lists;
    const sgd_hyper **hypers;
    size_t list_count, list_room;
    kept_tensor *kept; /* the gradients of the step's items, or a gradient, param and buffer each */
    size_t kept_room;
    int64_t *dims; /* their shapes and strides */
    size_t dim_room;
    bool holds; /* the step that was prepared last is there for the next one */
    /* of the backend's */
    const sgd_backend *backend;
    void *scratch;
    size_t scratch_size;
    void *strided; /* the backend's own scratch for strided tensors */
    size_t strided_size;
    const sgd_backend *plan_backend;
    void *plan;
    bool planned;        /* the lists are in the plan */
    sparse_step *sparse; /* those of the present step */
};

/* Gives the array that *array points to room for at least `count` elements, not keeping those that are there. */
#define MAKE_ROOM(array, count, room) make_room((void *)&(array), (count), sizeof *(array), &(room))
bool make_room(void *array, size_t count, size_t size, size_t *room);

void workspace_clear(sgd_workspace *workspace);
void step_release(sgd_workspace *workspace);

/* ---- by_op.c --------------------------------------------------------------------------------------------------------- */

/* A tensor on its way through the operations. */
typedef struct by_op_tensor {
    const step_item *item;
    sgd_role grad_role; /* where its gradient is at the moment: its own memory, the scratch, its buffer ... */
    void *grad;
    int64_t grad_strides[LAYOUT_DIMS]; /* ... and how it lies there; not kept for flat items */
    char *scratch;
} by_op_tensor;

struct strided_call; /* strided.h */

/* One eager step over a list, operation by operation (torch/optim/sgd.py), whatever the layouts; `scratch` has by_op_scratch
 * bytes for each item, one after the other; `call` is for backends that take strided tensors. */
sgd_status by_op_step(const step_group *group, const sgd_arithmetic *arithmetic, size_t count, by_op_tensor *walks,
                      sgd_operand *operands, const struct strided_call *call, void *scratch);
size_t by_op_scratch(const step_group *group, const step_item *item);

#endif
