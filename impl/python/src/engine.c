/* engine.c - exactsgd._core.Engine: which bits to compute, and memory that steps reuse. */
#include <stdlib.h>

#include "engine.h"

/* ---- lists ----------------------------------------------------------------------------------------------------------- */

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
    return call_open(call, 0) && call_gather(call, params, grads) ? call_prepare(call, group, grad_scale, found_inf) : 0;
}

static PyObject *engine_step(engine *self, PyObject *args)
{
    call call = {.engine = self, .config = self->config};
    size_t stride = begin(&call, args);
    Py_ssize_t done = stride ? call_run(&call, stride) : -1;
    call_close(&call);
    return done >= 0 ? PyLong_FromSsize_t(done) : NULL;
}

/* The buffers that a step makes, None elsewhere. */
static PyObject *made_buffers(const call *call)
{
    PyObject *list = PyList_New((Py_ssize_t)call->count);
    for (size_t i = 0; list && i < call->count; i++) {
        const objects *objects = &call->room->objects[i];
        PyList_SET_ITEM(list, (Py_ssize_t)i, Py_NewRef(objects->made ? objects->buffer : Py_None));
    }
    return list;
}

/* All of step() but the step. */
static PyObject *engine_prepare(engine *self, PyObject *args)
{
    call call = {.engine = self, .config = self->config};
    size_t stride = begin(&call, args);
    bool fine = stride && stride >= call.count;
    if (stride && !fine)
        PyErr_SetString(core_unsupported, "tensors that share memory");
    PyObject *made = fine ? made_buffers(&call) : NULL;
    call_close(&call);
    return made;
}

/* ---- a param group --------------------------------------------------------------------------------------------------- */

/* Params, buffers and, where they are written too, gradients of the first `done` items. */
static PyObject *written_tensors(const call *call, size_t done)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < done; i++) {
        const objects *objects = &call->room->objects[i];
        PyObject *buffer = objects->made ? NULL : objects->buffer, *grad = call->writes_grads ? objects->grad : NULL;
        PyObject *all[] = {objects->param, buffer, grad};
        for (size_t k = 0; list && k < sizeof all / sizeof all[0]; k++)
            if (all[k] && PyList_Append(list, all[k]))
                Py_CLEAR(list);
    }
    return list;
}

/* (params, gradients, buffers) of the items that were not stepped, as torch.optim.sgd.sgd takes them; None where all were. */
static PyObject *rest_of(const call *call, size_t done)
{
    if (done == call->count)
        Py_RETURN_NONE;
    Py_ssize_t left = (Py_ssize_t)(call->count - done);
    PyObject *rest = Py_BuildValue("(NNN)", PyList_New(left), PyList_New(left), PyList_New(call->has_momentum ? left : 0));
    for (Py_ssize_t i = 0; rest && i < left; i++) {
        const objects *objects = &call->room->objects[done + (size_t)i];
        PyList_SET_ITEM(PyTuple_GET_ITEM(rest, 0), i, Py_NewRef(objects->param));
        PyList_SET_ITEM(PyTuple_GET_ITEM(rest, 1), i, Py_NewRef(objects->grad));
        if (call->has_momentum)
            PyList_SET_ITEM(PyTuple_GET_ITEM(rest, 2), i,
                            Py_NewRef(objects->made || !objects->buffer ? Py_None : objects->buffer));
    }
    return rest;
}

enum { NUMBER, GROUP, STATE, TORCH_THREADS, THREADS, GRAD_SCALE, FOUND_INF, WRITES_GRADS, ALLOCATE, ADOPT, ARGUMENTS };

static bool read_arguments(call *call, PyObject *const *arguments, Py_ssize_t count, size_t *number)
{
    if (count != ARGUMENTS || !PyDict_Check(arguments[GROUP])) {
        PyErr_SetString(PyExc_TypeError, "step_group takes ten arguments, the second a dict");
        return false;
    }
    *number = PyLong_AsSize_t(arguments[NUMBER]);
    call->config.torch_threads = (uint32_t)PyLong_AsUnsignedLong(arguments[TORCH_THREADS]);
    call->config.threads = (uint32_t)PyLong_AsUnsignedLong(arguments[THREADS]);
    call->writes_grads = arguments[WRITES_GRADS] == Py_True;
    call->state = arguments[STATE];
    call->allocate = arguments[ALLOCATE];
    call->adopt = arguments[ADOPT];
    return !PyErr_Occurred();
}

static PyObject *engine_step_group(engine *self, PyObject *const *arguments, Py_ssize_t count)
{
    call call = {.engine = self, .config = self->config};
    size_t number, stride = 0;
    if (!read_arguments(&call, arguments, count, &number))
        return NULL;
    if (call_open(&call, number) && call_gather_group(&call, arguments[GROUP]))
        stride = call_prepare(&call, arguments[GROUP], arguments[GRAD_SCALE], arguments[FOUND_INF]);
    Py_ssize_t done = stride ? call_run(&call, stride) : -1;
    PyObject *answer = NULL;
    if (done >= 0)
        answer = Py_BuildValue("(NN)", written_tensors(&call, (size_t)done), rest_of(&call, (size_t)done));
    call_close(&call);
    return answer;
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
    self->config.backend = sgd_backend_cpu(sgd_isa_best());
    self->plain = plain == Py_None ? NULL : plain;
    Py_XINCREF(self->plain);
    return (PyObject *)self;
}

static void engine_dealloc(engine *self)
{
    PyTypeObject *type = Py_TYPE(self);
    for (size_t i = 0; i < self->room_count; i++)
        room_destroy(self->rooms[i]);
    free(self->rooms);
    Py_XDECREF(self->plain);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef engine_methods[] = {
    {"step", (PyCFunction)engine_step, METH_VARARGS, "One step of one param group; see _core.pyi."},
    {"step_group", (PyCFunction)(void (*)(void))engine_step_group, METH_FASTCALL,
     "One step of one live param group; see _core.pyi."},
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
