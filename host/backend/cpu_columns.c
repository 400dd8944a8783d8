/* SPDX-License-Identifier: Apache-2.0 */
/* The weight gradient of a convolution of one row: a product. Engines for a batch have a row in each vector
 * lane or pad to eight rows, seven of which would be zeros here.
 *
 * Math     dw[o][t] = sum over pixels p of dy[o][p] x[at p, under tap t = (c, ky, kx)]; db[o] = sum of dy
 * Order    dw: p ascends, one fused multiply-add a term, the same bits on every instruction set; a tap
 *          outside x is a zero. db: in eight accumulators, pixel p in p mod 8, then these in order
 * Work     A panel of taps is copied side by side, [P][panel], and multiplied with all planes of dy: what is
 *          copied stays small where planes are large */
#include <string.h>

#include "backend/cpu.h"

int64_t df_columns_scratch(const struct df_layer_desc *desc, const struct df_cpu_kernels *kernels)
{
    return desc->out.h * desc->out.w * kernels->panel;
}

/* Outputs [begin, end) whose window has the tap that lies `at` from its first input inside an input of
 * `in`. */
static void inside(int64_t *begin, int64_t *end, int64_t at, int64_t stride, int64_t in, int64_t out)
{
    *begin = at < 0 ? (stride - 1 - at) / stride : 0;
    *end = at < in ? (in - 1 - at) / stride + 1 : 0;
    *end = *end < out ? *end : out;
}

/* Usual numbers are known to the compiler, for which that is an instruction or two. */
static inline void copy_run(float *to, const float *from, int64_t count)
{
    switch (count) {
    case 3:
        memcpy(to, from, 3 * sizeof *to);
        return;
    case 5:
        memcpy(to, from, 5 * sizeof *to);
        return;
    default:
        for (int64_t i = 0; i < count; i++)
            to[i] = from[i];
    }
}

/* Taps of one row of a kernel that stand side by side in a panel. */
struct run {
    int64_t count, first;         /* first: where the first tap of output 0 lies in a row of x */
    int64_t stride, dilation, in; /* along the row */
    int64_t begin, end;           /* outputs for which all taps lie side by side inside x */
};

static struct run run_of(const struct df_layer_desc *desc, int64_t kx, int64_t count)
{
    const struct df_window *w = &desc->window;
    struct run run = {.count = count,
                      .first = kx * w->dilation[1] - w->pad[1],
                      .stride = w->stride[1],
                      .dilation = w->dilation[1],
                      .in = desc->in.w};
    int64_t unused;
    inside(&run.begin, &unused, run.first, run.stride, run.in, desc->out.w);
    inside(&unused, &run.end, run.first + (count - 1) * run.dilation, run.stride, run.in, desc->out.w);
    if ((count > 1 && run.dilation > 1) || run.end < run.begin)
        run.end = run.begin = 0;
    return run;
}

/* Outputs [begin, end), whose taps may lie outside: those remain zeros. */
static void copy_edge(float *to, const struct run *run, const float *row, int64_t begin, int64_t end,
                      int64_t panel)
{
    for (int64_t x = begin; x < end; x++)
        for (int64_t j = 0; j < run->count; j++) {
            const int64_t at = x * run->stride + run->first + j * run->dilation;
            if (at >= 0 && at < run->in)
                to[x * panel + j] = row[at];
        }
}

/* One row of outputs, a pixel every `panel` floats. */
static void copy_line(float *to, const struct run *run, const float *row, int64_t outputs, int64_t panel)
{
    copy_edge(to, run, row, 0, run->begin, panel);
    for (int64_t x = run->begin; x < run->end; x++)
        copy_run(to + x * panel, row + x * run->stride + run->first, run->count);
    copy_edge(to, run, row, run->end, outputs, panel);
}

/* Taps [first, first + count) of a group whose planes begin at x. */
static void copy_panel(float *to, const struct df_layer_desc *desc, const float *x, int64_t first,
                       int64_t count, int64_t panel)
{
    const struct df_window *w = &desc->window;
    const int64_t width = w->kernel[1], taps = w->kernel[0] * width, line = desc->out.w * panel;
    memset(to, 0, (size_t)(desc->out.h * line) * sizeof *to);
    for (int64_t j = 0, n; j < count; j += n) {
        const int64_t kx = (first + j) % width, ky = (first + j) % taps / width;
        const float *plane = x + (first + j) / taps * desc->in.h * desc->in.w;
        const int64_t top = ky * w->dilation[0] - w->pad[0];
        int64_t begin, end;
        n = width - kx < count - j ? width - kx : count - j;
        const struct run run = run_of(desc, kx, n);
        inside(&begin, &end, top, w->stride[0], desc->in.h, desc->out.h);
        for (int64_t y = begin; y < end; y++)
            copy_line(to + y * line + j, &run, plane + (y * w->stride[0] + top) * desc->in.w, desc->out.w,
                      panel);
    }
}

static float sum_plane(const float *dy, int64_t plane)
{
    enum { SUMS = 8 };
    float sum[SUMS] = {0}, all = 0;
    int64_t i = 0;
    for (; i + SUMS <= plane; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            sum[k] += dy[i + k];
    for (int k = 0; i < plane; i++, k++)
        sum[k] += dy[i];
    for (int k = 0; k < SUMS; k++)
        all += sum[k];
    return all;
}

void df_columns_gradient(const struct df_layer_desc *desc, const struct df_cpu_kernels *kernels, float *dw,
                         float *db, const float *x, const float *dy, float *scratch)
{
    const int64_t group = desc->group > 1 ? desc->group : 1, plane = desc->out.h * desc->out.w;
    const int64_t outputs = desc->out.c / group, inputs = desc->in.c / group, panel = kernels->panel;
    const int64_t filter = inputs * desc->window.kernel[0] * desc->window.kernel[1];
    for (int64_t g = 0; g < group; g++)
        for (int64_t first = 0; first < filter; first += panel) {
            const int64_t count = filter - first < panel ? filter - first : panel;
            copy_panel(scratch, desc, x + g * inputs * desc->in.h * desc->in.w, first, count, panel);
            const struct df_product product = {.rows = outputs,
                                               .cols = count,
                                               .depth = plane,
                                               .a = dy + g * outputs * plane,
                                               .a_row = plane,
                                               .a_k = 1,
                                               .b = scratch,
                                               .out = dw + g * outputs * filter + first,
                                               .out_row = filter};
            kernels->product(&product);
        }
    for (int64_t o = 0; db != NULL && o < desc->out.c; o++)
        db[o] = sum_plane(dy + o * plane, plane);
}
