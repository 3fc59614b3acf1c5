/* core.h - exactsgd._core as its own files see it: the C API for Python objects, whatever library they belong to. */
#ifndef EXACTSGD_CORE_H
#define EXACTSGD_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

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
    PyObject *owners; /* list that keeps alive what descriptors borrow from */
} import_context;

/* Fills a descriptor of an object's memory; it borrows from the object, or from something that it puts into owners.
 * `writable` refuses memory that its owner calls read-only.  On failure an exception is set: Unsupported, or the object's. */
bool core_import(import_context *context, PyObject *object, bool writable, DLTensor *out);

/* Whether the type of an object is one that is taken; sets Unsupported where it is not. */
bool core_is_plain(const import_context *context, PyObject *object);

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

/* Reads a param group's dict; foreign keys are not looked at.  KeyError as in PyTorch where one is missing. */
bool core_options(import_context *context, PyObject *group, option_tensors *tensors, sgd_options *out);

/* ---- overlap.c ------------------------------------------------------------------------------------------------------ */

typedef enum overlap {
    OVERLAP_NONE,
    OVERLAP_ITEMS, /* tensors of different items share memory that is written: their order matters          */
    OVERLAP_WITHIN, /* tensors of one item do                                                                */
    OVERLAP_NO_MEMORY
} overlap;

/* Looks for memory that a step writes and that more than one of its tensors lies in, by extent: strided tensors that
 * interleave count. */
overlap core_overlap(const sgd_item *items, size_t count, bool writes_grads);

/* ---- engine.c -------------------------------------------------------------------------------------------------------- */

extern PyType_Spec core_engine_spec;

#endif
