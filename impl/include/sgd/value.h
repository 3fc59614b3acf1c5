/* value.h - what a param group and the state of a parameter consist of: small typed values under names.
 *
 * PyTorch keeps both in Python dicts, into which a scheduler or a user may put anything ("initial_lr").  Here they are an
 * sgd_dict: ordered, string keys, and values that know whether they were an int or a float, so that what comes out is what
 * went in.
 *
 * Thread-safety: a dict is one thread's at a time; values that share an object are safe where its type's callbacks are.
 */
#ifndef SGD_VALUE_H
#define SGD_VALUE_H

#include <dlpack/dlpack.h>

#include "options.h"
#include "sparse.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgd_value_kind {
    SGD_VALUE_NONE,
    SGD_VALUE_BOOL,
    SGD_VALUE_INT,
    SGD_VALUE_DOUBLE,
    SGD_VALUE_STRING,
    SGD_VALUE_STRINGS, /* a list of them: "param_names" */
    SGD_VALUE_TENSOR,  /* a dense tensor: lr as a tensor, a momentum buffer */
    SGD_VALUE_SPARSE,  /* a COO tensor: the momentum buffer that follows from sparse gradients */
    SGD_VALUE_OBJECT   /* anything else of the host's */
} sgd_value_kind;

struct sgd_value;

/* How the library treats an object of the host's.  The struct outlives every value that names it; its functions must not call
 * back into an optimizer. */
typedef struct sgd_object_type {
    size_t struct_size;
    void (*retain)(void *object);  /* one more value names the object */
    void (*release)(void *object); /* one less; never fails */
    /* copy.deepcopy(object), which load_state_dict makes of a group's values.  NULL: the object itself. */
    sgd_status (*copy)(void *object, struct sgd_value *out, sgd_error *error);
    /* What load_state_dict makes of a state value: cast to the param's dtype if that is floating, and to its device
     * (Optimizer._process_value_according_to_param_policy).  NULL: the library casts tensors itself, and leaves the rest. */
    sgd_status (*convert)(void *object, const DLTensor *param, struct sgd_value *out, sgd_error *error);
    /* str(object), at most `size` bytes with the final 0; returns its length.  NULL: "<object>". */
    size_t (*text)(void *object, char *out, size_t size);
} sgd_object_type;

/* A list of strings. */
typedef struct sgd_strings {
    const char *const *items;
    size_t count;
} sgd_strings;

/* Handing a value to the library: strings, descriptors, shapes and strides are copied; a tensor's memory is borrowed, kept
 * alive by `object`, which is retained for as long as the value is kept.  Getting one back: everything in it is borrowed,
 * valid until the key is set, removed or loaded.  `copy` and `convert` hand over a reference of their own. */
typedef struct sgd_value {
    sgd_value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *string; /* UTF-8 */
        sgd_strings strings;
        sgd_tensor_option tensor; /* descriptor and requires_grad */
        const sgd_sparse *sparse;
    };
    void *object;                /* OBJECT: the object; TENSOR and SPARSE: who owns the memory, or NULL */
    const sgd_object_type *type; /* of the object */
} sgd_value;

/* A tensor of the library's own, zeroed, in host memory, like `like` in dtype, shape and strides (NULL: contiguous; else
 * they must leave no element without a place of its own).  The caller owns one reference: value.type->release(value.object).
 * Errors: ERROR_ARGUMENT, ERROR_DTYPE, ERROR_SHAPE, ERROR_LAYOUT, ERROR_MEMORY. */
SGD_API sgd_status sgd_tensor_create(const DLTensor *like, sgd_value *out, sgd_error *error);

/* The same for a COO tensor, over two TENSOR values that it keeps: indices (int64, sparse_dim x nnz) and values (nnz x ...).
 * What they hold is looked at by the step that uses it.  Errors: ERROR_ARGUMENT, ERROR_MEMORY. */
SGD_API sgd_status sgd_sparse_create(const sgd_value *indices, const sgd_value *values, int32_t ndim, const int64_t *shape,
                                     bool coalesced, sgd_value *out, sgd_error *error);

typedef struct sgd_dict sgd_dict;

SGD_API sgd_status sgd_dict_create(sgd_dict **out, sgd_error *error);
SGD_API void sgd_dict_destroy(sgd_dict *dict); /* takes NULL; only for dicts made by sgd_dict_create */

SGD_API size_t sgd_dict_count(const sgd_dict *dict);
SGD_API const char *sgd_dict_key(const sgd_dict *dict, size_t index); /* in order of insertion; NULL past the end */

/* Whether there is one; `out` may be NULL. */
SGD_API bool sgd_dict_get(const sgd_dict *dict, const char *key, sgd_value *out);

/* Adds the key or replaces its value in place.  Errors: ERROR_ARGUMENT, ERROR_MEMORY; the old value then stays. */
SGD_API sgd_status sgd_dict_set(sgd_dict *dict, const char *key, const sgd_value *value, sgd_error *error);
SGD_API bool sgd_dict_remove(sgd_dict *dict, const char *key); /* whether there was one */

/* The nine options of SGD as a dict, in PyTorch's order, and back.  A dict may hold ints and bools for numbers, as Python
 * allows.  Errors: ERROR_KEY with the key in quotes, as KeyError prints it; ERROR_TYPE for a value of no fitting kind. */
SGD_API sgd_status sgd_options_to_dict(const sgd_options *options, sgd_dict *out, sgd_error *error);
SGD_API sgd_status sgd_options_from_dict(const sgd_dict *dict, sgd_options *out, sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
