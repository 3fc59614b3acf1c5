/* output_file.c - see output_file.h. */
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".XXXXXX"

static bool fail(conform_error *error, const char *path, const char *what)
{
    return conform_fail(error, "%s: %s: %s", path, what, strerror(errno));
}

static bool is_special(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A link stays a link: what it leads to is replaced.  To be freed; NULL with a line in `error`. */
static char *target_of(const char *path, conform_error *error)
{
    struct stat status;
    char *target = realpath(path, NULL);
    if (!target && lstat(path, &status) == 0 && S_ISLNK(status.st_mode)) {
        conform_fail(error, "%s: output: is a link that leads nowhere", path);
        return NULL;
    }
    if (!target && !(target = strdup(path)))
        conform_fail(error, "%s: output: out of memory", path);
    return target;
}

bool output_file_check(const char *path, conform_error *error)
{
    if (!*path)
        return conform_fail(error, "output: a file name is empty");
    if (is_folder(path))
        return conform_fail(error, "%s: output: is a folder", path);
    if (is_special(path))
        return access(path, W_OK) == 0 || fail(error, path, "output");
    char *target = target_of(path, error);
    if (!target)
        return false;
    const char *folder = dirname(target);
    bool writable = access(folder, W_OK | X_OK) == 0 ||
                    conform_fail(error, "%s: folder %s: %s", path, folder, strerror(errno));
    free(target);
    return writable;
}

static bool write_all(int file, const char *bytes, size_t size)
{
    while (size) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_in_place(const char *path, const void *bytes, size_t size, conform_error *error)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return fail(error, path, "output");
    bool written = write_all(file, bytes, size) || fail(error, path, "output");
    return (close(file) == 0 || fail(error, path, "output")) && written;
}

/* The file's permissions are those that open() would have given it; mkstemp's are private. */
static bool finish(int file)
{
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(file, 0666 & ~mask) == 0 && fsync(file) == 0;
}

/* `path` is the name to complain by. */
static bool replace(const char *target, const char *path, const void *bytes, size_t size, conform_error *error)
{
    char *temporary = malloc(strlen(target) + sizeof SUFFIX);
    if (!temporary)
        return conform_fail(error, "%s: output: out of memory", path);
    strcat(strcpy(temporary, target), SUFFIX);
    int file = mkstemp(temporary);
    if (file < 0) {
        free(temporary);
        return fail(error, path, "output");
    }
    bool done = (write_all(file, bytes, size) && finish(file)) || fail(error, path, "output");
    done = (close(file) == 0 || fail(error, path, "output")) && done;
    done = done && (rename(temporary, target) == 0 || fail(error, path, "output"));
    if (!done)
        unlink(temporary);
    free(temporary);
    return done;
}

bool output_file_write(const char *path, const void *bytes, size_t size, conform_error *error)
{
    if (is_special(path))
        return write_in_place(path, bytes, size, error);
    char *target = target_of(path, error);
    bool done = target && replace(target, path, bytes, size, error);
    free(target);
    return done;
}
