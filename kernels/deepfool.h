/* SPDX-License-Identifier: Apache-2.0 */
/* DeepFool on slots: every piece of its arithmetic that is not a network's forward or backward.
 *
 * Math    Moosavi-Dezfooli, Fawzi, Frossard 2016 (arXiv:1511.04599), algorithm 2 and its p-norm form: the
 *         nearest of the linearised boundaries f_k = f_l has distance |f_k - f_l| / ||g_k||_q, g_k = grad
 *         (f_k - f_l); r += (distance + floor) dir_p(g). Margins in the pool's raw units measure r in those
 *         units: with x = raw * scale + offset the gradient and the step are multiplied by scale [D].
 * Shapes  S slots, D input size, K logits, J candidates. x0, x, r, best_g [S, D]; logits [S, K]; cand [S, J];
 *         state [S, DF_SLOT_INTS] i32 and number [S, DF_SLOT_NUMBERS] f64: the columns below.
 * Order   D-long sums: element j goes to accumulator j % 32, then a fixed tree (team.h). Sums, distances and
 *         steps are taken in double (products of floats are exact there) and rounded once when stored as
 *         real.
 * Ties    label: the lowest index; candidates: logit descending, index ascending; nearest boundary: the
 *         first.
 * Traps   a NaN never wins a comparison, so finiteness is tested by itself. pow is of class U: norms other
 *         than 1, 2 and infinity may differ by ulps between a CPU and a GPU. */
#ifndef DF_KERNELS_DEEPFOOL_H
#define DF_KERNELS_DEEPFOOL_H

#include <math.h>

#include "call.h"
#include "team.h"

/* Columns of state: a DFAL_SCORE_* or df_slot_status; own class; class behind the boundary, -1 none; steps
 * taken; bisection steps taken; class of the nearest boundary so far in this step, -1 none, and of a CROSSED
 * slot the class of x; projections made (sdf); steps since the last of them. */
enum {
    DF_SLOT_STATUS,
    DF_SLOT_LABEL,
    DF_SLOT_ADVERSARIAL,
    DF_SLOT_ITERATIONS,
    DF_SLOT_BISECTED,
    DF_SLOT_BEST,
    DF_SLOT_ROUND,
    DF_SLOT_STEPS,
    DF_SLOT_INTS
};
/* Columns of number: f_l - f_cand0 at x0; result, and until then the length of the way to the nearest point
 * of another class; nearest distance at x0; ||r||_p; the flip lies in (low, high] of the way to x0 + (1 +
 * overshoot) r; where on that way x stands; nearest distance and its ||g||_q in this step; the sample's row
 * in the pool (residency.h). */
enum {
    DF_SLOT_GAP,
    DF_SLOT_MARGIN,
    DF_SLOT_FIRST,
    DF_SLOT_NORM,
    DF_SLOT_LOW,
    DF_SLOT_HIGH,
    DF_SLOT_POINT,
    DF_SLOT_DISTANCE,
    DF_SLOT_LENGTH,
    DF_SLOT_ROW,
    DF_SLOT_NUMBERS
};
/* Final values of a slot's status: the numbers of DFAL_SCORE_* in dfal.h (host/score/deepfool_worker.c
 * asserts it). */
enum { DF_FINAL_OK, DF_FINAL_TIE, DF_FINAL_MAX_ITER, DF_FINAL_ZERO_GRAD, DF_FINAL_NONFINITE };

/* What is summed or maximised over the elements of a vector. */
enum df_term { DF_TERM_SQUARE, DF_TERM_ABS, DF_TERM_POWER };

/* One element in double: v, v * scale, (v - base), (v - base) / scale. */
DF_FN double df_element(const df_real *v, const df_real *base, const df_real *scale, int32_t divide,
                        int64_t j)
{
    double e = (double)v[j];
    if (base)
        e -= (double)base[j];
    if (scale)
        e = divide ? e / (double)scale[j] : e * (double)scale[j];
    return e;
}

DF_FN double df_term_of(enum df_term term, double e, double unit, double power)
{
    if (term == DF_TERM_SQUARE)
        return e * e;
    if (term == DF_TERM_ABS)
        return fabs(e);
    return pow(fabs(e) / unit, power);
}

/* Sum of a term over n elements. base, scale and term are known where this is inlined, so each loop is
 * plain. */
DF_FN double df_sum_inline(enum df_term term, const df_real *v, const df_real *base, const df_real *scale,
                           int32_t divide, int64_t n, double unit, double power)
{
    double own[DF_OWN] = {0};
    int64_t j = DF_LANE;
    for (; j - DF_LANE + DF_LANES <= n; j += DF_LANES)
        for (int32_t l = 0; l < DF_OWN; l++)
            own[l] += df_term_of(term, df_element(v, base, scale, divide, j + l), unit, power);
    const int64_t left = n - j < DF_OWN ? n - j : DF_OWN;
    for (int64_t l = 0; l < left; l++)
        own[l] += df_term_of(term, df_element(v, base, scale, divide, j + l), unit, power);
    return df_lanes_sum(own);
}

DF_FN double df_sum_of(enum df_term term, const df_real *v, const df_real *base, const df_real *scale,
                       int32_t divide, int64_t n, double unit, double power)
{
    if (base || divide)
        return df_sum_inline(term, v, base, scale, divide, n, unit, power);
    if (scale)
        return df_sum_inline(term, v, (const df_real *)0, scale, 0, n, unit, power);
    return df_sum_inline(term, v, (const df_real *)0, (const df_real *)0, 0, n, unit, power);
}

/* Largest absolute element; unspecified where one is NaN. */
DF_FN double df_max_abs(const df_real *v, const df_real *base, const df_real *scale, int32_t divide,
                        int64_t n)
{
    double largest = 0;
    DF_EACH(j, n) {
        double a = fabs(df_element(v, base, scale, divide, j));
        largest = a > largest ? a : largest;
    }
    return df_team_max(largest);
}

/* ||e||_p, p >= 1 or infinity, of the elements above; not finite where one of them is not. */
DF_FN double df_norm(const df_real *v, const df_real *base, const df_real *scale, int32_t divide, int64_t n,
                     double p)
{
    if (p == 2.0)
        return sqrt(df_sum_of(DF_TERM_SQUARE, v, base, scale, divide, n, 1, 1));
    double sum = df_sum_of(DF_TERM_ABS, v, base, scale, divide, n, 1, 1);
    if (p == 1.0 || !isfinite(sum) || sum == 0)
        return sum;
    double largest = df_max_abs(v, base, scale, divide, n);
    if (isinf(p))
        return largest;
    return largest * pow(df_sum_of(DF_TERM_POWER, v, base, scale, divide, n, largest, p), 1 / p);
}

/* Norms of the first `count` of DF_NORMS vectors behind each other, each as df_norm takes it. On a GPU the
 * loads of all of them are under way together: one after the other they would wait for memory. */
enum { DF_NORMS = 3 };
DF_FN void df_norms(double *length, const df_real *v, const df_real *scale, int64_t n, double p,
                    int32_t count)
{
    if (DF_TEAM == 1 || p != 2.0) {
        for (int32_t c = 0; c < count; c++)
            length[c] = df_norm(v + c * n, (const df_real *)0, scale, 0, n, p);
        return;
    }
    double own[DF_NORMS] = {0};
    int64_t at[DF_NORMS];
    for (int32_t c = 0; c < DF_NORMS; c++)
        at[c] = (c < count ? c : 0) * n;
    DF_EACH(j, n) {
        const double unit = scale ? (double)scale[j] : 1;
        for (int32_t c = 0; c < DF_NORMS; c++) {
            const double e = (double)v[at[c] + j] * unit;
            own[c] += e * e;
        }
    }
    for (int32_t c = 0; c < DF_NORMS; c++)
        length[c] = sqrt(df_lanes_sum(&own[c]));
}

/* The exponent dual to p: 1/p + 1/q = 1. */
DF_FN double df_dual(double p)
{
    if (p == 2.0)
        return 2;
    if (p == 1.0)
        return INFINITY;
    return isinf(p) ? 1 : p / (p - 1);
}

DF_FN int32_t df_all_finite(const df_real *v, int64_t n)
{
    /* finite - finite is 0, infinity and NaN give NaN: a sum without branches */
    df_real own[DF_OWN] = {0};
    int64_t j = DF_LANE;
    for (; j - DF_LANE + DF_LANES <= n; j += DF_LANES)
        for (int32_t l = 0; l < DF_OWN; l++)
            own[l] += v[j + l] - v[j + l];
    const int64_t left = n - j < DF_OWN ? n - j : DF_OWN;
    for (int64_t l = 0; l < left; l++)
        own[l] += v[j + l] - v[j + l];
    df_real sum = 0;
    for (int32_t l = 0; l < DF_OWN; l++)
        sum += own[l];
    return df_team_all(sum == 0);
}

/* The scalars of a FRESH slot. */
DF_FN void df_slot_begin(int32_t *state, double *number)
{
    for (int32_t c = 0; c < DF_SLOT_INTS; c++)
        state[c] = 0;
    for (int32_t c = 0; c < DF_SLOT_NUMBERS; c++)
        number[c] = 0; /* point 0: x is x0 itself */
    state[DF_SLOT_STATUS] = DF_SLOT_FRESH;
    state[DF_SLOT_LABEL] = state[DF_SLOT_ADVERSARIAL] = state[DF_SLOT_BEST] = -1;
    number[DF_SLOT_FIRST] = INFINITY;
}

/* deepfool_move: items are pairs (from, to); the slot `from` becomes EMPTY, unless it is `to`. No slot stands
 * in two pairs.
 *   out x0+ r+ state+ number+ cand+ nearest+ (sdf, or absent)   in pairs [rows, 2] i32 */
DF_FN void df_deepfool_move_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int64_t from = ((const int32_t *)io->in[0])[2 * i], to = ((const int32_t *)io->in[0])[2 * i + 1];
    const int64_t n = p->size;
    df_real *x0 = (df_real *)io->out[0], *r = (df_real *)io->out[1], *nearest = (df_real *)io->out[5];
    int32_t *state = (int32_t *)io->out[2], *cand = (int32_t *)io->out[4];
    double *number = (double *)io->out[3];
    if (from == to)
        return;
    DF_EACH(j, n) {
        x0[to * n + j] = x0[from * n + j];
        r[to * n + j] = r[from * n + j];
    }
    if (nearest) {
        DF_EACH(j, n)
            nearest[to * n + j] = nearest[from * n + j];
    }
    DF_EACH(c, p->candidates)
        cand[to * p->candidates + c] = cand[from * p->candidates + c];
    if (!DF_ONE)
        return;
    for (int32_t c = 0; c < DF_SLOT_INTS; c++)
        state[to * DF_SLOT_INTS + c] = state[from * DF_SLOT_INTS + c];
    for (int32_t c = 0; c < DF_SLOT_NUMBERS; c++)
        number[to * DF_SLOT_NUMBERS + c] = number[from * DF_SLOT_NUMBERS + c];
    state[from * DF_SLOT_INTS + DF_SLOT_STATUS] = DF_SLOT_EMPTY;
}

/* deepfool_iterate: x = x0 + point (1 + overshoot) r; with plain set (paper) x = x0 + r. Point is 0 for
 * FRESH, 1 for ACTIVE, between for a bisection. In a box (foolbox) the far end is clipped first and x lies
 * between x0 and it.
 *   out x   in x0 r number [rows, DF_SLOT_NUMBERS], scale low high [D] or absent */
DF_FN void df_deepfool_iterate_at(const struct df_io *io, int64_t row, int64_t col)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int64_t at = row * io->cols + col;
    const df_real *scale = (const df_real *)io->in[3], *low = (const df_real *)io->in[4],
                  *high = (const df_real *)io->in[5];
    const double point = p->plain ? 1 : ((const double *)io->in[2])[row * DF_SLOT_NUMBERS + DF_SLOT_POINT];
    const double reach = p->plain ? 1 : 1 + p->overshoot;
    const double start = (double)((const df_real *)io->in[0])[at];
    double step = (double)((const df_real *)io->in[1])[at];
    if (scale)
        step *= (double)scale[col];
    df_real x;
    if (low) {
        df_real end = (df_real)(start + reach * step);
        end = end < low[col] ? low[col] : end;
        end = end > high[col] ? high[col] : end;
        x = point == 1 ? end : (df_real)(start + point * ((double)end - start));
    } else {
        x = (df_real)(start + (point * reach) * step);
    }
    ((df_real *)io->out[0])[at] = x;
}

/* Order the candidates: after the own class, logit descending, index ascending. Returns the first. */
DF_FN int32_t df_candidates_fill(int32_t *cand, int32_t count, const df_real *f, int32_t classes, int32_t own)
{
    int32_t first = -1, before = own;
    for (int32_t c = 0; c < count; c++) {
        int32_t next = -1;
        DF_EACH(k, classes) {
            int32_t later = f[k] < f[before] || (f[k] == f[before] && k > before);
            if (later && (next < 0 || f[k] > f[next]))
                next = (int32_t)k;
        }
        next = df_team_best(f, next);
        if (DF_ONE)
            cand[c] = next;
        if (c == 0)
            first = next;
        before = next;
    }
    return first;
}

/* Length of the way x0 -> x when x is the far end. */
DF_FN double df_deepfool_length(const struct df_deepfool_params *p, const double *number, const df_real *x0,
                                const df_real *x, const df_real *scale)
{
    double length =
        p->clip ? df_norm(x, x0, scale, 1, p->size, p->p) : (1 + p->overshoot) * number[DF_SLOT_NORM];
    return length;
}

DF_FN double df_deepfool_margin(const struct df_deepfool_params *p, double length)
{
    return p->squared ? length * length : length;
}

/* What the team has found out about a slot's logits. */
struct df_deepfool_seen {
    int32_t status;  /* before */
    int32_t finite;  /* logits and, at first, the input */
    int32_t label;   /* the class of x */
    int32_t nearest; /* FRESH: the first candidate */
    double length;   /* df_deepfool_length where the walk ends here, else 0 */
    /* sdf */
    int32_t crossed; /* x is of another class */
    int32_t nearer;  /* and nearer than all such points before it */
    int32_t ended;   /* the rounds end with the nearest of them */
};

/* A look at a sample of rounds (sdf). Each is a walk until the class changes and then a projection. They end
 * where a projection is of another class itself, or where nothing leads on once such a point is known: rounds
 * or steps used up, logits that are not finite. The first walk ends as that of any preset. */
DF_FN void df_deepfool_look_round(const struct df_deepfool_params *p, struct df_deepfool_seen *seen,
                                  const int32_t *state, const double *number)
{
    const int32_t round = state[DF_SLOT_ROUND], steps = state[DF_SLOT_STEPS];
    seen->crossed = seen->finite && seen->label != state[DF_SLOT_LABEL];
    seen->nearer = seen->crossed && (round == 0 || seen->length < number[DF_SLOT_MARGIN]);
    seen->ended = round > 0 && (!seen->finite || round >= p->rounds ||
                                (seen->crossed ? steps == 0 : steps >= p->max_iter));
}

/* The end of the way, x0 + (1 + overshoot) r, is of another class: bisect on it, or be done. */
DF_FN void df_deepfool_arrive(const struct df_deepfool_params *p, int32_t *state, double *number)
{
    if (p->refine > 0) {
        state[DF_SLOT_STATUS] = DF_SLOT_REFINING;
        number[DF_SLOT_LOW] = 0;
        number[DF_SLOT_HIGH] = 1;
        number[DF_SLOT_POINT] = 0.5;
    } else {
        state[DF_SLOT_STATUS] = DF_FINAL_OK;
        number[DF_SLOT_MARGIN] = df_deepfool_margin(p, number[DF_SLOT_MARGIN]);
    }
}

/* Decide on what was seen: one lane's work. f, state, number: of the slot. */
DF_FN void df_deepfool_decide(const struct df_deepfool_params *p, const struct df_deepfool_seen *seen,
                              const df_real *f, int32_t *state, double *number)
{
    const int32_t now = seen->label;
    if (!seen->finite && state[DF_SLOT_ROUND] == 0) {
        state[DF_SLOT_STATUS] = DF_FINAL_NONFINITE;
        state[DF_SLOT_ADVERSARIAL] = -1;
        number[DF_SLOT_MARGIN] = INFINITY;
        if (seen->status == DF_SLOT_FRESH)
            number[DF_SLOT_GAP] = INFINITY;
        else
            state[DF_SLOT_LABEL] = -1;
        return;
    }
    if (seen->status == DF_SLOT_FRESH) {
        const int32_t nearest = seen->nearest;
        state[DF_SLOT_LABEL] = now;
        state[DF_SLOT_STATUS] = DF_SLOT_ACTIVE;
        number[DF_SLOT_GAP] = (double)f[now] - (double)f[nearest];
        number[DF_SLOT_POINT] = 1;
        if (f[now] == f[nearest]) {
            state[DF_SLOT_STATUS] = DF_FINAL_TIE;
            state[DF_SLOT_ADVERSARIAL] = nearest;
            number[DF_SLOT_FIRST] = 0;
            return;
        }
    }
    if (seen->status == DF_SLOT_REFINING) {
        if (!seen->finite || now == state[DF_SLOT_LABEL]) {
            number[DF_SLOT_LOW] = number[DF_SLOT_POINT];
        } else {
            number[DF_SLOT_HIGH] = number[DF_SLOT_POINT];
            state[DF_SLOT_ADVERSARIAL] = now;
        }
        if (++state[DF_SLOT_BISECTED] < p->refine) {
            number[DF_SLOT_POINT] = 0.5 * (number[DF_SLOT_LOW] + number[DF_SLOT_HIGH]);
        } else {
            number[DF_SLOT_POINT] = number[DF_SLOT_HIGH];
            number[DF_SLOT_MARGIN] = df_deepfool_margin(p, number[DF_SLOT_HIGH] * number[DF_SLOT_MARGIN]);
            state[DF_SLOT_STATUS] = DF_FINAL_OK;
        }
        return;
    }
    if (seen->nearer) {
        state[DF_SLOT_ADVERSARIAL] = now;
        number[DF_SLOT_MARGIN] = seen->length;
    }
    if (seen->ended) {
        df_deepfool_arrive(p, state, number);
        return;
    }
    if (seen->crossed) {
        state[DF_SLOT_STATUS] = DF_SLOT_CROSSED;
        state[DF_SLOT_BEST] = now;
        return;
    }
    if (now == state[DF_SLOT_LABEL]) {
        if (state[DF_SLOT_STEPS] < p->max_iter)
            return;
        state[DF_SLOT_STATUS] = DF_FINAL_MAX_ITER;
        number[DF_SLOT_MARGIN] = p->fail_inf ? INFINITY : df_deepfool_margin(p, seen->length);
        return;
    }
    state[DF_SLOT_ADVERSARIAL] = now;
    number[DF_SLOT_MARGIN] = seen->length;
    df_deepfool_arrive(p, state, number);
}

/* deepfool_observe: look at the logits of x and decide. FRESH, ACTIVE and REFINING slots only. With rounds
 * (sdf) nearest [rows, D] keeps the r of the nearest point of another class, and r goes back to it at the
 * end.
 *   out state+ number+ cand+, r+ nearest+ (sdf, or absent)   in logits x0 x [rows, ...], scale [D] or
 *   absent */
DF_FN void df_deepfool_observe_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    int32_t *state = (int32_t *)io->out[0] + i * DF_SLOT_INTS;
    double *number = (double *)io->out[1] + i * DF_SLOT_NUMBERS;
    int32_t *cand = (int32_t *)io->out[2] + i * p->candidates;
    const df_real *f = (const df_real *)io->in[0] + i * p->classes;
    const df_real *x0 = (const df_real *)io->in[1] + i * p->size;
    const df_real *x = (const df_real *)io->in[2] + i * p->size;
    struct df_deepfool_seen seen = {state[DF_SLOT_STATUS], 0, -1, -1, 0, 0, 0, 0};
    const int32_t fresh = seen.status == DF_SLOT_FRESH, refining = seen.status == DF_SLOT_REFINING;
    if (!fresh && !refining && seen.status != DF_SLOT_ACTIVE)
        return;
    seen.finite = df_all_finite(f, p->classes) && (!fresh || df_all_finite(x0, p->size));
    if (seen.finite) {
        seen.label = df_arg_max(f, p->classes);
        if (fresh)
            seen.nearest = df_candidates_fill(cand, p->candidates, f, p->classes, seen.label);
        const int32_t flipped = !fresh && seen.label != state[DF_SLOT_LABEL];
        if (!refining && (flipped || state[DF_SLOT_ITERATIONS] >= p->max_iter))
            seen.length = df_deepfool_length(p, number, x0, x, (const df_real *)io->in[3]);
    }
    if (p->rounds > 0 && !fresh && !refining)
        df_deepfool_look_round(p, &seen, state, number);
    DF_SYNC();
    if (DF_ONE)
        df_deepfool_decide(p, &seen, f, state, number);
    if (seen.nearer == seen.ended) /* r is the nearest point that is kept, or no point at all */
        return;
    df_real *r = (df_real *)io->out[3] + i * p->size, *nearest = (df_real *)io->out[4] + i * p->size;
    df_real *to = seen.nearer ? nearest : r;
    const df_real *from = seen.nearer ? r : nearest;
    DF_EACH(j, p->size)
        to[j] = from[j];
}

/* deepfool_cotangent: items are cotangent rows; row i belongs to slot slots[i / count], candidate first + i %
 * count, and holds e_k - e_l; first -1: k is the class of a CROSSED slot's x.
 *   out dlogits [rows, K], owner [rows] i32   in slots i32, state, cand */
DF_FN void df_deepfool_cotangent_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int32_t slot = ((const int32_t *)io->in[0])[i / p->count];
    const int32_t *state = (const int32_t *)io->in[1] + (int64_t)slot * DF_SLOT_INTS;
    const int32_t *cand = (const int32_t *)io->in[2] + (int64_t)slot * p->candidates;
    const int32_t own = state[DF_SLOT_LABEL];
    const int32_t other = p->first < 0 ? state[DF_SLOT_BEST] : cand[p->first + (int32_t)(i % p->count)];
    df_real *dlogits = (df_real *)io->out[0] + i * p->classes;
    DF_EACH(k, p->classes)
        dlogits[k] = (df_real)((k == other) - (k == own));
    if (DF_ONE)
        ((int32_t *)io->out[1])[i] = slot;
}

/* deepfool_choose: items are the slots of a group; slot slots[i] owns rows [i count, (i + 1) count) of g,
 * candidates [first, first + count). The nearest boundary so far is kept; first = 0 begins anew.
 *   out state+ number+ best_g+   in g [rows count, D], logits, slots i32, cand, scale [D] or absent */
DF_FN void df_deepfool_choose_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int64_t slot = ((const int32_t *)io->in[2])[i], n = p->size;
    int32_t *state = (int32_t *)io->out[0] + slot * DF_SLOT_INTS;
    double *number = (double *)io->out[1] + slot * DF_SLOT_NUMBERS;
    const df_real *g = (const df_real *)io->in[0] + i * p->count * n;
    const df_real *f = (const df_real *)io->in[1] + slot * p->classes;
    const int32_t *cand = (const int32_t *)io->in[3] + slot * p->candidates + p->first;
    const df_real *scale = (const df_real *)io->in[4];
    const double q = df_dual(p->p), own = (double)f[state[DF_SLOT_LABEL]];
    double nearest = p->first == 0 ? INFINITY : number[DF_SLOT_DISTANCE], across = 0;
    int32_t best = -1;
    for (int32_t first = 0; first < p->count; first += DF_NORMS) {
        const int32_t left = p->count - first, count = left < DF_NORMS ? left : (int32_t)DF_NORMS;
        double length[DF_NORMS];
        df_norms(length, g + first * n, scale, n, q, count);
        for (int32_t c = 0; c < count; c++) {
            if (!isfinite(length[c]) || length[c] == 0)
                continue;
            const double distance = fabs((double)f[cand[first + c]] - own) / length[c];
            if (distance < nearest) {
                best = first + c;
                nearest = distance;
                across = length[c];
            }
        }
    }
    DF_SYNC();
    if (DF_ONE && (p->first == 0 || best >= 0)) {
        state[DF_SLOT_BEST] = best >= 0 ? cand[best] : -1;
        number[DF_SLOT_DISTANCE] = nearest;
        if (best >= 0)
            number[DF_SLOT_LENGTH] = across;
    }
    if (best < 0)
        return;
    df_real *kept = (df_real *)io->out[2] + slot * n;
    DF_EACH(j, n)
        kept[j] = g[best * n + j];
}

/* r += step dir_p(g), g scaled; length = ||g||_q, see docs/NUMERICS.md "dir". */
DF_FN void df_deepfool_advance(df_real *r, const df_real *g, const df_real *scale, int64_t n, double p,
                               double step, double length)
{
    if (p == 2.0) {
        const double factor = step / length;
        if (scale) {
            DF_EACH(j, n)
                r[j] = (df_real)((double)r[j] + factor * ((double)g[j] * (double)scale[j]));
        } else {
            DF_EACH(j, n)
                r[j] = (df_real)((double)r[j] + factor * (double)g[j]);
        }
        return;
    }
    if (p == 1.0) {
        int64_t first = n; /* element of the largest size that this lane finds */
        double move = 0;
        DF_EACH(j, n) {
            double e = df_element(g, (const df_real *)0, scale, 0, j);
            if (fabs(e) == length) {
                first = j;
                move = e > 0 ? step : -step;
                break;
            }
        }
        if (df_team_min(first) == first && first < n)
            r[first] = (df_real)((double)r[first] + move);
        return;
    }
    const double power = isinf(p) ? 0 : df_dual(p) - 1;
    DF_EACH(j, n) {
        double e = df_element(g, (const df_real *)0, scale, 0, j);
        double size = e == 0 ? 0 : isinf(p) ? 1 : pow(fabs(e) / length, power);
        r[j] = (df_real)((double)r[j] + (e < 0 ? -step : step) * size);
    }
}

/* deepfool_step: items are slots; one step towards the nearest boundary, or ZERO_GRAD where there is none. In
 * a later round a point of another class is known: none ends the rounds, as if the steps were used up.
 *   out state+ number+ r+   in slots [rows] i32, best_g, scale [D] or absent */
DF_FN void df_deepfool_step_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int64_t slot = ((const int32_t *)io->in[0])[i], n = p->size;
    int32_t *state = (int32_t *)io->out[0] + slot * DF_SLOT_INTS;
    double *number = (double *)io->out[1] + slot * DF_SLOT_NUMBERS;
    df_real *r = (df_real *)io->out[2] + slot * n;
    const double distance = number[DF_SLOT_DISTANCE];
    const int32_t found = state[DF_SLOT_BEST] >= 0;
    double norm = 0;
    if (found) {
        df_deepfool_advance(r, (const df_real *)io->in[1] + slot * n, (const df_real *)io->in[2], n, p->p,
                            distance + p->floor, number[DF_SLOT_LENGTH]);
        DF_SYNC();
        norm = df_norm(r, (const df_real *)0, (const df_real *)0, 0, n, p->p);
    }
    DF_SYNC();
    if (!DF_ONE)
        return;
    if (!found && state[DF_SLOT_ROUND] > 0) {
        state[DF_SLOT_STEPS] = p->max_iter;
        return;
    }
    if (!found) {
        state[DF_SLOT_STATUS] = DF_FINAL_ZERO_GRAD;
        number[DF_SLOT_MARGIN] = INFINITY;
        return;
    }
    if (state[DF_SLOT_ITERATIONS]++ == 0)
        number[DF_SLOT_FIRST] = distance;
    state[DF_SLOT_STEPS]++;
    number[DF_SLOT_NORM] = norm;
}

#endif
