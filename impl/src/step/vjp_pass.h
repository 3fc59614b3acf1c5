/* vjp_pass.h - one step backwards over the elements of one parameter, for one type; vjp.c includes it once for each.
 *
 * Mirrors autograd over _single_tensor_sgd (torch/optim/sgd.py).  Each derivative of an element is a sum of at most two
 * products that autograd rounds one by one, so that the order of its accumulation does not show, and the bits are the same.
 */

static inline REAL NAME(mul)(REAL x, REAL y) { return x * y; }
static inline REAL NAME(add)(REAL x, REAL y) { return x + y; }

/* sum + sign*x*y in double, where the product of two floats is exact. */
static inline double NAME(sum)(double sum, double sign, REAL x, REAL y) { return fma(sign * (double)x, (double)y, sum); }

static void NAME(pass)(const sgd_hyper *hyper, const vjp_tensors *t, sgd_vjp_options *sums)
{
    const REAL *params = t->param, *grads = t->grad, *buffers = t->buffer;
    REAL *d_params = t->d_param, *d_buffers = t->d_buffer, *d_grads = t->d_grad;
    const REAL lr = (REAL)hyper->lr, momentum = (REAL)hyper->momentum, weight_decay = (REAL)hyper->weight_decay;
    const REAL share = (REAL)(1 - hyper->dampening); /* of the gradient in the buffer */
    const bool has_momentum = hyper->momentum != 0, first = has_momentum && !buffers;
    const bool reaches_grad = !first || hyper->nesterov; /* the first buffer is detached */

    for (size_t i = 0; i < t->numel; i++) {
        /* forward: the gradient with weight decay, the buffer, the direction */
        REAL grad = hyper->maximize ? -grads[i] : grads[i];
        if (hyper->weight_decay != 0)
            grad = NAME(fma)(params[i], weight_decay, grad);
        REAL buffer = !has_momentum || first ? grad : NAME(fma)(grad, share, NAME(mul)(buffers[i], momentum));
        REAL direction = has_momentum && hyper->nesterov ? NAME(fma)(buffer, momentum, grad) : buffer;

        /* backward, from the end of the step to its beginning */
        REAL d_param = d_params[i], d_direction = NAME(mul)(d_param, -lr), d_grad = d_direction;
        sums->lr = NAME(sum)(sums->lr, -1, d_param, direction);
        if (has_momentum) {
            REAL d_buffer = hyper->nesterov ? NAME(mul)(d_direction, momentum) : d_direction;
            if (t->has_d_buffer)
                d_buffer = NAME(add)(d_buffers[i], d_buffer);
            if (hyper->nesterov)
                sums->momentum = NAME(sum)(sums->momentum, 1, d_direction, buffer);
            if (!first) {
                d_grad = NAME(mul)(d_buffer, share);
                if (hyper->nesterov)
                    d_grad = NAME(add)(d_direction, d_grad);
                sums->momentum = NAME(sum)(sums->momentum, 1, d_buffer, buffers[i]);
                sums->dampening = NAME(sum)(sums->dampening, -1, d_buffer, grad);
                d_buffers[i] = NAME(mul)(d_buffer, momentum);
            }
        }
        if (reaches_grad) {
            sums->weight_decay = NAME(sum)(sums->weight_decay, 1, d_grad, params[i]);
            if (hyper->weight_decay != 0)
                d_params[i] = NAME(add)(d_param, NAME(mul)(d_grad, weight_decay));
        }
        if (d_grads)
            d_grads[i] = !reaches_grad ? 0 : hyper->maximize ? -d_grad : d_grad;
    }
}

#undef REAL
#undef NAME
