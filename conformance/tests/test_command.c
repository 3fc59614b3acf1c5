/* test_command.c - sgd-conform as a CI server meets it: exit codes, one line for bad input, whole reports, and a failure's
 * command that runs just that case. */
#include <jansson.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Runs a shell command that begins behind the program's path; its output and errors go to `output`, its exit is returned. */
static int command(const char *arguments)
{
    char line[1024];
    snprintf(line, sizeof line, "'%s' %s 2>&1", SGD_CONFORM, arguments);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
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
    assert_output("step 1, tensor 0, param: 1 of 9 elements differ, the first is [4]");
    assert_output("does not conform");
    char again[512];
    const char *found = strstr(output, "sgd-conform run --vectors");
    assert_non_null(found);
    found += strlen("sgd-conform ");
    snprintf(again, sizeof again, "%.*s", (int)strcspn(found, "\n"), found);
    assert_int_equal(command(again), 1);
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
    assert_int_equal(command("contract --json"), 0);
    json_t *root = json_loads(output, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_array_size(json_object_get(root, "contracts")),
                     SGD_CONTRACT_COUNT * SGD_PATH_COUNT * SGD_DTYPE_COUNT);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_answers_exit_0, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_bit_exits_1_with_the_command_that_shows_it_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_input_exits_2_with_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_usage_exits_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_exits_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_list_has_one_name_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_and_junit_agree_with_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_contract_is_printed_for_people_and_programs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
