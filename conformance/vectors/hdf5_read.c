/* hdf5_read.c - see hdf5_read.h.  Format rules: reference/vectors/README.md. */
#include "hdf5_read.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Deflate makes at most 1032 bytes of one: nothing honest in a file is longer than this many times the file. */
#define DEFLATE_MAX_RATIO 1100

#define STRING_MAX 65536

static bool fail(const hdf5_file *file, const char *object, const char *reason)
{
    return conform_fail(file->error, "%s: %s: %s", file->name, object, reason);
}

/* The innermost entry of HDF5's error stack is the cause; the others say which calls it came through. */
static herr_t keep_cause(unsigned depth, const H5E_error2_t *entry, void *cause)
{
    if (depth == 0 && entry->desc)
        strncat(cause, entry->desc, 199);
    return 0;
}

static bool fail_by_hdf5(const hdf5_file *file, const char *object, const char *what)
{
    char reason[300];
    char cause[200] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_cause, cause);
    snprintf(reason, sizeof reason, "%s%s%s", what, *cause ? ": " : "", cause);
    return fail(file, object, reason);
}

bool hdf5_open(const char *name, conform_error *error, hdf5_file *out)
{
    hdf5_file file = {.name = name, .error = error};
    struct stat status;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (stat(name, &status) != 0)
        return fail(&file, "file", "does not exist or cannot be reached");
    if (!S_ISREG(status.st_mode))
        return fail(&file, "file", "is not a regular file");
    file.bytes = (uint64_t)status.st_size;
    file.id = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file.id < 0)
        return fail_by_hdf5(&file, "file", "is not a readable HDF5 file");
    *out = file;
    return true;
}

void hdf5_close(hdf5_file *file) { H5Fclose(file->id); }

/* ---- attributes ---------------------------------------------------------------------------------------------------- */

static hid_t open_attribute(const hdf5_file *file, const char *name, H5T_class_t wanted, hid_t *type)
{
    htri_t there = H5Aexists(file->id, name);
    if (there <= 0) {
        if (there < 0)
            fail_by_hdf5(file, name, "cannot be read");
        else
            fail(file, name, "no such attribute");
        return -1;
    }
    hid_t attribute = H5Aopen(file->id, name, H5P_DEFAULT);
    *type = attribute < 0 ? -1 : H5Aget_type(attribute);
    hid_t space = *type < 0 ? -1 : H5Aget_space(attribute);
    bool scalar = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (space >= 0)
        H5Sclose(space);
    if (scalar && *type >= 0 && H5Tget_class(*type) == wanted)
        return attribute;
    if (*type < 0 || space < 0)
        fail_by_hdf5(file, name, "cannot be read");
    else
        fail(file, name, wanted == H5T_STRING ? "is not one string" : "is not one integer");
    if (*type >= 0)
        H5Tclose(*type);
    if (attribute >= 0)
        H5Aclose(attribute);
    return -1;
}

/* What a file says of itself is printed: its bytes must not steer a terminal. */
static bool is_printable(const char *text)
{
    while (*text >= 0x20 && *text <= 0x7E)
        text++;
    return !*text;
}

static bool read_string(const hdf5_file *file, const char *name, hid_t attribute, hid_t type, char **out)
{
    /* Strings of variable length lie in a heap that has no checksum: a flipped bit would go unseen. */
    if (H5Tis_variable_str(type) != 0)
        return fail(file, name, "is not a string of fixed length");
    size_t size = H5Tget_size(type);
    if (size > STRING_MAX || size > file->bytes)
        return fail(file, name, "is too long");
    char *text = calloc(size + 1, 1);
    if (!text)
        return fail(file, name, "out of memory");
    if (H5Aread(attribute, type, text) < 0) {
        free(text);
        return fail_by_hdf5(file, name, "cannot be read");
    }
    if (!is_printable(text)) {
        free(text);
        return fail(file, name, "has characters that are not printable ASCII");
    }
    *out = text;
    return true;
}

bool hdf5_string(const hdf5_file *file, const char *name, char **out)
{
    hid_t type, attribute = open_attribute(file, name, H5T_STRING, &type);
    if (attribute < 0)
        return false;
    bool done = read_string(file, name, attribute, type, out);
    H5Tclose(type);
    H5Aclose(attribute);
    return done;
}

bool hdf5_integer(const hdf5_file *file, const char *name, int64_t *out)
{
    hid_t type, attribute = open_attribute(file, name, H5T_INTEGER, &type);
    if (attribute < 0)
        return false;
    bool done = H5Aread(attribute, H5T_NATIVE_INT64, out) >= 0 || fail_by_hdf5(file, name, "cannot be read");
    H5Tclose(type);
    H5Aclose(attribute);
    return done;
}

/* ---- columns ------------------------------------------------------------------------------------------------------- */

/* Decoded by HDF5 itself: a filter by another name would load foreign code. */
static bool check_filters(const hdf5_file *file, const char *name, hid_t properties)
{
    bool checksummed = false;
    int filters = H5Pget_nfilters(properties);
    for (int i = 0; i < filters; i++) {
        unsigned flags;
        size_t parameters = 0;
        H5Z_filter_t filter = H5Pget_filter2(properties, (unsigned)i, &flags, &parameters, NULL, 0, NULL, NULL);
        if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_FLETCHER32)
            return fail(file, name, "has a filter that is not in the format");
        checksummed |= filter == H5Z_FILTER_FLETCHER32;
    }
    return checksummed || fail(file, name, "has no Fletcher-32 checksums");
}

/* HDF5 reads zeros where a chunk was never written. */
static bool check_chunks(const hdf5_file *file, const char *name, hid_t dataset, hid_t properties, size_t width,
                         size_t count)
{
    hsize_t chunk = 0, written = 0;
    if (H5Pget_layout(properties) != H5D_CHUNKED || H5Pget_chunk(properties, 1, &chunk) != 1 || !chunk)
        return fail(file, name, "is not chunked");
    if (chunk > file->bytes * DEFLATE_MAX_RATIO / width)
        return fail(file, name, "has chunks larger than its file can hold");
    hid_t space = H5Dget_space(dataset);
    herr_t counted = count ? H5Dget_num_chunks(dataset, space, &written) : 0;
    H5Sclose(space);
    if (counted < 0)
        return fail_by_hdf5(file, name, "cannot be read");
    return written == count / chunk + (count % chunk != 0) || fail(file, name, "lacks some of its chunks");
}

/* The number of elements, held against what the file can contain. */
static bool column_length(const hdf5_file *file, const char *name, hid_t dataset, size_t width, size_t *count)
{
    hid_t space = H5Dget_space(dataset);
    hsize_t length = 0;
    if (space < 0)
        return fail_by_hdf5(file, name, "cannot be read");
    bool flat = H5Sis_simple(space) > 0 && H5Sget_simple_extent_ndims(space) == 1 &&
                H5Sget_simple_extent_dims(space, &length, NULL) == 1;
    H5Sclose(space);
    if (!flat)
        return fail(file, name, "is not one-dimensional");
    hsize_t stored = H5Dget_storage_size(dataset);
    /* 0 stands for nothing stored and for an error; an API call begins with an empty error stack. */
    if (!stored && H5Eget_num(H5E_DEFAULT) > 0)
        return fail_by_hdf5(file, name, "cannot be read");
    if (stored > file->bytes || length > stored * DEFLATE_MAX_RATIO / width)
        return fail(file, name, "is longer than what the file stores of it");
    *count = (size_t)length;
    return true;
}

static bool read_column(const hdf5_file *file, const char *name, hid_t dataset, hid_t type, void **out, size_t *count)
{
    size_t width = H5Tget_size(type), length = 0;
    hid_t properties = H5Dget_create_plist(dataset);
    if (properties < 0)
        return fail_by_hdf5(file, name, "cannot be read");
    bool sound = column_length(file, name, dataset, width, &length) &&
                 check_chunks(file, name, dataset, properties, width, length) && check_filters(file, name, properties);
    H5Pclose(properties);
    if (!sound)
        return false;
    void *elements = malloc(length ? length * width : 1);
    if (!elements)
        return fail(file, name, "out of memory");
    if (length && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) < 0) {
        free(elements);
        return fail_by_hdf5(file, name, "cannot be read");
    }
    *out = elements;
    *count = length;
    return true;
}

/* Whether the links of "table/column" are there: H5Lexists's answer, negative where HDF5 cannot tell. */
static htri_t path_exists(hid_t file, const char *path)
{
    char table[64] = "";
    const char *slash = strchr(path, '/');
    if (slash && (size_t)(slash - path) < sizeof table) {
        memcpy(table, path, (size_t)(slash - path));
        htri_t there = H5Lexists(file, table, H5P_DEFAULT);
        if (there <= 0)
            return there;
    }
    return H5Lexists(file, path, H5P_DEFAULT);
}

/* The links are asked for first, and once: what HDF5 1.10 could not read of a group is absent when it is asked again. */
bool hdf5_column(const hdf5_file *file, const char *name, hid_t type, void **out, size_t *count)
{
    htri_t there = path_exists(file->id, name);
    if (there == 0)
        return fail(file, name, "no such dataset");
    if (there < 0)
        return fail_by_hdf5(file, name, "cannot be opened");
    hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (dataset < 0)
        return fail_by_hdf5(file, name, "cannot be opened");
    hid_t actual = H5Dget_type(dataset);
    htri_t typed = actual < 0 ? -1 : H5Tequal(actual, type);
    bool done = typed > 0   ? read_column(file, name, dataset, type, out, count)
                : typed < 0 ? fail_by_hdf5(file, name, "cannot be read")
                            : fail(file, name, "does not have the element type of the format");
    if (actual >= 0)
        H5Tclose(actual);
    H5Dclose(dataset);
    return done;
}
