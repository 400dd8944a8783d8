/* SPDX-License-Identifier: Apache-2.0 */
/* Own convolutions over planes as they lie in memory: for groups, 1x1 kernels and input gradients towards few
 * channels, where oneDNN pads channels to whole vectors or spends its time on changing layouts.
 *
 * Math     out[o][y][x] = bias[o] + sum over c, ky, kx of weight[o][c][ky][kx] in[c][y sy + ky dy - top][x sx
 *          + kx dx - left]; an input gradient is, for each residue of (y, x) by the strides, such a sum over
 *          the taps of that residue with strides of 1.
 * Order    c, ky, kx ascend (towards the input: o, ky, kx), one fused multiply-add a term; what lies outside
 *          a plane is a term of 0. A row's bits depend neither on other rows nor on the instruction set.
 * Work     A band of rows of some planes is copied once, framed by zeros and split by the strides' residues,
 *          so that every tap is an offset and pixels run on from row to row and from plane to plane: strips
 *          (cpu_strip.c) then know no borders. The columns between two rows' ends are computed in vain. Where
 *          nothing frames or strides (1x1), strips work on the caller's memory. Bands are as high as keeps
 *          all in a second-level cache. */
#include <string.h>

#include "backend/cpu.h"
#include "backend/cpu_planes.h"
#include "base/memory.h"

enum {
    STRIP_OUTPUTS = 6,
    BAND_FLOATS = 96 * 1024,  /* copies and results of a band */
    CHUNK_FLOATS = 48 * 1024, /* of a 1x1's pixels */
    DIRECT_PLANE = 256,       /* pixels from which on a 1x1 works on the caller's memory */
    MOST_ROWS = 16,
    SLACK = 128 /* a strip may read and write up to a tile beyond its pixels */
};

/* Result rows and columns of one residue: (begin + i * step); and their taps. */
struct residue {
    int32_t y, x, rows, cols;
    int32_t first_tap, taps;
};

struct df_planes {
    const struct df_cpu_kernels *kernels;
    struct df_shape source, result;
    int32_t group, from, to; /* channels of a group */
    int32_t split[2];        /* the source's rows and columns are split by these */
    int32_t origin[2];       /* source row of band row r, residue p: (first + r) split + p - origin */
    int32_t step[2];         /* of the result's residues */
    int32_t reach[2];        /* rows and columns a tap reaches beyond its pixel */
    int32_t tap_count, residue_count, part_count;
    int32_t *tap;            /* [tap_count]: ky kw + kx, by residue */
    int32_t *offset;         /* [tap_count] into a channel's copy */
    struct residue *residue; /* [step[0] step[1]] */
    int32_t *part;           /* [part_count]: residues of the source that are read, y split[1] + x */
    bool direct;             /* 1x1: no copy */
    int32_t band, rows;      /* result rows of a residue, samples: at a time */
    int32_t pitch;
    int64_t plane, channel,
        line; /* floats: a sample's part, a channel's copy, an output's results of one residue */
    bool backward, has_bias;
    float *weight; /* [residue][group][outputs of a strip][channel][tap][output] */
    float *bias;
};

static int32_t quotient_below(int32_t a, int32_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Taps by residue, their offsets in rows and columns, reach and origin. shift [tap_count][2] */
static void place_taps(struct df_planes *p, const struct df_window *w, int32_t (*shift)[2])
{
    int32_t lowest[2] = {0, 0}, count = 0;
    for (int32_t r = 0; r < p->residue_count; r++) {
        struct residue *residue = &p->residue[r];
        const int32_t at[2] = {r / p->step[1], r % p->step[1]};
        residue->y = at[0];
        residue->x = at[1];
        residue->rows = ((int32_t)p->result.h - at[0] + p->step[0] - 1) / p->step[0];
        residue->cols = ((int32_t)p->result.w - at[1] + p->step[1] - 1) / p->step[1];
        residue->first_tap = count;
        for (int32_t t = 0; t < w->kernel[0] * w->kernel[1]; t++) {
            const int32_t k[2] = {t / w->kernel[1] * w->dilation[0], t % w->kernel[1] * w->dilation[1]};
            bool meets = true;
            for (int axis = 0; axis < 2; axis++) {
                const int32_t from = p->backward ? at[axis] + w->pad[axis] - k[axis] : k[axis];
                const int32_t divisor = p->backward ? p->step[axis] : p->split[axis];
                shift[count][axis] = quotient_below(from, divisor);
                meets = meets && (!p->backward || from == shift[count][axis] * divisor);
            }
            if (meets)
                p->tap[count++] = t;
        }
        residue->taps = count - residue->first_tap;
    }
    p->tap_count = count;
    for (int axis = 0; axis < 2; axis++) {
        int32_t highest = 0;
        for (int32_t t = 0; t < count; t++) {
            lowest[axis] = shift[t][axis] < lowest[axis] ? shift[t][axis] : lowest[axis];
            highest = shift[t][axis] > highest ? shift[t][axis] : highest;
        }
        p->reach[axis] = highest - lowest[axis];
        p->origin[axis] = p->backward ? -lowest[axis] : w->pad[axis];
        for (int32_t t = 0; t < count; t++)
            shift[t][axis] -= lowest[axis];
    }
}

/* How much is done at a time, and the copy's layout. */
static void size_band(struct df_planes *p)
{
    const int32_t rows = p->residue[0].rows, outputs = p->to < STRIP_OUTPUTS ? p->to : STRIP_OUTPUTS;
    p->pitch = p->residue[0].cols + p->reach[1];
    /* Floats a row of the band takes: copies of the source, results of the residues. */
    const int64_t row =
        (int64_t)p->pitch * ((int64_t)p->from * p->part_count + (int64_t)outputs * p->residue_count);
    const int64_t frame = (int64_t)p->pitch * p->from * p->part_count * p->reach[0];
    int64_t band = (BAND_FLOATS - frame) / row;
    band = band < 4 ? 4 : band;
    p->band = (int32_t)(band < rows ? band : rows);
    const int64_t samples = BAND_FLOATS / (row * rows + frame);
    p->rows = p->band < rows || samples < 1 ? 1 : (int32_t)(samples < MOST_ROWS ? samples : MOST_ROWS);
    p->plane = (int64_t)(p->band + p->reach[0]) * p->pitch;
    p->line = (p->rows * p->plane + SLACK + 15) / 16 * 16;
    p->channel = (p->rows * p->plane * p->part_count + 15) / 16 * 16;
    if (p->channel % 512 == 0) /* channels would share a few sets of the cache */
        p->channel += 16;
}

/* A tap's offset: the part of the copy that its source residue is, and its shift in there. */
static void place_offsets(struct df_planes *p, const struct df_window *w, int32_t (*shift)[2])
{
    for (int32_t t = 0; t < p->tap_count; t++) {
        const int32_t y = p->tap[t] / w->kernel[1] * w->dilation[0],
                      x = p->tap[t] % w->kernel[1] * w->dilation[1];
        const int32_t name = p->backward ? 0 : y % p->split[0] * p->split[1] + x % p->split[1];
        int32_t part = 0;
        while (part < p->part_count && p->part[part] != name)
            part++;
        if (part == p->part_count)
            p->part[p->part_count++] = name;
        p->offset[t] = part; /* the strip it is in; its address is known once size_band has counted them */
    }
    size_band(p);
    for (int32_t t = 0; t < p->tap_count; t++)
        p->offset[t] =
            (int32_t)(p->offset[t] * p->rows * p->plane + shift[t][0] * (int64_t)p->pitch + shift[t][1]);
}

static bool nothing_moves(const struct df_window *w)
{
    bool still = true;
    for (int axis = 0; axis < 2; axis++)
        still = still && w->kernel[axis] == 1 && w->stride[axis] == 1 && w->pad[axis] == 0 &&
                w->pad[axis + 2] == 0;
    return still;
}

static dfal_status create(struct df_planes *p, const struct df_layer_desc *desc, int32_t (**shift)[2])
{
    const struct df_window *w = &desc->window;
    const int64_t taps = (int64_t)w->kernel[0] * w->kernel[1];
    p->group = desc->group > 1 ? desc->group : 1;
    p->source = p->backward ? desc->out : desc->in;
    p->result = p->backward ? desc->in : desc->out;
    p->from = (int32_t)(p->source.c / p->group);
    p->to = (int32_t)(p->result.c / p->group);
    for (int axis = 0; axis < 2; axis++) {
        p->split[axis] = p->backward ? 1 : w->stride[axis];
        p->step[axis] = p->backward ? w->stride[axis] : 1;
    }
    p->residue_count = p->step[0] * p->step[1];
    DF_TRY(df_alloc(&p->tap, taps + 1, sizeof *p->tap));
    DF_TRY(df_alloc(&p->offset, taps + 1, sizeof *p->offset));
    DF_TRY(df_alloc(&p->part, taps + 1, sizeof *p->part));
    DF_TRY(df_alloc(&p->residue, p->residue_count, sizeof *p->residue));
    DF_TRY(df_alloc(shift, taps + 1, sizeof **shift));
    place_taps(p, w, *shift);
    place_offsets(p, w, *shift);
    p->direct = nothing_moves(w) && p->result.h * p->result.w >= DIRECT_PLANE;
    DF_TRY(df_alloc(&p->weight, desc->out.c * (desc->in.c / p->group) * taps + 1, sizeof *p->weight));
    return df_alloc(&p->bias, p->result.c, sizeof *p->bias);
}

dfal_status df_planes_create(struct df_planes **out, const struct df_layer_desc *desc, bool backward,
                             const struct df_cpu_kernels *kernels)
{
    struct df_planes *p = NULL;
    int32_t(*shift)[2] = NULL;
    *out = NULL;
    DF_TRY(df_alloc(&p, 1, sizeof *p));
    p->kernels = kernels;
    p->backward = backward;
    const dfal_status status = create(p, desc, &shift);
    df_free(shift);
    if (status != DFAL_OK)
        df_planes_destroy(p);
    else
        *out = p;
    return status;
}

void df_planes_destroy(struct df_planes *p)
{
    if (p == NULL)
        return;
    df_free(p->tap);
    df_free(p->offset);
    df_free(p->part);
    df_free(p->residue);
    df_free(p->weight);
    df_free(p->bias);
    df_free(p);
}

int64_t df_planes_scratch(const struct df_planes *p)
{
    if (p->direct)
        return 0;
    const int32_t outputs = p->to < STRIP_OUTPUTS ? p->to : STRIP_OUTPUTS;
    return p->from * p->channel + SLACK + (int64_t)outputs * p->residue_count * p->line;
}

/* Outputs of strip s of `strips`, so that all are about as large. */
static int32_t strip_begin(const struct df_planes *p, int32_t s, int32_t strips)
{
    return (int32_t)((int64_t)p->to * s / strips);
}

static int32_t strip_count(const struct df_planes *p)
{
    return (p->to + STRIP_OUTPUTS - 1) / STRIP_OUTPUTS;
}

void df_planes_bind(struct df_planes *p, const float *weight, const float *bias)
{
    /* weight [group][O / group][C / group][taps]; towards the input O and C change places. */
    const int64_t taps = p->tap_count, from_step = p->backward ? p->to * taps : taps;
    const int64_t to_step = p->backward ? taps : p->from * taps, group_step = (int64_t)p->from * p->to * taps;
    const int32_t strips = strip_count(p);
    float *to = p->weight;
    for (int32_t r = 0; r < p->residue_count; r++)
        for (int32_t g = 0; g < p->group; g++)
            for (int32_t s = 0; s < strips; s++)
                for (int32_t c = 0; c < p->from; c++)
                    for (int32_t t = 0; t < p->residue[r].taps; t++)
                        for (int32_t o = strip_begin(p, s, strips); o < strip_begin(p, s + 1, strips); o++)
                            *to++ = weight[g * group_step + o * to_step + c * from_step +
                                           p->tap[p->residue[r].first_tap + t]];
    p->has_bias = bias != NULL && !p->backward;
    if (p->has_bias)
        memcpy(p->bias, bias, (size_t)p->result.c * sizeof(float));
}

/* Result rows [y0, y0 + height) of every residue, samples [0, rows) of one group. */
struct band {
    float *out;
    const float *in; /* both of the group's first channel, first sample */
    int64_t rows;
    int32_t y0, height;
};

static void copy_columns(float *to, const float *from, int32_t count, int32_t step)
{
    if (step == 1)
        memcpy(to, from, (size_t)count * sizeof(float));
    else if (step == 2)
        for (int32_t i = 0; i < count; i++)
            to[i] = from[2 * i];
    else
        for (int32_t i = 0; i < count; i++)
            to[i] = from[i * step];
}

/* One part of one channel of one sample. */
static void fill_plane(const struct df_planes *p, float *to, const float *from, int32_t part,
                       const struct band *b)
{
    const int32_t py = p->part[part] / p->split[1], px = p->part[part] % p->split[1];
    const int32_t width = (int32_t)p->source.w, step = p->split[1], shift = px - p->origin[1];
    /* Columns [q0, q1) exist: 0 <= q step + shift < width. */
    int32_t q0 = shift < 0 ? (-shift + step - 1) / step : 0,
            q1 = shift < width ? (width - shift + step - 1) / step : 0;
    q1 = q1 < p->pitch ? q1 : p->pitch;
    q0 = q0 < q1 ? q0 : q1;
    for (int32_t r = 0; r < b->height + p->reach[0]; r++, to += p->pitch) {
        const int32_t y = (b->y0 + r) * p->split[0] + py - p->origin[0];
        if (y < 0 || y >= p->source.h || q1 <= q0) {
            memset(to, 0, (size_t)p->pitch * sizeof(float));
            continue;
        }
        for (int32_t q = 0; q < q0; q++)
            to[q] = 0;
        copy_columns(to + q0, from + (int64_t)y * width + q0 * step + shift, q1 - q0, step);
        for (int32_t q = q1; q < p->pitch; q++)
            to[q] = 0;
    }
}

static void fill(const struct df_planes *p, float *copy, const struct band *b)
{
    const int64_t source_plane = p->source.h * p->source.w, source_size = p->source.c * source_plane;
    for (int32_t c = 0; c < p->from; c++)
        for (int32_t part = 0; part < p->part_count; part++)
            for (int64_t n = 0; n < b->rows; n++)
                fill_plane(p, copy + c * p->channel + (part * p->rows + n) * p->plane,
                           b->in + n * source_size + c * source_plane, part, b);
}

/* A row of the result from the residues' rows, which lie `apart`. */
static void join_row(float *to, const float *from, int64_t apart, const struct df_planes *p)
{
    const int32_t width = (int32_t)p->result.w, step = p->step[1];
    if (step == 1) {
        memcpy(to, from, (size_t)width * sizeof(float));
    } else if (step == 2) {
        const float *even = from, *odd = from + apart;
        for (int32_t i = 0; i < width / 2; i++) {
            to[2 * i] = even[i];
            to[2 * i + 1] = odd[i];
        }
        if (width % 2 != 0)
            to[width - 1] = even[width / 2];
    } else {
        for (int32_t r = 0; r < step; r++)
            for (int32_t i = r; i < width; i += step)
                to[i] = from[r * apart + i / step];
    }
}

/* Results [residue][outputs][line] of output o to their place. */
static void drain(const struct df_planes *p, const float *results, int32_t outputs, int32_t first,
                  const struct band *b)
{
    const int64_t plane = p->result.h * p->result.w, size = p->result.c * plane;
    const int32_t y0 = b->y0 * p->step[0], height = (int32_t)p->result.h;
    const int32_t y1 = (b->y0 + b->height) * p->step[0] < height ? (b->y0 + b->height) * p->step[0] : height;
    for (int64_t n = 0; n < b->rows; n++)
        for (int32_t o = 0; o < outputs; o++) {
            float *to = b->out + n * size + (first + o) * plane;
            for (int32_t y = y0; y < y1; y++) {
                const int32_t r = y % p->step[0] * p->step[1];
                const float *from = results + ((int64_t)r * outputs + o) * p->line + n * p->plane +
                                    (int64_t)(y / p->step[0] - b->y0) * p->pitch;
                join_row(to + (int64_t)y * p->result.w, from, (int64_t)outputs * p->line, p);
            }
        }
}

static void run_band(const struct df_planes *p, int32_t g, const struct band *b, float *copy, float *results)
{
    const int32_t strips = strip_count(p);
    const int64_t count = ((b->rows - 1) * (p->band + p->reach[0]) + b->height - 1) * (int64_t)p->pitch +
                          p->pitch - p->reach[1];
    fill(p, copy, b);
    for (int32_t s = 0; s < strips; s++) {
        const int32_t first = strip_begin(p, s, strips), outputs = strip_begin(p, s + 1, strips) - first;
        const float *weight = p->weight;
        for (int32_t r = 0; r < p->residue_count; r++) {
            const int64_t terms = (int64_t)p->from * p->residue[r].taps;
            const struct df_strip strip = {.out = results + (int64_t)r * outputs * p->line,
                                           .out_stride = p->line,
                                           .in = copy,
                                           .in_stride = p->channel,
                                           .offset = p->offset + p->residue[r].first_tap,
                                           .taps = p->residue[r].taps,
                                           .channels = p->from,
                                           .outputs = outputs,
                                           .weight = weight + terms * ((int64_t)g * p->to + first),
                                           .bias = p->has_bias ? p->bias + g * p->to + first : NULL,
                                           .count = count};
            p->kernels->strip(&strip);
            weight += terms * p->to * p->group;
        }
        drain(p, results, outputs, first, b);
    }
}

/* 1x1: pixels in chunks whose channels stay in a cache while all outputs pass. */
static void run_direct(const struct df_planes *p, float *out, const float *in, int64_t rows)
{
    const int64_t plane = p->source.h * p->source.w, lanes = p->kernels->lanes;
    const int32_t strips = strip_count(p), here = 0;
    int64_t chunk = CHUNK_FLOATS / p->from / 128 * 128;
    chunk = chunk < 128 ? 128 : chunk;
    for (int64_t image = 0; image < rows * p->group; image++)
        for (int64_t q = 0, count; q < plane; q += count) {
            count = plane - q < chunk + lanes ? plane - q : chunk;
            for (int32_t s = 0; s < strips; s++) {
                const int32_t first = strip_begin(p, s, strips);
                const int64_t g = image % p->group, to = g * p->to + first;
                const struct df_strip strip = {.out = out + (image * p->to + first) * plane + q,
                                               .out_stride = plane,
                                               .in = in + image * p->from * plane + q,
                                               .in_stride = plane,
                                               .offset = &here,
                                               .taps = 1,
                                               .channels = p->from,
                                               .outputs = strip_begin(p, s + 1, strips) - first,
                                               .weight = p->weight + to * p->from,
                                               .bias = p->has_bias ? p->bias + to : NULL,
                                               .count = count,
                                               .exact = true};
                p->kernels->strip(&strip);
            }
        }
}

void df_planes_run(const struct df_planes *p, float *out, const float *in, int64_t rows, float *scratch)
{
    const int64_t source_plane = p->source.h * p->source.w, result_plane = p->result.h * p->result.w;
    float *copy = scratch, *results = scratch + p->from * p->channel + SLACK;
    if (p->direct) {
        run_direct(p, out, in, rows);
        return;
    }
    for (int64_t row = 0; row < rows; row += p->rows)
        for (int32_t g = 0; g < p->group; g++)
            for (int32_t y = 0; y < p->residue[0].rows; y += p->band) {
                struct band b = {.out = out + (row * p->result.c + (int64_t)g * p->to) * result_plane,
                                 .in = in + (row * p->source.c + (int64_t)g * p->from) * source_plane,
                                 .rows = rows - row < p->rows ? rows - row : p->rows,
                                 .y0 = y};
                b.height = p->residue[0].rows - y < p->band ? p->residue[0].rows - y : p->band;
                run_band(p, g, &b, copy, results);
            }
}
