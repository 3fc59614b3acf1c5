/* options.c - from a param group's dict to sgd_options.
 *
 * Numbers are Python's own int and float: what PyTorch makes of others (bool as alpha, numpy scalars that compute 1 - dampening
 * in their own precision) is left to PyTorch.
 */
#include "core.h"

static const char *const option_names[OPTION_COUNT] = {"params",  "lr",       "momentum", "dampening", "weight_decay",
                                                       "nesterov", "maximize", "foreach",  "fused"};

PyObject *core_option(PyObject *group, option option)
{
    static PyObject *keys[OPTION_COUNT];
    if (!keys[option])
        keys[option] = PyUnicode_InternFromString(option_names[option]);
    PyObject *value = keys[option] ? PyDict_GetItemWithError(group, keys[option]) : NULL;
    if (!value && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, keys[option]);
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

static bool read_value(import_context *context, PyObject *group, option option, double *number, DLTensor *room,
                       sgd_tensor_option *tensor)
{
    PyObject *value = core_option(group, option);
    if (!value)
        return false;
    if (PyFloat_CheckExact(value) || PyLong_CheckExact(value))
        return read_number(value, number);
    return read_tensor(context, value, option == OPTION_LR, room, tensor);
}

static bool read_flag(PyObject *group, option option, bool *out)
{
    PyObject *value = core_option(group, option);
    int truth = value ? PyObject_IsTrue(value) : -1;
    *out = truth > 0;
    return truth >= 0;
}

static bool read_tristate(PyObject *group, option option, sgd_tristate *out)
{
    PyObject *value = core_option(group, option);
    int truth = value ? PyObject_IsTrue(value) : -1;
    *out = value == Py_None ? SGD_NONE : truth > 0 ? SGD_TRUE : SGD_FALSE;
    return truth >= 0;
}

bool core_options(import_context *context, PyObject *group, option_tensors *tensors, sgd_options *out)
{
    sgd_options options = sgd_options_default();
    if (!read_value(context, group, OPTION_WEIGHT_DECAY, &options.weight_decay, &tensors->weight_decay,
                    &options.weight_decay_tensor) ||
        !read_value(context, group, OPTION_MOMENTUM, &options.momentum, &tensors->momentum, &options.momentum_tensor) ||
        !read_value(context, group, OPTION_LR, &options.lr, &tensors->lr, &options.lr_tensor) ||
        !read_value(context, group, OPTION_DAMPENING, &options.dampening, &tensors->dampening, &options.dampening_tensor) ||
        !read_flag(group, OPTION_NESTEROV, &options.nesterov) || !read_flag(group, OPTION_MAXIMIZE, &options.maximize) ||
        !read_tristate(group, OPTION_FOREACH, &options.foreach) || !read_tristate(group, OPTION_FUSED, &options.fused))
        return false;
    *out = options;
    return true;
}
