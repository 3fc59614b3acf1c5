/* vector_files.c - see vector_files.h. */
#include "vector_files.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool file_list_add(file_list *list, const char *name)
{
    char **names = realloc(list->names, (list->count + 1) * sizeof *names);
    if (!names)
        return false;
    list->names = names;
    names[list->count] = strdup(name);
    return names[list->count] && ++list->count;
}

static int is_vector_file(const struct dirent *entry) { return fnmatch("*.h5", entry->d_name, FNM_PERIOD) == 0; }

static bool add_entry(file_list *list, const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    bool added = path && file_list_add(list, path);
    free(path);
    return added;
}

bool file_list_add_folder(file_list *list, const char *folder, conform_error *error)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_vector_file, alphasort);
    if (count < 0)
        return conform_fail(error, "%s: folder of vectors: %s", folder, strerror(errno));
    bool added = true;
    for (int i = 0; i < count; i++) {
        added = added && add_entry(list, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (!added)
        return conform_fail(error, "%s: folder of vectors: out of memory", folder);
    return count > 0 || conform_fail(error, "%s: folder of vectors: holds no vector file (*.h5)", folder);
}

void file_list_free(file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
}
