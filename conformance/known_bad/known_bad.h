/* known_bad.h - implementations that the suite must reject: backends that compute by PyTorch's rules with one mistake.
 *
 * Each is the oracle over a changed rulebook (known_bad.def) behind the interface that any device implements.  Index
 * KNOWN_GOOD is the same thing without a mistake: the suite must accept it, or a rejection proves nothing.
 */
#ifndef CONFORM_KNOWN_BAD_H
#define CONFORM_KNOWN_BAD_H

#include "backend.h"

typedef enum known_bad_id {
#define BAD(id, name, what) KNOWN_BAD_##id,
#include "known_bad.def"
    KNOWN_BAD_COUNT,
    KNOWN_GOOD = KNOWN_BAD_COUNT
} known_bad_id;

typedef struct known_bad known_bad;

/* NULL, with one line in `message`, where memory ran out or a changed rule does not parse. */
known_bad *known_bad_create(known_bad_id id, char *message, size_t message_size);
void known_bad_destroy(known_bad *bad); /* takes NULL */

/* Valid as long as `bad`. */
const sgd_backend *known_bad_backend(const known_bad *bad);

const char *known_bad_name(known_bad_id id);
const char *known_bad_description(known_bad_id id);

#endif
