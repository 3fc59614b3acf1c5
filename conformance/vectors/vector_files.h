/* vector_files.h - which vector files to run. */
#ifndef CONFORM_VECTOR_FILES_H
#define CONFORM_VECTOR_FILES_H

#include <stddef.h>

#include "message.h"

typedef struct file_list {
    char **names;
    size_t count;
} file_list;

/* False where memory ran out. */
bool file_list_add(file_list *list, const char *name);

/* Every *.h5 of a folder in alphabetical order; false with one line in `error`, also where there is none. */
bool file_list_add_folder(file_list *list, const char *folder, conform_error *error);

void file_list_free(file_list *list);

#endif
