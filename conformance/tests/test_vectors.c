/* test_vectors.c - a file that is damaged, incomplete or inconsistent is refused with one line; a sound one reads back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "refused.h"
#include "vector_maker.h"

typedef struct fixture {
    vectors *made;
    char folder[64], path[96];
    unsigned char *bytes;
    size_t size;
} fixture;

static void read_file(fixture *files)
{
    FILE *file = fopen(files->path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    files->size = (size_t)ftell(file);
    rewind(file);
    files->bytes = malloc(files->size);
    assert_int_equal(fread(files->bytes, 1, files->size, file), files->size);
    fclose(file);
}

static void write_bytes(const fixture *files, const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(files->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    fixture *files = calloc(1, sizeof *files);
    strcpy(files->folder, "/tmp/sgd-vectors-XXXXXX");
    assert_non_null(mkdtemp(files->folder));
    snprintf(files->path, sizeof files->path, "%s/made.h5", files->folder);
    files->made = made_vectors();
    write_vectors(files->made, files->path, (writing){0});
    read_file(files);
    *state = files;
    return 0;
}

static int tear_down(void **state)
{
    fixture *files = *state;
    unlink(files->path);
    rmdir(files->folder);
    made_vectors_free(files->made);
    free(files->bytes);
    free(files);
    return 0;
}

/* One line, with the file's name first. */
static void assert_one_line(const fixture *files, const conform_error *error)
{
    assert_ptr_equal(strstr(error->text, files->path), error->text);
    assert_null(strchr(error->text, '\n'));
    assert_true(strlen(error->text) > strlen(files->path) + 4);
}

static void assert_same(const vectors *a, const vectors *b)
{
    assert_int_equal(a->seed, b->seed);
#define ATTRIBUTE(name) assert_string_equal(a->name, b->name);
#define TABLE(member, file_name) assert_int_equal(a->member.count, b->member.count);
#define COLUMN(table, name, type) assert_memory_equal(a->table.name, b->table.name, a->table.count * sizeof(type));
#define BITS(name, type)                                                                                                   \
    assert_int_equal(a->name.count, b->name.count);                                                                        \
    assert_memory_equal(a->name.elements, b->name.elements, a->name.count * sizeof(type));
#include "columns.def"
}

static void assert_refused(const fixture *files, const char *reason)
{
    conform_error error = {""};
    assert_null(vectors_load(files->path, &error));
    assert_one_line(files, &error);
    if (!strstr(error.text, reason))
        fail_msg("\"%s\" does not say \"%s\"", error.text, reason);
}

/* ---- whole files --------------------------------------------------------------------------------------------------- */

static void a_sound_file_reads_back(void **state)
{
    fixture *files = *state;
    conform_error error;
    vectors *loaded = vectors_load(files->path, &error);
    assert_non_null(loaded);
    assert_same(loaded, files->made);
    char name[VECTORS_NAME_SIZE];
    vectors_case_name(loaded, 1, name);
    assert_string_equal(name, "torch-2.13/cpu-base/foreach/mixed/00000-t2-default");
    vectors_case_name(loaded, 2, name);
    assert_string_equal(name, "torch-2.13/cpu-fma/fused/f16/00001-t1-avx2");
    vectors_free(loaded);
}

/* Its rows say nothing of what version 2 added. */
static void a_file_of_version_1_reads_back(void **state)
{
    fixture *files = *state;
    conform_error error;
    write_vectors(files->made, files->path, (writing){.version = 1});
    vectors *loaded = vectors_load(files->path, &error);
    if (!loaded)
        fail_msg("%s", error.text);
    assert_same(loaded, files->made);
    vectors_free(loaded);
}

static void a_case_of_a_gpu_is_named_after_what_computed_it(void **state)
{
    fixture *files = *state;
    vectors *made = files->made;
    conform_error error;
    char name[VECTORS_NAME_SIZE];
    for (size_t i = 0; i < made->cases.count; i++) {
        made->cases.capability[i] = VECTORS_CUDA_SM90;
        made->cases.threads[i] = (uint8_t)(i + 1); /* keeps the names apart */
    }
    made->problem.feature[0] = VECTORS_MIXED;
    assert_int_equal(vectors_contract(made, 0), SGD_CONTRACT_COUNT);
    vectors_case_name(made, 0, name);
    assert_string_equal(name, "torch-2.13/cuda-sm90/forloop/mixed/00000-t1-cuda-sm90-mixed");
    made->problem.feature[0] = VECTORS_PLAIN;
    write_vectors(made, files->path, (writing){.torch_version = "2.12.1+cu130"}); /* no contract of ours, any release */
    vectors *loaded = vectors_load(files->path, &error);
    if (!loaded)
        fail_msg("%s", error.text);
    vectors_case_name(loaded, 2, name);
    assert_string_equal(name, "torch-2.12/cuda-sm90/fused/f16/00001-t3-cuda-sm90");
    vectors_free(loaded);
}

static void what_is_no_vector_file_is_refused(void **state)
{
    fixture *files = *state;
    unlink(files->path);
    assert_refused(files, "does not exist");
    write_bytes(files, (const unsigned char *)"not HDF5", 8);
    assert_refused(files, "is not a readable HDF5 file");
    write_vectors(files->made, files->path, (writing){.schema = "another"});
    assert_refused(files, "schema: is not \"exactsgd-vectors\"");
    write_vectors(files->made, files->path, (writing){.version = 3});
    assert_refused(files, "schema_version: is 3, this program reads 1 to 2");
}

static void another_torch_is_refused(void **state)
{
    fixture *files = *state;
    write_vectors(files->made, files->path, (writing){.torch_version = "2.12.1+cpu"});
    assert_refused(files, "torch_version: is 2.12.1+cpu, this program judges 2.13");
    write_vectors(files->made, files->path, (writing){.torch_version = "2.130.0"});
    assert_refused(files, "torch_version: is 2.130.0");
}

/* They reach the terminal and the log of whoever runs a foreign file. */
static void text_that_is_not_printable_is_refused(void **state)
{
    fixture *files = *state;
    static const char *const texts[] = {"\033[2J", "a\nb", "delete\177", "\303\244"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_vectors(files->made, files->path, (writing){.cpu_model = texts[i]});
        assert_refused(files, "cpu_model: has characters that are not printable ASCII");
    }
}

static void a_column_that_is_not_in_the_format_is_refused(void **state)
{
    fixture *files = *state;
    write_vectors(files->made, files->path, (writing){.leave_out = "case/threads"});
    assert_refused(files, "case/threads: no such dataset");
    write_vectors(files->made, files->path, (writing){.leave_out = "bits/u16"});
    assert_refused(files, "bits/u16: no such dataset");
    write_vectors(files->made, files->path, (writing){.no_checksums = true});
    assert_refused(files, "has no Fletcher-32 checksums");
    write_vectors(files->made, files->path, (writing){.wrong_type = true});
    assert_refused(files, "does not have the element type");
    write_vectors(files->made, files->path, (writing){.two_dimensional = true});
    assert_refused(files, "is not one-dimensional");
}

/* ---- damage -------------------------------------------------------------------------------------------------------- */

/* The file now on the disk is refused with one line, or has lost nothing. */
static bool survives(const fixture *files)
{
    conform_error error = {""};
    vectors *loaded = vectors_load(files->path, &error);
    if (loaded)
        assert_same(loaded, files->made);
    else
        assert_one_line(files, &error);
    /* Damage is no absence: every link and every attribute lies under a checksum. */
    if (strstr(error.text, "no such") || strstr(error.text, "is longer than"))
        fail_msg("\"%s\" is a wrong reason", error.text);
    vectors_free(loaded);
    return loaded != NULL;
}

static void a_truncated_file_is_refused(void **state)
{
    fixture *files = *state;
    for (size_t size = 0; size < files->size; size += size < 128 ? 1 : 97) {
        write_bytes(files, files->bytes, size);
        assert_false(survives(files));
    }
}

static void a_flipped_bit_never_passes_for_content(void **state)
{
    fixture *files = *state;
    size_t refused = 0, tried = 0;
    for (size_t at = 0; at < files->size; at += 29) {
        files->bytes[at] ^= (unsigned char)(1u << at % 8);
        write_bytes(files, files->bytes, files->size);
        refused += !survives(files);
        tried++;
        files->bytes[at] ^= (unsigned char)(1u << at % 8);
    }
    /* What is left over is the format's free space. */
    assert_true(refused > tried / 4);
}

/* ---- numbers that don't add up ------------------------------------------------------------------------------------- */

static void numbers_out_of_range_are_refused(void **state)
{
    vectors *made = ((fixture *)*state)->made;
    ASSERT_REFUSED_WITH(made->array.kind[0], 3, "array/kind[0]: 3 is no kind");
    ASSERT_REFUSED_WITH(made->array.dtype[0], SGD_DTYPE_COUNT, "array/dtype[0]: 6 is no dtype");
    ASSERT_REFUSED_WITH(made->array.numel[0], UINT64_MAX, "array/numel[0]");
    ASSERT_REFUSED_WITH(made->array.numel[0], 10, "array of another size");
    ASSERT_REFUSED_WITH(made->array.where[0], UINT64_MAX, "array/where[0]");
    ASSERT_REFUSED_WITH(made->tensor.dtype[0], 200, "tensor/dtype[0]: 200 is no dtype");
    ASSERT_REFUSED_WITH(made->tensor.dtype[0], SGD_F16, "array of another dtype");
    ASSERT_REFUSED_WITH(made->tensor.param[0], VECTORS_NONE, "tensor/param[0]");
    ASSERT_REFUSED_WITH(made->tensor.grad_begin[1], 4000000000u, "tensor/grad_begin[1]");
    ASSERT_REFUSED_WITH(made->grad.array[1], 4000000000u, "grad/array[1]");
    ASSERT_REFUSED_WITH(made->group.tensor_begin[1], VECTORS_NONE, "group/tensor_begin[1]");
    ASSERT_REFUSED_WITH(made->group.tensor_begin[1], 2, "does not follow");
    ASSERT_REFUSED_WITH(made->group.nesterov[0], 2, "group/nesterov[0]: 2 is neither 0 nor 1");
    ASSERT_REFUSED_WITH(made->group.maximize[0], 255, "group/maximize[0]");
    ASSERT_REFUSED_WITH(made->problem.group_begin[0], VECTORS_NONE, "problem/group_begin[0]");
    ASSERT_REFUSED_WITH(made->problem.group_count[0], 0, "problem/group_count[0]");
    ASSERT_REFUSED_WITH(made->problem.steps[0], 0, "problem/steps[0]");
    ASSERT_REFUSED_WITH(made->problem.steps[0], 255, "tensor/grad_begin");
    ASSERT_REFUSED_WITH(made->problem.flags[0], 1u << 9, "problem/flags[0]");
    ASSERT_REFUSED_WITH(made->cases.problem[0], 99, "case/problem[0]: 99 is no row");
    ASSERT_REFUSED_WITH(made->cases.path[0], 3, "case/path[0]: 3 is no path");
    ASSERT_REFUSED_WITH(made->cases.capability[0], 3, "case/capability[0]: 3 is no capability");
    ASSERT_REFUSED_WITH(made->cases.capability[0], 19, "case/capability[0]: 19 is no capability");
    ASSERT_REFUSED_WITH(made->cases.threads[0], 0, "case/threads[0]");
    ASSERT_REFUSED_WITH(made->cases.outcome_begin[0], VECTORS_NONE, "case/outcome_begin[0]");
    ASSERT_REFUSED_WITH(made->outcome.param[0], VECTORS_NONE, "outcome/param[0]");
    ASSERT_REFUSED_WITH(made->outcome.grad[1], VECTORS_NONE, "is None after a step that had a gradient");
}

static void assert_option_refused(const vectors *made, double *option, double value, const char *reason)
{
    double kept = *option;
    *option = value;
    assert_inconsistent(made, reason);
    *option = kept;
}

static void options_that_torch_refuses_are_refused(void **state)
{
    vectors *made = ((fixture *)*state)->made;
    conform_error error;
    size_t nesterov = 1; /* the first group that has it, see vector_maker.h */
    assert_option_refused(made, &made->group.lr[0], -0.1, "group/lr[0]: -0.1 is less than 0");
    assert_option_refused(made, &made->group.momentum[0], -1, "group/momentum[0]: -1 is less than 0");
    assert_option_refused(made, &made->group.weight_decay[0], -INFINITY, "group/weight_decay[0]: -inf is less than 0");
    assert_option_refused(made, &made->group.momentum[nesterov], 0, "group/momentum[1]: 0 is not for nesterov");
    assert_option_refused(made, &made->group.dampening[nesterov], 0.5, "group/dampening[1]: 0.5 is not for nesterov");
    assert_option_refused(made, &made->group.dampening[nesterov], NAN, "group/dampening[1]: ");
    made->group.lr[0] = made->group.momentum[0] = made->group.weight_decay[0] = made->group.momentum[nesterov] = NAN;
    made->group.dampening[0] = -1;
    assert_true(vectors_check(made, &error));
}

static void a_first_group_of_no_tensor_is_refused(void **state)
{
    vectors *made = ((fixture *)*state)->made;
    made->group.tensor_count[0] = 0;
    made->group.tensor_begin[1] = made->group.tensor_begin[0];
    assert_inconsistent(made, "group/tensor_count[0]: 0 tensors are too few for a problem's first group");
}

static void a_name_given_twice_is_refused(void **state)
{
    vectors *made = ((fixture *)*state)->made;
    made->cases.path[1] = made->cases.path[0];
    made->cases.capability[1] = made->cases.capability[0];
    made->cases.threads[1] = made->cases.threads[0];
    assert_inconsistent(made, "has two cases of one path");
}

static void an_input_known_by_its_hash_is_refused(void **state)
{
    vectors *made = ((fixture *)*state)->made;
    size_t tensor = 3; /* the generated one, see vector_maker.h */
    made->array.kind[made->tensor.param[tensor]] = VECTORS_HASHED;
    assert_inconsistent(made, "known by its hash only");
}

/* HDF5 1.10 forgets the buffer of a chunk whose checksum is wrong; everything else is held to having no leaks. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_file_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_version_1_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_case_of_a_gpu_is_named_after_what_computed_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_vector_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_torch_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_that_is_not_printable_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_column_that_is_not_in_the_format_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_truncated_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_never_passes_for_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_out_of_range_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_that_torch_refuses_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_first_group_of_no_tensor_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_given_twice_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_input_known_by_its_hash_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
