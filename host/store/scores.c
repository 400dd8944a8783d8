/* SPDX-License-Identifier: Apache-2.0 */
/* Scores in memory: columns, heads and their comparison, the order of a file; and reading. */
#include "store/scores.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/json_text.h"
#include "store/row_hash_file.h"
#include "store/scores_file.h"

/* ---- Memory --------------------------------------------------------------------------------- */

void df_scores_head_clear(struct df_scores_head *head)
{
    df_free(head->configuration);
    df_free(head->command_line);
    df_free(head->network_path);
    df_free(head->pool_path);
    memset(head, 0, sizeof *head);
}

dfal_status df_scores_alloc(struct df_scores *scores, int64_t count)
{
    dfal_status status;
    memset(scores, 0, sizeof *scores);
    scores->count = count;
#define X(field, type, file, memory, fill)                                                                   \
    DF_TRY_TO(done, status, df_alloc(&scores->field, count, sizeof(type)));
    DF_SCORES_COLUMN_LIST(X)
#undef X
done:
    if (status != DFAL_OK)
        df_scores_clear(scores);
    return status;
}

void df_scores_clear(struct df_scores *scores)
{
    for (int64_t i = 0; scores->id && i < scores->count; i++)
        df_free(scores->id[i]);
    df_free(scores->id);
    df_row_hashes_close(&scores->rows);
#define X(field, type, file, memory, fill) df_free(scores->field);
    DF_SCORES_COLUMN_LIST(X)
#undef X
    memset(scores, 0, sizeof *scores);
}

/* ---- Comparison of heads -------------------------------------------------------------------- */

static dfal_status fail_difference(const char *path, const char *key, const char *theirs, const char *ours)
{
    DF_FAIL(DFAL_E_CONFIG, "%s was made with %s %s, expected %s", path, key, theirs, ours);
}

static dfal_status fail_json(const char *path, const char *key, const json_t *theirs, const json_t *ours)
{
    char *a = theirs ? df_json_text(theirs, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *b = ours ? df_json_text(ours, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    dfal_status status = fail_difference(path, key, a ? a : "(none)", b ? b : "(none)");
    free(a);
    free(b);
    return status;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys of both objects in bytewise order; the first whose values differ is named. */
static dfal_status compare_objects(const char *path, json_t *theirs, json_t *ours)
{
    size_t count = 0, room = json_object_size(theirs) + json_object_size(ours);
    const char **keys, *key;
    json_t *value;
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&keys, (int64_t)room, sizeof *keys));
    json_object_foreach(theirs, key, value) keys[count++] = key;
    json_object_foreach(ours, key, value) keys[count++] = key;
    qsort(keys, count, sizeof *keys, by_text);
    for (size_t i = 0; i < count && status == DFAL_OK; i++) {
        const json_t *a = json_object_get(theirs, keys[i]), *b = json_object_get(ours, keys[i]);
        if (!a || !b || !json_equal(a, b))
            status = fail_json(path, keys[i], a, b);
    }
    df_free(keys);
    return status;
}

static dfal_status compare_configuration(const char *path, const char *theirs, const char *ours)
{
    theirs = theirs ? theirs : "";
    ours = ours ? ours : "";
    if (strcmp(theirs, ours) == 0)
        return DFAL_OK;
    json_t *a = df_json_parse(theirs, JSON_REJECT_DUPLICATES, NULL),
           *b = df_json_parse(ours, JSON_REJECT_DUPLICATES, NULL);
    dfal_status status = DFAL_OK;
    if (json_is_object(a) && json_is_object(b))
        status = compare_objects(path, a, b);
    else
        status = fail_difference(path, "configuration", theirs, ours);
    json_decref(a);
    json_decref(b);
    return status;
}

static dfal_status compare_integer(const char *path, const char *key, int64_t theirs, int64_t ours)
{
    if (theirs == ours)
        return DFAL_OK;
    DF_FAIL(DFAL_E_CONFIG, "%s was made with %s %lld, expected %lld", path, key, (long long)theirs,
            (long long)ours);
}

static dfal_status compare_text(const char *path, const char *key, const char *theirs, const char *ours)
{
    return strcmp(theirs, ours) == 0 ? DFAL_OK : fail_difference(path, key, theirs, ours);
}

/* The arithmetic identity, key by key. */
enum { IDENTITY_KEYS = 6 };
static const char *const identity_keys[IDENTITY_KEYS] = {"dfal_version", "backend",   "engine",
                                                         "isa",          "precision", "library"};
static const char *identity(const struct df_scores_head *head, int key)
{
    const char *const values[IDENTITY_KEYS] = {head->version, head->backend,   head->engine,
                                               head->isa,     head->precision, head->library};
    return values[key];
}

dfal_status df_scores_head_compare(const struct df_scores_head *ours, const struct df_scores_head *theirs,
                                   bool allow_mixed, const char *path)
{
    DF_TRY(compare_text(path, "network_sha256", theirs->network_sha256, ours->network_sha256));
    DF_TRY(compare_text(path, "pool_fingerprint", theirs->pool_fingerprint, ours->pool_fingerprint));
    DF_TRY(compare_integer(path, "pool_count", theirs->pool_count, ours->pool_count));
    DF_TRY(compare_configuration(path, theirs->configuration, ours->configuration));
    DF_TRY(compare_text(path, "units", theirs->units_raw ? "raw" : "network",
                        ours->units_raw ? "raw" : "network"));
    if (theirs->seed != ours->seed)
        DF_FAIL(DFAL_E_CONFIG, "%s was made with seed %llu, expected %llu", path,
                (unsigned long long)theirs->seed, (unsigned long long)ours->seed);
    if (allow_mixed)
        return DFAL_OK;
    if (theirs->mixed[0])
        DF_FAIL(DFAL_E_CONFIG,
                "%s is mixed (%s), expected one arithmetic (--allow-mixed takes it all the same)", path,
                theirs->mixed);
    for (int k = 0; k < IDENTITY_KEYS; k++)
        DF_TRY(compare_text(path, identity_keys[k], identity(theirs, k), identity(ours, k)));
    return DFAL_OK;
}

void df_scores_head_mix(struct df_scores_head *ours, const struct df_scores_head *theirs)
{
    if (theirs->mixed[0]) {
        memcpy(ours->mixed, theirs->mixed, sizeof ours->mixed);
        return;
    }
    for (int k = 0; k < IDENTITY_KEYS && !ours->mixed[0]; k++)
        if (strcmp(identity(theirs, k), identity(ours, k)) != 0)
            snprintf(ours->mixed, sizeof ours->mixed, "%s: %.60s, %.60s", identity_keys[k],
                     identity(theirs, k), identity(ours, k));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static dfal_status read_head(struct df_h5 *h5, struct df_scores_head *head)
{
    char units[16];
    int64_t shard, shards, complete = 0;
    bool there;
    DF_TRY(df_h5_has(h5, "complete", &there));
    if (there)
        DF_TRY(df_h5_get_one(h5, "complete", &complete, INT32_MIN, INT32_MAX));
    if (complete != 1)
        DF_FAIL(DFAL_E_DATA,
                "%s is not complete (attribute 'complete' is %lld), expected a finished scores file",
                h5->path, (long long)complete);
    DF_TRY(df_h5_get_short(h5, "network_sha256", head->network_sha256, sizeof head->network_sha256));
    DF_TRY(df_h5_get_short(h5, "pool_fingerprint", head->pool_fingerprint, sizeof head->pool_fingerprint));
    DF_TRY(df_h5_get_short(h5, "dfal_version", head->version, sizeof head->version));
    DF_TRY(df_h5_get_short(h5, "backend", head->backend, sizeof head->backend));
    DF_TRY(df_h5_get_short(h5, "engine", head->engine, sizeof head->engine));
    DF_TRY(df_h5_get_short(h5, "isa", head->isa, sizeof head->isa));
    DF_TRY(df_h5_get_short(h5, "precision", head->precision, sizeof head->precision));
    DF_TRY(df_h5_get_short(h5, "library", head->library, sizeof head->library));
    DF_TRY(df_h5_get_short(h5, "device", head->device, sizeof head->device));
    DF_TRY(df_h5_get_short(h5, "units", units, sizeof units));
    DF_TRY(df_h5_get_short(h5, "mixed", head->mixed, sizeof head->mixed));
    DF_TRY(df_h5_has(h5, "adversarial", &there));
    if (there)
        DF_TRY(df_h5_get_one(h5, "adversarial", &head->adversarial, 0, INT64_MAX));
    DF_TRY(df_h5_get_text(h5, h5->file, "configuration", &head->configuration));
    DF_TRY(df_h5_get_text(h5, h5->file, "command_line", &head->command_line));
    DF_TRY(df_h5_get_text(h5, h5->file, "network", &head->network_path));
    DF_TRY(df_h5_get_text(h5, h5->file, "pool", &head->pool_path));
    DF_TRY(df_h5_get_seed(h5, &head->seed));
    DF_TRY(df_h5_get_one(h5, "pool_count", &head->pool_count, 1, INT64_MAX));
    DF_TRY(df_h5_get_one(h5, "range_begin", &head->range_begin, 0, head->pool_count));
    DF_TRY(df_h5_get_one(h5, "range_end", &head->range_end, head->range_begin, head->pool_count));
    DF_TRY(df_h5_get_one(h5, "shard", &shard, 0, INT32_MAX));
    DF_TRY(df_h5_get_one(h5, "shard_count", &shards, 0, INT32_MAX));
    head->units_raw = strcmp(units, "raw") == 0;
    head->shard = (int32_t)shard;
    head->shard_count = (int32_t)shards;
    return DFAL_OK;
}

static dfal_status open_column(struct df_h5 *h5, const char *name, enum df_h5_kind kind, int64_t *count,
                               struct df_h5_data *data)
{
    char text[DF_H5_SHAPE_TEXT];
    dfal_status status = DFAL_OK;
    DF_TRY(df_h5_data_open(h5, name, data, NULL));
    if (data->kind != kind)
        status = df_fail(DFAL_E_DATA, "%s: dataset '%s' holds values of another kind than a scores file's",
                         h5->path, name);
    else if (data->rank != 1 || (*count >= 0 && data->dims[0] != *count))
        status = df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected [%lld]", h5->path, name,
                         df_h5_shape(text, data->dims, data->rank), (long long)*count);
    if (status != DFAL_OK)
        df_h5_data_close(h5, data);
    else
        *count = data->dims[0];
    return status;
}

static dfal_status check_rows(const struct df_scores_reader *reader, int64_t begin,
                              const struct df_scores *scores)
{
    for (int64_t i = 0; i < scores->count; i++) {
        if (scores->status[i] >= DFAL_SCORE_STATUS_COUNT)
            DF_FAIL(DFAL_E_DATA, "%s: status %d in row %lld, expected 0 to %d", reader->h5.path,
                    scores->status[i], (long long)(begin + i), DFAL_SCORE_STATUS_COUNT - 1);
        if (scores->index[i] < 0 || scores->index[i] >= reader->pool_count)
            DF_FAIL(DFAL_E_DATA, "%s: index %lld in row %lld, expected 0 to %lld", reader->h5.path,
                    (long long)scores->index[i], (long long)(begin + i), (long long)reader->pool_count - 1);
    }
    return DFAL_OK;
}

/* Every shape is compared before memory is taken. */
static dfal_status open_columns(struct df_scores_reader *reader)
{
    struct df_h5 *h5 = &reader->h5;
    reader->count = -1;
#define X(field, type, file, memory, fill)                                                                   \
    DF_TRY(open_column(h5, #field, (type)0.5 != 0 ? DF_H5_REAL : DF_H5_INTEGER, &reader->count,              \
                       &reader->column[DF_SCORES_##field]));
    DF_SCORES_COLUMN_LIST(X)
#undef X
    DF_TRY(df_h5_data_open(h5, "id", &reader->id, &reader->has_ids));
    if (!reader->has_ids)
        return DFAL_OK;
    df_h5_data_close(h5, &reader->id);
    return open_column(h5, "id", DF_H5_TEXT, &reader->count, &reader->id);
}

static dfal_status open_file(struct df_scores_reader *reader, struct df_scores_head *head, const char *path,
                             bool with_columns)
{
    DF_TRY(df_h5_open(&reader->h5, path, false));
    DF_TRY(df_h5_expect(&reader->h5, "dfal-scores"));
    DF_TRY(read_head(&reader->h5, head));
    reader->pool_count = head->pool_count;
    return with_columns ? open_columns(reader) : DFAL_OK;
}

static dfal_status open_reader(struct df_scores_reader **out, struct df_scores_head *head, const char *path,
                               bool with_columns)
{
    struct df_scores_reader *reader;
    *out = NULL;
    memset(head, 0, sizeof *head);
    DF_TRY(df_alloc(&reader, 1, sizeof *reader));
    reader->h5 = DF_H5_NONE;
    reader->id = DF_H5_NO_DATA;
    for (int i = 0; i < DF_SCORES_COLUMN_COUNT; i++)
        reader->column[i] = DF_H5_NO_DATA;
    df_h5_lock();
    const dfal_status status = open_file(reader, head, path, with_columns);
    df_h5_unlock();
    if (status == DFAL_OK) {
        *out = reader;
        return DFAL_OK;
    }
    df_scores_close(reader);
    df_scores_head_clear(head);
    return status;
}

dfal_status df_scores_open(struct df_scores_reader **out, struct df_scores_head *head, const char *path)
{
    return open_reader(out, head, path, true);
}

int64_t df_scores_rows(const struct df_scores_reader *reader)
{
    return reader->count;
}

bool df_scores_have_ids(const struct df_scores_reader *reader)
{
    return reader->has_ids;
}

static dfal_status take_columns(struct df_scores_reader *reader, int64_t begin, int64_t count, bool with_ids,
                                struct df_scores *scores)
{
#define X(field, type, file, memory, fill)                                                                   \
    DF_TRY(df_h5_data_read(&reader->h5, &reader->column[DF_SCORES_##field], memory, begin, count,            \
                           scores->field));
    DF_SCORES_COLUMN_LIST(X)
#undef X
    if (with_ids && reader->has_ids) {
        DF_TRY(df_alloc(&scores->id, count, sizeof *scores->id));
        DF_TRY(df_h5_texts_read(&reader->h5, &reader->id, begin, count, scores->id));
    }
    DF_TRY(check_rows(reader, begin, scores));
    const bool whole = count > 0 && count == reader->count;
    if (whole && scores->index[count - 1] - scores->index[0] == count - 1)
        return df_row_hashes_read(&reader->h5, &scores->rows, scores->index[0], scores->index[0] + count);
    return DFAL_OK;
}

dfal_status df_scores_take(struct df_scores_reader *reader, int64_t begin, int64_t count, bool with_ids,
                           struct df_scores *scores)
{
    if (begin < 0 || count < 0 || count > reader->count - begin)
        DF_FAIL(DFAL_E_INTERNAL, "%s: rows %lld to %lld asked of %lld scores", reader->h5.path,
                (long long)begin, (long long)(begin + count), (long long)reader->count);
    DF_TRY(df_scores_alloc(scores, count));
    df_h5_lock();
    dfal_status status = take_columns(reader, begin, count, with_ids, scores);
    if (status == DFAL_OK)
        status = df_h5_unchanged(&reader->h5);
    df_h5_unlock();
    if (status != DFAL_OK)
        df_scores_clear(scores);
    return status;
}

dfal_status df_scores_each(struct df_scores_reader *reader, bool with_ids, df_scores_block_fn *visit,
                           void *user)
{
    dfal_status status = DFAL_OK;
    for (int64_t begin = 0; begin < reader->count && status == DFAL_OK; begin += DF_SHARD_ROWS) {
        struct df_scores block;
        const int64_t left = reader->count - begin;
        DF_TRY(df_scores_take(reader, begin, left < DF_SHARD_ROWS ? left : DF_SHARD_ROWS, with_ids, &block));
        status = visit(user, begin, &block);
        df_scores_clear(&block);
    }
    return status;
}

dfal_status df_scores_take_hashes(struct df_scores_reader *reader, int64_t begin, int64_t end,
                                  struct df_row_hashes *hashes)
{
    df_h5_lock();
    const dfal_status status = df_row_hashes_read(&reader->h5, hashes, begin, end);
    df_h5_unlock();
    return status;
}

void df_scores_close(struct df_scores_reader *reader)
{
    if (!reader)
        return;
    df_h5_lock();
    for (int i = 0; i < DF_SCORES_COLUMN_COUNT; i++)
        df_h5_data_close(&reader->h5, &reader->column[i]);
    df_h5_data_close(&reader->h5, &reader->id);
    df_h5_close(&reader->h5);
    df_h5_unlock();
    df_free(reader);
}

static dfal_status read_file(const char *path, struct df_scores_head *head, struct df_scores *scores,
                             bool with_ids)
{
    struct df_scores_reader *reader;
    dfal_status status = DFAL_OK;
    if (scores)
        memset(scores, 0, sizeof *scores);
    DF_TRY(open_reader(&reader, head, path, scores != NULL));
    if (scores)
        status = df_scores_take(reader, 0, reader->count, with_ids, scores);
    df_scores_close(reader);
    if (status != DFAL_OK)
        df_scores_head_clear(head);
    return status;
}

dfal_status df_scores_read(const char *path, struct df_scores_head *head, struct df_scores *scores)
{
    return read_file(path, head, scores, true);
}

dfal_status df_scores_read_columns(const char *path, struct df_scores_head *head, struct df_scores *scores)
{
    return read_file(path, head, scores, false);
}
