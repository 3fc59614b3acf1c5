/* test_command.c - sgd-conform as a CI server meets it: exit codes, one line for bad input, whole reports, and a failure's
 * command that runs just that case. */
#include <jansson.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "cmocka_test.h"
#include "vector_maker.h"

#define OUTPUT_SIZE 65536

static char folder[64], good[96], bad[96], output[OUTPUT_SIZE];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sgd-command-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(good, sizeof good, "%s/good.h5", folder);
    snprintf(bad, sizeof bad, "%s/it's bad.h5", folder);
    vectors *made = made_vectors();
    write_vectors(made, good, (writing){0});
    uint32_t *param = (uint32_t *)(uintptr_t)vectors_stored(made, made->outcome.param[2]);
    param[4] ^= 1;
    write_vectors(made, bad, (writing){0});
    made_vectors_free(made);
    setenv("SGD_VECTORS", SGD_VECTORS_DIR, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(good);
    unlink(bad);
    return rmdir(folder); /* fails where a run left something */
}

/* Runs a line in a shell; what it prints goes to `output`, its exit is returned. */
static int shell(const char *line)
{
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The program with arguments, and its errors among its output. */
static int command(const char *arguments)
{
    char line[1024];
    snprintf(line, sizeof line, "'%s' %s 2>&1", SGD_CONFORM, arguments);
    return shell(line);
}

/* In a shell of its own behind `before`, such as a variable or a limit. */
static int command_after(const char *before, const char *file, const char *arguments)
{
    char line[1024];
    snprintf(line, sizeof line, "%s '%s' run --vectors '%s' %s 2>&1", before, SGD_CONFORM, file, arguments);
    return shell(line);
}

static int command_on(const char *file, const char *arguments)
{
    char line[512], quoted[128];
    snprintf(quoted, sizeof quoted, "\"%s\"", file);
    snprintf(line, sizeof line, "run --vectors %s %s", quoted, arguments);
    return command(line);
}

static void assert_output(const char *text)
{
    if (!strstr(output, text))
        fail_msg("no \"%s\" in:\n%s", text, output);
}

static void assert_one_line(const char *text)
{
    assert_output(text);
    assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1);
}

/* ---- exits --------------------------------------------------------------------------------------------------------- */

static void right_answers_exit_0(void **state)
{
    (void)state;
    assert_int_equal(command_on(good, ""), 0);
    assert_output("bit-identical to torch 2.13.0+made in 7 of 7 cases");
    assert_output("matches torch in 1 of 1 cases");
    assert_output("matches the specification in 1 of 1 cases");
    assert_null(strchr(output, '\033'));
}

static void a_wrong_bit_exits_1_with_the_command_that_shows_it_again(void **state)
{
    (void)state;
    assert_int_equal(command_on(bad, "--isa scalar --schedule by_op --threads 2"), 1);
    assert_output("FAILED");
    assert_output("step 1, tensor 0, param: 1 of 9 elements differ\n    first     [4], segment ");
    assert_output("does not conform");
    char again[1024];
    const char *found = strstr(output, "SGD_VECTORS=");
    assert_non_null(found);
    snprintf(again, sizeof again, "%.*s", (int)strcspn(found, "\n"), found);
    unsetenv("SGD_VECTORS");
    assert_int_equal(shell(again), 1); /* as printed: it says all that it needs */
    assert_output("in 0 of 1 cases");
}

static void bad_input_exits_2_with_one_line(void **state)
{
    (void)state;
    assert_int_equal(command("run --vectors /nowhere.h5"), 2);
    assert_one_line("/nowhere.h5: file: ");
    assert_int_equal(command("run --vectors " SGD_VECTORS_DIR "/defects.json"), 2);
    assert_one_line("defects.json: file: is not a readable HDF5 file");
    assert_int_equal(command_on(good, "--filter nothing"), 2);
    assert_one_line("no case to run");
    assert_int_equal(command_on(good, "--contract torch-9"), 2);
    assert_one_line("--contract torch-9: no such contract");
    assert_int_equal(command_on(good, "--isa mmx"), 2);
    assert_one_line("--isa mmx: no such instruction set");
    assert_int_equal(command_on(good, "--threads 0"), 2);
    assert_one_line("--threads 0: is no number");
    assert_int_equal(command_on(good, "--json /nowhere/a.json"), 2);
    assert_one_line("/nowhere/a.json: folder /nowhere: ");
    assert_int_equal(command("contract nothing"), 2);
    assert_one_line("nothing: no such contract");
    setenv("SGD_VECTORS", "/nowhere", 1);
    assert_int_equal(command("run"), 2);
    assert_one_line("/nowhere: folder of vectors: ");
    assert_int_equal(command_on(good, ""), 2);
    assert_one_line("/nowhere/defects.json: file: ");
}

static void options_are_checked_before_a_list(void **state)
{
    (void)state;
    assert_int_equal(command_on(good, "--list --isa nonsense"), 2);
    assert_one_line("--isa nonsense: no such instruction set");
    assert_int_equal(command_on(good, "--list --threads -5"), 2);
    assert_one_line("--threads -5: is no number");
    assert_int_equal(command_on(good, "--list --schedule never"), 2);
    assert_one_line("--schedule never: no such schedule");
}

static void a_file_given_twice_is_refused(void **state)
{
    (void)state;
    char line[256], link[96];
    snprintf(line, sizeof line, "--vectors %s --list", good);
    assert_int_equal(command_on(good, line), 2);
    assert_one_line("good.h5: is given twice");
    snprintf(link, sizeof link, "%s/link.h5", folder);
    assert_int_equal(symlink(good, link), 0);
    snprintf(line, sizeof line, "--vectors %s --list", link);
    assert_int_equal(command_on(good, line), 2);
    assert_one_line("link.h5: is given twice");
    unlink(link);
}

static void a_file_of_no_case_is_told_as_such(void **state)
{
    (void)state;
    vectors *made = made_vectors();
    size_t kept = made->cases.count;
    made->cases.count = 0;
    write_vectors(made, good, (writing){0});
    made->cases.count = kept;
    made_vectors_free(made);
    assert_int_equal(command_on(good, ""), 2);
    assert_one_line("no case to run: the vector files hold none");
}

static void outputs_that_meet_are_refused(void **state)
{
    (void)state;
    char line[512];
    snprintf(line, sizeof line, "--json %s/a --junit %s/./a", folder, folder);
    assert_int_equal(command_on(good, line), 2);
    assert_one_line("/./a: output: is given twice");
    snprintf(line, sizeof line, "--json '%s'", good);
    assert_int_equal(command_on(good, line), 2);
    assert_one_line("good.h5: output: is one of the inputs");
    snprintf(line, sizeof line, "--junit '" SGD_VECTORS_DIR "/../vectors/defects.json'");
    assert_int_equal(command_on(good, line), 2);
    assert_one_line("defects.json: output: is one of the inputs");
    assert_int_equal(command_on(good, "--json ''"), 2);
    assert_one_line("output: a file name is empty");
    assert_int_equal(command_on(good, "--json /dev/null --junit /dev/null --isa scalar"), 2);
}

static void sgd_isa_caps_what_all_means(void **state)
{
    (void)state;
    assert_int_equal(command_after("SGD_ISA=bogus", good, ""), 2);
    assert_one_line("SGD_ISA=bogus: no such instruction set");
    assert_int_equal(command_after("SGD_ISA=bogus", good, "--list --isa scalar"), 2);
    assert_int_equal(command_after("SGD_ISA=", good, "--schedule by_op --threads 1"), 0);
    assert_int_equal(command_after("SGD_ISA=scalar", good, "--schedule by_op --threads 1"), 0);
    assert_output("scalar x");
    if (sgd_isa_available(SGD_ISA_AVX2)) {
        assert_output("avx2         left out by SGD_ISA=scalar\n");
        assert_int_equal(command_after("SGD_ISA=scalar", good, "--isa avx2 --schedule by_op --threads 1"), 0);
        assert_output("avx2 x");
        assert_null(strstr(output, "left out"));
    }
    assert_int_equal(command("run --help"), 0);
    assert_output("SGD_ISA");
}

static void wrong_usage_exits_2(void **state)
{
    (void)state;
    assert_int_equal(command(""), 2);
    assert_int_equal(command("walk"), 2);
    assert_int_equal(command("run --what"), 2);
    assert_int_equal(command("run what"), 2);
    assert_int_equal(command("--help"), 0);
    assert_int_equal(command("run --help"), 0);
}

static void a_full_disk_exits_2(void **state)
{
    (void)state;
    assert_int_equal(command_on(good, "--isa scalar --json /dev/full"), 2);
    assert_output("/dev/full: output: No space left on device");
    assert_int_equal(command_on(good, "--isa scalar --list > /dev/full"), 2);
    assert_int_equal(shell("'" SGD_CONFORM "' contract --json 2>&1 > /dev/full"), 2);
    assert_one_line("standard output: cannot be written");
}

#if defined __SANITIZE_THREAD__
#define THREAD_SANITIZER 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

static void a_file_size_limit_exits_2_and_leaves_nothing(void **state)
{
    (void)state;
#ifdef THREAD_SANITIZER
    skip(); /* its runtime does not live under such a limit */
#endif
    char line[256];
    snprintf(line, sizeof line, "--isa scalar --json '%s/a.json'", folder);
    assert_int_equal(command_after("ulimit -f 4;", good, line), 2);
    assert_output("a.json: output: File too large");
}

/* ---- what it prints ------------------------------------------------------------------------------------------------ */

static void the_list_has_one_name_a_line(void **state)
{
    (void)state;
    assert_int_equal(command_on(good, "--list --contract torch-2.13/cpu-base"), 0);
    assert_string_equal(output, "torch-2.13/cpu-base/foreach/mixed/00000-t2-default\n"
                                "torch-2.13/cpu-base/fused/f64/00003-t1-default\n");
}

static void json_and_junit_agree_with_the_table(void **state)
{
    (void)state;
    char json[96], junit[96], line[256];
    snprintf(json, sizeof json, "%s/a.json", folder);
    snprintf(junit, sizeof junit, "%s/a.xml", folder);
    snprintf(line, sizeof line, "--isa scalar --json %s --junit %s", json, junit);
    assert_int_equal(command_on(bad, line), 1);

    json_t *root = json_load_file(json, 0, NULL);
    assert_non_null(root);
    assert_true(json_is_false(json_object_get(root, "conforms")));
    const json_t *totals = json_object_get(root, "totals"), *failures = json_object_get(root, "failures");
    assert_int_equal(json_integer_value(json_object_get(totals, "cases")), 7);
    assert_int_equal(json_integer_value(json_object_get(totals, "failed")), 1);
    assert_int_equal(json_array_size(failures), 5); /* the oracle, two schedules with one and two threads */
    assert_int_equal(json_integer_value(json_object_get(json_array_get(failures, 0), "index")), 4);
    json_decref(root);

    xmlDoc *document = xmlReadFile(junit, NULL, 0);
    assert_non_null(document);
    xmlNode *suites = xmlDocGetRootElement(document);
    xmlChar *tests = xmlGetProp(suites, BAD_CAST "tests"), *failed = xmlGetProp(suites, BAD_CAST "failures");
    assert_string_equal((const char *)tests, "7");
    assert_string_equal((const char *)failed, "1");
    xmlFree(tests);
    xmlFree(failed);
    xmlFreeDoc(document);
    unlink(json);
    unlink(junit);
}

static void the_contract_is_printed_for_people_and_programs(void **state)
{
    (void)state;
    assert_int_equal(command("contract 'torch-2.13/cpu-fma/fused/*'"), 0);
    assert_output("torch-2.13/cpu-fma/fused/bf16");
    assert_output("b = fma(b, m, mul(g, c))");
    assert_int_equal(command("contract"), 0);
    assert_output("A group is each block of 4 from a tail's element 1 on");
    for (const char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 100);
    assert_int_equal(command("contract --json"), 0);
    json_t *root = json_loads(output, 0, NULL);
    assert_non_null(root);
    assert_non_null(json_object_get(json_object_get(root, "products"), "vmul"));
    size_t cells = 0;
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
                cells += sgd_rulebook_has(sgd_rulebook_torch(), (sgd_contract)contract, (sgd_path)path, (sgd_dtype)dtype);
    assert_int_equal(json_array_size(json_object_get(root, "contracts")), cells);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_answers_exit_0, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_bit_exits_1_with_the_command_that_shows_it_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_input_exits_2_with_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_are_checked_before_a_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_given_twice_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_no_case_is_told_as_such, set_up, tear_down),
        cmocka_unit_test_setup_teardown(outputs_that_meet_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sgd_isa_caps_what_all_means, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_size_limit_exits_2_and_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_usage_exits_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_exits_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_list_has_one_name_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_and_junit_agree_with_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_contract_is_printed_for_people_and_programs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
