/* vectors.c - reads a vector file column by column, and answers what a case of it is called; see vectors.h. */
#include "vectors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5_read.h"

#define SCHEMA "exactsgd-vectors"
#define SCHEMA_VERSION 1
#define TORCH_RELEASE "2.13"

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static hid_t type_of_uint8_t(void) { return H5T_STD_U8LE; }
static hid_t type_of_uint16_t(void) { return H5T_STD_U16LE; }
static hid_t type_of_uint32_t(void) { return H5T_STD_U32LE; }
static hid_t type_of_uint64_t(void) { return H5T_STD_U64LE; }
static hid_t type_of_double(void) { return H5T_IEEE_F64LE; }

static bool read_schema(const hdf5_file *file)
{
    char *schema;
    int64_t version;
    if (!hdf5_string(file, "schema", &schema))
        return false;
    bool ours = strcmp(schema, SCHEMA) == 0;
    free(schema);
    if (!ours)
        return conform_fail(file->error, "%s: schema: is not \"%s\"", file->name, SCHEMA);
    if (!hdf5_integer(file, "schema_version", &version))
        return false;
    if (version != SCHEMA_VERSION)
        return conform_fail(file->error, "%s: schema_version: is %" PRId64 ", this program reads %d", file->name, version,
                            SCHEMA_VERSION);
    return true;
}

/* Its contracts are those of one release: another one's bits would be judged by rules that are not its own. */
static bool check_torch_version(const hdf5_file *file, const char *version)
{
    return strncmp(version, TORCH_RELEASE ".", strlen(TORCH_RELEASE ".")) == 0 ||
           conform_fail(file->error, "%s: torch_version: is %s, this program judges " TORCH_RELEASE, file->name, version);
}

static bool read_attributes(const hdf5_file *file, vectors *into)
{
#define ATTRIBUTE(name)                                                                                                     \
    if (!hdf5_string(file, #name, &into->name))                                                                            \
        return false;
#include "columns.def"
    return check_torch_version(file, into->torch_version) && hdf5_integer(file, "seed", &into->seed);
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

static bool read_tables(const hdf5_file *file, vectors *into)
{
    const char *table;
    bool first;
#define TABLE(member, file_name)                                                                                           \
    table = file_name;                                                                                                     \
    first = true;
#define COLUMN(member, column, type)                                                                                       \
    {                                                                                                                      \
        char name[64];                                                                                                     \
        void *elements = NULL;                                                                                             \
        snprintf(name, sizeof name, "%s/%s", table, #column);                                                              \
        bool done = read_column(file, name, type_of_##type(), first, &into->member.count, &elements);                      \
        into->member.column = elements;                                                                                    \
        if (!done)                                                                                                         \
            return false;                                                                                                  \
        first = false;                                                                                                     \
    }
#define BITS(name, type)                                                                                                   \
    {                                                                                                                      \
        void *elements = NULL;                                                                                             \
        if (!hdf5_column(file, "bits/" #name, type_of_##type(), &elements, &into->name.count))                             \
            return false;                                                                                                  \
        into->name.elements = elements;                                                                                    \
    }
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
    done = done && read_schema(&file) && read_attributes(&file, loaded) && read_tables(&file, loaded);
    hdf5_close(&file);
    if (done && vectors_check(loaded, error))
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
    return vectors->cases.capability[case_row] == VECTORS_DEFAULT ? SGD_TORCH_2_13_CPU_BASE : SGD_TORCH_2_13_CPU_FMA;
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
    static const char *const capability_name[VECTORS_CAPABILITY_COUNT] = {"default", "avx2", "avx512"};
    snprintf(name, VECTORS_NAME_SIZE, "%s/%s/%s/%05" PRIu32 "-t%u-%s",
             sgd_contract_name(vectors_contract(vectors, case_row)),
             sgd_path_name((sgd_path)vectors->cases.path[case_row]),
             vectors_dtype_name(vectors_dtype(vectors, case_row)), vectors->cases.problem[case_row],
             vectors->cases.threads[case_row], capability_name[vectors->cases.capability[case_row]]);
}

const void *vectors_stored(const vectors *vectors, size_t array_row)
{
    uint64_t where = vectors->array.where[array_row];
    switch (sgd_dtype_size((sgd_dtype)vectors->array.dtype[array_row])) {
    case 2: return vectors->u16.elements + where;
    case 4: return vectors->u32.elements + where;
    default: return vectors->u64.elements + where;
    }
}
