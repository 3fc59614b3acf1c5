/* contract_calls.c - exactsgd._core.Optimizer: hooks, step with a closure, zero_grad. */
#include <stdlib.h>

#include "core.h"

#define SPARSE_DIMS 64

static sgd_status failed(sgd_error *error)
{
    *error = (sgd_error){SGD_ERROR_CALLBACK, ""}; /* the exception itself is set */
    return SGD_ERROR_CALLBACK;
}

/* ---- hooks ----------------------------------------------------------------------------------------------------------- */

/* What a hook needs to find its callable; the callable itself is kept by the optimizer, which the collector can look into. */
typedef struct hook_context {
    contract *owner; /* borrowed: it outlives its hooks */
    PyObject *key;
} hook_context;

static void release_hook(void *context)
{
    hook_context *hook = context;
    if (hook->owner->callables && PyDict_DelItem(hook->owner->callables, hook->key))
        PyErr_Clear();
    Py_DECREF(hook->key);
    free(hook);
}

static bool keep_grads(const sgd_step_arguments *arguments);

/* What the callable gets: the step's host, the state dict, or None. */
static PyObject *payload_of(const contract *owner, const sgd_hook_call *call)
{
    if (call->arguments)
        return Py_NewRef((PyObject *)call->arguments->host);
    if (!call->state)
        return Py_NewRef(Py_None);
    PyObject *host = sgd_state_host(call->state);
    return host ? Py_NewRef(host) : core_state_dict(&owner->hosts, call->state);
}

static sgd_status run_hook(sgd_hook_call *call, void *context, sgd_error *error)
{
    hook_context *hook = context;
    if (call->kind == SGD_HOOK_STEP_POST && !keep_grads(call->arguments))
        return failed(error);
    PyObject *callable = PyDict_GetItemWithError(hook->owner->callables, hook->key);
    PyObject *payload = callable ? payload_of(hook->owner, call) : NULL;
    PyObject *answer = payload ? PyObject_CallOneArg(callable, payload) : NULL;
    bool fine = answer;
    if (fine && call->state)
        fine = core_set_host(call->state, answer == Py_None ? payload : answer, call->kind == SGD_HOOK_LOAD_PRE);
    Py_XDECREF(answer);
    Py_XDECREF(payload);
    return fine ? SGD_OK : failed(error);
}

PyObject *contract_add_hook(contract *self, PyObject *args)
{
    int kind, prepend;
    PyObject *callable;
    static unsigned long long count;
    if (!PyArg_ParseTuple(args, "iOp", &kind, &callable, &prepend))
        return NULL;
    hook_context *hook = malloc(sizeof *hook);
    if (!hook)
        return PyErr_NoMemory();
    *hook = (hook_context){self, PyLong_FromUnsignedLongLong(++count)};
    sgd_hook_handle handle;
    sgd_error error;
    if (!hook->key || PyDict_SetItem(self->callables, hook->key, callable)) {
        Py_XDECREF(hook->key);
        free(hook);
        return NULL;
    }
    if (sgd_optimizer_add_hook(self->handle, (sgd_hook_kind)kind, run_hook, hook, release_hook, prepend, &handle, &error)) {
        release_hook(hook);
        return core_raise_either(&error);
    }
    return PyLong_FromUnsignedLongLong(handle);
}

PyObject *contract_remove_hook(contract *self, PyObject *handle)
{
    sgd_hook_handle number = PyLong_AsUnsignedLongLong(handle);
    if (PyErr_Occurred())
        return NULL;
    sgd_optimizer_remove_hook(self->handle, number);
    Py_RETURN_NONE;
}

/* The host keeps its global hooks; one of the library's before the step and one after it call them all. */
static PyObject *global_callables[2];

static sgd_status run_global_hook(sgd_hook_call *call, void *context, sgd_error *error)
{
    if (call->kind == SGD_HOOK_STEP_POST && !keep_grads(call->arguments))
        return failed(error);
    PyObject *host = call->arguments->host, **callable = context;
    PyObject *answer = PyObject_CallOneArg(*callable, host);
    Py_XDECREF(answer);
    return answer ? SGD_OK : failed(error);
}

PyObject *core_set_global_hooks(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *callables[2];
    sgd_hook_handle handle;
    sgd_error error;
    if (!PyArg_ParseTuple(args, "OO", &callables[0], &callables[1]))
        return NULL;
    for (int i = 0; i < 2; i++) {
        bool known = global_callables[i];
        Py_INCREF(callables[i]);
        Py_XSETREF(global_callables[i], callables[i]);
        if (!known && sgd_global_hook_add(i == 0 ? SGD_HOOK_STEP_PRE : SGD_HOOK_STEP_POST, run_global_hook,
                                          &global_callables[i], NULL, &handle, &error))
            return core_raise_either(&error);
    }
    Py_RETURN_NONE;
}

/* ---- step ------------------------------------------------------------------------------------------------------------ */

/* One call of step(). */
typedef struct step_call {
    contract *owner;
    PyObject *closure, *collect;
    PyObject *collected; /* what collect() answered: (gradients, memory for buffers, grad_scale, found_inf) */
    PyObject *owners;
    sgd_gradient *slots;
    DLTensor *dense;
    sgd_sparse *sparse;
    sgd_value *memory;
    value_room *rooms;
    size_t count;
    DLTensor grad_scale, found_inf;
    sgd_scaling scaling;
} step_call;

static void step_clear(step_call *call)
{
    for (size_t i = 0; call->rooms && i < call->count; i++)
        core_room_clear(&call->rooms[i]);
    for (size_t i = 0; call->sparse && i < call->count; i++)
        if (call->sparse[i].owned)
            sgd_sparse_destroy(&call->sparse[i]);
    free(call->slots);
    free(call->dense);
    free(call->sparse);
    free(call->memory);
    free(call->rooms);
    Py_XDECREF(call->owners);
    Py_XDECREF(call->collected);
}

static bool reserve(step_call *call, size_t count)
{
    call->count = count;
    call->owners = PyList_New(0);
    call->slots = calloc(count + 1, sizeof *call->slots);
    call->dense = calloc(count + 1, sizeof *call->dense);
    call->sparse = calloc(count + 1, sizeof *call->sparse);
    call->memory = calloc(count + 1, sizeof *call->memory);
    call->rooms = calloc(count + 1, sizeof *call->rooms);
    if (!call->owners || !call->slots || !call->dense || !call->sparse || !call->memory || !call->rooms)
        PyErr_NoMemory();
    return !PyErr_Occurred();
}

static bool fill_slot(step_call *call, PyObject *grad, size_t index)
{
    import_context context = {core_contract_plain, call->owners};
    if (grad == Py_None)
        return true;
    if (core_is_coo(grad)) {
        call->slots[index].sparse = &call->sparse[index];
        return core_import_coo(&context, grad, &call->sparse[index]);
    }
    call->slots[index].dense = &call->dense[index];
    return core_import(&context, grad, true, &call->dense[index]);
}

static bool fill_slots(step_call *call, PyObject *grads, PyObject *memory)
{
    for (size_t i = 0; i < call->count; i++)
        if (!fill_slot(call, PyList_GET_ITEM(grads, (Py_ssize_t)i), i) ||
            (memory && !core_value(core_contract_plain, PyList_GET_ITEM(memory, (Py_ssize_t)i), &call->rooms[i],
                                   &call->memory[i])))
            return false;
    return true;
}

static bool fill_scaling(step_call *call, PyObject *grad_scale, PyObject *found_inf)
{
    import_context context = {core_contract_plain, call->owners};
    if (grad_scale != Py_None)
        call->scaling.grad_scale = &call->grad_scale;
    if (found_inf != Py_None)
        call->scaling.found_inf = &call->found_inf;
    return (grad_scale == Py_None || core_import(&context, grad_scale, false, &call->grad_scale)) &&
           (found_inf == Py_None || core_import(&context, found_inf, false, &call->found_inf));
}

/* Python brings groups and state up to date and hands over gradients. */
static sgd_status collect(sgd_optimizer *optimizer, sgd_step_arguments *arguments, void *context, sgd_error *error)
{
    (void)optimizer;
    step_call *call = context;
    PyObject *grads, *memory, *grad_scale, *found_inf;
    call->collected = PyObject_CallNoArgs(call->collect);
    if (!call->collected || !PyArg_ParseTuple(call->collected, "O!O!OO", &PyList_Type, &grads, &PyList_Type, &memory,
                                              &grad_scale, &found_inf))
        return failed(error);
    if (!reserve(call, (size_t)PyList_GET_SIZE(grads)) || !fill_slots(call, grads, memory) ||
        !fill_scaling(call, grad_scale, found_inf))
        return failed(error);
    arguments->grads = call->slots;
    arguments->count = call->count;
    arguments->memory = call->memory;
    arguments->scaling = &call->scaling;
    return SGD_OK;
}

static sgd_status run_closure(void *context, sgd_value *loss, sgd_error *error)
{
    step_call *call = context;
    value_room room = {0};
    PyObject *value = PyObject_CallNoArgs(call->closure);
    if (!value)
        return failed(error);
    PyObject *holder = PyTuple_Pack(1, value); /* whatever it is, it comes out as itself */
    Py_DECREF(value);
    bool fine = holder && core_value(core_contract_plain, holder, &room, loss);
    core_room_clear(&room);
    return fine ? SGD_OK : failed(error);
}

/* Sparse gradients that the step replaced become the host's, before a hook sees them. */
static bool keep_grads(const sgd_step_arguments *arguments)
{
    const step_call *call = arguments->collect_context;
    PyObject *grads = call->collected ? PyTuple_GetItem(call->collected, 0) : NULL;
    for (size_t i = 0; grads && i < call->count; i++) {
        if (!call->sparse[i].owned)
            continue;
        PyObject *made = core_adopt_coo(call->owner->hosts.adopt, PyList_GET_ITEM(grads, (Py_ssize_t)i), &call->sparse[i]);
        Py_XDECREF(made);
        if (!made)
            return false;
    }
    return !PyErr_Occurred();
}

PyObject *contract_step(contract *self, PyObject *args)
{
    PyObject *host;
    step_call call = {.owner = self};
    if (!PyArg_ParseTuple(args, "OOO", &host, &call.closure, &call.collect))
        return NULL;
    sgd_gradient none = {0};
    sgd_step_arguments arguments = {.struct_size = sizeof arguments, .grads = &none, .closure = run_closure,
                                    .closure_context = &call, .collect = collect, .collect_context = &call, .host = host};
    sgd_value loss = {0};
    sgd_error error;
    sgd_status status = sgd_optimizer_step_with(self->handle, &arguments, &loss, &error);
    if (status)
        core_raise_either(&error);
    PyObject *answer = status || PyErr_Occurred() ? NULL : core_object(&self->hosts, &loss);
    if (!status && loss.object)
        loss.type->release(loss.object);
    step_clear(&call);
    return answer;
}

/* ---- zero_grad ------------------------------------------------------------------------------------------------------- */

/* The library empties a sparse gradient by its shape, which must not be PyTorch's own. */
static bool own_shapes(sgd_sparse *sparse, int64_t (*room)[2 + SPARSE_DIMS])
{
    if (sparse->indices.ndim != 2 || sparse->values.ndim < 1 || sparse->values.ndim > SPARSE_DIMS)
        return false;
    memcpy(room[0], sparse->indices.shape, 2 * sizeof room[0][0]);
    memcpy(room[0] + 2, sparse->values.shape, (size_t)sparse->values.ndim * sizeof room[0][0]);
    sparse->indices.shape = room[0];
    sparse->values.shape = room[0] + 2;
    return true;
}

static bool keep_zeros(const step_call *call, PyObject *grads)
{
    for (size_t i = 0; i < call->count; i++) {
        PyObject *zeroed = NULL;
        if (!call->slots[i].dense && !call->slots[i].sparse)
            PyList_SetItem(grads, (Py_ssize_t)i, Py_NewRef(Py_None));
        else if (call->slots[i].sparse && call->sparse[i].indices.shape[1] == 0)
            zeroed = PyObject_CallMethod(PyList_GET_ITEM(grads, (Py_ssize_t)i), "zero_", NULL);
        Py_XDECREF(zeroed);
    }
    return !PyErr_Occurred();
}

/* zero_grad(gradients, set_to_none): empties the list's entries, or zeroes what they are. */
PyObject *contract_zero_grad(contract *self, PyObject *args)
{
    PyObject *grads;
    int set_to_none;
    sgd_error error;
    step_call call = {.owner = self};
    if (!PyArg_ParseTuple(args, "O!p", &PyList_Type, &grads, &set_to_none))
        return NULL;
    int64_t (*shapes)[2 + SPARSE_DIMS] = calloc((size_t)PyList_GET_SIZE(grads) + 1, sizeof *shapes);
    bool fine = shapes && reserve(&call, (size_t)PyList_GET_SIZE(grads)) && fill_slots(&call, grads, NULL);
    for (size_t i = 0; fine && i < call.count; i++)
        if (call.slots[i].sparse && !own_shapes(&call.sparse[i], &shapes[i])) {
            PyErr_SetString(core_unsupported, "a sparse gradient of too many dimensions");
            fine = false;
        }
    if (fine && sgd_optimizer_zero_grad(self->handle, call.slots, call.count, set_to_none, &error))
        fine = core_raise_either(&error);
    fine = fine && keep_zeros(&call, grads);
    step_clear(&call);
    free(shapes);
    return fine ? Py_NewRef(Py_None) : NULL;
}
