/* call.c - one call of an engine, from its options to what it leaves behind: sgd_step on Python objects. */
#include <stdlib.h>

#include "engine.h"

/* ---- rooms ----------------------------------------------------------------------------------------------------------- */

static room *room_create(void)
{
    sgd_error error;
    room *made = calloc(1, sizeof *made);
    if (!made || sgd_workspace_create(&made->workspace, &error)) {
        free(made);
        PyErr_NoMemory();
        return NULL;
    }
    return made;
}

void room_destroy(room *room)
{
    if (!room)
        return;
    sgd_workspace_destroy(room->workspace);
    core_extents_clear(&room->extents);
    free(room->objects);
    free(room->items);
    free(room->descriptors);
    free(room);
}

/* The room of a group, made when it first steps; NULL with an exception set. */
static room *room_of(engine *engine, size_t number)
{
    if (number >= engine->room_count) {
        room **grown = realloc(engine->rooms, (number + 1) * sizeof *grown);
        if (!grown) {
            PyErr_NoMemory();
            return NULL;
        }
        memset(grown + engine->room_count, 0, (number + 1 - engine->room_count) * sizeof *grown);
        engine->rooms = grown;
        engine->room_count = number + 1;
    }
    if (!engine->rooms[number])
        engine->rooms[number] = room_create();
    return engine->rooms[number];
}

bool call_open(call *call, size_t number)
{
    call->context = (import_context){call->engine->plain, NULL};
    call->room = room_of(call->engine, number);
    if (call->room && call->room->busy) { /* another thread's, or a step within the step */
        call->room = room_create();
        call->owns_room = true;
    }
    if (call->room)
        call->room->busy = true;
    return call->room;
}

static bool grow(void *array, size_t size, size_t from, size_t to)
{
    void *old;
    memcpy(&old, array, sizeof old);
    char *grown = realloc(old, to * size);
    if (!grown)
        return false;
    memset(grown + from * size, 0, (to - from) * size);
    memcpy(array, &grown, sizeof grown);
    return true;
}

bool call_reserve(call *call, size_t count)
{
    room *room = call->room;
    if (count <= room->capacity)
        return true;
    if (!grow(&room->objects, sizeof *room->objects, room->capacity, count) ||
        !grow(&room->items, sizeof *room->items, room->capacity, count) ||
        !grow(&room->descriptors, 3 * sizeof *room->descriptors, room->capacity, count)) {
        PyErr_NoMemory();
        return false;
    }
    room->capacity = count;
    return true;
}

void call_close(call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        objects *objects = &call->room->objects[i];
        Py_CLEAR(objects->param);
        Py_CLEAR(objects->grad);
        Py_CLEAR(objects->buffer);
    }
    for (size_t i = 0; call->coo && i < 2 * call->count; i++)
        if (call->coo[i].owned)
            sgd_sparse_destroy(&call->coo[i]);
    free(call->coo);
    Py_XDECREF(call->context.owners);
    if (call->owns_room)
        room_destroy(call->room);
    else if (call->room)
        call->room->busy = false;
}

/* ---- before the step ------------------------------------------------------------------------------------------------- */

static bool import_scaling(call *call, PyObject *grad_scale, PyObject *found_inf)
{
    if (grad_scale != Py_None) {
        call->scaling.grad_scale = &call->grad_scale;
        if (!core_import(&call->context, grad_scale, false, &call->grad_scale))
            return false;
    }
    if (found_inf != Py_None) {
        call->scaling.found_inf = &call->found_inf;
        if (!core_import(&call->context, found_inf, false, &call->found_inf))
            return false;
    }
    return true;
}

/* Gradients are written in fewer cases than this says; then it is a little slower for nothing. */
static bool may_write_grads(const call *call)
{
    sgd_path path = sgd_options_path(&call->options, call->config.backend);
    return (path == SGD_FOREACH && call->options.nesterov) || call->options.weight_decay_tensor.requires_grad ||
           call->scaling.grad_scale;
}

static bool buffers_mixed(const call *call)
{
    const sgd_item *items = call->room->items;
    for (size_t i = 1; i < call->count; i++)
        if (items[i].has_buffer != items[0].has_buffer)
            return true;
    return false;
}

static size_t stride_of_items(const call *call)
{
    sgd_path path = sgd_options_path(&call->options, call->config.backend);
    switch (core_overlap(&call->room->extents, call->room->items, call->count, call->writes_grads)) {
    case OVERLAP_NONE: return call->count ? call->count : 1;
    case OVERLAP_NO_MEMORY: PyErr_NoMemory(); return 0;
    case OVERLAP_ITEMS:
        if (!call->coo && (path == SGD_FORLOOP || (path == SGD_FUSED && !buffers_mixed(call))))
            return 1; /* sparse buffers change hands at the end, so the second of two would not see the first */
        /* fall through */
    default: PyErr_SetString(core_unsupported, "tensors that share memory"); return 0;
    }
}

/* An import's failure that is the object's own (it has no memory, it is on no device that DLPack knows) means that the
 * library cannot take it; a TypeError or ValueError of arrays is the caller's mistake. */
static void as_unsupported(const engine *engine)
{
    if (!engine->plain || !PyErr_Occurred() || PyErr_ExceptionMatches(core_unsupported) ||
        PyErr_ExceptionMatches(PyExc_KeyError) || PyErr_ExceptionMatches(PyExc_MemoryError))
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_Format(core_unsupported, "%S", value ? value : type);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

size_t call_prepare(call *call, PyObject *group, PyObject *grad_scale, PyObject *found_inf)
{
    if (!core_options(&call->context, group, &call->tensors, &call->options) ||
        !import_scaling(call, grad_scale, found_inf) || !call_import_items(call)) {
        as_unsupported(call->engine);
        return 0;
    }
    if (!call->state)
        call->writes_grads = may_write_grads(call);
    return stride_of_items(call);
}

/* ---- the step, and after it ------------------------------------------------------------------------------------------ */

/* Whether a status is the library's own: PyTorch might do what it refuses. */
static bool is_unsupported(sgd_status status) { return core_exception(status) == core_unsupported; }

/* What the library made of a sparse tensor becomes the host's. */
static bool keep_coo(const call *call, size_t index)
{
    const sgd_item *item = &call->room->items[index];
    const objects *objects = &call->room->objects[index];
    if (item->sparse_grad && item->sparse_grad->owned) {
        PyObject *made = core_adopt_coo(call->adopt, objects->grad, item->sparse_grad);
        Py_XDECREF(made);
        if (!made)
            return false;
    }
    if (!item->sparse_buffer || !item->sparse_buffer->owned)
        return true;
    PyObject *old = objects->buffer ? objects->buffer : Py_None;
    PyObject *made = core_adopt_coo(call->adopt, old, item->sparse_buffer);
    bool fine = made && (made == old || call_put_buffer(call, index, made));
    Py_XDECREF(made);
    return fine;
}

static bool keep_made(const call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        const objects *objects = &call->room->objects[i];
        if (call->coo && !keep_coo(call, i))
            return false;
        if (objects->made && call->room->items[i].has_buffer && !call_put_buffer(call, i, objects->buffer))
            return false;
    }
    return true;
}

Py_ssize_t call_run(call *call, size_t stride)
{
    sgd_error error = {0};
    sgd_status status = SGD_OK;
    size_t done = 0;
    Py_BEGIN_ALLOW_THREADS
    do {
        size_t left = call->count - done, taken = left < stride ? left : stride;
        status = sgd_step(&call->config, &call->options, call->room->items + done, taken, &call->scaling,
                          call->room->workspace, &error);
        done += status ? 0 : taken;
    } while (!status && done < call->count);
    Py_END_ALLOW_THREADS
    if (status && (done == 0 || !is_unsupported(status))) {
        core_raise(&error);
        return -1;
    }
    return keep_made(call) ? (Py_ssize_t)done : -1;
}
