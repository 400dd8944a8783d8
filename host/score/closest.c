/* SPDX-License-Identifier: Apache-2.0 */
#include "score/closest.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/memory.h"
#include "base/rng.h"
#include "comm/comm.h"
#include "score/pass.h"
#include "score/row_values.h"

/* Of the estimate's order DeepFool runs on the first HEAD times Q rows. In three networks of MNIST 2 Q held
 * all of the Q closest. */
enum { HEAD = 5, AUDIT = 100, MOST_COUNTS = 2 /* that ranks add up at a time */ };

dfal_status df_closest_check(const struct df_deepfool *deepfool, const char *unconverged)
{
    if (deepfool->p != 2)
        DF_FAIL(DFAL_E_USAGE, "the norm is %g, expected l2: the closest rows are found by l2 bounds",
                deepfool->p);
    if (deepfool->squared)
        DF_FAIL(DFAL_E_USAGE,
                "preset '%s' gives squared distances, expected one of distances for the closest rows",
                deepfool->preset);
    if (strcmp(unconverged, "keep") == 0)
        DF_FAIL(DFAL_E_USAGE,
                "unconverged is 'keep', expected last or exclude: the length of a walk that did "
                "not end has no bound, and the closest rows could not be proven");
    return DFAL_OK;
}

/* ---- Beginning ----------------------------------------------------------------------------------------- */

int64_t df_closest_row(const struct df_closest *closest, int64_t i)
{
    return closest->rows ? closest->rows[i] : closest->begin + i;
}

static dfal_status alloc_rows(struct df_closest *closest)
{
    const int64_t n = closest->spec.room;
    const int32_t workers = df_group_workers(closest->spec.device);
    DF_TRY(df_scores_alloc(&closest->scores, n));
    DF_TRY(df_alloc(&closest->least, n, sizeof *closest->least));
    DF_TRY(df_alloc(&closest->estimate, n, sizeof *closest->estimate));
    DF_TRY(df_least_open(&closest->nearest, closest->spec.q));
    DF_TRY(df_alloc(&closest->spaces, workers, sizeof *closest->spaces));
    for (int32_t w = 0; w < workers; w++)
        DF_TRY(df_bound_space_create(&closest->spaces[w], closest->bound));
    return DFAL_OK;
}

static dfal_status measure_network(struct df_closest *closest, const struct df_network *network, bool cascade,
                                   bool *possible)
{
    *possible = false;
    DF_TRY(df_network_fold(&closest->folded, network));
    DF_TRY(df_bound_create(&closest->bound, closest->folded));
    *possible = df_bound_node(closest->bound) && (cascade || !df_bound_missing(closest->bound));
    return DFAL_OK;
}

dfal_status df_closest_open(struct df_closest *closest, const struct df_closest_spec *spec, bool *possible)
{
    *closest = (struct df_closest){.spec = *spec};
    if (closest->spec.q > spec->total)
        closest->spec.q = spec->total;
    DF_TRY(measure_network(closest, spec->network, spec->cascade, possible));
    return *possible ? alloc_rows(closest) : DFAL_OK;
}

dfal_status df_closest_possible(const struct df_network *network, bool cascade, bool *possible)
{
    struct df_closest closest = {0};
    dfal_status status = measure_network(&closest, network, cascade, possible);
    df_closest_close(&closest);
    return status;
}

void df_closest_take(struct df_closest *closest, const int64_t *rows, int64_t begin, int64_t count)
{
    closest->rows = rows;
    closest->begin = begin;
    closest->count = closest->scores.count = count;
    for (int64_t i = 0; i < count; i++) {
        closest->estimate[i] = INFINITY;
        df_margin_store(&closest->scores, i,
                        &(struct df_margin){.index = df_closest_row(closest, i),
                                            .margin = INFINITY,
                                            .first_margin = NAN,
                                            .logit_gap = INFINITY,
                                            .status = DFAL_SCORE_UNSCORED,
                                            .label = -1,
                                            .adversarial_class = -1});
    }
}

const char *df_closest_why(const struct df_closest *closest)
{
    return df_bound_missing(closest->bound);
}

dfal_status df_closest_refuse(const struct df_closest *closest)
{
    DF_FAIL(DFAL_E_UNAVAILABLE, "a cascade orders rows by the network's last layers, expected a Gemm: %s",
            df_closest_why(closest));
}

void df_closest_close(struct df_closest *closest)
{
    for (int32_t w = 0; closest->spaces && w < df_group_workers(closest->spec.device); w++)
        df_bound_space_destroy(closest->spaces[w]);
    df_free(closest->spaces);
    df_scores_clear(&closest->scores);
    df_free(closest->least);
    df_free(closest->estimate);
    df_least_close(&closest->nearest);
    df_bound_destroy(closest->bound);
    df_network_destroy(closest->folded);
    *closest = (struct df_closest){0};
}

/* ---- Looking at all ------------------------------------------------------------------------------------ */

static int64_t position_of(const struct df_closest *closest, int64_t row)
{
    return closest->rows ? df_row_position(closest->rows, closest->count, row) : row - closest->begin;
}

/* Network inputs of one unit of the margin, at most: the length of a raw unit in the channel that is
 * stretched most. */
static double unit_of(const struct df_closest *closest)
{
    const struct df_pool *pool = closest->spec.pool;
    double most = 0;
    if (!closest->spec.deepfool->units_raw)
        return 1;
    for (int32_t c = 0; c < pool->affine_count; c++)
        most = fmax(most, fabs(pool->scale[c]));
    return most * (1 + 1e-6);
}

static float second_largest(const float *logits, int32_t classes, int64_t largest)
{
    float second = -INFINITY;
    for (int64_t k = 0; k < classes; k++)
        if (k != largest && logits[k] > second)
            second = logits[k];
    return second;
}

static dfal_status measure_rows(void *user, int32_t worker, const struct df_pass_rows *rows)
{
    struct df_closest *closest = user;
    const int64_t size = df_shape_size(closest->spec.pool->shape);
    const int32_t node = df_network_find(closest->folded, df_bound_node(closest->bound)),
                  classes = closest->folded->class_count;
    const int64_t features = node == DF_INPUT ? size : df_shape_size(closest->folded->nodes[node].out);
    const double unit = unit_of(closest);
    for (int64_t i = 0; i < rows->count; i++) {
        const int64_t at = position_of(closest, rows->index[i]);
        const float *input = rows->input + i * size, *values = rows->values + i * features,
                    *logits = rows->logits + i * classes;
        struct df_bound_row row;
        /* A row that is not finite has no bound, so it is run, and DeepFool says so. */
        const double length = df_row_length(input, size);
        if (!isfinite(length) || !isfinite(df_row_length(values, features)) ||
            !df_row_is_finite(logits, classes))
            continue;
        const int64_t label = df_row_largest(logits, classes);
        df_bound_measure(closest->bound, closest->spaces[worker], &row, values, (int32_t)label, length);
        const float least = (float)(row.least / unit);
        closest->least[at] = least > 0 ? nextafterf(least, 0) : 0;
        closest->estimate[at] = row.estimate;
        closest->scores.label[at] = (int32_t)label;
        closest->scores.logit_gap[at] =
            (float)((double)logits[label] - (double)second_largest(logits, classes, label));
    }
    return DFAL_OK;
}

dfal_status df_closest_look(struct df_closest *closest, struct df_row_stream *stream)
{
    const struct df_closest_spec *spec = &closest->spec;
    struct df_progress progress;
    df_progress_begin(&progress, spec->context, "closest.bounds", "samples", closest->count, 0);
    const dfal_status status = df_forward_pass(
        &(struct df_pass_spec){
            .context = spec->context,
            .device = spec->device,
            .network = closest->folded,
            .pool = spec->pool,
            .node = df_bound_node(closest->bound),
            .rows = measure_rows,
            .rows_user = closest,
            .layers = spec->layers,
            .progress = &progress,
        },
        stream, NULL, NULL);
    df_progress_end(&progress);
    return status;
}

/* ---- DeepFool on some ---------------------------------------------------------------------------------- */

struct closest_sink {
    struct df_margin_sink sink;
    struct df_closest *closest;
};

static dfal_status put(struct df_margin_sink *self, const struct df_margin *margin, const float *adversarial)
{
    struct df_closest *closest = ((struct closest_sink *)self)->closest;
    (void)adversarial;
    df_margin_store(&closest->scores, position_of(closest, margin->index), margin);
    if (margin->status <= DFAL_SCORE_TIE)
        df_least_add(&closest->nearest, (double)margin->margin, margin->index);
    closest->told.run++;
    return DFAL_OK;
}

/* Rows of the pool, at these positions [n], which become their numbers. */
static dfal_status run_rows(struct df_closest *closest, struct df_deepfool_engine *engine, int64_t *rows,
                            int64_t n)
{
    struct closest_sink sink = {.sink.put = put, .closest = closest};
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    struct df_progress progress;
    if (n == 0)
        return DFAL_OK;
    for (int64_t i = 0; i < n; i++)
        rows[i] = df_closest_row(closest, rows[i]);
    df_list_source_init(&source, rows, n);
    df_progress_begin(&progress, closest->spec.context, "closest.deepfool", "samples", n, 0);
    dfal_status status;
    source.source.numbers = !df_deepfool_wants_rows(engine);
    DF_TRY_TO(done, status, df_stream_open(&stream, closest->spec.pool, &source.source));
    status = df_deepfool_run(engine, stream, &sink.sink, &progress);
done:
    df_stream_close(stream);
    df_progress_end(&progress);
    return status;
}

/* Collective. What all ranks have counted together; a sum of counts is exact in double. */
static dfal_status count_all(const struct df_closest *closest, int64_t *const counts[], int n)
{
    double all[MOST_COUNTS];
    if (!closest->spec.comm)
        return DFAL_OK;
    for (int i = 0; i < n; i++)
        all[i] = (double)*counts[i];
    DF_TRY(df_comm_sum(closest->spec.comm, all, n));
    for (int i = 0; i < n; i++)
        *counts[i] = (int64_t)all[i];
    return DFAL_OK;
}

/* Collective. The Q-th margin so far: it only falls. */
static dfal_status measure_radius(struct df_closest *closest)
{
    return df_least_agree(&closest->nearest, closest->spec.comm, closest->spec.q, &closest->told.radius);
}

/* Collective. The positions of this rank's rows among the `limit` first of all ranks, ascending. */
static dfal_status take_first(const struct df_closest *closest, struct df_least *first, int64_t limit,
                              int64_t *chosen, int64_t *n)
{
    double last;
    DF_TRY(df_least_agree(first, closest->spec.comm, limit, &last));
    *n = first->count;
    for (int64_t i = 0; i < *n; i++)
        chosen[i] = position_of(closest, first->rows[i].index);
    qsort(chosen, (size_t)*n, sizeof *chosen, df_compare_integers);
    return DFAL_OK;
}

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

/* Those of the `size` first of the estimate's order that are not run yet, ascending. */
static dfal_status choose_head(const struct df_closest *closest, int64_t size, int64_t *chosen, int64_t *n)
{
    struct df_least head;
    int64_t first = 0;
    *n = 0;
    DF_TRY(df_least_open(&head, at_most(size, closest->count)));
    for (int64_t i = 0; i < closest->count; i++)
        df_least_add(&head, (double)closest->estimate[i], df_closest_row(closest, i));
    const dfal_status status = take_first(closest, &head, size, chosen, &first);
    df_least_close(&head);
    for (int64_t i = 0; i < first && status == DFAL_OK; i++)
        if (closest->scores.status[chosen[i]] == DFAL_SCORE_UNSCORED)
            chosen[(*n)++] = chosen[i];
    return status;
}

static dfal_status run_head(struct df_closest *closest, struct df_deepfool_engine *engine, int64_t *chosen)
{
    const int64_t total = closest->spec.total, q = closest->spec.q;
    int64_t size = q > total / HEAD ? total : HEAD * q;
    for (;;) {
        int64_t n;
        DF_TRY(choose_head(closest, size, chosen, &n));
        DF_TRY(run_rows(closest, engine, chosen, n));
        DF_TRY(measure_radius(closest));
        if (size == total || isfinite(closest->told.radius))
            return DFAL_OK;
        size = size > total / 2 ? total : 2 * size;
    }
}

/* Rows not run yet whose bound does not exceed the radius, ascending. */
static int64_t choose_rest(const struct df_closest *closest, double radius, int64_t *chosen)
{
    int64_t n = 0;
    for (int64_t i = 0; i < closest->count; i++)
        if (closest->scores.status[i] == DFAL_SCORE_UNSCORED && (double)closest->least[i] <= radius)
            chosen[n++] = i;
    return n;
}

/* ---- Exact --------------------------------------------------------------------------------------------- */

static dfal_status run_rest(struct df_closest *closest, struct df_deepfool_engine *engine, int64_t *chosen)
{
    const int64_t count = closest->spec.total, q = closest->spec.q;
    const double radius = closest->told.radius;
    const int64_t n = choose_rest(closest, radius, chosen);
    int64_t needed = closest->told.run + n;
    DF_TRY(count_all(closest, (int64_t *const[]){&needed}, 1));
    df_say(closest->spec.context, DFAL_INFO, "closest.needed",
           DF_FIELDS(DF_INT("rows", needed), DF_INT("samples", count), DF_INT("closest", q),
                     DF_REAL("radius", radius)),
           "%" PRId64 " of %" PRId64 " samples need DeepFool for the %" PRId64 " closest%s", needed, count, q,
           2 * needed > count ? ": for so many the lower bounds save little" : "");
    return run_rows(closest, engine, chosen, n);
}

/* ---- Cascade ------------------------------------------------------------------------------------------- */

/* Of n rows, `unproven` with those of the other ranks, a random hundredth of these, at least one, ascending:
 * those with the smallest numbers. */
static dfal_status draw_audit(const struct df_closest *closest, int64_t unproven, int64_t *chosen, int64_t *n)
{
    const uint64_t seed = closest->spec.context->options.seed;
    const int64_t limit = (unproven + AUDIT - 1) / AUDIT;
    struct df_least audit;
    DF_TRY(df_least_open(&audit, at_most(limit, *n)));
    for (int64_t i = 0; i < *n; i++) {
        const int64_t row = df_closest_row(closest, chosen[i]);
        df_least_add(&audit, df_random_uniform(seed, DF_STREAM_AUDIT, (uint64_t)row), row);
    }
    const dfal_status status = take_first(closest, &audit, limit, chosen, n);
    df_least_close(&audit);
    return status;
}

/* Of the unproven rows every audited one stands for unproven / audited. So many of the Q nearest are missing
 * at most as there are rows nearer than the Q-th of the head. audited [n]: of this rank. */
static dfal_status judge_audit(struct df_closest *closest, int64_t unproven, const int64_t *audited,
                               int64_t n)
{
    struct df_closest_told *told = &closest->told;
    const double radius = told->radius; /* of the head: the audit's margins have not been counted */
    told->audited = n;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = position_of(closest, audited[i]);
        told->found +=
            closest->scores.status[at] <= DFAL_SCORE_TIE && (double)closest->scores.margin[at] < radius;
    }
    DF_TRY(count_all(closest, (int64_t *const[]){&told->audited, &told->found}, MOST_COUNTS));
    const double each = told->audited > 0 ? (double)unproven / (double)told->audited : 0,
                 missing = (double)told->found * (each - 1); /* those that were found are not missing */
    told->recall = fmax(0, 1 - missing / (double)closest->spec.q);
    df_say(closest->spec.context, DFAL_INFO, "closest.audit",
           DF_FIELDS(DF_INT("unproven", unproven), DF_INT("audited", told->audited),
                     DF_INT("found", told->found), DF_REAL("recall", told->recall)),
           "%" PRId64 " of %" PRId64 " audited samples of %" PRId64 " that are neither run nor proven lie "
           "nearer than the %" PRId64 "th: estimated recall %.3f",
           told->found, told->audited, unproven, closest->spec.q, told->recall);
    return DFAL_OK;
}

static dfal_status run_audit(struct df_closest *closest, struct df_deepfool_engine *engine, int64_t *chosen)
{
    int64_t n = choose_rest(closest, closest->told.radius, chosen), unproven = n;
    DF_TRY(count_all(closest, (int64_t *const[]){&unproven}, 1));
    DF_TRY(draw_audit(closest, unproven, chosen, &n));
    DF_TRY(run_rows(closest, engine, chosen, n));
    return judge_audit(closest, unproven, chosen, n);
}

/* ---- The end ------------------------------------------------------------------------------------------- */

/* No rank lacks a margin that it needs: the radius has only fallen since the rest was chosen by it, so
 * whoever has a row whose bound does not exceed it now has run that row (or of a cascade knows it as
 * UNSCORED). */
static dfal_status finish(struct df_closest *closest)
{
    struct df_closest_told *told = &closest->told;
    DF_TRY(measure_radius(closest));
    for (int64_t i = 0; i < closest->count; i++) {
        if ((double)closest->least[i] > told->radius) {
            closest->scores.status[i] = DFAL_SCORE_PRUNED;
            closest->scores.margin[i] = closest->least[i];
            closest->scores.first_margin[i] = NAN;
            closest->scores.adversarial_class[i] = -1;
            closest->scores.iterations[i] = 0;
        }
    }
    return count_all(closest, (int64_t *const[]){&told->run}, 1);
}

dfal_status df_closest_score(struct df_closest *closest, struct df_deepfool_engine *engine)
{
    int64_t *chosen = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&chosen, closest->count, sizeof *chosen));
    DF_TRY_TO(done, status, run_head(closest, engine, chosen));
    DF_TRY_TO(done, status,
              closest->spec.cascade ? run_audit(closest, engine, chosen) : run_rest(closest, engine, chosen));
    status = finish(closest);
done:
    df_free(chosen);
    return status;
}

struct df_margin df_closest_margin(const struct df_closest *closest, int64_t i)
{
    return df_margin_load(&closest->scores, i);
}
