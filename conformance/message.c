/* message.c - see message.h. */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

bool conform_fail(conform_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    /* A file name may hold anything; the message stays one line. */
    for (char *c = error->text; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = '?';
    return false;
}
