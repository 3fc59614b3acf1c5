/* test_steps.c - steps of every instruction set beside those in plain C, where quick forms are wrong and have to know it: NaNs
 * anywhere in a block, values so small that a result may be subnormal, all values there are; and every run length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "random_bits.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- one step on all instruction sets -------------------------------------------------------------------------------- */

#define MOST 65536
#define MARGIN 8 /* elements behind the last that a step must leave alone */

/* The upper 16 bits of all elements, written as those of bf16; the lower ones of wider dtypes are drawn. */
typedef struct upper_bits {
    uint16_t param[MOST + MARGIN], grad[MOST + MARGIN], buffer[MOST + MARGIN];
} upper_bits;

typedef struct tensors {
    _Alignas(double) unsigned char param[(MOST + MARGIN) * sizeof(double)], grad[(MOST + MARGIN) * sizeof(double)],
        buffer[(MOST + MARGIN) * sizeof(double)];
} tensors;

static upper_bits upper;
static tensors given, expected, actual;

typedef struct setting {
    sgd_dtype dtype;
    sgd_contract contract;
    sgd_path path;
    bool first, write_grad;
    sgd_hyper hyper;
} setting;

static void lay_out(size_t size, const uint16_t *upper_bits, unsigned char *memory)
{
    for (size_t i = 0; i < MOST + MARGIN; i++) {
        uint64_t z = random_bits(), lower = z % 4 ? z >> 16 : z % 8 ? 0 : UINT64_MAX >> 16;
        uint64_t bits = ((uint64_t)upper_bits[i] << 48 | lower) >> (64 - 8 * size);
        memcpy(memory + i * size, &bits, size); /* little-endian, as all instruction sets but plain C's */
    }
}

static uint64_t bits_at(const unsigned char *memory, size_t size, size_t i)
{
    uint64_t bits = 0;
    memcpy(&bits, memory + i * size, size);
    return bits;
}

static void run_step(sgd_isa isa, const setting *setting, size_t offset, size_t numel, tensors *out)
{
    const sgd_backend *backend = sgd_backend_cpu(isa);
    sgd_arithmetic arithmetic = {.struct_size = sizeof arithmetic, .contract = setting->contract, .path = setting->path,
                                 .torch_threads = 1, .threads = 1};
    size_t at = offset * sgd_dtype_size(setting->dtype);
    sgd_step_tensor tensor = {.dtype = setting->dtype, .first = setting->first, .write_grad = setting->write_grad,
                              .numel = numel, .param = out->param + at, .grad = out->grad + at,
                              .buffer = setting->hyper.momentum != 0 ? out->buffer + at : NULL};
    *out = given;
    assert_int_equal(backend->step(backend->context, &arithmetic, &setting->hyper, 1, &tensor), SGD_OK);
}

static void compare(const char *what, sgd_isa isa, const setting *s, size_t numel, const unsigned char *got,
                    const unsigned char *want)
{
    if (!memcmp(got, want, sizeof given.param))
        return;
    size_t size = sgd_dtype_size(s->dtype), i = 0;
    while (!memcmp(got + i * size, want + i * size, size))
        i++;
    fail_msg("%s[%zu] of %zu on %s is 0x%" PRIX64 ", not 0x%" PRIX64 ": %s contract %d path %d first %d lr %a momentum %a "
             "dampening %a decay %a nesterov %d maximize %d addcmul %d %d scale %a; param 0x%" PRIX64 " grad 0x%" PRIX64
             " buffer 0x%" PRIX64,
             what, i, numel, sgd_isa_name(isa), bits_at(got, size, i), bits_at(want, size, i), sgd_dtype_name(s->dtype),
             s->contract, s->path, s->first, s->hyper.lr, s->hyper.momentum, s->hyper.dampening, s->hyper.weight_decay,
             s->hyper.nesterov, s->hyper.maximize, s->hyper.lr_addcmul, s->hyper.weight_decay_addcmul,
             s->hyper.grad_scale ? (double)*s->hyper.grad_scale : 0, bits_at(given.param, size, i),
             bits_at(given.grad, size, i), bits_at(given.buffer, size, i));
}

static void check(const setting *setting, size_t offset, size_t numel)
{
    size_t size = sgd_dtype_size(setting->dtype);
    lay_out(size, upper.param, given.param);
    lay_out(size, upper.grad, given.grad);
    lay_out(size, upper.buffer, given.buffer);
    run_step(SGD_ISA_SCALAR, setting, offset, numel, &expected);
    for (int isa = SGD_ISA_SCALAR + 1; isa < SGD_ISA_COUNT; isa++) {
        if (!sgd_isa_available((sgd_isa)isa))
            continue;
        run_step((sgd_isa)isa, setting, offset, numel, &actual);
        compare("param", (sgd_isa)isa, setting, numel, actual.param, expected.param);
        compare("grad", (sgd_isa)isa, setting, numel, actual.grad, expected.grad);
        compare("buffer", (sgd_isa)isa, setting, numel, actual.buffer, expected.buffer);
    }
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static uint16_t ordinary(void)
{
    uint64_t z = random_bits();
    return (uint16_t)((z & 0x807F) | (118 + (z >> 16) % 12) << 7);
}

static uint16_t special(void)
{
    static const uint16_t values[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x007F, 0x0080, 0x8080, 0x7F7F, 0xFF7F, 0x7F80,
                                      0xFF80, 0x7FC0, 0xFFC0, 0x7F81, 0xFFFF, 0x7FFF, 0x3F80, 0xBF80, 0x0100, 0x7F00};
    return values[random_bits() % COUNT(values)];
}

static void fill(uint16_t (*value)(void))
{
    for (size_t i = 0; i < MOST + MARGIN; i++) {
        upper.param[i] = value();
        upper.grad[i] = value();
        upper.buffer[i] = value();
    }
}

/* ---- settings -------------------------------------------------------------------------------------------------------- */

static double nan_with_payload(void)
{
    uint64_t bits = UINT64_C(0x7FFFFFFFFFFFFFFF);
    double nan;
    memcpy(&nan, &bits, sizeof nan);
    return nan;
}

static double pick(const double *values, size_t count) { return values[random_bits() % count]; }

static setting random_setting(void)
{
    static const double lrs[] = {1e-3, 0.1, 3.14159, 0, 1e-30, 1e-42, 1e30, INFINITY},
                        momenta[] = {0.9, 0.9, 0.5, 0, 1e-9, 1e-42, 1e20, 1.0},
                        decays[] = {1e-4, 0.1, 0, 0, 1e-30, 1e-41, 1e20, 1.0},
                        dampenings[] = {0, 0, 0.1, 0.9, 1, 1.0 - 1e-12, -1e20};
    static const float scales[] = {1, 65536, 3, 0.1f, 1e-30f, 1e30f, 1e-40f, 0, INFINITY, -2};
    static const sgd_dtype dtypes[] = {SGD_BF16, SGD_F32, SGD_BF16, SGD_F16, SGD_BF16, SGD_F64};
    static float scale;
    uint64_t z = random_bits();
    setting s = {.dtype = dtypes[(z >> 40) % COUNT(dtypes)],
                 .contract = z & 1 ? SGD_TORCH_2_13_CPU_BASE : SGD_TORCH_2_13_CPU_FMA,
                 .path = (sgd_path)((z >> 8) % 3),
                 .first = (z & 14) == 0,
                 .hyper = {.struct_size = sizeof s.hyper,
                           .lr = pick(lrs, COUNT(lrs)),
                           .momentum = pick(momenta, COUNT(momenta)),
                           .dampening = pick(dampenings, COUNT(dampenings)),
                           .weight_decay = pick(decays, COUNT(decays)),
                           .maximize = (z & 0x30) == 0}};
    s.hyper.nesterov = s.hyper.momentum != 0 && (z & 0xC0) == 0;
    /* Of the NaNs of an element and a hyper-parameter wider dtypes keep either: the contract leaves that open. */
    if (s.dtype == SGD_BF16 && (z >> 16) % 100 == 0)
        s.hyper.momentum = nan_with_payload();
    if (s.dtype == SGD_BF16 && (z >> 16) % 100 == 1)
        s.hyper.lr = NAN;
    if (s.path == SGD_FUSED) {
        scale = scales[(z >> 24) % COUNT(scales)];
        s.hyper.grad_scale = (z >> 32) % 2 ? &scale : NULL;
    } else if (s.path == SGD_FORLOOP) {
        s.hyper.lr_addcmul = (z >> 32) % 4 == 0;
        s.hyper.weight_decay_addcmul = (z >> 34) % 4 == 0;
    }
    s.write_grad = s.hyper.grad_scale || (s.hyper.weight_decay_addcmul && s.hyper.weight_decay != 0) ||
                   (s.path == SGD_FOREACH && s.hyper.nesterov);
    return s;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void every_value_in_each_operand(void **state)
{
    (void)state;
    random_state = 1;
    for (int turn = 0; turn < 300; turn++) {
        setting setting = random_setting();
        fill(ordinary);
        uint16_t *operand = turn % 3 == 0 ? upper.param : turn % 3 == 1 ? upper.grad : upper.buffer;
        size_t stride = turn & 8 ? 1 : 40503; /* neighbours alike, or all over */
        for (size_t i = 0; i < MOST; i++)
            operand[i] = (uint16_t)(i * stride);
        check(&setting, 0, MOST);
    }
}

static void special_values_among_each_other(void **state)
{
    (void)state;
    random_state = 2;
    for (int turn = 0; turn < 300; turn++) {
        setting setting = random_setting();
        fill(special);
        check(&setting, 0, MOST);
    }
}

/* A block without the value, a block with it in one lane, and so on through lanes and operands. */
static void one_value_anywhere_in_a_block(void **state)
{
    (void)state;
    static const uint16_t values[] = {0x7FC0, 0xFFFF, 0x7F81, 0xFF80, 0x0001, 0x807F, 0x0080, 0x8000};
    random_state = 3;
    for (int turn = 0; turn < 300; turn++) {
        setting setting = random_setting();
        fill(ordinary);
        size_t at = 0;
        for (size_t value = 0; value < COUNT(values); value++)
            for (size_t lane = 0; lane < 128; lane++, at += 128)
                (lane % 3 == 0 ? upper.param : lane % 3 == 1 ? upper.grad : upper.buffer)[(at + lane) % MOST] = values[value];
        check(&setting, 0, MOST);
    }
}

/* Where results may begin to be subnormal: sums that cancel but for their last place. */
static void small_values_of_all_exponents(void **state)
{
    (void)state;
    random_state = 4;
    for (int turn = 0; turn < 400; turn++) {
        setting setting = random_setting();
        for (size_t i = 0; i < MOST; i++) {
            uint64_t z = random_bits();
            size_t exponent = 1 + i / 512; /* the smallest 128 of 256 */
            upper.param[i] = (uint16_t)((z & 0x807F) | (exponent + (z >> 32) % 3) << 7);
            upper.grad[i] = (uint16_t)((z >> 16 & 0x807F) | (exponent + (z >> 34) % 3) << 7);
            upper.buffer[i] = (z >> 40) % 2 ? upper.grad[i] ^ 0x8000 : (uint16_t)(exponent << 7 | (z >> 48 & 0x807F));
            if ((z >> 41) % 8 == 0)
                upper.grad[i] = 0;
        }
        check(&setting, 0, MOST);
    }
}

static void every_length_and_alignment(void **state)
{
    (void)state;
    random_state = 5;
    fill(ordinary);
    for (int i = 0; i < 40; i++)
        upper.param[random_bits() % 160] = upper.grad[random_bits() % 160] = special();
    for (size_t numel = 0; numel <= 130; numel++)
        for (size_t offset = 0; offset < 4; offset++) {
            setting setting = random_setting();
            check(&setting, offset, numel);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_in_each_operand),   cmocka_unit_test(special_values_among_each_other),
        cmocka_unit_test(one_value_anywhere_in_a_block), cmocka_unit_test(small_values_of_all_exponents),
        cmocka_unit_test(every_length_and_alignment),
    };
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
