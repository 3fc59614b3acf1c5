/* command.hpp - the command line. */
#pragma once

#include <string>

#include "cases.hpp"
#include "expectation.hpp"
#include "outcome.hpp"

constexpr int EXIT_FAILED = 1, EXIT_UNUSABLE = 2, EXIT_INTERRUPTED = 130;

struct Settings {
    std::string command; /* "list", "shapes" or "run" */
    Choice choice;
    Effort effort{0.1, 3}; /* of the default selection: about a minute on two cores */
    Check check = Check::SAMPLE;
    bool table = true;
    std::string json;
};

/* Ends the program for --help, --version and arguments that do not parse. */
Settings command_parse(int argc, char **argv);
