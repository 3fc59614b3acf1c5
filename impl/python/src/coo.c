/* coo.c - PyTorch's sparse COO tensors as sgd_sparse, and back. */
#include <stdlib.h>

#include "core.h"

/* ---- in ------------------------------------------------------------------------------------------------------------------ */

/* A tensor's shape in memory that `owners` keeps. */
static int64_t *shape_of(import_context *context, PyObject *object, int32_t *ndim)
{
    PyObject *size = PyObject_CallMethod(object, "size", NULL);
    PyObject *fast = size ? PySequence_Fast(size, "size() is no sequence") : NULL;
    Py_ssize_t count = fast ? PySequence_Fast_GET_SIZE(fast) : 0;
    PyObject *memory = fast ? PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t) + 1) : NULL;
    int64_t *shape = memory && core_own(context, memory) ? (int64_t *)(void *)PyBytes_AS_STRING(memory) : NULL;
    for (Py_ssize_t i = 0; shape && i < count; i++)
        shape[i] = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(fast, i));
    *ndim = (int32_t)count;
    Py_XDECREF(memory);
    Py_XDECREF(fast);
    Py_XDECREF(size);
    return PyErr_Occurred() ? NULL : shape;
}

static bool import_part(import_context *context, PyObject *object, const char *method, DLTensor *out)
{
    PyObject *part = PyObject_CallMethod(object, method, NULL);
    bool fine = part && core_own(context, part) && core_import(context, part, false, out);
    Py_XDECREF(part);
    return fine;
}

bool core_is_coo(PyObject *object)
{
    static PyObject *name;
    if (!name)
        name = PyUnicode_InternFromString("is_sparse");
    PyObject *answer = name ? PyObject_GetAttr(object, name) : NULL;
    bool yes = answer == Py_True;
    Py_XDECREF(answer);
    PyErr_Clear();
    return yes;
}

bool core_import_coo(import_context *context, PyObject *object, sgd_sparse *out)
{
    if (!core_is_plain(context, object))
        return false;
    sgd_sparse sparse = {0};
    PyObject *coalesced = PyObject_CallMethod(object, "is_coalesced", NULL);
    sparse.coalesced = coalesced == Py_True;
    Py_XDECREF(coalesced);
    sparse.shape = coalesced ? shape_of(context, object, &sparse.ndim) : NULL;
    if (!sparse.shape || !import_part(context, object, "_indices", &sparse.indices) ||
        !import_part(context, object, "_values", &sparse.values))
        return false;
    *out = sparse;
    return true;
}

/* ---- out ----------------------------------------------------------------------------------------------------------------- */

/* A tensor of the library's that two capsules share, indices and values. */
typedef struct shared_coo {
    sgd_sparse sparse;
    int holders; /* atomic: PyTorch lets tensors go in any thread */
} shared_coo;

static void release(shared_coo *shared)
{
    if (__atomic_sub_fetch(&shared->holders, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    sgd_sparse_destroy(&shared->sparse);
    free(shared);
}

static void let_go(DLManagedTensor *managed)
{
    release(managed->manager_ctx);
    free(managed);
}

static void drop_capsule(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, "dltensor")) /* nobody took it */
        let_go(PyCapsule_GetPointer(capsule, "dltensor"));
}

static PyObject *capsule_of(shared_coo *shared, const DLTensor *part)
{
    DLManagedTensor *managed = malloc(sizeof *managed);
    if (!managed)
        return PyErr_NoMemory();
    *managed = (DLManagedTensor){*part, shared, let_go};
    PyObject *capsule = PyCapsule_New(managed, "dltensor", drop_capsule);
    if (!capsule)
        free(managed);
    else
        __atomic_add_fetch(&shared->holders, 1, __ATOMIC_ACQ_REL);
    return capsule;
}

PyObject *core_adopt_coo(PyObject *adopt, PyObject *old, sgd_sparse *sparse)
{
    shared_coo *shared = malloc(sizeof *shared);
    if (!shared)
        return PyErr_NoMemory();
    *shared = (shared_coo){*sparse, 1};
    *sparse = (sgd_sparse){0};
    PyObject *indices = capsule_of(shared, &shared->sparse.indices), *values = capsule_of(shared, &shared->sparse.values);
    PyObject *shape = core_tuple(shared->sparse.shape, shared->sparse.ndim), *made = NULL;
    if (indices && values && shape)
        made = PyObject_CallFunctionObjArgs(adopt, old, indices, values, shape, shared->sparse.coalesced ? Py_True : Py_False,
                                            NULL);
    Py_XDECREF(shape);
    Py_XDECREF(values);
    Py_XDECREF(indices);
    release(shared);
    return made;
}
