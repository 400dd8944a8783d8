/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_progress: how far a score, a training or a run is, read from what it has left on the disk. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/parts.h"
#include "facts.h"
#include "graph/json_text.h"
#include "run/curve.h"
#include "run/rounds.h"
#include "store/scores.h"
#include "store/table.h"
#include "training_state.h"

enum { PATH_SIZE = 4096 };
static const double most_unfinished = 99.9; /* percent */

static bool path_in(char path[PATH_SIZE], const char *folder, const char *name)
{
    int length = snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    return length > 0 && length < PATH_SIZE;
}

dfal_status df_tell_run_folder(const struct df_teller *teller, const char *folder)
{
    struct df_run_look look;
    DF_TRY(df_run_look(&look, folder));
    const struct df_run_config *config = &look.config;
    int64_t done = look.annotations, total = look.annotations_total;
    if (config->trainer.text[0])
        df_tell_text(teller, "trainer", "%s", config->trainer.text);
    else
        df_tell_text(teller, "network", "%s", config->network);
    df_tell_int(teller, "strategies", config->strategy_count);
    df_tell_int(teller, "trials", config->trials);
    if (look.part.count) {
        df_tell_text(teller, "part", "%d of %d", look.part.number + 1, look.part.count);
        df_tell_int(teller, "part_trials", look.trials_total / config->strategy_count);
    }
    df_tell_int(teller, "rounds",
                1 + (look.annotations_each - config->initial + config->query - 1) / config->query);
    df_tell_int(teller, "done", done);
    df_tell_int(teller, "total", total);
    /* A pool with fewer labels than annotations ends its trials early; and the end is still to come behind
     * the last round. */
    df_tell_real(teller, "percent",
                 look.finished ? 100.0 : fmin(100.0 * (double)done / (double)total, most_unfinished));
    df_tell_real(teller, "elapsed_seconds", look.elapsed);
    df_tell_real(teller, "eta_seconds", look.eta);
    if (look.strategy[0] != '\0') {
        df_tell_text(teller, "strategy", "%s", look.strategy);
        df_tell_int(teller, "trial", look.trial);
        df_tell_int(teller, "round", look.round);
        df_tell_int(teller, "annotations", look.annotations_last);
        df_tell_real(teller, "accuracy", look.accuracy);
    }
    df_tell_text(teller, "state", "%s", look.finished ? "finished" : "unfinished");
    return DFAL_OK;
}

/* Epochs of restarts that have ended, early or not, count in full. */
static dfal_status tell_training(const struct df_teller *teller, const char *path)
{
    struct df_training_state state;
    char *configuration = NULL;
    DF_TRY(df_training_state_read(&state, path, &configuration));
    json_t *object = df_json_parse(configuration, 0, NULL);
    const int64_t epochs = json_integer_value(json_object_get(object, "epochs"));
    const int32_t shown = df_training_restart(&state);
    int64_t done = 0;
    json_decref(object);
    for (int32_t r = 0; r < state.count; r++)
        done += state.restarts[r].ended ? epochs : state.restarts[r].epochs;
    df_tell_text(teller, "job", "train");
    df_tell_int(teller, "restart", shown + 1);
    df_tell_int(teller, "restarts", state.count);
    df_tell_int(teller, "epoch", state.restarts[shown].epochs);
    df_tell_int(teller, "epochs", epochs);
    df_tell_real(teller, "loss", state.restarts[shown].loss);
    df_tell_real(teller, "percent", epochs > 0 ? 100.0 * (double)done / (double)(epochs * state.count) : 0.0);
    df_tell_text(teller, "state", "unfinished");
    df_training_state_clear(&state);
    df_free(configuration);
    return DFAL_OK;
}

static bool is_shard(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".h5") == 0;
}

static const char *job_of(const char *format)
{
    return strcmp(format, "dfal-logits") == 0        ? "logits"
           : strcmp(format, "dfal-import-part") == 0 ? "import"
                                                     : "score";
}

/* Sum the rows of the finished shards; a file that cannot be read is one being written or torn, and counts as
 * none. */
static dfal_status tell_shards(const struct df_teller *teller, const char *folder)
{
    DIR *entries = opendir(folder);
    int64_t done = 0, total = 0, shards = 0;
    const char *job = "unknown"; /* until a part is finished */
    if (entries == NULL)
        DF_FAIL(DFAL_E_NOINPUT, "%s: cannot be read", folder);
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[PATH_SIZE];
        struct df_rows_head head = {0};
        struct df_rows_reader *reader;
        if (!is_shard(entry->d_name) || !path_in(path, folder, entry->d_name))
            continue;
        if (df_rows_open(&reader, &head, path, NULL) == DFAL_OK) {
            shards++;
            done += df_rows_count(reader);
            total = head.range_end - head.range_begin;
            job = job_of(df_rows_format(reader));
            df_rows_close(reader);
        }
        df_rows_head_clear(&head);
    }
    closedir(entries);
    df_tell_text(teller, "job", "%s", job);
    df_tell_int(teller, strcmp(job, "import") == 0 ? "parts" : "shards", shards);
    df_tell_int(teller, "done", done);
    if (total > 0) {
        df_tell_int(teller, "total", total);
        df_tell_real(teller, "percent", 100.0 * (double)done / (double)total);
    }
    df_tell_text(teller, "state", "unfinished");
    return DFAL_OK;
}

static dfal_status tell_parts(const struct df_teller *teller, const char *folder)
{
    char path[PATH_SIZE];
    if (path_in(path, folder, "state.h5") && df_file_exists(path))
        return tell_training(teller, path);
    return tell_shards(teller, folder);
}

dfal_status dfal_progress(dfal_context *context, const char *path, dfal_fact_fn *fact, void *user)
{
    const struct df_teller teller = {fact, user};
    char parts[PATH_SIZE], format[32];
    (void)context;
    if (df_folder_exists(path)) {
        size_t length = strlen(path);
        if (length > 6 && strcmp(path + length - 6, ".parts") == 0)
            return tell_parts(&teller, path);
        DF_TRY(df_run_directory_check(path));
        df_tell_text(&teller, "job", "run");
        return df_tell_run_folder(&teller, path);
    }
    int length = snprintf(parts, sizeof(parts), "%s.parts", path);
    if (length < PATH_SIZE && df_folder_exists(parts) && !df_parts_are_published(path))
        return tell_parts(&teller, parts);
    DF_TRY(df_file_format(format, path));
    df_tell_text(&teller, "format", "%s", format[0] != '\0' ? format : "foreign");
    df_tell_real(&teller, "percent", 100.0);
    df_tell_text(&teller, "state", "finished");
    return DFAL_OK;
}
