/* SPDX-License-Identifier: Apache-2.0 */
#include "run/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/signature.h"

/* ---- Beginning ---------------------------------------------------------------------------------------- */

/* Where the pools lie may differ; what they hold is in the identity. */
static void add_configuration(struct df_identity *identity, const char *yaml)
{
    char name[48];
    for (int32_t line = 1; *yaml; line++) {
        const size_t length = strcspn(yaml, "\n");
        snprintf(name, sizeof name, "configuration, line %d,", line);
        if (strncmp(yaml, "data:", 5) != 0)
            df_identity_add(identity, name, "%.*s", (int)length, yaml);
        yaml += length + (yaml[length] == '\n');
    }
}

dfal_status df_run_ranks_agree(const struct df_experiment *e, const struct df_identity *own)
{
    struct df_identity identity = {0};
    char *yaml = NULL;
    dfal_status status;
    if (e->comm->size == 1)
        return DFAL_OK;
    DF_TRY_TO(done, status, df_run_config_yaml(&yaml, &e->config));
    for (int32_t i = 0; i < own->count; i++)
        df_identity_add(&identity, own->keys[i].name, "%s", own->keys[i].value);
    add_configuration(&identity, yaml);
    status = df_comm_same(e->comm, &identity, e->context->options.allow_mixed);
done:
    df_free(yaml);
    df_identity_clear(&identity);
    return status;
}

/* Rank 0 signs DIR/state, the others look for it. */
static dfal_status share(struct df_comm *comm, int *folder, const char *path)
{
    char signature[DF_SIGNATURE] = "";
    if (comm->rank == 0) {
        *folder = df_descriptor(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (*folder < 0)
            return df_fail_errno(errno, true, path, "opening the folder");
        DF_TRY(df_folder_sign(*folder, path, signature));
    } /* it goes in df_run_ranks_join, whatever happens */
    DF_TRY(comm->broadcast(comm, signature, sizeof signature, 0));
    if (comm->rank > 0)
        DF_TRY(df_folder_find(folder, path, signature));
    return comm->barrier(comm);
}

dfal_status df_run_ranks_join(struct df_experiment *e, const char *dir)
{
    char *path = NULL;
    int folder = -1;
    if (e->comm->size == 1)
        return DFAL_OK;
    if (e->comm->rank > 0)
        DF_TRY(df_strdup(&e->directory.path, dir));
    DF_TRY(df_format(&path, "%s/state", dir));
    const dfal_status status = share(e->comm, &folder, path);
    if (e->comm->rank == 0 && folder >= 0)
        df_folder_unsign(folder);
    if (folder >= 0)
        close(folder);
    df_free(path);
    return status;
}

/* ---- Crews -------------------------------------------------------------------------------------------- */

dfal_status df_run_ranks_crew(struct df_experiment *e, int64_t branches, int64_t *mine)
{
    struct df_comm *comm = e->comm;
    *mine = -1;
    if (branches >= comm->size)
        return DFAL_OK;
    *mine = comm->rank * branches / comm->size;
    df_say(e->context, DFAL_INFO, "run.crews",
           DF_FIELDS(DF_INT("ranks", comm->size), DF_INT("crews", branches)),
           "%d ranks for %lld strategies x trials: those of one share the restarts of a round", comm->size,
           (long long)branches);
    DF_TRY(comm->split(comm, &e->crew, (int32_t)*mine));
    if (e->crew->rank > 0)
        e->event = df_log_sink(e->context, NULL);
    if (e->crew->size == 1)
        e->crew = NULL;
    return DFAL_OK;
}

void df_run_ranks_crew_end(struct df_experiment *e)
{
    e->crew = NULL;
    if (e->event)
        df_log_sink(e->context, e->event);
    e->event = NULL;
}

dfal_status df_run_ranks_resume(struct df_comm *crew, const char *path, int32_t round)
{
    int32_t *rounds, first;
    DF_TRY(df_alloc(&rounds, crew->size, sizeof *rounds));
    const dfal_status status = df_comm_allgather(crew, rounds, &round, sizeof round);
    first = rounds[0];
    df_free(rounds);
    DF_TRY(status);
    if (round != first)
        DF_FAIL(DFAL_E_IO,
                "%s is that of round %d on this rank, expected round %d as another rank reads it: a file "
                "system that all ranks share",
                path, round, first);
    return DFAL_OK;
}

/* ---- Rounds ------------------------------------------------------------------------------------------- */

static dfal_status append(struct df_experiment *e, struct df_run_side *side, const struct df_text *lines)
{
    dfal_status status = DFAL_OK;
    df_lock_take(&side->lock);
    for (int t = DF_RUN_TABLES; t-- > 0 && status == DFAL_OK;)
        if (lines[t].size)
            status = df_run_directory_append(&e->directory, (enum df_run_table)t, &lines[t]);
    df_lock_release(&side->lock);
    return status;
}

/* What is told: this, then the lines of each table. */
struct message {
    struct df_curve_row row;
    int64_t annotations, size[DF_RUN_TABLES];
};

static dfal_status tell(struct df_experiment *e, const struct df_run_round *round)
{
    struct message head = {.annotations = round->annotations};
    struct df_text text = {0};
    if (round->row)
        head.row = *round->row;
    for (int t = 0; t < DF_RUN_TABLES; t++)
        head.size[t] = round->lines[t].size;
    df_text_append(&text, (const char *)&head, sizeof head);
    for (int t = 0; t < DF_RUN_TABLES; t++)
        if (head.size[t])
            df_text_append(&text, round->lines[t].bytes, head.size[t]);
    const dfal_status status =
        text.status == DFAL_OK ? e->comm->tell(e->comm, text.bytes, text.size) : text.status;
    df_text_clear(&text);
    return status;
}

dfal_status df_run_ranks_append(struct df_experiment *e, struct df_run_side *side,
                                const struct df_run_round *round)
{
    return e->comm->rank == 0 ? append(e, side, round->lines) : tell(e, round);
}

void df_run_ranks_say(struct df_experiment *e, struct df_run_side *side, const struct df_run_round *round)
{
    const struct df_curve_row *row = round->row;
    if (e->comm->rank > 0)
        return;
    df_say(e->context, DFAL_INFO, "run.round",
           DF_FIELDS(DF_TEXT("strategy", row->strategy), DF_INT("trial", row->trial),
                     DF_INT("round", row->round), DF_INT("annotations", row->annotations),
                     DF_INT("labelled", row->labelled), DF_REAL("accuracy", row->accuracy),
                     DF_REAL("loss", row->loss), DF_REAL("train_seconds", row->train_seconds),
                     DF_REAL("select_seconds", row->select_seconds), DF_INT("steps", row->steps),
                     DF_REAL("round_seconds", row->round_seconds), DF_TEXT("statuses", row->statuses)),
           "trial %d, %s: %lld annotations, accuracy %.4f", row->trial, row->strategy,
           (long long)row->annotations, row->accuracy);
    df_run_advance_add(&side->advance, row, round->annotations);
}

/* ---- Listening ---------------------------------------------------------------------------------------- */

static dfal_status hear(void *user, const char *bytes, int64_t size)
{
    const struct df_run_listener *listener = user;
    struct df_text lines[DF_RUN_TABLES] = {{0}};
    struct message head = {.size = {-1}};
    int64_t at = sizeof head;
    if (size >= at)
        memcpy(&head, bytes, sizeof head);
    for (int t = 0; t < DF_RUN_TABLES && head.size[t] >= 0; t++) { /* borrowed: the texts are only read */
        lines[t] = (struct df_text){.bytes = (char *)bytes + at, .size = head.size[t]};
        at += head.size[t];
    }
    if (at != size)
        DF_FAIL(DFAL_E_INTERNAL, "a rank told %lld bytes of a round, expected %lld", (long long)size,
                (long long)at);
    DF_TRY(append(listener->experiment, listener->side, lines));
    listener->experiment->context->kept_work = true;
    if (head.row.strategy[0])
        df_run_ranks_say(listener->experiment, listener->side,
                         &(struct df_run_round){lines, &head.row, head.annotations});
    return DFAL_OK;
}

void df_run_ranks_listen(struct df_run_listener *listener)
{
    struct df_comm *comm = listener->experiment->comm;
    if (comm->rank == 0)
        comm->listen(comm, hear, listener);
}

void df_run_ranks_end(const struct df_run_listener *listener)
{
    struct df_comm *comm = listener->experiment->comm;
    if (comm->rank == 0)
        comm->listen(comm, NULL, NULL);
}
