/* output_file.cpp - a result file appears whole or not at all. */
#include "output_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <unistd.h>

namespace fs = std::filesystem;

[[noreturn]] static void fail(const std::string &path, int error)
{
    throw std::runtime_error("cannot write " + path + ": " + std::strerror(error));
}

/* Renaming over a device or a pipe would replace it. */
static bool is_special(const std::string &path)
{
    std::error_code error;
    fs::file_status status = fs::status(path, error);
    return fs::exists(status) && !fs::is_regular_file(status);
}

/* A link stays a link: what it points to is replaced. */
static std::string target_of(const std::string &path)
{
    std::error_code error;
    fs::path target = fs::canonical(path, error);
    return error ? path : target.string();
}

static std::string temporary_for(const std::string &target) { return target + "." + std::to_string(getpid()) + ".tmp"; }

/* `path` is the file that the user named, for the message. */
static int open_for_writing(const std::string &file_name, int flags, const std::string &path)
{
    int file = open(file_name.c_str(), O_WRONLY | O_CLOEXEC | flags, 0666);
    if (file < 0)
        fail(path, errno);
    return file;
}

/* The errno of the first thing that fails, 0 where nothing does. */
static int write_and_close(int file, const std::string &text)
{
    int error = 0;
    for (size_t at = 0; at < text.size() && !error;) {
        ssize_t written = write(file, text.data() + at, text.size() - at);
        if (written >= 0)
            at += static_cast<size_t>(written);
        else if (errno != EINTR)
            error = errno;
    }
    if (close(file) != 0 && !error)
        error = errno;
    return error;
}

void output_check(const std::string &path)
{
    if (is_special(path)) {
        close(open_for_writing(path, 0, path));
        return;
    }
    std::string temporary = temporary_for(target_of(path));
    close(open_for_writing(temporary, O_CREAT | O_EXCL, path));
    unlink(temporary.c_str());
}

void output_write(const std::string &path, const std::string &text)
{
    if (is_special(path)) {
        if (int error = write_and_close(open_for_writing(path, 0, path), text))
            fail(path, error);
        return;
    }
    std::string target = target_of(path), temporary = temporary_for(target);
    int error = write_and_close(open_for_writing(temporary, O_CREAT | O_EXCL, path), text);
    if (!error && std::rename(temporary.c_str(), target.c_str()) != 0)
        error = errno;
    if (error) {
        unlink(temporary.c_str());
        fail(path, error);
    }
}
