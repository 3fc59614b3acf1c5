/* dict.h - values and dicts as the library's own files see them. */
#ifndef SGD_DICT_H
#define SGD_DICT_H

#include <sgd/value.h>

#include "engine.h"

/* A value with memory of its own for strings and descriptors. */
typedef struct stored {
    sgd_value value;
    void *block;
} stored;

sgd_status stored_copy(const sgd_value *value, stored *out, sgd_error *error);
void stored_clear(stored *stored);

typedef struct dict_entry {
    char *key;
    stored stored;
} dict_entry;

struct sgd_dict {
    dict_entry *entries;
    size_t count, capacity;
    bool *holds; /* of state[p]: its optimizer's workspace.holds, which a change ends; NULL: nobody's */
};

void dict_clear(sgd_dict *dict); /* its entries; it may be used again */
sgd_status dict_copy(const sgd_dict *from, sgd_dict *out, sgd_error *error);

/* The value of a key, in place; NULL: none.  `hint`: where it probably is. */
stored *dict_find(const sgd_dict *dict, const char *key, size_t hint);

/* Room for one more entry, so that dict_append can't fail. */
bool dict_reserve(sgd_dict *dict);
void dict_append(sgd_dict *dict, char *key, stored value); /* takes over both */

char *text_copy(const char *text); /* strdup */
sgd_status no_memory(sgd_error *error);

/* ---- tensors that the library owns (owned.c) ------------------------------------------------------------------------- */

/* A zeroed one on a backend's device, or in host memory where `backend` is NULL.  Strides must be dense. */
sgd_status owned_tensor_create(const DLTensor *like, const int64_t *strides, const sgd_backend *backend, sgd_value *out,
                               sgd_error *error);
bool owned_is(const sgd_value *value);              /* whether the library made the tensor */
sgd_sparse *owned_sparse(const sgd_value *value);   /* of a SPARSE value that the library made, to write; else NULL */
/* A COO tensor for a step to replace: zeros, or for now the memory of another. */
sgd_status owned_sparse_create(const sgd_sparse *borrowed, sgd_value *out, sgd_error *error);
size_t tensor_element_size(DLDataType type);        /* 0: none that the library knows */
sgd_status tensor_numel(const DLTensor *tensor, size_t *out, sgd_error *error); /* a sound shape, its elements */

/* tensor.to(dtype and device of `param`) as a new tensor of the library's (cast.c), dense or COO; the layout is kept where it
 * is dense.  Beside a param that is not floating the dtype stays.  `param` NULL: a copy. */
sgd_status tensor_cast(const sgd_value *value, const DLTensor *param, sgd_value *out, sgd_error *error);
bool tensor_needs_cast(const DLTensor *tensor, const DLTensor *param);

/* ---- text (text.c) --------------------------------------------------------------------------------------------------- */

#define FLOAT_TEXT_SIZE 32
const char *python_text(double value, char text[FLOAT_TEXT_SIZE]); /* options.c: repr of a float */

#endif
