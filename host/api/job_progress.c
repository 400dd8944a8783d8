/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_progress: how far a score, a training or a run is, read from what it has left on the disk. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/at_work.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/parts.h"
#include "facts.h"
#include "graph/json_text.h"
#include "run/curve.h"
#include "run/directory_files.h"
#include "run/rounds.h"
#include "store/scores.h"
#include "store/table.h"
#include "training_state.h"

enum { PATH_SIZE = 4096, MOST_SHARDS = 1000000 };
static const double most_unfinished = 99.9; /* percent */

static bool path_in(char path[PATH_SIZE], const char *folder, const char *name)
{
    int length = snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    return length > 0 && length < PATH_SIZE;
}

/* Where it is not known, nothing is told. */
static void tell_at_work(const struct df_teller *teller, enum df_at_work at_work)
{
    if (at_work != DF_AT_WORK_UNKNOWN)
        df_tell_text(teller, "at_work", "%s", at_work == DF_AT_WORK_YES ? "yes" : "no");
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
    char log[PATH_SIZE];
    if (!look.finished && path_in(log, folder, DF_RUN_LOG))
        tell_at_work(teller, df_at_work_look(log));
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
    return df_name_ends(name, ".h5");
}

static const char *job_of(const char *format)
{
    return strcmp(format, "dfal-logits") == 0        ? "logits"
           : strcmp(format, "dfal-import-part") == 0 ? "import"
                                                     : "score";
}

/* Rows of the finished shards in OUT.parts. */
struct parts_sum {
    int64_t done, total, shards;
    const char *job; /* "unknown" until a part is finished */
};

/* A file that cannot be read is one being written or torn, and counts as none. */
static dfal_status sum_parts(struct parts_sum *sum, const char *folder)
{
    DIR *entries = opendir(folder);
    *sum = (struct parts_sum){.job = "unknown"};
    if (entries == NULL)
        DF_FAIL(DFAL_E_NOINPUT, "%s: cannot be read", folder);
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[PATH_SIZE];
        struct df_rows_head head = {0};
        struct df_rows_reader *reader;
        if (!is_shard(entry->d_name) || !path_in(path, folder, entry->d_name))
            continue;
        if (df_rows_open(&reader, &head, path, NULL) == DFAL_OK) {
            sum->shards++;
            sum->done += df_rows_count(reader);
            sum->total = head.range_end - head.range_begin;
            sum->job = job_of(df_rows_format(reader));
            df_rows_close(reader);
        }
        df_rows_head_clear(&head);
    }
    closedir(entries);
    return DFAL_OK;
}

static void tell_rows(const struct df_teller *teller, int64_t done, int64_t total)
{
    df_tell_int(teller, "done", done);
    if (total <= 0)
        return;
    df_tell_int(teller, "total", total);
    df_tell_real(teller, "percent", 100.0 * (double)done / (double)total);
}

/* Only a finished part tells what the job is. */
static void tell_what_to_do(const struct df_teller *teller, enum df_at_work at_work)
{
    static const char *const notes[] = {
        [DF_AT_WORK_YES] =
            "a job is at work and has not finished its first part, so what it is cannot be told "
            "yet: look again when it has worked for a minute, a training for an epoch",
        [DF_AT_WORK_NO] = "a job has ended here before its first part was finished, so what it was cannot be "
                          "told: its line begins anew",
        [DF_AT_WORK_UNKNOWN] =
            "no part is finished yet, so what the job is cannot be told: look again when it "
            "has worked for a minute, a training for an epoch; if it has ended, its line "
            "begins anew",
    };
    df_tell_text(teller, "note", "%s", notes[at_work]);
}

static dfal_status tell_shards(const struct df_teller *teller, const char *folder, enum df_at_work at_work)
{
    struct parts_sum sum;
    DF_TRY(sum_parts(&sum, folder));
    df_tell_text(teller, "job", "%s", sum.job);
    df_tell_int(teller, strcmp(sum.job, "import") == 0 ? "parts" : "shards", sum.shards);
    tell_rows(teller, sum.done, sum.total);
    df_tell_text(teller, "state", "unfinished");
    tell_at_work(teller, at_work);
    if (sum.shards == 0)
        tell_what_to_do(teller, at_work);
    return DFAL_OK;
}

/* Whether somebody owns the output that a folder of parts lies beside. */
static enum df_at_work look_at_owner(const char *folder)
{
    char lock[PATH_SIZE];
    const int length = (int)(strlen(folder) - strlen(DF_PARTS_SUFFIX));
    if (snprintf(lock, sizeof lock, "%.*s" DF_OWNER_SUFFIX, length, folder) >= PATH_SIZE)
        return DF_AT_WORK_UNKNOWN;
    return df_at_work_look(lock);
}

static dfal_status tell_parts(const struct df_teller *teller, const char *folder)
{
    const enum df_at_work at_work = look_at_owner(folder);
    char path[PATH_SIZE];
    if (!path_in(path, folder, "state.h5") || !df_file_exists(path))
        return tell_shards(teller, folder, at_work);
    DF_TRY(tell_training(teller, path));
    tell_at_work(teller, at_work);
    return DFAL_OK;
}

/* ---- arrays -------------------------------------------------------------------------------------------- */

/* OUT.shards, which the tasks of an array fill: K-of-N.h5 with K-of-N.h5.parts beside it until it is whole,
 * or the run directory K-of-N. */
enum stage { MISSING, BEGUN, FINISHED, STAGES };
struct array {
    int64_t shards; /* N: the largest, if an earlier array has left shards of its own */
    int8_t *stage;  /* [shards] */
    int64_t done, total;
};

/* K and N of a name, and what stands behind them. NULL: it is no shard's. */
static const char *shard_number(const char *name, int64_t *k, int64_t *n)
{
    char first[32], second[32];
    const size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits >= sizeof first || strncmp(name + digits, "-of-", 4) != 0)
        return NULL;
    const char *rest = name + digits + 4;
    const size_t more = strspn(rest, "0123456789");
    if (more == 0 || more >= sizeof second)
        return NULL;
    memcpy(first, name, digits);
    memcpy(second, rest, more);
    first[digits] = second[more] = '\0';
    const bool numbers = df_parse_whole(k, first) && df_parse_whole(n, second);
    return numbers && *k >= 1 && *k <= *n && *n <= MOST_SHARDS ? rest + more : NULL;
}

/* How far one shard is; its rows are added. */
static enum stage stage_of(struct array *array, const char *path, const char *ending)
{
    struct df_rows_head head = {0};
    struct df_rows_reader *reader;
    struct df_run_look look;
    struct parts_sum sum;
    enum stage stage = BEGUN;
    if (ending[0] == '\0')
        return df_run_look(&look, path) == DFAL_OK && look.finished ? FINISHED : BEGUN;
    if (strcmp(ending, ".h5" DF_PARTS_SUFFIX) == 0) {
        char out[PATH_SIZE];
        snprintf(out, sizeof out, "%.*s", (int)(strlen(path) - strlen(DF_PARTS_SUFFIX)), path);
        if (df_parts_are_published(out)) /* its file counts */
            return MISSING;
        if (sum_parts(&sum, path) == DFAL_OK)
            array->done += sum.done;
        return BEGUN;
    }
    if (strcmp(ending, ".h5") != 0)
        return MISSING;
    if (df_rows_open(&reader, &head, path, NULL) == DFAL_OK) {
        array->done += df_rows_count(reader);
        array->total = head.pool_count;
        stage = FINISHED;
        df_rows_close(reader);
    }
    df_rows_head_clear(&head);
    return stage;
}

static dfal_status look_at_array(struct array *array, const char *folder)
{
    DIR *entries = opendir(folder);
    dfal_status status = DFAL_OK;
    if (entries == NULL)
        DF_FAIL(DFAL_E_NOINPUT, "%s: cannot be read", folder);
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        int64_t k, n;
        if (shard_number(entry->d_name, &k, &n) != NULL && n > array->shards)
            array->shards = n;
    }
    DF_TRY_TO(done, status, df_alloc(&array->stage, array->shards, sizeof *array->stage));
    rewinddir(entries);
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[PATH_SIZE];
        int64_t k, n;
        const char *ending = shard_number(entry->d_name, &k, &n);
        if (ending == NULL || n != array->shards || !path_in(path, folder, entry->d_name))
            continue;
        const enum stage stage = stage_of(array, path, ending);
        if (stage > (enum stage)array->stage[k - 1])
            array->stage[k - 1] = (int8_t)stage;
    }
done:
    closedir(entries);
    return status;
}

/* The numbers of the shards at a stage as `sbatch --array` takes them: 1-3,7. */
static dfal_status tell_stage(const struct df_teller *teller, const char *key, const struct array *array,
                              enum stage stage)
{
    struct df_text text = {0};
    char *numbers = NULL;
    for (int64_t k = 0, end; k < array->shards; k = end) {
        for (end = k; end < array->shards && array->stage[end] == array->stage[k]; end++)
            ;
        if (array->stage[k] != (int8_t)stage)
            continue;
        df_text_add(&text, text.size > 0 ? ",%lld" : "%lld", (long long)k + 1);
        if (end > k + 1)
            df_text_add(&text, "-%lld", (long long)end);
    }
    df_text_add(&text, "%s", text.size > 0 ? "" : "none");
    DF_TRY(df_text_take(&text, &numbers));
    const struct dfal_field fact = {.key = key, .kind = DFAL_FIELD_TEXT, .text = numbers};
    teller->fact(teller->user, &fact);
    df_free(numbers);
    return DFAL_OK;
}

static dfal_status tell_array(const struct df_teller *teller, const char *folder)
{
    static const char *const keys[STAGES] = {"shards_missing", "shards_begun", "shards_finished"};
    struct array array = {0};
    int64_t finished = 0;
    dfal_status status;
    DF_TRY_TO(done, status, look_at_array(&array, folder));
    for (int64_t k = 0; k < array.shards; k++)
        finished += array.stage[k] == FINISHED;
    df_tell_text(teller, "job", "array");
    df_tell_int(teller, "shards", array.shards);
    for (int stage = FINISHED; stage >= MISSING; stage--)
        DF_TRY_TO(done, status, tell_stage(teller, keys[stage], &array, (enum stage)stage));
    tell_rows(teller, array.done, array.total);
    df_tell_text(teller, "state", finished < array.shards || array.shards == 0 ? "unfinished" : "not merged");
done:
    df_free(array.stage);
    return status;
}

dfal_status dfal_progress(dfal_context *context, const char *path, dfal_fact_fn *fact, void *user)
{
    const struct df_teller teller = {fact, user};
    char parts[PATH_SIZE], format[32];
    (void)context;
    if (df_folder_exists(path)) {
        if (df_name_ends(path, DF_PARTS_SUFFIX))
            return tell_parts(&teller, path);
        if (df_name_ends(path, ".shards"))
            return tell_array(&teller, path);
        DF_TRY(df_run_directory_check(path));
        df_tell_text(&teller, "job", "run");
        return df_tell_run_folder(&teller, path);
    }
    int length = snprintf(parts, sizeof(parts), "%s" DF_PARTS_SUFFIX, path);
    if (length < PATH_SIZE && df_folder_exists(parts) && !df_parts_are_published(path))
        return tell_parts(&teller, parts);
    length = (int)strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    length = snprintf(parts, sizeof(parts), "%.*s.shards", length, path);
    if (length < PATH_SIZE && !df_file_exists(path) && df_folder_exists(parts))
        return tell_array(&teller, parts);
    DF_TRY(df_file_format(format, path));
    df_tell_text(&teller, "format", "%s", format[0] != '\0' ? format : "foreign");
    df_tell_real(&teller, "percent", 100.0);
    df_tell_text(&teller, "state", "finished");
    return DFAL_OK;
}
