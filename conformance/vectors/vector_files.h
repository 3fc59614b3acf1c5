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

/* Whether both names lead to one file, by whatever links; two that do not exist yet, whether they would. */
bool files_are_same(const char *a, const char *b);

/* False with one line in `error` where a file is given twice: its cases would count twice. */
bool file_list_check(const file_list *list, conform_error *error);

void file_list_free(file_list *list);

#endif
