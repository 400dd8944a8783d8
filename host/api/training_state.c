/* SPDX-License-Identifier: Apache-2.0 */
#include "training_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "graph/json_text.h"
#include "store/table.h"

enum { SECONDS_BETWEEN = 3 };
static const char state_format[] = "dfal-training-state-2"; /* 2: a list of restarts */

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

void df_checkpoint_end(struct df_checkpoint *checkpoint)
{
    if (checkpoint->context != NULL)
        df_parts_close(&checkpoint->parts);
    df_free(checkpoint->path);
    df_free(checkpoint->configuration);
    *checkpoint = (struct df_checkpoint){0};
}

static dfal_status compare(const struct df_checkpoint *checkpoint, const char *configuration)
{
    struct df_identity ours = {0}, theirs = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_identity_json(&ours, checkpoint->configuration, checkpoint->path));
    DF_TRY_TO(done, status, df_identity_json(&theirs, configuration, checkpoint->path));
    df_identity_recent(&ours, "row_hash");
    status = df_identity_check(&ours, &theirs, checkpoint->context->options.allow_mixed, DFAL_E_CONFIG,
                               checkpoint->path, "; `force` starts anew");
done:
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    return status;
}

/* ---- The file ---------------------------------------------------------------------------------
 *
 * /counts    [2] values a network has; the restart to keep, -1: none has ended
 * /restarts  [R, 3] epochs, epochs waited, ended
 * /losses    [R, 3] the lowest watched, the last, the last validation loss
 * /best_parameters, and of every restart r that is under way /parameters_r, /m_r, /v_r */

enum { COUNTS = 2, OF_A_RESTART = 3, HEAD_COLUMNS = 3, NAME_SIZE = 32 };
enum { ARRAYS = 3 }; /* of a restart */

struct file {
    struct df_column
        *columns; /* head, best_parameters, then arrays of restarts; what is not there has no name */
    char (*names)[NAME_SIZE];
    int32_t count;
};

static void file_clear(struct file *file)
{
    df_free(file->columns);
    df_free(file->names);
}

static dfal_status file_create(struct file *file, int64_t restarts)
{
    const int64_t most = HEAD_COLUMNS + 1 + ARRAYS * restarts;
    *file = (struct file){0};
    DF_TRY(df_alloc(&file->columns, most, sizeof *file->columns));
    const dfal_status status = df_alloc(&file->names, most, sizeof *file->names);
    if (status != DFAL_OK)
        file_clear(file);
    return status;
}

static void add_array(struct file *file, const char *name, int32_t restart, int64_t size, float *values)
{
    char *text = file->names[file->count];
    if (restart >= 0)
        snprintf(text, NAME_SIZE, "%s_%" PRId32, name, restart);
    else
        snprintf(text, NAME_SIZE, "%s", name);
    file->columns[file->count++] = (struct df_column){text, DF_COLUMN_F32, 1, {size}, values};
}

/* The arrays that a state has, in the order that `arrays_of` takes them in. */
static void add_arrays(struct file *file, const struct df_training_state *state)
{
    if (state->best >= 0)
        add_array(file, "best_parameters", -1, state->size, state->best_parameters);
    for (int32_t r = 0; r < state->count; r++) {
        const struct df_restart_state *restart = &state->restarts[r];
        if (restart->ended || restart->epochs == 0)
            continue;
        add_array(file, "parameters", r, state->size, restart->parameters);
        add_array(file, "m", r, state->size, restart->m);
        add_array(file, "v", r, state->size, restart->v);
    }
}

static dfal_status write_columns(struct df_checkpoint *checkpoint, const struct df_training_state *state,
                                 int64_t *restarts, double *losses)
{
    int64_t counts[COUNTS] = {state->size, state->best};
    struct file file;
    for (int32_t r = 0; r < state->count; r++) {
        const struct df_restart_state *restart = &state->restarts[r];
        int64_t *count = restarts + OF_A_RESTART * r;
        double *loss = losses + OF_A_RESTART * r;
        count[0] = restart->epochs;
        count[1] = restart->waited;
        count[2] = restart->ended;
        loss[0] = restart->lowest;
        loss[1] = restart->loss;
        loss[2] = restart->validation_loss;
    }
    DF_TRY(file_create(&file, state->count));
    file.columns[0] = (struct df_column){"counts", DF_COLUMN_I64, 1, {COUNTS}, counts};
    file.columns[1] =
        (struct df_column){"restarts", DF_COLUMN_I64, 2, {state->count, OF_A_RESTART}, restarts};
    file.columns[2] = (struct df_column){"losses", DF_COLUMN_F64, 2, {state->count, OF_A_RESTART}, losses};
    file.count = HEAD_COLUMNS;
    add_arrays(&file, state);
    const dfal_status status = df_table_write(checkpoint->path, state_format, checkpoint->configuration,
                                              file.columns, file.count, true);
    file_clear(&file);
    return status;
}

static dfal_status write_state(struct df_checkpoint *checkpoint, const struct df_training_state *state)
{
    int64_t *restarts = NULL;
    double *losses = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&restarts, OF_A_RESTART * state->count, sizeof *restarts));
    DF_TRY_TO(done, status, df_alloc(&losses, OF_A_RESTART * state->count, sizeof *losses));
    DF_TRY_TO(done, status, write_columns(checkpoint, state, restarts, losses));
    checkpoint->pending = false;
    checkpoint->last = df_clock();
done:
    df_free(restarts);
    df_free(losses);
    return status;
}

static dfal_status check_head(const struct df_column *head, const char *path)
{
    const int64_t restarts = head[1].dims[0];
    if (head[0].dims[0] != COUNTS || restarts < 1 || restarts > INT32_MAX ||
        head[1].dims[1] != OF_A_RESTART || head[2].dims[0] != restarts || head[2].dims[1] != OF_A_RESTART)
        DF_FAIL(DFAL_E_DATA,
                "%s: /counts, /restarts and /losses are [%lld], [%lld,%lld] and [%lld,%lld], expected [%d], "
                "[R,%d] and [R,%d]",
                path, (long long)head[0].dims[0], (long long)restarts, (long long)head[1].dims[1],
                (long long)head[2].dims[0], (long long)head[2].dims[1], COUNTS, OF_A_RESTART, OF_A_RESTART);
    return DFAL_OK;
}

/* Numbers that a training cannot have left are not gone on from. */
static dfal_status check_restart(const int64_t *restart, const double *losses, int64_t r, const char *path)
{
    if (restart[0] < 0 || restart[0] > INT32_MAX || restart[1] < 0 || restart[1] > restart[0] ||
        (restart[2] != 0 && restart[2] != 1))
        DF_FAIL(DFAL_E_DATA,
                "%s: row %lld of /restarts is %lld, %lld, %lld, expected epochs, as many waited at most, and "
                "0 or 1",
                path, (long long)r, (long long)restart[0], (long long)restart[1], (long long)restart[2]);
    if (restart[0] > 0 && (isnan(losses[0]) || !isfinite(losses[1]) || isinf(losses[2])))
        DF_FAIL(DFAL_E_DATA, "%s: row %lld of /losses is %g, %g, %g, expected numbers", path, (long long)r,
                losses[0], losses[1], losses[2]);
    return DFAL_OK;
}

/* The restart to keep is one that has ended, and there is one as soon as any has. */
static dfal_status check_restarts(const struct df_column *head, const char *path)
{
    const int64_t count = head[1].dims[0], best = ((const int64_t *)head[0].data)[1];
    const int64_t *restarts = head[1].data;
    bool ended = false;
    for (int64_t r = 0; r < count; r++) {
        DF_TRY(check_restart(restarts + OF_A_RESTART * r, (const double *)head[2].data + OF_A_RESTART * r, r,
                             path));
        ended = ended || restarts[OF_A_RESTART * r + 2] == 1;
    }
    if (best < -1 || best >= count || (best < 0) == ended ||
        (best >= 0 && restarts[OF_A_RESTART * best + 2] != 1))
        DF_FAIL(DFAL_E_DATA, "%s: /counts names restart %lld as the one to keep, expected %s", path,
                (long long)best, ended ? "one that has ended" : "-1, as none has ended");
    return DFAL_OK;
}

static dfal_status take_head(struct df_training_state *state, const struct df_column *head)
{
    const int64_t *counts = head[0].data, *restarts = head[1].data;
    const double *losses = head[2].data;
    DF_TRY(df_training_state_create(state, (int32_t)head[1].dims[0], counts[0]));
    state->best = (int32_t)counts[1];
    for (int32_t r = 0; r < state->count; r++, restarts += OF_A_RESTART, losses += OF_A_RESTART) {
        struct df_restart_state *restart = &state->restarts[r];
        restart->epochs = (int32_t)restarts[0];
        restart->waited = (int32_t)restarts[1];
        restart->ended = restarts[2] != 0;
        restart->lowest = losses[0];
        restart->loss = losses[1];
        restart->validation_loss = losses[2];
    }
    return DFAL_OK;
}

/* The columns' data, which has been read in the order of add_arrays, becomes the state's. */
static void take_arrays(struct df_training_state *state, struct df_column *column)
{
    if (state->best >= 0)
        state->best_parameters = column++->data;
    for (int32_t r = 0; r < state->count; r++) {
        struct df_restart_state *restart = &state->restarts[r];
        if (restart->ended || restart->epochs == 0)
            continue;
        restart->parameters = column++->data;
        restart->m = column++->data;
        restart->v = column++->data;
    }
}

static dfal_status check_array(const struct df_column *column, int64_t size, const char *path)
{
    const float *values = column->data;
    if (column->dims[0] != size)
        DF_FAIL(DFAL_E_DATA, "%s: /%s has %lld values, expected %lld", path, column->name,
                (long long)column->dims[0], (long long)size);
    for (int64_t i = 0; i < size; i++)
        if (!isfinite(values[i]))
            DF_FAIL(DFAL_E_DATA, "%s: value %lld of /%s is %g, expected a finite number", path, (long long)i,
                    column->name, (double)values[i]);
    return DFAL_OK;
}

static dfal_status read_arrays(struct df_training_state *state, const char *path)
{
    struct file file;
    char *configuration = NULL;
    dfal_status status;
    DF_TRY(file_create(&file, state->count));
    add_arrays(&file, state);
    DF_TRY_TO(done, status, df_table_read(path, state_format, &configuration, file.columns, file.count));
    for (int32_t i = 0; i < file.count && status == DFAL_OK; i++)
        status = check_array(&file.columns[i], state->size, path);
    if (status == DFAL_OK)
        take_arrays(state, file.columns);
done:
    for (int32_t i = 0; i < file.count && status != DFAL_OK; i++)
        df_free(file.columns[i].data);
    df_free(configuration);
    file_clear(&file);
    return status;
}

dfal_status df_training_state_read(struct df_training_state *state, const char *path, char **configuration)
{
    struct df_column head[HEAD_COLUMNS] = {{"counts", DF_COLUMN_I64, 1, {0}, NULL},
                                           {"restarts", DF_COLUMN_I64, 2, {0}, NULL},
                                           {"losses", DF_COLUMN_F64, 2, {0}, NULL}};
    dfal_status status;
    *state = (struct df_training_state){0};
    *configuration = NULL;
    DF_TRY_TO(done, status, df_table_read(path, state_format, configuration, head, HEAD_COLUMNS));
    DF_TRY_TO(done, status, check_head(head, path));
    DF_TRY_TO(done, status, check_restarts(head, path));
    status = take_head(state, head);
done:
    for (int i = 0; i < HEAD_COLUMNS; i++)
        df_free(head[i].data);
    if (status != DFAL_OK) {
        df_training_state_clear(state);
        df_free(*configuration);
        *configuration = NULL;
    }
    return status;
}

/* ---- The checkpoint --------------------------------------------------------------------------- */

dfal_status df_checkpoint_read(struct df_checkpoint *checkpoint, struct df_training_state *state, bool *found)
{
    char *theirs = NULL;
    dfal_status status = DFAL_OK;
    *state = (struct df_training_state){0};
    *found = false;
    if (!df_file_exists(checkpoint->path))
        return DFAL_OK;
    DF_TRY(df_training_state_read(state, checkpoint->path, &theirs));
    DF_TRY_TO(done, status, compare(checkpoint, theirs));
    DF_TRY_TO(done, status, read_arrays(state, checkpoint->path));
    *found = true;
done:
    if (status != DFAL_OK)
        df_training_state_clear(state);
    df_free(theirs);
    return status;
}

dfal_status df_checkpoint_epoch(void *user, const struct df_training_state *state, int32_t restart)
{
    struct df_checkpoint *checkpoint = user;
    (void)restart;
    checkpoint->pending = checkpoint->told = true;
    return df_clock() - checkpoint->last < SECONDS_BETWEEN ? DFAL_OK : write_state(checkpoint, state);
}

dfal_status df_checkpoint_flush(struct df_checkpoint *checkpoint, const struct df_training_state *state)
{
    return checkpoint->pending ? write_state(checkpoint, state) : DFAL_OK;
}

dfal_status df_checkpoint_remove(struct df_checkpoint *checkpoint)
{
    return df_parts_clear(&checkpoint->parts);
}
