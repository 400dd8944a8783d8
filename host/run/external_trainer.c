/* SPDX-License-Identifier: Apache-2.0 */
#include "run/external_trainer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/external_command.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "run/directory.h"
#include "score/pool_network.h"
#include "store/label_text.h"
#include "store/network_file.h"
#include "store/twins_file.h"

/* The files of a round. */
struct round_paths {
    char *labels, *twins, *init, *out, *done, *log;
};

static void paths_clear(struct round_paths *paths)
{
    char *all[] = {paths->labels, paths->twins, paths->init, paths->out, paths->done, paths->log};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        df_free(all[i]);
    *paths = (struct round_paths){0};
}

static dfal_status paths_make(struct round_paths *paths, const struct df_external_trainer *trainer,
                              int32_t round)
{
    const char *folder = trainer->folder;
    *paths = (struct round_paths){0};
    DF_TRY(df_format(&paths->labels, "%s/labels-%d.csv", folder, round));
    DF_TRY(df_format(&paths->twins, "%s/twins-%d.h5", folder, round));
    DF_TRY(df_format(&paths->out, "%s/net-%d.onnx", folder, round));
    DF_TRY(df_format(&paths->done, "%s/done-%d.txt", folder, round));
    DF_TRY(df_format(&paths->log, "%s/trainer-%d.log", folder, round));
    if (round > 0)
        return df_format(&paths->init, "%s/net-%d.onnx", folder, round - 1);
    return trainer->init[0] ? df_strdup(&paths->init, trainer->init) : DFAL_OK;
}

dfal_status df_external_trainer_open(struct df_external_trainer *trainer, struct dfal_context *context,
                                     const char *dir, const char *strategy, int32_t trial)
{
    trainer->context = context;
    return df_run_directory_work(&trainer->folder, dir, strategy, trial, "trainer");
}

void df_external_trainer_close(struct df_external_trainer *trainer)
{
    df_free(trainer->folder);
    trainer->folder = NULL;
}

/* ---- what the command reads ---------------------------------------------------------------------------- */

/* `id,label` of the labelled rows of the pool in the order they were labelled; the digest gets it all. Where
 * there are pseudo-labelled rows they follow, and a column `annotator` tells them. */
static dfal_status write_labels(const struct df_external_trainer *trainer, const struct df_run_state *state,
                                const char *path, struct df_digest *digest)
{
    struct df_text text = {0};
    char *id = NULL;
    const bool pseudo = state->count > 0 && state->rows[state->count - 1].source == DF_ROW_PSEUDO;
    dfal_status status = DFAL_OK;
    df_text_add(&text, "id,label%s\n", pseudo ? ",annotator" : "");
    for (int64_t i = 0; i < state->count; i++) {
        const struct df_training_row *row = &state->rows[i];
        if (row->source == DF_ROW_TWIN)
            continue;
        DF_TRY_TO(done, status, df_pool_id(trainer->pool, &id, row->index));
        df_label_line(&text, id, trainer->pool->classes, row->label,
                      row->source == DF_ROW_PSEUDO ? "pseudo"
                      : pseudo                     ? ""
                                                   : NULL);
        df_free(id);
        id = NULL;
    }
    DF_TRY_TO(done, status, text.status);
    df_digest_add(digest, text.bytes, (size_t)text.size);
    status = df_file_write(path, text.bytes, (size_t)text.size);
done:
    df_text_clear(&text);
    return status;
}

/* What turns the twins back into the pool's raw units. */
static dfal_status describe_twins(char **out, const struct df_pool *pool)
{
    struct df_text text = {0};
    df_text_add(&text, "{");
    df_twins_reals(&text, "offset", pool->offset, pool->affine_count);
    df_text_add(&text, ",\"pool_fingerprint\":\"%s\",", pool->fingerprint);
    df_twins_reals(&text, "scale", pool->scale, pool->affine_count);
    df_text_add(&text, ",\"version\":\"%s\"}", DFAL_VERSION);
    return df_text_take(&text, out);
}

/* The table that `select --twins` writes, of all twins so far, with the oracle's labels. */
static dfal_status write_twins(const struct df_external_trainer *trainer, const struct df_run_state *state,
                               const char *path)
{
    const int64_t n = state->twin_count;
    int64_t *rank = NULL;
    int32_t *label = NULL;
    uint8_t *end = NULL;
    char **ids = NULL, *configuration = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, describe_twins(&configuration, trainer->pool));
    DF_TRY_TO(done, status, df_alloc(&rank, n, sizeof *rank));
    DF_TRY_TO(done, status, df_alloc(&label, n, sizeof *label));
    DF_TRY_TO(done, status, df_alloc(&end, n, 1)); /* OK: others get no twin */
    DF_TRY_TO(done, status, df_alloc(&ids, n, sizeof *ids));
    for (int64_t i = 0; i < state->count; i++) {
        const struct df_training_row *row = &state->rows[i];
        if (row->source != DF_ROW_TWIN)
            continue;
        label[row->index] = row->label;
        rank[row->index] = row->index + 1;
    }
    for (int64_t i = 0; i < n; i++)
        DF_TRY_TO(done, status, df_pool_id(trainer->pool, &ids[i], state->twin_of[i]));
    const struct df_twins_column columns[DF_TWINS_COLUMNS] = {
        {DF_TWINS_SAMPLES, state->x},
        {DF_TWINS_RANK, rank},
        {DF_TWINS_CLASS, state->twin_class},
        {DF_TWINS_LABEL, label},
        {DF_TWINS_INDEX, state->twin_of},
        {DF_TWINS_STATUS, end},
        {DF_TWINS_ID, ids},
    };
    status = df_twins_write(path, configuration, trainer->pool->shape, n, columns, true);
done:
    for (int64_t i = 0; ids && i < n; i++)
        df_free(ids[i]);
    df_free(ids);
    df_free(configuration);
    df_free(rank);
    df_free(label);
    df_free(end);
    return status;
}

static dfal_status make_words(struct df_words *words, const struct df_external_trainer *trainer,
                              const struct round_paths *paths, bool twins, int32_t round, uint64_t seed)
{
    char seed_text[DF_COMMAND_SEED], round_text[16];
    df_external_command_seed(seed_text, seed);
    snprintf(round_text, sizeof round_text, "%d", round);
    const struct df_command_option options[] = {
        {"--pool", trainer->pool_path}, {"--labels", paths->labels}, {"--twins", twins ? paths->twins : NULL},
        {"--init", paths->init},        {"--out", paths->out},       {"--seed", seed_text},
        {"--round", round_text},
    };
    return df_external_command_words(words, trainer->command, options, sizeof options / sizeof *options);
}

/* ---- what it leaves ------------------------------------------------------------------------------------ */

static dfal_status load(struct df_external_trainer *trainer, struct df_network **network, const char *path)
{
    const struct df_pool *pool = trainer->pool;
    DF_TRY(df_network_for_pool(network, trainer->context, path, pool));
    dfal_status status = DFAL_OK;
    if ((*network)->class_count < pool->class_count)
        status = df_fail(DFAL_E_SHAPE, "%s tells %d classes apart, expected at least the %d of %s", path,
                         (*network)->class_count, pool->class_count, pool->path);
    if (status == DFAL_OK &&
        (*network)->affine_count == 0) /* it does not tell: it was trained on this pool */
        status = df_network_take_scaling(*network, pool);
    if (status == DFAL_OK && !(*network)->classes && (*network)->class_count == pool->class_count)
        status = df_network_name_classes(*network, pool->classes); /* --pool has told it their order */
    if (status != DFAL_OK) {
        df_network_destroy(*network);
        *network = NULL;
    }
    return status;
}

static dfal_status load_result(struct df_external_trainer *trainer, struct df_network **network,
                               const struct round_paths *paths, const struct df_external_command *command)
{
    dfal_status status = DFAL_E_DATA;
    if (!df_file_exists(paths->out)) {
        (void)df_fail(status, "left no %s", paths->out);
    } else {
        status = load(trainer, network, paths->out);
        if (status == DFAL_OK || status == DFAL_E_MEMORY)
            return status;
    }
    return df_external_command_blame(command, status == DFAL_E_SHAPE ? status : DFAL_E_DATA, "a network");
}

dfal_status df_external_trainer_network(struct df_external_trainer *trainer, struct df_network **network,
                                        int32_t round)
{
    struct round_paths paths;
    dfal_status status = paths_make(&paths, trainer, round);
    if (status == DFAL_OK)
        status = load(trainer, network, paths.out);
    paths_clear(&paths);
    return status;
}

/* ---- a round ------------------------------------------------------------------------------------------- */

/* Was this very work finished before a kill? */
static bool is_done(const struct round_paths *paths, const char *key)
{
    char *text = NULL;
    size_t size = 0;
    bool same = df_file_exists(paths->done) && df_file_read(&text, &size, paths->done, 1024) == DFAL_OK &&
                !strcmp(text, key);
    df_free(text);
    return same;
}

/* A network that is gone or no network is trained again. What else kept it from being read, memory, a disk or
 * a stop, may be over next time, and its training took hours. */
static bool is_broken(dfal_status status)
{
    return status == DFAL_E_NOINPUT || status == DFAL_E_DATA || status == DFAL_E_SHAPE;
}

static dfal_status call(struct df_external_trainer *trainer, struct df_external_command *command,
                        const struct round_paths *paths, int32_t round)
{
    DF_TRY(df_external_command_begin(command));
    DF_TRY(df_path_remove(paths->done));
    DF_TRY(df_path_remove(paths->out));
    df_say(
        trainer->context, DFAL_INFO, "run.trainer",
        DF_FIELDS(DF_TEXT("command", trainer->command), DF_INT("round", round), DF_TEXT("log", paths->log)),
        "round %d is trained by '%s', log %s", round, trainer->command, paths->log);
    const dfal_status status = df_external_command_run(command);
    if (command->started)
        trainer->context->kept_work = true;
    return status;
}

dfal_status df_external_trainer_run(struct df_external_trainer *trainer, struct df_network **network,
                                    const struct df_run_state *state, int32_t round, uint64_t seed)
{
    struct round_paths paths = {0};
    struct df_external_command command = DF_EXTERNAL_COMMAND_NONE;
    struct df_digest digest;
    char key[DF_DIGEST_TEXT];
    dfal_status status;
    *network = NULL;
    DF_TRY_TO(done, status, paths_make(&paths, trainer, round));
    command.context = trainer->context;
    command.what = "trainer";
    command.command = trainer->command;
    command.log_path = paths.log;
    df_digest_begin(&digest);
    DF_TRY_TO(done, status, write_labels(trainer, state, paths.labels, &digest));
    if (state->twin_count)
        DF_TRY_TO(done, status, write_twins(trainer, state, paths.twins));
    DF_TRY_TO(done, status, make_words(&command.words, trainer, &paths, state->twin_count > 0, round, seed));
    for (int32_t i = 0; i < command.words.count; i++)
        df_digest_add(&digest, command.words.word[i], strlen(command.words.word[i]) + 1);
    df_digest_end(&digest, key);
    if (is_done(&paths, key)) {
        status = load(trainer, network, paths.out);
        if (!is_broken(status))
            goto done;
    }
    DF_TRY_TO(done, status, call(trainer, &command, &paths, round));
    DF_TRY_TO(done, status, load_result(trainer, network, &paths, &command));
    status = df_file_write(paths.done, key, strlen(key));
done:
    if (status != DFAL_OK) {
        df_network_destroy(*network);
        *network = NULL;
    }
    df_external_command_end(&command);
    paths_clear(&paths);
    return status;
}

/* A file, or a folder that the command left beside its network under the network's name. */
static void remove_left(const struct df_external_trainer *trainer, const char *name)
{
    char message[DF_MESSAGE_SIZE], *path;
    df_message_get(message);
    if (df_format(&path, "%s/%s", trainer->folder, name) == DFAL_OK)
        (void)df_path_remove(path);
    df_free(path);
    df_message_set(message);
}

void df_external_trainer_sweep(const struct df_external_trainer *trainer, int32_t round)
{
    static const char *const kinds[] = {"labels-", "twins-", "net-", "done-"};
    DIR *folder = opendir(trainer->folder);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            const size_t length = strlen(kinds[k]);
            char *end;
            if (strncmp(entry->d_name, kinds[k], length))
                continue;
            const long number = strtol(entry->d_name + length, &end, 10);
            if (end > entry->d_name + length && *end == '.' && number < round)
                remove_left(trainer, entry->d_name);
        }
    closedir(folder);
}
