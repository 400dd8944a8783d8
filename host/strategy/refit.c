/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/refit.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "strategy/softmax.h"

enum { BATCH = 32, EPOCHS = 100, PATIENCE = 5, MEMBER = 1000 };

struct fit {
    const struct df_refit *refit;
    double *weight, *best, *v, *gradient; /* [class_count, size + 1] */
    double *logits;                       /* [class_count] */
    int64_t *order;                       /* of an epoch */
    int64_t least;                        /* wrong with the best weights */
};

int32_t df_refit_class(const double *weight, const float *h, int64_t size, int32_t class_count,
                       double *logits)
{
    int32_t best = 0;
    for (int32_t k = 0; k < class_count; k++) {
        const double *row = weight + k * (size + 1);
        double sum = 0;
        for (int64_t i = 0; i < size; i++)
            sum += row[i] * (double)h[i];
        logits[k] = sum + row[size];
        if (logits[k] > logits[best])
            best = k;
    }
    return best;
}

static int64_t weights_of(const struct df_refit *refit)
{
    return refit->class_count * (refit->size + 1);
}

static int64_t count_wrong(const struct fit *fit)
{
    const struct df_refit *refit = fit->refit;
    int64_t wrong = 0;
    for (int64_t i = refit->rows - refit->kept; i < refit->rows; i++) {
        const int64_t row = refit->order[i];
        wrong += df_refit_class(fit->weight, refit->h + row * refit->size, refit->size, refit->class_count,
                                fit->logits) != refit->label[row];
    }
    return wrong;
}

/* Add the gradient of a row's cross-entropy, by 1 / count. */
static void add_gradient(struct fit *fit, int64_t row, int64_t count)
{
    const struct df_refit *refit = fit->refit;
    const float *h = refit->h + row * refit->size;
    (void)df_refit_class(fit->weight, h, refit->size, refit->class_count, fit->logits);
    (void)df_softmax_probabilities(fit->logits, refit->class_count); /* NaN where a weight is not finite */
    for (int32_t k = 0; k < refit->class_count; k++) {
        double *gradient = fit->gradient + k * (refit->size + 1);
        const double d = (fit->logits[k] - (k == refit->label[row])) / (double)count;
        for (int64_t i = 0; i < refit->size; i++)
            gradient[i] += d * (double)h[i];
        gradient[refit->size] += d;
    }
}

static void step(struct fit *fit, double rate)
{
    for (int64_t i = 0; i < weights_of(fit->refit); i++) {
        const double g = fit->gradient[i];
        fit->v[i] = 0.9 * fit->v[i] + 0.1 * g * g;
        fit->weight[i] -= rate * g / (sqrt(fit->v[i]) + 1e-7);
        fit->gradient[i] = 0;
    }
}

static dfal_status run_epoch(struct fit *fit, double rate, uint32_t epoch)
{
    const struct df_refit *refit = fit->refit;
    const int64_t n = refit->rows - refit->kept;
    DF_TRY(df_random_permutation(fit->order, n, refit->seed, DF_STREAM_REFIT,
                                 1 + epoch + MEMBER * refit->member));
    for (int64_t begin = 0; begin < n; begin += BATCH) {
        const int64_t count = n - begin < BATCH ? n - begin : BATCH;
        for (int64_t i = begin; i < begin + count; i++)
            add_gradient(fit, refit->order[fit->order[i]], count);
        step(fit, rate);
    }
    return DFAL_OK;
}

static dfal_status run_stages(struct fit *fit)
{
    static const double rates[] = {1e-3, 1e-5};
    const size_t bytes = (size_t)weights_of(fit->refit) * sizeof(double);
    uint32_t epoch = 0;
    memcpy(fit->best, fit->weight, bytes);
    fit->least = count_wrong(fit);
    for (size_t stage = 0; stage < sizeof rates / sizeof *rates; stage++) {
        for (int e = 0, waited = 0; e < EPOCHS && waited < PATIENCE; e++) {
            if (fit->least <= fit->refit->allowed)
                return DFAL_OK;
            DF_TRY(run_epoch(fit, rates[stage], epoch++));
            const int64_t wrong = count_wrong(fit);
            waited = wrong < fit->least ? 0 : waited + 1;
            if (wrong < fit->least) {
                fit->least = wrong;
                memcpy(fit->best, fit->weight, bytes);
            }
        }
    }
    return DFAL_OK;
}

dfal_status df_refit_run(const struct df_refit *refit, double *weight)
{
    struct fit fit = {.refit = refit, .weight = weight};
    const int64_t count = weights_of(refit);
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&fit.best, count, sizeof *fit.best));
    DF_TRY_TO(done, status, df_alloc(&fit.v, count, sizeof *fit.v));
    DF_TRY_TO(done, status, df_alloc(&fit.gradient, count, sizeof *fit.gradient));
    DF_TRY_TO(done, status, df_alloc(&fit.logits, refit->class_count, sizeof *fit.logits));
    DF_TRY_TO(done, status, df_alloc(&fit.order, refit->rows, sizeof *fit.order));
    DF_TRY_TO(done, status, run_stages(&fit));
    memcpy(weight, fit.best, (size_t)count * sizeof *weight);
done:
    df_free(fit.best);
    df_free(fit.v);
    df_free(fit.gradient);
    df_free(fit.logits);
    df_free(fit.order);
    return status;
}
