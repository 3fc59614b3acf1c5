/* configurations.h - the library's configurations as a command line names them. */
#ifndef CONFORM_CONFIGURATIONS_H
#define CONFORM_CONFIGURATIONS_H

#include "subject.h"

typedef struct configurations {
    conform_subject *subjects;
    size_t count;
} configurations;

/* The last of the instruction sets that "all" stands for: the best that this machine has, or less where the environment
 * variable SGD_ISA says so.  False with one line in `error`: SGD_ISA names none. */
bool configurations_cap(sgd_isa *out, conform_error *error);

/* Every combination of the lists, each with defects reproduced and fixed.  A list has commas; "all" stands for whatever this
 * machine runs, up to the cap.  False with one line in `error`: an unknown name, also in SGD_ISA, or an instruction set that
 * this machine lacks. */
bool configurations_choose(const char *isas, const char *schedules, const char *threads, configurations *out,
                           conform_error *error);
void configurations_free(configurations *configurations);

#endif
