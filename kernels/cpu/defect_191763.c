/* defect_191763.c - fused f16 and bf16 as torch 2.12.1 and 2.13.0 compute them in every whole block of 16 elements.
 *
 * The vectorised kernel mistakes pairs of 16-bit values for floats: params never move, and the buffer reads, as element j's
 * momentum, the float whose bits are two neighbouring buffer elements (pytorch#191763; the rule is measured, see rules.def).
 * Speed is no aim here: this exists to show PyTorch's bits to whoever asks for them.
 */
#include "vocabulary_scalar.h"

#define BLOCK 16

static w32 widen(sgd_dtype dtype, uint16_t x) { return dtype == SGD_F16 ? widen_f16(x) : widen_bf16(x); }

static uint16_t narrow(sgd_dtype dtype, rounding r, w32 x) { return dtype == SGD_F16 ? narrow_f16(r, x) : narrow_bf16(r, x); }

static w32 product_sum(rounding r, w32 x, w32 a, w32 y) { return has_fma(r) ? fma_w32(x, a, y) : add_w32(mul_w32(x, a), y); }

/* What the block at `at` reads as its momentum.  Elements beyond the tensor, where PyTorch reads whatever lies there, are 0. */
static void read_pairs(const uint16_t *buffer, size_t at, size_t numel, w32 pairs[BLOCK])
{
    for (size_t lane = 0; lane < BLOCK; lane++) {
        size_t low = at + 2 * lane - (lane < BLOCK / 2 ? 0 : BLOCK / 2);
        uint32_t bits = low < numel ? buffer[low] : 0;
        if (low + 1 < numel)
            bits |= (uint32_t)buffer[low + 1] << 16;
        pairs[lane] = of_bits_w32(bits);
    }
}

void defect_191763_step(sgd_contract contract, const sgd_hyper *hyper, const sgd_step_tensor *tensor)
{
    if (hyper->momentum == 0 && !hyper->grad_scale)
        return;
    rounding r = contract == SGD_TORCH_2_13_CPU_BASE ? BASE_BODY : FMA_BODY;
    sgd_dtype dtype = tensor->dtype;
    w32 weight_decay = (w32)scalar_for_axpy(dtype, hyper->weight_decay);
    w32 momentum = (w32)scalar_for_axpy(dtype, hyper->momentum);
    w32 one_minus_dampening = (w32)scalar_for_axpy(dtype, 1 - hyper->dampening);
    const uint16_t *param = tensor->param;
    uint16_t *grad = tensor->grad, *buffer = tensor->buffer;

    for (size_t at = 0; at + BLOCK <= tensor->numel; at += BLOCK) {
        w32 pairs[BLOCK];
        if (hyper->momentum != 0 && !tensor->first)
            read_pairs(buffer, at, tensor->numel, pairs);
        for (size_t lane = 0; lane < BLOCK; lane++) {
            w32 g = widen(dtype, grad[at + lane]);
            if (hyper->grad_scale)
                g = div_w32(g, *hyper->grad_scale);
            if (hyper->grad_scale && tensor->write_grad)
                grad[at + lane] = narrow(dtype, r, g);
            if (hyper->momentum == 0)
                continue;
            if (hyper->maximize)
                g = neg_w32(g);
            if (hyper->weight_decay != 0)
                g = product_sum(r, widen(dtype, param[at + lane]), weight_decay, g);
            if (!tensor->first) {
                w32 old = mul_w32(pairs[lane], momentum);
                g = has_fma(r) ? fma_w32(g, one_minus_dampening, old) : add_w32(old, mul_w32(g, one_minus_dampening));
            }
            buffer[at + lane] = narrow(dtype, r, g);
        }
    }
}
