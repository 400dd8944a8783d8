/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "strategy/selection_needs.h"

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

static bool ascending(const int64_t *rows, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (rows[i] <= rows[i - 1])
            return false;
    return true;
}

/* The candidates of this selection, ascending: all of them, or the m with the lowest random numbers of their
 * own, so that neither the list's order nor its other members decide about a row's number. */
static dfal_status find_rows(struct df_select_work *work, const int64_t *candidates, int64_t n)
{
    int64_t m = work->options->subsample;
    struct keyed *keyed = NULL;
    dfal_status status = DFAL_OK;
    bool drawn = m > 0 && m < n;
    uint64_t seed = work->options->seed;
    if (work->options->labelled)
        seed = df_random_child(seed, DF_STREAM_LABELLED, work->options->labelled);
    work->n = drawn ? m : n;
    work->rows = candidates;
    if (!drawn && ascending(candidates, n))
        return DFAL_OK;
    DF_TRY_TO(done, status, df_alloc(&work->own_rows, work->n, sizeof *work->own_rows));
    if (drawn) {
        DF_TRY_TO(done, status, df_alloc(&keyed, n, sizeof *keyed));
        for (int64_t i = 0; i < n; i++)
            keyed[i] = (struct keyed){df_random_bits(seed, DF_STREAM_CANDIDATES, (uint64_t)candidates[i]),
                                      candidates[i]};
        qsort(keyed, (size_t)n, sizeof *keyed, compare_keyed);
        for (int64_t i = 0; i < m; i++)
            work->own_rows[i] = keyed[i].row;
    } else {
        memcpy(work->own_rows, candidates, (size_t)n * sizeof *candidates);
    }
    qsort(work->own_rows, (size_t)work->n, sizeof *work->own_rows, df_compare_rows);
    work->rows = work->own_rows;
done:
    df_free(keyed);
    return status;
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

static dfal_status selection_alloc(struct df_selection *selection, int64_t q, int64_t size)
{
    selection->size = size;
    DF_TRY(df_alloc(&selection->index, q, sizeof *selection->index));
    DF_TRY(df_alloc(&selection->score, q, sizeof *selection->score));
    DF_TRY(df_alloc(&selection->predicted, q, sizeof *selection->predicted));
    DF_TRY(df_alloc(&selection->adversarial_class, q, sizeof *selection->adversarial_class));
    DF_TRY(df_alloc(&selection->confidence, q, sizeof *selection->confidence));
    return df_alloc(&selection->status, q, sizeof *selection->status);
}

/* Some of the chosen: what must be finite before one is taken. */
enum { BLOCK_ROWS = 4096, READ_BYTES = 1 << 24 };
struct block {
    int64_t room, read_rows;
    int64_t *rows; /* ascending */
    bool *finite;  /* the input of each */
    void *raw;
    float *x, *logits;
};

static dfal_status block_open(struct block *block, const struct df_select_work *work, int64_t q)
{
    int64_t size = df_shape_size(work->pool->shape), rows = READ_BYTES / ((int64_t)sizeof(float) * size);
    block->room = q < BLOCK_ROWS ? q : BLOCK_ROWS;
    block->read_rows = rows < 1 ? 1 : rows > block->room ? block->room : rows;
    DF_TRY(df_alloc(&block->rows, block->room, sizeof *block->rows));
    DF_TRY(df_alloc(&block->finite, block->room, sizeof *block->finite));
    DF_TRY(df_alloc(&block->raw, block->read_rows, df_pool_row_bytes(work->pool)));
    DF_TRY(df_alloc(&block->x, block->read_rows * size, sizeof *block->x));
    return df_alloc(&block->logits, block->room * work->network->class_count, sizeof *block->logits);
}

static void block_close(struct block *block)
{
    df_free(block->rows);
    df_free(block->finite);
    df_free(block->raw);
    df_free(block->x);
    df_free(block->logits);
}

/* A NaN in the input may vanish on the way to the logits, so the input itself is looked at. Bytes are always finite. */
static dfal_status look_at_inputs(const struct df_select_work *work, struct block *block, int64_t m)
{
    int64_t size = df_shape_size(work->pool->shape);
    for (int64_t begin = 0; begin < m; begin += block->read_rows) {
        int64_t n = m - begin < block->read_rows ? m - begin : block->read_rows;
        if (work->pool->raw != DF_RAW_U8) {
            DF_TRY(df_pool_gather(work->pool, block->raw, block->rows + begin, n));
            df_pool_decode(work->pool, block->x, block->raw, n);
        }
        for (int64_t i = 0; i < n; i++)
            block->finite[begin + i] = work->pool->raw == DF_RAW_U8 || all_finite(block->x + i * size, size);
    }
    return DFAL_OK;
}

/* The finite ones of m choices, in rank order. */
static dfal_status take_block(const struct df_select_work *work, struct block *block,
                              const struct df_choice *choices, int64_t m, struct df_selection *selection)
{
    int64_t k = work->network->class_count;
    const struct df_scores *margins = work->known_margins;
    for (int64_t i = 0; i < m; i++)
        block->rows[i] = work->rows[choices[i].candidate];
    qsort(block->rows, (size_t)m, sizeof *block->rows, df_compare_rows);
    DF_TRY(look_at_inputs(work, block, m));
    DF_TRY(df_select_logits(work, block->rows, m, block->logits));
    for (int64_t i = 0; i < m; i++) {
        int64_t at = df_row_position(block->rows, m, work->rows[choices[i].candidate]);
        const float *logits = block->logits + at * k;
        if (!block->finite[at] || !all_finite(logits, k)) {
            selection->nonfinite++;
            continue;
        }
        int64_t s = selection->count++;
        selection->index[s] = block->rows[at];
        selection->score[s] = choices[i].score;
        selection->adversarial_class[s] = margins ? margins->adversarial_class[choices[i].candidate] : -1;
        selection->status[s] = margins ? margins->status[choices[i].candidate] : DFAL_SCORE_OK;
        predict(logits, (int32_t)k, &selection->predicted[s], &selection->confidence[s]);
    }
    return DFAL_OK;
}

/* The best q whose input and logits are finite. A chosen one may turn out not to be; then the list is asked for further
 * on, which is why it must begin alike for every length. */
static dfal_status take_best(const struct df_select_work *work, int64_t q, struct df_selection *selection)
{
    const struct df_selection_options *options = work->options;
    const struct df_candidates known = {
        .count = work->n,
        .index = work->rows,
        .class_count = work->network->class_count,
        .logits = work->logits,
        .margins = work->known_margins,
        .row_score = work->row_score,
        .unconverged = options->unconverged ? options->unconverged : "last",
        .seed = options->seed,
    };
    struct block block = {0};
    struct df_choice *choices = NULL;
    int64_t next = 0, chosen = 0;
    dfal_status status;
    DF_TRY_TO(done, status, block_open(&block, work, q));
    for (int64_t want = q; selection->count < q && chosen == next;) {
        DF_TRY_TO(done, status, df_alloc(&choices, want, sizeof *choices));
        DF_TRY_TO(done, status, options->strategy->rank(&known, want, choices, &chosen));
        while (next < chosen && selection->count < q) {
            int64_t m = q - selection->count < chosen - next ? q - selection->count : chosen - next;
            m = m < block.room ? m : block.room;
            DF_TRY_TO(done, status, df_context_check_stop(work->context));
            DF_TRY_TO(done, status, take_block(work, &block, choices + next, m, selection));
            next += m;
        }
        df_free(choices);
        choices = NULL;
        if (chosen < want || want == work->n)
            break;
        want = 2 * want + BLOCK_ROWS < work->n ? 2 * want + BLOCK_ROWS : work->n;
    }
done:
    df_free(choices);
    block_close(&block);
    return status;
}

static int64_t count_nonfinite(const struct df_select_work *work)
{
    int64_t count = 0;
    for (int64_t i = 0; i < work->n; i++) {
        count += work->known_margins && work->known_margins->status[i] == DFAL_SCORE_NONFINITE;
        count += work->row_score && isnan(work->row_score[i]);
    }
    return count;
}

/* Twins of the first n chosen. */
static int64_t twins_of(const struct df_selection_options *options, int64_t n)
{
    if (!options->twins)
        return 0;
    return options->twins_limit > 0 && options->twins_limit < n ? options->twins_limit : n;
}

/* Before the long work, not after it. */
static dfal_status check_twins(const struct df_select_work *work, int64_t twins)
{
    double bytes = (double)twins * (double)df_shape_size(work->pool->shape) * sizeof(float);
    if (bytes > (double)work->context->memory)
        DF_FAIL(DFAL_E_MEMORY, "%lld twins take %.0f MB, expected at most the %.0f MB of --memory",
                (long long)twins, bytes / 1e6, (double)work->context->memory / 1e6);
    return DFAL_OK;
}

static dfal_status find_twins(const struct df_select_work *work, struct df_selection *selection)
{
    int64_t n = twins_of(work->options, selection->count);
    if (!n)
        return DFAL_OK;
    DF_TRY(df_alloc(&selection->twin, n * selection->size, sizeof *selection->twin));
    selection->twin_count = n;
    return df_select_twins(work, selection);
}

/* What is told of a selection is about the pool: its labels, its label files. */
static void count_like_pool(const struct df_network *network, struct df_selection *selection)
{
    for (int64_t i = 0; i < selection->count; i++) {
        selection->predicted[i] = df_network_to_pool(network, selection->predicted[i]);
        selection->adversarial_class[i] = df_network_to_pool(network, selection->adversarial_class[i]);
    }
}

dfal_status df_select(struct dfal_context *context, struct df_device *device,
                      const struct df_network *network, struct df_pool *pool, const int64_t *candidates,
                      int64_t n, const struct df_selection_options *options, struct df_selection *selection)
{
    struct df_select_work work = {
        .context = context, .device = device, .network = network, .pool = pool, .options = options};
    double begin = df_clock();
    dfal_status status;
    *selection = (struct df_selection){0};
    DF_TRY_TO(done, status, find_rows(&work, candidates, n));
    int64_t q = options->count < work.n ? options->count : work.n;
    DF_TRY_TO(done, status, check_twins(&work, twins_of(options, q)));
    DF_TRY_TO(done, status, selection_alloc(selection, q, df_shape_size(pool->shape)));
    if (!work.n)
        goto done;
    DF_TRY_TO(done, status, df_select_needs(&work));
    selection->nonfinite = count_nonfinite(&work);
    DF_TRY_TO(done, status, take_best(&work, q, selection));
    DF_TRY_TO(done, status, find_twins(&work, selection));
    count_like_pool(network, selection);
done:
    selection->seconds = df_clock() - begin;
    df_select_needs_clear(&work);
    if (status != DFAL_OK)
        df_selection_clear(selection);
    return status;
}
