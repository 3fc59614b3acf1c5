/* state_file.h - a state dict in a file: HDF5, schema "exactsgd-state" version 1.
 *
 * The library sgd_state_file, which alone needs HDF5, has these functions; libsgd does not.
 *
 * The file begins with 512 bytes of text (HDF5's user block), lines that end in '\n', then zeros:
 *     exactsgd-state
 *     version 1
 *     bytes 8192              size of all that follows the 512 bytes, in decimal
 *     crc32 1c291ca3          of those bytes: CRC-32 as in zlib, 8 lower-case hexadecimal digits
 *     header 5a3b9e01         the same of the lines before this one
 * so that each bit of the file is covered; readers check them in the order magic, header, zeros, version, bytes, crc32.
 * What follows is an HDF5 file (h5py.File opens the whole; h5py.File(name, "w", userblock_size=512) makes room):
 *     /                 attributes: format "exactsgd-state", version (int64) 1
 *     /groups/0, 1 ...  param groups in order: a dict, and the dataset "params": int64, the ids, one dimension
 *     /state/0, 1 ...   state entries in order: a dict, with the attribute "id": int64, or a string
 * A dict is an HDF5 group with the attribute "keys", its keys in order (one dimension of strings, {0} for none), and one object
 * per key, named after it but for '%', '/' and '.', which become %25, %2F and %2E, and the keys "params" and "", which become
 * %params and %:
 *     None       a dataset with a null dataspace (h5py.Empty("f"))      bool, int, float   scalar: h5py's bool, int64, float64
 *     str        scalar string                                          list of str        strings, one dimension
 *     tensor     a dataset with the attribute "tensor": the dtype (f64 f32 f16 bf16 c64 c128 i64 i32 i16 i8 u8 bool); elements
 *                in the order of their indices; bf16 is stored as uint16, bool as uint8, complex as h5py's compound (r, i).
 *                Attribute "strides" (int64, counting elements) where they are not those of a contiguous tensor, and
 *                "requires_grad" (bool) where it is true.  Tensors with dimensions and elements lie in chunks (below 4 GiB)
 *                with Fletcher-32.
 *     sparse     an HDF5 group with the attributes "tensor": "coo", "shape" (int64), "coalesced" (bool), and two tensors,
 *                "indices" (i64) and "values"
 * Strings are UTF-8 of variable length, numbers little-endian.  Objects of a host have no place in a file.
 *
 * Thread-safety: one thread at a time in the whole process, as HDF5 itself is built in most places.
 */
#ifndef SGD_STATE_FILE_H
#define SGD_STATE_FILE_H

#include "state.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SGD_STATE_FILE_VERSION 1

/* Writes a file whole or not at all: beside `path`, to the disk, then in its place.
 * Errors: ERROR_UNSUPPORTED for a value that is an object, or a tensor that is not in host memory, of no dtype above, or of
 * more than 32 dimensions; ERROR_FILE; ERROR_MEMORY. */
SGD_API sgd_status sgd_state_write(const sgd_state *state, const char *path, sgd_error *error);

/* Reads a file into a new state, whose tensors are the library's.
 * Errors: ERROR_FILE, saying whether the file is missing, no state file, truncated, damaged, or does not follow the schema;
 * ERROR_UNSUPPORTED for a later version; ERROR_MEMORY.  Whether it fits a model is for load_state_dict to say. */
SGD_API sgd_status sgd_state_read(const char *path, sgd_state **out, sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
