/* output_file.h - a report reaches its file whole or not at all. */
#ifndef CONFORM_OUTPUT_FILE_H
#define CONFORM_OUTPUT_FILE_H

#include <stddef.h>

#include "message.h"

/* Whether a file of this name can be begun: asked before a long run, so that the run is not in vain. */
bool output_file_check(const char *path, conform_error *error);

/* Writes a temporary file beside `path`, or beside what it is a link to, sees it safe on the disk, and renames it.  What is no regular file (/dev/stdout) is
 * written in place.  False leaves a file that was there before as it was. */
bool output_file_write(const char *path, const void *bytes, size_t size, conform_error *error);

#endif
