/* vector_maker.c - see vector_maker.h. */
#include "vector_maker.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "expectation.h"
#include "generate.h"

#define ROWS 256  /* room in every table */
#define ELEMENTS 8192 /* and in every table of elements */

/* ---- tables -------------------------------------------------------------------------------------------------------- */

vectors *maker_begin(void)
{
    vectors *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->file = strdup("made");
    made->seed = 7;
#define ATTRIBUTE(name) made->name = strdup("2.13.0+made");
#define COLUMN(table, name, type) made->table.name = calloc(ROWS, sizeof(type));
#define COLUMN_2(table, name, type, absent)                                                                                \
    made->table.name = calloc(ROWS, sizeof(type));                                                                         \
    for (size_t i = 0; i < ROWS; i++)                                                                                      \
        made->table.name[i] = absent;
#define BITS(name, type) made->name.elements = calloc(ELEMENTS, sizeof(type));
#include "columns.def"
    return made;
}

void made_vectors_free(vectors *made) { vectors_free(made); }

static uint32_t add_array(vectors *made, vectors_kind kind, sgd_dtype dtype, uint64_t numel, uint64_t where)
{
    size_t row = made->array.count++;
    assert_true(row < ROWS);
    made->array.kind[row] = (uint8_t)kind;
    made->array.dtype[row] = (uint8_t)dtype;
    made->array.numel[row] = numel;
    made->array.where[row] = where;
    return (uint32_t)row;
}

/* A stored array, of zeros so far. */
static uint32_t add_stored(vectors *made, sgd_dtype dtype, size_t numel)
{
    size_t width = vectors_word_size((uint8_t)dtype);
    size_t *used = width == 2 ? &made->u16.count : width == 4 ? &made->u32.count : &made->u64.count;
    uint32_t row = add_array(made, VECTORS_STORED, dtype, numel, *used);
    *used += numel * sgd_dtype_size(dtype) / width;
    assert_true(*used <= ELEMENTS);
    return row;
}

static void *stored(vectors *made, uint32_t row) { return (void *)(uintptr_t)vectors_stored(made, row); }

static uint32_t add_input(vectors *made, sgd_dtype dtype, size_t numel, uint64_t seed)
{
    if (numel > 4096)
        return add_array(made, VECTORS_GENERATED, dtype, numel, seed);
    uint32_t row = add_stored(made, dtype, numel);
    generate_array(dtype, seed, numel, stored(made, row));
    return row;
}

void maker_add_tensor(vectors *made, sgd_dtype dtype, size_t numel, size_t steps, bool none_in_step_0)
{
    size_t row = made->tensor.count++;
    made->tensor.dtype[row] = (uint8_t)dtype;
    made->tensor.numel[row] = numel;
    made->tensor.param[row] = add_input(made, dtype, numel, 100 * row + 1);
    made->tensor.grad_begin[row] = (uint32_t)made->grad.count;
    for (size_t s = 0; s < steps; s++)
        made->grad.array[made->grad.count++] =
            none_in_step_0 && s == 0 ? VECTORS_NONE : add_input(made, dtype, numel, 100 * row + 2 + s);
}

void maker_add_group(vectors *made, double momentum, double weight_decay, bool nesterov)
{
    size_t row = made->group.count++;
    made->group.tensor_begin[row] = (uint32_t)made->tensor.count;
    made->group.tensor_count[row] = 1;
    made->group.lr[row] = 0.1;
    made->group.momentum[row] = momentum;
    made->group.weight_decay[row] = weight_decay;
    made->group.nesterov[row] = nesterov;
}

void maker_add_problem(vectors *made, size_t groups, size_t steps, uint32_t flags)
{
    size_t row = made->problem.count++;
    made->problem.group_begin[row] = (uint32_t)made->group.count;
    made->problem.group_count[row] = (uint32_t)groups;
    made->problem.steps[row] = (uint8_t)steps;
    made->problem.flags[row] = flags;
}

/* ---- cases --------------------------------------------------------------------------------------------------------- */

static uint32_t add_outcome(vectors *made, const case_data *data, size_t tensor, const expected_array *array)
{
    if (!array->exists)
        return VECTORS_NONE;
    sgd_dtype dtype = case_dtype(data, tensor);
    size_t numel = case_numel(data, tensor);
    if (numel > 4096)
        return add_array(made, VECTORS_HASHED, dtype, numel, hash_array(dtype, numel, array->elements));
    uint32_t row = add_stored(made, dtype, numel);
    memcpy(stored(made, row), array->elements, case_bytes(data, tensor));
    return row;
}

uint32_t maker_add_layout(vectors *made, size_t ndim, const uint64_t *sizes, const uint64_t *strides)
{
    size_t row = made->layout.count++;
    made->layout.dim_begin[row] = (uint32_t)made->dim.count;
    made->layout.ndim[row] = (uint8_t)ndim;
    for (size_t d = 0; d < ndim; d++) {
        made->dim.size[made->dim.count] = sizes[d];
        made->dim.stride[made->dim.count++] = strides[d];
    }
    assert_true(made->dim.count <= ROWS);
    return (uint32_t)row;
}

/* A layout of the same shape. */
static uint32_t add_like(vectors *made, uint32_t layout, const int64_t *strides)
{
    return maker_add_layout(made, made->layout.ndim[layout], made->dim.size + made->layout.dim_begin[layout],
                            (const uint64_t *)strides);
}

/* A case of the latest problem, its outcomes by the oracle with torch's defects. */
void maker_add_case(vectors *made, sgd_path path, vectors_capability capability, uint8_t threads)
{
    size_t row = made->cases.count++;
    made->cases.problem[row] = (uint32_t)made->problem.count - 1;
    made->cases.path[row] = (uint8_t)path;
    made->cases.capability[row] = (uint8_t)capability;
    made->cases.threads[row] = threads;
    made->cases.outcome_begin[row] = (uint32_t)made->outcome.count;

    const ledger no_defects = {NULL, 0};
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), NULL, 0);
    case_data data;
    expectation got;
    assert_non_null(oracle);
    assert_true(case_open(&data, made, row, oracle, &no_defects));
    assert_true(expectation_by_oracle(&got, &data, SGD_DEFECTS_REPRODUCE));
    for (size_t step = 0; step < data.steps; step++)
        for (size_t t = 0; t < data.tensors; t++) {
            size_t outcome = made->outcome.count++;
            assert_true(outcome < ROWS);
            made->outcome.param[outcome] = add_outcome(made, &data, t, expected_at(&got, &data, step, t, CASE_PARAM));
            made->outcome.buffer[outcome] = add_outcome(made, &data, t, expected_at(&got, &data, step, t, CASE_BUFFER));
            made->outcome.grad[outcome] = add_outcome(made, &data, t, expected_at(&got, &data, step, t, CASE_GRAD));
            const expected_array *buffer = expected_at(&got, &data, step, t, CASE_BUFFER);
            if (buffer->exists && made->tensor.layout[data.tensor_begin + t] != VECTORS_NONE)
                made->outcome.buffer_layout[outcome] = add_like(made, made->tensor.layout[data.tensor_begin + t], buffer->strides);
        }
    expectation_free(&got);
    case_close(&data);
    sgd_oracle_destroy(oracle);
}

vectors *made_vectors(void)
{
    vectors *made = maker_begin();
    maker_add_problem(made, 2, 2, 1 << 7);
    maker_add_group(made, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_F32, 9, 2, true);
    maker_add_group(made, 0.5, 0, true);
    maker_add_tensor(made, SGD_BF16, 40, 2, false);
    maker_add_case(made, SGD_FORLOOP, VECTORS_AVX2, 1);
    maker_add_case(made, SGD_FOREACH, VECTORS_DEFAULT, 2);

    maker_add_problem(made, 1, 3, 0);
    maker_add_group(made, 0.9, 0.01, true);
    maker_add_tensor(made, SGD_F16, 36, 3, false);
    maker_add_case(made, SGD_FUSED, VECTORS_AVX2, 1);

    maker_add_problem(made, 1, 1, 1 << 8);
    maker_add_group(made, 0.9, 0, false);
    maker_add_tensor(made, SGD_F32, 5000, 1, false);
    maker_add_case(made, SGD_FOREACH, VECTORS_AVX2, 1);

    maker_add_problem(made, 1, 2, 1 << 6);
    maker_add_group(made, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_F64, 11, 2, false);
    uint64_t *grad = stored(made, made->grad.array[made->grad.count - 1]);
    grad[3] = UINT64_C(0x7FF8000000000123);
    maker_add_case(made, SGD_FUSED, VECTORS_DEFAULT, 1);
    maker_add_case(made, SGD_FUSED, VECTORS_AVX2, 1);

    maker_add_problem(made, 1, 1, 1 << 6);
    maker_add_group(made, 0, 0, false);
    maker_add_tensor(made, SGD_F32, 5, 1, false);
    made->group.lr[made->group.count - 1] = NAN;
    maker_add_case(made, SGD_FORLOOP, VECTORS_AVX2, 1);
    return made;
}

/* ---- HDF5 ---------------------------------------------------------------------------------------------------------- */

static void write_text(hid_t file, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    assert_true(H5Tset_size(type, strlen(text)) >= 0);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static const char *attribute_text(const char *name, const char *text, writing how)
{
    if (how.torch_version && strcmp(name, "torch_version") == 0)
        return how.torch_version;
    return how.cpu_model && strcmp(name, "cpu_model") == 0 ? how.cpu_model : text;
}

static void write_integer(hid_t file, const char *name, int64_t value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, H5T_NATIVE_INT64, &value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
}

static void write_column(hid_t file, const char *name, hid_t type, size_t count, const void *elements, writing how)
{
    if (how.leave_out && strcmp(how.leave_out, name) == 0)
        return;
    int rank = how.two_dimensional ? 2 : 1;
    hsize_t length[2] = {count, 1}, limit[2] = {H5S_UNLIMITED, 1}, chunk[2] = {count ? count : 1, 1};
    hid_t space = H5Screate_simple(rank, length, limit), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, rank, chunk);
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 9);
    if (!how.no_checksums)
        H5Pset_fletcher32(properties);
    hid_t dataset = H5Dcreate2(file, name, how.wrong_type ? H5T_IEEE_F32LE : type, space, H5P_DEFAULT, properties,
                               H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (count)
        assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) >= 0);
    H5Dclose(dataset);
    H5Pclose(properties);
    H5Sclose(space);
}

static hid_t type_of_uint8_t(void) { return H5T_STD_U8LE; }
static hid_t type_of_uint16_t(void) { return H5T_STD_U16LE; }
static hid_t type_of_uint32_t(void) { return H5T_STD_U32LE; }
static hid_t type_of_uint64_t(void) { return H5T_STD_U64LE; }
static hid_t type_of_float(void) { return H5T_IEEE_F32LE; }
static hid_t type_of_double(void) { return H5T_IEEE_F64LE; }

static void write_group(hid_t file, const char *name)
{
    hid_t group = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(group >= 0);
    H5Gclose(group);
}

void write_vectors(const vectors *made, const char *path, writing how)
{
    const char *table = "";
    char name[64];
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    assert_true(file >= 0);
    write_text(file, "schema", how.schema ? how.schema : "exactsgd-vectors");
    write_integer(file, "schema_version", how.version ? how.version : 2);
    write_integer(file, "seed", made->seed);
    write_group(file, "bits");
#define ATTRIBUTE(name) write_text(file, #name, attribute_text(#name, made->name, how));
#define TABLE(member, file_name)                                                                                           \
    table = file_name;                                                                                                     \
    write_group(file, table);
#define TABLE_2(member, file_name)                                                                                         \
    table = file_name;                                                                                                     \
    if (how.version != 1)                                                                                                  \
        write_group(file, table);
#define COLUMN(member, column, type)                                                                                       \
    snprintf(name, sizeof name, "%s/%s", table, #column);                                                                  \
    write_column(file, name, type_of_##type(), made->member.count, made->member.column, how);
#define COLUMN_2(member, column, type, absent)                                                                             \
    if (how.version != 1) {                                                                                                \
        COLUMN(member, column, type)                                                                                       \
    }
#define BITS(name, type) write_column(file, "bits/" #name, type_of_##type(), made->name.count, made->name.elements, how);
#include "columns.def"
    assert_true(H5Fclose(file) >= 0);
    H5Pclose(access);
}
