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

/* What is known of a type: a step sees few, over and over.  NULL: it has no such thing. */
typedef struct known_type {
    PyTypeObject *type;
    const dl_exchange_table *table;
    PyObject *grad, *version;   /* data descriptors, which no object of the type has its own of */
    PyObject *is_neg, *is_conj; /* methods */
} known_type;

#define KNOWN_TYPES 4
static known_type known_types[KNOWN_TYPES];

/* An attribute of a type, NULL without an exception where it has none. */
static PyObject *attribute(PyTypeObject *type, const char *name)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
    PyErr_Clear();
    return found;
}

static PyObject *data_descriptor(PyTypeObject *type, const char *name)
{
    PyObject *found = attribute(type, name);
    bool usual = type->tp_getattro == PyObject_GenericGetAttr;
    if (found && (!usual || !Py_TYPE(found)->tp_descr_get || !Py_TYPE(found)->tp_descr_set))
        Py_CLEAR(found);
    return found;
}

static const dl_exchange_table *table_of(PyTypeObject *type)
{
    PyObject *capsule = attribute(type, "__dlpack_c_exchange_api__");
    const dl_exchange_table *table = capsule ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : NULL;
    Py_XDECREF(capsule);
    PyErr_Clear();
    return table && table->version.major == 1 && table->tensor_from_object ? table : NULL;
}

static const known_type *know(PyTypeObject *type)
{
    static unsigned next;
    for (size_t i = 0; i < KNOWN_TYPES; i++)
        if (known_types[i].type == type)
            return &known_types[i];
    known_type *known = &known_types[next++ % KNOWN_TYPES], old = *known;
    *known = (known_type){(PyTypeObject *)Py_NewRef(type), table_of(type),
                          data_descriptor(type, "grad"), data_descriptor(type, "_version"),
                          attribute(type, "is_neg"), attribute(type, "is_conj")};
    Py_XDECREF(old.type);
    Py_XDECREF(old.grad);
    Py_XDECREF(old.version);
    Py_XDECREF(old.is_neg);
    Py_XDECREF(old.is_conj);
    return known;
}

/* What a descriptor of the object's type makes of it; a good deal cheaper than a look-up by name. */
static PyObject *ask(PyObject *descriptor, PyObject *object)
{
    return Py_TYPE(descriptor)->tp_descr_get(descriptor, object, (PyObject *)Py_TYPE(object));
}

PyObject *core_grad(PyObject *param)
{
    const known_type *known = know(Py_TYPE(param));
    return known->grad ? ask(known->grad, param) : PyObject_GetAttrString(param, "grad");
}

/* Whether a method without arguments answers True; false with an exception set where it fails, and where there is none. */
static bool says(PyObject *method, PyObject *object)
{
    PyObject *answer = method ? PyObject_CallOneArg(method, object) : NULL;
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

/* PyTorch counts writes to every tensor but those of inference mode, which must not be written to outside. */
static bool counts_writes(const known_type *known, PyObject *object)
{
    PyObject *version = known->version ? ask(known->version, object) : Py_NewRef(Py_None);
    Py_XDECREF(version);
    PyErr_Clear();
    return version;
}

/* What PyTorch keeps beside the memory: conjugation and negation to be done later, and that a tensor is not to be written to.
 * NULL: nothing of it, or an exception is set.  Only the imaginary part of a conjugate is negated so, every other number of its
 * memory, so that a run of numbers need not be asked. */
static const char *flag_of(const known_type *known, PyObject *object, const DLTensor *tensor, bool writable)
{
    bool is_complex = tensor->dtype.code == kDLComplex;
    if (((is_complex || !is_dense_run(tensor)) && says(known->is_neg, object)) || (is_complex && says(known->is_conj, object)))
        return "a tensor that is negated or conjugated lazily";
    return writable && !counts_writes(known, object) ? "a tensor of inference mode" : NULL;
}

static bool import_exchanged(const known_type *known, PyObject *object, bool writable, DLTensor *out)
{
    if (known->table->tensor_from_object(object, out)) {
        PyErr_SetString(core_unsupported, "a tensor without plain memory of its own"); /* PyTorch's text has a stack in it */
        return false;
    }
    const char *flag = flag_of(known, object, out, writable);
    if (flag)
        PyErr_SetString(core_unsupported, flag);
    return !flag && !PyErr_Occurred();
}

/* ---- capsules ------------------------------------------------------------------------------------------------------------ */

/* Says so where an object has no such method, and keeps the exception where it has. */
static void blame_missing(PyObject *object, PyObject *method)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyObject_HasAttr(object, method)) {
        PyErr_Restore(type, value, traceback);
        return;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Format(PyExc_TypeError, "expected a tensor or an array with __dlpack__, got %.200s", Py_TYPE(object)->tp_name);
}

/* object.__dlpack__(max_version=(1, 0)), or without a word of versions from before DLPack 1.0. */
static PyObject *ask_for_capsule(PyObject *object)
{
    static PyObject *method, *names, *version;
    if (!method)
        method = PyUnicode_InternFromString("__dlpack__");
    if (!names)
        names = Py_BuildValue("(s)", "max_version");
    if (!version)
        version = Py_BuildValue("(ii)", 1, 0);
    if (!method || !names || !version)
        return NULL;
    PyObject *arguments[] = {object, version}, *capsule = PyObject_VectorcallMethod(method, arguments, 1, names);
    if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        capsule = PyObject_CallMethodNoArgs(object, method);
    }
    if (!capsule)
        blame_missing(object, method);
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
    fine = fine && core_own(context, capsule); /* not consumed: its own destructor frees it */
    Py_DECREF(capsule);
    return fine;
}

/* ---- either ---------------------------------------------------------------------------------------------------------------- */

bool core_own(import_context *context, PyObject *object)
{
    if (!context->owners)
        context->owners = PyList_New(0);
    return context->owners && PyList_Append(context->owners, object) == 0;
}

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
    const known_type *known = know(Py_TYPE(object));
    return known->table ? import_exchanged(known, object, writable, out) : import_capsule(context, object, writable, out);
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
