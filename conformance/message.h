/* message.h - the one line that says what is wrong with an input, an output or a command. */
#ifndef CONFORM_MESSAGE_H
#define CONFORM_MESSAGE_H

#include <stdbool.h>

/* Owned by the caller; written only by a call that fails. */
typedef struct conform_error {
    char text[1024];
} conform_error;

/* Writes the line; always false, so that a check can end in `return conform_fail(...)`. */
bool conform_fail(conform_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
