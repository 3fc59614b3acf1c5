/* contract.c - exactsgd._core.Optimizer: construction, groups, text (torch.optim.Optimizer in C, for exactsgd.contract). */
#include <stdlib.h>

#include "core.h"

PyObject *core_raise_either(const sgd_error *error) { return PyErr_Occurred() ? NULL : core_raise(error); }

/* ---- groups in ------------------------------------------------------------------------------------------------------- */

/* A group as Python hands it over: (params, names or None, dict of values, non-leaf flags or None). */
typedef struct group_room {
    DLTensor *params;
    const void **identities;
    const char **names;
    bool *non_leaf;
    sgd_dict *values;
    PyObject *owners;
} group_room;

static void room_clear(group_room *room)
{
    free(room->params);
    free(room->identities);
    free(room->names);
    free(room->non_leaf);
    sgd_dict_destroy(room->values);
    Py_XDECREF(room->owners);
}

/* The memory of a param; one that has none of its own is described without, and is no step's of the library. */
static void import_param(group_room *room, PyObject *param, size_t index)
{
    static int64_t nothing[] = {0};
    import_context context = {NULL, room->owners};
    room->identities[index] = param;
    if (!core_import(&context, param, false, &room->params[index]))
        room->params[index] = (DLTensor){.device = {kDLCPU, 0}, .ndim = 1, .dtype = {kDLFloat, 32, 1}, .shape = nothing};
    PyErr_Clear();
}

static bool import_flags(group_room *room, PyObject *names, PyObject *non_leaf, size_t count)
{
    room->names = names == Py_None ? NULL : calloc(count + 1, sizeof *room->names);
    room->non_leaf = non_leaf == Py_None ? NULL : calloc(count + 1, sizeof *room->non_leaf);
    for (size_t i = 0; i < count; i++) {
        PyObject *name = room->names ? PyList_GetItem(names, (Py_ssize_t)i) : Py_None;
        PyObject *flag = room->non_leaf ? PyList_GetItem(non_leaf, (Py_ssize_t)i) : Py_None;
        if (!name || !flag)
            return false;
        if (name != Py_None)
            room->names[i] = PyUnicode_AsUTF8(name);
        if (room->non_leaf)
            room->non_leaf[i] = flag == Py_True;
    }
    return !PyErr_Occurred();
}

static bool import_group(PyObject *tuple, group_room *room, sgd_group *out)
{
    PyObject *params, *names, *values, *non_leaf;
    sgd_error error;
    if (!PyArg_ParseTuple(tuple, "O!OO!O", &PyList_Type, &params, &names, &PyDict_Type, &values, &non_leaf))
        return false;
    size_t count = (size_t)PyList_GET_SIZE(params);
    room->params = calloc(count + 1, sizeof *room->params);
    room->identities = calloc(count + 1, sizeof *room->identities);
    room->owners = PyList_New(0);
    if (!room->params || !room->identities || !room->owners || sgd_dict_create(&room->values, &error))
        return PyErr_NoMemory();
    for (size_t i = 0; i < count; i++)
        import_param(room, PyList_GET_ITEM(params, (Py_ssize_t)i), i);
    if (!import_flags(room, names, non_leaf, count) || !core_dict_fill(core_contract_plain, values, NULL, room->values))
        return false;
    *out = (sgd_group){sizeof *out, room->params, count, room->names, room->values, room->identities, room->non_leaf, true};
    return true;
}

typedef struct group_list {
    group_room *rooms;
    sgd_group *groups;
    size_t count;
} group_list;

static void groups_clear(group_list *list)
{
    for (size_t i = 0; list->rooms && i < list->count; i++)
        room_clear(&list->rooms[i]);
    free(list->rooms);
    free(list->groups);
}

static bool import_groups(PyObject *groups, group_list *out)
{
    size_t count = (size_t)PyList_GET_SIZE(groups);
    *out = (group_list){calloc(count + 1, sizeof *out->rooms), calloc(count + 1, sizeof *out->groups), count};
    if (!out->rooms || !out->groups)
        return PyErr_NoMemory();
    for (size_t i = 0; i < count; i++)
        if (!import_group(PyList_GET_ITEM(groups, (Py_ssize_t)i), &out->rooms[i], &out->groups[i]))
            return false;
    return true;
}

/* ---- the type's life ------------------------------------------------------------------------------------------------- */

static PyObject *warnings_of(unsigned warnings)
{
    return PyUnicode_FromString(warnings & SGD_WARNING_DUPLICATES ? sgd_warning_text(SGD_WARNING_DUPLICATES) : "");
}

static bool create(contract *self, PyObject *defaults, PyObject *groups, const sgd_config *config, unsigned *warnings)
{
    group_list list = {0};
    sgd_dict *values = NULL;
    sgd_error error;
    bool fine = !sgd_dict_create(&values, &error) && core_dict_fill(core_contract_plain, defaults, NULL, values) &&
                import_groups(groups, &list);
    if (fine && sgd_optimizer_create_groups(values, config, list.groups, list.count, &self->handle, warnings, &error)) {
        core_raise_either(&error);
        fine = false;
    }
    sgd_dict_destroy(values);
    groups_clear(&list);
    return fine;
}

static PyObject *contract_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *defaults, *groups, *plain, *lend, *adopt, *warned;
    const char *name, *defects;
    unsigned torch_threads, threads, warnings = 0;
    if (keywords || !PyArg_ParseTuple(args, "O!O!ssIIO!OOO:Optimizer", &PyDict_Type, &defaults, &PyList_Type, &groups, &name,
                                      &defects, &torch_threads, &threads, &PyTuple_Type, &plain, &lend, &adopt, &warned))
        return NULL;
    sgd_config config = sgd_config_default();
    if (!core_choose(name, defects, &config))
        return NULL;
    config.torch_threads = torch_threads;
    config.threads = threads;
    Py_INCREF(plain);
    Py_XSETREF(core_contract_plain, plain);
    contract *self = (contract *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->hosts = (hosts){Py_NewRef(lend), Py_NewRef(adopt)};
    self->callables = PyDict_New();
    PyObject *text = self->callables && create(self, defaults, groups, &config, &warnings) ? warnings_of(warnings) : NULL;
    PyObject *answer = text && PyObject_IsTrue(text) ? PyObject_CallOneArg(warned, text) : Py_XNewRef(text);
    Py_XDECREF(text);
    if (!answer)
        Py_CLEAR(self);
    Py_XDECREF(answer);
    return (PyObject *)self;
}

static int contract_traverse(contract *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->callables);
    Py_VISIT(self->hosts.lend);
    Py_VISIT(self->hosts.adopt);
    return 0;
}

static int contract_clear(contract *self)
{
    Py_CLEAR(self->callables);
    return 0;
}

static void contract_dealloc(contract *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    sgd_optimizer_destroy(self->handle);
    Py_CLEAR(self->callables);
    Py_CLEAR(self->hosts.lend);
    Py_CLEAR(self->hosts.adopt);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* ---- groups ---------------------------------------------------------------------------------------------------------- */

static PyObject *contract_set_groups(contract *self, PyObject *groups)
{
    group_list list = {0};
    sgd_error error;
    if (!PyList_Check(groups)) {
        PyErr_SetString(PyExc_TypeError, "groups must be a list");
        return NULL;
    }
    bool fine = import_groups(groups, &list);
    if (fine && sgd_optimizer_set_groups(self->handle, list.groups, list.count, &error)) {
        core_raise_either(&error);
        fine = false;
    }
    groups_clear(&list);
    return fine ? Py_NewRef(Py_None) : NULL;
}

static PyObject *contract_add_group(contract *self, PyObject *tuple)
{
    group_room room = {0};
    sgd_group group;
    sgd_error error;
    unsigned warnings = 0;
    bool fine = PyTuple_Check(tuple) && import_group(tuple, &room, &group);
    if (fine && sgd_optimizer_add_param_group(self->handle, &group, &warnings, &error)) {
        core_raise_either(&error);
        fine = false;
    }
    room_clear(&room);
    return fine ? warnings_of(warnings) : NULL;
}

static PyObject *contract_groups(contract *self, PyObject *none)
{
    (void)none;
    size_t count = sgd_optimizer_group_count(self->handle);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *dict = core_dict(&self->hosts, sgd_optimizer_group(self->handle, i));
        if (!dict || PyList_Append(list, dict))
            Py_CLEAR(list);
        Py_XDECREF(dict);
    }
    return list;
}

static PyObject *contract_set_defaults(contract *self, PyObject *defaults)
{
    if (!core_dict_replace(core_contract_plain, defaults, sgd_optimizer_defaults(self->handle)))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *contract_text(contract *self, PyObject *name)
{
    const char *class_name = PyUnicode_AsUTF8(name);
    size_t length = class_name ? sgd_optimizer_text(self->handle, class_name, NULL, 0) : 0;
    char *text = class_name ? malloc(length + 1) : NULL;
    if (!text)
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    sgd_optimizer_text(self->handle, class_name, text, length + 1);
    PyObject *answer = PyUnicode_FromStringAndSize(text, (Py_ssize_t)length);
    free(text);
    return answer;
}

static PyMethodDef contract_methods[] = {
    {"set_groups", (PyCFunction)contract_set_groups, METH_O, NULL},
    {"add_group", (PyCFunction)contract_add_group, METH_O, NULL},
    {"groups", (PyCFunction)contract_groups, METH_NOARGS, NULL},
    {"set_defaults", (PyCFunction)contract_set_defaults, METH_O, NULL},
    {"text", (PyCFunction)contract_text, METH_O, NULL},
    {"set_state", (PyCFunction)contract_set_state, METH_VARARGS, NULL},
    {"state", (PyCFunction)contract_state, METH_O, NULL},
    {"set_other_state", (PyCFunction)contract_set_other_state, METH_O, NULL},
    {"other_state", (PyCFunction)contract_other_state, METH_NOARGS, NULL},
    {"state_dict", (PyCFunction)contract_state_dict, METH_NOARGS, NULL},
    {"load_state_dict", (PyCFunction)contract_load_state_dict, METH_O, NULL},
    {"add_hook", (PyCFunction)contract_add_hook, METH_VARARGS, NULL},
    {"remove_hook", (PyCFunction)contract_remove_hook, METH_O, NULL},
    {"step", (PyCFunction)contract_step, METH_VARARGS, NULL},
    {"zero_grad", (PyCFunction)contract_zero_grad, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot contract_slots[] = {
    {Py_tp_doc, "sgd_optimizer for exactsgd.contract; see _core.pyi."},
    {Py_tp_new, contract_new},
    {Py_tp_dealloc, contract_dealloc},
    {Py_tp_traverse, contract_traverse},
    {Py_tp_clear, contract_clear},
    {Py_tp_methods, contract_methods},
    {0, NULL},
};

PyType_Spec core_contract_spec = {"exactsgd._core.Optimizer", sizeof(contract), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                                  contract_slots};
