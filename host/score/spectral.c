/* SPDX-License-Identifier: Apache-2.0 */
#include "score/spectral.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "score/row_values.h"

/* Channels of the narrower side, and weights: W* W is made and squared at many points. A product has one. */
enum { MOST_CHANNELS = 32, MOST_OF_PRODUCT = 128, MOST_KERNEL = 7, MOST_WEIGHTS = 1 << 17 };
/* Points of the grid for each step between taps: they find cos(pi / 32) of a maximum, 99.5 %. */
enum { POINTS_A_STEP = 16 };
/* 2^8 powers: what is left of the dimension n is n^(1/1024). */
enum { SQUARINGS = 8 };
static const double pi = 3.14159265358979323846;
/* Sums of products of at most 128 doubles, eight times squared, are far nearer than this. */
static const double rounding = 1 + 1e-6;

struct complex_matrix {
    double *re, *im; /* [n, n] */
};

/* One filter bank at many angles. */
struct transfer {
    const struct df_filters *filters;
    bool absolute, wide; /* wide: more inputs than outputs, so W W* is the smaller product */
    int64_t n, most;     /* rows of the smaller product, and of the other side */
    struct complex_matrix at, power, square;
    double *memory;
};

static bool is_product(const struct df_filters *f)
{
    return f->kernel[0] == 1 && f->kernel[1] == 1;
}

static int64_t narrow(const struct df_filters *f)
{
    return f->in < f->out ? f->in : f->out;
}

bool df_spectral_can(const struct df_filters *f)
{
    return is_product(f) ||
           (narrow(f) <= MOST_CHANNELS && f->kernel[0] <= MOST_KERNEL && f->kernel[1] <= MOST_KERNEL &&
            f->out * f->in * f->kernel[0] * f->kernel[1] <= MOST_WEIGHTS);
}

static double weight_of(const struct transfer *t, int64_t element)
{
    const double value = (double)t->filters->weight[element];
    return t->absolute ? fabs(value) : value;
}

/* W(theta) [out, in], transposed where it is wide, so that its columns are the few. */
static void transfer_at(const struct transfer *t, double down, double right)
{
    const struct df_filters *f = t->filters;
    const int64_t taps = (int64_t)f->kernel[0] * f->kernel[1];
    double re[MOST_KERNEL * MOST_KERNEL] = {0}, im[MOST_KERNEL * MOST_KERNEL] = {0};
    for (int32_t i = 0; i < f->kernel[0]; i++)
        for (int32_t j = 0; j < f->kernel[1]; j++) {
            re[i * f->kernel[1] + j] = cos(i * down + j * right);
            im[i * f->kernel[1] + j] = sin(i * down + j * right);
        }
    for (int64_t o = 0; o < f->out; o++)
        for (int64_t c = 0; c < f->in; c++) {
            const int64_t to = t->wide ? c * t->n + o : o * t->n + c;
            t->at.re[to] = t->at.im[to] = 0;
            for (int64_t k = 0; k < taps; k++) {
                const double w = weight_of(t, (o * f->in + c) * taps + k);
                t->at.re[to] += w * re[k];
                t->at.im[to] += w * im[k];
            }
        }
}

/* out = a* a [n, n] of a [rows, n]. */
static void gram(const struct complex_matrix *out, const struct complex_matrix *a, int64_t rows, int64_t n)
{
    memset(out->re, 0, (size_t)(n * n) * sizeof(double));
    memset(out->im, 0, (size_t)(n * n) * sizeof(double));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            const double x = a->re[r * n + i], y = a->im[r * n + i];
            double *re = out->re + i * n, *im = out->im + i * n;
            for (int64_t j = 0; j < n; j++) {
                re[j] += x * a->re[r * n + j] + y * a->im[r * n + j];
                im[j] += x * a->im[r * n + j] - y * a->re[r * n + j];
            }
        }
}

static double frobenius(const struct complex_matrix *a, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n * n; i++)
        sum += a->re[i] * a->re[i] + a->im[i] * a->im[i];
    return sqrt(sum);
}

static void divide(const struct complex_matrix *a, int64_t n, double by)
{
    for (int64_t i = 0; i < n * n; i++) {
        a->re[i] /= by;
        a->im[i] /= by;
    }
}

/* A bound of the norm at one point. Bounds fall from squaring to squaring: one that is no larger than `known`
 * changes no maximum, and is not made better. */
static double norm_at(struct transfer *t, double down, double right, double known)
{
    double exponent = 0.5, bound = 1;
    transfer_at(t, down, right);
    gram(&t->power, &t->at, t->most, t->n);
    for (int s = 0;; s++) {
        const double size = frobenius(&t->power, t->n);
        if (size == 0 || !isfinite(size))
            return size == 0 ? 0 : INFINITY;
        bound *= pow(size, exponent);
        if (s == SQUARINGS || bound <= known)
            return bound;
        divide(&t->power, t->n, size);
        gram(&t->square, &t->power, t->n, t->n); /* Hermitian: its own square */
        const struct complex_matrix swap = t->power;
        t->power = t->square;
        t->square = swap;
        exponent /= 2;
    }
}

/* W(-theta) is the conjugate of W(theta): half of the angles to the right tell all. */
static double largest_of_grid(struct transfer *t)
{
    const struct df_filters *f = t->filters;
    int32_t points[2];
    double found = 1, largest = 0;
    for (int axis = 0; axis < 2; axis++) {
        const int32_t steps = f->kernel[axis] - 1;
        /* |W| has its maximum where nothing cancels. */
        points[axis] = steps > 0 && !t->absolute ? steps * POINTS_A_STEP : 1;
        if (!t->absolute)
            found *= cos(steps * pi / (2.0 * points[axis]));
    }
    for (int32_t i = 0; i < points[0]; i++)
        for (int32_t j = 0; j <= points[1] / 2; j++) {
            const double norm = norm_at(t, 2 * pi * i / points[0], 2 * pi * j / points[1], largest);
            largest = norm > largest ? norm : largest;
        }
    return largest / found;
}

dfal_status df_spectral_norm(double *norm, const struct df_filters *filters, bool absolute)
{
    *norm = INFINITY;
    if (!df_spectral_can(filters))
        return DFAL_OK;
    struct transfer t = {.filters = filters,
                         .absolute = absolute,
                         .wide = filters->in > filters->out,
                         .n = narrow(filters),
                         .most = filters->in + filters->out - narrow(filters)};
    if (t.n > MOST_OF_PRODUCT) {
        *norm = df_row_length(filters->weight, filters->out * filters->in) * rounding; /* Frobenius' */
        return DFAL_OK;
    }
    const int64_t square = t.n * t.n, whole = t.n * t.most;
    DF_TRY(df_alloc(&t.memory, 4 * square + 2 * whole, sizeof *t.memory));
    t.power = (struct complex_matrix){t.memory, t.memory + square};
    t.square = (struct complex_matrix){t.memory + 2 * square, t.memory + 3 * square};
    t.at = (struct complex_matrix){t.memory + 4 * square, t.memory + 4 * square + whole};
    *norm = largest_of_grid(&t) * rounding;
    df_free(t.memory);
    return DFAL_OK;
}
