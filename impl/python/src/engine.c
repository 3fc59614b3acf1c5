/* engine.c - exactsgd._core.Engine: which bits to compute, memory that steps reuse, and step(), which is sgd_step on Python
 * objects (torch/optim/sgd.py: sgd()).
 */
#include <stdlib.h>

#include "engine.h"

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

/* ---- the step ------------------------------------------------------------------------------------------------------------ */

/* Gradients are written in fewer cases than this says; then it is a little slower for nothing. */
static bool may_write_grads(const call *call, sgd_path path)
{
    return (path == SGD_FOREACH && call->options.nesterov) || call->options.weight_decay_tensor.requires_grad ||
           call->scaling.grad_scale;
}

static bool buffers_mixed(const call *call)
{
    for (size_t i = 1; i < call->count; i++)
        if (call->items[i].has_buffer != call->items[0].has_buffer)
            return true;
    return false;
}

/* How many items the library may take at once: all, or, where they share memory, one after the other; 0 where an exception
 * is set. */
static size_t stride_of_items(const call *call)
{
    sgd_path path = sgd_options_path(&call->options, call->config.backend);
    switch (core_overlap(call->items, call->count, may_write_grads(call, path))) {
    case OVERLAP_NONE: return call->count ? call->count : 1;
    case OVERLAP_NO_MEMORY: PyErr_NoMemory(); return 0;
    case OVERLAP_ITEMS:
        if (!call->coo && (path == SGD_FORLOOP || (path == SGD_FUSED && !buffers_mixed(call))))
            return 1; /* sparse buffers change hands at the end, so the second of two would not see the first */
        /* fall through */
    default: PyErr_SetString(core_unsupported, "tensors that share memory"); return 0;
    }
}

/* Whether a status is the library's own: PyTorch might do what it refuses. */
static bool is_unsupported(sgd_status status) { return core_exception(status) == core_unsupported; }

/* Steps the items, `stride` at once; returns how many were stepped: all, or those before one that the library does not take.
 * -1: an exception is set. */
static Py_ssize_t run(call *call, size_t stride)
{
    sgd_workspace *workspace = call->engine->busy ? NULL : call->engine->workspace;
    sgd_error error = {0};
    sgd_status status = SGD_OK;
    size_t done = 0;
    call->engine->busy = true;
    Py_BEGIN_ALLOW_THREADS
    do {
        size_t left = call->count - done, taken = left < stride ? left : stride;
        status = sgd_step(&call->config, &call->options, call->items + done, taken, &call->scaling, workspace, &error);
        done += status ? 0 : taken;
    } while (!status && done < call->count);
    Py_END_ALLOW_THREADS
    if (workspace)
        call->engine->busy = false;
    if (!status || (done > 0 && is_unsupported(status)))
        return (Py_ssize_t)done;
    core_raise(&error);
    return -1;
}

/* What the library made of a sparse tensor becomes the host's. */
static bool keep_coo(const call *call, size_t index)
{
    sgd_item *item = &call->items[index];
    PyObject *grad = PyTuple_GET_ITEM(call->grads, (Py_ssize_t)index);
    if (item->sparse_grad && item->sparse_grad->owned) {
        PyObject *made = core_adopt_coo(call->adopt, grad, item->sparse_grad);
        Py_XDECREF(made);
        if (!made)
            return false;
    }
    if (!item->sparse_buffer || !item->sparse_buffer->owned)
        return true;
    PyObject *made = core_adopt_coo(call->adopt, PyList_GET_ITEM(call->buffers, (Py_ssize_t)index), item->sparse_buffer);
    return made && PyList_SetItem(call->buffers, (Py_ssize_t)index, made) == 0;
}

static bool keep_made(const call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        PyObject *buffer = PyList_GET_ITEM(call->made, (Py_ssize_t)i);
        if (call->coo && !keep_coo(call, i))
            return false;
        if (buffer == Py_None || !call->items[i].has_buffer)
            continue;
        Py_INCREF(buffer);
        if (PyList_SetItem(call->buffers, (Py_ssize_t)i, buffer))
            return false;
    }
    return true;
}

static bool check_lengths(const call *call)
{
    Py_ssize_t params = PyTuple_GET_SIZE(call->params), buffers = PyList_GET_SIZE(call->buffers);
    if (PyTuple_GET_SIZE(call->grads) == params && (buffers == 0 || buffers == params))
        return true;
    PyErr_Format(PyExc_ValueError, "%zd params, %zd gradients, %zd momentum buffers", params, PyTuple_GET_SIZE(call->grads),
                 buffers);
    return false;
}

static bool reserve(call *call)
{
    call->count = (size_t)PyTuple_GET_SIZE(call->params);
    call->items = calloc(call->count + 1, sizeof *call->items);
    call->descriptors = calloc(3 * call->count + 1, sizeof *call->descriptors);
    call->context = (import_context){call->engine->plain, PyList_New(0)};
    call->made = PyList_New((Py_ssize_t)call->count);
    for (size_t i = 0; call->made && i < call->count; i++) {
        Py_INCREF(Py_None);
        PyList_SET_ITEM(call->made, (Py_ssize_t)i, Py_None);
    }
    if (!call->items || !call->descriptors)
        PyErr_NoMemory();
    return !PyErr_Occurred();
}

static void clear(call *call)
{
    for (size_t i = 0; call->coo && i < 2 * call->count; i++)
        if (call->coo[i].owned)
            sgd_sparse_destroy(&call->coo[i]);
    free(call->coo);
    free(call->items);
    free(call->descriptors);
    Py_XDECREF(call->context.owners);
    Py_XDECREF(call->made);
    Py_XDECREF(call->params);
    Py_XDECREF(call->grads);
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

/* Reads the arguments of step() and prepare(), imports everything, and returns how many items the library may take at once; 0
 * where an exception is set. */
static size_t begin(call *call, PyObject *args)
{
    PyObject *params, *grads, *group, *grad_scale, *found_inf;
    unsigned torch_threads, threads;
    if (!PyArg_ParseTuple(args, "OOO!O!IIOOOO:step", &params, &grads, &PyList_Type, &call->buffers, &PyDict_Type, &group,
                          &torch_threads, &threads, &grad_scale, &found_inf, &call->allocate, &call->adopt))
        return 0;
    call->config.torch_threads = torch_threads;
    call->config.threads = threads;
    call->params = PySequence_Tuple(params);
    call->grads = call->params ? PySequence_Tuple(grads) : NULL;
    if (!call->grads || !check_lengths(call) || !reserve(call))
        return 0;
    if (core_options(&call->context, group, &call->tensors, &call->options) && import_scaling(call, grad_scale, found_inf) &&
        call_import_items(call))
        return stride_of_items(call);
    as_unsupported(call->engine);
    return 0;
}

static PyObject *engine_step(engine *self, PyObject *args)
{
    call call = {.engine = self, .config = self->config};
    size_t stride = begin(&call, args);
    Py_ssize_t done = stride ? run(&call, stride) : -1;
    bool fine = done >= 0 && keep_made(&call);
    clear(&call);
    return fine ? PyLong_FromSsize_t(done) : NULL;
}

/* All of step() but the step. */
static PyObject *engine_prepare(engine *self, PyObject *args)
{
    call call = {.engine = self, .config = self->config};
    size_t stride = begin(&call, args);
    bool fine = stride && stride >= call.count;
    if (stride && !fine)
        PyErr_SetString(core_unsupported, "tensors that share memory");
    PyObject *made = fine ? Py_NewRef(call.made) : NULL;
    clear(&call);
    return made;
}

/* ---- the type ------------------------------------------------------------------------------------------------------------ */

bool core_choose(const char *contract, const char *defects, sgd_config *config)
{
    if (!sgd_contract_parse(contract, &config->contract)) {
        PyErr_Format(PyExc_ValueError, "no contract is called %s", contract);
        return false;
    }
    if (strcmp(defects, "fix") && strcmp(defects, "reproduce")) {
        PyErr_Format(PyExc_ValueError, "defects must be \"fix\" or \"reproduce\", not \"%s\"", defects);
        return false;
    }
    config->defects = strcmp(defects, "fix") ? SGD_DEFECTS_REPRODUCE : SGD_DEFECTS_FIX;
    return true;
}

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"contract", "defects", "plain", NULL};
    const char *contract, *defects;
    PyObject *plain;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "ssO:Engine", names, &contract, &defects, &plain))
        return NULL;
    if (plain != Py_None && !PyTuple_Check(plain)) {
        PyErr_SetString(PyExc_TypeError, "plain must be a tuple of types or None");
        return NULL;
    }
    engine *self = (engine *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->config = sgd_config_default();
    if (!core_choose(contract, defects, &self->config)) {
        Py_DECREF(self);
        return NULL;
    }
    sgd_error error;
    if (sgd_workspace_create(&self->workspace, &error)) {
        Py_DECREF(self);
        return core_raise(&error);
    }
    self->config.backend = sgd_backend_cpu(sgd_isa_best());
    self->plain = plain == Py_None ? NULL : plain;
    Py_XINCREF(self->plain);
    return (PyObject *)self;
}

static void engine_dealloc(engine *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sgd_workspace_destroy(self->workspace);
    Py_XDECREF(self->plain);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef engine_methods[] = {
    {"step", (PyCFunction)engine_step, METH_VARARGS, "One step of one param group; see _core.pyi."},
    {"prepare", (PyCFunction)engine_prepare, METH_VARARGS, "What step() would take; see _core.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_doc, "Which bits to compute, and memory that steps reuse."},
    {Py_tp_new, engine_new},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_methods, engine_methods},
    {0, NULL},
};

PyType_Spec core_engine_spec = {"exactsgd._core.Engine", sizeof(engine), 0, Py_TPFLAGS_DEFAULT, engine_slots};
