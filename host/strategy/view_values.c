/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a network's nodes over a view's rows, whole or as a number of each row: of a pass, or, logits, of
 * the file that the user gave. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "comm/comm.h"
#include "score/pass.h"
#include "score/row_values.h"
#include "strategy/softmax.h"
#include "strategy/strategy.h"
#include "strategy/view_inside.h"

/* A node of a network; NULL: its logits. */
struct source {
    const struct df_network *network;
    const char *node;
    int64_t size; /* values a row */
};

/* Where values of rows go. */
struct values_sink {
    const struct df_view *view;
    const struct source *source;
    const int64_t *rows; /* ascending */
    int64_t n;
    float *values;          /* [n, size] or NULL */
    df_row_score_fn *score; /* NULL: nobody wants numbers */
    double *scores;         /* [n] */
    df_view_values_fn *fn;  /* NULL: nobody takes runs of rows as they come */
    void *user;
    int64_t alike; /* rows that look like probabilities */
};

static void put_row(struct values_sink *sink, int64_t at, const float *values)
{
    const int64_t size = sink->source->size;
    if (sink->values)
        memcpy(sink->values + at * size, values, (size_t)size * sizeof(float));
    if (sink->score)
        sink->scores[at] = sink->score(values, size);
    if (!sink->source->node)
        sink->alike += df_row_like_probabilities(values, size);
}

/* Rows that follow each other in the sink, and their values. */
static dfal_status put_run(struct values_sink *sink, int64_t at, const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        put_row(sink, at + i, values + i * sink->source->size);
    return sink->fn ? sink->fn(sink->user, at, n, values) : DFAL_OK;
}

static dfal_status put_rows(void *user, const int64_t *index, const float *values, int64_t n)
{
    struct values_sink *sink = user;
    for (int64_t i = 0, run; i < n; i += run) {
        int64_t at = df_row_position(sink->rows, sink->n, index[i]);
        if (at < 0)
            DF_FAIL(DFAL_E_INTERNAL, "values of row %lld came back that were not asked for",
                    (long long)index[i]);
        for (run = 1; i + run < n && at + run < sink->n && sink->rows[at + run] == index[i + run]; run++)
            ;
        DF_TRY(put_run(sink, at, values + i * sink->source->size, run));
    }
    return DFAL_OK;
}

static dfal_status read_logits(struct values_sink *sink, struct df_table_reader *reader)
{
    const int64_t k = sink->source->size, *rows = sink->rows;
    float *values = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&values, DF_ROW_RUN * k, sizeof *values));
    status = DFAL_OK;
    for (int64_t begin = 0, end; begin < sink->n && status == DFAL_OK; begin = end) {
        const int64_t first = rows[begin];
        end = df_row_run_end(rows, sink->n, begin);
        DF_TRY_TO(done, status, df_context_check_stop(sink->view->context));
        DF_TRY_TO(done, status, df_table_take(reader, first, rows[end - 1] - first + 1, values));
        for (int64_t i = begin, run; i < end; i += run) {
            for (run = 1; i + run < end && rows[i + run] == rows[i] + run; run++)
                ;
            DF_TRY_TO(done, status, put_run(sink, i, values + (rows[i] - first) * k, run));
        }
    }
done:
    df_free(values);
    return status;
}

/* logits: those of the same rows besides, where the sink wants a node; NULL: nobody wants them.
 * what: of the progress, NULL: none. */
static dfal_status compute(struct values_sink *sink, struct values_sink *logits, const char *what)
{
    const struct df_view *view = sink->view;
    struct df_list_source list;
    struct df_progress progress;
    if (!sink->n)
        return DFAL_OK;
    if (!sink->source->node && view->options->logits)
        return read_logits(sink, view->options->logits);
    df_list_source_init(&list, sink->rows, sink->n);
    if (what)
        df_progress_begin(&progress, view->context, what, "samples", sink->n, 0);
    const struct df_pass_spec pass = {
        .context = view->context,
        .device = view->device,
        .network = sink->source->network,
        .pool = view->pool,
        .node = sink->source->node,
        .also = logits ? put_rows : NULL,
        .also_user = logits,
        .progress = what ? &progress : NULL,
    };
    dfal_status status = df_forward_source(&pass, &list.source, put_rows, sink);
    if (what)
        df_progress_end(&progress);
    return status;
}

/* The rows of a sink that this rank computes. */
static struct values_sink share_of(const struct values_sink *sink)
{
    const struct df_comm_share share = df_view_share(sink->view, sink->n);
    struct values_sink own = *sink;
    own.rows += share.begin;
    own.n = share.count;
    if (own.values)
        own.values += share.begin * own.source->size;
    if (own.scores)
        own.scores += share.begin;
    return own;
}

static dfal_status exchange(struct values_sink *sink, const struct values_sink *own)
{
    const struct df_view *view = sink->view;
    double alike = (double)own->alike;
    if (view->sharers)
        DF_TRY(df_comm_sum(view->sharers, &alike, 1));
    sink->alike = (int64_t)alike;
    if (sink->values)
        DF_TRY(df_view_exchange(view, sink->values, sink->n, (size_t)sink->source->size * sizeof(float)));
    return sink->scores ? df_view_exchange(view, sink->scores, sink->n, sizeof(double)) : DFAL_OK;
}

/* The same of what is kept: ranks that share compute a part of the rows each. */
static dfal_status compute_kept(struct values_sink *sink, struct values_sink *logits, const char *what)
{
    struct values_sink own = share_of(sink), own_logits;
    if (logits)
        own_logits = share_of(logits);
    DF_TRY(compute(&own, logits ? &own_logits : NULL, what));
    DF_TRY(exchange(sink, &own));
    return logits ? exchange(logits, &own_logits) : DFAL_OK;
}

static struct source logits_of(const struct df_view *view)
{
    return (struct source){.network = view->network, .size = view->network->class_count};
}

dfal_status df_view_logits_of(const struct df_view *view, const int64_t *rows, int64_t n, float *logits)
{
    const struct source source = logits_of(view);
    struct values_sink sink = {.view = view, .source = &source, .rows = rows, .n = n, .values = logits};
    return compute(&sink, NULL, NULL);
}

dfal_status df_view_check_alike(const struct df_view *view, int64_t alike, int64_t rows)
{
    double counts[2] = {(double)alike, (double)rows};
    if (view->comm)
        DF_TRY(df_comm_sum(view->comm, counts, 2));
    alike = (int64_t)counts[0];
    rows = (int64_t)counts[1];
    if (alike == rows && rows >= DF_PROBABILITY_ROWS)
        DF_FAIL(DFAL_E_DATA,
                "the network's outputs look like probabilities (all %lld rows lie in [0,1] and sum to 1): "
                "strategy %s needs logits, so cut the softmax off",
                (long long)rows, view->options->strategy->name);
    return DFAL_OK;
}

/* ---- what is kept -------------------------------------------------------------------------------------- */

/* The values are there already. */
static dfal_status put_whole(struct values_sink *sink, const struct df_known *whole)
{
    for (int64_t i = 0; i < sink->n; i++)
        put_row(sink, i, (const float *)whole->values + i * sink->source->size);
    return DFAL_OK;
}

static dfal_status check_whole(const struct df_view *view, const struct df_known_key *key, size_t row_bytes)
{
    const int64_t rows = df_view_rows_of(view, key);
    char what[80];
    snprintf(what, sizeof what, "the %s of %lld %s", key->node ? "features" : "logits", (long long)rows,
             key->labelled ? "labelled rows" : "candidates");
    return df_view_check_memory(view, (double)rows * (double)row_bytes, what);
}

/* A quantity that is not known yet, and the sink that fills it. */
static dfal_status add(struct df_view *view, struct df_known **known, struct values_sink *sink,
                       const struct df_known_key *key, const struct source *source)
{
    const size_t row_bytes = key->score ? sizeof(double) : (size_t)source->size * sizeof(float);
    if (!key->score)
        DF_TRY(check_whole(view, key, row_bytes));
    DF_TRY(df_view_add(view, known, key, source->size, row_bytes));
    *sink = (struct values_sink){.view = view,
                                 .source = source,
                                 .rows = key->labelled ? view->options->labelled_rows : view->rows,
                                 .n = df_view_rows_of(view, key),
                                 .score = key->score};
    if (key->score)
        sink->scores = (*known)->values;
    else
        sink->values = (*known)->values;
    return DFAL_OK;
}

/* The quantity of this key, of all its rows. */
static dfal_status take(struct df_view *view, const struct df_known_key *key, const struct source *source,
                        const struct df_known **out)
{
    const struct df_known_key all = {.node = key->node, .labelled = key->labelled};
    const struct df_known *whole = df_view_find(view, &all);
    struct df_known *known = df_view_find(view, key);
    struct values_sink sink;
    *out = known;
    if (known)
        return DFAL_OK;
    DF_TRY(add(view, &known, &sink, key, source));
    dfal_status status = whole ? put_whole(&sink, whole)
                               : compute_kept(&sink, NULL, key->node ? "select.features" : "select.logits");
    if (!key->node)
        DF_KEEP_FIRST(status, df_view_check_alike(view, sink.alike, sink.n));
    if (status != DFAL_OK) {
        df_view_drop(view);
        return status;
    }
    *out = known;
    return DFAL_OK;
}

dfal_status df_view_logits(struct df_view *view, const float **logits)
{
    const struct source source = logits_of(view);
    const struct df_known_key key = {0};
    const struct df_known *known;
    *logits = NULL;
    DF_TRY(take(view, &key, &source, &known));
    *logits = known->values;
    return DFAL_OK;
}

static dfal_status take_row_scores(struct df_view *view, const struct df_known_key *key,
                                   const double **scores)
{
    const struct source source = logits_of(view);
    const struct df_known *known;
    *scores = NULL;
    DF_TRY(take(view, key, &source, &known));
    *scores = known->values;
    return DFAL_OK;
}

dfal_status df_view_row_scores(struct df_view *view, df_row_score_fn *score, const double **scores)
{
    const struct df_known_key key = {.score = score};
    return take_row_scores(view, &key, scores);
}

dfal_status df_view_labelled_row_scores(struct df_view *view, df_row_score_fn *score, const double **scores)
{
    const struct df_known_key key = {.score = score, .labelled = true};
    return take_row_scores(view, &key, scores);
}

/* ---- features ------------------------------------------------------------------------------------------ */

dfal_status df_feature_node(const struct df_network *folded, const char **node)
{
    for (int32_t i = folded->node_count - 1; i >= 0; i--) {
        if (folded->nodes[i].op != DF_NODE_GEMM)
            continue;
        const int32_t input = folded->nodes[i].inputs[0];
        *node = input == DF_INPUT ? "input" : folded->nodes[input].name;
        return DFAL_OK;
    }
    DF_FAIL(DFAL_E_DATA, "the network has no Gemm whose input could be the features: name a node");
}

static dfal_status find_source(struct df_view *view, const char *node, struct source *source)
{
    int32_t index;
    *source = (struct source){.network = view->network, .node = node};
    if (!node[0]) {
        if (!view->folded)
            DF_TRY(df_network_fold(&view->folded, view->network));
        DF_TRY(df_network_infer(view->folded));
        source->network = view->folded;
        DF_TRY(df_feature_node(view->folded, &source->node));
    }
    DF_TRY(df_network_find_node(&index, source->network, source->node));
    source->size =
        df_shape_size(index == DF_INPUT ? source->network->input : source->network->nodes[index].out);
    return DFAL_OK;
}

static dfal_status take_features(struct df_view *view, const struct df_known_key *key,
                                 struct df_features *features)
{
    struct source source;
    const struct df_known *known;
    *features = (struct df_features){0};
    DF_TRY(find_source(view, key->node, &source));
    DF_TRY(take(view, key, &source, &known));
    *features = (struct df_features){
        .count = df_view_rows_of(view, key), .size = source.size, .values = known->values};
    return DFAL_OK;
}

dfal_status df_view_features(struct df_view *view, const char *node, struct df_features *features)
{
    const struct df_known_key key = {.node = node};
    return take_features(view, &key, features);
}

dfal_status df_view_labelled_features(struct df_view *view, const char *node, struct df_features *features)
{
    const struct df_known_key key = {.node = node, .labelled = true};
    return take_features(view, &key, features);
}

dfal_status df_view_features_of_rows(struct df_view *view, const char *node, const int64_t *rows,
                                     int64_t count, float **values, struct df_features *features)
{
    struct source source;
    char what[80];
    *values = NULL;
    DF_TRY(find_source(view, node, &source));
    snprintf(what, sizeof what, "the features of %lld rows", (long long)count);
    DF_TRY(df_view_check_memory(view, (double)count * (double)source.size * sizeof(float), what));
    DF_TRY(df_alloc(values, count * source.size, sizeof **values));
    struct values_sink sink = {.view = view, .source = &source, .rows = rows, .n = count, .values = *values};
    *features = (struct df_features){.count = count, .size = source.size, .values = *values};
    return compute_kept(&sink, NULL, "select.features");
}

dfal_status df_view_feature_scores(struct df_view *view, const char *node, df_row_score_fn *score,
                                   const double **scores)
{
    const struct df_known_key key = {.node = node, .score = score};
    struct source source;
    const struct df_known *known;
    *scores = NULL;
    DF_TRY(find_source(view, node, &source));
    DF_TRY(take(view, &key, &source, &known));
    *scores = known->values;
    return DFAL_OK;
}

/* One pass gives both where both are of the folded network, and neither is there already. */
static bool one_pass(const struct df_view *view, const struct df_known_key *logits,
                     const struct df_known_key *features)
{
    return !features->node[0] && !view->options->logits && !df_view_find(view, logits) &&
           !df_view_find(view, features);
}

dfal_status df_view_expect(struct df_view *view, bool labelled, df_row_score_fn *of_logits, const char *node,
                           df_row_score_fn *of_features)
{
    const struct df_known_key keys[2] = {{.score = of_logits, .labelled = labelled},
                                         {.node = node, .score = of_features, .labelled = labelled}};
    struct source sources[2] = {logits_of(view)};
    struct values_sink sinks[2];
    struct df_known *known;
    if (!one_pass(view, &keys[0], &keys[1]))
        return DFAL_OK;
    DF_TRY(find_source(view, node, &sources[1]));
    DF_TRY(add(view, &known, &sinks[0], &keys[0], &sources[0]));
    dfal_status status = add(view, &known, &sinks[1], &keys[1], &sources[1]);
    const int added = status == DFAL_OK ? 2 : 1;
    if (status == DFAL_OK)
        status = compute_kept(&sinks[1], &sinks[0], "select.features");
    if (status == DFAL_OK)
        status = df_view_check_alike(view, sinks[0].alike, sinks[0].n);
    for (int i = 0; status != DFAL_OK && i < added; i++)
        df_view_drop(view);
    return status;
}

/* ---- values that are not kept -------------------------------------------------------------------------- */

dfal_status df_view_feature_size(struct df_view *view, const char *node, int64_t *size)
{
    struct source source;
    *size = 0;
    DF_TRY(find_source(view, node, &source));
    *size = source.size;
    return DFAL_OK;
}

dfal_status df_view_stream(struct df_view *view, bool labelled, df_view_values_fn *of_logits,
                           const char *node, df_view_values_fn *of_features, void *user)
{
    const struct source logits = logits_of(view);
    struct source features;
    struct values_sink sinks[2] = {{.source = &logits, .fn = of_logits},
                                   {.source = &features, .fn = of_features}};
    DF_TRY(find_source(view, node, &features));
    for (int i = 0; i < 2; i++) {
        sinks[i].view = view;
        sinks[i].rows = labelled ? view->options->labelled_rows : view->rows;
        sinks[i].n = labelled ? view->options->labelled_row_count : view->count;
        sinks[i].user = user;
    }
    const bool both = of_logits && !node[0] && !view->options->logits;
    if (of_logits && !both)
        DF_TRY(compute(&sinks[0], NULL, "select.logits"));
    DF_TRY(compute(&sinks[1], both ? &sinks[0] : NULL, "select.features"));
    return of_logits ? df_view_check_alike(view, sinks[0].alike, sinks[0].n) : DFAL_OK;
}

/* ---- f_(1) - f_(2) ------------------------------------------------------------------------------------- */

/* A number of float32, as the scores file keeps it, so that both roads give the same ranks; logits come from
 * the engine that a score takes by itself. */
static double gap_of_logits(const float *logits, int64_t class_count)
{
    struct df_softmax softmax;
    return df_softmax(&softmax, logits, (int32_t)class_count) ? (double)(float)softmax.gap : (double)NAN;
}

/* The gap is that of the sample itself, so it does not matter how far DeepFool came: MAX_ITER, ZERO_GRAD and
 * PRUNED rows have one like any other, and so does a NONFINITE one whose first step led out of bounds. Where
 * the sample itself is not finite the file's gap is infinite. */
static double gap_of_scores(const struct df_scores *scores, int64_t row)
{
    float gap = scores->logit_gap[row];
    return scores->status[row] == DFAL_SCORE_NONFINITE && isinf(gap) ? (double)NAN : (double)gap;
}

dfal_status df_view_logit_gaps(struct df_view *view, const double **gaps)
{
    struct df_scores *scores = view->options->scores;
    const struct df_known_key key = {.score = gap_of_logits};
    struct df_known *known = df_view_find(view, &key);
    *gaps = NULL;
    if (known || !scores)
        return df_view_row_scores(view, gap_of_logits, gaps);
    DF_TRY(df_scores_keep(scores, view->rows, view->count));
    DF_TRY(df_view_add(view, &known, &key, 1, sizeof(double)));
    for (int64_t i = 0; i < view->count; i++)
        ((double *)known->values)[i] = gap_of_scores(scores, i);
    *gaps = known->values;
    return DFAL_OK;
}
