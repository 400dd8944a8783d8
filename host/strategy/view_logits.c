/* SPDX-License-Identifier: Apache-2.0 */
/* Logits of a view's candidates, whole or as a number of each: of a pass, or of the file that the user gave. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "score/pass.h"
#include "strategy/softmax.h"
#include "strategy/strategy.h"
#include "strategy/view_inside.h"

enum { PROBABILITY_ROWS = 16 };

/* Where logits of rows go. */
struct logits_sink {
    const struct df_view *view;
    const int64_t *rows; /* ascending */
    int64_t n, k;
    float *logits;          /* [n, K] or NULL */
    df_row_score_fn *score; /* NULL: nobody wants numbers */
    double *row_score;      /* [n] */
    int64_t alike;          /* rows that look like probabilities */
};

static bool like_probabilities(const float *values, int64_t k)
{
    double sum = 0;
    for (int64_t i = 0; i < k; i++) {
        if (!(values[i] >= 0 && values[i] <= 1))
            return false;
        sum += (double)values[i];
    }
    return fabs(sum - 1) <= 1e-5;
}

static void put_row(struct logits_sink *sink, int64_t at, const float *values)
{
    if (sink->logits)
        memcpy(sink->logits + at * sink->k, values, (size_t)sink->k * sizeof(float));
    if (sink->score)
        sink->row_score[at] = sink->score(values, sink->k);
    sink->alike += like_probabilities(values, sink->k);
}

static dfal_status put_logits(void *user, const int64_t *index, const float *values, int64_t n)
{
    struct logits_sink *sink = user;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = df_row_position(sink->rows, sink->n, index[i]);
        if (at < 0)
            DF_FAIL(DFAL_E_INTERNAL, "logits of row %lld came back that were not asked for",
                    (long long)index[i]);
        put_row(sink, at, values + i * sink->k);
    }
    return DFAL_OK;
}

/* Blocks of neighbouring rows of the file; those between candidates that lie near each other are read along. */
enum { READ_ROWS = 4096, READ_GAP = 64 };

static dfal_status read_logits(struct logits_sink *sink, struct df_table_reader *reader)
{
    float *values = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&values, READ_ROWS * sink->k, sizeof *values));
    status = DFAL_OK;
    for (int64_t begin = 0, end; begin < sink->n && status == DFAL_OK; begin = end) {
        int64_t first = sink->rows[begin];
        for (end = begin + 1; end < sink->n && sink->rows[end] - first < READ_ROWS &&
                              sink->rows[end] - sink->rows[end - 1] <= READ_GAP;
             end++)
            ;
        DF_TRY_TO(done, status, df_context_check_stop(sink->view->context));
        DF_TRY_TO(done, status, df_table_take(reader, first, sink->rows[end - 1] - first + 1, values));
        for (int64_t i = begin; i < end; i++)
            put_row(sink, i, values + (sink->rows[i] - first) * sink->k);
    }
done:
    df_free(values);
    return status;
}

static dfal_status find_logits(struct logits_sink *sink, const char *what)
{
    const struct df_view *view = sink->view;
    struct df_list_source source;
    struct df_progress progress;
    if (!sink->n)
        return DFAL_OK;
    if (view->options->logits)
        return read_logits(sink, view->options->logits);
    df_list_source_init(&source, sink->rows, sink->n);
    if (what)
        df_progress_begin(&progress, view->context, what, "samples", sink->n, 0);
    const struct df_pass_spec pass = {
        .context = view->context,
        .device = view->device,
        .network = view->network,
        .pool = view->pool,
        .progress = what ? &progress : NULL,
    };
    dfal_status status = df_forward_source(&pass, &source.source, put_logits, sink);
    if (what)
        df_progress_end(&progress);
    return status;
}

dfal_status df_view_logits_of(const struct df_view *view, const int64_t *rows, int64_t n, float *logits)
{
    struct logits_sink sink = {
        .view = view, .rows = rows, .n = n, .k = view->network->class_count, .logits = logits};
    return find_logits(&sink, NULL);
}

static dfal_status check_alike(const struct logits_sink *sink)
{
    if (sink->alike == sink->n && sink->n >= PROBABILITY_ROWS)
        DF_FAIL(DFAL_E_DATA,
                "the network's outputs look like probabilities (all %lld rows lie in [0,1] and sum to 1): "
                "strategy %s needs logits, so cut the softmax off",
                (long long)sink->n, sink->view->options->strategy->name);
    return DFAL_OK;
}

/* The logits are there already. */
static dfal_status put_whole(struct logits_sink *sink, const struct df_known *whole)
{
    for (int64_t i = 0; i < sink->n; i++)
        put_row(sink, i, (const float *)whole->values + i * sink->k);
    return DFAL_OK;
}

/* All candidates' logits, whole where score is NULL. */
static dfal_status take(struct df_view *view, df_row_score_fn *score, const void **values)
{
    const int64_t k = view->network->class_count;
    const size_t row_bytes = score ? sizeof(double) : (size_t)k * sizeof(float);
    const struct df_known *whole = df_view_find(view, NULL);
    struct df_known *known = df_view_find(view, score);
    if (!known) {
        DF_TRY(df_view_add(view, &known, score, k, row_bytes));
        struct logits_sink sink = {.view = view, .rows = view->rows, .n = view->count, .k = k};
        sink.score = score;
        if (score)
            sink.row_score = known->values;
        else
            sink.logits = known->values;
        dfal_status status = whole ? put_whole(&sink, whole) : find_logits(&sink, "select.logits");
        DF_KEEP_FIRST(status, check_alike(&sink));
        if (status != DFAL_OK) {
            df_view_drop(view);
            return status;
        }
    }
    *values = known->values;
    return DFAL_OK;
}

dfal_status df_view_logits(struct df_view *view, const float **logits)
{
    const void *values = NULL;
    const double bytes = (double)view->count * view->network->class_count * sizeof(float);
    *logits = NULL;
    if (!df_view_find(view, NULL))
        DF_TRY(df_view_check_memory(view, bytes, "the logits"));
    DF_TRY(take(view, NULL, &values));
    *logits = values;
    return DFAL_OK;
}

dfal_status df_view_row_scores(struct df_view *view, df_row_score_fn *score, const double **scores)
{
    const void *values = NULL;
    *scores = NULL;
    DF_TRY(take(view, score, &values));
    *scores = values;
    return DFAL_OK;
}

/* ---- f_(1) - f_(2) --------------------------------------------------------------------------------------- */

/* A number of float32, as the scores file keeps it, so that both roads give the same ranks. */
static double gap_of_logits(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, (int32_t)class_count) ? (double)(float)softmax.gap : (double)NAN;
}

/* The gap is that of the sample itself, so it does not matter how far DeepFool came: MAX_ITER, ZERO_GRAD and PRUNED
 * rows have one like any other, and so does a NONFINITE one whose first step led out of bounds. Where the sample itself is
 * not finite the file's gap is infinite. */
static double gap_of_scores(const struct df_scores *scores, int64_t row)
{
    float gap = scores->logit_gap[row];
    return scores->status[row] == DFAL_SCORE_NONFINITE && isinf(gap) ? (double)NAN : (double)gap;
}

dfal_status df_view_logit_gaps(struct df_view *view, const double **gaps)
{
    struct df_scores *scores = view->options->scores;
    struct df_known *known = df_view_find(view, gap_of_logits);
    *gaps = NULL;
    if (known || !scores)
        return df_view_row_scores(view, gap_of_logits, gaps);
    DF_TRY(df_scores_keep(scores, view->rows, view->count));
    DF_TRY(df_view_add(view, &known, gap_of_logits, 1, sizeof(double)));
    for (int64_t i = 0; i < view->count; i++)
        ((double *)known->values)[i] = gap_of_scores(scores, i);
    *gaps = known->values;
    return DFAL_OK;
}
