/* complex_text.h - complex64 and complex128, written once: included per dtype by instantiate.h, per instruction set by <isa>.c.
 *
 * A real hyper-parameter a is the complex number (a, 0) in PyTorch, and the products with its zero are really computed: they
 * make a NaN of an infinity, and signs of zeros.  ATen/native/cpu/BinaryOpsKernel.cpp, PointwiseOpsKernel.cpp, UnaryOpsKernel.cpp
 * over Vectorized<c10::complex<T>> in the body, over c10::complex<T> in the tail, where GCC fuses one product of each part.
 *
 * Before inclusion: DTYPE (c64, c128), PART (float, double) and FUSED(x, y, z) (x*y + z, rounded once).  NaN payloads are open in
 * complex operations, so plain C will do, which compilers vectorise; a whole step, which has the memory to keep up with, is written for
 * registers where there are any (COMPLEX_REGISTERS; STORED and WORKING: f32 and w32, f64 and w64).
 */
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define D(name) JOIN(name, DTYPE)

typedef struct D(number) {
    PART re, im;
} D(number);

static ALWAYS_INLINE PART D(mul)(PART x, PART y) { return x * y; }
static ALWAYS_INLINE PART D(add)(PART x, PART y) { return x + y; }
static ALWAYS_INLINE PART D(sub)(PART x, PART y) { return x - y; }
static ALWAYS_INLINE PART D(fma)(PART x, PART y, PART z) { return FUSED(x, y, z); }

/* (a, 0) * x, in PyTorch  re = a*x.re - 0*x.im,  im = a*x.im + 0*x.re.  The difference is written as a sum with -0*x.im, which is
 * the same: GCC before 12.3 fuses alternating sums and differences of products though told not to (GCC bug 107647).
 *
 * In an FMA_TAIL the product that PyTorch does not round before the sum is the first operand's real part with the second's: that
 * of a where a is `first`; else it is a*x.re for re, and for im that with the zero, which is exact anyway.  In other tails it is
 * always the one with the zero. */
static ALWAYS_INLINE D(number) D(times)(rounding r, PART a, bool first, D(number) x)
{
    PART re = D(mul)(x.im, -(PART)0), im = D(mul)(x.re, 0);
    bool fused = r == FMA_TAIL;
    return (D(number)){fused ? D(fma)(a, x.re, re) : D(add)(D(mul)(a, x.re), re),
                       fused && first ? D(fma)(a, x.im, im) : D(add)(D(mul)(a, x.im), im)};
}

static ALWAYS_INLINE D(number) D(sum)(D(number) x, D(number) y)
{
    return (D(number)){D(add)(x.re, y.re), D(add)(x.im, y.im)};
}

/* y + alpha*x: at::add */
static ALWAYS_INLINE D(number) D(add_scaled)(rounding r, PART alpha, D(number) x, D(number) y)
{
    return D(sum)(D(times)(r, alpha, true, x), y);
}

/* y + (value*x)*scalar with value 1 or -1: at::addcmul */
static ALWAYS_INLINE D(number) D(add_product)(rounding r, PART value, PART scalar, D(number) x, D(number) y)
{
    return D(sum)(D(times)(r, scalar, false, D(times)(BASE_BODY, value, true, x)), y);
}

/* -x: vectors subtract from zero */
static ALWAYS_INLINE D(number) D(negated)(rounding r, D(number) x)
{
    return r == FMA_BODY ? (D(number)){D(sub)(0, x.re), D(sub)(0, x.im)} : (D(number)){-x.re, -x.im};
}

/* ---- loops; one copy per rounding, so that the rule is a constant inside.  out may be x or y, else they do not overlap ----- */

#define LOOP_(expression)                                                                                                      \
    do {                                                                                                                       \
        SIMD for (size_t i = 0; i < n; i++) out[i] = expression;                                                \
    } while (0)

static void D(negate_all)(rounding r, D(number) *out, const D(number) *x, size_t n)
{
    if (r == FMA_BODY)
        LOOP_(D(negated)(FMA_BODY, x[i]));
    else
        LOOP_(D(negated)(BASE_BODY, x[i]));
}

static void D(axpy_all)(rounding r, PART alpha, D(number) *out, const D(number) *x, const D(number) *y, size_t n)
{
    if (r == FMA_TAIL)
        LOOP_(D(add_scaled)(FMA_TAIL, alpha, x[i], y[i]));
    else
        LOOP_(D(add_scaled)(BASE_BODY, alpha, x[i], y[i]));
}

/* torch._foreach_mul_ has its scalar as the first operand, mul_ as the second. */
static void D(scale_all)(rounding r, PART alpha, bool first, D(number) *out, const D(number) *x, size_t n)
{
    if (r == FMA_TAIL)
        LOOP_(D(times)(FMA_TAIL, alpha, first, x[i]));
    else
        LOOP_(D(times)(BASE_BODY, alpha, first, x[i]));
}

static void D(addcmul_all)(rounding r, PART value, PART scalar, D(number) *out, const D(number) *x, const D(number) *y, size_t n)
{
    if (r == FMA_TAIL)
        LOOP_(D(add_product)(FMA_TAIL, value, scalar, x[i], y[i]));
    else
        LOOP_(D(add_product)(BASE_BODY, value, scalar, x[i], y[i]));
}

/* ---- the step: torch/optim/sgd.py _single_tensor_sgd, operation by operation over blocks that stay in the cache ------------ */

#define BLOCK 256

static void D(eager_block)(const step_scalars *s, const step_run *run, size_t at, size_t n)
{
    D(number) scratch[BLOCK];
    D(number) *p = (D(number) *)run->param + at, *grad = (D(number) *)run->grad + at;
    const D(number) *g = grad;
    bool decay_addcmul = s->has_decay && s->weight_decay_addcmul;
    if (s->maximize) {
        D(negate_all)(run->axpy, scratch, g, n);
        g = scratch;
    }
    if (s->has_decay) {
        if (s->weight_decay_addcmul)
            D(addcmul_all)(run->addcmul, 1, (PART)s->weight_decay, scratch, p, g, n);
        else
            D(axpy_all)(run->axpy, (PART)s->weight_decay, scratch, p, g, n);
        g = scratch;
        if (decay_addcmul && run->write_grad)
            memcpy(grad, g, n * sizeof *g);
    }
    if (s->has_momentum) {
        D(number) *b = (D(number) *)run->buffer + at;
        if (run->first) {
            memcpy(b, g, n * sizeof *g);
        } else {
            D(scale_all)(run->scale, (PART)s->scale, s->scalar_first, b, b, n);
            D(axpy_all)(run->axpy, (PART)s->one_minus_dampening, b, g, b, n);
        }
        if (s->nesterov)
            D(axpy_all)(run->axpy, (PART)s->momentum, scratch, b, g, n);
        g = s->nesterov ? scratch : b;
        if (run->write_grad && !decay_addcmul)
            memcpy(grad, g, n * sizeof *g);
    }
    if (s->lr_addcmul)
        D(addcmul_all)(run->addcmul, -1, (PART)s->lr, p, g, p, n);
    else
        D(axpy_all)(run->axpy, (PART)s->minus_lr, p, g, p, n);
}

#ifdef COMPLEX_REGISTERS

/* ---- the step in registers of interleaved parts: all but FMA_TAIL, whose parts are not alike -------------------------------- */

#define W(name) JOIN(name, WORKING)
#define M(name) JOIN(name, STORED)

typedef struct D(registers) {
    WORKING minus_lr, weight_decay, scale, momentum, one_minus_dampening, lr, one, minus_one, zeros;
} D(registers);

static ALWAYS_INLINE D(registers) D(broadcast_all)(const step_scalars *s)
{
    return (D(registers)){.minus_lr = W(broadcast)(s->minus_lr),
                          .weight_decay = W(broadcast)(s->weight_decay),
                          .scale = W(broadcast)(s->scale),
                          .momentum = W(broadcast)(s->momentum),
                          .one_minus_dampening = W(broadcast)(s->one_minus_dampening),
                          .lr = W(broadcast)(s->lr),
                          .one = W(broadcast)(1),
                          .minus_one = W(broadcast)(-1),
                          .zeros = W(zeros_of_swapped)()};
}

/* The numbers of D(times). */
static ALWAYS_INLINE WORKING D(times_each)(const D(registers) *c, WORKING a, WORKING x)
{
    return W(add)(W(mul)(a, x), W(mul)(W(swap_parts)(x), c->zeros));
}

static ALWAYS_INLINE void D(eager_register)(rounding r, const step_scalars *s, const D(registers) *c, const step_run *run,
                                            size_t at)
{
    WORKING p = M(load)(run->param, at, W(LANES)), g = M(load)(run->grad, at, W(LANES));
    bool decay_addcmul = s->has_decay && s->weight_decay_addcmul;
    if (s->maximize)
        g = r == FMA_BODY ? W(add)(W(broadcast)(0), W(neg)(g)) : W(neg)(g); /* 0 - x: no zero comes out negative */
    if (s->has_decay)
        g = W(add)(D(times_each)(c, c->weight_decay, decay_addcmul ? D(times_each)(c, c->one, p) : p), g);
    if (decay_addcmul && run->write_grad)
        M(store)(run->grad, at, W(LANES), g);
    if (s->has_momentum) {
        WORKING b = g;
        if (!run->first) {
            b = D(times_each)(c, c->scale, M(load)(run->buffer, at, W(LANES)));
            b = W(add)(D(times_each)(c, c->one_minus_dampening, g), b);
        }
        M(store)(run->buffer, at, W(LANES), b);
        g = s->nesterov ? W(add)(D(times_each)(c, c->momentum, b), g) : b;
        if (run->write_grad && !decay_addcmul)
            M(store)(run->grad, at, W(LANES), g);
    }
    g = s->lr_addcmul ? D(times_each)(c, c->lr, D(times_each)(c, c->minus_one, g)) : D(times_each)(c, c->minus_lr, g);
    M(store)(run->param, at, W(LANES), W(add)(g, p));
}

static ALWAYS_INLINE size_t D(eager_loop)(rounding r, const step_scalars *s, const D(registers) *c, const step_run *run)
{
    size_t at = 0;
    for (; at + W(LANES) <= 2 * run->count; at += W(LANES))
        D(eager_register)(r, s, c, run, at);
    return at / 2;
}

/* How many numbers of a run were done so. */
static size_t D(eager_registers)(const step_scalars *scalars, const step_run *original)
{
    step_scalars s = *scalars;
    step_run run = *original;
    if (run.axpy == FMA_TAIL || run.scale == FMA_TAIL || run.addcmul == FMA_TAIL)
        return 0;
    const D(registers) c = D(broadcast_all)(&s);
    if (!s.has_momentum || s.nesterov || s.maximize || s.lr_addcmul || s.weight_decay_addcmul || run.first || run.write_grad)
        return run.axpy == FMA_BODY ? D(eager_loop)(FMA_BODY, &s, &c, &run) : D(eager_loop)(BASE_BODY, &s, &c, &run);
    s.has_momentum = true; /* nearly all steps, in constants: as in step_text.h */
    s.nesterov = s.maximize = s.lr_addcmul = s.weight_decay_addcmul = false;
    run.first = run.write_grad = false;
    return D(eager_loop)(BASE_BODY, &s, &c, &run);
}

#undef W
#undef M

#else

static size_t D(eager_registers)(const step_scalars *scalars, const step_run *run) { return (void)scalars, (void)run, 0; }

#endif

static void D(eager)(const step_scalars *scalars, size_t count, const step_run *runs)
{
    for (const step_run *run = runs; run < runs + count; run++)
        for (size_t at = D(eager_registers)(scalars, run); at < run->count; at += BLOCK)
            D(eager_block)(scalars, run, at, run->count - at < BLOCK ? run->count - at : BLOCK);
}

/* ---- single operations ----------------------------------------------------------------------------------------------------- */

static void D(negate)(const operand_scalars *scalars, size_t count, const operand_run *runs)
{
    (void)scalars;
    for (const operand_run *run = runs; run < runs + count; run++)
        D(negate_all)(run->rounding, run->out, run->x, run->count);
}

static void D(axpy)(const operand_scalars *scalars, size_t count, const operand_run *runs)
{
    for (const operand_run *run = runs; run < runs + count; run++)
        D(axpy_all)(run->rounding, (PART)scalars->alpha, run->out, run->x, run->y, run->count);
}

static void D(scale)(const operand_scalars *scalars, size_t count, const operand_run *runs)
{
    for (const operand_run *run = runs; run < runs + count; run++)
        D(scale_all)(run->rounding, (PART)scalars->alpha, scalars->scalar_first, run->out, run->x, run->count);
}

static void D(addcmul)(const operand_scalars *scalars, size_t count, const operand_run *runs)
{
    for (const operand_run *run = runs; run < runs + count; run++)
        D(addcmul_all)(run->rounding, (PART)scalars->value, (PART)scalars->alpha, run->out, run->x, run->y, run->count);
}

#undef BLOCK
#undef LOOP_
#undef D
#undef JOIN
#undef JOIN_
#undef DTYPE
#undef PART
#undef FUSED
#undef STORED
#undef WORKING
