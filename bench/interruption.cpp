/* interruption.cpp - see interruption.hpp. */
#include "interruption.hpp"

#include <csignal>

static const int SIGNALS[] = {SIGINT, SIGTERM};
static struct sigaction former[2];
static volatile std::sig_atomic_t signalled;

static void give_back()
{
    for (int i = 0; i < 2; i++)
        sigaction(SIGNALS[i], &former[i], nullptr);
}

static void note(int)
{
    signalled = 1;
    give_back();
}

Interruption::Interruption()
{
    signalled = 0;
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 2; i++)
        sigaction(SIGNALS[i], &action, &former[i]);
}

Interruption::~Interruption() { give_back(); }

bool Interruption::noted() { return signalled != 0; }
