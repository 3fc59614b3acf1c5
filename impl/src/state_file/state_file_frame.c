/* state_file_frame.c - the first block of a state file and its checksums (state_file.h says how it looks), and the way of a
 * file to its place: written beside it, brought to the disk, renamed.
 */
#define _POSIX_C_SOURCE 200809L

#include "state_file_frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "exactsgd-state\n"

static sgd_status file_error(const char *path, const char *what, sgd_error *error)
{
    return sgd_error_set(error, SGD_ERROR_FILE, "%.300s: %s", path, what);
}

/* ---- checksums --------------------------------------------------------------------------------------------------------------- */

/* CRC-32 as in zlib. */
typedef struct crc {
    uint32_t table[256], value;
} crc;

static void crc_start(crc *crc)
{
    crc->value = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t entry = i;
        for (int bit = 0; bit < 8; bit++)
            entry = entry & 1 ? entry >> 1 ^ 0xEDB88320u : entry >> 1;
        crc->table[i] = entry;
    }
}

static void crc_add(crc *crc, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        crc->value = crc->value >> 8 ^ crc->table[(crc->value ^ bytes[i]) & 0xFF];
}

static uint32_t crc_end(const crc *crc) { return crc->value ^ 0xFFFFFFFFu; }

static uint32_t crc_of(const char *text)
{
    crc crc;
    crc_start(&crc);
    crc_add(&crc, text, strlen(text));
    return crc_end(&crc);
}

/* Size and checksum of all behind the first block. */
static bool read_body(FILE *file, uint64_t *bytes, uint32_t *checksum)
{
    char block[1 << 14];
    crc crc;
    size_t got;
    crc_start(&crc);
    *bytes = 0;
    if (fseek(file, FRAME_SIZE, SEEK_SET))
        return false;
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        crc_add(&crc, block, got);
        *bytes += got;
    }
    *checksum = crc_end(&crc);
    return !ferror(file);
}

/* ---- the first block --------------------------------------------------------------------------------------------------------- */

static void frame_write(char frame[FRAME_SIZE], uint64_t bytes, uint32_t checksum)
{
    memset(frame, 0, FRAME_SIZE);
    int at = snprintf(frame, FRAME_SIZE, MAGIC "version %d\nbytes %llu\ncrc32 %08x\n", SGD_STATE_FILE_VERSION,
                      (unsigned long long)bytes, (unsigned)checksum);
    snprintf(frame + at, FRAME_SIZE - (size_t)at, "header %08x\n", (unsigned)crc_of(frame));
}

/* Whether the block is what its own checksum says; of another version its lines may be other ones. */
static bool frame_is_intact(const char frame[FRAME_SIZE])
{
    char text[FRAME_SIZE + 1] = "", expected[32];
    memcpy(text, frame, FRAME_SIZE);
    size_t length = strlen(text);
    char *last = strstr(text, "\nheader ");
    for (size_t i = length; i < FRAME_SIZE; i++)
        if (frame[i])
            return false;
    if (!last)
        return false;
    char stored[32] = "";
    strncpy(stored, last + 1, sizeof stored - 1);
    last[1] = '\0';
    snprintf(expected, sizeof expected, "header %08x\n", (unsigned)crc_of(text));
    return !strcmp(stored, expected);
}

static sgd_status check_body(FILE *file, const char *path, uint64_t bytes, uint32_t checksum, sgd_error *error)
{
    uint64_t found_bytes;
    uint32_t found;
    if (!read_body(file, &found_bytes, &found))
        return file_error(path, strerror(errno), error);
    if (found_bytes < bytes)
        return file_error(path, "the state file is truncated", error);
    if (found_bytes > bytes || found != checksum)
        return file_error(path, "the state file is damaged", error);
    return SGD_OK;
}

static sgd_status check_open(FILE *file, const char *path, sgd_error *error)
{
    char frame[FRAME_SIZE + 1] = "";
    size_t magic = strlen(MAGIC), got = fread(frame, 1, FRAME_SIZE, file);
    if (ferror(file))
        return file_error(path, strerror(errno), error);
    if (got == 0 || memcmp(frame, MAGIC, got < magic ? got : magic))
        return file_error(path, "not an exactsgd state file, or damaged at its start", error);
    if (got < FRAME_SIZE)
        return file_error(path, "the state file is truncated", error);
    if (!frame_is_intact(frame))
        return file_error(path, "the state file is damaged", error);
    unsigned long version = 0;
    unsigned long long bytes;
    unsigned checksum;
    if (sscanf(frame + magic, "version %lu\n", &version) != 1 || version < 1)
        return file_error(path, "the state file does not follow the schema: version", error);
    if (version > SGD_STATE_FILE_VERSION)
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "%.300s: the state file is of version %lu, this library reads %d", path,
                             version, SGD_STATE_FILE_VERSION);
    if (sscanf(frame + magic, "version %lu\nbytes %llu\ncrc32 %8x\n", &version, &bytes, &checksum) != 3)
        return file_error(path, "the state file does not follow the schema: its first block", error);
    return check_body(file, path, bytes, checksum, error);
}

sgd_status frame_check(const char *path, sgd_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return file_error(path, strerror(errno), error);
    sgd_status status = check_open(file, path, error);
    fclose(file);
    return status;
}

/* ---- a file on its way ------------------------------------------------------------------------------------------------------- */

sgd_status frame_create(const char *path, char **temporary, sgd_error *error)
{
    size_t size = strlen(path) + 32;
    char *name = malloc(size);
    int file = -1;
    if (!name)
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    for (unsigned i = 0; file < 0 && i < 1000; i++) {
        snprintf(name, size, "%s.%ld.%u.part", path, (long)getpid(), i);
        file = open(name, O_CREAT | O_EXCL | O_WRONLY, 0666);
        if (file < 0 && errno != EEXIST)
            break;
    }
    if (file < 0) {
        sgd_status status = file_error(path, strerror(errno), error);
        free(name);
        return status;
    }
    close(file);
    *temporary = name;
    return SGD_OK;
}

static bool write_frame(const char *path)
{
    char frame[FRAME_SIZE];
    uint64_t bytes;
    uint32_t checksum;
    FILE *file = fopen(path, "r+b");
    if (!file)
        return false;
    bool written = read_body(file, &bytes, &checksum);
    if (written) {
        frame_write(frame, bytes, checksum);
        written = !fseek(file, 0, SEEK_SET) && fwrite(frame, 1, FRAME_SIZE, file) == FRAME_SIZE && !fflush(file) &&
                  !fsync(fileno(file));
    }
    return !fclose(file) && written;
}

/* The folder remembers the new name; where a file system can't, the file is there all the same. */
static void sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    int folder = open(slash ? path : ".", O_RDONLY);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
}

sgd_status frame_seal(const char *temporary, const char *path, sgd_error *error)
{
    char *copy = malloc(strlen(path) + 1);
    if (!copy)
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    bool done = write_frame(temporary) && !rename(temporary, path);
    sgd_status status = done ? SGD_OK : file_error(path, strerror(errno), error);
    if (done)
        sync_folder(strcpy(copy, path));
    free(copy);
    return status;
}
