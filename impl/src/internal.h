/* internal.h - an optimizer as its own files see it. */
#ifndef SGD_INTERNAL_H
#define SGD_INTERNAL_H

#include <sgd/sgd.h>

#include "engine.h"

/* ---- optimizer ------------------------------------------------------------------------------------------------------- */

typedef struct parameter {
    tensor_view view;
    DLTensor descriptor; /* shape is owned, strides NULL */
    void *buffer;        /* numel elements on the backend's device, owned; NULL until first needed */
    bool has_buffer;     /* the state has a momentum buffer; until then `buffer` is just memory */
} parameter;

typedef struct param_group {
    sgd_options options;
    sgd_path path;
    size_t first, count; /* its parameters: params[first .. first + count) */
} param_group;

struct sgd_optimizer {
    sgd_config config;
    sgd_options defaults;
    param_group *groups;
    size_t group_count;
    parameter *params;
    size_t param_count;
    /* Work space of a step, one entry per parameter or group; made when they are added, so that a step allocates none. */
    sgd_item *items;
    step_item *prepared;
    DLTensor *buffers;
    step_group *steps;
    sgd_workspace workspace;
};

#endif
