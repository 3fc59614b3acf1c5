/* progress.hpp - tells a person who waits how far a run is, on stderr. */
#pragma once

#include <chrono>
#include <string>

class Progress {
public:
    /* `turns` repetitions altogether. */
    explicit Progress(size_t turns);
    ~Progress() { clear(); }

    /* Before each thing that takes a while: where stderr is a terminal, one line that is written over and over. */
    void show(const std::string &what);

    /* After a repetition, or several that will not come. */
    void done(size_t turns = 1) { done_ += turns; }

    /* At the end of a block: a line of its own where stderr is no terminal and the last one was long ago. */
    void block_done(size_t blocks, size_t of);

    /* Before anything else is printed. */
    void clear();

private:
    std::string time_left() const;

    using Clock = std::chrono::steady_clock;
    const bool terminal_;
    const size_t turns_;
    size_t done_ = 0;
    const Clock::time_point begin_ = Clock::now();
    Clock::time_point last_line_ = begin_;
};
