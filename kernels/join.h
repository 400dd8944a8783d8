/* SPDX-License-Identifier: Apache-2.0 */
/* y = a op b with broadcasting, and its gradients: df_<op>_at(io, i) computes one plane.
 *
 * Math     ADD a + b   SUB a - b   MUL a b   DIV a / b
 * Shapes   y [rows, C, H, W] = p.join.extent; a [rows, a_size], where (c, h, w) reads c a_stride[0] + h
 *          a_stride[1] + w a_stride[2]: C-order strides, 0 along what the operand has only one of; b alike.
 * Order    a gradient sums over what was broadcast, in double, rounded once: channels ascend, in each the
 *          heights. Where the width is not summed, that is all. Where it is, term e of a channel, counted in
 *          ascending index, goes to sum e % 8, and the eight are added pairwise at the end. A single term is
 *          not added to anything.
 * Alias    y may be a or b where that operand is not broadcast; dx must overlap nothing.
 * Class    E: products of floats are exact in double, and every order is fixed. */
#ifndef DF_KERNELS_JOIN_H
#define DF_KERNELS_JOIN_H

#include "call.h"
#include "pointwise.h"
#include "team.h"

enum { DF_JOIN_SUMS = 8, DF_JOIN_BLOCK = 64 };

/* Planes of an operand's gradient in a row: its channels. operand 0: a, 1: b. */
DF_FN int64_t df_join_items(const struct df_join_params *p, int operand)
{
    return (operand == 0 ? p->a_stride : p->b_stride)[0] != 0 ? p->extent[0] : 1;
}

/* Is an operand's plane one run of H W values, or one value? Runs of a whole plane are then as good as
 * rows. */
DF_FN int df_join_flat(const struct df_join_params *p, const int64_t *stride)
{
    const int64_t height = p->extent[1], width = p->extent[2];
    const int run = (stride[2] == 1 || width == 1) && (stride[1] == width || height == 1);
    return run || ((stride[2] == 0 || width == 1) && (stride[1] == 0 || height == 1));
}

/* Does an operand advance along a run of `width` values, `height` of them flattened into one? */
DF_FN int df_join_moves(const struct df_join_params *p, const int64_t *stride, int flat)
{
    return (p->extent[2] > 1 && stride[2] != 0) || (flat && p->extent[1] > 1 && stride[1] != 0);
}

DF_FN df_real df_join_value(int kind, df_real a, df_real b)
{
    return kind == DF_JOIN_ADD ? a + b : kind == DF_JOIN_SUB ? a - b : kind == DF_JOIN_MUL ? a * b : a / b;
}

/* kind, a_step and b_step are constants where it is called: each a loop of its own. */
DF_FN void df_join_run(df_real *y, const df_real *a, const df_real *b, int64_t count, const int kind,
                       const int a_step, const int b_step)
{
    DF_EACH(j, count)
        y[j] = df_join_value(kind, a[j * a_step], b[j * b_step]);
}

DF_FN void df_join_run_steps(df_real *y, const df_real *a, const df_real *b, int64_t count, const int kind,
                             int a_moves, int b_moves)
{
    if (a_moves && b_moves)
        df_join_run(y, a, b, count, kind, 1, 1);
    else if (a_moves)
        df_join_run(y, a, b, count, kind, 1, 0);
    else if (b_moves)
        df_join_run(y, a, b, count, kind, 0, 1);
    else
        df_join_run(y, a, b, count, kind, 0, 0);
}

DF_FN void df_join_run_kind(df_real *y, const df_real *a, const df_real *b, int64_t count, int kind,
                            int a_moves, int b_moves)
{
    switch (kind) {
    case DF_JOIN_ADD:
        df_join_run_steps(y, a, b, count, DF_JOIN_ADD, a_moves, b_moves);
        return;
    case DF_JOIN_SUB:
        df_join_run_steps(y, a, b, count, DF_JOIN_SUB, a_moves, b_moves);
        return;
    case DF_JOIN_MUL:
        df_join_run_steps(y, a, b, count, DF_JOIN_MUL, a_moves, b_moves);
        return;
    default:
        df_join_run_steps(y, a, b, count, DF_JOIN_DIV, a_moves, b_moves);
    }
}

/* join_fwd   ITEM = plane row * C + c of y, io->rows = rows * C */
DF_FN void df_join_fwd_at(const struct df_io *io, int64_t i)
{
    const struct df_join_params *p = &io->p.join;
    const int64_t row = i / p->extent[0], c = i % p->extent[0];
    const int flat = df_join_flat(p, p->a_stride) && df_join_flat(p, p->b_stride);
    const int a_moves = df_join_moves(p, p->a_stride, flat), b_moves = df_join_moves(p, p->b_stride, flat);
    const int64_t plane = p->extent[1] * p->extent[2];
    const int64_t height = flat ? 1 : p->extent[1], width = flat ? plane : p->extent[2];
    df_real *y = (df_real *)io->out[0] + i * plane;
    const df_real *a = (const df_real *)io->in[0] + row * p->a_size + c * p->a_stride[0];
    const df_real *b = (const df_real *)io->in[1] + row * p->b_size + c * p->b_stride[0];
    for (int64_t h = 0; h < height; h++)
        df_join_run_kind(y + h * width, a + h * p->a_stride[1], b + h * p->b_stride[1], width, p->kind,
                         a_moves, b_moves);
}

/* What a gradient's term is, from dy and the values p and q. */
enum df_join_term {
    DF_JOIN_PLUS,    /* dy: ADD, and SUB towards a */
    DF_JOIN_MINUS,   /* -dy: SUB towards b */
    DF_JOIN_TIMES,   /* dy p, p the other operand: MUL */
    DF_JOIN_OVER,    /* dy / p, p = b: DIV towards a */
    DF_JOIN_QUOTIENT /* -(dy q) / (p p), p = b, q = a: DIV towards b */
};

DF_FN int df_join_term_of(const struct df_join_params *p)
{
    switch (p->kind) {
    case DF_JOIN_ADD:
        return DF_JOIN_PLUS;
    case DF_JOIN_SUB:
        return p->towards == 0 ? DF_JOIN_PLUS : DF_JOIN_MINUS;
    case DF_JOIN_MUL:
        return DF_JOIN_TIMES;
    default:
        return p->towards == 0 ? DF_JOIN_OVER : DF_JOIN_QUOTIENT;
    }
}

DF_FN double df_join_slope(const int term, df_real dy, df_real p, df_real q)
{
    const double d = (double)dy, other = (double)p;
    return term == DF_JOIN_PLUS    ? d
           : term == DF_JOIN_MINUS ? -d
           : term == DF_JOIN_TIMES ? d * other
           : term == DF_JOIN_OVER  ? d / other
                                   : -(d * (double)q) / (other * other);
}

/* A term that stands alone: the slope rounded, without the way through double where that gives the same
 * bits. */
DF_FN df_real df_join_single(const int term, df_real dy, df_real p, df_real q)
{
    return term == DF_JOIN_TIMES  ? dy * p
           : term == DF_JOIN_OVER ? dy / p
                                  : (df_real)df_join_slope(term, dy, p, q);
}

/* Columns of terms: dy advances, p and q where their step is 1. */
struct df_join_terms {
    const df_real *dy, *p, *q;
    int64_t p_step, q_step;
};

DF_FN struct df_join_terms df_join_skip(struct df_join_terms t, int64_t count)
{
    t.dy += count;
    t.p += count * t.p_step;
    t.q += count * t.q_step;
    return t;
}

/* term and the steps are constants where it is called: dx[j] = term j alone (sums NULL), or sums[j] += term
 * j. */
DF_FN void df_join_columns(df_real *dx, double *sums, struct df_join_terms t, int64_t count, const int term,
                           const int p_step, const int q_step)
{
    if (sums == NULL)
        DF_EACH(j, count)
            dx[j] = df_join_single(term, t.dy[j], t.p[j * p_step], t.q[j * q_step]);
    else
        for (int64_t j = 0; j < count; j++)
            sums[j] += df_join_slope(term, t.dy[j], t.p[j * p_step], t.q[j * q_step]);
}

/* Term j to sums[j % 8]; count is a multiple of 8. */
DF_FN void df_join_eights(double *sums, struct df_join_terms t, int64_t count, const int term,
                          const int p_step, const int q_step)
{
    double sum[DF_JOIN_SUMS];
    for (int k = 0; k < DF_JOIN_SUMS; k++)
        sum[k] = sums[k];
    for (int64_t j = 0; j < count; j += DF_JOIN_SUMS)
        for (int k = 0; k < DF_JOIN_SUMS; k++)
            sum[k] += df_join_slope(term, t.dy[j + k], t.p[(j + k) * p_step], t.q[(j + k) * q_step]);
    for (int k = 0; k < DF_JOIN_SUMS; k++)
        sums[k] = sum[k];
}

DF_FN void df_join_steps(df_real *dx, double *sums, struct df_join_terms t, int64_t count, int eights,
                         const int term, const int p_step, const int q_step)
{
    if (eights)
        df_join_eights(sums, t, count, term, p_step, q_step);
    else
        df_join_columns(dx, sums, t, count, term, p_step, q_step);
}

DF_FN void df_join_terms_run(df_real *dx, double *sums, struct df_join_terms t, int64_t count, int eights,
                             int term)
{
    switch (term) {
    case DF_JOIN_PLUS:
        df_join_steps(dx, sums, t, count, eights, DF_JOIN_PLUS, 0, 0);
        return;
    case DF_JOIN_MINUS:
        df_join_steps(dx, sums, t, count, eights, DF_JOIN_MINUS, 0, 0);
        return;
    case DF_JOIN_TIMES:
        if (t.p_step)
            df_join_steps(dx, sums, t, count, eights, DF_JOIN_TIMES, 1, 0);
        else
            df_join_steps(dx, sums, t, count, eights, DF_JOIN_TIMES, 0, 0);
        return;
    case DF_JOIN_OVER:
        if (t.p_step)
            df_join_steps(dx, sums, t, count, eights, DF_JOIN_OVER, 1, 0);
        else
            df_join_steps(dx, sums, t, count, eights, DF_JOIN_OVER, 0, 0);
        return;
    default:
        df_join_steps(dx, sums, t, count, eights, DF_JOIN_QUOTIENT, (int)t.p_step, (int)t.q_step);
    }
}

/* Terms first, first + 1, ... of a sum over a width: term e to sums[e % 8]. */
DF_FN void df_join_across(double *sums, struct df_join_terms t, int64_t first, int64_t count, int term)
{
    const int64_t lead = (DF_JOIN_SUMS - first % DF_JOIN_SUMS) % DF_JOIN_SUMS,
                  head = lead < count ? lead : count;
    const int64_t body = (count - head) / DF_JOIN_SUMS * DF_JOIN_SUMS;
    if (head > 0)
        df_join_terms_run(NULL, sums + first % DF_JOIN_SUMS, t, head, 0, term);
    t = df_join_skip(t, head);
    if (body > 0)
        df_join_terms_run(NULL, sums, t, body, 1, term);
    t = df_join_skip(t, body);
    df_join_terms_run(NULL, sums, t, count - head - body, 0, term);
}

/* One operand's values as a gradient reads them. */
struct df_join_side {
    const df_real *values; /* of the sample */
    const int64_t *stride;
};

/* All that a plane of the gradient needs. */
struct df_join_walk {
    const df_real *dy; /* of the row */
    struct df_join_side p, q;
    int64_t height, width; /* 1 and H W where the plane may be taken as one run */
    int term, p_step, q_step;
};

DF_FN struct df_join_terms df_join_terms_at(const struct df_join_walk *k, int64_t c, int64_t h, int64_t w)
{
    struct df_join_terms t;
    t.dy = k->dy + (c * k->height + h) * k->width + w;
    t.p = k->p.values == NULL ? t.dy : k->p.values + c * k->p.stride[0] + h * k->p.stride[1] + w * k->p_step;
    t.q = k->q.values == NULL ? t.dy : k->q.values + c * k->q.stride[0] + h * k->q.stride[1] + w * k->q_step;
    t.p_step = k->p_step;
    t.q_step = k->q_step;
    return t;
}

/* Which operands the terms read, and the sample whose values they are. */
DF_FN struct df_join_walk df_join_walk_of(const struct df_io *io, int64_t row, const int64_t *own)
{
    const struct df_join_params *p = &io->p.join;
    const int64_t source = df_owner_row(io->in[3], row);
    const struct df_join_side none = {NULL, NULL};
    struct df_join_side a = {(const df_real *)io->in[1], p->a_stride},
                        b = {(const df_real *)io->in[2], p->b_stride};
    struct df_join_walk k;
    if (a.values != NULL)
        a.values += source * p->a_size;
    if (b.values != NULL)
        b.values += source * p->b_size;
    k.dy = (const df_real *)io->in[0] + row * p->extent[0] * p->extent[1] * p->extent[2];
    k.term = df_join_term_of(p);
    k.p = k.term < DF_JOIN_TIMES ? none : k.term == DF_JOIN_TIMES && p->towards == 1 ? a : b;
    k.q = k.term == DF_JOIN_QUOTIENT ? a : none;
    const int flat = df_join_flat(p, own) && (k.p.values == NULL || df_join_flat(p, k.p.stride)) &&
                     (k.q.values == NULL || df_join_flat(p, k.q.stride));
    k.p_step = k.p.values != NULL && df_join_moves(p, k.p.stride, flat);
    k.q_step = k.q.values != NULL && df_join_moves(p, k.q.stride, flat);
    k.height = flat ? 1 : p->extent[1];
    k.width = flat ? p->extent[1] * p->extent[2] : p->extent[2];
    return k;
}

/* A lane's part of the terms of channels [c0, c1) and rows [h0, h1): columns w0, w0 + by, ..., where w0 moves
 * back by `turn` from row to row, modulo by. In ascending index. */
DF_FN double df_join_part(const struct df_join_walk *k, int64_t c0, int64_t c1, int64_t h0, int64_t h1,
                          int64_t w0, int64_t by, int64_t turn)
{
    double sum = 0;
    for (int64_t c = c0; c < c1; c++) {
        int64_t first = w0;
        for (int64_t h = h0; h < h1; h++) {
            const struct df_join_terms t = df_join_terms_at(k, c, h, 0);
            for (int64_t w = first; w < k->width; w += by)
                sum += df_join_slope(k->term, t.dy[w], t.p[w * t.p_step], t.q[w * t.q_step]);
            first = first < turn ? first - turn + by : first - turn;
        }
    }
    return sum;
}

/* The sum over channels [c0, c1), rows [h0, h1) and the width. */
DF_FN df_real df_join_total(const struct df_join_walk *k, int64_t c0, int64_t c1, int64_t h0, int64_t h1)
{
    if (DF_TEAM > 1) { /* lane l has sum l */
        const double own = DF_LANE < DF_JOIN_SUMS ? df_join_part(k, c0, c1, h0, h1, DF_LANE, DF_JOIN_SUMS,
                                                                 k->width % DF_JOIN_SUMS)
                                                  : 0;
        return (df_real)df_team_pairs(own, DF_JOIN_SUMS);
    }
    double s[DF_JOIN_SUMS] = {0};
    for (int64_t c = c0; c < c1; c++)
        for (int64_t h = h0; h < h1; h++)
            df_join_across(s, df_join_terms_at(k, c, h, 0), (h - h0) * k->width, k->width, k->term);
    return (df_real)(((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])));
}

/* The sums over channels [c0, c1) and rows [h0, h1) of up to DF_JOIN_BLOCK columns from w on. */
DF_FN void df_join_block(df_real *dx, const struct df_join_walk *k, int64_t c0, int64_t c1, int64_t h0,
                         int64_t h1, int64_t w)
{
    if (DF_TEAM > 1) { /* a lane has whole columns */
        for (int64_t j = w + DF_LANE; j < w + DF_JOIN_BLOCK && j < k->width; j += DF_TEAM)
            dx[j - w] = (df_real)df_join_part(k, c0, c1, h0, h1, j, k->width, 0);
        return;
    }
    const int64_t left = k->width - w, count = left < DF_JOIN_BLOCK ? left : (int64_t)DF_JOIN_BLOCK;
    double sums[DF_JOIN_BLOCK] = {0};
    for (int64_t c = c0; c < c1; c++)
        for (int64_t h = h0; h < h1; h++)
            df_join_terms_run(NULL, sums, df_join_terms_at(k, c, h, w), count, 0, k->term);
    for (int64_t j = 0; j < count; j++)
        dx[j] = (df_real)sums[j];
}

/* join_bwd   dx [rows, the operand's size] = sum over what was broadcast of dy d(a op b) / d(operand)
 *   dy [rows, C, H, W]; a, b [samples, ...] as join_fwd had them, read at owner[row]; owner I32 [rows] or
 *   NULL p.join.towards: the operand. ADD and SUB read neither a nor b, MUL reads the other one, DIV reads b
 *   and, towards b, a; the others may be NULL.
 * ITEM = plane row * channels + c of dx, with the operand's channels; io->rows = rows * channels. */
DF_FN void df_join_bwd_at(const struct df_io *io, int64_t i)
{
    const struct df_join_params *p = &io->p.join;
    const int64_t *own = p->towards == 0 ? p->a_stride : p->b_stride;
    const int64_t channels = df_join_items(p, p->towards), row = i / channels;
    const struct df_join_walk k = df_join_walk_of(io, row, own);
    const int high = own[1] != 0 && p->extent[1] > 1, wide = own[2] != 0 && p->extent[2] > 1;
    const int across = !wide && !(high && k.height == 1);
    /* The terms of one element: channels [c0, c1), `heights` rows, and one column or the whole width. */
    const int64_t c0 = i % channels, c1 = own[0] != 0 ? c0 + 1 : p->extent[0], heights = high ? 1 : k.height;
    const int single = (c1 - c0) * heights * (across ? k.width : 1) == 1;
    df_real *dx = (df_real *)io->out[0] + row * (p->towards == 0 ? p->a_size : p->b_size) + c0 * own[0];
    for (int64_t h = 0; h < k.height; h += heights) {
        df_real *to = dx + h * own[1];
        const int64_t h1 = h + heights;
        if (single)
            df_join_terms_run(to, NULL, df_join_terms_at(&k, c0, h, 0), k.width, 0, k.term);
        else if (across) {
            const df_real total = df_join_total(&k, c0, c1, h, h1);
            if (DF_ONE)
                *to = total;
        } else
            for (int64_t w = 0; w < k.width; w += DF_JOIN_BLOCK)
                df_join_block(to + w, &k, c0, c1, h, h1, w);
    }
}

#endif
