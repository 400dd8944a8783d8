/* SPDX-License-Identifier: Apache-2.0 */
/* Augmentation: closed forms of what is done to a row, and draws within what was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "net/augment.h"
#include "support.h"

static const struct df_augment_draw nothing = {.factor = 1};
enum { MOST = 256 };
static const struct df_augment none = {.flip = "none"};

/* ---- A row ---------------------------------------------------------------------------------- */

static void fill(float *x, struct df_shape shape)
{
    for (int64_t i = 0; i < df_shape_size(shape); i++)
        x[i] = (float)(i * 7 % 31 + 1);
}

static float at(const float *x, struct df_shape shape, int64_t c, int64_t row, int64_t col,
                const float *empty)
{
    const bool inside = row >= 0 && row < shape.h && col >= 0 && col < shape.w;
    return inside ? x[(c * shape.h + row) * shape.w + col] : empty[c];
}

/* What is drawn moves the pixel that stands at (sy(row, col), sx(row, col)) to (row, col). */
typedef void place_fn(struct df_shape shape, int64_t *row, int64_t *col);

static void check_places(const struct df_augment_draw *draw, struct df_shape shape, place_fn *from)
{
    static const double offset[] = {-0.5, 40, 100};
    const float empty[] = {-0.5F, 40, 100};
    const struct df_augment_view view = {shape, offset, 3};
    float x[MOST], found[MOST], expected[MOST];
    assert_true(df_shape_size(shape) <= MOST && shape.c <= 3);
    fill(x, shape);
    for (int64_t c = 0, i = 0; c < shape.c; c++)
        for (int64_t row = 0; row < shape.h; row++)
            for (int64_t col = 0; col < shape.w; col++) {
                int64_t y = row, z = col;
                from(shape, &y, &z);
                expected[i++] = at(x, shape, c, y, z, empty);
            }
    df_augment_row(found, x, &view, draw);
    test_same_floats("row", found, expected, df_shape_size(shape));
}

static void from_shift(struct df_shape shape, int64_t *row, int64_t *col)
{
    (void)shape;
    *row += 1;
    *col -= 2;
}
static void from_far(struct df_shape shape, int64_t *row, int64_t *col)
{
    *row += shape.h;
    *col += shape.w;
}
static void from_mirror(struct df_shape shape, int64_t *row, int64_t *col)
{
    (void)row;
    *col = shape.w - 1 - *col;
}
static void from_upside_down(struct df_shape shape, int64_t *row, int64_t *col)
{
    (void)col;
    *row = shape.h - 1 - *row;
}
/* A quarter turn clockwise: the first row comes from the first column, upwards. */
static void from_turn(struct df_shape shape, int64_t *row, int64_t *col)
{
    const int64_t y = *row;
    *row = shape.h - 1 - *col;
    *col = y;
}
static void from_half_turn(struct df_shape shape, int64_t *row, int64_t *col)
{
    *row = shape.h - 1 - *row;
    *col = shape.w - 1 - *col;
}
static void from_small(struct df_shape shape, int64_t *row, int64_t *col)
{
    *row = 2 * *row - (shape.h - 1) / 2;
    *col = 2 * *col - (shape.w - 1) / 2;
}
/* Mirrored first, then moved. */
static void from_mirror_and_shift(struct df_shape shape, int64_t *row, int64_t *col)
{
    *col -= 2;
    if (*col >= 0 && *col < shape.w)
        *col = shape.w - 1 - *col;
    else
        *row = -1;
}

static void test_places(void **state)
{
    (void)state;
    const struct df_shape wide = {3, 5, 7}, square = {2, 9, 9}, even = {1, 6, 6}, thin = {3, 1, 4};
    check_places(&(struct df_augment_draw){.factor = 1, .right = 2, .down = -1}, wide, from_shift);
    check_places(&(struct df_augment_draw){.factor = 1, .right = 2, .down = -1}, thin, from_shift);
    check_places(&(struct df_augment_draw){.factor = 1, .right = -7, .down = -5}, wide, from_far);
    check_places(&(struct df_augment_draw){.factor = 1, .mirror_x = true}, wide, from_mirror);
    check_places(&(struct df_augment_draw){.factor = 1, .mirror_y = true}, wide, from_upside_down);
    check_places(&(struct df_augment_draw){.factor = 1, .degrees = 90}, square, from_turn);
    check_places(&(struct df_augment_draw){.factor = 1, .degrees = 90}, even, from_turn);
    check_places(&(struct df_augment_draw){.factor = 1, .degrees = 180}, wide, from_half_turn);
    check_places(&(struct df_augment_draw){.factor = 0.5}, square, from_small);
    check_places(&(struct df_augment_draw){.factor = 1, .mirror_x = true, .right = 2}, wide,
                 from_mirror_and_shift);
}

/* Nothing drawn: the same bits, that of the sign of a zero among them. Twice mirrored is not mirrored. */
static void test_same(void **state)
{
    (void)state;
    const struct df_shape shape = {2, 6, 5};
    const struct df_augment_view view = {.shape = shape};
    float x[MOST], once[MOST], twice[MOST];
    test_fill_floats(x, df_shape_size(shape), 3, -1, 1);
    x[7] = -0.0F;
    df_augment_row(once, x, &view, &nothing);
    test_same_floats("nothing", once, x, df_shape_size(shape));
    for (int vertical = 0; vertical < 2; vertical++) {
        const struct df_augment_draw flip = {.factor = 1, .mirror_x = !vertical, .mirror_y = vertical};
        df_augment_row(once, x, &view, &flip);
        assert_memory_not_equal(once, x, sizeof(float) * 60);
        df_augment_row(twice, once, &view, &flip);
        test_same_floats("flipped twice", twice, x, df_shape_size(shape));
    }
}

enum { SIDE = 9 };

/* The value of x + 10 y at the place that a pixel comes from; false: that lies outside. */
static bool check_linear(float found, const struct df_augment_draw *draw, int row, int col)
{
    const double angle = draw->degrees * acos(-1.0) / 180, u = (col - 4 - draw->right) / draw->factor,
                 v = (row - 4 - draw->down) / draw->factor, x = 4 + cos(angle) * u + sin(angle) * v,
                 y = 4 - sin(angle) * u + cos(angle) * v;
    if (x < 0 || x > SIDE - 1 || y < 0 || y > SIDE - 1)
        return false;
    if (fabs((double)found - (x + 10 * y)) > 1e-4)
        test_fail("pixel (%d, %d) is %g, expected %g", row, col, (double)found, x + 10 * y);
    return true;
}

/* A plane x + 10 y is linear, so bilinear interpolation is exact wherever four pixels stand around. */
static void test_between(void **state)
{
    (void)state;
    const struct df_shape shape = {1, SIDE, SIDE};
    const struct df_augment_view view = {.shape = shape};
    const struct df_augment_draw draws[] = {{.factor = 1, .right = 0.25, .down = -0.5},
                                            {.factor = 2},
                                            {.factor = 1.25, .degrees = 30, .right = 1.5},
                                            {.factor = 0.8, .degrees = -17, .down = 0.3}};
    float x[SIDE * SIDE], found[SIDE * SIDE];
    for (int row = 0; row < SIDE; row++)
        for (int col = 0; col < SIDE; col++)
            x[SIDE * row + col] = (float)(col + 10 * row);
    for (size_t d = 0; d < sizeof draws / sizeof *draws; d++) {
        df_augment_row(found, x, &view, &draws[d]);
        int inside = 0;
        for (int row = 0; row < SIDE; row++)
            for (int col = 0; col < SIDE; col++)
                inside += check_linear(found[SIDE * row + col], &draws[d], row, col);
        assert_true(inside > 30);
    }
    /* Half a pixel over the edge is half empty. */
    const double offset = -1;
    const struct df_augment_view dark = {shape, &offset, 1};
    df_augment_row(found, x, &dark, &(struct df_augment_draw){.factor = 1, .right = 0.5});
    for (int row = 0; row < SIDE; row++)
        assert_true(found[SIDE * row] == (-1 + 10 * (float)row) / 2);
}

static void test_erased(void **state)
{
    (void)state;
    const struct df_shape shape = {2, 8, 6};
    static const double offset[] = {-1, -2};
    const struct df_augment_view view = {shape, offset, 2};
    const struct df_augment_draw draw = {
        .factor = 1, .right = 1, .top = 2, .left = 3, .height = 4, .width = 2}; /* last, and not moved */
    float x[96], found[96];
    fill(x, shape);
    df_augment_row(found, x, &view, &draw);
    for (int i = 0; i < 96; i++) {
        const int c = i / 48, row = i / 6 % 8, col = i % 6;
        const bool erased = row >= 2 && row < 6 && col >= 3 && col < 5;
        const float expected = erased || col == 0 ? (float)offset[c] : x[i - 1];
        assert_true(found[i] == expected);
    }
}

/* ---- Draws ---------------------------------------------------------------------------------- */

static const struct df_shape digit = {1, 28, 20};

/* The share of `count` rows for which a thing holds is p to within six deviations. */
static void check_share(const char *what, int64_t found, int64_t count, double p)
{
    const double deviation = sqrt(p * (1 - p) / (double)count), share = (double)found / (double)count;
    if (fabs(share - p) > 6 * deviation)
        test_fail("%s: a share of %g, expected %g", what, share, p);
}

static void test_ranges(void **state)
{
    (void)state;
    enum { ROWS = 4000 };
    const struct df_augment all = {
        .shift = 3, .rotate = 20, .scale = 0.25, .erase = 0.3, .flip = "horizontal"};
    int64_t flips = 0, erased = 0, area = 0;
    double low[4] = {0}, high[4] = {0}, sum[4] = {0};
    for (int64_t row = 0; row < ROWS; row++) {
        const struct df_augment_draw draw = df_augment_draw(&all, digit, 5, (int32_t)(row % 7), row);
        const double part[4] = {draw.right / 3, draw.down / 3, draw.degrees / 20, (draw.factor - 1) / 0.25};
        for (int k = 0; k < 4; k++) {
            low[k] = fmin(low[k], part[k]);
            high[k] = fmax(high[k], part[k]);
            sum[k] += part[k];
        }
        flips += draw.mirror_x;
        assert_false(draw.mirror_y);
        erased += draw.height > 0;
        area += draw.height * draw.width;
        assert_true(draw.height >= 0 && draw.height <= 14 && draw.width >= 0 && draw.width <= 10);
        assert_true((draw.height > 0) == (draw.width > 0));
        assert_true(draw.top >= 0 && draw.top + draw.height <= 28 && draw.left >= 0 &&
                    draw.left + draw.width <= 20);
    }
    for (int k = 0; k < 4; k++) /* uniform in [-1, 1): mean 0 and deviation 1/sqrt 3 */
        assert_true(low[k] >= -1 && low[k] < -0.99 && high[k] < 1 && high[k] > 0.99 &&
                    fabs(sum[k]) < 6 * sqrt(ROWS / 3.0));
    check_share("flipped", flips, ROWS, 0.5);
    check_share("erased", erased, ROWS, 0.3);
    /* Sides are uniform from 1 to 14 and 1 to 10: 7.5 by 5.5 on average. */
    assert_true(fabs((double)area / (double)erased - 7.5 * 5.5) < 6 * 30 / sqrt((double)erased));
}

static bool same_draw(const struct df_augment_draw *a, const struct df_augment_draw *b)
{
    return a->mirror_x == b->mirror_x && a->mirror_y == b->mirror_y && a->factor == b->factor &&
           a->degrees == b->degrees && a->right == b->right && a->down == b->down && a->top == b->top &&
           a->left == b->left && a->height == b->height && a->width == b->width;
}

/* Every row of every epoch and seed has draws of its own; one kind of them does not depend on the others. */
static void test_draws(void **state)
{
    (void)state;
    const struct df_augment shift = {.shift = 2, .flip = "none"},
                            more = {.shift = 2, .rotate = 5, .erase = 1, .flip = "vertical"};
    assert_true(df_augment_is_none(&none));
    assert_false(df_augment_is_none(&shift));
    assert_false(df_augment_is_none(&(struct df_augment){.rotate = 1, .flip = "none"}));
    assert_false(df_augment_is_none(&(struct df_augment){.scale = 0.1, .flip = "none"}));
    assert_false(df_augment_is_none(&(struct df_augment){.erase = 0.1, .flip = "none"}));
    assert_false(df_augment_is_none(&(struct df_augment){.flip = "vertical"}));
    const struct df_augment_draw first = df_augment_draw(&shift, digit, 1, 0, 0);
    for (int32_t epoch = 0; epoch < 3; epoch++)
        for (int64_t row = 0; row < 50; row++)
            for (uint64_t seed = 1; seed < 3; seed++) {
                const struct df_augment_draw draw = df_augment_draw(&shift, digit, seed, epoch, row),
                                             other = df_augment_draw(&more, digit, seed, epoch, row),
                                             still = df_augment_draw(&none, digit, seed, epoch, row);
                assert_true(same_draw(&still, &nothing));
                assert_true(draw.right == other.right && draw.down == other.down);
                assert_true(other.height > 0 && !other.mirror_x && draw.height == 0 && !draw.mirror_y);
                assert_true(draw.right != draw.down);
                assert_true(draw.down != df_augment_draw(&shift, digit, seed, epoch, row + 1).right);
                assert_int_equal(same_draw(&draw, &first), epoch == 0 && row == 0 && seed == 1);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places), cmocka_unit_test(test_same),   cmocka_unit_test(test_between),
        cmocka_unit_test(test_erased), cmocka_unit_test(test_ranges), cmocka_unit_test(test_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
