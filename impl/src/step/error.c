/* error.c - how a message gets to the caller. */
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

sgd_status sgd_error_set(sgd_error *error, sgd_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}
