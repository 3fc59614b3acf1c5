/* ledger.h - PyTorch's known defects: reference/vectors/defects.json.
 *
 * In the cells of a defect there are two right answers: what torch does, and what SGD should give (the specification).  The
 * oracle knows both; the ledger says where to ask for both.
 */
#ifndef CONFORM_LEDGER_H
#define CONFORM_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "contract.h"
#include "message.h"

typedef struct ledger_defect {
    char *id;                            /* "pytorch#191763" */
    char *link;
    char *title;
    uint32_t contracts, paths, dtypes;   /* sets: bit i stands for value i of the enum */
    bool only;                           /* it shows in some cases of these cells only: whoever looks at a case must say */
} ledger_defect;

typedef struct ledger {
    ledger_defect *defects;
    size_t count;
} ledger;

/* NULL with one line "FILE: OBJECT: reason". */
ledger *ledger_load(const char *file, conform_error *error);
void ledger_free(ledger *ledger); /* takes NULL */

/* The defect that all cases of a contract, path and dtype have; NULL for none. */
const ledger_defect *ledger_find(const ledger *ledger, sgd_contract contract, sgd_path path, sgd_dtype dtype);

/* The defect of this id; NULL where the ledger has none. */
const ledger_defect *ledger_find_id(const ledger *ledger, const char *id);

#endif
