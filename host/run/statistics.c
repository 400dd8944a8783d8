/* SPDX-License-Identifier: Apache-2.0 */
#include "run/statistics.h"

#include <math.h>

/* Of the numbers compared: what their difference may owe to it. Tables have nine digits. */
#define ROUNDING 1e-8

void df_mean(const double *x, int32_t n, double *mean, double *standard_error)
{
    double sum = 0, squares = 0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i];
    *mean = n ? sum / n : (double)NAN;
    for (int32_t i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *standard_error = n > 1 ? sqrt(squares / (n - 1) / n) : (double)NAN;
}

/* The continued fraction of the incomplete beta function; converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m <= 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h;
}

/* lgamma keeps its sign in a global. */
static double log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double df_t_two_sided(double t, double freedom)
{
    if (!(freedom >= 1) || isnan(t))
        return NAN;
    if (isinf(t))
        return 0;
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
}

double df_half_interval(double standard_error, int32_t n)
{
    double low = 0, high = 16; /* 12.7 for two values */
    if (n < 2)
        return NAN;
    for (int step = 0; step < 60; step++) {
        const double middle = (low + high) / 2;
        if (df_t_two_sided(middle, n - 1) > 0.05)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2 * standard_error;
}

void df_paired_test(const double *a, const double *b, int32_t n, double *mean, double *standard_error,
                    double *p)
{
    double sum = 0, squares = 0, largest = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += a[i] - b[i];
        largest = fmax(largest, fmax(fabs(a[i]), fabs(b[i])));
    }
    *mean = n ? sum / n : (double)NAN;
    for (int32_t i = 0; i < n; i++)
        squares += (a[i] - b[i] - *mean) * (a[i] - b[i] - *mean);
    *standard_error = n > 1 ? sqrt(squares / (n - 1) / n) : (double)NAN;
    if (*standard_error <= ROUNDING * largest) /* 0.3 - 0.2 and 0.2 - 0.1 are not the same double */
        *standard_error = 0;
    *p = *standard_error > 0 ? df_t_two_sided(*mean / *standard_error, n - 1) : (double)NAN;
}

void df_holm(double *corrected, const double *p, int32_t n)
{
    int32_t tested = 0;
    for (int32_t i = 0; i < n; i++)
        tested += !isnan(p[i]);
    for (int32_t i = 0; i < n; i++) {
        corrected[i] = isnan(p[i]) ? (double)NAN : 0;
        /* The largest of what p[i] and all before it in ascending order come to; equals in the order of their
         * numbers. */
        for (int32_t k = 0; k < n; k++) {
            int32_t before = 0;
            if (!(p[k] < p[i] || (p[k] == p[i] && k <= i)))
                continue;
            for (int32_t j = 0; j < n; j++)
                before += p[j] < p[k] || (p[j] == p[k] && j < k);
            corrected[i] = fmax(corrected[i], fmin(1, p[k] * (tested - before)));
        }
    }
}
