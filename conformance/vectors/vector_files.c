/* vector_files.c - see vector_files.h. */
#include "vector_files.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* The folder that a file of this name would be in. */
static bool stat_folder(const char *path, struct stat *status)
{
    char *copy = strdup(path);
    bool found = copy && stat(dirname(copy), status) == 0;
    free(copy);
    return found;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool files_are_same(const char *a, const char *b)
{
    struct stat of_a, of_b;
    bool a_exists = stat(a, &of_a) == 0, b_exists = stat(b, &of_b) == 0;
    if (a_exists != b_exists)
        return false;
    if (!a_exists && (strcmp(last_part(a), last_part(b)) != 0 || !stat_folder(a, &of_a) || !stat_folder(b, &of_b)))
        return false;
    return of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

bool file_list_check(const file_list *list, conform_error *error)
{
    for (size_t i = 1; i < list->count; i++)
        for (size_t k = 0; k < i; k++)
            if (files_are_same(list->names[i], list->names[k]))
                return conform_fail(error, "%s: is given twice", list->names[i]);
    return true;
}

void file_list_free(file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
}
