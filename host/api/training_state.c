/* SPDX-License-Identifier: Apache-2.0 */
#include "training_state.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/table.h"

enum { SECONDS_BETWEEN = 3, COUNTS = 7, REALS = 5, STATE_COLUMNS = 6 };
static const char state_format[] = "dfal-training-state";

/* The shards of a score that was to become OUT are hours of work, and training ends by removing its parts. */
static bool is_state(const char *name)
{
    static const char ours[] = "state.h5";
    return strncmp(name, ours, sizeof ours - 1) == 0;
}

dfal_status df_checkpoint_begin(struct df_checkpoint *checkpoint, struct dfal_context *context,
                                const char *out_path, const char *configuration)
{
    const bool force = context->options.force;
    *checkpoint = (struct df_checkpoint){.context = context, .parts = DF_PARTS_NONE, .last = df_clock()};
    DF_TRY(df_format(&checkpoint->path, "%s.parts/state.h5", out_path));
    DF_TRY(df_strdup(&checkpoint->configuration, configuration));
    DF_TRY(df_parts_open(&checkpoint->parts, out_path, is_state, "a training's checkpoint", force));
    return force ? df_parts_clear(&checkpoint->parts) : DFAL_OK;
}

void df_training_state_clear(struct df_training_state *state)
{
    df_free(state->parameters);
    df_free(state->m);
    df_free(state->v);
    df_free(state->best_parameters);
    *state = (struct df_training_state){0};
}

void df_checkpoint_end(struct df_checkpoint *checkpoint)
{
    df_training_state_clear(&checkpoint->held);
    if (checkpoint->context != NULL)
        df_parts_close(&checkpoint->parts);
    df_free(checkpoint->path);
    df_free(checkpoint->configuration);
    *checkpoint = (struct df_checkpoint){0};
}

static bool is_identity(const char *key)
{
    static const char *const keys[] = {"backend", "engine", "isa", "library", "version"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static dfal_status difference(const char *path, const char *key, const json_t *ours, const json_t *theirs)
{
    char *mine = ours != NULL ? json_dumps(ours, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *other = theirs != NULL ? json_dumps(theirs, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    dfal_status status = df_fail(
        DFAL_E_CONFIG,
        "%s: unfinished work of another configuration: its %s is %s, expected %s; --force starts anew", path,
        key, other != NULL ? other : "absent", mine != NULL ? mine : "absent");
    free(mine);
    free(other);
    return status;
}

dfal_status df_configuration_compare(const char *ours, const char *theirs, bool allow_mixed, const char *path)
{
    json_t *mine = json_loads(ours, 0, NULL), *other = json_loads(theirs, 0, NULL);
    dfal_status status = DFAL_OK;
    const char *key;
    json_t *value;
    if (mine == NULL || !json_is_object(other))
        status = df_fail(DFAL_E_DATA, "%s: its configuration is not a JSON object", path);
    if (status == DFAL_OK) {
        json_object_foreach(mine, key, value)
        {
            const json_t *theirs_value = json_object_get(other, key);
            if (status == DFAL_OK && !(allow_mixed && is_identity(key)) && !json_equal(value, theirs_value))
                status = difference(path, key, value, theirs_value);
        }
        json_object_foreach(other, key, value) if (status == DFAL_OK && json_object_get(mine, key) == NULL)
            status = difference(path, key, NULL, value);
    }
    json_decref(mine);
    json_decref(other);
    return status;
}

static void pack(const struct df_training_state *state, int64_t counts[COUNTS], double reals[REALS])
{
    counts[0] = state->restart;
    counts[1] = state->epoch;
    counts[2] = state->waited;
    counts[3] = state->size;
    counts[4] = state->best_restart;
    counts[5] = state->best_epochs;
    counts[6] = state->best_parameters != NULL;
    reals[0] = state->lowest;
    reals[1] = state->loss;
    reals[2] = state->validation_loss;
    reals[3] = state->best_loss;
    reals[4] = state->best_validation_loss;
}

static void unpack(struct df_training_state *state, const int64_t counts[COUNTS], const double reals[REALS])
{
    state->restart = (int32_t)counts[0];
    state->epoch = (int32_t)counts[1];
    state->waited = (int32_t)counts[2];
    state->size = counts[3];
    state->best_restart = (int32_t)counts[4];
    state->best_epochs = (int32_t)counts[5];
    state->lowest = reals[0];
    state->loss = reals[1];
    state->validation_loss = reals[2];
    state->best_loss = reals[3];
    state->best_validation_loss = reals[4];
}

static dfal_status write_state(struct df_checkpoint *checkpoint, const struct df_training_state *state)
{
    int64_t counts[COUNTS], n = state->size;
    double reals[REALS];
    pack(state, counts, reals);
    float *best = state->best_parameters != NULL ? state->best_parameters : state->parameters;
    struct df_column columns[STATE_COLUMNS] = {
        {"counts", DF_COLUMN_I64, 1, {COUNTS}, counts},
        {"reals", DF_COLUMN_F64, 1, {REALS}, reals},
        {"parameters", DF_COLUMN_F32, 1, {n}, state->parameters},
        {"m", DF_COLUMN_F32, 1, {n}, state->m},
        {"v", DF_COLUMN_F32, 1, {n}, state->v},
        {"best_parameters", DF_COLUMN_F32, 1, {n}, best},
    };
    DF_TRY(df_table_write(checkpoint->path, state_format, checkpoint->configuration, columns, STATE_COLUMNS,
                          true));
    checkpoint->written = true;
    checkpoint->pending = false;
    checkpoint->last = df_clock();
    return DFAL_OK;
}

static dfal_status check_sizes(const struct df_column *columns, const char *path)
{
    static const int64_t expected[] = {COUNTS, REALS};
    for (int i = 0; i < 2; i++)
        if (columns[i].dims[0] != expected[i])
            DF_FAIL(DFAL_E_DATA, "%s: /%s has %lld values, expected %lld", path, columns[i].name,
                    (long long)columns[i].dims[0], (long long)expected[i]);
    int64_t n = ((const int64_t *)columns[0].data)[3];
    for (int i = 2; i < STATE_COLUMNS; i++)
        if (columns[i].dims[0] != n)
            DF_FAIL(DFAL_E_DATA, "%s: /%s has %lld values, expected %lld", path, columns[i].name,
                    (long long)columns[i].dims[0], (long long)n);
    return DFAL_OK;
}

dfal_status df_checkpoint_read(struct df_checkpoint *checkpoint, struct df_training_state *state, bool *found)
{
    struct df_column columns[STATE_COLUMNS] = {
        {"counts", DF_COLUMN_I64, 1, {0}, NULL},     {"reals", DF_COLUMN_F64, 1, {0}, NULL},
        {"parameters", DF_COLUMN_F32, 1, {0}, NULL}, {"m", DF_COLUMN_F32, 1, {0}, NULL},
        {"v", DF_COLUMN_F32, 1, {0}, NULL},          {"best_parameters", DF_COLUMN_F32, 1, {0}, NULL},
    };
    char *theirs = NULL;
    dfal_status status = DFAL_OK;
    *state = (struct df_training_state){0};
    *found = false;
    if (!df_file_exists(checkpoint->path))
        return DFAL_OK;
    DF_TRY_TO(done, status, df_table_read(checkpoint->path, state_format, &theirs, columns, STATE_COLUMNS));
    DF_TRY_TO(done, status, check_sizes(columns, checkpoint->path));
    DF_TRY_TO(done, status,
              df_configuration_compare(checkpoint->configuration, theirs,
                                       checkpoint->context->options.allow_mixed, checkpoint->path));
    const int64_t *counts = columns[0].data;
    unpack(state, counts, columns[1].data);
    state->parameters = columns[2].data;
    state->m = columns[3].data;
    state->v = columns[4].data;
    columns[2].data = columns[3].data = columns[4].data = NULL;
    if (counts[6]) {
        state->best_parameters = columns[5].data;
        columns[5].data = NULL;
    }
    *found = checkpoint->written = true;
done:
    for (int i = 0; i < STATE_COLUMNS; i++)
        df_free(columns[i].data);
    df_free(theirs);
    return status;
}

static dfal_status copy_values(float **to, const float *from, int64_t n)
{
    if (from == NULL) {
        df_free(*to);
        *to = NULL;
        return DFAL_OK;
    }
    if (*to == NULL)
        DF_TRY(df_alloc(to, n, sizeof(**to)));
    memcpy(*to, from, (size_t)n * sizeof(**to));
    return DFAL_OK;
}

static dfal_status hold(struct df_checkpoint *checkpoint, const struct df_training_state *state)
{
    struct df_training_state kept = checkpoint->held;
    dfal_status status = copy_values(&kept.parameters, state->parameters, state->size);
    DF_KEEP_FIRST(status, copy_values(&kept.m, state->m, state->size));
    DF_KEEP_FIRST(status, copy_values(&kept.v, state->v, state->size));
    DF_KEEP_FIRST(status, copy_values(&kept.best_parameters, state->best_parameters, state->size));
    checkpoint->held = *state;
    checkpoint->held.parameters = kept.parameters;
    checkpoint->held.m = kept.m;
    checkpoint->held.v = kept.v;
    checkpoint->held.best_parameters = kept.best_parameters;
    checkpoint->pending = status == DFAL_OK;
    return status;
}

dfal_status df_checkpoint_epoch(void *user, const struct df_training_state *state)
{
    struct df_checkpoint *checkpoint = user;
    if (df_clock() - checkpoint->last < SECONDS_BETWEEN)
        return hold(checkpoint, state);
    return write_state(checkpoint, state);
}

dfal_status df_checkpoint_flush(struct df_checkpoint *checkpoint)
{
    return checkpoint->pending ? write_state(checkpoint, &checkpoint->held) : DFAL_OK;
}

dfal_status df_checkpoint_remove(struct df_checkpoint *checkpoint)
{
    return df_parts_clear(&checkpoint->parts);
}
