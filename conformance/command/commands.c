/* commands.c - what all commands share; see commands.h. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bad_input(const conform_error *error)
{
    fprintf(stderr, "sgd-conform: %s\n", error->text);
    return EXIT_BAD_INPUT;
}

const char *vectors_folder(void)
{
    const char *folder = getenv("SGD_VECTORS");
    return folder && *folder ? folder : SGD_VECTORS_DIR;
}

char *vectors_folder_file(const char *name)
{
    const char *folder = vectors_folder();
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}
