/* host.c - PyTorch's words for what it refuses. */
#include <stdio.h>

#include <sgd/host.h>

#include "internal.h"

static const struct {
    sgd_status status;
    const char *text;
} refusals[SGD_REFUSAL_COUNT] = {
#define REFUSAL(id, status, text) [SGD_REFUSAL_##id] = {SGD_##status, text},
#include <sgd/refusals.def>
#undef REFUSAL
};

/* The text up to its next %s; returns what follows that, NULL at the end. */
static const char *take_part(const char *text, size_t *length)
{
    const char *at = text;
    while (*at && (at[0] != '%' || at[1] != 's'))
        at++;
    *length = (size_t)(at - text);
    return *at ? at + 2 : NULL;
}

sgd_status sgd_refuse(sgd_refusal what, const char *detail, const char *more, sgd_error *error)
{
    if ((unsigned)what >= SGD_REFUSAL_COUNT)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "refusal %d does not exist", (int)what);
    const char *details[] = {detail, more};
    char message[SGD_ERROR_MESSAGE_SIZE] = "";
    size_t at = 0, length, used = 0;
    for (const char *text = refusals[what].text; text;) {
        const char *rest = take_part(text, &length);
        const char *inserted = rest && used < 2 && details[used] ? details[used] : "";
        used += rest != NULL;
        int written = snprintf(message + at, sizeof message - at, "%.*s%s", (int)length, text, inserted);
        at += written > 0 ? (size_t)written : 0;
        at = at < sizeof message ? at : sizeof message - 1;
        text = rest;
    }
    return sgd_error_set(error, refusals[what].status, "%s", message);
}
