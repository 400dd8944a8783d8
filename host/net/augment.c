/* SPDX-License-Identifier: Apache-2.0 */
#include "net/augment.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

bool df_augment_is_none(const struct df_augment *augment)
{
    return !(augment->shift > 0) && !(augment->rotate > 0) && !(augment->scale > 0) &&
           !(augment->erase > 0) && !strcmp(augment->flip, "none");
}

/* ---- Draws ---------------------------------------------------------------------------------- */

/* A row's draws of an epoch. Each has a number of its own, so that asking for one more kind changes none of
 * the others. Append only. */
enum { FLIP, RIGHT, DOWN, DEGREES, FACTOR, ERASE, HEIGHT, WIDTH, TOP, LEFT, DRAWS = 16 };

/* Where a row's draws stand. */
struct source {
    uint64_t seed, first;
};

static double uniform(const struct source *source, int draw)
{
    return df_random_uniform(source->seed, DF_STREAM_AUGMENT, source->first + (uint64_t)draw);
}

/* Uniform in [-most, most). */
static double either_way(const struct source *source, int draw, double most)
{
    return most * (2 * uniform(source, draw) - 1);
}

/* Uniform among 0 to count - 1. */
static int64_t one_of(const struct source *source, int draw, int64_t count)
{
    return (int64_t)(uniform(source, draw) * (double)count);
}

/* Sides of 1 to half of the picture's, wholly inside. */
static void draw_rectangle(struct df_augment_draw *draw, const struct source *source, struct df_shape shape)
{
    draw->height = 1 + one_of(source, HEIGHT, shape.h > 1 ? shape.h / 2 : 1);
    draw->width = 1 + one_of(source, WIDTH, shape.w > 1 ? shape.w / 2 : 1);
    draw->top = one_of(source, TOP, shape.h - draw->height + 1);
    draw->left = one_of(source, LEFT, shape.w - draw->width + 1);
}

struct df_augment_draw df_augment_draw(const struct df_augment *augment, struct df_shape shape, uint64_t seed,
                                       int32_t epoch, int64_t row)
{
    const struct source source = {df_random_child(seed, DF_STREAM_AUGMENT, (uint64_t)epoch),
                                  (uint64_t)row * DRAWS};
    const bool flip = uniform(&source, FLIP) < 0.5;
    struct df_augment_draw draw = {
        .mirror_x = flip && !strcmp(augment->flip, "horizontal"),
        .mirror_y = flip && !strcmp(augment->flip, "vertical"),
        .factor = 1 + either_way(&source, FACTOR, augment->scale),
        .degrees = either_way(&source, DEGREES, augment->rotate),
        .right = either_way(&source, RIGHT, augment->shift),
        .down = either_way(&source, DOWN, augment->shift),
    };
    if (uniform(&source, ERASE) < augment->erase)
        draw_rectangle(&draw, &source, shape);
    return draw;
}

/* ---- A row ---------------------------------------------------------------------------------- */

static float empty_value(const struct df_augment_view *view, int64_t channel)
{
    return view->offsets ? (float)view->offset[view->offsets > 1 ? channel : 0] : 0;
}

/* One channel as it was, mirrored by the way it is read: pixel (y, x) stands at first[y step_y + x step_x].
 */
struct plane {
    const float *first;
    int64_t h, w, step_y, step_x;
    float empty;
};

static struct plane plane_of(const float *x, struct df_shape shape, float empty,
                             const struct df_augment_draw *draw)
{
    return (struct plane){.first = x + (draw->mirror_y ? (shape.h - 1) * shape.w : 0) +
                                   (draw->mirror_x ? shape.w - 1 : 0),
                          .h = shape.h,
                          .w = shape.w,
                          .step_y = draw->mirror_y ? -shape.w : shape.w,
                          .step_x = draw->mirror_x ? -1 : 1,
                          .empty = empty};
}

static float pixel(const struct plane *plane, int64_t y, int64_t x)
{
    if (y < 0 || y >= plane->h || x < 0 || x >= plane->w)
        return plane->empty;
    return plane->first[y * plane->step_y + x * plane->step_x];
}

/* The value at a place between four pixels. A place on a pixel gives that pixel's bits. */
static float between(const struct plane *plane, double y, double x)
{
    if (!(y > -1 && y < (double)plane->h && x > -1 && x < (double)plane->w))
        return plane->empty;
    const int64_t top = (int64_t)floor(y), left = (int64_t)floor(x);
    const float down = (float)(y - (double)top), right = (float)(x - (double)left);
    float a, b, c, d;
    if (top >= 0 && top + 1 < plane->h && left >= 0 && left + 1 < plane->w) { /* most places */
        const float *at = plane->first + top * plane->step_y + left * plane->step_x;
        a = at[0];
        b = at[plane->step_x];
        c = at[plane->step_y];
        d = at[plane->step_y + plane->step_x];
    } else {
        a = pixel(plane, top, left);
        b = pixel(plane, top, left + 1);
        c = pixel(plane, top + 1, left);
        d = pixel(plane, top + 1, left + 1);
    }
    const float upper = a + right * (b - a), lower = c + right * (d - c);
    return upper + down * (lower - upper);
}

/* Where output pixels come from: x = centre_x + xx u + xy v and y = centre_y + yx u + yy v for an output
 * pixel that is u to the right of the moved centre and v below it. */
struct warp {
    double centre_x, centre_y, right, down;
    double xx, xy, yx, yy;
};

static struct warp warp_of(struct df_shape shape, const struct df_augment_draw *draw)
{
    const double angle = draw->degrees * 0x1.1df46a2529d39p-6; /* pi / 180 */
    const double c = cos(angle) / draw->factor, s = sin(angle) / draw->factor;
    return (struct warp){.centre_x = (double)(shape.w - 1) / 2,
                         .centre_y = (double)(shape.h - 1) / 2,
                         .right = draw->right,
                         .down = draw->down,
                         .xx = c,
                         .xy = s,
                         .yx = -s,
                         .yy = c};
}

static void warp_plane(float *to, const struct plane *plane, const struct warp *warp)
{
    for (int64_t y = 0; y < plane->h; y++) {
        const double v = (double)y - warp->centre_y - warp->down;
        const double from_x = warp->centre_x + warp->xy * v, from_y = warp->centre_y + warp->yy * v;
        for (int64_t x = 0; x < plane->w; x++) {
            const double u = (double)x - warp->centre_x - warp->right;
            to[y * plane->w + x] = between(plane, from_y + warp->yx * u, from_x + warp->xx * u);
        }
    }
}

static void copy_plane(float *to, const struct plane *plane)
{
    for (int64_t y = 0; y < plane->h; y++)
        for (int64_t x = 0; x < plane->w; x++)
            to[y * plane->w + x] = pixel(plane, y, x);
}

static void erase(float *to, const struct plane *plane, const struct df_augment_draw *draw)
{
    for (int64_t y = draw->top; y < draw->top + draw->height; y++)
        for (int64_t x = draw->left; x < draw->left + draw->width; x++)
            to[y * plane->w + x] = plane->empty;
}

void df_augment_row(float *to, const float *x, const struct df_augment_view *view,
                    const struct df_augment_draw *draw)
{
    const struct df_shape shape = view->shape;
    const int64_t size = shape.h * shape.w;
    const bool still = draw->factor == 1 && draw->degrees == 0 && draw->right == 0 && draw->down == 0;
    const struct warp warp = warp_of(shape, draw);
    for (int64_t channel = 0; channel < shape.c; channel++) {
        const struct plane plane = plane_of(x + channel * size, shape, empty_value(view, channel), draw);
        if (still)
            copy_plane(to + channel * size, &plane);
        else
            warp_plane(to + channel * size, &plane, &warp);
        erase(to + channel * size, &plane, draw);
    }
}
