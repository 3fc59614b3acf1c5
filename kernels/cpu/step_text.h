/* step_text.h - the algorithm, written once: included per dtype by instantiate.h, per instruction set by <isa>.c.
 *
 * Before inclusion: DTYPE (f64, f32, f16, bf16), WORKING (w64, w32) and HALF (0, 1).  An instruction set's vocabulary gives
 *   WORKING:  the register type, LANES_, broadcast_, mul_, div_, add_, fma_ (x*y+z), fms_ (x*y-z), neg_
 *   DTYPE:    stored_ (register type), load_, store_, widen_, narrow_ (rounds), round_ (narrow and widen), pack_ (narrow of a
 *             value that is rounded already), flip_ (sign of the stored bits)
 * all of which give the first NaN among their operands in the order written, as rules.def wants it.
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
} D(registers);

/* Of a product with a 1 that they see, compilers make a copy, which keeps a NaN signalling, or a negation, which turns its sign. */
static ALWAYS_INLINE double D(unseen)(double value)
{
    __asm__("" : "+m"(value));
    return value;
}

static ALWAYS_INLINE D(registers) D(broadcast_all)(const step_scalars *s)
{
    return (D(registers)){.minus_lr = W(broadcast)(s->minus_lr),
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

/* ---- for-loop and foreach: torch/optim/sgd.py _single_tensor_sgd, every operation rounded where PyTorch rounds it --- */

/* `addcmul` is a constant: whether lr or weight decay may be a tensor that requires grad. */
static ALWAYS_INLINE void D(eager_step)(bool addcmul, rounding r, const D(registers) *s, const step_run *run, size_t at,
                                        size_t n)
{
    D(stored) grad = D(load)(run->grad, at, n);
    WORKING p = D(widen)(D(load)(run->param, at, n));
    bool decay_addcmul = addcmul && s->weight_decay_addcmul;
    if (s->maximize)
        grad = D(negated)(r, grad);
    WORKING g = D(widen)(grad);
    if (s->has_decay) {
        g = decay_addcmul ? D(add_product)(r, s->one, p, s->weight_decay, g) : D(add_scaled)(r, s->weight_decay, p, g);
        g = D(round)(r, g);
        if (decay_addcmul && run->write_grad)
            D(store)(run->grad, at, n, D(pack)(g));
    }
    if (s->has_momentum) {
        WORKING b;
        if (run->first) {
            /* clone() keeps every bit of a NaN, so the copy is made of stored bits */
            D(stored) first = s->has_decay ? D(pack)(g) : grad;
            D(store)(run->buffer, at, n, first);
            b = D(widen)(first);
        } else {
            b = D(round)(r, W(mul)(D(widen)(D(load)(run->buffer, at, n)), s->scale));
            b = D(add_scaled)(r, s->one_minus_dampening, g, b);
            D(store)(run->buffer, at, n, D(narrow)(r, b));
            b = D(round)(r, b);
        }
        g = s->nesterov ? D(round)(r, D(add_scaled)(r, s->momentum, b, g)) : b;
        if (run->write_grad && !decay_addcmul)
            D(store)(run->grad, at, n, D(pack)(g));
    }
    p = addcmul && s->lr_addcmul ? D(add_product)(r, s->minus_one, g, s->lr, p) : D(add_scaled)(r, s->minus_lr, g, p);
    D(store)(run->param, at, n, D(narrow)(r, p));
}

static ALWAYS_INLINE void D(eager_block)(rounding r, const D(registers) *s, const step_run *run, size_t at, size_t n)
{
    D(eager_step)(false, r, s, run, at, n);
}

static ALWAYS_INLINE void D(eager_addcmul_block)(rounding r, const D(registers) *s, const step_run *run, size_t at, size_t n)
{
    D(eager_step)(true, r, s, run, at, n);
}

/* ---- fused: ATen/native/cpu/FusedSGDKernel.cpp sgd_math ------------------------------------------------------------ */

/* `scaled` is a constant: whether there is a grad_scale.  16-bit gradients go on unrounded. */
static ALWAYS_INLINE void D(fused_step)(bool scaled, rounding r, const D(registers) *s, const step_run *run, size_t at,
                                        size_t n)
{
    WORKING p = D(widen)(D(load)(run->param, at, n));
    WORKING g = D(widen)(D(load)(run->grad, at, n));
    if (scaled) {
        g = W(div)(g, s->grad_scale);
        if (run->write_grad)
            D(store)(run->grad, at, n, D(narrow)(r, g));
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
            b = D(widen)(D(load)(run->buffer, at, n));
            b = r == FMA_BODY ? W(fma)(g, s->one_minus_dampening, W(mul)(b, s->momentum))
                              : D(product_sum)(r, b, s->momentum, W(mul)(g, s->one_minus_dampening));
        }
        D(store)(run->buffer, at, n, D(narrow)(r, b));
        g = s->nesterov ? D(product_sum)(r, b, s->momentum, g) : b;
    }
    D(store)(run->param, at, n, D(narrow)(r, D(product_sum)(r, g, s->minus_lr, p)));
}

static ALWAYS_INLINE void D(fused_block)(rounding r, const D(registers) *s, const step_run *run, size_t at, size_t n)
{
    D(fused_step)(false, r, s, run, at, n);
}

static ALWAYS_INLINE void D(fused_scaled_block)(rounding r, const D(registers) *s, const step_run *run, size_t at, size_t n)
{
    D(fused_step)(true, r, s, run, at, n);
}

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

#define LOOP_(block, rule, scalars, run)                                                                               \
    do {                                                                                                               \
        size_t at_ = 0;                                                                                                \
        for (; at_ + W(LANES) <= (run)->count; at_ += W(LANES))                                                        \
            block(rule, scalars, run, at_, W(LANES));                                                                  \
        if (at_ < (run)->count)                                                                                        \
            block(rule, scalars, run, at_, (run)->count - at_);                                                        \
    } while (0)

#define LOOP(block, r, scalars, run)                                                                                   \
    switch (r) {                                                                                                       \
    case FMA_BODY: LOOP_(block, FMA_BODY, scalars, run); break;                                                        \
    case FMA_TAIL: LOOP_(block, FMA_TAIL, scalars, run); break;                                                        \
    case BASE_BODY: LOOP_(block, BASE_BODY, scalars, run); break;                                                      \
    case BASE_TAIL: LOOP_(block, BASE_TAIL, scalars, run); break;                                                      \
    }

#define STEP_KERNEL(kernel)                                                                                            \
    static void D(kernel)(const step_scalars *scalars, size_t count, const step_run *runs)                             \
    {                                                                                                                  \
        const D(registers) s = D(broadcast_all)(scalars);                                                              \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const step_run local = runs[i];                                                                            \
            LOOP(D(kernel##_block), local.axpy, &s, &local)                                                            \
        }                                                                                                              \
    }

#define OPERAND_KERNEL(kernel)                                                                                         \
    static void D(kernel)(const operand_scalars *scalars, size_t count, const operand_run *runs)                       \
    {                                                                                                                  \
        const D(factors) factors = {W(broadcast)(scalars->alpha), W(broadcast)(scalars->value)};                       \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const operand_run local = runs[i];                                                                         \
            LOOP(D(kernel##_block), local.rounding, &factors, &local)                                                  \
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
#undef LOOP
#undef LOOP_
#undef D
#undef W
#undef JOIN
#undef JOIN_
#undef DTYPE
#undef WORKING
#undef HALF
