/* engine.h - exactsgd._core.Engine, and a call of its step() or step_group(). */
#ifndef EXACTSGD_ENGINE_H
#define EXACTSGD_ENGINE_H

#include "core.h"

/* The Python objects of an item, held while a call lasts: a step must not keep alive what its owner drops. */
typedef struct objects {
    PyObject *param, *grad;
    PyObject *buffer; /* NULL: none yet, or momentum is 0 */
    bool made;        /* the buffer is this step's */
    bool dense;       /* the gradient was last time: most likely it is again.  This outlasts the call. */
} objects;

/* What the steps of one param group use again and again: memory, and what they found out, checked before it is believed. */
typedef struct room {
    sgd_workspace *workspace;
    extents extents;
    objects *objects;
    sgd_item *items;
    DLTensor *descriptors; /* three an item */
    size_t capacity;
    bool busy; /* a call is using it */
} room;

typedef struct engine {
    PyObject_HEAD
    sgd_config config;
    room **rooms; /* by the group's number */
    size_t room_count;
    Py_ssize_t state_place; /* where in the optimizer's state the next param's entry may be: see gather.c */
    PyObject *plain;        /* see import_context */
} engine;

/* What step(), step_group() or prepare() was called with. */
typedef struct call {
    engine *engine;
    room *room;
    bool owns_room; /* the group's own was busy */
    import_context context;
    PyObject *state;   /* step_group: where momentum buffers are ... */
    PyObject *buffers; /* ... step, prepare: a list of them */
    PyObject *allocate, *adopt;
    bool has_momentum;
    bool writes_grads; /* or may */
    option_tensors tensors;
    sgd_options options;
    sgd_config config;
    DLTensor grad_scale, found_inf;
    sgd_scaling scaling;
    sgd_sparse *coo; /* gradient and buffer of each item; NULL: no gradient is sparse */
    size_t count;
} call;

/* Functions that return bool: false with an exception set. */

/* ---- gather.c: the objects of a call's items ----------------------------------------------------------------------- */

/* From sequences of one length; `buffers`, a list, may be empty. */
bool call_gather(call *call, PyObject *params, PyObject *grads);

/* From a param group and call->state: every param that has a gradient. */
bool call_gather_group(call *call, PyObject *group);

/* Puts a momentum buffer where the others of the call came from. */
bool call_put_buffer(const call *call, size_t index, PyObject *buffer);

/* ---- items.c: the same as the library takes them ------------------------------------------------------------------- */

bool call_import_items(call *call);

/* ---- call.c --------------------------------------------------------------------------------------------------------- */

/* Chooses the room and makes it ready for `count` items. */
bool call_open(call *call, size_t number);
bool call_reserve(call *call, size_t count);

/* Reads options and scaling, imports the items, and returns how many of them the library may take at once: all, or, where they
 * share memory, one after the other.  0 with an exception set. */
size_t call_prepare(call *call, PyObject *group, PyObject *grad_scale, PyObject *found_inf);

/* Steps the items, `stride` at once, and hands what came of it to the host; returns how many were stepped: all, or those before
 * one that the library does not take.  -1: an exception is set. */
Py_ssize_t call_run(call *call, size_t stride);

void call_close(call *call);
void room_destroy(room *room); /* takes NULL */

#endif
