/* test_output_file.c - a report that cannot be written leaves nothing behind, and what was there before stays. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_test.h"
#include "output_file.h"

static char folder[64], path[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sgd-output-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/report.json", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* fails where something else was left */
    return 0;
}

static void assert_content(const char *text)
{
    char content[64] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(content, sizeof content, file));
    fclose(file);
    assert_string_equal(content, text);
}

static void a_file_is_replaced_as_a_whole(void **state)
{
    (void)state;
    conform_error error;
    assert_true(output_file_write(path, "the old one", 11, &error));
    assert_content("the old one");
    assert_true(output_file_write(path, "new", 3, &error));
    assert_content("new");
}

/* A file size limit stands in for a disk that fills up half-way. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    conform_error error = {""};
    char *big = calloc(1, 100000);
    struct rlimit before, small;
    assert_true(output_file_write(path, "the old one", 11, &error));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 50000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool written = output_file_write(path, big, 100000, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    free(big);
    assert_false(written);
    assert_ptr_equal(strstr(error.text, path), error.text);
    assert_content("the old one");
}

static void a_link_stays_a_link(void **state)
{
    (void)state;
    conform_error error = {""};
    struct stat status;
    char link[96];
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink("report.json", link), 0);
    assert_false(output_file_check(link, &error));
    assert_non_null(strstr(error.text, "is a link that leads nowhere"));
    assert_false(output_file_write(link, "new", 3, &error));
    assert_true(output_file_write(path, "old", 3, &error));
    assert_true(output_file_check(link, &error));
    assert_true(output_file_write(link, "new", 3, &error));
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_content("new");
    unlink(link);
}

static void a_device_that_is_full_is_an_error(void **state)
{
    (void)state;
    conform_error error = {""};
    assert_false(output_file_write("/dev/full", "x", 1, &error));
    assert_string_equal(error.text, "/dev/full: output: No space left on device");
}

static void a_folder_that_is_not_there_is_told_before_the_run(void **state)
{
    (void)state;
    conform_error error = {""};
    assert_false(output_file_check("/nowhere/report.json", &error));
    assert_non_null(strstr(error.text, "/nowhere/report.json: folder /nowhere: "));
    assert_false(output_file_check(folder, &error));
    assert_non_null(strstr(error.text, "is a folder"));
    assert_true(output_file_check(path, &error));
    assert_false(output_file_check("", &error));
    assert_non_null(strstr(error.text, "a file name is empty"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_replaced_as_a_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_stays_a_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_device_that_is_full_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_told_before_the_run, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
