/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: y = f(x), a value at a time, with up to two numbers in p. Each has two functions:
 *
 *   df_<stem>_value(x, p)            f(x)
 *   df_<stem>_gradient(dy, saved, p) dy f'(x), where saved is x or y: the column `saved` of activations.def
 *
 * From the list come the ops <stem>_fwd: y = f(x), all [rows, cols], and <stem>_bwd: dx [rows, cols], dy
 * [rows, cols], saved [samples, cols], owner I32 [rows] or NULL (df_owner_row). Types, order and aliases are
 * those of pointwise.h.
 *
 * Traps    comparisons with a NaN are false: relu turns a NaN into 0, the others leave it a NaN. Who needs to
 *          know looks at the input. The gradient of 0 of relu, clip, hard_tanh and hard_sigmoid is
 *          chosen, not multiplied by: dy may be infinite there. */
#ifndef DF_KERNELS_ACTIVATIONS_H
#define DF_KERNELS_ACTIVATIONS_H

#include "call.h"
#include "exponential.h"

/* min(max(x, low), high); a NaN stays a NaN. */
DF_FN df_real df_clipped(df_real x, df_real low, df_real high)
{
    const df_real raised = x < low ? low : x;
    return raised > high ? high : raised;
}

/* relu   x > 0 ? x : 0. A NaN gives 0. The derivative at 0 is 0; saved may be y or x, their signs are the
 * same. */
DF_FN df_real df_relu_value(df_real x, const union df_params *p)
{
    (void)p;
    return x > 0 ? x : 0;
}

DF_FN df_real df_relu_gradient(df_real dy, df_real saved, const union df_params *p)
{
    (void)p;
    return saved > 0 ? dy : 0;
}

/* leaky_relu   x > 0 ? x : alpha x. The derivative at 0 is alpha. */
DF_FN df_real df_leaky_relu_value(df_real x, const union df_params *p)
{
    const df_real scaled = (df_real)p->slope.alpha * x;
    return x > 0 ? x : scaled;
}

DF_FN df_real df_leaky_relu_gradient(df_real dy, df_real saved, const union df_params *p)
{
    const df_real scaled = (df_real)p->slope.alpha * dy;
    return saved > 0 ? dy : scaled;
}

/* clip   min(max(x, low), high)
 * The derivative at both ends is 0, as relu's at 0: ReLU6 is the one that networks have, and PyTorch's relu6
 * and hardtanh take 0 there as well (its clamp takes 1). */
DF_FN df_real df_clip_value(df_real x, const union df_params *p)
{
    return df_clipped(x, (df_real)p->clip.low, (df_real)p->clip.high);
}

DF_FN df_real df_clip_gradient(df_real dy, df_real saved, const union df_params *p)
{
    return saved > (df_real)p->clip.low && saved < (df_real)p->clip.high ? dy : 0;
}

/* sigmoid   1 / (1 + exp(-x))
 * With e = exp(-|x|): 1 / (1 + e) for x >= 0, e / (1 + e) below: nothing overflows. Within 2.5 ulp.
 * Derivative (1 - y) y. */
DF_FN df_real df_sigmoid_value(df_real x, const union df_params *p)
{
    const df_real e = df_real_exp_negative(x < 0 ? x : -x), top = x < 0 ? e : 1;
    (void)p;
    return top / (1 + e);
}

DF_FN df_real df_sigmoid_gradient(df_real dy, df_real saved, const union df_params *p)
{
    (void)p;
    return dy * ((1 - saved) * saved);
}

/* hard_sigmoid   min(max(alpha x + beta, 0), 1) (rounded twice). The derivative at both bends is 0. */
DF_FN df_real df_hard_sigmoid_value(df_real x, const union df_params *p)
{
    const df_real line = (df_real)p->slope.alpha * x + (df_real)p->slope.beta;
    return df_clipped(line, 0, 1);
}

DF_FN df_real df_hard_sigmoid_gradient(df_real dy, df_real saved, const union df_params *p)
{
    const df_real alpha = (df_real)p->slope.alpha;
    const df_real line = alpha * saved + (df_real)p->slope.beta, scaled = alpha * dy;
    return line > 0 && line < 1 ? scaled : 0;
}

/* hard_swish   x min(max(x / 6 + 1/2, 0), 1); derivative 0 for x <= -3, 1 for x >= 3, else x / 3 + 1/2
 * At the bends, where the one-sided derivatives differ (-1/2 and 0; 3/2 and 1), the outer one is taken. */
DF_FN df_real df_hard_swish_value(df_real x, const union df_params *p)
{
    (void)p;
    return x * df_clipped(x / 6 + (df_real)0.5, 0, 1);
}

DF_FN df_real df_hard_swish_gradient(df_real dy, df_real saved, const union df_params *p)
{
    const df_real inner = saved / 3 + (df_real)0.5, below = saved <= -3 ? 0 : inner;
    (void)p;
    return dy * (saved >= 3 ? 1 : below);
}

/* tanh   with e = exp(-2|x|) - 1: -e / (2 + e), and the sign of x. Within 3 ulp. Derivative 1 - y^2. */
DF_FN df_real df_tanh_value(df_real x, const union df_params *p)
{
    const df_real e = df_real_expm1_negative(x > 0 ? -2 * x : 2 * x), y = e / (2 + e);
    (void)p;
    return x > 0 ? -y : y;
}

DF_FN df_real df_tanh_gradient(df_real dy, df_real saved, const union df_params *p)
{
    (void)p;
    return dy * ((1 - saved) * (1 + saved));
}

/* log(1 + e) for 0 <= e <= 1, within 2 ulp: 2 artanh(s) with s = e / (2 + e), over s a polynomial of s^2. */
DF_FN df_real df_real_log1p_unit(df_real e)
{
#ifdef DF_REAL_IS_DOUBLE
    return log1p(e);
#else
    const float s = e / (2 + e), square = s * s;
    float sum = 0.28178325F;
    sum = fmaf(sum, square, 0.27960604F);
    sum = fmaf(sum, square, 0.4002491F);
    sum = fmaf(sum, square, 0.66666317F);
    sum = fmaf(sum, square, 2.0F);
    return sum * s;
#endif
}

/* softplus   log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)): nothing overflows. Within 4 ulp. Derivative
 * sigmoid. */
DF_FN df_real df_softplus_value(df_real x, const union df_params *p)
{
    const df_real e = df_real_exp_negative(x < 0 ? x : -x), above = x > 0 ? x : 0;
    (void)p;
    return above + df_real_log1p_unit(e);
}

DF_FN df_real df_softplus_gradient(df_real dy, df_real saved, const union df_params *p)
{
    return dy * df_sigmoid_value(saved, p);
}

/* elu   x > 0 ? x : alpha (exp(x) - 1), within 2 ulp. Derivative x > 0 ? 1 : alpha exp(x), alpha at 0. */
DF_FN df_real df_elu_value(df_real x, const union df_params *p)
{
    const df_real below = (df_real)p->slope.alpha * df_real_expm1_negative(x > 0 ? -x : x);
    return x > 0 ? x : below;
}

DF_FN df_real df_elu_gradient(df_real dy, df_real saved, const union df_params *p)
{
    const df_real slope = (df_real)p->slope.alpha * df_real_exp_negative(saved > 0 ? -saved : saved);
    return dy * (saved > 0 ? 1 : slope);
}

/* hard_tanh   clip under the name that PyTorch has for it; its ends are given in every file. */
DF_FN df_real df_hard_tanh_value(df_real x, const union df_params *p)
{
    return df_clip_value(x, p);
}

DF_FN df_real df_hard_tanh_gradient(df_real dy, df_real saved, const union df_params *p)
{
    return df_clip_gradient(dy, saved, p);
}

/* The standard normal distribution: below, the share of it under x, and its density at x. |x| <= 40; relative
 * errors of a few ulp on both sides.
 * Math     below(-a) = exp(-a^2 / 2) R(a) for a >= 0, R(a) = t times a polynomial in t = 1 / (1 + 0.3 a),
 *          fitted to within 4e-9 up to a = 14.6, from where on everything is 0. What a^2 loses by rounding is
 *          put back. */
struct df_normal {
    df_real below, density;
};
DF_FN struct df_normal df_normal_at(df_real x)
{
    struct df_normal normal;
#ifdef DF_REAL_IS_DOUBLE
    normal.below = erfc(x * -0.70710678118654752440) / 2;
    normal.density = exp(x * x / -2) * 0.39894228040143267794;
#else
    const float a = x < 0 ? -x : x, square = a * a, lost = fmaf(a, a, -square);
    const float e = df_real_exp_negative(-0.5F * square) * fmaf(lost, -0.5F, 1);
    const float t = 1 / fmaf(a, 0.3F, 1);
    float sum = -0.020624965F;
    sum = fmaf(sum, t, 0.112444006F);
    sum = fmaf(sum, t, -0.22823403F);
    sum = fmaf(sum, t, 0.19181281F);
    sum = fmaf(sum, t, -0.07944797F);
    sum = fmaf(sum, t, 0.096170545F);
    sum = fmaf(sum, t, 0.07838469F);
    sum = fmaf(sum, t, 0.11023654F);
    sum = fmaf(sum, t, 0.11957167F);
    sum = fmaf(sum, t, 0.1196867F);
    const float tail = e * (sum * t);
    normal.below = x > 0 ? 1 - tail : tail;
    normal.density = e * 0.3989423F;
#endif
    return normal;
}

/* gelu   x below(x), a few ulp; derivative below(x) + x density(x). -0 below -40. */
DF_FN df_real df_gelu_value(df_real x, const union df_params *p)
{
    const df_real bounded = df_clipped(x, -40, 40);
    (void)p;
    return (x > 40 ? x : bounded) * df_normal_at(bounded).below;
}

DF_FN df_real df_gelu_gradient(df_real dy, df_real saved, const union df_params *p)
{
    const df_real x = df_clipped(saved, -40, 40);
    const struct df_normal normal = df_normal_at(x);
    (void)p;
    return dy * (normal.below + x * normal.density);
}

/* gelu_tanh   x (1 + tanh(u)) / 2 = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3); derivative s + x
 * s (1 - s) 2 u', s = sigmoid(2 u). -0 below -40. */
DF_FN df_real df_gelu_tanh_value(df_real x, const union df_params *p)
{
    const df_real bounded = df_clipped(x, -40, 40), square = bounded * bounded;
    const df_real twice = bounded * ((df_real)1.5957691216057308 + (df_real)0.07135481627159425 * square);
    return (x > 40 ? x : bounded) * df_sigmoid_value(twice, p);
}

DF_FN df_real df_gelu_tanh_gradient(df_real dy, df_real saved, const union df_params *p)
{
    const df_real x = df_clipped(saved, -40, 40), square = x * x, a = (df_real)1.5957691216057308;
    const df_real twice = x * (a + (df_real)0.07135481627159425 * square);
    const df_real slope = a + (df_real)0.21406444881478275 * square;
    const df_real e = df_real_exp_negative(twice < 0 ? twice : -twice), sum = 1 + e;
    /* s (1 - s) = e / (1 + e)^2 loses nothing where s is nearly 1. */
    return dy * (df_sigmoid_value(twice, p) + x * (e / (sum * sum)) * slope);
}

/* erf   |x| < 1: x times a polynomial of x^2; else 1 - 2 below(-sqrt(2) |x|) and the sign of x. Within 3 ulp.
 * Derivative 2 exp(-x^2) / sqrt(pi) = sqrt(8) density(sqrt(2) x). */
DF_FN df_real df_erf_value(df_real x, const union df_params *p)
{
    (void)p;
#ifdef DF_REAL_IS_DOUBLE
    return erf(x);
#else
    const float size = x < 0 ? -x : x, square = x * x;
    const float outer = 1 - 2 * df_normal_at(df_clipped(size, 0, 20) * -1.41421356F).below;
    float sum = 7.853858e-5F;
    sum = fmaf(sum, square, -8.010193e-4F);
    sum = fmaf(sum, square, 5.1883277e-3F);
    sum = fmaf(sum, square, -2.6853811e-2F);
    sum = fmaf(sum, square, 0.112835854F);
    sum = fmaf(sum, square, -0.37612626F);
    sum = fmaf(sum, square, 1.1283791F);
    const float far = x < 0 ? -outer : outer;
    return size < 1 ? x * sum : far;
#endif
}

DF_FN df_real df_erf_gradient(df_real dy, df_real saved, const union df_params *p)
{
    (void)p;
    return dy * ((df_real)2.8284271247461903 *
                 df_normal_at(df_clipped(saved, -20, 20) * (df_real)1.4142135623730951).density);
}

#define DF_ACTIVATION(stem, NODE, name, saved, onnx, numbers)                                                \
    DF_FN void df_##stem##_fwd_at(const struct df_io *io, int64_t row, int64_t col)                          \
    {                                                                                                        \
        const int64_t i = row * io->cols + col;                                                              \
        ((df_real *)io->out[0])[i] = df_##stem##_value(((const df_real *)io->in[0])[i], &io->p);             \
    }                                                                                                        \
    DF_FN void df_##stem##_bwd_at(const struct df_io *io, int64_t row, int64_t col)                          \
    {                                                                                                        \
        const int64_t i = row * io->cols + col, from = df_owner_row(io->in[2], row) * io->cols + col;        \
        ((df_real *)io->out[0])[i] = df_##stem##_gradient(((const df_real *)io->in[0])[i],                   \
                                                          ((const df_real *)io->in[1])[from], &io->p);       \
    }
#include "activations.def"

#endif
