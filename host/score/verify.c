/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_verify_scores: samples of a scores file computed once more in float64, on the network as it stands,
 * unfolded.
 *
 * A margin's error is |stored - recomputed| / max(|recomputed|, 1e-3); a row disagrees when that passes 1e-3
 * or when status or class differ (5e-2 for precision fast). Where two boundaries are almost equally near,
 * float32 may take the other one; so a row that disagrees is passed over when the arithmetic that wrote the
 * file, if this machine has it, gives the very bits that are stored: one row, and two in a hundred.
 *
 * Without overshoot the last step ends on the boundary itself, where rounding decides whether the sample has
 * flipped: then OK and MAX_ITER count as the same end, and so do the classes behind the boundary. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/sized.h"
#include "score/deepfool_engine.h"
#include "score/pass.h"
#include "score/pool_network.h"
#include "store/labels.h"
#include "store/stream.h"

/* The rows to look at (ascending), what is stored of them and what is recomputed. */
struct comparison {
    int64_t count, taken; /* taken: rows whose stored values were read */
    int64_t *rows;
    struct df_margin *stored, *again, *reference; /* again: of the last recomputation; reference: float64 */
    bool *differs;
};

static void comparison_clear(struct comparison *c)
{
    df_free(c->rows);
    df_free(c->stored);
    df_free(c->again);
    df_free(c->reference);
    df_free(c->differs);
}

struct margin_sink {
    struct df_margin_sink sink;
    struct comparison *comparison;
};

static dfal_status margin_put(struct df_margin_sink *self, const struct df_margin *margin,
                              const float *adversarial)
{
    (void)adversarial;
    struct comparison *c = ((struct margin_sink *)self)->comparison;
    c->again[df_row_position(c->rows, c->count, margin->index)] = *margin;
    return DFAL_OK;
}

static dfal_status recompute(struct comparison *c, struct dfal_context *context, struct df_device *device,
                             const struct df_network *network, struct df_pool *pool,
                             const struct df_deepfool *deepfool, int how)
{
    struct df_deepfool_engine *engine = NULL;
    struct df_row_stream *stream = NULL;
    struct margin_sink sink = {.sink.put = margin_put, .comparison = c};
    struct df_list_source source;
    df_list_source_init(&source, c->rows, c->count);
    dfal_status status;
    DF_TRY_TO(done, status, df_deepfool_create(&engine, context, device, network, pool, deepfool, 0, how));
    DF_TRY_TO(done, status, df_stream_open(&stream, pool, &source.source));
    status = df_deepfool_run(engine, stream, &sink.sink, NULL);
done:
    df_stream_close(stream);
    df_deepfool_destroy(engine);
    return status;
}

/* Rows that DeepFool did not run on hold a bound, or nothing. */
static dfal_status draw_rows(void *user, int64_t begin, const struct df_rows *block)
{
    struct df_draw *draw = user;
    const uint8_t *status = block->column[DF_SCORES_status];
    for (int64_t i = 0; i < block->count; i++)
        if (status[i] != DFAL_SCORE_PRUNED && status[i] != DFAL_SCORE_UNSCORED)
            df_draw_add(draw, begin + i);
    return DFAL_OK;
}

/* What is stored of the rows that were chosen: c->rows are rows of the file until they become rows of the
 * pool. */
static dfal_status keep_chosen(void *user, int64_t begin, const struct df_rows *rows)
{
    struct comparison *c = user;
    const struct df_scores scores = df_scores_of(rows), *block = &scores;
    for (; c->taken < c->count && c->rows[c->taken] < begin + block->count; c->taken++) {
        const int64_t i = c->rows[c->taken] - begin;
        c->rows[c->taken] = block->index[i];
        c->stored[c->taken] = df_margin_load(block, i);
    }
    return DFAL_OK;
}

/* Seeded rows of the file, in file order. */
static dfal_status choose(struct comparison *c, struct df_rows_reader *reader, int64_t samples, uint64_t seed)
{
    const int64_t most = samples < df_rows_count(reader) ? samples : df_rows_count(reader);
    struct df_draw draw;
    dfal_status status;
    DF_TRY_TO(done, status, df_draw_open(&draw, most, seed, DF_STREAM_VERIFY));
    DF_TRY_TO(done, status, df_rows_each(reader, false, draw_rows, &draw));
    c->count = draw.count;
    DF_TRY_TO(done, status, df_alloc(&c->rows, c->count, sizeof *c->rows));
    DF_TRY_TO(done, status, df_alloc(&c->stored, c->count, sizeof *c->stored));
    DF_TRY_TO(done, status, df_alloc(&c->again, c->count, sizeof *c->again));
    DF_TRY_TO(done, status, df_alloc(&c->reference, c->count, sizeof *c->reference));
    DF_TRY_TO(done, status, df_alloc(&c->differs, c->count, sizeof *c->differs));
    df_draw_take(&draw, c->rows);
    qsort(c->rows, (size_t)c->count, sizeof *c->rows, df_compare_integers);
    status = df_rows_each(reader, false, keep_chosen, c);
done:
    df_draw_close(&draw);
    return status;
}

/* Largest error of what is not the margin itself. */
static double error_at_start(const struct df_margin *stored, const struct df_margin *again)
{
    const double first = df_margin_error(stored->first_margin, again->first_margin),
                 gap = df_margin_error(stored->logit_gap, again->logit_gap);
    return fmax(first, gap);
}

static const double smallest_overshoot = 1e-3; /* below it rounding decides about the flip */

/* Both runs ended on the boundary, one flipped and one perhaps not. */
static bool ended_on_boundary(const struct df_margin *a, const struct df_margin *b,
                              const struct df_deepfool *deepfool)
{
    return deepfool->overshoot < smallest_overshoot && a->label == b->label &&
           (a->status == DFAL_SCORE_OK || a->status == DFAL_SCORE_MAX_ITER) &&
           (b->status == DFAL_SCORE_OK || b->status == DFAL_SCORE_MAX_ITER);
}

static bool same_classes(const struct df_margin *a, const struct df_margin *b)
{
    return a->status == b->status && a->label == b->label && a->adversarial_class == b->adversarial_class;
}

static bool same_bits(const struct df_margin *a, const struct df_margin *b)
{
    return same_classes(a, b) && a->iterations == b->iterations && a->margin == b->margin &&
           a->first_margin == b->first_margin && a->logit_gap == b->logit_gap;
}

/* Error of a row, INFINITY where its classes differ; the result's figures take it in. */
static double judge(const struct df_margin *a, const struct df_margin *b, const struct df_deepfool *deepfool,
                    struct dfal_verify_result *result)
{
    const bool rounded = ended_on_boundary(a, b, deepfool);
    const bool classes = rounded || same_classes(a, b);
    /* dfal2018: the margin of the one that did not flip is infinite */
    const bool comparable = !rounded || (isfinite(a->margin) && isfinite(b->margin));
    const double margin = comparable ? df_margin_error(a->margin, b->margin) : 0;
    if (margin > result->largest_relative_error)
        result->largest_relative_error = margin;
    result->disagreements += !classes;
    return classes ? fmax(margin, error_at_start(a, b)) : (double)INFINITY;
}

/* Mark the rows that differ; give how many and, in *worst, the one with the largest error. */
static int64_t compare(struct comparison *c, const struct df_deepfool *deepfool,
                       struct dfal_verify_result *result, int64_t *worst)
{
    int64_t differing = 0;
    double largest = -1;
    for (int64_t i = 0; i < c->count; i++) {
        const double error = judge(&c->stored[i], &c->reference[i], deepfool, result);
        c->differs[i] = error > result->tolerance;
        differing += c->differs[i];
        if (c->differs[i] && error > largest) {
            largest = error;
            *worst = i;
        }
    }
    return differing;
}

/* Of the rows that differ, those the file's own arithmetic reproduces bit by bit are float32's doing. */
static dfal_status excuse(int64_t *differing, int64_t *worst, struct comparison *c,
                          struct dfal_context *context, const struct df_rows_head *head,
                          const struct df_network *network, struct df_pool *pool,
                          const struct df_deepfool *deepfool, struct dfal_verify_result *result)
{
    struct df_device *device = NULL;
    DF_TRY(df_context_device(context, &device));
    char isa[DF_ISA_TEXT];
    df_device_isa(isa, device);
    if (strcmp(device->info.backend, head->backend) != 0 || strcmp(isa, head->isa) != 0 ||
        strcmp(device->info.library, head->library) != 0)
        return DFAL_OK;
    const int engine = strcmp(head->engine, "fused") == 0 ? DF_DEEPFOOL_FUSED : 0;
    const int precision = df_deepfool_precision(head->precision);
    DF_TRY(recompute(c, context, device, network, pool, deepfool, DF_DEEPFOOL_FOLD | engine | precision));
    int64_t excused = 0, left = *worst;
    for (int64_t i = 0; i < c->count; i++) {
        if (c->differs[i] && same_bits(&c->stored[i], &c->again[i]))
            excused++;
        else if (c->differs[i])
            left = i;
    }
    if (excused > 1 + c->count / 50)
        return DFAL_OK;
    *worst = left;
    *differing -= excused;
    result->excused = excused;
    result->largest_relative_error = 0;
    result->disagreements = 0;
    for (int64_t i = 0; i < c->count; i++)
        if (!(c->differs[i] && same_bits(&c->stored[i], &c->again[i])))
            (void)judge(&c->stored[i], &c->reference[i], deepfool, result);
    return DFAL_OK;
}

static dfal_status check_identity(const struct df_rows_head *head, const struct df_network *network,
                                  const struct df_pool *pool, const char *scores_path,
                                  const char *network_path)
{
    char digest[DF_DIGEST_TEXT];
    df_network_digest(digest, network);
    if (strcmp(digest, head->network_sha256) != 0)
        DF_FAIL(DFAL_E_DATA, "%s was made with a network of sha256 %.16s, %s has %.16s", scores_path,
                head->network_sha256, network_path, digest);
    if (strcmp(pool->fingerprint, head->pool_fingerprint) != 0)
        DF_FAIL(DFAL_E_DATA, "%s was made from a pool of fingerprint %.16s, %s has %.16s", scores_path,
                head->pool_fingerprint, pool->path, pool->fingerprint);
    return DFAL_OK;
}

/* "cat to dog": the class of a sample and the one behind its boundary. */
static const char *end_text(char text[2 * DF_SHOWN_TEXT + 16], const struct df_margin *margin,
                            const struct df_classes *classes)
{
    char numbers[2][DF_CLASS_NUMBER], shown[2][DF_SHOWN_TEXT];
    df_shown(shown[0], df_classes_text(numbers[0], classes, margin->label));
    df_shown(shown[1], df_classes_text(numbers[1], classes, margin->adversarial_class));
    if (margin->adversarial_class < 0)
        snprintf(text, 2 * DF_SHOWN_TEXT + 16, "class %s", shown[0]);
    else
        snprintf(text, 2 * DF_SHOWN_TEXT + 16, "class %s to %s", shown[0], shown[1]);
    return text;
}

static dfal_status check_pool_rows(struct dfal_context *context, struct df_rows_reader *reader,
                                   const struct df_rows_head *head, struct df_pool *pool,
                                   const char *scores_path)
{
    struct df_row_hashes rows;
    DF_TRY(df_rows_take_hashes(reader, head->range_begin, head->range_end, &rows));
    const dfal_status status = df_row_hashes_check(context, pool, &rows, scores_path, DFAL_E_DATA);
    if (status == DFAL_OK)
        df_row_hashes_say(context, rows.end - rows.begin - df_row_hashes_known(&rows), scores_path);
    df_row_hashes_close(&rows);
    return status;
}

static dfal_status pick_path(const char **path, const char *given, const char *recorded, const char *what,
                             const char *scores_path)
{
    *path = given ? given : recorded;
    if (!*path || !**path)
        DF_FAIL(DFAL_E_DATA, "%s does not tell its %s: name it", scores_path, what);
    return DFAL_OK;
}

dfal_status dfal_verify_scores(dfal_context *context, struct dfal_verify_result *told,
                               const char *scores_path, const char *network_path, const char *pool_path,
                               int64_t samples, const struct dfal_pool_options *pool_options)
{
    struct dfal_verify_result filled = {.tolerance = DF_MARGIN_TOLERANCE}, *result = &filled;
    DF_TRY(df_sized_check(told, "dfal_verify_result"));
    if (samples < 1)
        DF_FAIL(DFAL_E_USAGE, "%" PRId64 " samples to verify, expected at least one", samples);
    context->kept_work = false;
    struct df_rows_head head = {0};
    struct df_rows_reader *reader = NULL;
    struct df_pool *pool = NULL;
    struct df_network *network = NULL;
    struct df_device *device = NULL;
    struct df_deepfool deepfool;
    struct comparison c = {0};
    int64_t worst = 0, differing = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_rows_open(&reader, &head, scores_path, &df_scores_kind));
    result->tolerance = df_margin_tolerance(&head);
    DF_TRY_TO(done, status,
              pick_path(&network_path, network_path, head.network_path, "network", scores_path));
    DF_TRY_TO(done, status, pick_path(&pool_path, pool_path, head.pool_path, "pool", scores_path));
    DF_TRY_TO(done, status, df_pool_open(&pool, context, pool_path, pool_options));
    df_labels_warn(context, pool);
    DF_TRY_TO(done, status, df_network_for_pool(&network, context, network_path, pool));
    DF_TRY_TO(done, status, check_identity(&head, network, pool, scores_path, network_path));
    DF_TRY_TO(done, status, check_pool_rows(context, reader, &head, pool, scores_path));
    DF_TRY_TO(done, status, df_deepfool_from_json(&deepfool, head.configuration));
    DF_TRY_TO(done, status, choose(&c, reader, samples, context->options.seed));
    result->samples = c.count;
    if (c.count == 0)
        goto done;
    DF_TRY_TO(done, status, df_device_open(&device, "ref64", "auto", context->threads));
    DF_TRY_TO(done, status, recompute(&c, context, device, network, pool, &deepfool, 0));
    memcpy(c.reference, c.again, (size_t)c.count * sizeof *c.reference);
    differing = compare(&c, &deepfool, result, &worst);
    if (differing > 0)
        DF_TRY_TO(done, status,
                  excuse(&differing, &worst, &c, context, &head, network, pool, &deepfool, result));
    if (differing > 0) {
        const struct df_classes classes = df_classes_of_network(network, pool);
        char ours[2 * DF_SHOWN_TEXT + 16], theirs[2 * DF_SHOWN_TEXT + 16];
        status =
            df_fail(DFAL_E_DATA,
                    "%s: %" PRId64 " of %" PRId64 " samples differ from float64 by more than %g, row %" PRId64
                    " foremost: margin %.9g stored (%s), %.9g recomputed (%s)",
                    scores_path, differing, c.count, result->tolerance, c.stored[worst].index,
                    (double)c.stored[worst].margin, end_text(ours, &c.stored[worst], &classes),
                    (double)c.reference[worst].margin, end_text(theirs, &c.reference[worst], &classes));
    }
done:
    df_sized_give(told, result, sizeof *result);
    comparison_clear(&c);
    df_device_close(device);
    df_network_destroy(network);
    df_pool_close(pool);
    df_rows_close(reader);
    df_rows_head_clear(&head);
    return status;
}
