/* state_file_hdf5.h - HDF5 as state files use it, for code that need not know HDF5: nodes, small values, tensors. */
#ifndef SGD_STATE_FILE_HDF5_H
#define SGD_STATE_FILE_HDF5_H

#include "state_file_frame.h"

/* A file being written or read; after the first failure nothing more is tried. */
typedef struct session {
    const char *path;
    sgd_status status;
    sgd_error *error;
} session;

void stop(session *s, sgd_status status, const char *what, const char *detail);
void wrong(session *s, const char *where); /* the file does not follow the schema */
void *take_memory(session *s, size_t size);

/* ---- nodes: a file, a group, a dataset; negative where something failed ------------------------------------------------ */

typedef int64_t node;
typedef enum node_kind { NODE_FILE, NODE_GROUP, NODE_DATASET } node_kind;

node file_create(session *s, const char *path);
node file_open(session *s, const char *path);
node group_create(session *s, node where, const char *name);
node node_open(session *s, node where, const char *name, node_kind kind);
void node_close(session *s, node node, node_kind kind); /* takes negative ones */
bool node_is_group(session *s, node where, const char *name); /* else it is a dataset */
size_t node_children(session *s, node group);
bool has_attribute(node where, const char *name);

/* HDF5 prints what goes wrong unless it is told not to. */
typedef struct quiet {
    void *function, *data;
} quiet;
quiet quiet_begin(void);
void quiet_end(quiet before);

/* ---- small values: attributes of a node, or datasets in a group --------------- */

void write_none(session *s, node where, const char *name);
void write_bool(session *s, node where, bool attribute, const char *name, bool value);
void write_double(session *s, node where, const char *name, double value);
void write_text(session *s, node where, bool attribute, const char *name, const char *text);
void write_texts(session *s, node where, bool attribute, const char *name, const char *const *texts, size_t count);
/* `count` -1: a scalar. */
void write_numbers(session *s, node where, bool attribute, const char *name, long count, const int64_t *numbers);

/* Blocks that free() frees; NULL on failure.  `count` NULL: one text, a scalar. */
char **read_text(session *s, node where, bool attribute, const char *name, size_t *count);
int64_t *read_numbers(session *s, node where, bool attribute, const char *name, size_t *count);
bool read_bool(session *s, node where, const char *name); /* an attribute */
bool read_id(session *s, node where, int64_t *out);       /* whether the attribute "id" is a number */

/* A dataset that is no tensor: none, bool, int or double.  False: it is text, of which `*list` says whether it is a list. */
bool read_scalar(session *s, node where, const char *name, sgd_value *out, bool *list);

/* ---- tensors --------------------------------------------------------------------------------------------------------------- */

void write_tensor(session *s, node where, const char *name, const DLTensor *tensor, bool requires_grad);

/* From an open dataset whose attribute "tensor" is `what`; the caller owns the reference in `out`. */
void read_tensor(session *s, node dataset, const char *what, const char *name, sgd_value *out);

/* ---- order (state_file_order.c) ---------------------------------------------------------------------------------------------- */

#define MOST_DIMS 32 /* HDF5's */

size_t numel_of(const DLTensor *tensor);
bool is_contiguous(const DLTensor *tensor);

/* Between a tensor's own layout and the order of indices. */
void reorder(const DLTensor *tensor, size_t size, char *ordered, bool from_tensor);

#endif
