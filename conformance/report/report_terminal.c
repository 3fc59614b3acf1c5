/* report_terminal.c - the end of a run, on one screen; see report.h. */
#include <string.h>

#include "report.h"

#define FAILED_CASES_SHOWN 8
#define WIDTH 88

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
    fprintf(to->out, "%9s %11s %11s %11s %s%9s%s\n", count_text(cell->cases, a), count_text(cell->oracle_equal, b),
            count_text(cell->library_equal, c), count_text(cell->nan_payload, d), cell->failed ? to->red : "",
            count_text(cell->failed, e), cell->failed ? to->plain : "");
}

static void print_table(const terminal *to)
{
    const conform_results *results = to->from->results;
    fprintf(to->out, "%s%33s%9s %11s %11s %11s %s\n", to->dim, "", "", "oracle", "library", "NaN payload",
            to->plain);
    fprintf(to->out, "%s%-19s %-7s %-5s%9s %11s %11s %11s %9s%s\n", to->dim, "contract", "path", "dtype", "cases",
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
    fprintf(to->out, "%-33s", "all");
    print_counts(to, &results->total);
    fputc('\n', to->out);
}

/* ---- the lines below it -------------------------------------------------------------------------------------------- */

/* The names or numbers that occur among the subjects, in the order in which they do. */
static void print_configurations(const terminal *to)
{
    const report *from = to->from;
    char runs[COUNT_SIZE];
    fprintf(to->out, "library      %s runs:", count_text(from->results->runs, runs));
    for (size_t i = 0; i < from->subject_count; i++) {
        size_t k = 0;
        while (from->subjects[k].backend != from->subjects[i].backend)
            k++;
        if (k == i)
            fprintf(to->out, " %s", from->subjects[i].name);
    }
    fputs(" x", to->out);
    for (size_t i = 0; i < from->subject_count; i++) {
        size_t k = 0;
        while (from->subjects[k].schedule != from->subjects[i].schedule)
            k++;
        if (k == i)
            fprintf(to->out, " %s", sgd_schedule_name(from->subjects[i].schedule));
    }
    fputs(" x", to->out);
    for (size_t i = 0; i < from->subject_count; i++) {
        size_t k = 0;
        while (from->subjects[k].threads != from->subjects[i].threads)
            k++;
        if (k == i)
            fprintf(to->out, "%s %u", i ? "," : "", (unsigned)from->subjects[i].threads);
    }
    fputs(" threads\n", to->out);
    for (int isa = 0; isa < SGD_ISA_COUNT; isa++)
        if (!sgd_isa_available((sgd_isa)isa))
            fprintf(to->out, "%-12s not on this machine, not run\n", sgd_isa_name((sgd_isa)isa));
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
        fprintf(to->out, ", %s in %s", match_text((conform_match)(CONFORM_BOTH - wanted[defects])), count_text(other, a));
    if (neither)
        fprintf(to->out, ", %s in %s", match_text(CONFORM_NEITHER), count_text(neither, a));
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
        fprintf(to->out, "\n%s: %s\n", ledger->defects[i].id, ledger->defects[i].title);
        print_defect_mode(to, tally, SGD_DEFECTS_REPRODUCE);
        print_defect_mode(to, tally, SGD_DEFECTS_FIX);
        fprintf(to->out, "  masked             %s elements that torch leaves to chance,\n",
                count_text(tally->masked_chance, chance));
        fprintf(to->out, "                     %s that come from NaN payloads left open\n",
                count_text(tally->masked_open_nan, open_nan));
    }
}

static void print_verdict(const terminal *to)
{
    const conform_cell *total = &to->from->results->total;
    char a[COUNT_SIZE], b[COUNT_SIZE];
    bool accepted = conform_accepted(to->from->results);
    fprintf(to->out, "\n%s%s%s  bit-identical to torch %s in %s of %s cases", accepted ? to->green : to->red,
            accepted ? "conforms" : "does not conform", to->plain, report_torch_version(to->from),
            count_text(total->library_equal, a), count_text(total->cases, b));
    if (total->nan_payload)
        fprintf(to->out, ",\n          in %s more but for NaN payloads that the contract leaves open",
                count_text(total->nan_payload, a));
    fputs("\n", to->out);
}

void report_terminal(const report *from, FILE *out, bool colour)
{
    terminal to = open_terminal(from, out, colour);
    print_failures(&to);
    print_table(&to);
    print_configurations(&to);
    print_defects(&to);
    print_verdict(&to);
}
