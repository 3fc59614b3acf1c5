/* noise.cpp - a calibration loop and /proc/stat. */
#include "noise.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <unistd.h>

#include "outcome.hpp"
#include "text.hpp"

/* Shares of the processors' time, and the figure, from which on a run is called disturbed. */
static constexpr double OTHERS = 0.05, STOLEN = 0.02, FIGURE = 0.05;

Noise::Ticks Noise::ticks()
{
    std::ifstream file("/proc/stat");
    std::string name;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, interrupts = 0, soft = 0, stolen = 0;
    file >> name >> user >> nice >> system >> idle >> wait >> interrupts >> soft >> stolen;
    timespec own{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    const double busy = user + nice + system + interrupts + soft;
    const double seconds = static_cast<double>(own.tv_sec) + 1e-9 * static_cast<double>(own.tv_nsec);
    return {busy + idle + wait + stolen, busy, stolen, seconds * static_cast<double>(sysconf(_SC_CLK_TCK))};
}

Noise::Noise() : begin_(ticks()) {}

/* A chain of dependent multiplications: its time hangs on the processor's clock and on nothing else. */
void Noise::calibrate()
{
    const auto begin = std::chrono::steady_clock::now();
    volatile uint64_t result = 1;
    uint64_t x = result;
    for (int i = 0; i < 1000 * 1000; i++)
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    result = x;
    calibrations_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

double Noise::figure() const
{
    if (calibrations_.empty())
        return 0;
    std::vector<double> sorted = calibrations_;
    std::sort(sorted.begin(), sorted.end());
    const double middle = median_of(sorted);
    return (sorted[sorted.size() * 9 / 10] - middle) / middle;
}

double Noise::others() const
{
    const Ticks now = ticks();
    const double all = now.all - begin_.all, others = (now.busy - begin_.busy) - (now.own - begin_.own);
    return all > 0 ? std::max(others, 0.0) / all : 0;
}

double Noise::stolen() const
{
    const Ticks now = ticks();
    return now.all > begin_.all ? (now.stolen - begin_.stolen) / (now.all - begin_.all) : 0;
}

std::vector<std::string> Noise::disturbances() const
{
    std::vector<std::string> reasons;
    if (others() > OTHERS)
        reasons.push_back(format("other programs take %.0f %% of the processors' time", 100 * others()));
    if (stolen() > STOLEN)
        reasons.push_back(format("the hypervisor takes %.0f %% of the processors' time", 100 * stolen()));
    if (figure() > FIGURE)
        reasons.push_back(format("a fixed loop's time varies by %.0f %%", 100 * figure()));
    return reasons;
}
