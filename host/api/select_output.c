/* SPDX-License-Identifier: Apache-2.0 */
/* What a selection writes: twins, the contact sheet, pseudo-labels, QUERIES.csv. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "api/select_job.h"
#include "base/file.h"
#include "base/memory.h"
#include "score/pool_network.h"
#include "store/label_text.h"
#include "store/twins_file.h"

/* ---- before the work ----------------------------------------------------------------------------------- */

/* --force is no leave to write over what is read, nor one output over another. */
static dfal_status claim(struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    struct df_claim *claim = &job->claim;
    DF_TRY(df_claim_output(claim, job->out_path, "queries"));
    DF_TRY(df_claim_output(claim, options->twins_path, "twins"));
    DF_TRY(df_claim_output(claim, options->sheet_path, "sheet"));
    DF_TRY(df_claim_output(claim, options->pseudo_labels_path, "pseudo-labels"));
    DF_TRY(df_select_journal_path(&job->journal, job));
    DF_TRY(df_claim_output(claim, job->journal, "journal"));
    DF_TRY(df_select_command_claim(job));
    DF_TRY(df_claim_input(claim, job->network_name));
    DF_TRY(df_claim_input(claim, options->scores_path));
    DF_TRY(df_claim_input(claim, options->logits_path));
    return df_claim_pool(claim, job->pool_path, options->score->pool);
}

dfal_status df_select_check_outputs(struct df_select_job *job)
{
    const struct dfal_select_options *options = job->options;
    bool force = job->context->options.force;
    if (options->sheet_path)
        DF_TRY(df_sheet_check(options->sheet_path));
    DF_TRY(claim(job));
    const dfal_status status = df_claim_take(&job->claim, job->out_path, force);
    if (df_claim_owns(&job->claim, job->out_path) && df_file_exists(job->out_path))
        df_select_journal_remove(job); /* the queries come last: nothing is unfinished */
    DF_TRY(status);
    force = force || df_select_journal_exists(job); /* then they may be this line's own */
    DF_TRY(df_claim_take(&job->claim, options->twins_path, force));
    DF_TRY(df_claim_take(&job->claim, options->pseudo_labels_path, force));
    return df_claim_take(&job->claim, options->sheet_path, force);
}

dfal_status df_select_check_unfinished(struct df_select_job *job)
{
    return df_select_journal_find(job, &job->resumed);
}

/* ---- twins --------------------------------------------------------------------------------------------- */

/* How the twins were made, and what turns them back into the pool's raw units. */
static dfal_status describe_twins(char **out, const struct df_select_job *job)
{
    char *deepfool = NULL;
    struct df_text text = {0};
    DF_TRY(df_deepfool_to_json(&deepfool, &job->deepfool, job->options->score->unconverged));
    df_text_add(&text, "{\"deepfool\":%s,\"network_sha256\":\"%s\",\"pool_fingerprint\":\"%s\",", deepfool,
                job->network_sha256, job->pool->fingerprint);
    df_twins_reals(&text, "offset", job->pool->offset, job->pool->affine_count);
    df_text_add(&text, ",");
    df_twins_reals(&text, "scale", job->pool->scale, job->pool->affine_count);
    df_text_add(&text, ",\"queries\":%lld,\"strategy\":\"%s\",\"version\":\"%s\"}",
                (long long)job->selection.count, job->strategy->name, DFAL_VERSION);
    df_free(deepfool);
    return df_text_take(&text, out);
}

/* Rows of the queries that have a twin, in rank order; their arrays are packed to the front. */
struct twins {
    int64_t count, *rank, *index;
    int32_t *label, *adversarial_class;
    uint8_t *status;
    const char **id;
};

static dfal_status pack_twins(struct twins *twins, struct df_select_job *job)
{
    struct df_selection *selection = &job->selection;
    int64_t q = selection->count, size = selection->size;
    DF_TRY(df_alloc(&twins->rank, q, sizeof *twins->rank));
    DF_TRY(df_alloc(&twins->index, q, sizeof *twins->index));
    DF_TRY(df_alloc(&twins->label, q, sizeof *twins->label));
    DF_TRY(df_alloc(&twins->adversarial_class, q, sizeof *twins->adversarial_class));
    DF_TRY(df_alloc(&twins->status, q, sizeof *twins->status));
    DF_TRY(df_alloc(&twins->id, q, sizeof *twins->id));
    for (int64_t i = 0; i < q; i++) {
        if (selection->status[i] != DFAL_SCORE_OK)
            continue;
        int64_t at = twins->count++;
        twins->rank[at] = i + 1;
        twins->index[at] = selection->index[i];
        twins->label[at] = job->label[i];
        twins->adversarial_class[at] = selection->adversarial_class[i];
        twins->status[at] = selection->status[i];
        twins->id[at] = job->ids[i];
        if (at != i)
            memmove(selection->twin + at * size, selection->twin + i * size, (size_t)size * sizeof(float));
    }
    return DFAL_OK;
}

static void twins_clear(struct twins *twins)
{
    df_free(twins->rank);
    df_free(twins->index);
    df_free(twins->label);
    df_free(twins->adversarial_class);
    df_free(twins->status);
    df_free(twins->id);
}

/* Packs selection->twin: the last to need it. */
static dfal_status write_twins(struct df_select_job *job)
{
    const char *path = job->options->twins_path;
    struct twins twins = {0};
    char *configuration = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, describe_twins(&configuration, job));
    DF_TRY_TO(done, status, pack_twins(&twins, job));
    int64_t n = twins.count, lost = job->selection.count - n;
    const struct df_twins_column columns[DF_TWINS_COLUMNS] = {
        {DF_TWINS_SAMPLES, job->selection.twin}, {DF_TWINS_RANK, twins.rank},
        {DF_TWINS_INDEX, twins.index},           {DF_TWINS_ID, (void *)twins.id},
        {DF_TWINS_LABEL, twins.label},           {DF_TWINS_CLASS, twins.adversarial_class},
        {DF_TWINS_STATUS, twins.status},
    };
    DF_TRY_TO(done, status,
              df_twins_write(path, configuration, job->pool->shape, n, columns,
                             job->context->options.force || job->resumed));
    if (lost)
        df_say(job->context, DFAL_WARNING, "select.no_twin", DF_FIELDS(DF_INT("queries", lost)),
               "%lld of %lld queries have no twin: DeepFool did not end with OK", (long long)lost,
               (long long)job->selection.count);
done:
    df_free(configuration);
    twins_clear(&twins);
    return status;
}

/* ---- near-duplicates ----------------------------------------------------------------------------------- */

/* Top-q of a score picks what is nearly the same: say so, the person decides. */
static dfal_status report_duplicates(const struct df_select_job *job)
{
    const struct df_selection *selection = &job->selection;
    int64_t limit = df_near_duplicates_limit(selection->size), pair_count = 0, *pairs = NULL;
    int64_t n = selection->count < limit ? selection->count : limit;
    void *raw = NULL;
    float *x = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&raw, n, df_pool_row_bytes(job->pool)));
    DF_TRY_TO(done, status, df_alloc(&x, n * selection->size, sizeof *x));
    DF_TRY_TO(done, status, df_alloc(&pairs, 2 * n, sizeof *pairs));
    DF_TRY_TO(done, status, df_pool_gather(job->pool, raw, selection->index, n));
    df_pool_decode(job->pool, x, raw, n);
    DF_TRY_TO(done, status, df_near_duplicates(job->context, x, n, selection->size, pairs, &pair_count));
    for (int64_t i = 0; i < pair_count; i++) {
        int64_t first = pairs[2 * i], later = pairs[2 * i + 1];
        df_say(job->context, DFAL_WARNING, "select.near_duplicate",
               DF_FIELDS(DF_INT("rank", later + 1), DF_INT("index", selection->index[later]),
                         DF_INT("of_rank", first + 1), DF_INT("of_index", selection->index[first])),
               "rank %lld (row %lld) is nearly the same as rank %lld (row %lld)", (long long)later + 1,
               (long long)selection->index[later], (long long)first + 1, (long long)selection->index[first]);
    }
    if (n < selection->count)
        df_say(job->context, DFAL_WARNING, "select.compared",
               DF_FIELDS(DF_INT("compared", n), DF_INT("count", selection->count)),
               "near-duplicates were looked for among the first %lld of %lld queries only", (long long)n,
               (long long)selection->count);
done:
    df_free(raw);
    df_free(x);
    df_free(pairs);
    return status;
}

/* ---- the files ----------------------------------------------------------------------------------------- */

static dfal_status name_queries(struct df_select_job *job)
{
    int64_t q = job->selection.count;
    DF_TRY(df_alloc(&job->ids, q, sizeof *job->ids));
    DF_TRY(df_alloc(&job->label, q, sizeof *job->label));
    for (int64_t i = 0; i < q; i++) {
        DF_TRY(df_pool_id(job->pool, &job->ids[i], job->selection.index[i]));
        job->label[i] = job->truth ? job->truth[job->selection.index[i]] : -1;
    }
    return DFAL_OK;
}

static dfal_status write_sheet(struct df_select_job *job)
{
    const char *path = job->options->sheet_path;
    int64_t q = job->selection.count, shown = q < DF_SHEET_MOST ? q : DF_SHEET_MOST;
    const struct df_sheet sheet = {
        .pool = job->pool,
        .selection = &job->selection,
        .ids = job->ids,
        .label = job->label,
        .strategy = job->strategy->name,
        .network = job->network_name,
        .candidates = job->count,
        .classes = df_classes_of_pool(job->network, job->pool),
    };
    DF_TRY(df_sheet_write(path, &sheet, job->context->options.force || job->resumed));
    if (shown < q)
        df_say(job->context, DFAL_WARNING, "select.sheet",
               DF_FIELDS(DF_INT("shown", shown), DF_INT("count", q)),
               "%s shows the first %lld of %lld queries", path, (long long)shown, (long long)q);
    return DFAL_OK;
}

static dfal_status write_queries(struct df_select_job *job, dfal_query_fn *query, void *user)
{
    struct df_text text = {0};
    struct dfal_query *rows = NULL;
    const struct df_classes classes = df_classes_of_pool(job->network, job->pool);
    dfal_status status;
    int64_t q = job->selection.count;
    DF_TRY_TO(done, status, df_alloc(&rows, q, sizeof *rows));
    df_text_add(&text, "%s\n", DF_QUERY_COLUMNS "," DF_QUERY_NAME_COLUMNS);
    for (int64_t i = 0; i < q; i++) {
        rows[i] = df_selection_query(&job->selection, i, job->ids[i], job->strategy->name, job->label[i]);
        df_query_name(&rows[i], &classes);
        df_query_line(&text, &rows[i]);
    }
    DF_TRY_TO(done, status, text.status);
    DF_TRY_TO(
        done, status,
        df_file_write_output(job->out_path, text.bytes, (size_t)text.size, job->context->options.force));
    for (int64_t i = 0; i < q && query; i++)
        query(user, &rows[i]);
done:
    df_free(rows);
    df_text_clear(&text);
    return status;
}

/* A label file: it may be laid over the pool's labels as any other. */
static dfal_status write_pseudo_labels(struct df_select_job *job)
{
    const struct df_selection *selection = &job->selection;
    struct df_text text = {0};
    char *id = NULL;
    dfal_status status = DFAL_OK;
    df_text_add(&text, "id,label,annotator\n");
    for (int64_t i = 0; i < selection->pseudo_count; i++) {
        DF_TRY_TO(done, status, df_pool_id(job->pool, &id, selection->pseudo_index[i]));
        df_label_line(&text, id, job->pool->classes, selection->pseudo_label[i], job->strategy->name);
        df_free(id);
        id = NULL;
    }
    DF_TRY_TO(done, status, text.status);
    DF_TRY_TO(done, status,
              df_file_write_output(job->options->pseudo_labels_path, text.bytes, (size_t)text.size,
                                   job->context->options.force || job->resumed));
    df_say(job->context, DFAL_INFO, "select.pseudo_labels",
           DF_FIELDS(DF_INT("rows", selection->pseudo_count)),
           "%lld rows get the predicted class for a label: the network is certain of them",
           (long long)selection->pseudo_count);
done:
    df_free(id);
    df_text_clear(&text);
    return status;
}

static void say_written(const struct df_select_job *job, const char *path)
{
    df_say(job->context, DFAL_INFO, "select.output", DF_FIELDS(DF_TEXT("output", path)), "%s is written",
           path);
}

dfal_status df_select_write(struct df_select_job *job, dfal_query_fn *query, void *user)
{
    const struct dfal_select_options *options = job->options;
    bool several = options->twins_path || options->sheet_path || options->pseudo_labels_path;
    const char *sheet = NULL, *twins = NULL, *pseudo = NULL; /* published so far */
    dfal_status status;
    DF_TRY(report_duplicates(job));
    DF_TRY(name_queries(job));
    if (several)
        DF_TRY(df_select_journal_write(job));
    if (options->sheet_path) {
        DF_TRY_TO(done, status, write_sheet(job));
        sheet = options->sheet_path;
        say_written(job, sheet);
    }
    if (options->twins_path) {
        DF_TRY_TO(done, status, write_twins(job));
        twins = options->twins_path;
        say_written(job, twins);
    }
    if (options->pseudo_labels_path) {
        DF_TRY_TO(done, status, write_pseudo_labels(job));
        pseudo = options->pseudo_labels_path;
        say_written(job, pseudo);
    }
    status = write_queries(job, query, user);
done:
    if (status != DFAL_OK && sheet)
        unlink(sheet);
    if (status != DFAL_OK && twins)
        unlink(twins);
    if (status != DFAL_OK && pseudo)
        unlink(pseudo);
    df_select_journal_remove(job);
    return status;
}
