/* status.c - names and texts of status.def. */
#include "status.h"

const char *sgd_status_name(sgd_status status)
{
    switch (status) {
#define STATUS(id, number, text) \
    case number: return "SGD_" #id;
#include "status.def"
#undef STATUS
    }
    return "SGD_STATUS_UNKNOWN";
}

const char *sgd_status_text(sgd_status status)
{
    switch (status) {
#define STATUS(id, number, text) \
    case number: return text;
#include "status.def"
#undef STATUS
    }
    return "unknown status";
}
