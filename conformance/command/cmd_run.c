/* cmd_run.c - sgd-conform run: from the command line to vectors, subjects, a run, and its reports. */
#define _GNU_SOURCE /* program_invocation_name */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "configurations.h"
#include "output_file.h"
#include "report.h"
#include "vector_files.h"

typedef struct run_arguments {
    file_list files;
    const char *contract, *filter, *json, *junit;
    const char *isas, *schedules, *threads;
    const char *ledger;
    bool list, out_of_memory;
} run_arguments;

/* ---- the command line ---------------------------------------------------------------------------------------------- */

enum { OPTION_VECTORS = 256, OPTION_CONTRACT, OPTION_FILTER, OPTION_ISA, OPTION_SCHEDULE, OPTION_THREADS, OPTION_LIST,
       OPTION_JSON, OPTION_JUNIT };

static const struct argp_option options[] = {
    {"vectors", OPTION_VECTORS, "FILE", 0, "Run this vector file; may be repeated (default: the shipped ones)", 0},
    {"contract", OPTION_CONTRACT, "NAME", 0, "Run the cases of this contract, such as torch-2.13/cpu-fma", 0},
    {"filter", OPTION_FILTER, "GLOB", 0, "Run the cases whose name matches, such as '*/fused/bf16/*'", 0},
    {"isa", OPTION_ISA, "LIST", 0, "Instruction sets: scalar, avx2, avx512, avx512_bf16, all (default)", 0},
    {"schedule", OPTION_SCHEDULE, "LIST", 0, "Schedules: single_pass, by_op, all (default)", 0},
    {"threads", OPTION_THREADS, "LIST", 0, "Threads of the library: numbers, all (default: 1 and 2)", 0},
    {"list", OPTION_LIST, NULL, 0, "Print the names of the cases and run none", 0},
    {"json", OPTION_JSON, "FILE", 0, "Write the results as JSON", 0},
    {"junit", OPTION_JUNIT, "FILE", 0, "Write the results as JUnit XML", 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    run_arguments *arguments = state->input;
    switch (key) {
    case OPTION_VECTORS: arguments->out_of_memory |= !file_list_add(&arguments->files, value); return 0;
    case OPTION_CONTRACT: arguments->contract = value; return 0;
    case OPTION_FILTER: arguments->filter = value; return 0;
    case OPTION_ISA: arguments->isas = value; return 0;
    case OPTION_SCHEDULE: arguments->schedules = value; return 0;
    case OPTION_THREADS: arguments->threads = value; return 0;
    case OPTION_LIST: arguments->list = true; return 0;
    case OPTION_JSON: arguments->json = value; return 0;
    case OPTION_JUNIT: arguments->junit = value; return 0;
    case ARGP_KEY_ARG: argp_error(state, "what is \"%s\"?", value); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc = "Runs golden vectors: for each case the oracle and every configuration of the library have to give "
           "PyTorch's bits."
           "\vWithout options all shipped vectors run in every configuration that this machine can run.  The vectors and the "
           "ledger of PyTorch's defects lie where the environment variable SGD_VECTORS says.  SGD_ISA=scalar, avx2, "
           "avx512 or avx512_bf16 caps what --isa all runs.\n\n"
           "Exit: 0 conforms, 1 does not, 2 bad input or usage (a run of no case is bad input)."};

/* ---- progress ------------------------------------------------------------------------------------------------------ */

#define BAR_WIDTH 40

/* Redrawn when its text changes. */
static void draw_progress(void *drawn, size_t done, size_t total)
{
    size_t permille = 1000 * done / total, *last = drawn, filled = BAR_WIDTH * done / total;
    if (permille == *last)
        return;
    *last = permille;
    fprintf(stderr, "\r[%.*s%*s] %zu of %zu cases", (int)filled, "########################################",
            (int)(BAR_WIDTH - filled), "", done, total);
}

static conform_results *run_visibly(const conform_suite *suite, const configurations *chosen, conform_error *error)
{
    size_t drawn = SIZE_MAX;
    conform_progress progress = {draw_progress, &drawn};
    bool terminal = isatty(STDERR_FILENO);
    conform_results *results =
        conform_run(suite, chosen->subjects, chosen->count, terminal ? &progress : NULL, error);
    if (terminal)
        fprintf(stderr, "\r%*s\r", BAR_WIDTH + 40, "");
    return results;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

static void list_cases(const conform_suite *suite)
{
    for (size_t i = 0; i < conform_suite_case_count(suite); i++) {
        char name[VECTORS_NAME_SIZE];
        conform_suite_case_name(suite, i, name);
        puts(name);
    }
}

static bool wants_colour(void) { return isatty(STDOUT_FILENO) && !getenv("NO_COLOR"); }

static bool names_all(const char *list)
{
    for (size_t length; length = strcspn(list, ","), true; list += length + 1) {
        if (length == strlen("all") && strncmp(list, "all", length) == 0)
            return true;
        if (!list[length])
            return false;
    }
}

/* What "all" would have run here without SGD_ISA. */
static void print_left_out(const report *found)
{
    sgd_isa cap;
    conform_error error;
    if (!configurations_cap(&cap, &error))
        return;
    for (int isa = (int)cap + 1; isa < SGD_ISA_COUNT; isa++)
        if (sgd_isa_available((sgd_isa)isa) && !report_has_isa(found, (sgd_isa)isa))
            printf("%-12s left out by SGD_ISA=%s\n", sgd_isa_name((sgd_isa)isa), sgd_isa_name(cap));
}

static int report_all(const run_arguments *arguments, const report *found)
{
    conform_error error;
    if (names_all(arguments->isas))
        print_left_out(found);
    report_terminal(found, stdout, wants_colour());
    if (arguments->json && !report_json(found, arguments->json, &error))
        return bad_input(&error);
    if (arguments->junit && !report_junit(found, arguments->junit, &error))
        return bad_input(&error);
    return conform_accepted(found->results) ? EXIT_CONFORMS : EXIT_DOES_NOT_CONFORM;
}

static int run_suite(const run_arguments *arguments, const conform_suite *suite, const configurations *chosen)
{
    conform_error error;
    int answer;
    conform_results *results = run_visibly(suite, chosen, &error);
    if (results) {
        report found = {suite, results, chosen->subjects, chosen->count, program_invocation_name};
        answer = report_all(arguments, &found);
    } else {
        answer = bad_input(&error);
    }
    conform_results_free(results);
    return answer;
}

/* Narrows the suite as asked; a selection of nothing is a mistake, never a success. */
static bool select_cases(const run_arguments *arguments, conform_suite *suite, conform_error *error)
{
    sgd_contract contract;
    if (arguments->contract && !sgd_contract_parse(arguments->contract, &contract))
        return conform_fail(error, "--contract %s: no such contract; sgd-conform contract lists them", arguments->contract);
    if (!conform_suite_case_count(suite)) /* all of them, so far */
        return conform_fail(error, "no case to run: the vector files hold none");
    if (!conform_suite_select(suite, arguments->contract ? &contract : NULL, arguments->filter))
        return conform_fail(error, "no case to run: %s%s matches none of the vectors' cases",
                            arguments->filter ? "--filter " : "the selection", arguments->filter ? arguments->filter : "");
    return true;
}

static bool check_output(const run_arguments *arguments, const char *path, conform_error *error)
{
    if (!path)
        return true;
    if (!output_file_check(path, error))
        return false;
    bool input = files_are_same(path, arguments->ledger);
    for (size_t i = 0; i < arguments->files.count; i++)
        input |= files_are_same(path, arguments->files.names[i]);
    return !input || conform_fail(error, "%s: output: is one of the inputs", path);
}

static bool check_files(const run_arguments *arguments, conform_error *error)
{
    if (!file_list_check(&arguments->files, error) || !check_output(arguments, arguments->json, error) ||
        !check_output(arguments, arguments->junit, error))
        return false;
    return !arguments->json || !arguments->junit || !files_are_same(arguments->json, arguments->junit) ||
           conform_fail(error, "%s: output: is given twice, by --json and by --junit", arguments->junit);
}

static int load_and_run(const run_arguments *arguments, const configurations *chosen)
{
    conform_error error;
    int answer = EXIT_CONFORMS;
    conform_suite *suite = conform_suite_load((const char *const *)arguments->files.names, arguments->files.count,
                                              arguments->ledger, &error);
    if (!suite || !select_cases(arguments, suite, &error))
        answer = bad_input(&error);
    else if (arguments->list)
        list_cases(suite);
    else
        answer = run_suite(arguments, suite, chosen);
    conform_suite_free(suite);
    return answer;
}

int command_run(int argc, char **argv)
{
    static char name[] = "sgd-conform run";
    run_arguments arguments = {.isas = "all", .schedules = "all", .threads = "all"};
    conform_error error = {"out of memory"};
    configurations chosen = {NULL, 0};
    argv[0] = name;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    /* Whatever can be told before the vectors are read, is. */
    char *ledger = vectors_folder_file("defects.json");
    arguments.ledger = ledger;
    bool sound = ledger && !arguments.out_of_memory &&
                 configurations_choose(arguments.isas, arguments.schedules, arguments.threads, &chosen, &error) &&
                 (arguments.files.count || file_list_add_folder(&arguments.files, vectors_folder(), &error)) &&
                 check_files(&arguments, &error);
    int answer = sound ? load_and_run(&arguments, &chosen) : bad_input(&error);
    configurations_free(&chosen);
    file_list_free(&arguments.files);
    free(ledger);
    return answer;
}
