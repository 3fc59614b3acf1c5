/* errors.c - sgd_status as Python's exceptions. */
#include <sgd/host.h>

#include "core.h"

PyObject *core_unsupported;

PyObject *core_exception(sgd_status status)
{
    switch (status) {
    case SGD_ERROR_VALUE: return PyExc_ValueError;
    case SGD_ERROR_TYPE: return PyExc_TypeError;
    case SGD_ERROR_NOT_IMPLEMENTED: return PyExc_NotImplementedError;
    case SGD_ERROR_ASSERTION: return PyExc_AssertionError;
    case SGD_ERROR_KEY: return PyExc_KeyError;
    case SGD_ERROR_FILE: return PyExc_OSError;
    case SGD_ERROR_MEMORY: return PyExc_MemoryError;
    case SGD_ERROR_RUNTIME:
    case SGD_ERROR_CALLBACK:
    case SGD_ERROR_BACKEND: return PyExc_RuntimeError;
    default: return core_unsupported;
    }
}

PyObject *core_raise(const sgd_error *error)
{
    PyErr_SetString(core_exception(error->status), error->message);
    return NULL;
}

static const char *const refusals[] = {
#define REFUSAL(id, status, text) #id,
#include <sgd/refusals.def>
#undef REFUSAL
};

/* refuse(name, detail): raises what PyTorch raises for a mistake that only Python can see. */
PyObject *core_refuse(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name, *detail = NULL, *more = NULL;
    sgd_error error;
    if (!PyArg_ParseTuple(args, "s|zz:refuse", &name, &detail, &more))
        return NULL;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (!strcmp(refusals[i], name)) {
            sgd_refuse((sgd_refusal)i, detail, more, &error);
            return core_raise(&error);
        }
    PyErr_Format(PyExc_KeyError, "%s", name);
    return NULL;
}
