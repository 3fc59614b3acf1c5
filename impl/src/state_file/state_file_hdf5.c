/* state_file_hdf5.c - the one file of the library that knows HDF5: nodes, small values and tensors of a state file.
 *
 * What a value looks like in the file is said in state_file.h; writer and reader of a kind stand side by side.
 */
#include "state_file_hdf5.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

void stop(session *s, sgd_status status, const char *what, const char *detail)
{
    if (!s->status)
        s->status = sgd_error_set(s->error, status, "%.250s: %s%.150s", s->path, what, detail ? detail : "");
}

void wrong(session *s, const char *where) { stop(s, SGD_ERROR_FILE, "the state file does not follow the schema: ", where); }

void *take_memory(session *s, size_t size)
{
    void *memory = malloc(size + 1);
    if (!memory && !s->status)
        s->status = sgd_error_set(s->error, SGD_ERROR_MEMORY, "out of memory");
    return memory;
}

static void check(session *s, long long result)
{
    if (result < 0)
        stop(s, SGD_ERROR_FILE, "HDF5 cannot write or read the state file", NULL);
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------------- */

node file_create(session *s, const char *path)
{
    hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_userblock(creation, FRAME_SIZE);
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    H5Pclose(access);
    H5Pclose(creation);
    check(s, file);
    return file;
}

node file_open(session *s, const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    check(s, file);
    return file;
}

node group_create(session *s, node where, const char *name)
{
    if (s->status)
        return -1;
    hid_t group = H5Gcreate2(where, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    check(s, group);
    return group;
}

node node_open(session *s, node where, const char *name, node_kind kind)
{
    if (s->status)
        return -1;
    hid_t opened = kind == NODE_GROUP ? H5Gopen2(where, name, H5P_DEFAULT) : H5Dopen2(where, name, H5P_DEFAULT);
    if (opened < 0)
        wrong(s, name);
    return opened;
}

void node_close(session *s, node node, node_kind kind)
{
    if (node >= 0)
        check(s, kind == NODE_FILE ? H5Fclose(node) : kind == NODE_GROUP ? H5Gclose(node) : H5Dclose(node));
}

bool node_is_group(session *s, node where, const char *name)
{
    if (s->status)
        return false;
    hid_t object = H5Oopen(where, name, H5P_DEFAULT);
    H5I_type_t type = object < 0 ? H5I_BADID : H5Iget_type(object);
    if (type != H5I_GROUP && type != H5I_DATASET)
        wrong(s, name);
    if (object >= 0)
        H5Oclose(object);
    return type == H5I_GROUP;
}

size_t node_children(session *s, node group)
{
    H5G_info_t info = {.nlinks = 0};
    if (!s->status)
        check(s, H5Gget_info(group, &info));
    return (size_t)info.nlinks;
}

bool has_attribute(node where, const char *name) { return H5Aexists(where, name) > 0; }

quiet quiet_begin(void)
{
    H5E_auto2_t function;
    quiet before;
    H5Eget_auto2(H5E_DEFAULT, &function, &before.data);
    memcpy(&before.function, &function, sizeof before.function);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return before;
}

void quiet_end(quiet before)
{
    H5E_auto2_t function;
    memcpy(&function, &before.function, sizeof function);
    H5Eset_auto2(H5E_DEFAULT, function, before.data);
}

/* ---- types ----------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    DLDataType type;
} tensor_types[] = {{"f64", {kDLFloat, 64, 1}},  {"f32", {kDLFloat, 32, 1}},    {"f16", {kDLFloat, 16, 1}},
                    {"bf16", {kDLBfloat, 16, 1}}, {"c64", {kDLComplex, 64, 1}}, {"c128", {kDLComplex, 128, 1}},
                    {"i64", {kDLInt, 64, 1}},    {"i32", {kDLInt, 32, 1}},      {"i16", {kDLInt, 16, 1}},
                    {"i8", {kDLInt, 8, 1}},      {"u8", {kDLUInt, 8, 1}},       {"bool", {DL_BOOL, 8, 1}}};
#define TENSOR_TYPES (sizeof tensor_types / sizeof tensor_types[0])

static hid_t float_type(unsigned bits)
{
    hid_t type = H5Tcopy(bits == 64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE);
    if (bits == 16) {
        H5Tset_fields(type, 15, 10, 5, 0, 10);
        H5Tset_size(type, 2);
        H5Tset_ebias(type, 15);
    }
    return type;
}

static hid_t complex_type(unsigned bits)
{
    hid_t part = float_type(bits / 2), type = H5Tcreate(H5T_COMPOUND, bits / 8);
    H5Tinsert(type, "r", 0, part);
    H5Tinsert(type, "i", bits / 16, part);
    H5Tclose(part);
    return type;
}

/* The same in the file and in memory: nothing is ever converted. */
static hid_t element_type(DLDataType type)
{
    static const hid_t *const integers[] = {&H5T_STD_I8LE_g, &H5T_STD_I16LE_g, &H5T_STD_I32LE_g, &H5T_STD_I64LE_g};
    H5open();
    switch (type.code) {
    case kDLFloat: return float_type(type.bits);
    case kDLComplex: return complex_type(type.bits);
    case kDLBfloat: return H5Tcopy(H5T_STD_U16LE);
    case kDLInt: return H5Tcopy(*integers[type.bits == 8 ? 0 : type.bits == 16 ? 1 : type.bits == 32 ? 2 : 3]);
    default: return H5Tcopy(H5T_STD_U8LE);
    }
}

static hid_t string_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static hid_t bool_type(void)
{
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    return type;
}

/* ---- attributes and small values --------------------------------------------------------------------------------------------------- */

/* One-dimensional where `count` is not negative; an attribute of `where`, or a dataset there.  Takes over the type. */
static void write_small(session *s, node where, bool attribute, const char *name, hid_t type, long count, const void *data)
{
    hsize_t extent = count < 0 ? 0 : (hsize_t)count;
    hid_t space = !data ? H5Screate(H5S_NULL) : count < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &extent, NULL);
    if (!s->status) {
        hid_t made = attribute ? H5Acreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT)
                               : H5Dcreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        check(s, made);
        if (!s->status && data && count != 0)
            check(s, attribute ? H5Awrite(made, type, data) : H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data));
        if (made >= 0)
            attribute ? H5Aclose(made) : H5Dclose(made);
    }
    H5Sclose(space);
    H5Tclose(type);
}

void write_text(session *s, node where, bool attribute, const char *name, const char *text)
{
    write_small(s, where, attribute, name, string_type(), -1, &text);
}

void write_bool(session *s, node where, bool attribute, const char *name, bool value)
{
    write_small(s, where, attribute, name, bool_type(), -1, &(int8_t){value});
}

void write_numbers(session *s, node where, bool attribute, const char *name, long count, const int64_t *numbers)
{
    write_small(s, where, attribute, name, H5Tcopy(H5T_STD_I64LE), count, numbers ? numbers : &(int64_t){0});
}

void write_none(session *s, node where, const char *name) { write_small(s, where, false, name, H5Tcopy(H5T_IEEE_F32LE), -1, NULL); }

void write_double(session *s, node where, const char *name, double value)
{
    write_small(s, where, false, name, H5Tcopy(H5T_IEEE_F64LE), -1, &value);
}

void write_texts(session *s, node where, bool attribute, const char *name, const char *const *texts, size_t count)
{
    write_small(s, where, attribute, name, string_type(), (long)count, count ? (const void *)texts : &count);
}

/* An attribute or dataset, open, with its type and how many elements it has: -1 for a scalar, -2 for none at all. */
typedef struct small {
    hid_t id, type;
    bool attribute;
    long count;
} small;

static bool open_small(session *s, node where, bool attribute, const char *name, small *out)
{
    if (s->status)
        return false;
    *out = (small){.id = attribute ? H5Aopen(where, name, H5P_DEFAULT) : H5Dopen2(where, name, H5P_DEFAULT),
                   .attribute = attribute};
    if (out->id < 0) {
        wrong(s, name);
        return false;
    }
    hid_t space = attribute ? H5Aget_space(out->id) : H5Dget_space(out->id);
    out->type = attribute ? H5Aget_type(out->id) : H5Dget_type(out->id);
    int ndim = H5Sget_simple_extent_ndims(space);
    H5S_class_t class = H5Sget_simple_extent_type(space);
    out->count = class == H5S_NULL ? -2 : ndim == 0 ? -1 : ndim == 1 ? (long)H5Sget_simple_extent_npoints(space) : -3;
    H5Sclose(space);
    return true;
}

static void close_small(small *from)
{
    H5Tclose(from->type);
    from->attribute ? H5Aclose(from->id) : H5Dclose(from->id);
}

/* Reads where the type is the wanted one, which it takes over. */
static bool read_small(session *s, const small *from, hid_t type, void *out, const char *name)
{
    bool fits = H5Tequal(from->type, type) > 0;
    if (!fits)
        wrong(s, name);
    else if (from->count != 0)
        check(s, from->attribute ? H5Aread(from->id, type, out) : H5Dread(from->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out));
    H5Tclose(type);
    return !s->status;
}

/* Strings as one block that free() frees; HDF5's own memory goes. */
static char **read_strings(session *s, const small *from, size_t count, const char *name)
{
    char **texts = take_memory(s, count * sizeof *texts), **copy = NULL;
    size_t bytes = count * sizeof *copy;
    if (texts)
        memset(texts, 0, count * sizeof *texts);
    if (!texts || !H5Tis_variable_str(from->type)) {
        wrong(s, name);
        free(texts);
        return NULL;
    }
    hid_t type = H5Tcopy(from->type);
    hsize_t extent = count;
    hid_t space = H5Screate_simple(1, &extent, NULL);
    if (count > 0)
        check(s, from->attribute ? H5Aread(from->id, type, texts)
                                 : H5Dread(from->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts));
    for (size_t i = 0; i < count; i++)
        bytes += texts[i] ? strlen(texts[i]) + 1 : 1;
    if (!s->status)
        copy = take_memory(s, bytes);
    char *at = (char *)(copy + count);
    for (size_t i = 0; i < count && copy; i++) {
        copy[i] = strcpy(at, texts[i] ? texts[i] : "");
        at += strlen(at) + 1;
    }
    if (count > 0)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    H5Sclose(space);
    H5Tclose(type);
    free(texts);
    return copy;
}

char **read_text(session *s, node where, bool attribute, const char *name, size_t *count)
{
    small from;
    char **texts = NULL;
    if (!open_small(s, where, attribute, name, &from))
        return NULL;
    bool wanted = count ? from.count >= 0 : from.count == -1;
    if (!wanted)
        wrong(s, name);
    else
        texts = read_strings(s, &from, count ? (size_t)from.count : 1, name);
    if (texts && count)
        *count = (size_t)from.count;
    close_small(&from);
    return texts;
}

bool read_bool(session *s, node where, const char *name)
{
    small from;
    int8_t value = 0;
    if (!open_small(s, where, true, name, &from))
        return false;
    if (from.count != -1)
        wrong(s, name);
    else
        read_small(s, &from, bool_type(), &value, name);
    close_small(&from);
    return value;
}

/* Freed by the caller; NULL on failure. */
int64_t *read_numbers(session *s, node where, bool attribute, const char *name, size_t *count)
{
    small from;
    int64_t *numbers = NULL;
    if (!open_small(s, where, attribute, name, &from))
        return NULL;
    if (from.count < 0)
        wrong(s, name);
    else if ((numbers = take_memory(s, (size_t)from.count * sizeof *numbers)) != NULL)
        read_small(s, &from, H5Tcopy(H5T_STD_I64LE), numbers, name);
    *count = from.count < 0 ? 0 : (size_t)from.count;
    close_small(&from);
    return numbers;
}

bool read_id(session *s, node where, int64_t *out)
{
    small from;
    if (!open_small(s, where, true, "id", &from))
        return false;
    bool number = from.count == -1 && H5Tget_class(from.type) == H5T_INTEGER;
    if (number)
        read_small(s, &from, H5Tcopy(H5T_STD_I64LE), out, "id");
    close_small(&from);
    return number;
}

bool read_scalar(session *s, node where, const char *name, sgd_value *out, bool *list)
{
    small from;
    int8_t truth = 0;
    sgd_value value = {.kind = SGD_VALUE_NONE};
    if (!open_small(s, where, false, name, &from))
        return true;
    H5T_class_t class = H5Tget_class(from.type);
    bool text = class == H5T_STRING && from.count >= -1;
    *list = from.count >= 0;
    if (!text && from.count != -2 && from.count != -1) {
        wrong(s, name);
    } else if (!text && from.count == -1 && class == H5T_ENUM) {
        read_small(s, &from, bool_type(), &truth, name);
        value = (sgd_value){.kind = SGD_VALUE_BOOL, .boolean = truth != 0};
    } else if (!text && from.count == -1 && class == H5T_INTEGER) {
        value.kind = SGD_VALUE_INT;
        read_small(s, &from, H5Tcopy(H5T_STD_I64LE), &value.integer, name);
    } else if (!text && from.count == -1) {
        value.kind = SGD_VALUE_DOUBLE;
        read_small(s, &from, H5Tcopy(H5T_IEEE_F64LE), &value.number, name);
    }
    close_small(&from);
    *out = value;
    return !text;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------------------- */

/* Fletcher-32 needs chunks, which HDF5 keeps below 4 GiB. */
static hid_t tensor_layout(const DLTensor *tensor, const hsize_t *shape)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[H5S_MAX_RANK], bytes = tensor->dtype.bits / 8u;
    H5Pset_obj_track_times(properties, false);
    if (tensor->ndim == 0 || numel_of(tensor) == 0)
        return properties;
    for (int32_t d = 0; d < tensor->ndim; d++)
        bytes *= chunk[d] = shape[d];
    for (int32_t d = 0; d < tensor->ndim; d++)
        for (; bytes > (hsize_t)1 << 30 && chunk[d] > 1; bytes = bytes / 2 + 1)
            chunk[d] = (chunk[d] + 1) / 2;
    H5Pset_chunk(properties, tensor->ndim, chunk);
    H5Pset_fletcher32(properties);
    return properties;
}

static void write_elements(session *s, hid_t dataset, hid_t type, const DLTensor *tensor)
{
    size_t size = tensor->dtype.bits / 8u, numel = numel_of(tensor);
    char *ordered = NULL;
    if (numel > 0 && !is_contiguous(tensor)) {
        ordered = take_memory(s, numel * size);
        if (ordered)
            reorder(tensor, size, ordered, true);
    }
    if (!s->status && numel > 0)
        check(s, H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                          ordered ? ordered : (char *)tensor->data + tensor->byte_offset));
    free(ordered);
}

void write_tensor(session *s, node where, const char *name, const DLTensor *tensor, bool requires_grad)
{
    size_t t = 0;
    while (t < TENSOR_TYPES && memcmp(&tensor_types[t].type, &tensor->dtype, sizeof tensor->dtype))
        t++;
    if (t == TENSOR_TYPES || tensor->ndim > H5S_MAX_RANK || tensor->device.device_type != kDLCPU ||
        (numel_of(tensor) > 0 && !tensor->data)) {
        stop(s, SGD_ERROR_UNSUPPORTED, "a tensor that has no place in a state file: ", name);
        return;
    }
    hsize_t shape[H5S_MAX_RANK];
    for (int32_t d = 0; d < tensor->ndim; d++)
        shape[d] = (hsize_t)tensor->shape[d];
    hid_t space = tensor->ndim ? H5Screate_simple(tensor->ndim, shape, NULL) : H5Screate(H5S_SCALAR);
    hid_t type = element_type(tensor->dtype), properties = tensor_layout(tensor, shape);
    hid_t dataset = H5Dcreate2(where, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    check(s, dataset);
    write_text(s, dataset, true, "tensor", tensor_types[t].name);
    if (!is_contiguous(tensor))
        write_numbers(s, dataset, true, "strides", tensor->ndim, tensor->strides);
    if (requires_grad)
        write_bool(s, dataset, true, "requires_grad", true);
    if (!s->status)
        write_elements(s, dataset, type, tensor);
    if (dataset >= 0)
        H5Dclose(dataset);
    H5Pclose(properties);
    H5Tclose(type);
    H5Sclose(space);
}

/* Shape of a dataset; false where it is none that a tensor can have. */
static bool read_shape(hid_t dataset, int64_t shape[H5S_MAX_RANK], int32_t *ndim)
{
    hsize_t extents[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    H5S_class_t class = H5Sget_simple_extent_type(space);
    int rank = class == H5S_NULL ? -1 : H5Sget_simple_extent_dims(space, extents, NULL);
    for (int d = 0; d < rank; d++)
        shape[d] = (int64_t)extents[d];
    H5Sclose(space);
    *ndim = rank;
    return rank >= 0;
}

static void read_elements(session *s, hid_t dataset, hid_t type, const DLTensor *tensor, const char *name)
{
    size_t size = tensor->dtype.bits / 8u, numel = numel_of(tensor);
    hid_t found = H5Dget_type(dataset);
    bool contiguous = is_contiguous(tensor);
    char *ordered = contiguous ? tensor->data : take_memory(s, numel * size);
    if (H5Tequal(found, type) <= 0)
        wrong(s, name);
    if (!s->status && numel > 0)
        check(s, H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, ordered));
    if (!s->status && !contiguous)
        reorder(tensor, size, ordered, false);
    H5Tclose(found);
    if (!contiguous)
        free(ordered);
}

void read_tensor(session *s, node dataset, const char *what, const char *name, sgd_value *out)
{
    int64_t shape[H5S_MAX_RANK], *strides = NULL;
    DLTensor like = {.shape = shape};
    size_t t = 0, count = 0;
    while (t < TENSOR_TYPES && strcmp(tensor_types[t].name, what))
        t++;
    if (t == TENSOR_TYPES || !read_shape(dataset, shape, &like.ndim)) {
        wrong(s, name);
        return;
    }
    like.dtype = tensor_types[t].type;
    if (has_attribute(dataset, "strides"))
        strides = read_numbers(s, dataset, true, "strides", &count);
    like.strides = strides;
    sgd_error own = {.status = SGD_OK};
    if (strides && count != (size_t)like.ndim)
        wrong(s, name);
    for (size_t d = 0; d < count && strides; d++)
        if (strides[d] < 0)
            wrong(s, name);
    sgd_status made = s->status ? s->status : sgd_tensor_create(&like, out, &own);
    if (made == SGD_ERROR_MEMORY)
        stop(s, made, own.message, NULL);
    else if (made)
        wrong(s, name);
    free(strides);
    if (made)
        return;
    hid_t type = element_type(like.dtype);
    read_elements(s, dataset, type, out->tensor.tensor, name);
    H5Tclose(type);
    if (has_attribute(dataset, "requires_grad"))
        out->tensor.requires_grad = read_bool(s, dataset, "requires_grad");
    if (s->status) {
        out->type->release(out->object);
        *out = (sgd_value){.kind = SGD_VALUE_NONE};
    }
}
