/* values.c - Python objects as sgd_value and sgd_dict, and back.
 *
 * What has no kind of its own rides along as the object it is.  Tensors do too, so that what comes out is what went in; the
 * library sees their memory.
 */
#include <stdlib.h>

#include "core.h"

/* ---- objects --------------------------------------------------------------------------------------------------------- */

static void retain_object(void *object) { Py_INCREF((PyObject *)object); }
static void release_object(void *object) { Py_DECREF((PyObject *)object); }

static sgd_status fail(sgd_error *error)
{
    *error = (sgd_error){SGD_ERROR_CALLBACK, ""}; /* the exception itself is set */
    return SGD_ERROR_CALLBACK;
}

PyObject *core_copy_memo;

/* copy.deepcopy, which load_state_dict makes of all groups' values together. */
static sgd_status copy_object(void *object, sgd_value *out, sgd_error *error)
{
    static value_room room; /* read before the GIL is let go */
    PyObject *module = PyImport_ImportModule("copy");
    PyObject *deepcopy = module ? PyObject_GetAttrString(module, "deepcopy") : NULL;
    PyObject *copied = deepcopy ? PyObject_CallFunctionObjArgs(deepcopy, (PyObject *)object, core_copy_memo, NULL) : NULL;
    Py_XDECREF(deepcopy);
    Py_XDECREF(module);
    if (!copied)
        return fail(error);
    core_room_clear(&room);
    bool fine = core_value(core_contract_plain, copied, &room, out);
    if (!out->object && !room.memory) /* a number or a string: nothing to hand over, but its text must stay */
        room.memory = copied;
    return fine ? SGD_OK : fail(error);
}

static size_t object_text(void *object, char *out, size_t size)
{
    PyObject *text = PyObject_Format(object, NULL); /* as in an f-string */
    Py_ssize_t length = 0;
    const char *chars = text ? PyUnicode_AsUTF8AndSize(text, &length) : NULL;
    size_t taken = chars && size > 0 ? ((size_t)length < size - 1 ? (size_t)length : size - 1) : 0;
    if (taken)
        memcpy(out, chars, taken);
    if (size > 0)
        out[taken] = 0;
    Py_XDECREF(text);
    PyErr_Clear();
    return (size_t)length;
}

static const sgd_object_type object_type = {sizeof object_type, retain_object, release_object, copy_object, NULL, object_text};

/* ---- in -------------------------------------------------------------------------------------------------------------- */

PyObject *core_contract_plain;

static bool string_value(PyObject *object, sgd_value *out)
{
    const char *text = PyUnicode_AsUTF8(object);
    PyErr_Clear(); /* lone surrogates stay objects */
    if (!text || strlen(text) != (size_t)PyUnicode_GET_LENGTH(object)) /* and what has a zero in it, or is longer as UTF-8 */
        return false;
    *out = (sgd_value){.kind = SGD_VALUE_STRING, .string = text};
    return true;
}

/* A list of strings. */
static bool strings_value(PyObject *list, value_room *room, sgd_value *out)
{
    size_t count = (size_t)PyList_GET_SIZE(list);
    PyObject *memory = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((count + 1) * sizeof(const char *)));
    const char **items = memory ? (const char **)(void *)PyBytes_AS_STRING(memory) : NULL;
    bool fine = items != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        sgd_value value;
        PyObject *item = PyList_GET_ITEM(list, (Py_ssize_t)i);
        fine = PyUnicode_CheckExact(item) && string_value(item, &value);
        if (fine)
            items[i] = value.string;
    }
    PyErr_Clear();
    if (fine)
        *out = (sgd_value){.kind = SGD_VALUE_STRINGS, .strings = {items, count}};
    Py_XSETREF(room->memory, memory);
    return fine;
}

/* PyTorch squeezes lr: see options.c. */
bool core_requires_grad(PyObject *object, bool squeezes)
{
    PyObject *asked = squeezes ? PyObject_CallMethod(object, "squeeze", NULL) : Py_NewRef(object);
    PyObject *answer = asked ? PyObject_GetAttrString(asked, "requires_grad") : NULL;
    bool yes = answer == Py_True;
    Py_XDECREF(asked);
    Py_XDECREF(answer);
    return yes;
}

static bool tensor_value(PyObject *plain, PyObject *object, value_room *room, sgd_value *out)
{
    import_context context = {plain, PyList_New(0)};
    bool fine = context.owners && core_is_plain(&context, object);
    if (fine && core_is_coo(object)) {
        fine = core_import_coo(&context, object, &room->sparse);
        *out = (sgd_value){.kind = SGD_VALUE_SPARSE, .sparse = &room->sparse};
    } else if (fine) {
        fine = core_import(&context, object, false, &room->tensor);
        *out = (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {&room->tensor, fine && core_requires_grad(object, false)}};
    }
    PyErr_Clear(); /* other tensors are objects */
    Py_XSETREF(room->memory, context.owners);
    return fine;
}

bool core_value(PyObject *plain, PyObject *object, value_room *room, sgd_value *out)
{
    sgd_value value = {.kind = SGD_VALUE_OBJECT};
    int overflow = 0;
    if (object == Py_None) {
        value.kind = SGD_VALUE_NONE;
    } else if (PyBool_Check(object)) {
        value = (sgd_value){.kind = SGD_VALUE_BOOL, .boolean = object == Py_True};
    } else if (PyLong_CheckExact(object) && (value.integer = PyLong_AsLongLongAndOverflow(object, &overflow), !overflow)) {
        value.kind = SGD_VALUE_INT;
    } else if (PyFloat_Check(object)) {
        value = (sgd_value){.kind = SGD_VALUE_DOUBLE, .number = PyFloat_AS_DOUBLE(object)};
    } else if (!(PyUnicode_CheckExact(object) && string_value(object, &value)) &&
               !(PyList_CheckExact(object) && strings_value(object, room, &value))) {
        if (!tensor_value(plain, object, room, &value))
            value = (sgd_value){.kind = SGD_VALUE_OBJECT};
        value.object = object;
        value.type = &object_type;
    }
    *out = value;
    return !PyErr_Occurred();
}

void core_room_clear(value_room *room) { Py_CLEAR(room->memory); }

bool core_dict_fill(PyObject *plain, PyObject *from, const char *without, sgd_dict *out)
{
    PyObject *key, *object;
    Py_ssize_t position = 0;
    if (!PyDict_Check(from)) {
        PyErr_Format(PyExc_TypeError, "expected a dict, got %.200s", Py_TYPE(from)->tp_name);
        return false;
    }
    while (PyDict_Next(from, &position, &key, &object)) {
        sgd_value value;
        sgd_error error;
        value_room room = {0};
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;
        if (!name && !PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "keys of param groups and of state must be strings");
        if (name && without && !strcmp(name, without))
            continue;
        bool fine = name && core_value(plain, object, &room, &value);
        if (fine && value.kind == SGD_VALUE_TENSOR && room.tensor.ndim && !strcmp(name, "lr"))
            value.tensor.requires_grad = core_requires_grad(object, true);
        if (fine && sgd_dict_set(out, name, &value, &error))
            core_raise(&error);
        core_room_clear(&room);
        if (PyErr_Occurred())
            return false;
    }
    return true;
}

bool core_dict_replace(PyObject *plain, PyObject *from, sgd_dict *out)
{
    while (sgd_dict_count(out))
        sgd_dict_remove(out, sgd_dict_key(out, 0));
    return core_dict_fill(plain, from, NULL, out);
}

/* ---- out ------------------------------------------------------------------------------------------------------------- */

typedef struct lent_tensor {
    DLManagedTensor managed;
    sgd_value value;
} lent_tensor;

static void let_go(DLManagedTensor *managed)
{
    lent_tensor *lent = (lent_tensor *)managed;
    lent->value.type->release(lent->value.object);
    free(managed->dl_tensor.shape);
    free(managed->dl_tensor.strides);
    free(managed);
}

static void drop_capsule(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, "dltensor")) /* nobody took it */
        let_go(PyCapsule_GetPointer(capsule, "dltensor"));
}

static int64_t *copy_of(const int64_t *values, int32_t count)
{
    int64_t *copy = values ? malloc((size_t)count * sizeof *copy + 1) : NULL;
    if (copy && count)
        memcpy(copy, values, (size_t)count * sizeof *copy);
    return copy;
}

/* A tensor of the library's own becomes one of the host's over the same memory. */
static PyObject *lend_tensor(PyObject *lend, const sgd_value *value)
{
    lent_tensor *lent = malloc(sizeof *lent);
    if (!lent)
        return PyErr_NoMemory();
    *lent = (lent_tensor){{*value->tensor.tensor, lent, let_go}, *value};
    DLTensor *tensor = &lent->managed.dl_tensor;
    tensor->shape = copy_of(tensor->shape, tensor->ndim);
    tensor->strides = copy_of(tensor->strides, tensor->ndim);
    value->type->retain(value->object);
    PyObject *capsule = PyCapsule_New(&lent->managed, "dltensor", drop_capsule);
    if (!capsule) {
        let_go(&lent->managed);
        return NULL;
    }
    PyObject *made = PyObject_CallFunctionObjArgs(lend, capsule, NULL);
    Py_DECREF(capsule);
    return made;
}

static PyObject *adopt_sparse(PyObject *adopt, const sgd_value *value)
{
    sgd_sparse copy;
    sgd_error error;
    if (sgd_sparse_clone(value->sparse, &copy, &error))
        return core_raise(&error);
    return core_adopt_coo(adopt, Py_None, &copy);
}

static PyObject *strings_object(const sgd_strings *strings)
{
    PyObject *list = PyList_New((Py_ssize_t)strings->count);
    for (size_t i = 0; list && i < strings->count; i++) {
        PyObject *text = PyUnicode_FromString(strings->items[i]);
        if (!text)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, text);
    }
    return list;
}

PyObject *core_object(const hosts *hosts, const sgd_value *value)
{
    if (value->type == &object_type)
        return Py_NewRef((PyObject *)value->object);
    switch (value->kind) {
    case SGD_VALUE_BOOL: return PyBool_FromLong(value->boolean);
    case SGD_VALUE_INT: return PyLong_FromLongLong(value->integer);
    case SGD_VALUE_DOUBLE: return PyFloat_FromDouble(value->number);
    case SGD_VALUE_STRING: return PyUnicode_FromString(value->string);
    case SGD_VALUE_STRINGS: return strings_object(&value->strings);
    case SGD_VALUE_TENSOR: return lend_tensor(hosts->lend, value);
    case SGD_VALUE_SPARSE: return adopt_sparse(hosts->adopt, value);
    default: Py_RETURN_NONE;
    }
}

PyObject *core_dict(const hosts *hosts, const sgd_dict *from)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < sgd_dict_count(from); i++) {
        sgd_value value;
        const char *key = sgd_dict_key(from, i);
        sgd_dict_get(from, key, &value);
        PyObject *object = core_object(hosts, &value);
        if (!object || PyDict_SetItemString(dict, key, object))
            Py_CLEAR(dict);
        Py_XDECREF(object);
    }
    return dict;
}
