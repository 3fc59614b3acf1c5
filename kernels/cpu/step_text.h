/* step_text.h - the algorithm, written once: included per dtype by instantiate.h, per instruction set by <isa>.c.
 *
 * Before inclusion: DTYPE (f64, f32, f16, bf16), WORKING (w64, w32) and HALF (0, 1).  An instruction set's vocabulary gives
 *   WORKING:  the register type, LANES_, broadcast_, mul_, div_, add_, fma_ (x*y+z), fms_ (x*y-z), neg_
 *   DTYPE:    stored_ (register type), load_, store_, widen_, narrow_ (rounds), round_ (narrow and widen), pack_ (narrow of a
 *             value that is rounded already), flip_ (sign of the stored bits)
 * all of which give the first NaN among their operands in the order written, as rules.def wants it.
 *
 * A vocabulary may have a quick form of a dtype, which is wrong about some blocks and knows it: of NaNs among them it only keeps
 * that they are NaNs.  It is included first, with TRIAL defined, and adds
 *   DTYPE:    floor_ (a type), floor_of_ (the scalars'), plain_ (whether inputs are none of those that it gets wrong)
 *   WORKING:  any_nan_
 * The dtype itself follows with QUICK naming it: its kernels try each block in the quick form first.  A NaN anywhere in a step
 * makes the new param one, so that nothing of a block is stored before that is known.
 */
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define W(name) JOIN(name, WORKING)
#define D(name) JOIN(name, DTYPE)

/* y + alpha*x: at::add with alpha, all but the last rounding to 16 bits */
static ALWAYS_INLINE WORKING D(add_scaled)(rounding r, WORKING alpha, WORKING x, WORKING y)
{
    if (!HALF)
        return has_fma(r) ? W(fma)(x, alpha, y) : W(add)(W(mul)(x, alpha), y);
    switch (r) {
    case FMA_BODY:
        return W(fma)(x, alpha, y);
    case BASE_BODY:
        return W(add)(D(round)(r, W(mul)(x, alpha)), y);
    default:
        return W(add)(y, D(round)(r, W(mul)(x, alpha)));
    }
}

/* y + value*x*scalar with value 1 or -1: at::addcmul, whose products are in float for 16 bits, in vectors and tails */
static ALWAYS_INLINE WORKING D(add_product)(rounding r, WORKING value, WORKING x, WORKING scalar, WORKING y)
{
    x = W(mul)(x, value);
    return has_fma(r) ? W(fma)(x, scalar, y) : W(add)(W(mul)(x, scalar), y);
}

/* -x: at::neg, which flips stored bits in vectors and goes through float in 16-bit tails */
static ALWAYS_INLINE D(stored) D(negated)(rounding r, D(stored) x)
{
    return !HALF || r == FMA_BODY ? D(flip)(x) : D(narrow)(r, W(neg)(D(widen)(x)));
}

/* a*x + y in the working format, not rounded to 16 bits: the fused kernel's products */
static ALWAYS_INLINE WORKING D(product_sum)(rounding r, WORKING x, WORKING a, WORKING y)
{
    return has_fma(r) ? W(fma)(x, a, y) : W(add)(W(mul)(x, a), y);
}

/* step_scalars in registers */
typedef struct D(registers) {
    WORKING minus_lr, weight_decay, scale, momentum, one_minus_dampening, lr, grad_scale, one, minus_one;
    bool has_decay, has_momentum, nesterov, maximize, lr_addcmul, weight_decay_addcmul;
#ifdef TRIAL
    D(floor) floor;
#endif
} D(registers);

/* Of a product with a 1 that they see, compilers make a copy, which keeps a NaN signalling, or a negation, which turns its sign. */
static ALWAYS_INLINE double D(unseen)(double value)
{
    __asm__("" : "+m"(value));
    return value;
}

static ALWAYS_INLINE D(registers) D(broadcast_all)(const step_scalars *s)
{
    return (D(registers)){
#ifdef TRIAL
                          .floor = D(floor_of)(s),
#endif
                          .minus_lr = W(broadcast)(s->minus_lr),
                          .weight_decay = W(broadcast)(s->weight_decay),
                          .scale = W(broadcast)(s->scale),
                          .momentum = W(broadcast)(s->momentum),
                          .one_minus_dampening = W(broadcast)(s->one_minus_dampening),
                          .lr = W(broadcast)(s->lr),
                          .grad_scale = W(broadcast)(s->grad_scale),
                          .one = W(broadcast)(D(unseen)(1)),
                          .minus_one = W(broadcast)(D(unseen)(-1)),
                          .has_decay = s->has_decay,
                          .has_momentum = s->has_momentum,
                          .nesterov = s->nesterov,
                          .maximize = s->maximize,
                          .lr_addcmul = s->lr_addcmul,
                          .weight_decay_addcmul = s->weight_decay_addcmul};
}

/* Nearly all steps: a buffer that is there already, and nothing that is rare.  Said in constants it is gone from the loops. */
#define IS_USUAL(s, run) ((s).has_momentum && !(s).nesterov && !(s).maximize && !(run).first && !(run).write_grad)

static ALWAYS_INLINE D(registers) D(usual_registers)(D(registers) s)
{
    s.has_momentum = true;
    s.nesterov = s.maximize = false;
    return s;
}

/* What a step reads of a block of elements, and what it leaves there. */
typedef struct D(elements) {
    D(stored) param, grad, buffer;
} D(elements);

static ALWAYS_INLINE D(elements) D(load_elements)(const D(registers) *s, const step_run *run, size_t at, size_t n)
{
    D(stored) grad = D(load)(run->grad, at, n);
    bool has_buffer = s->has_momentum && !run->first;
    return (D(elements)){D(load)(run->param, at, n), grad, has_buffer ? D(load)(run->buffer, at, n) : grad};
}

static ALWAYS_INLINE void D(store_elements)(const D(registers) *s, const step_run *run, size_t at, size_t n, D(elements) x)
{
    if (run->write_grad)
        D(store)(run->grad, at, n, x.grad);
    if (s->has_momentum)
        D(store)(run->buffer, at, n, x.buffer);
    D(store)(run->param, at, n, x.param);
}

/* ---- for-loop and foreach: torch/optim/sgd.py _single_tensor_sgd, every operation rounded where PyTorch rounds it --- */

/* `addcmul` is a constant: whether lr or weight decay may be a tensor that requires grad.  Gives the new param unrounded. */
static ALWAYS_INLINE WORKING D(eager_step)(bool addcmul, rounding r, const D(registers) *s, const step_run *run, D(elements) *x)
{
    D(stored) grad = s->maximize ? D(negated)(r, x->grad) : x->grad;
    WORKING p = D(widen)(x->param), g = D(widen)(grad);
    bool decay_addcmul = addcmul && s->weight_decay_addcmul;
    if (s->has_decay) {
        g = decay_addcmul ? D(add_product)(r, s->one, p, s->weight_decay, g) : D(add_scaled)(r, s->weight_decay, p, g);
        g = D(round)(r, g);
        if (decay_addcmul && run->write_grad)
            x->grad = D(pack)(g);
    }
    if (s->has_momentum) {
        WORKING b;
        if (run->first) {
            /* clone() keeps every bit of a NaN, so the copy is made of stored bits */
            x->buffer = s->has_decay ? D(pack)(g) : grad;
            b = D(widen)(x->buffer);
        } else {
            b = D(round)(r, W(mul)(D(widen)(x->buffer), s->scale));
            b = D(add_scaled)(r, s->one_minus_dampening, g, b);
            x->buffer = D(narrow)(r, b);
            b = D(round)(r, b);
        }
        g = s->nesterov ? D(round)(r, D(add_scaled)(r, s->momentum, b, g)) : b;
        if (!decay_addcmul && run->write_grad)
            x->grad = D(pack)(g);
    }
    p = addcmul && s->lr_addcmul ? D(add_product)(r, s->minus_one, g, s->lr, p) : D(add_scaled)(r, s->minus_lr, g, p);
    x->param = D(narrow)(r, p);
    return p;
}

/* ---- fused: ATen/native/cpu/FusedSGDKernel.cpp sgd_math ------------------------------------------------------------ */

/* `scaled` is a constant: whether there is a grad_scale.  16-bit gradients go on unrounded.  Gives the new param unrounded. */
static ALWAYS_INLINE WORKING D(fused_step)(bool scaled, rounding r, const D(registers) *s, const step_run *run, D(elements) *x)
{
    WORKING p = D(widen)(x->param), g = D(widen)(x->grad);
    if (scaled) {
        g = W(div)(g, s->grad_scale);
        x->grad = D(narrow)(r, g);
    }
    if (r == FMA_TAIL && s->maximize && s->has_decay && !scaled) {
        g = W(fms)(p, s->weight_decay, g);
    } else {
        if (s->maximize)
            g = W(neg)(g);
        if (s->has_decay)
            g = D(product_sum)(r, p, s->weight_decay, g);
    }
    if (s->has_momentum) {
        WORKING b = g;
        if (!run->first) {
            b = D(widen)(x->buffer);
            b = r == FMA_BODY ? W(fma)(g, s->one_minus_dampening, W(mul)(b, s->momentum))
                              : D(product_sum)(r, b, s->momentum, W(mul)(g, s->one_minus_dampening));
        }
        x->buffer = D(narrow)(r, b);
        g = s->nesterov ? D(product_sum)(r, b, s->momentum, g) : b;
    }
    p = D(product_sum)(r, g, s->minus_lr, p);
    x->param = D(narrow)(r, p);
    return p;
}

/* ---- blocks: a register of elements; whether the step was made ------------------------------------------------------ */

#ifdef TRIAL
enum { D(block_lanes) = W(LANES) };
#define IS_PLAIN(s, x) D(plain)((s)->floor, (x).param, (x).grad, (x).buffer)
#define IS_RIGHT(p) (!W(any_nan)(p))
#else
#define IS_PLAIN(s, x) true
#define IS_RIGHT(p) ((void)(p), true)
#endif

#define STEP_BLOCK(block, step, variant)                                                                               \
    static ALWAYS_INLINE bool D(block)(rounding r, const D(registers) *s, const step_run *run, size_t at, size_t n)    \
    {                                                                                                                  \
        D(elements) x = D(load_elements)(s, run, at, n);                                                               \
        if (!IS_PLAIN(s, x))                                                                                           \
            return false;                                                                                              \
        WORKING p = D(step)(variant, r, s, run, &x);                                                                   \
        if (!IS_RIGHT(p))                                                                                              \
            return false;                                                                                              \
        D(store_elements)(s, run, at, n, x);                                                                           \
        return true;                                                                                                   \
    }

STEP_BLOCK(eager_block, eager_step, false)
STEP_BLOCK(eager_addcmul_block, eager_step, true)
STEP_BLOCK(fused_block, fused_step, false)
STEP_BLOCK(fused_scaled_block, fused_step, true)

#undef STEP_BLOCK
#undef IS_PLAIN
#undef IS_RIGHT

#ifndef TRIAL

/* ---- single operations --------------------------------------------------------------------------------------------- */

/* operand_scalars in registers */
typedef struct D(factors) {
    WORKING alpha, value;
} D(factors);

static ALWAYS_INLINE void D(negate_block)(rounding r, const D(factors) *factors, const operand_run *run, size_t at, size_t n)
{
    (void)factors;
    D(store)(run->out, at, n, D(negated)(r, D(load)(run->x, at, n)));
}

static ALWAYS_INLINE void D(axpy_block)(rounding r, const D(factors) *factors, const operand_run *run, size_t at, size_t n)
{
    WORKING x = D(widen)(D(load)(run->x, at, n)), y = D(widen)(D(load)(run->y, at, n));
    D(store)(run->out, at, n, D(narrow)(r, D(add_scaled)(r, factors->alpha, x, y)));
}

static ALWAYS_INLINE void D(scale_block)(rounding r, const D(factors) *factors, const operand_run *run, size_t at, size_t n)
{
    WORKING x = D(widen)(D(load)(run->x, at, n));
    D(store)(run->out, at, n, D(narrow)(r, W(mul)(x, factors->alpha)));
}

static ALWAYS_INLINE void D(addcmul_block)(rounding r, const D(factors) *factors, const operand_run *run, size_t at, size_t n)
{
    WORKING x = D(widen)(D(load)(run->x, at, n)), y = D(widen)(D(load)(run->y, at, n));
    D(store)(run->out, at, n, D(narrow)(r, D(add_product)(r, factors->value, x, factors->alpha, y)));
}

/* ---- loops: whole registers, then what is left; one copy per rounding, so that the rule is a constant inside ---------- */

/* Elements from `at` up to `end`. */
#define LOOP_(rule, block, scalars, run, at, end)                                                                      \
    do {                                                                                                               \
        for (; at + W(LANES) <= (end); at += W(LANES))                                                                 \
            block(rule, scalars, run, at, W(LANES));                                                                   \
        if (at < (end))                                                                                                \
            block(rule, scalars, run, at, (end) - at);                                                                 \
    } while (0)

#define BY_ROUNDING(LOOP, r, ...)                                                                                      \
    switch (r) {                                                                                                       \
    case FMA_BODY: LOOP(FMA_BODY, __VA_ARGS__); break;                                                                 \
    case FMA_TAIL: LOOP(FMA_TAIL, __VA_ARGS__); break;                                                                 \
    case BASE_BODY: LOOP(BASE_BODY, __VA_ARGS__); break;                                                               \
    case BASE_TAIL: LOOP(BASE_TAIL, __VA_ARGS__); break;                                                               \
    }

#ifdef QUICK

#define Q(name) JOIN(name, QUICK)
#define QUICK_LANES Q(block_lanes)

/* So far ahead of arithmetic that takes as long as the memory does, in bytes. */
#define AHEAD 512

static ALWAYS_INLINE void D(prefetch)(const void *memory, size_t at)
{
    __builtin_prefetch((const char *)memory + at * (sizeof(D(stored)) / W(LANES)) + AHEAD);
}

#define QUICK_LOOP_(rule, kernel, scalars, s, run, original)                                                           \
    do {                                                                                                               \
        size_t at = 0;                                                                                                 \
        for (; at + QUICK_LANES <= (run)->count; at += QUICK_LANES) {                                                  \
            D(prefetch)((run)->param, at);                                                                             \
            D(prefetch)((run)->grad, at);                                                                              \
            if ((s)->has_momentum)                                                                                     \
                D(prefetch)((run)->buffer, at);                                                                        \
            if (__builtin_expect(!Q(kernel##_block)(rule, s, run, at, QUICK_LANES), 0))                             \
                D(kernel##_part)(scalars, original, at, at + QUICK_LANES);                                          \
        }                                                                                                              \
        if (at < (run)->count)                                                                                         \
            D(kernel##_part)(scalars, original, at, (run)->count);                                                     \
    } while (0)

#define STEP_KERNEL(kernel)                                                                                            \
    static __attribute__((noinline)) void D(kernel##_part)(const step_scalars *scalars, const step_run *run,           \
                                                           size_t at, size_t end)                                      \
    {                                                                                                                  \
        const D(registers) s = D(broadcast_all)(scalars);                                                              \
        BY_ROUNDING(LOOP_, run->axpy, D(kernel##_block), &s, run, at, end)                                             \
    }                                                                                                                  \
    static void D(kernel)(const step_scalars *scalars, size_t count, const step_run *runs)                             \
    {                                                                                                                  \
        const Q(registers) s = Q(broadcast_all)(scalars);                                                              \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const step_run run = runs[i];                                                                              \
            if (IS_USUAL(s, run)) {                                                                                    \
                const Q(registers) usual_s = Q(usual_registers)(s);                                                    \
                const step_run usual_run = usual_step_run(run);                                                        \
                BY_ROUNDING(QUICK_LOOP_, run.axpy, kernel, scalars, &usual_s, &usual_run, &runs[i])                    \
            } else {                                                                                                   \
                BY_ROUNDING(QUICK_LOOP_, run.axpy, kernel, scalars, &s, &run, &runs[i])                                \
            }                                                                                                          \
        }                                                                                                              \
    }

#else

#define RUN_LOOP_(rule, kernel, s, run)                                                                                \
    do {                                                                                                               \
        size_t at = 0;                                                                                                 \
        LOOP_(rule, D(kernel##_block), s, run, at, (run)->count);                                                      \
    } while (0)

#define STEP_KERNEL(kernel)                                                                                            \
    static void D(kernel)(const step_scalars *scalars, size_t count, const step_run *runs)                             \
    {                                                                                                                  \
        const D(registers) s = D(broadcast_all)(scalars);                                                              \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const step_run run = runs[i];                                                                              \
            if (IS_USUAL(s, run)) {                                                                                    \
                const D(registers) usual_s = D(usual_registers)(s);                                                    \
                const step_run usual_run = usual_step_run(run);                                                        \
                BY_ROUNDING(RUN_LOOP_, run.axpy, kernel, &usual_s, &usual_run)                                         \
            } else {                                                                                                   \
                BY_ROUNDING(RUN_LOOP_, run.axpy, kernel, &s, &run)                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif

#define OPERAND_KERNEL(kernel)                                                                                         \
    static void D(kernel)(const operand_scalars *scalars, size_t count, const operand_run *runs)                       \
    {                                                                                                                  \
        const D(factors) factors = {W(broadcast)(scalars->alpha), W(broadcast)(scalars->value)};                       \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const operand_run local = runs[i];                                                                         \
            size_t at = 0;                                                                                             \
            BY_ROUNDING(LOOP_, local.rounding, D(kernel##_block), &factors, &local, at, local.count)                   \
        }                                                                                                              \
    }

STEP_KERNEL(eager)
STEP_KERNEL(eager_addcmul)
STEP_KERNEL(fused)
STEP_KERNEL(fused_scaled)
OPERAND_KERNEL(negate)
OPERAND_KERNEL(axpy)
OPERAND_KERNEL(scale)
OPERAND_KERNEL(addcmul)

#undef STEP_KERNEL
#undef OPERAND_KERNEL
#undef BY_ROUNDING
#undef LOOP_
#ifdef QUICK
#undef Q
#undef QUICK_LANES
#undef AHEAD
#undef QUICK_LOOP_
#else
#undef RUN_LOOP_
#endif
#endif /* TRIAL */

#undef IS_USUAL
#undef D
#undef W
#undef JOIN
#undef JOIN_
#undef DTYPE
#undef WORKING
#undef HALF
