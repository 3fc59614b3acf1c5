/* known_bad.c - builds the changed rulebooks and puts the oracle behind sgd_backend; see known_bad.h. */
#include "known_bad.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "sets.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_SIZE 96

/* Sets of stages */
enum {
    DECAY = SET_OF(SGD_STAGE_DECAY),
    FIRST = SET_OF(SGD_STAGE_FIRST),
    MOMENTUM = SET_OF(SGD_STAGE_MOMENTUM),
    NESTEROV = SET_OF(SGD_STAGE_NESTEROV),
    PARAM = SET_OF(SGD_STAGE_PARAM),
    EVERY_STAGE = SET_OF(SGD_STAGE_COUNT) - 1
};

typedef struct change {
    known_bad_id id;
    uint32_t contracts, paths, dtypes, stages;
    const char *from, *to;
} change;

static const change changes[] = {
#define CHANGE(id, contracts, paths, dtypes, stages, from, to) \
    {KNOWN_BAD_##id, contracts, paths, dtypes, stages, from, to},
#include "known_bad.def"
};

static const struct {
    known_bad_id id;
    uint32_t paths, dtypes;
    int32_t shift;
} moves[] = {
#define MOVE(id, paths, dtypes, shift) {KNOWN_BAD_##id, paths, dtypes, shift},
#include "known_bad.def"
};

static const struct {
    const char *name, *what;
} descriptions[] = {
#define BAD(id, name, what) {name, what},
#include "known_bad.def"
    {"no-mistake", "PyTorch's own rules"}};

const char *known_bad_name(known_bad_id id) { return descriptions[id].name; }
const char *known_bad_description(known_bad_id id) { return descriptions[id].what; }

/* ---- rulebooks --------------------------------------------------------------------------------------------------------- */

struct known_bad {
    sgd_backend backend;
    sgd_claim claims[SGD_CONTRACT_COUNT * SGD_PATH_COUNT * SGD_DTYPE_COUNT];
    size_t claim_count;
    sgd_oracle *oracle;
    sgd_rulebook book;
    size_t rule_count;
    sgd_rule *rules;
    sgd_width *widths;
    char (*texts)[TEXT_SIZE]; /* of the changed rules */
    size_t text_count;
};

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '-'; }

/* Replaces every whole word `from` behind the "=" of `text`. */
static void replace_words(const char *text, const char *from, const char *to, char out[TEXT_SIZE])
{
    const char *at = strchr(text, '=') + 1;
    size_t length = (size_t)snprintf(out, TEXT_SIZE, "%.*s", (int)(at - text), text);
    if (!strcmp(from, "*")) {
        snprintf(out + length, TEXT_SIZE - length, " %s", to);
        return;
    }
    while (*at && length < TEXT_SIZE) {
        size_t word = 0;
        while (is_word(at[word]))
            word++;
        bool found = word == strlen(from) && !strncmp(at, from, word);
        size_t take = word ? word : 1;
        length += (size_t)snprintf(out + length, TEXT_SIZE - length, "%.*s", found ? (int)strlen(to) : (int)take,
                                   found ? to : at);
        at += take;
    }
}

/* A changed rule goes in front of the one it replaces, for its own sets only: the first that matches is taken. */
static void add_changed_rules(known_bad *bad, known_bad_id id, const sgd_rulebook *torch)
{
    for (const change *change = changes; change < changes + COUNT(changes); change++)
        for (size_t i = 0; change->id == id && i < torch->rule_count; i++) {
            sgd_rule rule = torch->rules[i];
            rule.contracts &= change->contracts;
            rule.paths &= change->paths;
            rule.dtypes &= change->dtypes;
            if (!rule.contracts || !rule.paths || !rule.dtypes || !(SET_OF(rule.stage) & change->stages))
                continue;
            char text[TEXT_SIZE];
            replace_words(rule.text, change->from, change->to, text);
            if (!strcmp(text, rule.text))
                continue;
            rule.text = strcpy(bad->texts[bad->text_count++], text);
            bad->rules[bad->rule_count++] = rule;
        }
}

static bool build_book(known_bad *bad, known_bad_id id)
{
    const sgd_rulebook *torch = sgd_rulebook_torch();
    size_t most = torch->rule_count * (COUNT(changes) + 1);
    bad->rules = calloc(most, sizeof *bad->rules);
    bad->texts = calloc(most, sizeof *bad->texts);
    bad->widths = calloc(torch->width_count, sizeof *bad->widths);
    if (!bad->rules || !bad->texts || !bad->widths)
        return false;
    add_changed_rules(bad, id, torch);
    memcpy(bad->rules + bad->rule_count, torch->rules, torch->rule_count * sizeof *bad->rules);
    bad->rule_count += torch->rule_count;
    memcpy(bad->widths, torch->widths, torch->width_count * sizeof *bad->widths);
    for (size_t move = 0; move < COUNT(moves); move++)
        for (size_t i = 0; moves[move].id == id && i < torch->width_count; i++)
            if ((bad->widths[i].paths & moves[move].paths) && (bad->widths[i].dtypes & moves[move].dtypes) &&
                bad->widths[i].lanes > 1)
                bad->widths[i].shift = moves[move].shift;
    bad->book = *torch;
    bad->book.rules = bad->rules;
    bad->book.rule_count = bad->rule_count;
    bad->book.widths = bad->widths;
    return true;
}

/* ---- the oracle as a backend ------------------------------------------------------------------------------------------- */

static sgd_status bad_allocate(void *context, size_t bytes, void **out)
{
    (void)context;
    void *memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!memory)
        return SGD_ERROR_MEMORY;
    *out = memory;
    return SGD_OK;
}

static void bad_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static sgd_status bad_synchronize(void *context)
{
    (void)context;
    return SGD_OK;
}

static sgd_status bad_step(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                           const sgd_step_tensor *tensors)
{
    const known_bad *bad = context;
    sgd_oracle_tensor *list = calloc(count, sizeof *list);
    if (!list)
        return SGD_ERROR_MEMORY;
    sgd_oracle_options options = {.contract = arithmetic->contract,
                                  .path = arithmetic->path,
                                  .defects = arithmetic->defects,
                                  .torch_threads = arithmetic->torch_threads,
                                  .lr = hyper->lr,
                                  .momentum = hyper->momentum,
                                  .dampening = hyper->dampening,
                                  .weight_decay = hyper->weight_decay,
                                  .nesterov = hyper->nesterov,
                                  .maximize = hyper->maximize};
    /* A foreach list with buffers missing arrives as for-loop arithmetic; the oracle finds that out by itself. */
    if (count > 0 && tensors[0].write_grad && arithmetic->path == SGD_FORLOOP && !hyper->weight_decay_addcmul)
        options.path = SGD_FOREACH;
    for (size_t i = 0; i < count; i++)
        list[i] = (sgd_oracle_tensor){.dtype = tensors[i].dtype,
                                      .numel = tensors[i].numel,
                                      .param = tensors[i].param,
                                      .grad = tensors[i].grad,
                                      .buffer = tensors[i].buffer,
                                      .has_buffer = !tensors[i].first};
    bool done = sgd_oracle_step(bad->oracle, &options, list, count);
    free(list);
    return done ? SGD_OK : SGD_ERROR_BACKEND;
}

static void claim_everything(known_bad *bad)
{
    for (size_t i = 0; i < COUNT(bad->claims); i++) {
        sgd_claim claim = {(sgd_contract)(i / SGD_DTYPE_COUNT / SGD_PATH_COUNT),
                           (sgd_path)(i / SGD_DTYPE_COUNT % SGD_PATH_COUNT), (sgd_dtype)(i % SGD_DTYPE_COUNT)};
        if (sgd_rulebook_has(&bad->book, claim.contract, claim.path, claim.dtype))
            bad->claims[bad->claim_count++] = claim;
    }
}

known_bad *known_bad_create(known_bad_id id, char *message, size_t message_size)
{
    known_bad *bad = calloc(1, sizeof *bad);
    if (!bad || !build_book(bad, id)) {
        snprintf(message, message_size, "out of memory");
        known_bad_destroy(bad);
        return NULL;
    }
    bad->oracle = sgd_oracle_create(&bad->book, message, message_size);
    if (!bad->oracle) {
        known_bad_destroy(bad);
        return NULL;
    }
    claim_everything(bad);
    bad->backend = (sgd_backend){.struct_size = sizeof(sgd_backend),
                                 .abi_version = SGD_BACKEND_ABI_VERSION,
                                 .name = known_bad_name(id),
                                 .context = bad,
                                 .dl_device = 1, /* DLPack's kDLCPU */
                                 .claims = bad->claims,
                                 .claim_count = bad->claim_count,
                                 .allocate = bad_allocate,
                                 .release = bad_release,
                                 .synchronize = bad_synchronize,
                                 .step = bad_step};
    return bad;
}

void known_bad_destroy(known_bad *bad)
{
    if (!bad)
        return;
    sgd_oracle_destroy(bad->oracle);
    free(bad->widths);
    free(bad->texts);
    free(bad->rules);
    free(bad);
}

const sgd_backend *known_bad_backend(const known_bad *bad) { return &bad->backend; }
