/* core.h - exactsgd._core as its own files see it: the C API for Python objects, whatever library they belong to. */
#ifndef EXACTSGD_CORE_H
#define EXACTSGD_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sgd/hooks.h>
#include <sgd/sgd.h>

/* ---- errors.c ------------------------------------------------------------------------------------------------------- */

/* Raised where the library does not take what it was given, though PyTorch might: nothing has changed then. */
extern PyObject *core_unsupported;

/* The exception type that a status stands for, borrowed. */
PyObject *core_exception(sgd_status status);

/* Raises the exception that PyTorch would raise, or Unsupported; always NULL. */
PyObject *core_raise(const sgd_error *error);

/* ---- tensors.c ------------------------------------------------------------------------------------------------------ */

/* What an import looks out for. */
typedef struct import_context {
    PyObject *plain;  /* tuple of the types that are taken; NULL: any that speaks DLPack */
    PyObject *owners; /* list that keeps alive what descriptors borrow from; NULL: none yet */
} import_context;

/* Puts an object into owners; false with an exception set. */
bool core_own(import_context *context, PyObject *object);

/* Fills a descriptor of an object's memory; it borrows from the object, or from something that it puts into owners.
 * `writable` refuses memory that its owner calls read-only.  On failure an exception is set: Unsupported, or the object's. */
bool core_import(import_context *context, PyObject *object, bool writable, DLTensor *out);

/* Whether the type of an object is one that is taken; sets Unsupported where it is not. */
bool core_is_plain(const import_context *context, PyObject *object);

/* param.grad, a new reference. */
PyObject *core_grad(PyObject *param);

PyObject *core_tuple(const int64_t *values, int32_t count);

/* ---- coo.c ---------------------------------------------------------------------------------------------------------- */

bool core_is_coo(PyObject *object); /* no exception */
bool core_import_coo(import_context *context, PyObject *object, sgd_sparse *out);

/* Hands a tensor of the library's over to the host, memory and all: adopt(old, indices, values, shape, coalesced), where old is
 * the tensor whose value it becomes, or None; its answer, a new reference.  `sparse` is left cleared. */
PyObject *core_adopt_coo(PyObject *adopt, PyObject *old, sgd_sparse *sparse);

/* ---- options.c ------------------------------------------------------------------------------------------------------ */

/* The four numbers that may be tensors, with the descriptors that sgd_options points to. */
typedef struct option_tensors {
    DLTensor lr, momentum, dampening, weight_decay;
} option_tensors;

typedef enum option {
    OPTION_PARAMS,
    OPTION_LR,
    OPTION_MOMENTUM,
    OPTION_DAMPENING,
    OPTION_WEIGHT_DECAY,
    OPTION_NESTEROV,
    OPTION_MAXIMIZE,
    OPTION_FOREACH,
    OPTION_FUSED,
    OPTION_COUNT
} option;

/* What a param group's dict says, borrowed; KeyError as in PyTorch where it says nothing. */
PyObject *core_option(PyObject *group, option option);

/* Reads a param group's dict; foreign keys are not looked at. */
bool core_options(import_context *context, PyObject *group, option_tensors *tensors, sgd_options *out);

/* ---- overlap.c ------------------------------------------------------------------------------------------------------ */

typedef enum overlap {
    OVERLAP_NONE,
    OVERLAP_ITEMS, /* tensors of different items share memory that is written: their order matters          */
    OVERLAP_WITHIN, /* tensors of one item do                                                                */
    OVERLAP_NO_MEMORY
} overlap;

/* The memory of a tensor, from its first byte to behind its last; both 0 where it has none. */
typedef struct extent {
    uintptr_t begin, end;
} extent;

/* What is known of a group's memory from the step before; start from zeros. */
typedef struct extents {
    extent *written; /* params and buffers, two an item */
    extent *sorted;  /* the same in order */
    size_t *gaps;    /* how many of those lie before each gradient */
    size_t count, capacity;
    bool disjoint; /* the sorted ones are */
} extents;

void core_extents_clear(extents *known);

/* Looks for memory that a step writes and that more than one of its tensors lies in, by extent: strided tensors that
 * interleave count.  Where nothing has moved since the step before, that is a comparison. */
overlap core_overlap(extents *known, const sgd_item *items, size_t count, bool writes_grads);

/* ---- values.c ------------------------------------------------------------------------------------------------------- */

/* What a value points to while the library reads it. */
typedef struct value_room {
    DLTensor tensor;
    sgd_sparse sparse;
    PyObject *memory;
} value_room;

/* The host's functions for what the library made: lend(capsule) -> tensor, and adopt as in core_adopt_coo. */
typedef struct hosts {
    PyObject *lend, *adopt;
} hosts;

extern PyObject *core_contract_plain; /* the plain types of contract optimizers; set once */

/* copy.deepcopy's memo while a state dict is loaded, so that what is one object in it stays one; else NULL. */
extern PyObject *core_copy_memo;

/* Any object as a value, which borrows from it and from `room`. */
bool core_value(PyObject *plain, PyObject *object, value_room *room, sgd_value *out);
bool core_requires_grad(PyObject *tensor, bool squeezes);
void core_room_clear(value_room *room);
PyObject *core_object(const hosts *hosts, const sgd_value *value);

/* Whole dicts: adds all keys but `without` (NULL: all), replaces all keys, or makes a new Python dict. */
bool core_dict_fill(PyObject *plain, PyObject *from, const char *without, sgd_dict *out);
bool core_dict_replace(PyObject *plain, PyObject *from, sgd_dict *out);
PyObject *core_dict(const hosts *hosts, const sgd_dict *from);

/* ---- contract.c, contract_state.c, contract_calls.c ------------------------------------------------------------------ */

/* exactsgd._core.Optimizer: an sgd_optimizer whose groups and state Python brings up to date before it asks for anything. */
typedef struct contract {
    PyObject_HEAD
    sgd_optimizer *handle;
    hosts hosts;
    PyObject *callables; /* dict: hook's handle -> what it calls */
} contract;

extern PyType_Spec core_contract_spec;
PyObject *contract_set_state(contract *self, PyObject *args);
PyObject *contract_state(contract *self, PyObject *index);
PyObject *contract_set_other_state(contract *self, PyObject *entries);
PyObject *contract_other_state(contract *self, PyObject *none);
PyObject *contract_state_dict(contract *self, PyObject *none);
PyObject *contract_load_state_dict(contract *self, PyObject *state_dict);
PyObject *contract_add_hook(contract *self, PyObject *args);
PyObject *contract_remove_hook(contract *self, PyObject *handle);
PyObject *contract_step(contract *self, PyObject *args);
PyObject *core_set_global_hooks(PyObject *module, PyObject *args);
PyObject *core_refuse(PyObject *module, PyObject *args);
PyObject *contract_zero_grad(contract *self, PyObject *args);

/* A state dict as Python has it. */
PyObject *core_state_dict(const hosts *hosts, const sgd_state *state);
/* Lends a Python object to a state dict as its host's. */
bool core_set_host(sgd_state *state, PyObject *object, bool readable);

/* The exception that a callback left, or else the library's; always NULL. */
PyObject *core_raise_either(const sgd_error *error);

/* ---- engine.c -------------------------------------------------------------------------------------------------------- */

extern PyType_Spec core_engine_spec;

/* Puts a contract and a way with defects into a config; ValueError for unknown names. */
bool core_choose(const char *contract, const char *defects, sgd_config *config);

#endif
