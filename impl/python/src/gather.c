/* gather.c - the Python objects of a step's items: from lists, or from a param group and its optimizer's state
 * (torch/optim/sgd.py: SGD._init_group).
 */
#include "engine.h"

static PyObject *buffer_key(void)
{
    static PyObject *key;
    if (!key)
        key = PyUnicode_InternFromString("momentum_buffer");
    return key;
}

/* Takes references over.  `buffer` may be None. */
static void add_item(call *call, PyObject *param, PyObject *grad, PyObject *buffer)
{
    objects *objects = &call->room->objects[call->count++];
    if (buffer == Py_None)
        Py_CLEAR(buffer);
    objects->param = param;
    objects->grad = grad;
    objects->buffer = buffer;
    objects->made = false;
}

/* ---- lists ----------------------------------------------------------------------------------------------------------- */

static bool gather_sequences(call *call, PyObject *params, PyObject *grads)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(params), buffers = PyList_GET_SIZE(call->buffers);
    if (PySequence_Fast_GET_SIZE(grads) != count || (buffers != 0 && buffers != count)) {
        PyErr_Format(PyExc_ValueError, "%zd params, %zd gradients, %zd momentum buffers", count,
                     PySequence_Fast_GET_SIZE(grads), buffers);
        return false;
    }
    call->has_momentum = buffers;
    if (!call_reserve(call, (size_t)count))
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        add_item(call, Py_NewRef(PySequence_Fast_GET_ITEM(params, i)), Py_NewRef(PySequence_Fast_GET_ITEM(grads, i)),
                 buffers ? Py_NewRef(PyList_GET_ITEM(call->buffers, i)) : NULL);
    return true;
}

bool call_gather(call *call, PyObject *params, PyObject *grads)
{
    PyObject *one = PySequence_Fast(params, "params must be a sequence");
    PyObject *other = one ? PySequence_Fast(grads, "gradients must be a sequence") : NULL;
    bool fine = other && gather_sequences(call, one, other);
    Py_XDECREF(other);
    Py_XDECREF(one);
    return fine;
}

/* ---- group and state ------------------------------------------------------------------------------------------------- */

/* Whether state[key] is what dict makes of it (and __missing__, for defaultdict). */
static bool is_dict_like(PyObject *state)
{
    return PyDict_Check(state) && Py_TYPE(state)->tp_as_mapping->mp_subscript == PyDict_Type.tp_as_mapping->mp_subscript;
}

#define LOOK_AHEAD 8

/* state[param], a new reference.  Entries mostly come in the order of the params: a look at the next ones spares asking the
 * tensor for its hash, which is a function of Python's. */
static PyObject *entry_of(call *call, PyObject *param)
{
    Py_ssize_t place = call->engine->state_place;
    PyObject *key, *entry;
    int looks = is_dict_like(call->state) ? LOOK_AHEAD : 0;
    while (looks-- > 0) {
        if (!PyDict_Next(call->state, &place, &key, &entry)) {
            place = 0;
            if (!PyDict_Next(call->state, &place, &key, &entry))
                break;
        }
        if (key == param) {
            call->engine->state_place = place;
            return Py_NewRef(entry);
        }
    }
    return PyObject_GetItem(call->state, param);
}

/* state[param].get("momentum_buffer"), a new reference. */
static PyObject *buffer_of(call *call, PyObject *param)
{
    static PyObject *get;
    PyObject *key = buffer_key(), *entry = key ? entry_of(call, param) : NULL, *buffer = NULL;
    if (entry && PyDict_CheckExact(entry)) {
        buffer = PyDict_GetItemWithError(entry, key);
        buffer = buffer || PyErr_Occurred() ? Py_XNewRef(buffer) : Py_NewRef(Py_None);
    } else if (entry && (get || (get = PyUnicode_InternFromString("get")))) {
        buffer = PyObject_CallMethodOneArg(entry, get, key);
    }
    Py_XDECREF(entry);
    return buffer;
}

static bool gather_param(call *call, PyObject *param)
{
    PyObject *grad = core_grad(param);
    if (grad == Py_None || !grad) {
        Py_XDECREF(grad);
        return grad;
    }
    PyObject *buffer = call->has_momentum ? buffer_of(call, param) : NULL;
    if (call->has_momentum && !buffer) {
        Py_DECREF(grad);
        return false;
    }
    add_item(call, Py_NewRef(param), grad, buffer);
    return true;
}

/* Whether group["momentum"] != 0, whatever it is. */
static int momentum_of(PyObject *group)
{
    PyObject *momentum = core_option(group, OPTION_MOMENTUM);
    if (!momentum)
        return -1;
    if (PyFloat_CheckExact(momentum))
        return PyFloat_AS_DOUBLE(momentum) != 0;
    PyObject *zero = PyLong_FromLong(0), *unequal = zero ? PyObject_RichCompare(momentum, zero, Py_NE) : NULL;
    int truth = unequal ? PyObject_IsTrue(unequal) : -1;
    Py_XDECREF(unequal);
    Py_XDECREF(zero);
    return truth;
}

bool call_gather_group(call *call, PyObject *group)
{
    int has_momentum = momentum_of(group);
    PyObject *given = has_momentum < 0 ? NULL : core_option(group, OPTION_PARAMS);
    PyObject *params = given ? PySequence_Fast(given, "params must be a sequence") : NULL;
    bool fine = params;
    call->has_momentum = has_momentum > 0;
    for (Py_ssize_t i = 0; fine && i < PySequence_Fast_GET_SIZE(params); i++) { /* which Python code may change */
        PyObject *param = Py_NewRef(PySequence_Fast_GET_ITEM(params, i));
        fine = call_reserve(call, (size_t)PySequence_Fast_GET_SIZE(params)) && gather_param(call, param);
        Py_DECREF(param);
    }
    Py_XDECREF(params);
    return fine;
}

bool call_put_buffer(const call *call, size_t index, PyObject *buffer)
{
    if (!call->state)
        return PyList_SetItem(call->buffers, (Py_ssize_t)index, Py_NewRef(buffer)) == 0;
    PyObject *entry = PyObject_GetItem(call->state, call->room->objects[index].param);
    bool fine = entry && PyObject_SetItem(entry, buffer_key(), buffer) == 0;
    Py_XDECREF(entry);
    return fine;
}
