/* SPDX-License-Identifier: Apache-2.0 */
/* A digit is one of several skeletons of pen strokes: jittered, cut at its ends, bent by a smooth warp, put
 * through an affine map, drawn with a pen of varying width and pressure, softened; sometimes with a stray
 * stroke; noise on top. Every number comes from Philox by (seed, stream, index, draw). */
#include "io/digits.h"

#include <math.h>
#include <string.h>

enum { STROKES = 2, POINTS = 14, STEPS = 6, TRACE = POINTS * STEPS + 1, VARIANTS = 3, DRAW_BITS = 18 };

/* Control points of a Catmull-Rom curve in percent of the box, y downwards; a doubled point is a corner. */
struct stroke {
    int count;
    bool closed;
    signed char at[POINTS][2];
};
struct skeleton {
    struct stroke stroke[STROKES];
};

static const struct skeleton skeletons[10][VARIANTS] = {
    {{{{8, true, {{50, 9}, {26, 21}, {18, 50}, {26, 79}, {50, 91}, {74, 79}, {82, 50}, {74, 21}}}}},
     {{{8, true, {{56, 9}, {36, 22}, {28, 50}, {30, 78}, {44, 91}, {62, 78}, {70, 50}, {70, 22}}}}},
     {{{9,
        false,
        {{60, 14}, {36, 12}, {20, 40}, {22, 74}, {46, 91}, {72, 78}, {80, 46}, {66, 18}, {44, 10}}}}}},
    {{{{3, false, {{52, 9}, {51, 50}, {50, 91}}}}},
     {{{4, false, {{34, 28}, {54, 9}, {54, 9}, {54, 91}}}}},
     {{{4, false, {{32, 26}, {52, 9}, {52, 9}, {52, 90}}}, {2, false, {{30, 91}, {74, 90}}}}}},
    {{{{9,
        false,
        {{22, 30}, {36, 12}, {60, 10}, {75, 27}, {66, 48}, {45, 66}, {22, 89}, {22, 89}, {80, 88}}}}},
     {{{10,
        false,
        {{25, 26},
         {45, 10},
         {70, 18},
         {70, 40},
         {50, 66},
         {28, 87},
         {20, 78},
         {34, 72},
         {56, 85},
         {82, 84}}}}},
     {{{8, false, {{22, 20}, {50, 9}, {74, 24}, {60, 54}, {20, 89}, {20, 89}, {50, 82}, {82, 90}}}}}},
    {{{{10,
        false,
        {{25, 19},
         {50, 9},
         {72, 22},
         {66, 41},
         {42, 48},
         {42, 48},
         {70, 56},
         {76, 75},
         {52, 91},
         {22, 82}}}}},
     {{{9,
        false,
        {{24, 12}, {72, 12}, {72, 12}, {46, 42}, {46, 42}, {72, 54}, {74, 78}, {48, 91}, {22, 80}}}}},
     {{{9,
        false,
        {{28, 14}, {56, 9}, {70, 26}, {54, 45}, {36, 49}, {60, 52}, {72, 70}, {58, 90}, {26, 90}}}}}},
    {{{{4, false, {{36, 10}, {22, 54}, {22, 54}, {80, 52}}}, {2, false, {{64, 28}, {60, 91}}}}},
     {{{6, false, {{62, 91}, {62, 9}, {62, 9}, {16, 62}, {16, 62}, {82, 62}}}}},
     {{{4, false, {{28, 12}, {26, 50}, {40, 54}, {72, 48}}}, {2, false, {{72, 10}, {68, 91}}}}}},
    {{{{10,
        false,
        {{74, 12},
         {30, 12},
         {30, 12},
         {27, 46},
         {27, 46},
         {52, 38},
         {76, 58},
         {66, 84},
         {40, 91},
         {20, 80}}}}},
     {{{7, false, {{32, 14}, {28, 46}, {28, 46}, {56, 42}, {75, 62}, {62, 87}, {20, 86}}},
       {2, false, {{32, 14}, {78, 10}}}}},
     {{{8, false, {{74, 15}, {44, 10}, {28, 26}, {40, 43}, {66, 54}, {72, 74}, {50, 91}, {20, 82}}}}}},
    {{{{9,
        false,
        {{66, 9}, {40, 24}, {24, 54}, {28, 80}, {50, 91}, {72, 80}, {70, 58}, {50, 50}, {27, 64}}}}},
     {{{9,
        false,
        {{48, 8}, {28, 40}, {24, 70}, {40, 90}, {66, 86}, {74, 66}, {58, 52}, {36, 58}, {27, 74}}}}},
     {{{8, false, {{58, 9}, {34, 36}, {28, 72}, {44, 91}, {64, 82}, {62, 64}, {46, 62}, {31, 76}}}}}},
    {{{{4, false, {{20, 14}, {80, 13}, {80, 13}, {44, 91}}}}},
     {{{4, false, {{20, 13}, {78, 13}, {78, 13}, {46, 91}}}, {2, false, {{34, 52}, {70, 50}}}}},
     {{{6, false, {{18, 24}, {24, 12}, {76, 15}, {76, 15}, {56, 48}, {46, 91}}}}}},
    {{{{12,
        true,
        {{50, 48},
         {30, 34},
         {32, 15},
         {52, 9},
         {71, 18},
         {68, 35},
         {50, 48},
         {28, 62},
         {24, 80},
         {48, 91},
         {74, 82},
         {73, 62}}}}},
     {{{6, true, {{50, 9}, {30, 19}, {32, 39}, {50, 48}, {68, 39}, {70, 19}}},
       {6, true, {{50, 48}, {26, 60}, {26, 82}, {50, 91}, {74, 82}, {74, 60}}}}},
     {{{11,
        false,
        {{72, 18},
         {46, 9},
         {30, 24},
         {46, 44},
         {70, 64},
         {64, 86},
         {42, 91},
         {26, 76},
         {40, 54},
         {66, 34},
         {72, 18}}}}}},
    {{{{9,
        false,
        {{70, 28}, {52, 9}, {28, 22}, {30, 44}, {52, 50}, {70, 34}, {71, 22}, {69, 60}, {58, 91}}}}},
     {{{6, true, {{50, 10}, {28, 20}, {28, 40}, {48, 50}, {68, 40}, {70, 20}}},
       {2, false, {{70, 14}, {68, 91}}}}},
     {{{10,
        false,
        {{70, 26},
         {48, 9},
         {28, 26},
         {36, 47},
         {58, 46},
         {70, 24},
         {70, 24},
         {75, 56},
         {62, 87},
         {30, 88}}}}}},
};

/* ---- Random numbers of one sample ------------------------------------------------------------- */

struct dice {
    uint64_t seed, base;
    enum df_stream stream;
};

static uint64_t draw(struct dice *dice)
{
    return df_random_bits(dice->seed, dice->stream, dice->base++);
}

/* Uniform in [low, high). */
static float between(struct dice *dice, float low, float high)
{
    return low + (high - low) * ((float)(draw(dice) >> 40) * 0x1p-24f);
}

/* Nearly normal, standard deviation 1: the sum of four uniform 16-bit numbers. */
static float normal(struct dice *dice)
{
    uint64_t bits = draw(dice);
    int32_t sum = (int32_t)(bits & 65535) + (int32_t)(bits >> 16 & 65535) + (int32_t)(bits >> 32 & 65535) +
                  (int32_t)(bits >> 48);
    return (float)(sum - 131070) * (1.7320508f / 65536.0f);
}

static int32_t one_of(struct dice *dice, int32_t count)
{
    return (int32_t)((draw(dice) >> 32) * (uint64_t)count >> 32);
}

/* ---- Shape ---------------------------------------------------------------------------------- */

struct point {
    float x, y;
};
struct trace {
    int count;
    struct point at[TRACE];
};

static struct point control(const struct point *points, int count, bool closed, int i)
{
    if (closed)
        return points[(i + count) % count];
    return points[i < 0 ? 0 : i >= count ? count - 1 : i];
}

static float catmull_rom(float a, float b, float c, float d, float t)
{
    return b + 0.5f * t * ((c - a) + t * ((2 * a - 5 * b + 4 * c - d) + t * (3 * (b - c) + d - a)));
}

/* The curve through jittered control points as a chain of short lines in the unit box. */
static void trace_stroke(struct trace *trace, const struct stroke *stroke, struct dice *dice, float jitter)
{
    struct point points[POINTS] = {{0, 0}};
    for (int i = 0; i < stroke->count; i++) {
        bool corner =
            i > 0 && stroke->at[i][0] == stroke->at[i - 1][0] && stroke->at[i][1] == stroke->at[i - 1][1];
        if (corner) {
            points[i] = points[i - 1];
            continue;
        }
        points[i].x = 0.01f * stroke->at[i][0] + jitter * normal(dice);
        points[i].y = 0.01f * stroke->at[i][1] + jitter * normal(dice);
    }
    int spans = stroke->closed ? stroke->count : stroke->count - 1;
    trace->count = 0;
    for (int i = 0; i < spans; i++) {
        struct point a = control(points, stroke->count, stroke->closed, i - 1), b = points[i];
        struct point c = control(points, stroke->count, stroke->closed, i + 1);
        struct point d = control(points, stroke->count, stroke->closed, i + 2);
        for (int s = 0; s < STEPS; s++) {
            float t = (float)s / STEPS;
            trace->at[trace->count++] =
                (struct point){catmull_rom(a.x, b.x, c.x, d.x, t), catmull_rom(a.y, b.y, c.y, d.y, t)};
        }
    }
    trace->at[trace->count++] = control(points, stroke->count, stroke->closed, spans);
}

/* A hurried pen: up to `most` of the chain is missing at either end. */
static void cut_ends(struct trace *trace, struct dice *dice, float most)
{
    int front = (int)(between(dice, 0, most) * (float)trace->count);
    int back = (int)(between(dice, 0, most) * (float)trace->count);
    trace->count -= front + back;
    memmove(trace->at, trace->at + front, (size_t)trace->count * sizeof *trace->at);
}

/* x -> centre + A (warp(x) - 1/2), in pixels. */
struct map {
    float a[4], centre[2], warp[2][4]; /* warp: amplitude, two frequencies, phase */
};

static void make_map(struct map *map, struct dice *dice, int32_t size)
{
    float angle = 0.15f * normal(dice), shear = 0.20f * normal(dice), side = (float)size;
    float width = between(dice, 0.48f, 0.76f) * side, height = between(dice, 0.60f, 0.80f) * side;
    float c = cosf(angle), s = sinf(angle);
    map->a[0] = width * c;
    map->a[1] = height * (-shear * c - s);
    map->a[2] = width * s;
    map->a[3] = height * (c - shear * s);
    for (int i = 0; i < 2; i++) {
        map->centre[i] = side * (0.5f + between(dice, -0.09f, 0.09f));
        map->warp[i][0] = 0.038f * normal(dice);
        map->warp[i][1] = between(dice, -6.0f, 6.0f);
        map->warp[i][2] = between(dice, -6.0f, 6.0f);
        map->warp[i][3] = between(dice, 0, 6.2831853f);
    }
}

static struct point apply(const struct map *map, struct point p)
{
    const float(*w)[4] = map->warp;
    float x = p.x + w[0][0] * sinf(w[0][1] * p.x + w[0][2] * p.y + w[0][3]) - 0.5f;
    float y = p.y + w[1][0] * sinf(w[1][1] * p.x + w[1][2] * p.y + w[1][3]) - 0.5f;
    return (struct point){map->centre[0] + map->a[0] * x + map->a[1] * y,
                          map->centre[1] + map->a[2] * x + map->a[3] * y};
}

/* ---- Ink ------------------------------------------------------------------------------------ */

struct pen {
    float radius, softness, ink; /* pixels, pixels, 0..1 */
};

/* Squared distance of (x, y) to the line a-b. */
static float distance2(float x, float y, struct point a, struct point b)
{
    float dx = b.x - a.x, dy = b.y - a.y, px = x - a.x, py = y - a.y, length2 = dx * dx + dy * dy;
    float t = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    px -= t * dx;
    py -= t * dy;
    return px * px + py * py;
}

/* Ink does not add up where strokes cross: the darkest counts. */
static void ink_line(float *canvas, int32_t size, struct point a, struct point b, struct pen pen)
{
    float reach = pen.radius + pen.softness;
    int x0 = (int)floorf(fminf(a.x, b.x) - reach), x1 = (int)ceilf(fmaxf(a.x, b.x) + reach);
    int y0 = (int)floorf(fminf(a.y, b.y) - reach), y1 = (int)ceilf(fmaxf(a.y, b.y) + reach);
    x0 = x0 < 0 ? 0 : x0;
    y0 = y0 < 0 ? 0 : y0;
    x1 = x1 >= size ? size - 1 : x1;
    y1 = y1 >= size ? size - 1 : y1;
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            float square = distance2((float)x + 0.5f, (float)y + 0.5f, a, b);
            if (square >= reach * reach)
                continue;
            float cover = 0.5f + 0.5f * (pen.radius - sqrtf(square)) / pen.softness;
            float value = pen.ink * (cover > 1 ? 1 : cover);
            float *pixel = canvas + (int64_t)y * size + x;
            *pixel = value > *pixel ? value : *pixel;
        }
}

static void ink_trace(float *canvas, int32_t size, const struct trace *trace, const struct map *map,
                      struct pen pen, struct dice *dice)
{
    float swell = between(dice, -0.35f, 0.35f), phase = between(dice, 0, 6.2831853f), radius = pen.radius;
    struct point before = apply(map, trace->at[0]);
    for (int i = 1; i < trace->count; i++) {
        struct point now = apply(map, trace->at[i]);
        pen.radius = radius * (1 + swell * sinf(phase + 5.0f * (float)i / (float)trace->count));
        ink_line(canvas, size, before, now, pen);
        before = now;
    }
}

/* A stray stroke: a neighbour's tail, a ruled line, a blot. */
static void ink_stray(float *canvas, int32_t size, struct pen pen, struct dice *dice)
{
    float side = (float)size, angle = between(dice, 0, 6.2831853f),
          length = between(dice, 0.05f, 0.32f) * side;
    struct point a = {between(dice, 0, side), between(dice, 0, side)};
    struct point b = {a.x + length * cosf(angle), a.y + length * sinf(angle)};
    pen.ink *= between(dice, 0.35f, 0.95f);
    pen.radius *= between(dice, 0.5f, 1.0f);
    ink_line(canvas, size, a, b, pen);
}

void df_digit_draw(uint8_t *pixels, int32_t *label, float *canvas, int32_t size, int32_t class_count,
                   uint64_t seed, enum df_stream stream, uint64_t index)
{
    struct dice dice = {seed, index << DRAW_BITS, stream};
    struct map map;
    struct trace trace;
    float scale = (float)size / 28.0f;
    *label = one_of(&dice, class_count);
    const struct skeleton *skeleton = &skeletons[*label][one_of(&dice, VARIANTS)];
    float jitter = between(&dice, 0.012f, 0.042f), noise = between(&dice, 0.01f, 0.12f);
    struct pen pen = {between(&dice, 0.65f, 1.75f) * scale, between(&dice, 0.6f, 1.3f) * scale,
                      between(&dice, 0.60f, 1.0f)};
    int64_t count = (int64_t)size * size;
    memset(canvas, 0, (size_t)count * sizeof *canvas);
    make_map(&map, &dice, size);
    for (int i = 0; i < STROKES && skeleton->stroke[i].count; i++) {
        trace_stroke(&trace, &skeleton->stroke[i], &dice, jitter);
        cut_ends(&trace, &dice, 0.08f);
        ink_trace(canvas, size, &trace, &map, pen, &dice);
    }
    for (int32_t strays = one_of(&dice, 5); strays > 2; strays--)
        ink_stray(canvas, size, pen, &dice);
    for (int64_t i = 0; i < count; i++) {
        float value = 255.0f * (canvas[i] + noise * normal(&dice)) + 0.5f;
        pixels[i] = value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
    }
}
