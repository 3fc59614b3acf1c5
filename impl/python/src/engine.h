/* engine.h - exactsgd._core.Engine and a call of its step(). */
#ifndef EXACTSGD_ENGINE_H
#define EXACTSGD_ENGINE_H

#include "core.h"

typedef struct engine {
    PyObject_HEAD
    sgd_config config;
    sgd_workspace *workspace;
    bool busy;       /* a step without the GIL is using the workspace */
    PyObject *plain; /* see import_context */
} engine;

/* What step() was called with, and the memory for it. */
typedef struct call {
    engine *engine;
    import_context context;
    PyObject *params, *grads; /* tuples of one length */
    PyObject *buffers;        /* list of that length; empty: momentum is 0 */
    PyObject *allocate, *adopt;
    PyObject *made; /* list: the buffers that this step makes, None elsewhere */
    option_tensors tensors;
    sgd_options options;
    sgd_config config;
    DLTensor grad_scale, found_inf;
    sgd_scaling scaling;
    sgd_item *items;
    DLTensor *descriptors; /* three an item */
    sgd_sparse *coo;       /* gradient and buffer of each item; NULL: no gradient is sparse */
    size_t count;
} call;

/* items.c: fills call->items from the params, gradients and buffers; false with an exception set. */
bool call_import_items(call *call);

#endif
