/* test_state_file.c - state files: every bit comes back, every flipped one is found, a file is there whole or not at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include <sgd/state_file.h>

static char folder[64], path[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sgd-state-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/state.h5", folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails where a temporary file was left */
}

/* ---- a state with one of everything -------------------------------------------------------------------------------------------- */

static void set(sgd_dict *dict, const char *key, sgd_value value)
{
    assert_int_equal(sgd_dict_set(dict, key, &value, NULL), SGD_OK);
}

static const DLDataType dtypes[] = {{kDLFloat, 64, 1},   {kDLFloat, 32, 1}, {kDLFloat, 16, 1}, {kDLBfloat, 16, 1},
                                    {kDLComplex, 64, 1}, {kDLComplex, 128, 1}, {kDLInt, 64, 1}, {kDLInt, 32, 1},
                                    {kDLInt, 16, 1},     {kDLInt, 8, 1},    {kDLUInt, 8, 1},   {6, 8, 1}};
#define DTYPES (sizeof dtypes / sizeof dtypes[0])

static unsigned char bits[16 * 6]; /* NaN payloads, signalling ones and -0 among them */

static DLTensor tensor_with(DLDataType dtype, int64_t *shape, int64_t *strides, int32_t ndim)
{
    return (DLTensor){.data = bits, .device = {kDLCPU, 0}, .ndim = ndim, .dtype = dtype, .shape = shape, .strides = strides};
}

static void add_tensors(sgd_dict *dict)
{
    int64_t shape[2] = {2, 3}, transposed[2] = {1, 2}, none[2] = {2, 0}, at[2] = {1, 2}, row[2] = {2, 3},
            whole[2] = {9, 3};
    for (size_t i = 0; i < DTYPES; i++) {
        char name[32];
        DLTensor dense = tensor_with(dtypes[i], shape, NULL, 2), turned = tensor_with(dtypes[i], shape, transposed, 2),
                 scalar = tensor_with(dtypes[i], NULL, NULL, 0), empty = tensor_with(dtypes[i], none, NULL, 2);
        snprintf(name, sizeof name, "dense/%zu", i);
        set(dict, name, (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &dense, .requires_grad = i % 2}});
        snprintf(name, sizeof name, "turned.%zu", i);
        set(dict, name, (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &turned}});
        snprintf(name, sizeof name, "scalar%%%zu", i);
        set(dict, name, (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &scalar}});
        snprintf(name, sizeof name, "empty%zu", i);
        set(dict, name, (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &empty}});
    }
    sgd_sparse sparse = {.indices = tensor_with(dtypes[6], at, NULL, 2), .values = tensor_with(dtypes[1], row, NULL, 2),
                         .ndim = 2, .shape = whole, .coalesced = true};
    set(dict, "sparse", (sgd_value){.kind = SGD_VALUE_SPARSE, .sparse = &sparse});
}

static sgd_state *state_of_everything(void)
{
    sgd_state *state;
    sgd_dict *dict;
    const int64_t ids[3] = {2, -1, INT64_MAX};
    const char *names[] = {"weight", "", "\xC3\xA4"};
    double numbers[2];
    const uint64_t odd[2] = {0x7FF0000000012345u, 0x8000000000000000u};
    memcpy(numbers, odd, sizeof odd);
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] = i < 16 ? (i % 2 ? 0x7F : 0xA1) : (unsigned char)(i * 37);
    assert_int_equal(sgd_state_create(&state, NULL), SGD_OK);
    assert_int_equal(sgd_state_add_group(state, ids, 3, &dict, NULL), SGD_OK);
    set(dict, "lr", (sgd_value){.kind = SGD_VALUE_DOUBLE, .number = numbers[0]});
    set(dict, "momentum", (sgd_value){.kind = SGD_VALUE_DOUBLE, .number = numbers[1]});
    set(dict, "dampening", (sgd_value){.kind = SGD_VALUE_INT, .integer = INT64_MIN});
    set(dict, "nesterov", (sgd_value){.kind = SGD_VALUE_BOOL, .boolean = true});
    set(dict, "foreach", (sgd_value){.kind = SGD_VALUE_NONE});
    set(dict, "", (sgd_value){.kind = SGD_VALUE_STRING, .string = ""});
    set(dict, "params", (sgd_value){.kind = SGD_VALUE_STRING, .string = "not those"});
    set(dict, "param_names", (sgd_value){.kind = SGD_VALUE_STRINGS, .strings = {names, 3}});
    set(dict, "no_names", (sgd_value){.kind = SGD_VALUE_STRINGS});
    assert_int_equal(sgd_state_add_group(state, NULL, 0, &dict, NULL), SGD_OK);
    sgd_value key = {.kind = SGD_VALUE_INT, .integer = 2};
    assert_int_equal(sgd_state_add_entry(state, &key, &dict, NULL), SGD_OK);
    add_tensors(dict);
    key = (sgd_value){.kind = SGD_VALUE_STRING, .string = "else"};
    assert_int_equal(sgd_state_add_entry(state, &key, &dict, NULL), SGD_OK);
    return state;
}

/* ---- the same, bit for bit ------------------------------------------------------------------------------------------------------- */

static void assert_same_tensor(const DLTensor *x, const DLTensor *y)
{
    size_t numel = 1;
    assert_int_equal(x->ndim, y->ndim);
    assert_memory_equal(&x->dtype, &y->dtype, sizeof x->dtype);
    for (int32_t d = 0; d < x->ndim; d++) {
        assert_int_equal(x->shape[d], y->shape[d]);
        assert_true(!x->strides == !y->strides && (!x->strides || x->strides[d] == y->strides[d]));
        numel *= (size_t)x->shape[d];
    }
    if (numel > 0)
        assert_memory_equal((char *)x->data + x->byte_offset, (char *)y->data + y->byte_offset, numel * x->dtype.bits / 8);
}

static void assert_same_value(const sgd_value *x, const sgd_value *y)
{
    assert_int_equal(x->kind, y->kind);
    switch (x->kind) {
    case SGD_VALUE_BOOL: assert_int_equal(x->boolean, y->boolean); break;
    case SGD_VALUE_INT: assert_true(x->integer == y->integer); break;
    case SGD_VALUE_DOUBLE: assert_memory_equal(&x->number, &y->number, sizeof x->number); break;
    case SGD_VALUE_STRING: assert_string_equal(x->string, y->string); break;
    case SGD_VALUE_STRINGS:
        assert_int_equal(x->strings.count, y->strings.count);
        for (size_t i = 0; i < x->strings.count; i++)
            assert_string_equal(x->strings.items[i], y->strings.items[i]);
        break;
    case SGD_VALUE_TENSOR:
        assert_same_tensor(x->tensor.tensor, y->tensor.tensor);
        assert_int_equal(x->tensor.requires_grad, y->tensor.requires_grad);
        break;
    case SGD_VALUE_SPARSE:
        assert_same_tensor(&x->sparse->indices, &y->sparse->indices);
        assert_same_tensor(&x->sparse->values, &y->sparse->values);
        assert_true(x->sparse->ndim == y->sparse->ndim && x->sparse->coalesced == y->sparse->coalesced);
        assert_memory_equal(x->sparse->shape, y->sparse->shape, (size_t)x->sparse->ndim * sizeof(int64_t));
        break;
    default: break;
    }
}

static void assert_same_dict(const sgd_dict *x, const sgd_dict *y)
{
    assert_int_equal(sgd_dict_count(x), sgd_dict_count(y));
    for (size_t i = 0; i < sgd_dict_count(x); i++) {
        sgd_value one, other;
        assert_string_equal(sgd_dict_key(x, i), sgd_dict_key(y, i));
        assert_true(sgd_dict_get(x, sgd_dict_key(x, i), &one) && sgd_dict_get(y, sgd_dict_key(x, i), &other));
        assert_same_value(&one, &other);
    }
}

static void assert_same_state(const sgd_state *x, const sgd_state *y)
{
    assert_int_equal(sgd_state_group_count(x), sgd_state_group_count(y));
    for (size_t g = 0; g < sgd_state_group_count(x); g++) {
        size_t one, other;
        const int64_t *ids = sgd_state_group_ids(x, g, &one), *more = sgd_state_group_ids(y, g, &other);
        assert_int_equal(one, other);
        if (one)
            assert_memory_equal(ids, more, one * sizeof *ids);
        assert_same_dict(sgd_state_group(x, g), sgd_state_group(y, g));
    }
    assert_int_equal(sgd_state_entry_count(x), sgd_state_entry_count(y));
    for (size_t i = 0; i < sgd_state_entry_count(x); i++) {
        sgd_value one, other;
        sgd_dict *here, *there;
        assert_int_equal(sgd_state_entry(x, i, &one, &here, NULL), SGD_OK);
        assert_int_equal(sgd_state_entry(y, i, &other, &there, NULL), SGD_OK);
        assert_same_value(&one, &other);
        assert_same_dict(here, there);
    }
}

static sgd_state *written(void)
{
    sgd_error error;
    sgd_state *state = state_of_everything();
    if (sgd_state_write(state, path, &error))
        fail_msg("%s", error.message);
    return state;
}

static void every_bit_comes_back(void **unused)
{
    (void)unused;
    sgd_error error;
    sgd_state *state = written(), *again;
    if (sgd_state_read(path, &again, &error))
        fail_msg("%s", error.message);
    assert_same_state(state, again);
    assert_int_equal(sgd_state_write(again, path, NULL), SGD_OK); /* in place of the old one */
    sgd_state_destroy(again);
    assert_int_equal(sgd_state_read(path, &again, NULL), SGD_OK);
    assert_same_state(state, again);
    sgd_state_destroy(again);
    sgd_state_destroy(state);
}

/* ---- damage ---------------------------------------------------------------------------------------------------------------------- */

static char *read_file(size_t *size)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    *size = (size_t)info.st_size;
    char *bytes = malloc(*size);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void write_file(const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A bit of each byte where the file is small, and all bits of the first block. */
static void a_flipped_bit_is_found_wherever_it_is(void **unused)
{
    (void)unused;
    sgd_state *state = written(), *again = NULL;
    size_t size;
    char *bytes = read_file(&size);
    FILE *file = fopen(path, "r+b");
    for (size_t i = 0; i < size; i += i < 1024 ? 1 : 211)
        for (int bit = 0; bit < (i < 160 ? 8 : 1); bit++) {
            char flipped = (char)(bytes[i] ^ 1 << (i < 160 ? bit : (int)(i % 8)));
            sgd_error error = {.status = SGD_OK};
            fseek(file, (long)i, SEEK_SET);
            fputc(flipped, file);
            fflush(file);
            sgd_status status = sgd_state_read(path, &again, &error);
            if (status != SGD_ERROR_FILE || !strstr(error.message, "damaged"))
                fail_msg("byte %zu, bit %d: status %d, %s", i, bit, (int)status, error.message);
            fseek(file, (long)i, SEEK_SET);
            fputc(bytes[i], file);
        }
    fclose(file);
    assert_int_equal(sgd_state_read(path, &again, NULL), SGD_OK);
    assert_same_state(state, again);
    sgd_state_destroy(again);
    sgd_state_destroy(state);
    free(bytes);
}

static void assert_unreadable(sgd_status expected, const char *what)
{
    sgd_state *none = NULL;
    sgd_error error;
    char message[256];
    snprintf(message, sizeof message, "%s: %s", path, what);
    assert_fails(sgd_state_read(path, &none, &error), expected, &error, message);
    assert_null(none);
}

static void a_file_that_is_none_says_what_it_is(void **unused)
{
    (void)unused;
    size_t size;
    sgd_state_destroy(written());
    char *bytes = read_file(&size);
    unlink(path);
    assert_unreadable(SGD_ERROR_FILE, "No such file or directory");
    const size_t cuts[] = {1, 20, 511, 512, 4000};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        write_file(bytes, cuts[i]);
        assert_unreadable(SGD_ERROR_FILE, "the state file is truncated");
    }
    write_file(bytes, size - 1);
    assert_unreadable(SGD_ERROR_FILE, "the state file is truncated");
    write_file("", 0);
    assert_unreadable(SGD_ERROR_FILE, "not an exactsgd state file, or damaged at its start");
    write_file(bytes + 512, size - 512); /* HDF5, but no state */
    assert_unreadable(SGD_ERROR_FILE, "not an exactsgd state file, or damaged at its start");
    const char later[] = "exactsgd-state\nversion 2\nbytes 8\nnew line\nheader 8356ff79\n";
    char block[520] = "";
    memcpy(block, later, sizeof later);
    write_file(block, sizeof block);
    assert_unreadable(SGD_ERROR_UNSUPPORTED, "the state file is of version 2, this library reads 1");
    free(bytes);
}

static void what_has_no_place_in_a_file_leaves_the_old_one(void **unused)
{
    (void)unused;
    static const sgd_object_type type = {.struct_size = sizeof type};
    sgd_error error;
    size_t before, after;
    sgd_state *state = written();
    char *bytes = read_file(&before), message[256];
    set(sgd_state_group(state, 1), "what", (sgd_value){.kind = SGD_VALUE_OBJECT, .object = &error, .type = &type});
    snprintf(message, sizeof message, "%s: an object has no place in a state file: what", path);
    assert_fails(sgd_state_write(state, path, &error), SGD_ERROR_UNSUPPORTED, &error, message);
    char *same = read_file(&after);
    assert_int_equal(before, after);
    assert_memory_equal(bytes, same, before);
    assert_int_equal(sgd_state_write(state, "/nowhere/at/all.h5", NULL), SGD_ERROR_FILE);
    free(bytes);
    free(same);
    sgd_state_destroy(state);
}

/* ---- an optimizer's ---------------------------------------------------------------------------------------------------------------- */

static void training_goes_on_from_a_file_as_if_it_had_not_stopped(void **unused)
{
    (void)unused;
    fixture f = fixture_new(), g;
    f.options.momentum = 0.9;
    f.options.lr = 0.1;
    g = f;
    fixture_create(&f);
    sgd_state *state;
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &state, NULL), SGD_OK);
    assert_int_equal(sgd_state_write(state, path, NULL), SGD_OK);
    sgd_state_destroy(state);
    memcpy(g.param, f.param, sizeof g.param);
    g.options.momentum = 0;
    fixture_create(&g);
    assert_int_equal(sgd_state_read(path, &state, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_load_state_dict(g.optimizer, state, NULL), SGD_OK);
    sgd_state_destroy(state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_step(g.optimizer, g.grads, 2, NULL), SGD_OK);
    }
    assert_memory_equal(f.param, g.param, sizeof f.param);
    sgd_optimizer_destroy(f.optimizer);
    sgd_optimizer_destroy(g.optimizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_comes_back),
        cmocka_unit_test(a_flipped_bit_is_found_wherever_it_is),
        cmocka_unit_test(a_file_that_is_none_says_what_it_is),
        cmocka_unit_test(what_has_no_place_in_a_file_leaves_the_old_one),
        cmocka_unit_test(training_goes_on_from_a_file_as_if_it_had_not_stopped),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
