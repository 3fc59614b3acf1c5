/* main.c - sgd-conform: which command. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sgd/sgd.h>

#include "commands.h"

static const char usage[] =
    "Usage: sgd-conform run [OPTION...]\n"
    "       sgd-conform contract [--json] [GLOB]\n"
    "\n"
    "Holds the library against PyTorch's SGD, bit for bit.\n"
    "\n"
    "  run        run the golden vectors: PyTorch's bits = the oracle's = the library's\n"
    "  contract   print the numeric contract: every rounding, in the order it is made\n"
    "\n"
    "sgd-conform COMMAND --help says more.  Exit: 0 conforms, 1 does not, 2 bad input or usage.\n";

static int dispatch(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "run") == 0)
        return command_run(argc - 1, argv + 1);
    if (strcmp(command, "contract") == 0)
        return command_contract(argc - 1, argv + 1);
    if (strcmp(command, "--help") == 0 || strcmp(command, "-?") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(command, "--version") == 0) {
        puts("sgd-conform " SGD_VERSION);
        return EXIT_SUCCESS;
    }
    fputs(usage, stderr);
    return EXIT_BAD_INPUT;
}

int main(int argc, char **argv)
{
    /* A file that may not grow is an error like a full disk, and no reason to die and leave a temporary file. */
    signal(SIGXFSZ, SIG_IGN);
    argp_err_exit_status = EXIT_BAD_INPUT;
    int answer = dispatch(argc, argv);
    /* A table that did not reach its reader must not count as printed. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        conform_error error;
        conform_fail(&error, "standard output: cannot be written");
        return bad_input(&error);
    }
    return answer;
}
