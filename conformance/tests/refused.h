/* refused.h - vectors that do not add up are refused, with the place. */
#ifndef CONFORM_REFUSED_H
#define CONFORM_REFUSED_H

#include <string.h>

#include "cmocka_test.h"
#include "vectors.h"

static inline void assert_inconsistent(const vectors *made, const char *reason)
{
    conform_error error = {""};
    assert_false(vectors_check(made, &error));
    if (!strstr(error.text, reason))
        fail_msg("\"%s\" does not say \"%s\"", error.text, reason);
}

#define ASSERT_REFUSED_WITH(place, value, reason)                                                                          \
    do {                                                                                                                   \
        uint64_t kept = (place);                                                                                           \
        (place) = (value);                                                                                                 \
        assert_inconsistent(made, reason);                                                                                 \
        (place) = kept;                                                                                                    \
    } while (0)

#endif
