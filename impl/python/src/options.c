/* options.c - from a param group's dict to sgd_options.
 *
 * Numbers are Python's own int and float: what PyTorch makes of others (bool as alpha, numpy scalars that compute 1 - dampening
 * in their own precision) is left to PyTorch.
 */
#include "core.h"

/* A borrowed value of the group; KeyError where it is missing. */
static PyObject *value_of(PyObject *group, const char *key)
{
    PyObject *name = PyUnicode_InternFromString(key);
    PyObject *value = name ? PyDict_GetItemWithError(group, name) : NULL;
    if (name && !value && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, name);
    Py_XDECREF(name);
    return value;
}

#define EXACT_INTEGERS 9007199254740992.0 /* 2^53: up to here a double holds every int */

static bool read_number(PyObject *value, double *out)
{
    *out = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyLong_AsDouble(value);
    if (PyErr_Occurred())
        PyErr_Clear();
    else if (PyFloat_CheckExact(value) || (*out >= -EXACT_INTEGERS && *out <= EXACT_INTEGERS))
        return true;
    PyErr_SetString(core_unsupported, "an int that a double cannot hold");
    return false;
}

/* PyTorch squeezes lr first, and what comes of that without grad mode requires grad if the root of its views does. */
static bool read_tensor(import_context *context, PyObject *value, bool squeezes, DLTensor *tensor, sgd_tensor_option *out)
{
    if (!context->plain) {
        PyErr_Format(PyExc_TypeError, "expected an int or a float, got %.200s", Py_TYPE(value)->tp_name);
        return false;
    }
    if (!core_import(context, value, false, tensor))
        return false;
    *out = (sgd_tensor_option){tensor, core_requires_grad(value, squeezes && tensor->ndim)};
    return !PyErr_Occurred();
}

static bool read_value(import_context *context, PyObject *group, const char *key, double *number, DLTensor *room,
                       sgd_tensor_option *option)
{
    PyObject *value = value_of(group, key);
    if (!value)
        return false;
    if (PyFloat_CheckExact(value) || PyLong_CheckExact(value))
        return read_number(value, number);
    return read_tensor(context, value, !strcmp(key, "lr"), room, option);
}

static bool read_flag(PyObject *group, const char *key, bool *out)
{
    PyObject *value = value_of(group, key);
    int truth = value ? PyObject_IsTrue(value) : -1;
    *out = truth > 0;
    return truth >= 0;
}

static bool read_tristate(PyObject *group, const char *key, sgd_tristate *out)
{
    PyObject *value = value_of(group, key);
    int truth = value ? PyObject_IsTrue(value) : -1;
    *out = value == Py_None ? SGD_NONE : truth > 0 ? SGD_TRUE : SGD_FALSE;
    return truth >= 0;
}

bool core_options(import_context *context, PyObject *group, option_tensors *tensors, sgd_options *out)
{
    sgd_options options = sgd_options_default();
    if (!read_value(context, group, "weight_decay", &options.weight_decay, &tensors->weight_decay,
                    &options.weight_decay_tensor) ||
        !read_value(context, group, "momentum", &options.momentum, &tensors->momentum, &options.momentum_tensor) ||
        !read_value(context, group, "lr", &options.lr, &tensors->lr, &options.lr_tensor) ||
        !read_value(context, group, "dampening", &options.dampening, &tensors->dampening, &options.dampening_tensor) ||
        !read_flag(group, "nesterov", &options.nesterov) || !read_flag(group, "maximize", &options.maximize) ||
        !read_tristate(group, "foreach", &options.foreach) || !read_tristate(group, "fused", &options.fused))
        return false;
    *out = options;
    return true;
}
