/* items.c - params, gradients and momentum buffers of a step, as the library takes them. */
#include <stdlib.h>

#include "engine.h"

/* A new momentum buffer, allocated by the host as PyTorch would have laid it out. */
static PyObject *allocate_buffer(const call *call, size_t index)
{
    const sgd_item *item = &call->room->items[index];
    int64_t *strides = malloc((size_t)item->grad->ndim * sizeof *strides + 1);
    if (!strides)
        return PyErr_NoMemory();
    sgd_error error;
    PyObject *buffer = NULL;
    if (sgd_buffer_strides(&call->options, call->config.backend, item->param, item->grad, strides, &error)) {
        core_raise(&error);
    } else {
        PyObject *shape = core_tuple(item->grad->shape, item->grad->ndim), *places = core_tuple(strides, item->grad->ndim);
        if (shape && places)
            buffer = PyObject_CallFunctionObjArgs(call->allocate, call->room->objects[index].grad, shape, places, NULL);
        Py_XDECREF(places);
        Py_XDECREF(shape);
    }
    free(strides);
    return buffer;
}

/* The momentum buffer of an item: the one that there is, or a new one. */
static bool import_buffer(call *call, size_t index, DLTensor *place)
{
    sgd_item *item = &call->room->items[index];
    objects *objects = &call->room->objects[index];
    item->has_buffer = objects->buffer;
    if (!objects->buffer) {
        objects->buffer = allocate_buffer(call, index);
        objects->made = true;
    }
    item->buffer = place;
    return objects->buffer && core_import(&call->context, objects->buffer, true, place);
}

/* An item whose gradient is sparse; its buffer is sparse too, or will be, or is a dense one from earlier. */
static bool import_coo_item(call *call, size_t index, DLTensor *place)
{
    sgd_item *item = &call->room->items[index];
    const objects *objects = &call->room->objects[index];
    if (!call->coo)
        call->coo = calloc(2 * call->count, sizeof *call->coo);
    if (!call->coo)
        return PyErr_NoMemory();
    item->grad = NULL;
    item->sparse_grad = &call->coo[2 * index];
    if (!core_import_coo(&call->context, objects->grad, item->sparse_grad))
        return false;
    if (!call->has_momentum)
        return true;
    item->has_buffer = objects->buffer;
    if (item->has_buffer && !core_is_coo(objects->buffer))
        return import_buffer(call, index, place);
    item->sparse_buffer = &call->coo[2 * index + 1];
    return !item->has_buffer || core_import_coo(&call->context, objects->buffer, item->sparse_buffer);
}

/* Imports a gradient, or finds that it is sparse.  What was dense last time is taken for dense: PyTorch says no where it is
 * not, though slowly. */
static bool import_dense_grad(call *call, objects *objects, DLTensor *place, bool *is_coo)
{
    bool takes_coo = call->adopt != Py_None;
    *is_coo = takes_coo && !objects->dense && core_is_coo(objects->grad);
    if (*is_coo)
        return true;
    objects->dense = core_import(&call->context, objects->grad, false, place);
    if (objects->dense || !takes_coo)
        return objects->dense;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    *is_coo = core_is_coo(objects->grad);
    if (!*is_coo) {
        PyErr_Restore(type, value, traceback);
        return false;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return true;
}

static bool import_item(call *call, size_t index)
{
    DLTensor *places = call->room->descriptors + 3 * index;
    objects *objects = &call->room->objects[index];
    bool is_coo;
    call->room->items[index] = (sgd_item){.param = &places[0], .grad = &places[1]};
    if (!core_import(&call->context, objects->param, true, &places[0]) ||
        !import_dense_grad(call, objects, &places[1], &is_coo))
        return false;
    if (is_coo)
        return import_coo_item(call, index, &places[2]);
    return !call->has_momentum || import_buffer(call, index, &places[2]);
}

bool call_import_items(call *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (!import_item(call, i))
            return false;
    return true;
}
