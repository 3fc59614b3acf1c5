/* commands.h - the commands of sgd-conform, and what they share.  Only these files print. */
#ifndef CONFORM_COMMANDS_H
#define CONFORM_COMMANDS_H

#include <stddef.h>

#include "message.h"

/* A program's answer to its caller. */
enum { EXIT_CONFORMS = 0, EXIT_DOES_NOT_CONFORM = 1, EXIT_BAD_INPUT = 2 };

/* `argc` and `argv` begin with the command's name. */
int command_run(int argc, char **argv);
int command_contract(int argc, char **argv);

/* Prints the line to stderr; EXIT_BAD_INPUT. */
int bad_input(const conform_error *error);

/* The folder of the shipped vectors and the ledger: environment variable SGD_VECTORS, or as it was built. */
const char *vectors_folder(void);

/* A file of that folder, to be freed; NULL where memory ran out. */
char *vectors_folder_file(const char *name);

#endif
