/* owned.c - tensors that the library owns: momentum buffers on a device, what comes out of a file, casts.
 *
 * Each is an object with a count of the values that name it, so that a state dict and its optimizer share a buffer, and
 * whoever lets go of it last frees it.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dict.h"

#define ALIGNMENT 64

typedef struct owned {
    atomic_size_t references;
    const sgd_backend *backend; /* whose memory it is; NULL: the host's */
    DLTensor tensor;            /* its shape and strides lie behind the struct */
    sgd_sparse sparse;
    stored parts[2]; /* indices and values that `sparse` began with */
} owned;

static void retain(void *object) { atomic_fetch_add_explicit(&((owned *)object)->references, 1, memory_order_relaxed); }

static void release(void *object)
{
    owned *own = object;
    if (atomic_fetch_sub_explicit(&own->references, 1, memory_order_acq_rel) != 1)
        return;
    sgd_sparse_destroy(&own->sparse);
    stored_clear(&own->parts[0]);
    stored_clear(&own->parts[1]);
    if (own->backend)
        own->backend->release(own->backend->context, own->tensor.data);
    else
        free(own->tensor.data);
    free(own);
}

static const sgd_object_type dense_type = {.struct_size = sizeof dense_type, .retain = retain, .release = release};
static const sgd_object_type sparse_type = {.struct_size = sizeof sparse_type, .retain = retain, .release = release};

bool owned_is(const sgd_value *value) { return value->type == &dense_type || value->type == &sparse_type; }

sgd_sparse *owned_sparse(const sgd_value *value)
{
    return value->kind == SGD_VALUE_SPARSE && value->type == &sparse_type ? &((owned *)value->object)->sparse : NULL;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

size_t tensor_element_size(DLDataType type)
{
    static const struct {
        uint8_t code, bits;
    } known[] = {{kDLFloat, 64},   {kDLFloat, 32},    {kDLFloat, 16}, {kDLBfloat, 16}, {kDLComplex, 64},
                 {kDLComplex, 128}, {kDLInt, 64},     {kDLInt, 32},   {kDLInt, 16},    {kDLInt, 8},
                 {kDLUInt, 8},     {DL_BOOL, 8}};
    for (size_t i = 0; i < sizeof known / sizeof known[0] && type.lanes == 1; i++)
        if (known[i].code == type.code && known[i].bits == type.bits)
            return type.bits / 8;
    return 0;
}

sgd_status tensor_numel(const DLTensor *tensor, size_t *out, sgd_error *error)
{
    if (!tensor || tensor->ndim < 0 || (tensor->ndim > 0 && !tensor->shape))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "tensor is NULL or has no shape");
    size_t numel = 1, limit = (size_t)PTRDIFF_MAX / 16;
    bool empty = false, sound = tensor->ndim <= LAYOUT_DIMS;
    for (int32_t d = 0; d < tensor->ndim && sound; d++) {
        int64_t extent = tensor->shape[d];
        empty |= extent == 0;
        sound = extent >= 0 && (extent == 0 || numel <= limit / (size_t)extent);
        numel *= extent > 0 ? (size_t)extent : 1;
    }
    if (!sound)
        return sgd_error_set(error, SGD_ERROR_SHAPE,
                             "more than %d dimensions, a negative extent, or more elements than memory has", LAYOUT_DIMS);
    *out = empty ? 0 : numel;
    return SGD_OK;
}

/* Whether strides give each element of a shape a place of its own without gaps. */
static bool is_dense(const DLTensor *like, const int64_t *strides)
{
    int64_t contiguous[LAYOUT_DIMS];
    layout_contiguous(like->ndim, like->shape, contiguous);
    int64_t like_room[LAYOUT_DIMS];
    layout_like(like->ndim, like->shape, strides, like_room);
    for (int32_t d = 0; d < like->ndim; d++)
        if (like->shape[d] > 1 && like_room[d] != strides[d])
            return false;
    return true;
}

/* ---- making them --------------------------------------------------------------------------------------------------------- */

static sgd_status owned_memory(size_t bytes, const sgd_backend *backend, void **out)
{
    if (backend)
        return backend->allocate(backend->context, bytes, out);
    *out = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    return *out ? SGD_OK : SGD_ERROR_MEMORY;
}

static sgd_value owned_value(owned *own)
{
    return (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &own->tensor}, .object = own, .type = &dense_type};
}

sgd_status owned_tensor_create(const DLTensor *like, const int64_t *strides, const sgd_backend *backend, sgd_value *out,
                               sgd_error *error)
{
    size_t numel, element = tensor_element_size(like->dtype), ndim = (size_t)like->ndim;
    sgd_status status = tensor_numel(like, &numel, error);
    if (status)
        return status;
    if (!element)
        return sgd_error_set(error, SGD_ERROR_DTYPE, "DLPack dtype code %d, %d bits, %d lanes is not known", like->dtype.code,
                             like->dtype.bits, like->dtype.lanes);
    bool host = !backend || backend->dl_device == kDLCPU;
    owned *own = malloc(sizeof *own + 2 * ndim * sizeof(int64_t));
    if (!own)
        return no_memory(error);
    *own = (owned){.backend = backend, .tensor = {.ndim = like->ndim, .dtype = like->dtype, .device = like->device}};
    atomic_init(&own->references, 1);
    if (!backend)
        own->tensor.device = (DLDevice){kDLCPU, 0};
    own->tensor.shape = (int64_t *)(own + 1);
    own->tensor.strides = strides ? own->tensor.shape + ndim : NULL;
    if (ndim)
        memcpy(own->tensor.shape, like->shape, ndim * sizeof(int64_t));
    if (ndim && strides)
        memcpy(own->tensor.strides, strides, ndim * sizeof(int64_t));
    status = owned_memory(numel * element, backend, &own->tensor.data);
    if (status) {
        free(own);
        return sgd_error_set(error, status, "no memory for a tensor of %zu bytes: %s", numel * element,
                             sgd_status_text(status));
    }
    if (host)
        memset(own->tensor.data, 0, numel * element);
    *out = owned_value(own);
    return SGD_OK;
}

sgd_status sgd_tensor_create(const DLTensor *like, sgd_value *out, sgd_error *error)
{
    size_t numel;
    sgd_status status = tensor_numel(like, &numel, error);
    if (status)
        return status;
    if (!out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "out is NULL");
    if (like->strides && numel > 0 && !is_dense(like, like->strides))
        return sgd_error_set(error, SGD_ERROR_LAYOUT, "strides that leave gaps or give elements a common place");
    return owned_tensor_create(like, like->strides, NULL, out, error);
}

static owned *sparse_new(size_t ndim, sgd_error *error)
{
    owned *own = malloc(sizeof *own + ndim * sizeof(int64_t));
    if (!own) {
        no_memory(error);
        return NULL;
    }
    *own = (owned){.tensor = {.data = NULL}};
    atomic_init(&own->references, 1);
    return own;
}

static sgd_value sparse_value(owned *own)
{
    return (sgd_value){.kind = SGD_VALUE_SPARSE, .sparse = &own->sparse, .object = own, .type = &sparse_type};
}

sgd_status owned_sparse_create(const sgd_sparse *borrowed, sgd_value *out, sgd_error *error)
{
    owned *own = sparse_new(0, error);
    if (!own)
        return SGD_ERROR_MEMORY;
    own->sparse = borrowed ? *borrowed : (sgd_sparse){.owned = NULL};
    own->sparse.owned = NULL;
    *out = sparse_value(own);
    return SGD_OK;
}

sgd_status sgd_sparse_create(const sgd_value *indices, const sgd_value *values, int32_t ndim, const int64_t *shape,
                             bool coalesced, sgd_value *out, sgd_error *error)
{
    if (!indices || !values || indices->kind != SGD_VALUE_TENSOR || values->kind != SGD_VALUE_TENSOR || ndim < 0 ||
        (ndim > 0 && !shape) || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "indices, values, shape or out is NULL or not what it should be");
    owned *own = sparse_new((size_t)ndim, error);
    if (!own)
        return SGD_ERROR_MEMORY;
    sgd_status status = stored_copy(indices, &own->parts[0], error);
    if (!status)
        status = stored_copy(values, &own->parts[1], error);
    if (status) {
        release(own);
        return status;
    }
    int64_t *dims = (int64_t *)(own + 1);
    if (ndim)
        memcpy(dims, shape, (size_t)ndim * sizeof *dims);
    own->sparse = (sgd_sparse){.indices = *own->parts[0].value.tensor.tensor,
                               .values = *own->parts[1].value.tensor.tensor,
                               .ndim = ndim,
                               .shape = dims,
                               .coalesced = coalesced};
    *out = sparse_value(own);
    return SGD_OK;
}
