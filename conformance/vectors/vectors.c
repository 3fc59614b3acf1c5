/* vectors.c - reads a vector file column by column, and answers what a case of it is called; see vectors.h. */
#include "vectors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5_read.h"

#define SCHEMA "exactsgd-vectors"
#define SCHEMA_VERSION 2
#define TORCH_RELEASE "2.13"

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static hid_t type_of_uint8_t(void) { return H5T_STD_U8LE; }
static hid_t type_of_uint16_t(void) { return H5T_STD_U16LE; }
static hid_t type_of_uint32_t(void) { return H5T_STD_U32LE; }
static hid_t type_of_uint64_t(void) { return H5T_STD_U64LE; }
static hid_t type_of_float(void) { return H5T_IEEE_F32LE; }
static hid_t type_of_double(void) { return H5T_IEEE_F64LE; }

static bool read_schema(const hdf5_file *file, int64_t *version)
{
    char *schema;
    if (!hdf5_string(file, "schema", &schema))
        return false;
    bool ours = strcmp(schema, SCHEMA) == 0;
    free(schema);
    if (!ours)
        return conform_fail(file->error, "%s: schema: is not \"%s\"", file->name, SCHEMA);
    if (!hdf5_integer(file, "schema_version", version))
        return false;
    if (*version < 1 || *version > SCHEMA_VERSION)
        return conform_fail(file->error, "%s: schema_version: is %" PRId64 ", this program reads 1 to %d", file->name,
                            *version, SCHEMA_VERSION);
    return true;
}

static bool read_attributes(const hdf5_file *file, vectors *into)
{
#define ATTRIBUTE(name)                                                                                                     \
    if (!hdf5_string(file, #name, &into->name))                                                                            \
        return false;
#include "columns.def"
    return hdf5_integer(file, "seed", &into->seed);
}

/* The contracts are those of one release: another one's bits would be judged by rules that are not its own. */
static bool check_torch_version(const vectors *loaded, conform_error *error)
{
    if (strncmp(loaded->torch_version, TORCH_RELEASE ".", strlen(TORCH_RELEASE ".")) == 0)
        return true;
    for (size_t i = 0; i < loaded->cases.count; i++)
        if (vectors_contract(loaded, i) != SGD_CONTRACT_COUNT)
            return conform_fail(error, "%s: torch_version: is %s, this program judges " TORCH_RELEASE, loaded->file,
                                loaded->torch_version);
    return true;
}

/* One column of a table; all columns of a table have the length of its first. */
static bool read_column(const hdf5_file *file, const char *name, hid_t type, bool first, size_t *table_count, void **out)
{
    size_t count;
    if (!hdf5_column(file, name, type, out, &count))
        return false;
    if (first)
        *table_count = count;
    if (count != *table_count)
        return conform_fail(file->error, "%s: %s: has %zu rows where its table has %zu", file->name, name, count,
                            *table_count);
    return true;
}

/* A column that the file's version did not have yet. */
static bool absent_column(const hdf5_file *file, const char *name, size_t width, size_t count, bool none, void **out)
{
    *out = malloc(count ? count * width : 1);
    if (!*out)
        return conform_fail(file->error, "%s: %s: out of memory", file->name, name);
    memset(*out, none ? 0xFF : 0, count * width); /* VECTORS_NONE is all ones */
    return true;
}

static bool read_tables(const hdf5_file *file, bool version_1, vectors *into)
{
    const char *table;
    char name[64];
    bool first, done;
    void *elements;
#define TABLE(member, file_name)                                                                                           \
    table = file_name;                                                                                                     \
    first = true;
#define COLUMN_IF(there, member, column, type, absent)                                                                     \
    snprintf(name, sizeof name, "%s/%s", table, #column);                                                                  \
    elements = NULL;                                                                                                       \
    done = there ? read_column(file, name, type_of_##type(), first, &into->member.count, &elements)                        \
                 : absent_column(file, name, sizeof(type), into->member.count, (absent) != 0, &elements);                  \
    into->member.column = elements;                                                                                        \
    if (!done)                                                                                                             \
        return false;                                                                                                      \
    first = false;
#define COLUMN(member, column, type) COLUMN_IF(true, member, column, type, 0)
#define COLUMN_2(member, column, type, absent) COLUMN_IF(!version_1, member, column, type, absent)
#define BITS(name, type)                                                                                                   \
    elements = NULL;                                                                                                       \
    done = hdf5_column(file, "bits/" #name, type_of_##type(), &elements, &into->name.count);                               \
    into->name.elements = elements;                                                                                        \
    if (!done)                                                                                                             \
        return false;
#include "columns.def"
    return true;
}

vectors *vectors_load(const char *name, conform_error *error)
{
    hdf5_file file;
    if (!hdf5_open(name, error, &file))
        return NULL;
    vectors *loaded = calloc(1, sizeof *loaded);
    bool done = loaded && (loaded->file = strdup(name));
    if (!done)
        conform_fail(error, "%s: file: out of memory", name);
    int64_t version;
    done = done && read_schema(&file, &version) && read_attributes(&file, loaded) &&
           read_tables(&file, version == 1, loaded);
    hdf5_close(&file);
    if (done && vectors_check(loaded, error) && check_torch_version(loaded, error))
        return loaded;
    vectors_free(loaded);
    return NULL;
}

void vectors_free(vectors *vectors)
{
    if (!vectors)
        return;
    free(vectors->file);
#define ATTRIBUTE(name) free(vectors->name);
#define COLUMN(table, name, type) free(vectors->table.name);
#define BITS(name, type) free(vectors->name.elements);
#include "columns.def"
    free(vectors);
}

/* ---- one case ------------------------------------------------------------------------------------------------------ */

sgd_contract vectors_contract(const vectors *vectors, size_t case_row)
{
    switch ((vectors_capability)vectors->cases.capability[case_row]) {
#define CAPABILITY(id, code, name, contract)                                                                               \
    case VECTORS_##id: return contract;
#include "codes.def"
    }
    return SGD_CONTRACT_COUNT;
}

static const char *capability_name(uint8_t code)
{
    switch ((vectors_capability)code) {
#define CAPABILITY(id, code, name, contract)                                                                               \
    case VECTORS_##id: return name;
#include "codes.def"
    }
    return NULL;
}

bool vectors_capability_known(uint8_t code) { return capability_name(code) != NULL; }

void vectors_contract_name(const vectors *vectors, size_t case_row, char *name)
{
    sgd_contract contract = vectors_contract(vectors, case_row);
    if (contract != SGD_CONTRACT_COUNT) {
        snprintf(name, VECTORS_CONTRACT_SIZE, "%s", sgd_contract_name(contract));
        return;
    }
    const char *version = vectors->torch_version, *minor = strchr(version, '.');
    int release = (int)(minor ? minor - version + 1 + (ptrdiff_t)strspn(minor + 1, "0123456789") : 0);
    snprintf(name, VECTORS_CONTRACT_SIZE, "torch-%.*s/%s", release > 16 ? 16 : release, version,
             capability_name(vectors->cases.capability[case_row]));
}

vectors_feature vectors_feature_of(const vectors *vectors, size_t case_row)
{
    return (vectors_feature)vectors->problem.feature[vectors->cases.problem[case_row]];
}

const char *vectors_feature_name(vectors_feature feature)
{
    static const char *const names[VECTORS_FEATURE_COUNT] = {
#define FEATURE(id, name) [VECTORS_##id] = name,
#include "codes.def"
    };
    return names[feature];
}

size_t vectors_tensor_begin(const vectors *vectors, size_t problem_row)
{
    return vectors->group.tensor_begin[vectors->problem.group_begin[problem_row]];
}

size_t vectors_tensor_count(const vectors *vectors, size_t problem_row)
{
    size_t begin = vectors->problem.group_begin[problem_row], count = 0;
    for (size_t g = 0; g < vectors->problem.group_count[problem_row]; g++)
        count += vectors->group.tensor_count[begin + g];
    return count;
}

sgd_dtype vectors_dtype(const vectors *vectors, size_t case_row)
{
    size_t problem = vectors->cases.problem[case_row];
    size_t begin = vectors_tensor_begin(vectors, problem), count = vectors_tensor_count(vectors, problem);
    for (size_t t = 1; t < count; t++)
        if (vectors->tensor.dtype[begin + t] != vectors->tensor.dtype[begin])
            return SGD_DTYPE_COUNT;
    return (sgd_dtype)vectors->tensor.dtype[begin];
}

const char *vectors_dtype_name(sgd_dtype dtype) { return dtype == SGD_DTYPE_COUNT ? "mixed" : sgd_dtype_name(dtype); }

void vectors_case_name(const vectors *vectors, size_t case_row, char *name)
{
    char contract[VECTORS_CONTRACT_SIZE];
    vectors_feature feature = vectors_feature_of(vectors, case_row);
    vectors_contract_name(vectors, case_row, contract);
    snprintf(name, VECTORS_NAME_SIZE, "%s/%s/%s/%05" PRIu32 "-t%u-%s%s%s", contract,
             sgd_path_name((sgd_path)vectors->cases.path[case_row]),
             vectors_dtype_name(vectors_dtype(vectors, case_row)), vectors->cases.problem[case_row],
             vectors->cases.threads[case_row], capability_name(vectors->cases.capability[case_row]), feature ? "-" : "",
             feature ? vectors_feature_name(feature) : "");
}

uint64_t vectors_layout_numel(const vectors *vectors, uint32_t layout)
{
    uint64_t numel = 1;
    for (size_t d = 0; d < vectors->layout.ndim[layout]; d++)
        numel *= vectors->dim.size[vectors->layout.dim_begin[layout] + d];
    return numel;
}

uint64_t vectors_layout_extent(const vectors *vectors, uint32_t layout)
{
    uint64_t last = 0;
    for (size_t d = 0; d < vectors->layout.ndim[layout]; d++) {
        size_t dim = vectors->layout.dim_begin[layout] + d;
        if (!vectors->dim.size[dim])
            return 0;
        last += (vectors->dim.size[dim] - 1) * vectors->dim.stride[dim];
    }
    return last + 1;
}

const void *vectors_stored(const vectors *vectors, size_t array_row)
{
    uint64_t where = vectors->array.where[array_row];
    switch (vectors_word_size(vectors->array.dtype[array_row])) {
    case 2: return vectors->u16.elements + where;
    case 4: return vectors->u32.elements + where;
    default: return vectors->u64.elements + where;
    }
}

size_t vectors_word_size(uint8_t dtype)
{
    switch (dtype) {
    case VECTORS_I64: return sizeof(int64_t);
    case SGD_C64:
    case SGD_C128: return sgd_dtype_size((sgd_dtype)dtype) / 2;
    default: return sgd_dtype_size((sgd_dtype)dtype);
    }
}
