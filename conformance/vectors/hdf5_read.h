/* hdf5_read.h - attributes and columns out of an HDF5 file that may be damaged or not ours.
 *
 * Nothing is allocated from a number that was not held against the file's size first, no filter runs but those of the
 * format, and HDF5 prints nothing: each failure is one line "FILE: OBJECT: reason".
 */
#ifndef CONFORM_HDF5_READ_H
#define CONFORM_HDF5_READ_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

typedef struct hdf5_file {
    const char *name;
    hid_t id;
    uint64_t bytes;
    conform_error *error;
} hdf5_file;

/* Opens for reading; false with a line in `error`. */
bool hdf5_open(const char *name, conform_error *error, hdf5_file *out);
void hdf5_close(hdf5_file *file);

/* Attributes of the root group.  The string is the caller's to free. */
bool hdf5_string(const hdf5_file *file, const char *attribute, char **out);
bool hdf5_integer(const hdf5_file *file, const char *attribute, int64_t *out);

/* A one-dimensional dataset of exactly this little-endian type; the elements are the caller's to free, and non-NULL even if
 * there are none. */
bool hdf5_column(const hdf5_file *file, const char *dataset, hid_t type, void **out, size_t *count);

#endif
