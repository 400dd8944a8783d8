/* SPDX-License-Identifier: Apache-2.0 */
#include "job/shards.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

enum { SOURCE_ROWS = 1024 };

static dfal_status number_path(char **path, const struct df_shards *shards, int64_t number)
{
    return df_format(path, "%s/%06" PRId64 ".h5", shards->parts.folder, number);
}

static dfal_status shard_path(char **path, const struct df_shards *shards, int64_t i)
{
    return number_path(path, shards, shards->first + i);
}

void df_shards_rows(const struct df_shards *shards, int64_t i, int64_t *begin, int64_t *end)
{
    const struct df_shards_cut *cut = &shards->cut;
    const int64_t low = (shards->first + i) * cut->shard_rows, high = low + cut->shard_rows;
    *begin = low > cut->begin ? low : cut->begin;
    *end = high < cut->end ? high : cut->end;
}

int64_t df_shard_bytes(const struct dfal_context *context)
{
    return context->memory >= (int64_t)1 << 30 ? (int64_t)16 << 20 : (int64_t)2 << 20;
}

int64_t df_shard_rows(const struct df_rows_kind *kind, int64_t bytes, int64_t most)
{
    int64_t rows = DF_SHARD_ROWS;
    while (rows > 1 && (rows > most || rows * df_rows_bytes(kind) > bytes))
        rows /= 2;
    return rows;
}

/* ---- What is there ------------------------------------------------------------------------------ */

static const char anew[] = "; `force` starts anew";

static dfal_status compare_rows(const struct df_rows_head *ours, const struct df_rows_head *theirs,
                                const char *path)
{
    if (ours->range_begin != theirs->range_begin || ours->range_end != theirs->range_end)
        DF_FAIL(DFAL_E_CONFIG,
                "%s belongs to an unfinished output of rows %" PRId64 ":%" PRId64
                ", this job is of rows %" PRId64 ":%" PRId64 "%s",
                path, theirs->range_begin, theirs->range_end, ours->range_begin, ours->range_end, anew);
    return DFAL_OK;
}

static dfal_status compare_head(const struct df_shards *shards, const struct df_rows_head *theirs,
                                const char *path, const char *format, bool allow_mixed)
{
    if (strcmp(format, shards->kind->format) != 0)
        DF_FAIL(DFAL_E_CONFIG, "%s belongs to unfinished work of another kind, %s, expected %s%s", path,
                format, shards->kind->format, anew);
    DF_TRY(df_rows_head_compare(shards->head, theirs, allow_mixed, path, anew));
    return compare_rows(shards->head, theirs, path);
}

/* The head says more plainly than a column of another shape that a part is of other work. *cut: as the part's
 * job is cut; parts of the first versions do not tell, theirs are whole shards of the pool. */
static dfal_status check_head(const struct df_shards *shards, const char *path, bool allow_mixed,
                              int64_t *cut)
{
    struct df_rows_head theirs;
    struct df_rows_reader *reader;
    char sentence[DF_MESSAGE_SIZE];
    dfal_status status = df_rows_open(&reader, &theirs, path, NULL);
    if (status == DFAL_E_DATA) {
        df_message_get(sentence);
        DF_FAIL(DFAL_E_CONFIG, "this is unfinished work that cannot be continued: %.800s%s", sentence, anew);
    }
    DF_TRY(status);
    status = compare_head(shards, &theirs, path, df_rows_format(reader), allow_mixed);
    *cut = theirs.shard_rows > 0 ? theirs.shard_rows : DF_SHARD_ROWS;
    if (status == DFAL_OK && (*cut & (*cut - 1)) != 0)
        status = df_fail(DFAL_E_CONFIG, "%s is cut at every %" PRId64 " rows, expected a power of two%s",
                         path, *cut, anew);
    if (status == DFAL_OK)
        df_rows_head_mix(shards->head, &theirs);
    df_rows_close(reader);
    df_rows_head_clear(&theirs);
    return status;
}

/* Room for as many shards as the cut makes. */
static dfal_status lay_out(struct df_shards *shards)
{
    const struct df_shards_cut *cut = &shards->cut;
    shards->first = cut->begin / cut->shard_rows;
    shards->count = (cut->end + cut->shard_rows - 1) / cut->shard_rows - shards->first;
    shards->head->shard_rows = cut->shard_rows;
    DF_TRY(df_alloc(&shards->finished, shards->count, sizeof *shards->finished));
    return df_row_hashes_open(&shards->hashes, cut->begin, cut->end, cut->shard_rows);
}

/* Take a part that was found: the first one tells how all are cut. */
static dfal_status take_part(struct df_shards *shards, int64_t number, bool allow_mixed)
{
    struct df_rows_reader *reader;
    char *path = NULL;
    int64_t cut, begin, end;
    dfal_status status;
    DF_TRY(number_path(&path, shards, number));
    DF_TRY_TO(done, status, check_head(shards, path, allow_mixed, &cut));
    if (!shards->finished) {
        shards->cut.shard_rows = cut;
        DF_TRY_TO(done, status, lay_out(shards));
    }
    const int64_t i = number - shards->first;
    if (cut != shards->cut.shard_rows || i < 0 || i >= shards->count) {
        status = df_fail(DFAL_E_CONFIG,
                         "%s is part %" PRId64 " of work cut at every %" PRId64
                         " rows, expected one of rows %" PRId64 ":%" PRId64 ", cut at every %" PRId64 "%s",
                         path, number, cut, shards->cut.begin, shards->cut.end, shards->cut.shard_rows, anew);
        goto done;
    }
    shards->finished[i] = true;
    DF_TRY_TO(done, status, df_shards_reader(shards, i, &reader));
    df_rows_close(reader);
    df_shards_rows(shards, i, &begin, &end);
    shards->finished_rows += end - begin;
done:
    df_free(path);
    return status;
}

/* Temporaries of parts that are not finished. */
static dfal_status sweep(const struct df_shards *shards)
{
    for (int64_t i = 0; i < shards->count; i++) {
        char *path = NULL;
        if (shards->finished[i])
            continue;
        DF_TRY(shard_path(&path, shards, i));
        df_file_sweep(path);
        df_free(path);
    }
    return DFAL_OK;
}

/* Every part in the folder has to be one of this job's. */
static dfal_status look(struct df_shards *shards, bool allow_mixed)
{
    int64_t *numbers, count;
    DF_TRY(df_parts_numbers(&shards->parts, &numbers, &count));
    dfal_status status = DFAL_OK;
    for (int64_t i = 0; i < count && status == DFAL_OK; i++)
        status = take_part(shards, numbers[i], allow_mixed);
    df_free(numbers);
    if (status == DFAL_OK && !shards->finished)
        status = lay_out(shards);
    return status == DFAL_OK ? sweep(shards) : status;
}

/* Nothing was there; mixed: what this job is without it. */
static dfal_status start_anew(struct df_shards *shards, int64_t shard_rows, const char *mixed)
{
    df_free(shards->finished);
    df_row_hashes_close(&shards->hashes);
    shards->finished = NULL;
    shards->finished_rows = 0;
    shards->cut.shard_rows = shard_rows;
    (void)snprintf(shards->head->mixed, sizeof shards->head->mixed, "%s", mixed);
    DF_TRY(df_parts_clear(&shards->parts));
    return lay_out(shards);
}

dfal_status df_shards_open(struct df_shards *shards, const char *out_path, const struct df_rows_kind *kind,
                           struct df_shards_cut cut, struct df_rows_head *head, bool allow_mixed, bool force)
{
    char whose[64], mixed[sizeof head->mixed];
    snprintf(mixed, sizeof mixed, "%s", head->mixed);
    snprintf(whose, sizeof whose, "parts of a %s", kind->name);
    *shards = (struct df_shards){.kind = kind, .cut = cut, .head = head, .parts = DF_PARTS_NONE};
    DF_TRY(df_parts_open(&shards->parts, out_path, df_parts_is_numbered, whose, force));
    const dfal_status status = look(shards, allow_mixed);
    return status == DFAL_OK || !force || status == DFAL_E_MEMORY ? status
                                                                  : start_anew(shards, cut.shard_rows, mixed);
}

/* What rank 0 tells the others. */
struct shared {
    int64_t shard_rows, finished_rows;
    char mixed[sizeof(((struct df_rows_head *)0)->mixed)], signature[DF_SIGNATURE];
};

static dfal_status join(struct df_shards *shards, const struct shared *shared, const char *out_path)
{
    shards->cut.shard_rows = shared->shard_rows;
    shards->finished_rows = shared->finished_rows;
    snprintf(shards->head->mixed, sizeof shards->head->mixed, "%s", shared->mixed);
    DF_TRY(df_parts_join(&shards->parts, out_path, shared->signature));
    return lay_out(shards);
}

dfal_status df_shards_share(struct df_shards *shards, struct df_comm *comm, const char *out_path,
                            const struct df_rows_kind *kind, struct df_shards_cut cut,
                            struct df_rows_head *head)
{
    struct shared shared = {0};
    if (comm->size == 1)
        return DFAL_OK;
    shards->shared = true; /* of rank 0, which alone takes the others' shards */
    dfal_status status = DFAL_OK;
    if (comm->rank == 0) {
        shared.shard_rows = shards->cut.shard_rows;
        shared.finished_rows = shards->finished_rows;
        snprintf(shared.mixed, sizeof shared.mixed, "%s", head->mixed);
        status = df_parts_sign(&shards->parts, shared.signature);
    }
    if (status == DFAL_OK)
        status = comm->broadcast(comm, &shared, sizeof shared, 0);
    if (status == DFAL_OK && comm->rank > 0) {
        *shards = (struct df_shards){.kind = kind, .cut = cut, .head = head, .parts = DF_PARTS_NONE};
        status = join(shards, &shared, out_path);
    }
    if (status == DFAL_OK)
        status =
            comm->broadcast(comm, shards->finished, shards->count * (int64_t)sizeof *shards->finished, 0);
    if (status == DFAL_OK)
        status = comm->barrier(comm);
    if (comm->rank == 0)
        df_parts_unsign(&shards->parts);
    return status;
}

void df_shards_close(struct df_shards *shards)
{
    if (shards->kind)
        df_parts_close(&shards->parts);
    df_free(shards->finished);
    df_row_hashes_close(&shards->hashes);
    memset(shards, 0, sizeof *shards);
}

void df_shards_remove(struct df_shards *shards, bool finished_ones_too)
{
    if (!shards->parts.folder || shards->parts.shared || (shards->finished_rows > 0 && !finished_ones_too))
        return;
    char message[DF_MESSAGE_SIZE]; /* a clean-up never hides the error before it */
    df_message_get(message);
    (void)df_parts_clear(&shards->parts);
    df_message_set(message);
}

/* Whether a part holds rows [begin, end) in order. */
static dfal_status check_index(struct df_rows_reader *reader, const char *path, int64_t begin, int64_t end)
{
    const int64_t count = df_rows_count(reader);
    int64_t *index = NULL, wrong = 0;
    if (count != end - begin)
        DF_FAIL(DFAL_E_DATA, "%s holds %" PRId64 " rows, expected rows %" PRId64 " to %" PRId64, path, count,
                begin, end - 1);
    DF_TRY(df_alloc(&index, count, sizeof *index));
    dfal_status status = df_rows_read_index(reader, 0, count, index);
    while (status == DFAL_OK && wrong < count && index[wrong] == begin + wrong)
        wrong++;
    if (status == DFAL_OK && wrong < count)
        status = df_fail(DFAL_E_DATA, "%s holds row %" PRId64 " at %" PRId64 ", expected row %" PRId64, path,
                         index[wrong], wrong, begin + wrong);
    df_free(index);
    return status;
}

dfal_status df_shards_reader(const struct df_shards *shards, int64_t i, struct df_rows_reader **reader)
{
    char *path = NULL;
    struct df_rows_head head = {0};
    int64_t begin, end;
    *reader = NULL;
    df_shards_rows(shards, i, &begin, &end);
    DF_TRY(shard_path(&path, shards, i));
    dfal_status status = df_rows_open(reader, &head, path, shards->kind);
    /* What was there when the job began has been compared; another job may have written meanwhile. */
    if (status == DFAL_OK && !shards->finished[i])
        status = df_rows_head_compare(shards->head, &head, true, path, "");
    if (status == DFAL_OK)
        status = check_index(*reader, path, begin, end);
    df_rows_head_clear(&head);
    df_free(path);
    if (status != DFAL_OK) {
        df_rows_close(*reader);
        *reader = NULL;
    }
    return status;
}

dfal_status df_shards_read(const struct df_shards *shards, int64_t i, struct df_rows *rows)
{
    struct df_rows_reader *reader;
    *rows = (struct df_rows){0};
    DF_TRY(df_shards_reader(shards, i, &reader));
    const dfal_status status = df_rows_take(reader, 0, df_rows_count(reader), false, rows);
    df_rows_close(reader);
    return status;
}

dfal_status df_shards_compare(struct df_shards *shards, int64_t i, const struct df_rows *rows,
                              const struct dfal_context *context, struct df_pool *pool, bool *unknown)
{
    *unknown = df_row_hashes_known(&rows->hashes) == 0;
    if (*unknown)
        return DFAL_OK;
    char *path = NULL;
    DF_TRY(shard_path(&path, shards, i));
    dfal_status status = df_row_hashes_check(context, pool, &rows->hashes, path, DFAL_E_CONFIG);
    df_free(path);
    if (status == DFAL_OK)
        df_row_hashes_join(&shards->hashes, rows->hashes.pieces);
    return status;
}

dfal_status df_shards_write(struct df_shards *shards, const int64_t *numbers,
                            const struct df_rows *const *rows, int32_t count)
{
    char *paths[DF_PART_FILES] = {NULL};
    struct df_row_hashes hashes[DF_PART_FILES] = {0};
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < count && status == DFAL_OK; i++) {
        hashes[i] = df_row_hashes_part(&shards->hashes, numbers[i]);
        status = shard_path(&paths[i], shards, numbers[i]);
    }
    if (status == DFAL_OK)
        status = df_rows_write_parts((const char *const *)paths, shards->head, rows, hashes, count);
    for (int32_t i = 0; i < count; i++) {
        df_free(paths[i]);
        shards->finished_rows += status == DFAL_OK ? rows[i]->count : 0;
    }
    return status;
}

/* The shard that is the n-th missing one, or the next one that is dealt to this rank; -1: there is none.
 * Shards that are passed over for the first time are other ranks'. */
static int64_t find_missing(struct df_missing_source *missing, int64_t n)
{
    const struct df_shards *shards = missing->shards;
    for (; missing->at < shards->count; missing->at++) {
        int64_t begin, end;
        if (shards->finished[missing->at])
            continue;
        if (missing->dealt ? df_shards_is_dealt(missing->comm, missing->at) : missing->next++ == n)
            return missing->at++;
        df_shards_rows(shards, missing->at, &begin, &end);
        if (missing->progress)
            df_progress_add(missing->progress, end - begin, NULL);
    }
    return -1;
}

static dfal_status missing_next(struct df_chunk_source *self, int64_t *begin, int64_t *end)
{
    struct df_missing_source *missing = (struct df_missing_source *)self;
    *begin = *end = 0;
    if (missing->row == missing->end) {
        int64_t n = 0;
        if (missing->at == missing->shards->count)
            return DFAL_OK;
        if (!missing->dealt)
            DF_TRY(missing->comm->claim(missing->comm, missing->counter, &n));
        const int64_t shard = find_missing(missing, n);
        if (shard < 0)
            return DFAL_OK;
        df_shards_rows(missing->shards, shard, &missing->row, &missing->end);
    }
    *begin = missing->row;
    const bool whole = self->late || missing->end - missing->row < SOURCE_ROWS;
    *end = whole ? missing->end : missing->row + SOURCE_ROWS;
    missing->row = *end;
    return DFAL_OK;
}

void df_missing_source_init(struct df_missing_source *missing, struct df_shards *shards, struct df_comm *comm,
                            bool dealt, struct df_progress *progress)
{
    *missing = (struct df_missing_source){
        .source = {.next = missing_next, .late = comm->size > 1 && !dealt, .hashes = &shards->hashes},
        .shards = shards,
        .comm = comm,
        .dealt = dealt,
        .counter = df_comm_counter(comm),
        .progress = progress};
}
