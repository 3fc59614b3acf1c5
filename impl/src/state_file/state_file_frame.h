/* state_file_frame.h - what surrounds the HDF5 part of a state file: the sealed first block, and files whole or not at all. */
#ifndef SGD_STATE_FILE_FRAME_H
#define SGD_STATE_FILE_FRAME_H

#include <sgd/state_file.h>

#include "engine.h"

#define FRAME_SIZE 512

/* Makes a new, empty file in the folder of `path`; its name is the caller's to free. */
sgd_status frame_create(const char *path, char **temporary, sgd_error *error);

/* Writes the first block of a finished file, brings all of it to the disk, and puts it in the place of `path`. */
sgd_status frame_seal(const char *temporary, const char *path, sgd_error *error);

/* Whether a file is a state file of this version with every bit as it was written. */
sgd_status frame_check(const char *path, sgd_error *error);

#endif
