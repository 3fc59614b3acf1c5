/* errors.c - sgd_status as Python's exceptions. */
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
