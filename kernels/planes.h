/* SPDX-License-Identifier: Apache-2.0 */
/* Ops over planes: df_<op>_at(io, i) computes plane i = row * channels + c of [rows, channels, H, W];
 * io->rows counts planes. affine_*: io->cols = H W; pools take sizes from p.pool and ignore
 * io->cols.
 *
 * Order   pools walk windows row by row, left to right, and outputs in ascending index: sums are taken in
 *         that order.
 * Ties    max-pool: the lowest index; a NaN never wins (all NaN: the first index, and y is that NaN).
 * Traps   padding is never read: it neither wins a maximum nor counts as a value. On a GPU maxpool_bwd_at of
 *         a small plane computes a share of its neighbours' cells and leaves them some of its own. */
#ifndef DF_KERNELS_PLANES_H
#define DF_KERNELS_PLANES_H

#include <math.h>

#include "call.h"
#include "pointwise.h"
#include "team.h"

/* affine_fwd   y = x * scale[c] + shift[c] (rounded twice); x, y [rows, C, cols]; scale, shift [C] */
DF_FN void df_affine_fwd_at(const struct df_io *io, int64_t i)
{
    const int64_t c = i % io->p.channel.channels, cols = io->cols;
    df_real *y = (df_real *)io->out[0] + i * cols;
    const df_real *x = (const df_real *)io->in[0] + i * cols;
    const df_real scale = ((const df_real *)io->in[1])[c], shift = ((const df_real *)io->in[2])[c];
    DF_EACH(j, cols)
        y[j] = x[j] * scale + shift;
}

/* affine_bwd   dx = dy * scale[c] */
DF_FN void df_affine_bwd_at(const struct df_io *io, int64_t i)
{
    const int64_t cols = io->cols;
    df_real *dx = (df_real *)io->out[0] + i * cols;
    const df_real *dy = (const df_real *)io->in[0] + i * cols;
    const df_real scale = ((const df_real *)io->in[1])[i % io->p.channel.channels];
    DF_EACH(j, cols)
        dx[j] = dy[j] * scale;
}

/* 2x2 windows, stride 2, no padding, every window inside: the common case, without bounds. */
DF_FN int df_pool_is_halving(const struct df_io *io)
{
    const struct df_window *w = &io->p.pool.window;
    return w->kernel[0] == 2 && w->kernel[1] == 2 && w->stride[0] == 2 && w->stride[1] == 2 &&
           w->pad[0] == 0 && w->pad[1] == 0 && w->dilation[0] == 1 && w->dilation[1] == 1 &&
           2 * io->p.pool.out_h <= io->p.pool.in_h && 2 * io->p.pool.out_w <= io->p.pool.in_w;
}

DF_FN void df_maxpool_halve(df_real *y, int32_t *arg, const df_real *x, int64_t in_w, int64_t out_h,
                            int64_t out_w)
{
    const int32_t below = (int32_t)in_w;
    DF_EACH_CELL(oh, ow, out_h, out_w) {
        const df_real *top = x + 2 * oh * in_w, *low = top + in_w;
        const int32_t base = (int32_t)(2 * oh * in_w);
        const df_real a = top[2 * ow], b = top[2 * ow + 1], c = low[2 * ow], d = low[2 * ow + 1];
        df_real best = a;
        int32_t at = 0;
        at = df_max_takes(b, best) ? 1 : at;
        best = df_max_takes(b, best) ? b : best;
        at = df_max_takes(c, best) ? below : at;
        best = df_max_takes(c, best) ? c : best;
        at = df_max_takes(d, best) ? below + 1 : at;
        best = df_max_takes(d, best) ? d : best;
        y[oh * out_w + ow] = best;
        arg[oh * out_w + ow] = base + 2 * (int32_t)ow + at;
    }
}

/* One window, whatever lies outside: y[0], arg[0]. */
DF_FN void df_maxpool_window(const struct df_io *io, df_real *y, int32_t *arg, const df_real *x, int32_t oh,
                             int32_t ow)
{
    const struct df_window *win = &io->p.pool.window;
    const int32_t in_h = io->p.pool.in_h, in_w = io->p.pool.in_w;
    int32_t at = -1;
    df_real best = 0;
    for (int32_t kh = 0; kh < win->kernel[0]; kh++) {
        const int32_t h = oh * win->stride[0] - win->pad[0] + kh * win->dilation[0];
        if (h < 0 || h >= in_h)
            continue;
        for (int32_t kw = 0; kw < win->kernel[1]; kw++) {
            const int32_t w = ow * win->stride[1] - win->pad[1] + kw * win->dilation[1];
            if (w < 0 || w >= in_w)
                continue;
            if (at < 0 || df_max_takes(x[h * in_w + w], best)) {
                at = h * in_w + w;
                best = x[at];
            }
        }
    }
    *y = best;
    *arg = at;
}

/* count windows of 3x3 side by side that lie wholly inside; x is the first one's corner, at index `first`.
 * step is a constant where it is called: then this becomes vectors. */
DF_FN void df_maxpool_threes(df_real *y, int32_t *arg, const df_real *x, int32_t in_w, int32_t first,
                             int32_t count, const int32_t step)
{
    for (int32_t j = 0; j < count; j++) {
        df_real best = x[j * step];
        int32_t at = 0;
        for (int32_t k = 1; k < 9; k++) {
            const df_real v = x[k / 3 * in_w + j * step + k % 3];
            const int32_t here = k / 3 * in_w + k % 3;
            at = df_max_takes(v, best) ? here : at;
            best = df_max_takes(v, best) ? v : best;
        }
        y[j] = best;
        arg[j] = first + j * step + at;
    }
}

/* Output columns [begin, end) of row oh whose 3x3 windows have code and lie wholly inside. */
DF_FN void df_maxpool_inside(const struct df_io *io, int32_t oh, int32_t *begin, int32_t *end)
{
    const struct df_window *win = &io->p.pool.window;
    const int32_t stride = win->stride[1], h = oh * win->stride[0] - win->pad[0];
    const int32_t room = io->p.pool.in_w - 3 + win->pad[1];
    *begin = (win->pad[1] + stride - 1) / stride;
    *end = room < 0 ? 0 : room / stride + 1;
    *end = *end < io->p.pool.out_w ? *end : io->p.pool.out_w;
    if (win->kernel[0] != 3 || win->kernel[1] != 3 || win->dilation[0] != 1 || win->dilation[1] != 1 ||
        stride > 2 || h < 0 || h + 3 > io->p.pool.in_h || *end < *begin)
        *begin = *end = 0;
}

/* A plane row by row: windows of 3x3 that lie inside side by side, the others one by one. */
DF_FN void df_maxpool_rows(const struct df_io *io, df_real *y, int32_t *arg, const df_real *x)
{
    const struct df_window *win = &io->p.pool.window;
    const int32_t in_w = io->p.pool.in_w, out_w = io->p.pool.out_w;
    for (int32_t oh = 0; oh < io->p.pool.out_h; oh++, y += out_w, arg += out_w) {
        int32_t begin, end;
        df_maxpool_inside(io, oh, &begin, &end);
        for (int32_t ow = 0; ow < begin; ow++)
            df_maxpool_window(io, y + ow, arg + ow, x, oh, ow);
        if (begin < end) {
            const int32_t first =
                (oh * win->stride[0] - win->pad[0]) * in_w + begin * win->stride[1] - win->pad[1];
            if (win->stride[1] == 1)
                df_maxpool_threes(y + begin, arg + begin, x + first, in_w, first, end - begin, 1);
            else
                df_maxpool_threes(y + begin, arg + begin, x + first, in_w, first, end - begin, 2);
        }
        for (int32_t ow = end; ow < out_w; ow++)
            df_maxpool_window(io, y + ow, arg + ow, x, oh, ow);
    }
}

/* maxpool_fwd   y [rows, C, OH, OW], arg I32 like y: index in the input plane; x [rows, C, H, W]
 * A window that lies wholly in the padding gives y = 0 and arg = -1. */
DF_FN void df_maxpool_fwd_at(const struct df_io *io, int64_t i)
{
    const int32_t in_h = io->p.pool.in_h, in_w = io->p.pool.in_w;
    const int32_t out_h = io->p.pool.out_h, out_w = io->p.pool.out_w;
    df_real *y = (df_real *)io->out[0] + i * out_h * out_w;
    int32_t *arg = (int32_t *)io->out[1] + i * out_h * out_w;
    const df_real *x = (const df_real *)io->in[0] + i * in_h * in_w;
    if (df_pool_is_halving(io)) {
        df_maxpool_halve(y, arg, x, in_w, out_h, out_w);
    } else if (DF_TEAM > 1) {
        DF_EACH_CELL(oh, ow, out_h, out_w)
            df_maxpool_window(io, y + oh * out_w + ow, arg + oh * out_w + ow, x, (int32_t)oh, (int32_t)ow);
    } else {
        df_maxpool_rows(io, y, arg, x);
    }
}

/* Outputs [first, last] along an axis whose windows, `span` wide, reach over position `at`. */
struct df_pool_reach {
    int32_t first, last;
};

DF_FN struct df_pool_reach df_pool_reach_of(const struct df_window *win, int axis, int32_t span, int32_t at,
                                            int32_t out)
{
    const int32_t stride = win->stride[axis], end = at + win->pad[axis], begin = end - span + 1;
    struct df_pool_reach reach;
    reach.first = begin > 0 ? (begin + stride - 1) / stride : 0;
    reach.last = end / stride < out ? end / stride : out - 1;
    return reach;
}

/* What the outputs send to cell (h, w), in their ascending order. */
DF_FN df_real df_maxpool_gathered(const struct df_io *io, const df_real *dy, const int32_t *arg, int32_t h,
                                  int32_t w)
{
    const struct df_window *win = &io->p.pool.window;
    const int32_t out_w = io->p.pool.out_w, cell = h * io->p.pool.in_w + w;
    const int32_t tall = (win->kernel[0] - 1) * win->dilation[0] + 1,
                  broad = (win->kernel[1] - 1) * win->dilation[1] + 1;
    const struct df_pool_reach high = df_pool_reach_of(win, 0, tall, h, io->p.pool.out_h);
    const struct df_pool_reach wide = df_pool_reach_of(win, 1, broad, w, out_w);
    df_real sum = 0;
    for (int32_t oh = high.first; oh <= high.last; oh++)
        for (int32_t ow = wide.first; ow <= wide.last; ow++)
            if (arg[oh * out_w + ow] == cell)
                sum += dy[oh * out_w + ow];
    return sum;
}

/* The same where df_pool_is_halving: one output at most. */
DF_FN df_real df_maxpool_doubled(const struct df_io *io, const df_real *dy, const int32_t *arg, int32_t h,
                                 int32_t w)
{
    const int32_t out_w = io->p.pool.out_w, o = h / 2 * out_w + w / 2;
    const int inside = h / 2 < io->p.pool.out_h && w / 2 < out_w;
    return inside && arg[o] == h * io->p.pool.in_w + w ? dy[o] + 0 : 0; /* + 0: as added to a zero */
}

DF_FN df_real df_maxpool_sent(const struct df_io *io, int halving, const df_real *dy, const int32_t *arg,
                              int32_t h, int32_t w)
{
    return halving ? df_maxpool_doubled(io, dy, arg, h, w) : df_maxpool_gathered(io, dy, arg, h, w);
}

/* Planes that warps share, of so many cells at the most: with a small plane to itself a warp would leave
 * lanes idle, and most of its time would go into finding the plane. */
enum { DF_POOL_SHARED = 8, DF_POOL_SMALL = 64 };

/* The warps of eight planes, or of the last ones, deal out all their cells alike. Plane i's takes a share. */
DF_FN void df_maxpool_bwd_share(const struct df_io *io, int64_t i)
{
    const uint32_t in_w = (uint32_t)io->p.pool.in_w, in = (uint32_t)io->p.pool.in_h * in_w,
                   out = (uint32_t)(io->p.pool.out_h * io->p.pool.out_w),
                   channels = (uint32_t)io->p.pool.channels;
    const int64_t first = i - i % DF_POOL_SHARED, left = io->rows - first;
    const uint32_t planes = (uint32_t)(left < DF_POOL_SHARED ? left : (int64_t)DF_POOL_SHARED);
    const int halving = df_pool_is_halving(io);
    df_real *dx = (df_real *)io->out[0] + first * in;
    for (uint32_t k = (uint32_t)(i - first) * DF_TEAM + DF_LANE; k < planes * in; k += planes * DF_TEAM) {
        const uint32_t plane = (uint32_t)first + k / in, cell = k % in;
        const int64_t source =
            df_owner_row(io->in[2], plane / channels) * (int64_t)channels + plane % channels;
        const df_real *dy = (const df_real *)io->in[0] + (int64_t)plane * out;
        const int32_t *arg = (const int32_t *)io->in[1] + source * out;
        dx[k] = df_maxpool_sent(io, halving, dy, arg, (int32_t)(cell / in_w), (int32_t)(cell % in_w));
    }
}

DF_FN void df_maxpool_scatter(df_real *dx, int64_t in, const df_real *dy, const int32_t *arg, int64_t out)
{
    for (int64_t j = 0; j < in; j++)
        dx[j] = 0;
    for (int64_t j = 0; j < out; j++)
        if (arg[j] >= 0)
            dx[arg[j]] += dy[j];
}

/* maxpool_bwd   dx [rows, C, H, W] = 0, then dx[arg] += dy in ascending output index
 *   dy [rows, C, OH, OW]; arg I32 [samples, C, OH, OW] as maxpool_fwd left it; owner I32 [rows] or NULL */
DF_FN void df_maxpool_bwd_at(const struct df_io *io, int64_t i)
{
    const int64_t channels = io->p.pool.channels;
    const int64_t in = (int64_t)io->p.pool.in_h * io->p.pool.in_w;
    const int64_t out = (int64_t)io->p.pool.out_h * io->p.pool.out_w;
    if (DF_TEAM > 1 && in <= DF_POOL_SMALL && io->rows <= INT32_MAX) {
        df_maxpool_bwd_share(io, i);
        return;
    }
    const int64_t source = df_owner_row(io->in[2], i / channels) * channels + i % channels;
    df_real *dx = (df_real *)io->out[0] + i * in;
    const df_real *dy = (const df_real *)io->in[0] + i * out;
    const int32_t *arg = (const int32_t *)io->in[1] + source * out;
    if (DF_TEAM > 1) {
        const int halving = df_pool_is_halving(io);
        const int32_t in_w = io->p.pool.in_w;
        DF_EACH_CELL(h, w, io->p.pool.in_h, in_w)
            dx[h * in_w + w] = df_maxpool_sent(io, halving, dy, arg, (int32_t)h, (int32_t)w);
    } else {
        df_maxpool_scatter(dx, in, dy, arg, out);
    }
}

/* One average window, cut to the input: [h0, h1) x [w0, w1) and what the sum is divided by. */
struct df_mean_window {
    int32_t h0, h1, w0, w1;
    df_real divisor;
};

DF_FN struct df_mean_window df_mean_window_at(const struct df_io *io, int32_t oh, int32_t ow)
{
    const struct df_window *win = &io->p.pool.window;
    const int32_t in_h = io->p.pool.in_h, in_w = io->p.pool.in_w;
    struct df_mean_window m;
    m.h0 = oh * win->stride[0] - win->pad[0];
    m.w0 = ow * win->stride[1] - win->pad[1];
    m.h1 = m.h0 + win->kernel[0];
    m.w1 = m.w0 + win->kernel[1];
    /* A window of the last row or column may reach past the padding (ceil mode): that part never counts. */
    const int32_t padded_h = in_h + win->pad[2], padded_w = in_w + win->pad[3];
    int64_t count =
        (int64_t)((m.h1 < padded_h ? m.h1 : padded_h) - m.h0) * ((m.w1 < padded_w ? m.w1 : padded_w) - m.w0);
    m.h0 = m.h0 > 0 ? m.h0 : 0;
    m.w0 = m.w0 > 0 ? m.w0 : 0;
    m.h1 = m.h1 < in_h ? m.h1 : in_h;
    m.w1 = m.w1 < in_w ? m.w1 : in_w;
    if (!io->p.pool.count_pad)
        count = (int64_t)(m.h1 - m.h0) * (m.w1 - m.w0);
    if (m.h1 <= m.h0 || m.w1 <= m.w0 || count < 1)
        count = 1;
    m.divisor = (df_real)count;
    return m;
}

/* The mean of 2x2 windows without bounds: the same sums in the same order. */
DF_FN void df_avgpool_halve(df_real *y, const df_real *x, int64_t in_w, int64_t out_h, int64_t out_w)
{
    DF_EACH_CELL(oh, ow, out_h, out_w) {
        const df_real *top = x + 2 * oh * in_w, *low = top + in_w;
        df_real sum = 0;
        sum += top[2 * ow];
        sum += top[2 * ow + 1];
        sum += low[2 * ow];
        sum += low[2 * ow + 1];
        y[oh * out_w + ow] = sum / 4;
    }
}

DF_FN void df_avgpool_double(df_real *dx, const df_real *dy, int64_t in_w, int64_t out_h, int64_t out_w)
{
    for (int64_t oh = 0; oh < out_h; oh++) {
        df_real *top = dx + 2 * oh * in_w, *low = top + in_w;
        for (int64_t ow = 0; ow < out_w; ow++) {
            const df_real share = dy[oh * out_w + ow] / 4 + 0; /* + 0: as added to a zero */
            top[2 * ow] = share;
            top[2 * ow + 1] = share;
            low[2 * ow] = share;
            low[2 * ow + 1] = share;
        }
    }
}

/* avgpool_fwd   y [rows, C, OH, OW] = sum of the window / count; x [rows, C, H, W]
 * count: positions inside the input, with p.pool.count_pad inside the padded input. Dilation is 1.
 * A window that lies wholly in the padding gives 0. */
DF_FN void df_avgpool_fwd_at(const struct df_io *io, int64_t i)
{
    const int32_t in_h = io->p.pool.in_h, in_w = io->p.pool.in_w;
    const int32_t out_h = io->p.pool.out_h, out_w = io->p.pool.out_w;
    df_real *y = (df_real *)io->out[0] + i * out_h * out_w;
    const df_real *x = (const df_real *)io->in[0] + i * in_h * in_w;
    if (df_pool_is_halving(io)) {
        df_avgpool_halve(y, x, in_w, out_h, out_w);
        return;
    }
    DF_EACH_CELL(oh, ow, out_h, out_w) {
        const struct df_mean_window m = df_mean_window_at(io, (int32_t)oh, (int32_t)ow);
        df_real sum = 0;
        for (int32_t h = m.h0; h < m.h1; h++)
            for (int32_t w = m.w0; w < m.w1; w++)
                sum += x[h * in_w + w];
        y[oh * out_w + ow] = sum / m.divisor;
    }
}

/* What the windows send to cell (h, w), in their ascending order. */
DF_FN df_real df_avgpool_gathered(const struct df_io *io, const df_real *dy, int32_t h, int32_t w)
{
    const struct df_window *win = &io->p.pool.window;
    const struct df_pool_reach high = df_pool_reach_of(win, 0, win->kernel[0], h, io->p.pool.out_h);
    const struct df_pool_reach wide = df_pool_reach_of(win, 1, win->kernel[1], w, io->p.pool.out_w);
    df_real sum = 0;
    for (int32_t oh = high.first; oh <= high.last; oh++)
        for (int32_t ow = wide.first; ow <= wide.last; ow++)
            sum += dy[oh * io->p.pool.out_w + ow] / df_mean_window_at(io, oh, ow).divisor;
    return sum;
}

DF_FN void df_avgpool_scatter(const struct df_io *io, df_real *dx, const df_real *dy)
{
    const int32_t in_w = io->p.pool.in_w, out_h = io->p.pool.out_h, out_w = io->p.pool.out_w;
    for (int64_t j = 0; j < (int64_t)io->p.pool.in_h * in_w; j++)
        dx[j] = 0;
    if (df_pool_is_halving(io)) {
        df_avgpool_double(dx, dy, in_w, out_h, out_w);
        return;
    }
    for (int32_t oh = 0; oh < out_h; oh++)
        for (int32_t ow = 0; ow < out_w; ow++) {
            const struct df_mean_window m = df_mean_window_at(io, oh, ow);
            const df_real share = dy[oh * out_w + ow] / m.divisor;
            for (int32_t h = m.h0; h < m.h1; h++)
                for (int32_t w = m.w0; w < m.w1; w++)
                    dx[h * in_w + w] += share;
        }
}

/* avgpool_bwd   dx [rows, C, H, W] = 0, then every window's positions += dy / count, in ascending output
 * index */
DF_FN void df_avgpool_bwd_at(const struct df_io *io, int64_t i)
{
    const int32_t in_h = io->p.pool.in_h, in_w = io->p.pool.in_w;
    df_real *dx = (df_real *)io->out[0] + i * in_h * in_w;
    const df_real *dy = (const df_real *)io->in[0] + i * io->p.pool.out_h * io->p.pool.out_w;
    if (DF_TEAM > 1) {
        DF_EACH_CELL(h, w, in_h, in_w)
            dx[h * in_w + w] = df_avgpool_gathered(io, dy, (int32_t)h, (int32_t)w);
    } else {
        df_avgpool_scatter(io, dx, dy);
    }
}

#endif
