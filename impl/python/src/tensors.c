/* tensors.c - from Python objects to DLPack descriptors.
 *
 * Two ways: the exchange table of a type (`__dlpack_c_exchange_api__`, PyTorch 2.10 and later), which costs a function call,
 * and the capsule that everybody's `__dlpack__` returns.  Debian's header is older than both forms used here, so their
 * layouts, which the DLPack ABI fixes, stand below.
 */
#include "core.h"

typedef struct dl_version {
    uint32_t major, minor;
} dl_version;

typedef struct dl_versioned_tensor {
    dl_version version;
    void *manager_context;
    void (*deleter)(struct dl_versioned_tensor *self);
    uint64_t flags;
    DLTensor tensor;
} dl_versioned_tensor;

#define DL_READ_ONLY 1u

/* Members that are not called here are plain pointers. */
typedef struct dl_exchange_table {
    dl_version version;
    void *previous;
    void (*allocate)(void), (*managed_from_object)(void), (*managed_to_object)(void);
    int (*tensor_from_object)(void *object, DLTensor *out);
} dl_exchange_table;

/* ---- the exchange table ---------------------------------------------------------------------------------------------- */

/* Types whose table is known: a step sees few, over and over. */
#define KNOWN_TYPES 4
static struct {
    PyTypeObject *type;
    const dl_exchange_table *table;
} known[KNOWN_TYPES];

/* The table of a type, NULL without an exception where it has none. */
static const dl_exchange_table *table_of(PyTypeObject *type)
{
    static unsigned next;
    for (size_t i = 0; i < KNOWN_TYPES; i++)
        if (known[i].type == type)
            return known[i].table;
    PyObject *capsule = PyObject_GetAttrString((PyObject *)type, "__dlpack_c_exchange_api__");
    const dl_exchange_table *table = capsule ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : NULL;
    Py_XDECREF(capsule);
    PyErr_Clear();
    if (!table || table->version.major != 1 || !table->tensor_from_object)
        return NULL;
    Py_INCREF(type);
    Py_XSETREF(known[next % KNOWN_TYPES].type, type);
    known[next++ % KNOWN_TYPES].table = table;
    return table;
}

/* Whether a method without arguments answers True; false with an exception set where it fails. */
static bool says(PyObject *object, PyObject *method)
{
    PyObject *answer = PyObject_CallMethodNoArgs(object, method);
    bool yes = answer == Py_True;
    Py_XDECREF(answer);
    return yes;
}

/* Whether elements lie one after the other, more than one of them. */
static bool is_dense_run(const DLTensor *tensor)
{
    int64_t expected = 1;
    for (int32_t d = tensor->ndim - 1; d >= 0; d--) {
        if (tensor->shape[d] != 1 && tensor->strides[d] != expected)
            return false;
        expected *= tensor->shape[d];
    }
    return expected > 1;
}

/* What PyTorch keeps beside the memory: conjugation and negation to be done later, and that a tensor of inference mode must not
 * be written to outside.  NULL: nothing of it, or an exception is set.  Only the imaginary part of a conjugate is negated so,
 * every other number of its memory, so that a run of numbers need not be asked. */
static const char *flag_of(PyObject *object, const DLTensor *tensor, bool writable)
{
    static PyObject *is_neg, *is_conj, *is_inference;
    if (!is_neg)
        is_neg = PyUnicode_InternFromString("is_neg");
    if (!is_conj)
        is_conj = PyUnicode_InternFromString("is_conj");
    if (!is_inference)
        is_inference = PyUnicode_InternFromString("is_inference");
    if (!is_neg || !is_conj || !is_inference)
        return NULL;
    bool is_complex = tensor->dtype.code == kDLComplex;
    if (((is_complex || !is_dense_run(tensor)) && says(object, is_neg)) || (is_complex && says(object, is_conj)))
        return "a tensor that is negated or conjugated lazily";
    return writable && says(object, is_inference) ? "a tensor of inference mode" : NULL;
}

static bool import_exchanged(const dl_exchange_table *table, PyObject *object, bool writable, DLTensor *out)
{
    if (table->tensor_from_object(object, out)) {
        PyErr_SetString(core_unsupported, "a tensor without plain memory of its own"); /* PyTorch's text has a stack in it */
        return false;
    }
    const char *flag = flag_of(object, out, writable);
    if (flag)
        PyErr_SetString(core_unsupported, flag);
    return !PyErr_Occurred();
}

/* ---- capsules ------------------------------------------------------------------------------------------------------------ */

static PyObject *ask_for_capsule(PyObject *object)
{
    PyObject *method = PyObject_GetAttrString(object, "__dlpack__");
    if (!method) {
        PyErr_Format(PyExc_TypeError, "expected a tensor or an array with __dlpack__, got %.200s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    PyObject *empty = PyTuple_New(0), *keywords = Py_BuildValue("{s(ii)}", "max_version", 1, 0);
    PyObject *capsule = empty && keywords ? PyObject_Call(method, empty, keywords) : NULL;
    if (!capsule && empty && keywords && PyErr_ExceptionMatches(PyExc_TypeError)) { /* from before DLPack 1.0 */
        PyErr_Clear();
        capsule = PyObject_CallNoArgs(method);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(empty);
    Py_DECREF(method);
    return capsule;
}

static bool import_capsule(import_context *context, PyObject *object, bool writable, DLTensor *out)
{
    PyObject *capsule = ask_for_capsule(object);
    if (!capsule)
        return false;
    bool read_only = false, fine = true;
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        const dl_versioned_tensor *managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        *out = managed->tensor;
        read_only = managed->flags & DL_READ_ONLY;
    } else if (PyCapsule_IsValid(capsule, "dltensor")) {
        *out = ((const DLManagedTensor *)PyCapsule_GetPointer(capsule, "dltensor"))->dl_tensor;
    } else {
        PyErr_Format(PyExc_TypeError, "__dlpack__ of %.200s returned no DLPack capsule", Py_TYPE(object)->tp_name);
        fine = false;
    }
    if (fine && writable && read_only) {
        PyErr_Format(PyExc_ValueError, "%.200s is read-only, a step would write to it", Py_TYPE(object)->tp_name);
        fine = false;
    }
    fine = fine && PyList_Append(context->owners, capsule) == 0; /* not consumed: its own destructor frees it */
    Py_DECREF(capsule);
    return fine;
}

/* ---- either ---------------------------------------------------------------------------------------------------------------- */

bool core_is_plain(const import_context *context, PyObject *object)
{
    for (Py_ssize_t i = 0; context->plain && i < PyTuple_GET_SIZE(context->plain); i++)
        if ((PyObject *)Py_TYPE(object) == PyTuple_GET_ITEM(context->plain, i))
            return true;
    if (context->plain)
        PyErr_Format(core_unsupported, "a tensor of the type %.200s", Py_TYPE(object)->tp_name);
    return !context->plain;
}

bool core_import(import_context *context, PyObject *object, bool writable, DLTensor *out)
{
    if (!core_is_plain(context, object))
        return false;
    const dl_exchange_table *table = table_of(Py_TYPE(object));
    return table ? import_exchanged(table, object, writable, out) : import_capsule(context, object, writable, out);
}

PyObject *core_tuple(const int64_t *values, int32_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int32_t i = 0; tuple && i < count; i++) {
        PyObject *value = PyLong_FromLongLong(values[i]);
        if (!value)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, value);
    }
    return tuple;
}
