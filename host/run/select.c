/* SPDX-License-Identifier: Apache-2.0 */
#include "run/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "score/pass.h"

void df_selection_clear(struct df_selection *selection)
{
    df_free(selection->index);
    df_free(selection->score);
    df_free(selection->predicted);
    df_free(selection->adversarial_class);
    df_free(selection->confidence);
    df_free(selection->status);
    df_free(selection->twin);
    *selection = (struct df_selection){0};
}

static int compare_rows(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Position of row in ascending rows, -1: none. */
static int64_t position(const int64_t *rows, int64_t n, int64_t row)
{
    const int64_t *found = bsearch(&row, rows, (size_t)n, sizeof *rows, compare_rows);
    return found ? found - rows : -1;
}

struct keyed {
    uint64_t bits;
    int64_t row;
};

static int compare_keyed(const void *a_, const void *b_)
{
    const struct keyed *a = a_, *b = b_;
    if (a->bits != b->bits)
        return a->bits < b->bits ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* The candidates of this selection, ascending: all of them, or the m with the lowest random numbers of their
 * own, so that neither the list's order nor its other members decide about a row's number. */
static dfal_status subsample(int64_t **out, int64_t *count, const int64_t *candidates, int64_t n, int64_t m,
                             uint64_t seed)
{
    int64_t *rows = NULL;
    struct keyed *keyed = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&rows, n, sizeof *rows));
    *count = n;
    if (m > 0 && m < n) {
        DF_TRY_TO(done, status, df_alloc(&keyed, n, sizeof *keyed));
        for (int64_t i = 0; i < n; i++)
            keyed[i] = (struct keyed){df_random_bits(seed, DF_STREAM_CANDIDATES, (uint64_t)candidates[i]),
                                      candidates[i]};
        qsort(keyed, (size_t)n, sizeof *keyed, compare_keyed);
        for (int64_t i = 0; i < m; i++)
            rows[i] = keyed[i].row;
        *count = m;
    } else if (n) {
        memcpy(rows, candidates, (size_t)n * sizeof *rows);
    }
    qsort(rows, (size_t)*count, sizeof *rows, compare_rows);
    *out = rows;
    rows = NULL;
done:
    df_free(rows);
    df_free(keyed);
    return status;
}

/* ---- what strategies need ---------------------------------------------------------------------------- */

/* Margins by position in ascending rows; twins by position in rank order. */
struct margin_sink {
    struct df_sink sink;
    const int64_t *rows;
    int64_t n;
    struct df_scores *scores;
    /* twins */
    const struct df_selection *selection;
};

static dfal_status put_margin(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    struct margin_sink *sink = (struct margin_sink *)self;
    (void)adversarial;
    int64_t at = position(sink->rows, sink->n, margin->index);
    if (at < 0)
        DF_FAIL(DFAL_E_INTERNAL, "a margin of row %lld came back that was not asked for",
                (long long)margin->index);
    struct df_scores *scores = sink->scores;
    scores->index[at] = margin->index;
    scores->margin[at] = margin->margin;
    scores->first_margin[at] = margin->first_margin;
    scores->logit_gap[at] = margin->logit_gap;
    scores->status[at] = margin->status;
    scores->label[at] = margin->label;
    scores->adversarial_class[at] = margin->adversarial_class;
    scores->iterations[at] = margin->iterations;
    return DFAL_OK;
}

static dfal_status put_twin(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    const struct df_selection *selection = ((struct margin_sink *)self)->selection;
    for (int64_t i = 0; i < selection->count; i++) {
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

static dfal_status run_deepfool(struct dfal_context *context, struct df_device *device,
                                const struct df_network *network, struct df_pool *pool,
                                const struct df_selection_options *options, const int64_t *rows, int64_t n,
                                struct df_sink *sink, const char *what)
{
    struct df_deepfool_engine *engine = NULL;
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    struct df_progress progress;
    dfal_status status;
    df_progress_begin(&progress, context, what, "samples", n, 0);
    df_list_source_init(&source, rows, n);
    DF_TRY_TO(done, status,
              df_deepfool_create(&engine, context, device, network, pool, &options->deepfool, options->batch,
                                 true));
    DF_TRY_TO(done, status, df_stream_open(&stream, pool, &source.source));
    status = df_deepfool_run(engine, stream, sink, &progress);
done:
    df_stream_close(stream);
    df_deepfool_destroy(engine);
    df_progress_end(&progress);
    return status;
}

/* Margins of a scores file for our rows. */
static dfal_status take_margins(struct df_scores *to, const int64_t *rows, int64_t n,
                                const struct df_scores *from)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t at = position(from->index, from->count, rows[i]);
        if (at < 0)
            DF_FAIL(DFAL_E_INTERNAL, "there is no margin of row %lld, expected those of all candidates",
                    (long long)rows[i]);
        to->index[i] = rows[i];
        to->margin[i] = from->margin[at];
        to->first_margin[i] = from->first_margin[at];
        to->logit_gap[i] = from->logit_gap[at];
        to->status[i] = from->status[at];
        to->label[i] = from->label[at];
        to->adversarial_class[i] = from->adversarial_class[at];
        to->iterations[i] = from->iterations[at];
    }
    return DFAL_OK;
}

struct logits_of {
    const int64_t *rows;
    int64_t n, k;
    float *logits;
};

static dfal_status put_logits(void *user, const int64_t *index, const float *values, int64_t n)
{
    struct logits_of *to = user;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = position(to->rows, to->n, index[i]);
        if (at < 0)
            DF_FAIL(DFAL_E_INTERNAL, "logits of row %lld came back that were not asked for",
                    (long long)index[i]);
        memcpy(to->logits + at * to->k, values + i * to->k, (size_t)to->k * sizeof(float));
    }
    return DFAL_OK;
}

/* logits [n, K] of ascending rows. */
static dfal_status forward(struct dfal_context *context, struct df_device *device,
                           const struct df_network *network, struct df_pool *pool, const int64_t *rows,
                           int64_t n, float *logits)
{
    struct df_list_source source;
    struct logits_of to = {.rows = rows, .n = n, .k = network->class_count, .logits = logits};
    if (!n)
        return DFAL_OK;
    df_list_source_init(&source, rows, n);
    return df_forward_pass(context, device, network, pool, &source.source, NULL, NULL, put_logits, &to);
}

/* ---- taking the best --------------------------------------------------------------------------------- */

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static void predict(const float *logits, int32_t k, int32_t *label, double *confidence)
{
    int32_t best = 0;
    double sum = 0;
    for (int32_t i = 1; i < k; i++)
        if (logits[i] > logits[best])
            best = i;
    for (int32_t i = 0; i < k; i++)
        sum += exp((double)logits[i] - logits[best]);
    *label = best;
    *confidence = 1 / sum;
}

static dfal_status selection_alloc(struct df_selection *selection, int64_t q, int64_t size, bool twins)
{
    selection->size = size;
    DF_TRY(df_alloc(&selection->index, q, sizeof *selection->index));
    DF_TRY(df_alloc(&selection->score, q, sizeof *selection->score));
    DF_TRY(df_alloc(&selection->predicted, q, sizeof *selection->predicted));
    DF_TRY(df_alloc(&selection->adversarial_class, q, sizeof *selection->adversarial_class));
    DF_TRY(df_alloc(&selection->confidence, q, sizeof *selection->confidence));
    DF_TRY(df_alloc(&selection->status, q, sizeof *selection->status));
    if (twins)
        DF_TRY(df_alloc(&selection->twin, q * size, sizeof *selection->twin));
    return DFAL_OK;
}

struct work {
    int64_t *rows; /* ascending: the candidates of this selection */
    int64_t n;
    struct df_scores margins;
    float *logits;
    struct df_choice *choices;
    int64_t chosen;
    /* a block of the chosen */
    int64_t *block;
    void *raw;
    float *x, *block_logits;
};

static void work_clear(struct work *work)
{
    df_free(work->rows);
    df_scores_clear(&work->margins);
    df_free(work->logits);
    df_free(work->choices);
    df_free(work->block);
    df_free(work->raw);
    df_free(work->x);
    df_free(work->block_logits);
}

enum { BLOCK = 256 };

/* Take choices in rank order until q finite ones stand in the selection. */
static dfal_status take_finite(struct dfal_context *context, struct df_device *device,
                               const struct df_network *network, struct df_pool *pool, int64_t q,
                               struct work *work, struct df_selection *selection)
{
    int64_t size = df_shape_size(pool->shape), k = network->class_count;
    DF_TRY(df_alloc(&work->block, BLOCK, sizeof *work->block));
    DF_TRY(df_alloc(&work->raw, BLOCK, df_pool_row_bytes(pool)));
    DF_TRY(df_alloc(&work->x, BLOCK * size, sizeof *work->x));
    DF_TRY(df_alloc(&work->block_logits, BLOCK * k, sizeof *work->block_logits));
    for (int64_t next = 0; next < work->chosen && selection->count < q;) {
        DF_TRY(df_context_check_stop(context));
        int64_t want = q - selection->count, left = work->chosen - next;
        int64_t m = want < left ? want : left;
        m = m < BLOCK ? m : BLOCK;
        for (int64_t i = 0; i < m; i++)
            work->block[i] = work->rows[work->choices[next + i].candidate];
        qsort(work->block, (size_t)m, sizeof *work->block, compare_rows);
        DF_TRY(df_pool_gather(pool, work->raw, work->block, m));
        df_pool_decode(pool, work->x, work->raw, m);
        DF_TRY(forward(context, device, network, pool, work->block, m, work->block_logits));
        for (int64_t i = 0; i < m; i++) {
            const struct df_choice *choice = &work->choices[next + i];
            int64_t at = position(work->block, m, work->rows[choice->candidate]);
            const float *logits = work->block_logits + at * k;
            if (!all_finite(work->x + at * size, size) || !all_finite(logits, k)) {
                selection->nonfinite++;
                continue;
            }
            int64_t s = selection->count++;
            selection->index[s] = work->rows[choice->candidate];
            selection->score[s] = choice->score;
            selection->adversarial_class[s] = -1;
            selection->status[s] = DFAL_SCORE_OK;
            predict(logits, (int32_t)k, &selection->predicted[s], &selection->confidence[s]);
            if (work->margins.count) {
                selection->adversarial_class[s] = work->margins.adversarial_class[choice->candidate];
                selection->status[s] = work->margins.status[choice->candidate];
            }
        }
        next += m;
    }
    return DFAL_OK;
}

static dfal_status compute_needs(struct dfal_context *context, struct df_device *device,
                                 const struct df_network *network, struct df_pool *pool,
                                 const struct df_selection_options *options, struct work *work)
{
    int needs = options->strategy->needs;
    if (needs & (DF_NEED_FEATURES | DF_NEED_PASSES))
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "strategy '%s' needs features or stochastic passes, which this version does not compute",
                options->strategy->name);
    if (needs & DF_NEED_LOGITS) {
        DF_TRY(df_alloc(&work->logits, work->n * network->class_count, sizeof *work->logits));
        DF_TRY(forward(context, device, network, pool, work->rows, work->n, work->logits));
    }
    if (needs & DF_NEED_MARGINS) {
        DF_TRY(df_scores_alloc(&work->margins, work->n));
        if (options->scores)
            return take_margins(&work->margins, work->rows, work->n, options->scores);
        struct margin_sink sink = {
            .sink = {.put = put_margin}, .rows = work->rows, .n = work->n, .scores = &work->margins};
        return run_deepfool(context, device, network, pool, options, work->rows, work->n, &sink.sink,
                            "select.margins");
    }
    return DFAL_OK;
}

dfal_status df_select(struct dfal_context *context, struct df_device *device,
                      const struct df_network *network, struct df_pool *pool, const int64_t *candidates,
                      int64_t n, const struct df_selection_options *options, struct df_selection *selection)
{
    struct work work = {0};
    int64_t *twin_rows = NULL;
    double begin = df_clock();
    dfal_status status;
    *selection = (struct df_selection){0};
    DF_TRY_TO(done, status, subsample(&work.rows, &work.n, candidates, n, options->subsample, options->seed));
    int64_t q = options->count < work.n ? options->count : work.n;
    double twin_bytes = (double)q * (double)df_shape_size(pool->shape) * sizeof(float);
    if (options->twins && twin_bytes > (double)context->memory) {
        status = df_fail(DFAL_E_MEMORY, "%lld twins take %.0f MB, expected at most the %.0f MB of --memory",
                         (long long)q, twin_bytes / 1e6, (double)context->memory / 1e6);
        goto done;
    }
    DF_TRY_TO(done, status, selection_alloc(selection, q, df_shape_size(pool->shape), options->twins));
    if (!work.n)
        goto done;
    DF_TRY_TO(done, status, compute_needs(context, device, network, pool, options, &work));

    /* All are ranked, because a chosen one may turn out not finite and the next steps in. */
    struct df_candidates known = {
        .count = work.n,
        .index = work.rows,
        .class_count = network->class_count,
        .logits = work.logits,
        .margins = work.margins.count ? &work.margins : NULL,
        .unconverged = options->unconverged ? options->unconverged : "last",
        .seed = options->seed,
    };
    for (int64_t i = 0; i < work.margins.count; i++)
        selection->nonfinite += work.margins.status[i] == DFAL_SCORE_NONFINITE;
    DF_TRY_TO(done, status, df_alloc(&work.choices, work.n, sizeof *work.choices));
    DF_TRY_TO(done, status, options->strategy->rank(&known, work.n, work.choices, &work.chosen));
    DF_TRY_TO(done, status, take_finite(context, device, network, pool, q, &work, selection));

    /* Twins of the chosen only: their rows run again, so memory does not grow with the pool. */
    if (options->twins && selection->count) {
        DF_TRY_TO(done, status, df_alloc(&twin_rows, selection->count, sizeof *twin_rows));
        memcpy(twin_rows, selection->index, (size_t)selection->count * sizeof *twin_rows);
        qsort(twin_rows, (size_t)selection->count, sizeof *twin_rows, compare_rows);
        struct margin_sink sink = {.sink = {.put = put_twin, .wants_adversarial = true},
                                   .selection = selection};
        status = run_deepfool(context, device, network, pool, options, twin_rows, selection->count,
                              &sink.sink, "select.twins");
    }
done:
    selection->seconds = df_clock() - begin;
    df_free(twin_rows);
    work_clear(&work);
    if (status != DFAL_OK)
        df_selection_clear(selection);
    return status;
}
