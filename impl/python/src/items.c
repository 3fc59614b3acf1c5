/* items.c - params, gradients and momentum buffers of a step, as the library takes them. */
#include <stdlib.h>

#include "engine.h"

/* A new momentum buffer, allocated by the host as PyTorch would have laid it out. */
static PyObject *allocate_buffer(const call *call, size_t index)
{
    const sgd_item *item = &call->items[index];
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
            buffer = PyObject_CallFunctionObjArgs(call->allocate, PyTuple_GET_ITEM(call->grads, (Py_ssize_t)index), shape,
                                                  places, NULL);
        Py_XDECREF(places);
        Py_XDECREF(shape);
    }
    free(strides);
    return buffer;
}

/* The momentum buffer of an item: the one that there is, or a new one. */
static bool import_buffer(call *call, size_t index, DLTensor *room)
{
    sgd_item *item = &call->items[index];
    PyObject *buffer = PyList_GET_ITEM(call->buffers, (Py_ssize_t)index);
    item->has_buffer = buffer != Py_None;
    if (item->has_buffer) {
        Py_INCREF(buffer);
    } else {
        buffer = allocate_buffer(call, index);
        if (!buffer)
            return false;
        Py_INCREF(buffer);
        if (PyList_SetItem(call->made, (Py_ssize_t)index, buffer)) {
            Py_DECREF(buffer);
            return false;
        }
    }
    bool fine = PyList_Append(call->context.owners, buffer) == 0 && core_import(&call->context, buffer, true, room);
    item->buffer = room;
    Py_DECREF(buffer);
    return fine;
}

/* An item whose gradient is sparse; its buffer is sparse too, or will be, or is a dense one from earlier. */
static bool import_coo_item(call *call, size_t index, DLTensor *room)
{
    sgd_item *item = &call->items[index];
    if (!call->coo)
        call->coo = calloc(2 * call->count, sizeof *call->coo);
    if (!call->coo)
        return PyErr_NoMemory();
    item->grad = NULL;
    item->sparse_grad = &call->coo[2 * index];
    if (!core_import_coo(&call->context, PyTuple_GET_ITEM(call->grads, (Py_ssize_t)index), item->sparse_grad))
        return false;
    if (!PyList_GET_SIZE(call->buffers))
        return true;
    PyObject *buffer = PyList_GET_ITEM(call->buffers, (Py_ssize_t)index);
    item->has_buffer = buffer != Py_None;
    if (item->has_buffer && !core_is_coo(buffer))
        return import_buffer(call, index, room);
    item->sparse_buffer = &call->coo[2 * index + 1];
    return !item->has_buffer || core_import_coo(&call->context, buffer, item->sparse_buffer);
}

static bool import_item(call *call, size_t index)
{
    DLTensor *room = call->descriptors + 3 * index;
    PyObject *param = PyTuple_GET_ITEM(call->params, (Py_ssize_t)index), *grad = PyTuple_GET_ITEM(call->grads, (Py_ssize_t)index);
    call->items[index] = (sgd_item){.param = &room[0], .grad = &room[1]};
    if (!core_import(&call->context, param, true, &room[0]))
        return false;
    if (call->adopt != Py_None && core_is_coo(grad))
        return import_coo_item(call, index, &room[2]);
    return core_import(&call->context, grad, false, &room[1]) &&
           (!PyList_GET_SIZE(call->buffers) || import_buffer(call, index, &room[2]));
}

bool call_import_items(call *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (!import_item(call, i))
            return false;
    return true;
}
