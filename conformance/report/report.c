/* report.c - the words that all reports share; see report.h. */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *difference_name(difference_kind kind)
{
    static const char *const names[] = {
        [DIFFERENCE_BITS] = "bits",             [DIFFERENCE_HASH] = "hash",       [DIFFERENCE_MISSING] = "missing",
        [DIFFERENCE_UNEXPECTED] = "unexpected", [DIFFERENCE_OVERRUN] = "overrun", [DIFFERENCE_STATUS] = "status",
        [DIFFERENCE_LAYOUT] = "layout",         [DIFFERENCE_ENTRIES] = "entries"};
    return names[kind];
}

const char *array_name(case_array array)
{
    static const char *const names[CASE_ARRAY_COUNT] = {"param", "buffer", "grad"};
    return names[array];
}

const char *part_name(const difference *what)
{
    return dtype_parts(what->dtype) == 1 ? "" : what->part ? ".imag" : ".real";
}

const char *defects_name(sgd_defects defects) { return defects == SGD_DEFECTS_FIX ? "fix" : "reproduce"; }

const char *match_text(conform_match match)
{
    static const char *const texts[CONFORM_MATCH_COUNT] = {"matches neither", "matches torch",
                                                           "matches the specification",
                                                           "matches torch and the specification"};
    return texts[match];
}

void failure_who(const conform_failure *failure, char *who)
{
    const conform_subject *subject = failure->subject;
    if (!subject)
        snprintf(who, WHO_SIZE, "the oracle");
    else
        snprintf(who, WHO_SIZE, "%.40s %s, %" PRIu32 " thread%s, defects=%s", subject->name,
                 sgd_schedule_name(subject->schedule), subject->threads, subject->threads == 1 ? "" : "s",
                 defects_name(subject->defects));
}

/* ---- one failure --------------------------------------------------------------------------------------------------- */

static void print_bits(const difference *what, const char *label, uint64_t bits, const char *indent, FILE *out)
{
    char value[ELEMENT_TEXT_SIZE];
    sgd_dtype dtype = dtype_part(what->dtype);
    element_text(dtype, bits, value);
    fprintf(out, "%s  %-8s  0x%0*" PRIX64 "  %s\n", indent, label, (int)(2 * sgd_dtype_size(dtype)), bits, value);
}

static void print_difference(const difference *what, const char *indent, FILE *out)
{
    fprintf(out, "%sstep %zu, tensor %zu, %s: ", indent, what->step, what->tensor, array_name(what->array));
    switch (what->kind) {
    case DIFFERENCE_BITS:
        fprintf(out, "%zu of %zu elements differ\n", what->count, what->numel);
        fprintf(out, "%s  first     [%zu]%s%s%s\n", indent, what->index, part_name(what),
                what->segment == SGD_SEGMENT_ANY ? "" : ", segment ",
                what->segment == SGD_SEGMENT_ANY ? "" : sgd_segment_name(what->segment));
        print_bits(what, "expected", what->expected, indent, out);
        print_bits(what, "actual", what->actual, indent, out);
        break;
    case DIFFERENCE_HASH:
        fprintf(out, "the hash of its %zu elements differs\n%s  expected  %016" PRIx64 "\n%s  actual    %016" PRIx64 "\n",
                what->numel, indent, what->expected, indent, what->actual);
        break;
    case DIFFERENCE_MISSING: fprintf(out, "does not exist, but should\n"); break;
    case DIFFERENCE_UNEXPECTED: fprintf(out, "exists, but should not\n"); break;
    case DIFFERENCE_ENTRIES: fprintf(out, "its entries differ\n%s  %s\n", indent, what->message); break;
    case DIFFERENCE_LAYOUT: fprintf(out, "its strides differ\n%s  %s\n", indent, what->message); break;
    case DIFFERENCE_OVERRUN: fprintf(out, "memory behind or between its elements was written\n"); break;
    case DIFFERENCE_STATUS: fprintf(out, "the step failed\n%s  %s\n", indent, what->message); break;
    }
}

/* A word of a POSIX shell's command line. */
static void print_quoted(const char *text, FILE *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    if (*text && !text[strspn(text, plain)]) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    fputc('\'', out);
}

/* The built-in backends can be named on the command line; a caller's own cannot. */
static bool is_built_in(const conform_subject *subject)
{
    sgd_isa isa;
    return sgd_isa_parse(subject->name, &isa) && sgd_backend_cpu(isa) == subject->backend;
}

void failure_command(const report *from, size_t case_number, const conform_failure *failure, FILE *out)
{
    char name[VECTORS_NAME_SIZE];
    const conform_subject *subject = failure->subject;
    conform_suite_case_name(from->suite, case_number, name);
    const char *folder = getenv("SGD_VECTORS"); /* the ledger lies there, whatever --vectors says */
    if (folder) {
        fputs("SGD_VECTORS=", out);
        print_quoted(folder, out);
        fputc(' ', out);
    }
    print_quoted(from->program ? from->program : "sgd-conform", out);
    fputs(" run --vectors ", out);
    print_quoted(conform_suite_case(from->suite, case_number).file->file, out);
    fputs(" --filter ", out);
    print_quoted(name, out);
    if (subject && is_built_in(subject))
        fprintf(out, " --isa %s --schedule %s --threads %" PRIu32, subject->name, sgd_schedule_name(subject->schedule),
                subject->threads);
}

void failure_print(const report *from, size_t case_number, const conform_failure *failure, const char *indent, FILE *out)
{
    char who[WHO_SIZE];
    failure_who(failure, who);
    fprintf(out, "%s%s, against %s\n", indent, who,
            failure->wanted == CONFORM_SPECIFICATION ? "the specification" : "torch");
    print_difference(&failure->what, indent, out);
    fputs(indent, out);
    failure_command(from, case_number, failure, out);
    fputc('\n', out);
}

/* ---- the run ------------------------------------------------------------------------------------------------------- */

static bool same_unjudged(const report *from, size_t number, const unjudged_cases *which)
{
    char contract[VECTORS_CONTRACT_SIZE];
    conform_case its = conform_suite_case(from->suite, number);
    if (from->results->cases[number].unjudged != which->reason)
        return false;
    vectors_contract_name(its.file, its.row, contract);
    return strcmp(contract, which->contract) == 0;
}

void report_unjudged(const report *from, void (*print)(void *context, const unjudged_cases *which), void *context)
{
    const conform_results *results = from->results;
    size_t told = 0;
    for (size_t i = 0; told < results->unjudged && i < results->case_count; i++) {
        unjudged_cases which = {.reason = results->cases[i].unjudged};
        if (!which.reason)
            continue;
        conform_case its = conform_suite_case(from->suite, i);
        vectors_contract_name(its.file, its.row, which.contract);
        size_t first = 0;
        while (!same_unjudged(from, first, &which))
            first++;
        for (size_t k = i; first == i && k < results->case_count; k++)
            which.cases += same_unjudged(from, k, &which);
        if (which.cases)
            print(context, &which);
        told += which.cases;
    }
}

const char *report_torch_version(const report *from)
{
    const char *version = conform_suite_file(from->suite, 0)->torch_version;
    for (size_t i = 1; i < conform_suite_file_count(from->suite); i++)
        if (strcmp(conform_suite_file(from->suite, i)->torch_version, version) != 0)
            return "of several versions";
    return version;
}

bool report_has_isa(const report *from, sgd_isa isa)
{
    for (size_t i = 0; i < from->subject_count; i++)
        if (sgd_backend_cpu(isa) && from->subjects[i].backend == sgd_backend_cpu(isa))
            return true;
    return false;
}
