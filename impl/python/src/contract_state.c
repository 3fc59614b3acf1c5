/* contract_state.c - exactsgd._core.Optimizer: state, state_dict, load_state_dict. */
#include "core.h"

/* ---- state of params, and other state -------------------------------------------------------------------------------- */

PyObject *contract_set_state(contract *self, PyObject *args)
{
    Py_ssize_t index;
    PyObject *values;
    sgd_dict *dict;
    sgd_error error;
    if (!PyArg_ParseTuple(args, "nO", &index, &values))
        return NULL;
    if (values == Py_None) {
        sgd_optimizer_drop_state(self->handle, (size_t)index);
        Py_RETURN_NONE;
    }
    if (sgd_optimizer_state(self->handle, (size_t)index, &dict, &error))
        return core_raise_either(&error);
    if (!core_dict_replace(core_contract_plain, values, dict))
        return NULL;
    Py_RETURN_NONE;
}

PyObject *contract_state(contract *self, PyObject *index)
{
    size_t tensor = PyLong_AsSize_t(index);
    sgd_dict *dict;
    sgd_error error;
    if (PyErr_Occurred())
        return NULL;
    if (!sgd_optimizer_has_state(self->handle, tensor))
        Py_RETURN_NONE;
    return sgd_optimizer_state(self->handle, tensor, &dict, &error) ? core_raise_either(&error) : core_dict(&self->hosts, dict);
}

/* Under keys that are no params' there may be anything; what is no dict travels in one, under a key that no other has. */
static const char bare[] = "\x01 value";

static bool entry_fill(PyObject *values, sgd_dict *dict)
{
    if (PyDict_Check(values))
        return core_dict_replace(core_contract_plain, values, dict);
    PyObject *wrapped = Py_BuildValue("{sO}", bare, values);
    bool fine = wrapped && core_dict_replace(core_contract_plain, wrapped, dict);
    Py_XDECREF(wrapped);
    return fine;
}

static PyObject *entry_object(const hosts *hosts, const sgd_dict *dict)
{
    sgd_value value;
    bool is_bare = sgd_dict_count(dict) == 1 && sgd_dict_get(dict, bare, &value);
    return is_bare ? core_object(hosts, &value) : core_dict(hosts, dict);
}

PyObject *contract_set_other_state(contract *self, PyObject *entries)
{
    PyObject *key, *values;
    Py_ssize_t position = 0;
    sgd_optimizer_other_state_clear(self->handle);
    while (PyDict_Next(entries, &position, &key, &values)) {
        value_room room = {0};
        sgd_value value;
        sgd_dict *dict;
        sgd_error error;
        bool fine = core_value(core_contract_plain, key, &room, &value);
        if (fine && sgd_optimizer_other_state_add(self->handle, &value, &dict, &error))
            fine = core_raise_either(&error);
        fine = fine && entry_fill(values, dict);
        core_room_clear(&room);
        if (!fine)
            return NULL;
    }
    Py_RETURN_NONE;
}

/* Puts {key: entry} into a Python dict. */
static bool put_entry(const hosts *hosts, PyObject *into, const sgd_value *key, const sgd_dict *dict)
{
    PyObject *name = core_object(hosts, key), *values = name ? entry_object(hosts, dict) : NULL;
    bool fine = values && PyDict_SetItem(into, name, values) == 0;
    Py_XDECREF(values);
    Py_XDECREF(name);
    return fine;
}

PyObject *contract_other_state(contract *self, PyObject *none)
{
    (void)none;
    PyObject *entries = PyDict_New();
    for (size_t i = 0; entries && i < sgd_optimizer_other_state_count(self->handle); i++) {
        sgd_value key;
        sgd_dict *dict;
        sgd_error error;
        if (sgd_optimizer_other_state(self->handle, i, &key, &dict, &error))
            core_raise_either(&error);
        else
            put_entry(&self->hosts, entries, &key, dict);
        if (PyErr_Occurred())
            Py_CLEAR(entries);
    }
    return entries;
}

/* ---- out ------------------------------------------------------------------------------------------------------------- */

static PyObject *packed_group(const hosts *hosts, const sgd_state *state, size_t index)
{
    size_t count;
    const int64_t *ids = sgd_state_group_ids(state, index, &count);
    PyObject *group = core_dict(hosts, sgd_state_group(state, index));
    PyObject *list = group ? PyList_New(0) : NULL;
    for (size_t i = 0; list && i < count; i++) {
        PyObject *id = PyLong_FromLongLong(ids[i]);
        if (!id || PyList_Append(list, id))
            Py_CLEAR(list);
        Py_XDECREF(id);
    }
    if (!list || PyDict_SetItemString(group, "params", list))
        Py_CLEAR(group);
    Py_XDECREF(list);
    return group;
}

static bool pack_groups(const hosts *hosts, const sgd_state *state, PyObject *into)
{
    for (size_t i = 0; i < sgd_state_group_count(state); i++) {
        PyObject *group = packed_group(hosts, state, i);
        bool fine = group && PyList_Append(into, group) == 0;
        Py_XDECREF(group);
        if (!fine)
            return false;
    }
    return true;
}

static bool pack_entries(const hosts *hosts, const sgd_state *state, PyObject *into)
{
    for (size_t i = 0; i < sgd_state_entry_count(state); i++) {
        sgd_value key;
        sgd_dict *dict;
        sgd_error error;
        if (sgd_state_entry(state, i, &key, &dict, &error)) {
            core_raise_either(&error);
            return false;
        }
        if (!put_entry(hosts, into, &key, dict))
            return false;
    }
    return true;
}

PyObject *core_state_dict(const hosts *hosts, const sgd_state *state)
{
    PyObject *entries = PyDict_New(), *groups = PyList_New(0), *whole = NULL;
    if (entries && groups && pack_entries(hosts, state, entries) && pack_groups(hosts, state, groups))
        whole = Py_BuildValue("{sOsO}", "state", entries, "param_groups", groups);
    Py_XDECREF(entries);
    Py_XDECREF(groups);
    return whole;
}

PyObject *contract_state_dict(contract *self, PyObject *none)
{
    (void)none;
    sgd_state *state;
    sgd_error error;
    if (sgd_optimizer_state_dict(self->handle, &state, &error))
        return core_raise_either(&error);
    PyObject *host = sgd_state_host(state);
    PyObject *answer = host ? Py_NewRef(host) : core_state_dict(&self->hosts, state);
    sgd_state_destroy(state);
    return answer;
}

/* ---- in -------------------------------------------------------------------------------------------------------------- */

static bool read_group(PyObject *group, sgd_state *state)
{
    PyObject *params = PyObject_GetItem(group, PyUnicode_InternFromString("params"));
    PyObject *list = params ? PySequence_Fast(params, "params of a loaded group must be a list") : NULL;
    size_t count = list ? (size_t)PySequence_Fast_GET_SIZE(list) : 0;
    PyObject *memory = list ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((count + 1) * sizeof(int64_t))) : NULL;
    int64_t *ids = memory ? (int64_t *)(void *)PyBytes_AS_STRING(memory) : NULL;
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(list, (Py_ssize_t)i));
    sgd_dict *dict;
    sgd_error error;
    bool fine = ids && !PyErr_Occurred();
    if (fine && sgd_state_add_group(state, ids, count, &dict, &error))
        fine = core_raise_either(&error);
    fine = fine && core_dict_fill(core_contract_plain, group, "params", dict);
    Py_XDECREF(memory);
    Py_XDECREF(list);
    Py_XDECREF(params);
    return fine;
}

static bool read_entry(PyObject *key, PyObject *values, sgd_state *state)
{
    value_room room = {0};
    sgd_value value;
    sgd_dict *dict;
    sgd_error error;
    bool fine = core_value(core_contract_plain, key, &room, &value);
    if (fine && sgd_state_add_entry(state, &value, &dict, &error))
        fine = core_raise_either(&error);
    fine = fine && entry_fill(values, dict);
    core_room_clear(&room);
    return fine;
}

/* load_state_dict asks for this once its pre-hooks have run. */
static sgd_status read_state(void *object, sgd_state *state, sgd_error *error)
{
    PyObject *groups = PyMapping_GetItemString(object, "param_groups");
    PyObject *list = groups ? PySequence_Fast(groups, "param_groups must be a list") : NULL;
    for (Py_ssize_t i = 0; list && i < PySequence_Fast_GET_SIZE(list) && !PyErr_Occurred(); i++)
        read_group(PySequence_Fast_GET_ITEM(list, i), state);
    Py_XDECREF(list);
    Py_XDECREF(groups);
    PyObject *entries = PyErr_Occurred() ? NULL : PyMapping_GetItemString(object, "state");
    PyObject *items = entries ? PyMapping_Items(entries) : NULL;
    for (Py_ssize_t i = 0; items && i < PyList_GET_SIZE(items) && !PyErr_Occurred(); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        read_entry(PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1), state);
    }
    Py_XDECREF(items);
    Py_XDECREF(entries);
    if (!PyErr_Occurred())
        return SGD_OK;
    *error = (sgd_error){SGD_ERROR_CALLBACK, ""};
    return SGD_ERROR_CALLBACK;
}

bool core_set_host(sgd_state *state, PyObject *object, bool readable)
{
    value_room room = {0};
    sgd_value value;
    sgd_error error;
    if (!core_value(core_contract_plain, object, &room, &value))
        return false;
    if (!sgd_state_set_host(state, &value, readable ? read_state : NULL, &error))
        return true;
    core_raise_either(&error);
    return false;
}

PyObject *contract_load_state_dict(contract *self, PyObject *state_dict)
{
    sgd_state *state;
    sgd_error error;
    if (sgd_state_create(&state, &error))
        return core_raise_either(&error);
    PyObject *outer = core_copy_memo;
    core_copy_memo = PyDict_New();
    bool fine = core_copy_memo && core_set_host(state, state_dict, true);
    if (fine && sgd_optimizer_load_state_dict(self->handle, state, &error)) {
        core_raise_either(&error);
        fine = false;
    }
    sgd_state_destroy(state);
    Py_XSETREF(core_copy_memo, outer);
    return fine ? Py_NewRef(Py_None) : NULL;
}
