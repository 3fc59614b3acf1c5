/* progress.cpp - see progress.hpp. */
#include "progress.hpp"

#include <cstdio>
#include <unistd.h>

#include "text.hpp"

Progress::Progress(size_t turns) : terminal_(isatty(STDERR_FILENO)), turns_(turns) {}

/* As long as the rest takes if it goes on like this. */
std::string Progress::time_left() const
{
    if (done_ == 0)
        return "";
    const double past = std::chrono::duration<double>(Clock::now() - begin_).count();
    const double left = past / static_cast<double>(done_) * static_cast<double>(turns_ - done_);
    return left < 90 ? format(", about %.0f s left", left) : format(", about %.0f min left", left / 60);
}

void Progress::show(const std::string &what)
{
    if (terminal_)
        std::fprintf(stderr, "\r\033[K[%zu/%zu%s] %s", done_, turns_, time_left().c_str(), what.c_str());
}

void Progress::block_done(size_t blocks, size_t of)
{
    const Clock::time_point now = Clock::now();
    if (terminal_ || blocks == of || now - last_line_ < std::chrono::seconds(30))
        return;
    std::fprintf(stderr, "sgd-bench: %zu of %zu blocks%s\n", blocks, of, time_left().c_str());
    last_line_ = now;
}

void Progress::clear()
{
    if (terminal_)
        std::fputs("\r\033[K", stderr);
}
