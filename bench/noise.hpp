/* noise.hpp - what else the machine does while a run measures. */
#pragma once

#include <string>
#include <vector>

class Noise {
public:
    Noise();

    /* Times a fixed piece of arithmetic that touches no memory, a few ms; once a round. */
    void calibrate();

    /* How far the slower calibrations are from the middle: (90th percentile - median) / median. */
    double figure() const;

    /* Shares of the processors' time since the beginning: what other programs took; what the hypervisor did. */
    double others() const;
    double stolen() const;

    /* What disturbs the run, to be read by people; nothing where it may be believed. */
    std::vector<std::string> disturbances() const;

private:
    struct Ticks {
        double all, busy, stolen, own; /* in 1/100 s, or whatever the system counts in */
    };
    static Ticks ticks();

    Ticks begin_;
    std::vector<double> calibrations_; /* seconds */
};
