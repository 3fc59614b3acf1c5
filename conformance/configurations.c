/* configurations.c - see configurations.h. */
#include "configurations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 16
#define THREADS_MAX 1024
#define ALL "all"

/* What a list comes to. */
typedef struct choices {
    unsigned values[CHOICES_MAX];
    size_t count;
} choices;

static void add_choice(choices *to, unsigned value)
{
    for (size_t i = 0; i < to->count; i++)
        if (to->values[i] == value)
            return;
    to->values[to->count++] = value;
}

bool configurations_cap(sgd_isa *out, conform_error *error)
{
    const char *cap = getenv("SGD_ISA");
    if (cap && *cap && !sgd_isa_parse(cap, out))
        return conform_fail(error, "SGD_ISA=%s: no such instruction set", cap);
    *out = sgd_isa_best();
    return true;
}

static bool add_isa(const char *name, choices *to, conform_error *error)
{
    sgd_isa isa, cap;
    bool all = strcmp(name, ALL) == 0;
    if (!configurations_cap(&cap, error))
        return false;
    if (!all && !sgd_isa_parse(name, &isa))
        return conform_fail(error, "--isa %s: no such instruction set", name);
    if (!all && !sgd_isa_available(isa))
        return conform_fail(error, "--isa %s: this machine does not have it", name);
    for (unsigned i = 0; i < SGD_ISA_COUNT; i++)
        if (all ? i <= (unsigned)cap && sgd_isa_available((sgd_isa)i) : i == (unsigned)isa)
            add_choice(to, i);
    return true;
}

static bool add_schedule(const char *name, choices *to, conform_error *error)
{
    sgd_schedule schedule;
    bool all = strcmp(name, ALL) == 0;
    if (!all && !sgd_schedule_parse(name, &schedule))
        return conform_fail(error, "--schedule %s: no such schedule", name);
    if (all || schedule == SGD_SCHEDULE_SINGLE_PASS)
        add_choice(to, SGD_SCHEDULE_SINGLE_PASS);
    if (all || schedule == SGD_SCHEDULE_BY_OP)
        add_choice(to, SGD_SCHEDULE_BY_OP);
    return true;
}

static bool add_threads(const char *name, choices *to, conform_error *error)
{
    if (strcmp(name, ALL) == 0)
        return add_threads("1", to, error) && add_threads("2", to, error);
    char *end;
    errno = 0;
    unsigned long threads = strtoul(name, &end, 10);
    if (*name < '0' || *name > '9' || *end || errno || !threads || threads > THREADS_MAX)
        return conform_fail(error, "--threads %s: is no number from 1 to %d", name, THREADS_MAX);
    add_choice(to, (unsigned)threads);
    return true;
}

/* Takes a list apart; every name goes through `add`. */
static bool parse_list(const char *option, const char *list, bool (*add)(const char *, choices *, conform_error *),
                       choices *out, conform_error *error)
{
    out->count = 0;
    char *copy = strdup(list), *rest = copy, *name;
    if (!copy)
        return conform_fail(error, "%s: out of memory", option);
    bool done = true;
    while (done && (name = strsep(&rest, ",")))
        done = out->count + 4 <= CHOICES_MAX ? add(name, out, error)
                                             : conform_fail(error, "%s %s: is too long", option, list);
    free(copy);
    return done;
}

static void add_subject(configurations *to, sgd_isa isa, unsigned schedule, unsigned threads, sgd_defects defects)
{
    to->subjects[to->count++] = (conform_subject){.name = sgd_isa_name(isa),
                                                  .backend = sgd_backend_cpu(isa),
                                                  .schedule = (sgd_schedule)schedule,
                                                  .threads = threads,
                                                  .defects = defects};
}

bool configurations_choose(const char *isa_list, const char *schedule_list, const char *thread_list, configurations *out,
                           conform_error *error)
{
    choices isas, schedules, threads;
    if (!parse_list("--isa", isa_list, add_isa, &isas, error) ||
        !parse_list("--schedule", schedule_list, add_schedule, &schedules, error) ||
        !parse_list("--threads", thread_list, add_threads, &threads, error))
        return false;
    configurations chosen = {calloc(2 * isas.count * schedules.count * threads.count, sizeof *chosen.subjects), 0};
    if (!chosen.subjects)
        return conform_fail(error, "configurations: out of memory");
    for (size_t i = 0; i < isas.count; i++)
        for (size_t s = 0; s < schedules.count; s++)
            for (size_t t = 0; t < threads.count; t++) {
                sgd_isa isa = (sgd_isa)isas.values[i];
                add_subject(&chosen, isa, schedules.values[s], threads.values[t], SGD_DEFECTS_FIX);
                add_subject(&chosen, isa, schedules.values[s], threads.values[t], SGD_DEFECTS_REPRODUCE);
            }
    *out = chosen;
    return true;
}

void configurations_free(configurations *configurations) { free(configurations->subjects); }
