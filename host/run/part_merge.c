/* SPDX-License-Identifier: Apache-2.0 */
#include "run/part_merge.h"

#include <stdio.h>
#include <string.h>

#include "base/claim.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/pieces.h"
#include "run/curve.h"
#include "run/directory_files.h"
#include "run/part.h"
#include "run/state.h"
#include "run/tables.h"
#include "store/network_file.h"

struct merge {
    struct dfal_context *context;
    char *out, *temporary; /* without a slash at its end; OUT.merging */
    struct df_piece *pieces;
    const char **dirs; /* [count] in the order of the parts */
    int32_t count;
    struct df_run_config *config;
    struct df_identity identity; /* of the whole */
    struct df_run_set set;
    struct df_run_place *places; /* [set.count] */
    struct df_run_directory directory;
};

/* ---- what the parts are -------------------------------------------------------------------------------- */

static dfal_status find_pieces(struct merge *merge, const char *const *dirs)
{
    DF_TRY(df_alloc(&merge->pieces, merge->count, sizeof *merge->pieces));
    DF_TRY(df_alloc(&merge->dirs, merge->count, sizeof *merge->dirs));
    for (int32_t i = 0; i < merge->count; i++) {
        struct df_run_part part;
        DF_TRY(df_run_directory_check(dirs[i]));
        DF_TRY(df_run_part_read(&part, dirs[i]));
        if (!part.count)
            DF_FAIL(DFAL_E_DATA, "%s is a run of all trials, expected a part of an experiment", dirs[i]);
        merge->pieces[i] = (struct df_piece){dirs[i], part.number, part.count};
    }
    DF_TRY(df_pieces_check(merge->pieces, merge->count, "part"));
    for (int32_t i = 0; i < merge->count; i++)
        merge->dirs[i] = merge->pieces[i].path;
    return DFAL_OK;
}

/* What a part's directory says that the whole would say as well. */
static dfal_status read_identity(struct df_identity *identity, const char *dir)
{
    DF_TRY(df_run_directory_identity(identity, dir));
    df_identity_remove(identity, DF_RUN_PART_KEY);
    return DFAL_OK;
}

/* Was it made as the first one? */
static dfal_status compare(const struct merge *merge, const char *dir, struct df_run_config *config)
{
    struct df_identity ours = {0}, theirs = {0}, identity = {0};
    char *hint = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_format(&hint, " as in %s", merge->dirs[0]));
    DF_TRY_TO(done, status, df_run_directory_config(config, dir));
    df_run_config_identity(&ours, merge->config);
    df_run_config_identity(&theirs, config);
    DF_TRY_TO(done, status, df_identity_check(&ours, &theirs, false, DFAL_E_CONFIG, dir, hint));
    DF_TRY_TO(done, status, read_identity(&identity, dir));
    status = df_identity_check(&merge->identity, &identity, merge->context->options.allow_mixed,
                               DFAL_E_CONFIG, dir, hint);
done:
    df_free(hint);
    df_identity_clear(&ours);
    df_identity_clear(&theirs);
    df_identity_clear(&identity);
    return status;
}

/* A configuration is large for a thread's stack. */
static dfal_status compare_all(struct merge *merge)
{
    struct df_run_config *config = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&merge->config, 1, sizeof *merge->config));
    DF_TRY_TO(done, status, df_alloc(&config, 1, sizeof *config));
    DF_TRY_TO(done, status, df_run_directory_config(merge->config, merge->dirs[0]));
    DF_TRY_TO(done, status, read_identity(&merge->identity, merge->dirs[0]));
    for (int32_t i = 1; i < merge->count; i++)
        DF_TRY_TO(done, status, compare(merge, merge->dirs[i], config));
done:
    df_free(config);
    return status;
}

/* ---- how far they are ---------------------------------------------------------------------------------- */

static dfal_status look_at(const struct merge *merge, struct df_run_place *place)
{
    struct df_run_state seen = {.round = -1};
    const char *dir = merge->dirs[place->source];
    char *path;
    DF_TRY(df_run_state_path(&path, dir, place->strategy, place->trial));
    const dfal_status status = df_run_state_peek(&seen, path);
    df_free(path);
    DF_TRY(status);
    if (!seen.finished || seen.round < 0)
        DF_FAIL(DFAL_E_DATA, "%s is unfinished: trial %d of strategy %s stands at %lld of %lld annotations",
                dir, place->trial, place->strategy, (long long)seen.annotations,
                (long long)merge->config->annotations);
    place->round = seen.round;
    place->annotations = seen.annotations;
    return DFAL_OK;
}

static dfal_status find_places(struct merge *merge)
{
    DF_TRY(df_run_set_of_part(&merge->set, merge->config, (struct df_run_part){0}));
    DF_TRY(df_alloc(&merge->places, merge->set.count, sizeof *merge->places));
    for (int64_t i = 0; i < merge->set.count; i++) {
        const struct df_run_member *member = &merge->set.members[i];
        struct df_run_place *place = &merge->places[i];
        place->strategy = merge->config->strategy[member->strategy].name;
        place->trial = member->trial;
        place->source = (member->trial - 1) % merge->count;
        DF_TRY(look_at(merge, place));
    }
    for (int32_t i = 0; i < merge->count; i++)
        if (!df_run_directory_is_finished(merge->dirs[i]))
            DF_FAIL(DFAL_E_DATA, "%s is unfinished: its trials are there, the same line of run ends it",
                    merge->dirs[i]);
    return DFAL_OK;
}

/* ---- putting them together ----------------------------------------------------------------------------- */

static dfal_status copy_file(const char *from, const char *to)
{
    char *bytes = NULL;
    size_t size = 0;
    if (!df_file_exists(from))
        DF_FAIL(DFAL_E_DATA, "%s is missing, expected what a finished run leaves", from);
    DF_TRY(df_file_read(&bytes, &size, from, INT64_MAX));
    const dfal_status status = df_file_write(to, bytes, size);
    df_free(bytes);
    return status;
}

static dfal_status copy_state(const struct merge *merge, const struct df_run_place *place)
{
    char *from = NULL, *to = NULL;
    dfal_status status;
    DF_TRY_TO(done, status,
              df_run_state_path(&from, merge->dirs[place->source], place->strategy, place->trial));
    DF_TRY_TO(done, status, df_run_state_path(&to, merge->temporary, place->strategy, place->trial));
    status = copy_file(from, to);
done:
    df_free(from);
    df_free(to);
    return status;
}

/* One that cannot be read is not handed on. */
static dfal_status copy_network(const struct merge *merge, const struct df_run_place *place, int32_t round)
{
    struct df_network *network = NULL;
    char *from = NULL, *to = NULL;
    dfal_status status;
    DF_TRY_TO(done, status,
              df_run_network_path(&from, merge->dirs[place->source], place->strategy, place->trial, round));
    DF_TRY_TO(done, status, df_run_network_path(&to, merge->temporary, place->strategy, place->trial, round));
    DF_TRY_TO(done, status, copy_file(from, to));
    status = df_network_load(&network, from);
done:
    df_network_destroy(network);
    df_free(from);
    df_free(to);
    return status;
}

static dfal_status copy_place(const struct merge *merge, const struct df_run_place *place)
{
    const char *keep = merge->config->keep;
    DF_TRY(df_context_check_stop(merge->context));
    DF_TRY(copy_state(merge, place));
    if (!strcmp(keep, "last"))
        return copy_network(merge, place, -1);
    for (int32_t round = 0; round <= place->round && !strcmp(keep, "all"); round++)
        DF_TRY(copy_network(merge, place, round));
    return DFAL_OK;
}

/* Arithmetic that was allowed to differ is told. */
static dfal_status say_mixed(struct merge *merge)
{
    dfal_status status = DFAL_OK;
    for (int32_t i = 1; i < merge->count && status == DFAL_OK; i++) {
        struct df_identity identity = {0};
        status = read_identity(&identity, merge->dirs[i]);
        if (status == DFAL_OK)
            df_run_directory_say_mixed(&merge->directory, merge->context, &identity, &merge->identity);
        df_identity_clear(&identity);
    }
    return status;
}

static dfal_status fill(struct merge *merge)
{
    struct df_run_directory *directory = &merge->directory;
    for (int32_t i = 0; i < merge->count; i++)
        DF_TRY(df_run_directory_take_log(directory, merge->dirs[i]));
    DF_TRY(say_mixed(merge));
    DF_TRY(df_run_tables_join(directory, merge->dirs, merge->count, merge->places, merge->set.count));
    for (int64_t i = 0; i < merge->set.count; i++)
        DF_TRY(copy_place(merge, &merge->places[i]));
    return DFAL_OK;
}

/* What a kill has left of an earlier try goes first. */
static dfal_status assemble(struct merge *merge, df_run_publish_fn *publish)
{
    struct dfal_context *context = merge->context;
    dfal_status status;
    if (df_folder_exists(merge->temporary))
        DF_TRY(df_run_directory_discard(merge->temporary));
    DF_TRY(df_run_directory_open(&merge->directory, context, merge->temporary, merge->config,
                                 &merge->identity, false));
    DF_TRY_TO(done, status, fill(merge));
    DF_TRY_TO(done, status, publish(context, merge->temporary));
    if (df_folder_exists(merge->out))
        DF_TRY_TO(done, status, df_run_directory_discard(merge->out));
    status = df_file_publish(merge->temporary, merge->out, false);
    if (status != DFAL_OK && !df_folder_exists(merge->temporary)) /* it has its name, which is not synced */
        (void)rename(merge->out, merge->temporary);
done:
    if (status != DFAL_OK)
        df_run_directory_abandon(&merge->directory);
    return status;
}

/* The parts are no part of what is written, and that takes nobody's place. */
static dfal_status check_out(const struct merge *merge, const char *const *dirs)
{
    const bool folder = df_folder_exists(merge->out), force = merge->context->options.force;
    struct df_claim claim = DF_CLAIM_NONE;
    dfal_status status;
    DF_TRY_TO(done, status, df_claim_output(&claim, merge->out, "merged run directory"));
    DF_TRY_TO(done, status, df_claim_folder(&claim, merge->out, "merged run directory"));
    DF_TRY_TO(done, status, df_claim_folder(&claim, merge->temporary, "merged run directory"));
    for (int32_t i = 0; i < merge->count; i++)
        DF_TRY_TO(done, status, df_run_directory_inputs(&claim, dirs[i]));
    if (!folder && df_file_exists(merge->out))
        status = df_fail(DFAL_E_EXISTS, "%s: a file is there, expected a name not taken", merge->out);
    else if (folder)
        status = force ? df_run_files_alone(merge->out)
                       : df_fail(DFAL_E_EXISTS, "%s: a folder is there, expected a name not taken or `force`",
                                 merge->out);
done:
    df_claim_end(&claim);
    return status;
}

dfal_status df_run_merge(struct dfal_context *context, const char *out_dir, const char *const *dirs,
                         int32_t count, df_run_publish_fn *publish)
{
    struct merge merge = {.context = context, .count = count, .directory = df_run_directory_none()};
    dfal_status status;
    DF_TRY_TO(done, status, df_strdup(&merge.out, out_dir));
    for (size_t n = strlen(merge.out); n > 1 && merge.out[n - 1] == '/'; n--)
        merge.out[n - 1] = 0;
    DF_TRY_TO(done, status, df_format(&merge.temporary, "%s.merging", merge.out));
    DF_TRY_TO(done, status, check_out(&merge, dirs));
    DF_TRY_TO(done, status, find_pieces(&merge, dirs));
    DF_TRY_TO(done, status, compare_all(&merge));
    DF_TRY_TO(done, status, find_places(&merge));
    DF_TRY_TO(done, status, assemble(&merge, publish));
    df_say(context, DFAL_INFO, "merge.runs",
           DF_FIELDS(DF_INT("parts", count), DF_INT("strategies", merge.config->strategy_count),
                     DF_INT("trials", merge.config->trials), DF_TEXT("output", merge.out)),
           "%d part%s, %d strategies x %d trials, output %s", count, count == 1 ? "" : "s",
           merge.config->strategy_count, merge.config->trials, merge.out);
done:
    df_run_directory_close(&merge.directory);
    df_run_set_clear(&merge.set);
    df_identity_clear(&merge.identity);
    df_free(merge.places);
    df_free(merge.config);
    df_free(merge.pieces);
    df_free(merge.dirs);
    df_free(merge.temporary);
    df_free(merge.out);
    return status;
}
