/* report_terminal.c - the end of a run, on one screen; see report.h. */
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define FAILED_CASES_SHOWN 8
#define WIDTH 80

typedef struct terminal {
    const report *from;
    FILE *out;
    const char *bold, *dim, *red, *green, *plain;
} terminal;

static terminal open_terminal(const report *from, FILE *out, bool colour)
{
    if (colour)
        return (terminal){from, out, "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m"};
    return (terminal){from, out, "", "", "", "", ""};
}

/* With commas between thousands. */
#define COUNT_SIZE 32
static const char *count_text(size_t count, char *text)
{
    char digits[COUNT_SIZE];
    int length = snprintf(digits, sizeof digits, "%zu", count);
    char *to = text;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

/* Words behind the `column` characters that a line has already, broken before WIDTH; new lines begin at `indent`. */
static void print_wrapped(const terminal *to, size_t column, int indent, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column + 1 + length > WIDTH) {
            fprintf(to->out, "\n%*s", indent - 1, "");
            column = (size_t)indent - 1;
        }
        fprintf(to->out, " %.*s", (int)length, text);
        column += 1 + length;
        text += length + (text[length] == ' ');
    }
    fputc('\n', to->out);
}

static void print_rule(const terminal *to)
{
    fputs(to->dim, to->out);
    for (int i = 0; i < WIDTH; i++)
        fputc('-', to->out);
    fprintf(to->out, "%s\n", to->plain);
}

/* ---- failures ------------------------------------------------------------------------------------------------------ */

static void print_failed_case(const terminal *to, size_t number)
{
    const conform_case_result *result = &to->from->results->cases[number];
    char name[VECTORS_NAME_SIZE];
    conform_suite_case_name(to->from->suite, number, name);
    fprintf(to->out, "%sFAILED%s %s%s%s\n", to->red, to->plain, to->bold, name, to->plain);
    failure_print(to->from, number, &result->failures[0], "  ", to->out);
    size_t more = result->failure_count - 1;
    if (more)
        fprintf(to->out, "  and %zu more of %zu runs of this case\n", more, result->runs + 1);
    fputc('\n', to->out);
}

static void print_failures(const terminal *to)
{
    size_t shown = 0, failed = to->from->results->total.failed;
    for (size_t i = 0; i < to->from->results->case_count && shown < FAILED_CASES_SHOWN; i++)
        if (to->from->results->cases[i].failure_count) {
            print_failed_case(to, i);
            shown++;
        }
    if (failed > shown)
        fprintf(to->out, "%zu more cases failed; --json and --junit have them all.\n\n", failed - shown);
}

/* ---- the table ----------------------------------------------------------------------------------------------------- */

static void print_counts(const terminal *to, const conform_cell *cell)
{
    char a[COUNT_SIZE], b[COUNT_SIZE], c[COUNT_SIZE], d[COUNT_SIZE], e[COUNT_SIZE];
    fprintf(to->out, "%8s %9s %9s %11s %s%6s%s\n", count_text(cell->cases, a), count_text(cell->oracle_equal, b),
            count_text(cell->library_equal, c), count_text(cell->nan_payload, d), cell->failed ? to->red : "",
            count_text(cell->failed, e), cell->failed ? to->plain : "");
}

/* A line for each feature, where there is more to tell than plain steps. */
static void print_features(const terminal *to)
{
    const conform_results *results = to->from->results;
    if (results->features[VECTORS_PLAIN].cases == results->total.cases)
        return;
    for (int feature = 0; feature < VECTORS_FEATURE_COUNT; feature++)
        if (results->features[feature].cases) {
            fprintf(to->out, "feature %-25s", vectors_feature_name((vectors_feature)feature));
            print_counts(to, &results->features[feature]);
        }
    print_rule(to);
}

static void print_table(const terminal *to)
{
    const conform_results *results = to->from->results;
    fprintf(to->out, "%s%33s%8s %9s %9s %11s%s\n", to->dim, "", "", "oracle", "library", "NaN payload", to->plain);
    fprintf(to->out, "%s%-19s %-7s %-5s%8s %9s %9s %11s %6s%s\n", to->dim, "contract", "path", "dtype", "cases",
            "bit-equal", "bit-equal", "only", "failed", to->plain);
    print_rule(to);
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++) {
        const char *contract_shown = sgd_contract_name((sgd_contract)contract);
        for (int path = 0; path < SGD_PATH_COUNT; path++) {
            const char *path_shown = sgd_path_name((sgd_path)path);
            for (int dtype = 0; dtype <= SGD_DTYPE_COUNT; dtype++) {
                const conform_cell *cell = &results->cells[contract][path][dtype];
                if (!cell->cases)
                    continue;
                fprintf(to->out, "%-19s %-7s %-5s", contract_shown, path_shown, vectors_dtype_name((sgd_dtype)dtype));
                print_counts(to, cell);
                contract_shown = path_shown = "";
            }
        }
    }
    print_rule(to);
    print_features(to);
    fprintf(to->out, "%-33s", "all");
    print_counts(to, &results->total);
    fputc('\n', to->out);
}

/* ---- the lines below it -------------------------------------------------------------------------------------------- */

/* The names and numbers that occur among the subjects, in the order in which they do. */
static void list_configurations(const report *from, FILE *out)
{
    char runs[COUNT_SIZE];
    size_t threads = 0;
    fprintf(out, "%s runs:", count_text(from->results->runs, runs));
    for (size_t i = 0; i < from->subject_count; i++) {
        size_t k = 0;
        while (from->subjects[k].backend != from->subjects[i].backend)
            k++;
        if (k == i)
            fprintf(out, " %s", from->subjects[i].name);
    }
    fputs(" x", out);
    for (size_t i = 0; i < from->subject_count; i++) {
        size_t k = 0;
        while (from->subjects[k].schedule != from->subjects[i].schedule)
            k++;
        if (k == i)
            fprintf(out, " %s", sgd_schedule_name(from->subjects[i].schedule));
    }
    fputs(" x", out);
    for (size_t i = 0; i < from->subject_count; i++) {
        size_t k = 0;
        while (from->subjects[k].threads != from->subjects[i].threads)
            k++;
        if (k == i)
            fprintf(out, "%s %u", threads++ ? "," : "", (unsigned)from->subjects[i].threads);
    }
    fprintf(out, " thread%s", threads == 1 && from->subjects[0].threads == 1 ? "" : "s");
}

static void print_configurations(const terminal *to)
{
    char *text = NULL;
    size_t size = 0;
    FILE *list = open_memstream(&text, &size);
    if (list) {
        list_configurations(to->from, list);
        fclose(list);
        fprintf(to->out, "%-12s", "library");
        print_wrapped(to, 12, 13, text);
    }
    free(text);
    for (int isa = 0; isa < SGD_ISA_COUNT; isa++)
        if (!sgd_isa_available((sgd_isa)isa))
            fprintf(to->out, "%-12s not on this machine, not run\n", sgd_isa_name((sgd_isa)isa));
}

static void print_unjudged(void *context, const unjudged_cases *which)
{
    const terminal *to = context;
    char text[160], cases[COUNT_SIZE];
    snprintf(text, sizeof text, "%s case%s of %s: %s", count_text(which->cases, cases), which->cases == 1 ? "" : "s",
             which->contract, which->reason);
    fprintf(to->out, "%-12s", "not judged");
    print_wrapped(to, 12, 13, text);
}

/* One way of handling a defect: what the library is equal to. */
static void print_defect_mode(const terminal *to, const conform_defect_tally *tally, sgd_defects defects)
{
    static const conform_match wanted[] = {[SGD_DEFECTS_FIX] = CONFORM_SPECIFICATION,
                                           [SGD_DEFECTS_REPRODUCE] = CONFORM_TORCH};
    const size_t *matches = tally->matches[defects];
    size_t judged = 0;
    for (int match = 0; match < CONFORM_MATCH_COUNT; match++)
        judged += matches[match];
    if (!judged)
        return;
    char a[COUNT_SIZE], b[COUNT_SIZE];
    size_t right = matches[wanted[defects]] + matches[CONFORM_BOTH];
    size_t other = matches[CONFORM_BOTH - wanted[defects]], neither = matches[CONFORM_NEITHER];
    fprintf(to->out, "  defects=%-10s %s%s in %s of %s cases%s", defects_name(defects), right < judged ? to->red : "",
            match_text(wanted[defects]), count_text(right, a), count_text(judged, b), right < judged ? to->plain : "");
    if (other)
        fprintf(to->out, ",\n%21s%s in %s", "", match_text((conform_match)(CONFORM_BOTH - wanted[defects])), count_text(other, a));
    if (neither)
        fprintf(to->out, ",\n%21s%s in %s", "", match_text(CONFORM_NEITHER), count_text(neither, a));
    fputc('\n', to->out);
}

static void print_defects(const terminal *to)
{
    const ledger *ledger = conform_suite_ledger(to->from->suite);
    for (size_t i = 0; i < ledger->count; i++) {
        const conform_defect_tally *tally = &to->from->results->defects[i];
        if (!tally->cases)
            continue;
        char chance[COUNT_SIZE], open_nan[COUNT_SIZE];
        fprintf(to->out, "\n%s:", ledger->defects[i].id);
        print_wrapped(to, strlen(ledger->defects[i].id) + 1, 2, ledger->defects[i].title);
        print_defect_mode(to, tally, SGD_DEFECTS_REPRODUCE);
        print_defect_mode(to, tally, SGD_DEFECTS_FIX);
        if (!tally->masked_chance && !tally->masked_open_nan)
            continue;
        fprintf(to->out, "  masked             %s elements that torch leaves to chance,\n",
                count_text(tally->masked_chance, chance));
        fprintf(to->out, "                     %s that come from NaN payloads left open\n",
                count_text(tally->masked_open_nan, open_nan));
    }
}

/* Cases with a known defect or without one, and how the library did there. */
typedef struct share {
    size_t cases, equal, nan_payload;
} share;

static share count_share(const conform_results *results, bool defect)
{
    share counts = {0};
    for (size_t i = 0; i < results->case_count; i++) {
        const conform_case_result *result = &results->cases[i];
        if (result->unjudged || (result->defects[0] != NULL) != defect)
            continue;
        counts.cases++;
        counts.equal += result->library == CONFORM_EQUAL;
        counts.nan_payload += result->library == CONFORM_NAN_PAYLOAD;
    }
    return counts;
}

static bool reproduces_defects(const report *from)
{
    for (size_t i = 0; i < from->subject_count; i++)
        if (from->subjects[i].defects == SGD_DEFECTS_REPRODUCE)
            return true;
    return false;
}

/* Where a case has a known defect, only a library that reproduces it can be identical to torch. */
static void describe_equality(const report *from, FILE *out)
{
    share plain = count_share(from->results, false), defect = count_share(from->results, true);
    size_t nan_payload = plain.nan_payload + defect.nan_payload;
    char a[COUNT_SIZE], b[COUNT_SIZE];
    if (!from->results->total.cases) {
        fputs("no case could be judged", out);
        return;
    }
    fputs("bit-identical to ", out);
    if (!defect.cases || reproduces_defects(from)) {
        fprintf(out, "torch %s in %s of %s cases%s", report_torch_version(from), count_text(plain.equal + defect.equal, a),
                count_text(plain.cases + defect.cases, b), defect.cases ? ", with its defects reproduced" : "");
    } else {
        if (plain.cases)
            fprintf(out, "torch %s in %s of %s cases without a known defect, to ", report_torch_version(from),
                    count_text(plain.equal, a), count_text(plain.cases, b));
        fprintf(out, "the specification in %s of %s cases with a known defect", count_text(defect.equal, a),
                count_text(defect.cases, b));
    }
    if (nan_payload)
        fprintf(out, ", in %s more but for NaN payloads that the contract leaves open", count_text(nan_payload, a));
}

static void print_verdict(const terminal *to)
{
    bool accepted = conform_accepted(to->from->results);
    const char *verdict = accepted ? "conforms" : "does not conform";
    char *text = NULL;
    size_t size = 0;
    FILE *words = open_memstream(&text, &size);
    fprintf(to->out, "\n%s%s%s", accepted ? to->green : to->red, verdict, to->plain);
    if (words) {
        describe_equality(to->from, words);
        fclose(words);
        fputc(' ', to->out);
        print_wrapped(to, strlen(verdict) + 1, 10, text);
    } else {
        fputc('\n', to->out);
    }
    free(text);
}

void report_terminal(const report *from, FILE *out, bool colour)
{
    terminal to = open_terminal(from, out, colour);
    print_failures(&to);
    print_table(&to);
    print_configurations(&to);
    report_unjudged(from, print_unjudged, &to);
    print_defects(&to);
    print_verdict(&to);
}
