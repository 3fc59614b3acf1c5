/* suite.h - the inside of a conform_suite. */
#ifndef CONFORM_SUITE_H
#define CONFORM_SUITE_H

#include "run.h"

struct conform_suite {
    vectors **files;
    size_t file_count;
    ledger *ledger;
    sgd_oracle *oracle;
    conform_case *cases; /* the selected ones; room for all */
    size_t case_count;
};

#endif
