/* vectors_checker.h - what the parts of vectors_check share: vectors_check.c for problems and cases, vectors_check_tables.c for
 * the tables that these refer to. */
#ifndef CONFORM_VECTORS_CHECKER_H
#define CONFORM_VECTORS_CHECKER_H

#include "vectors.h"

typedef struct checker {
    const vectors *file;
    conform_error *error;
} checker;

/* False with one line "FILE: COLUMN[ROW]: VALUE REASON". */
bool check_wrong(const checker *check, const char *column, uint64_t row, uint64_t value, const char *reason);

static inline bool range_fits(uint64_t begin, uint64_t count, uint64_t limit)
{
    return begin <= limit && count <= limit - begin;
}

/* Tables array, layout, scalar, option, scaling, and sparse; everything that refers to them may rely on it. */
bool check_referred_tables(const checker *check);

#endif
