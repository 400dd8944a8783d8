/* SPDX-License-Identifier: Apache-2.0 */
/* What strategies need: margins, logits, a number of each row's logits; computed, or taken from a file. */
#include "strategy/selection_needs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "score/pass.h"

int df_compare_rows(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t df_row_position(const int64_t *rows, int64_t n, int64_t row)
{
    const int64_t *found = bsearch(&row, rows, (size_t)n, sizeof *rows, df_compare_rows);
    return found ? found - rows : -1;
}

/* ---- margins and twins ------------------------------------------------------------------------------- */

/* Margins by position in ascending rows; twins by position in rank order. */
struct margin_sink {
    struct df_sink sink;
    const int64_t *rows;
    int64_t n;
    struct df_scores *scores;
    struct df_selection *selection; /* twins */
};

static dfal_status put_margin(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    struct margin_sink *sink = (struct margin_sink *)self;
    (void)adversarial;
    int64_t at = df_row_position(sink->rows, sink->n, margin->index);
    if (at < 0)
        DF_FAIL(DFAL_E_INTERNAL, "a margin of row %lld came back that was not asked for",
                (long long)margin->index);
    df_margin_store(sink->scores, at, margin);
    return DFAL_OK;
}

static dfal_status put_twin(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    struct df_selection *selection = ((struct margin_sink *)self)->selection;
    for (int64_t i = 0; i < selection->twin_count; i++) {
        if (selection->index[i] != margin->index)
            continue;
        selection->adversarial_class[i] = margin->adversarial_class;
        selection->status[i] = margin->status;
        if (adversarial && margin->status == DFAL_SCORE_OK)
            memcpy(selection->twin + i * selection->size, adversarial,
                   (size_t)selection->size * sizeof(float));
        return DFAL_OK;
    }
    DF_FAIL(DFAL_E_INTERNAL, "a twin of row %lld came back that was not asked for", (long long)margin->index);
}

static dfal_status run_deepfool(const struct df_select_work *work, const int64_t *rows, int64_t n,
                                struct df_sink *sink, const char *what)
{
    struct df_deepfool_engine *engine = NULL;
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    struct df_progress progress;
    dfal_status status;
    df_progress_begin(&progress, work->context, what, "samples", n, 0);
    df_list_source_init(&source, rows, n);
    DF_TRY_TO(done, status,
              df_deepfool_create(&engine, work->context, work->device, work->network, work->pool,
                                 &work->options->deepfool, work->options->batch, work->options->how));
    DF_TRY_TO(done, status, df_stream_open(&stream, work->pool, &source.source));
    status = df_deepfool_run(engine, stream, sink, &progress);
done:
    df_stream_close(stream);
    df_deepfool_destroy(engine);
    df_progress_end(&progress);
    return status;
}

/* Cut a scores file's rows down to the candidates'. */
static dfal_status keep_rows(struct df_scores *scores, const int64_t *rows, int64_t n)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++, at++) {
        while (at < scores->count && scores->index[at] < rows[i])
            at++;
        if (at == scores->count || scores->index[at] != rows[i])
            DF_FAIL(DFAL_E_INTERNAL, "there is no score of row %lld, expected those of all candidates",
                    (long long)rows[i]);
        scores->index[i] = scores->index[at];
        scores->margin[i] = scores->margin[at];
        scores->first_margin[i] = scores->first_margin[at];
        scores->logit_gap[i] = scores->logit_gap[at];
        scores->status[i] = scores->status[at];
        scores->label[i] = scores->label[at];
        scores->adversarial_class[i] = scores->adversarial_class[at];
        scores->iterations[i] = scores->iterations[at];
        if (scores->id && at != i) {
            df_free(scores->id[i]);
            scores->id[i] = scores->id[at];
            scores->id[at] = NULL;
        }
    }
    for (int64_t i = n; scores->id && i < scores->count; i++)
        df_free(scores->id[i]);
    scores->count = n;
    return DFAL_OK;
}

static dfal_status find_margins(struct df_select_work *work)
{
    if (work->options->scores) {
        work->known_margins = work->options->scores;
        return keep_rows(work->options->scores, work->rows, work->n);
    }
    DF_TRY(df_scores_alloc(&work->margins, work->n));
    work->known_margins = &work->margins;
    struct margin_sink sink = {
        .sink = {.put = put_margin}, .rows = work->rows, .n = work->n, .scores = &work->margins};
    return run_deepfool(work, work->rows, work->n, &sink.sink, "select.margins");
}

dfal_status df_select_twins(const struct df_select_work *work, struct df_selection *selection)
{
    int64_t *rows = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&rows, selection->twin_count, sizeof *rows));
    memcpy(rows, selection->index, (size_t)selection->twin_count * sizeof *rows);
    qsort(rows, (size_t)selection->twin_count, sizeof *rows, df_compare_rows);
    struct margin_sink sink = {.sink = {.put = put_twin, .wants_adversarial = true}, .selection = selection};
    status = run_deepfool(work, rows, selection->twin_count, &sink.sink, "select.twins");
    df_free(rows);
    return status;
}

/* ---- logits ------------------------------------------------------------------------------------------ */

/* Where logits of rows go: whole, or as one number each. */
struct logits_sink {
    const struct df_select_work *work;
    const int64_t *rows; /* ascending */
    int64_t n, k;
    float *logits;     /* [n, K] or NULL */
    double *row_score; /* [n] or NULL */
    int64_t alike;     /* rows that look like probabilities */
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
    if (sink->row_score)
        sink->row_score[at] = sink->work->options->strategy->row_score(values, (int32_t)sink->k);
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
        DF_TRY_TO(done, status, df_context_check_stop(sink->work->context));
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
    const struct df_select_work *work = sink->work;
    struct df_list_source source;
    struct df_progress progress;
    if (!sink->n)
        return DFAL_OK;
    if (work->options->logits)
        return read_logits(sink, work->options->logits);
    df_list_source_init(&source, sink->rows, sink->n);
    if (what)
        df_progress_begin(&progress, work->context, what, "samples", sink->n, 0);
    const struct df_pass_spec pass = {
        .context = work->context,
        .device = work->device,
        .network = work->network,
        .pool = work->pool,
        .progress = what ? &progress : NULL,
    };
    dfal_status status = df_forward_source(&pass, &source.source, put_logits, sink);
    if (what)
        df_progress_end(&progress);
    return status;
}

dfal_status df_select_logits(const struct df_select_work *work, const int64_t *rows, int64_t n, float *logits)
{
    struct logits_sink sink = {
        .work = work, .rows = rows, .n = n, .k = work->network->class_count, .logits = logits};
    return find_logits(&sink, NULL);
}

enum { PROBABILITY_ROWS = 16 };

static dfal_status find_row_scores(struct df_select_work *work)
{
    const struct df_strategy *strategy = work->options->strategy;
    struct df_scores *scores = work->options->scores;
    DF_TRY(df_alloc(&work->row_score, work->n, sizeof *work->row_score));
    if (scores && strategy->scores_row) {
        DF_TRY(keep_rows(scores, work->rows, work->n));
        for (int64_t i = 0; i < work->n; i++)
            work->row_score[i] = strategy->scores_row(scores, i);
        return DFAL_OK;
    }
    struct logits_sink sink = {.work = work,
                               .rows = work->rows,
                               .n = work->n,
                               .k = work->network->class_count,
                               .row_score = work->row_score};
    DF_TRY(find_logits(&sink, "select.logits"));
    if (sink.alike == work->n && work->n >= PROBABILITY_ROWS)
        DF_FAIL(DFAL_E_DATA,
                "the network's outputs look like probabilities (all %lld rows lie in [0,1] and sum to 1): "
                "strategy %s needs logits, so cut the softmax off",
                (long long)work->n, strategy->name);
    return DFAL_OK;
}

dfal_status df_select_needs(struct df_select_work *work)
{
    const struct df_strategy *strategy = work->options->strategy;
    if (strategy->needs & (DF_NEED_FEATURES | DF_NEED_PASSES))
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "strategy '%s' needs features or stochastic passes, which this version does not compute",
                strategy->name);
    if (strategy->needs & DF_NEED_LOGITS) {
        DF_TRY(df_alloc(&work->logits, work->n * work->network->class_count, sizeof *work->logits));
        DF_TRY(df_select_logits(work, work->rows, work->n, work->logits));
    }
    if (strategy->needs & DF_NEED_ROW_SCORES)
        DF_TRY(find_row_scores(work));
    return strategy->needs & DF_NEED_MARGINS ? find_margins(work) : DFAL_OK;
}

void df_select_needs_clear(struct df_select_work *work)
{
    df_free(work->own_rows);
    df_scores_clear(&work->margins);
    df_free(work->logits);
    df_free(work->row_score);
}
