/* SPDX-License-Identifier: Apache-2.0 */
#include "job/output.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"

/* ID_ROWS: ids of one turn; IDS_AHEAD: rows that ids may be ahead of values, which a job that is killed has
 * in vain. */
enum { ID_ROWS = 4096, IDS_AHEAD = 1 << 20 };
static const double interval = 1.0; /* seconds between two times that shards are written as files */

/* Shards in memory beside those that lack rows. */
static int64_t most_shards(const struct dfal_context *context, int64_t shard_bytes)
{
    const bool ample = context->memory >= (int64_t)1 << 30;
    const int64_t most = ample ? 128 : 8, bytes = ample ? (int64_t)96 << 20 : (int64_t)6 << 20;
    const int64_t shards = shard_bytes > 0 ? bytes / shard_bytes : most;
    return shards > most ? most : shards < 2 ? 2 : shards;
}

struct list {
    struct df_shard_rows *first, *last;
    int64_t count;
};

/* A shard goes from `arrived` into the file, to `unwritten`, into a file of its own, to `unused`. */
struct df_output {
    struct df_output_spec spec;
    int64_t most_shards;
    struct df_shards *shards; /* NULL: scoring has not begun */
    struct df_thread thread;
    struct df_lock lock;
    struct df_signal changed;
    atomic_bool failed;
    /* under the lock */
    struct list arrived, unwritten;
    struct df_shard_rows *unused;
    double last_written;
    bool writing, turn; /* files of all that is unwritten, with a turn for an arrival between two */
    bool ended, cancelled;
    dfal_status status;
    char message[DF_MESSAGE_SIZE];
    /* the thread's, and its owner's when it has ended */
    struct df_rows_writer *writer;
    bool *placed;         /* [shards->count] in the file */
    int64_t unknown_rows; /* of shards that do not tell which rows they are of */
    int64_t placed_rows, named, next_finished;
    int64_t *found, found_count, next_found; /* numbers of shards in the folder, as it was looked at last */
    double next_look;                        /* df_clock */
};

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

int64_t df_output_bytes(const struct dfal_context *context, const struct df_rows_kind *kind, int64_t rows)
{
    const int64_t shard_rows = df_shard_rows(kind, df_shard_bytes(context), DF_SHARD_ROWS),
                  bytes = at_most(rows, shard_rows) * df_rows_bytes(kind);
    return at_most(rows / shard_rows + 2, most_shards(context, bytes) + 2) * bytes;
}

/* ---- Lists ---------------------------------------------------------------------------------- */

static void append(struct list *list, struct df_shard_rows *rows)
{
    rows->next = NULL;
    if (list->last)
        list->last->next = rows;
    else
        list->first = rows;
    list->last = rows;
    list->count++;
}

static struct df_shard_rows *remove_first(struct list *list)
{
    struct df_shard_rows *rows = list->first;
    list->first = rows->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    return rows;
}

static void free_rows(struct df_shard_rows *rows)
{
    while (rows) {
        struct df_shard_rows *next = rows->next;
        df_rows_clear(&rows->rows);
        df_free(rows);
        rows = next;
    }
}

static void put_unused(struct df_output *output, struct df_shard_rows *rows)
{
    df_rows_clear_texts(&rows->rows);
    rows->next = output->unused;
    output->unused = rows;
}

/* ---- The thread's work ---------------------------------------------------------------------- */

static dfal_status place(struct df_output *output, int64_t shard, const struct df_rows *rows)
{
    int64_t begin, end;
    if (!output->writer)
        return DFAL_OK;
    df_shards_rows(output->shards, shard, &begin, &end);
    DF_TRY(df_rows_put(output->writer, begin - output->spec.begin, rows));
    if (output->spec.placed)
        output->spec.placed(output->spec.user, rows);
    output->placed[shard] = true;
    output->placed_rows += rows->count;
    return DFAL_OK;
}

/* Whether the pool still holds the rows that a finished shard was made from. */
static dfal_status compare(struct df_output *output, int64_t shard, const struct df_rows *rows)
{
    bool unknown;
    DF_TRY(df_shards_compare(output->shards, shard, rows, output->spec.context, output->spec.pool, &unknown));
    output->unknown_rows += unknown ? rows->count : 0;
    return DFAL_OK;
}

/* A shard that another rank has computed tells which rows of the pool it is of. */
static void take_hashes(struct df_output *output, const struct df_rows *rows)
{
    if (df_row_hashes_known(&rows->hashes) > 0)
        df_row_hashes_join(&output->shards->hashes, rows->hashes.pieces);
}

static dfal_status place_from_file(struct df_output *output, int64_t shard)
{
    struct df_rows rows = {0};
    dfal_status status = df_shards_read(output->shards, shard, &rows);
    if (status == DFAL_OK && output->shards->finished[shard]) /* by a job before this one */
        status = compare(output, shard, &rows);
    else if (status == DFAL_OK)
        take_hashes(output, &rows);
    if (status == DFAL_OK)
        status = place(output, shard, &rows);
    df_rows_clear(&rows);
    return status;
}

/* Shards of other ranks are taken while computing goes on, or rank 0 would have all of them to read behind
 * the last row. A folder of many files is not looked at all the time. */
static dfal_status look_for_others(struct df_output *output)
{
    static const double pause = 2.0, pause_a_file = 1e-3;
    df_free(output->found);
    output->found = NULL;
    output->found_count = output->next_found = 0;
    DF_TRY(df_parts_numbers(&output->shards->parts, &output->found, &output->found_count));
    output->next_look = df_clock() + pause + pause_a_file * (double)output->found_count;
    return DFAL_OK;
}

/* The next one that was found and has not come yet; -1: none. */
static int64_t next_of_others(struct df_output *output)
{
    const struct df_shards *shards = output->shards;
    for (; output->next_found < output->found_count; output->next_found++) {
        const int64_t i = output->found[output->next_found] - shards->first;
        if (i >= 0 && i < shards->count && !output->placed[i] && !shards->finished[i])
            return i;
    }
    return -1;
}

/* The first shards of a list, as many as go at once. */
struct batch {
    int64_t shard[DF_PART_FILES];
    const struct df_rows *rows[DF_PART_FILES];
    int32_t count;
};

static void first_of(struct batch *batch, const struct list *list)
{
    batch->count = 0;
    for (const struct df_shard_rows *rows = list->first; rows && batch->count < DF_PART_FILES;
         rows = rows->next) {
        batch->shard[batch->count] = rows->shard;
        batch->rows[batch->count++] = &rows->rows;
    }
}

static dfal_status write_files(struct df_output *output, const struct batch *batch)
{
    DF_TRY(df_shards_write(output->shards, batch->shard, batch->rows, batch->count));
    output->spec.context->kept_work =
        true; /* now, and not when the job returns: its owner may ask in between */
    return DFAL_OK;
}

static dfal_status name_rows(struct df_output *output)
{
    const int64_t begin = output->spec.begin + output->named,
                  count = at_most(output->spec.end - begin, ID_ROWS);
    DF_TRY(df_rows_put_ids(output->writer, output->spec.pool, begin, count));
    output->named += count;
    return DFAL_OK;
}

static dfal_status create(struct df_output *output)
{
    const struct df_output_spec *spec = &output->spec;
    if (!spec->path)
        return DFAL_OK;
    return df_rows_create(&output->writer, spec->path, spec->kind, NULL, spec->end - spec->begin, true,
                          spec->context->options.force);
}

/* ---- The thread ----------------------------------------------------------------------------- */

enum task { NOTHING, PLACE, WRITE, READ, NAME, LOOK, COLLECT };

/* Is it time to write files? When all rows have come the whole file is near. */
static bool must_write(struct df_output *output)
{
    if (output->ended || !output->unwritten.first)
        return false;
    if (df_clock() - output->last_written >= interval || 2 * output->unwritten.count >= output->most_shards)
        output->writing = true;
    return output->writing && !(output->turn && output->arrived.first);
}

static bool is_finished_left(struct df_output *output)
{
    if (!output->shards || !output->writer)
        return false;
    while (output->next_finished < output->shards->count && !output->shards->finished[output->next_finished])
        output->next_finished++;
    return output->next_finished < output->shards->count;
}

static bool may_name(const struct df_output *output)
{
    const int64_t rows = output->spec.end - output->spec.begin;
    return output->writer && output->named < rows &&
           (output->ended || output->named < output->placed_rows + IDS_AHEAD);
}

/* What to do next; waits for it. NOTHING: the end. */
static enum task next_task(struct df_output *output)
{
    for (;;) {
        if (output->cancelled)
            return NOTHING;
        if (must_write(output))
            return WRITE;
        if (output->arrived.first)
            return PLACE;
        if (is_finished_left(output))
            return READ;
        if (may_name(output))
            return NAME;
        if (output->ended)
            return NOTHING;
        const bool shared = output->shards && output->shards->shared && output->writer;
        if (shared && next_of_others(output) >= 0)
            return COLLECT;
        if (shared && df_clock() >= output->next_look)
            return LOOK;
        if (shared)
            df_signal_wait_for(&output->changed, &output->lock, interval);
        else if (output->unwritten.first)
            df_signal_wait_for(&output->changed, &output->lock, output->last_written + interval - df_clock());
        else
            df_signal_wait(&output->changed, &output->lock);
    }
}

/* Without the lock: what is in the lists stays there meanwhile. */
static dfal_status do_task(struct df_output *output, enum task task, const struct batch *batch, bool ended)
{
    if (ended)
        DF_TRY(df_context_check_stop(output->spec.context));
    switch (task) {
    case PLACE:
        return place(output, batch->shard[0], batch->rows[0]);
    case WRITE:
        return write_files(output, batch);
    case READ:
        return place_from_file(output, output->next_finished++);
    case LOOK:
        return look_for_others(output);
    case COLLECT:
        return place_from_file(output, next_of_others(output));
    default:
        return name_rows(output);
    }
}

/* A task is done: move its shards on. */
static void move_on(struct df_output *output, enum task task, int32_t count)
{
    output->turn = task == WRITE;
    if (task == PLACE)
        append(&output->unwritten, remove_first(&output->arrived));
    for (int32_t i = 0; i < count && task == WRITE; i++)
        put_unused(output, remove_first(&output->unwritten));
    if (task == WRITE && !output->unwritten.first) {
        output->writing = false;
        output->last_written = df_clock();
    }
    df_signal_all(&output->changed);
}

static void *work(void *user)
{
    struct df_output *output = user;
    dfal_status status = create(output);
    df_lock_take(&output->lock);
    while (status == DFAL_OK) {
        const enum task task = next_task(output);
        if (task == NOTHING)
            break;
        struct batch batch;
        first_of(&batch, task == PLACE ? &output->arrived : &output->unwritten);
        const bool ended = output->ended;
        df_lock_release(&output->lock);
        status = do_task(output, task, &batch, ended);
        df_lock_take(&output->lock);
        if (status == DFAL_OK)
            move_on(output, task, batch.count);
    }
    if (status != DFAL_OK) {
        output->status = status;
        df_message_get(output->message);
        atomic_store(&output->failed, true);
        df_signal_all(&output->changed);
    }
    df_lock_release(&output->lock);
    return NULL;
}

static void cancel(struct df_output *output)
{
    df_lock_take(&output->lock);
    output->cancelled = true;
    df_signal_all(&output->changed);
    df_lock_release(&output->lock);
    df_thread_join(&output->thread);
}

/* ---- The driver's side ---------------------------------------------------------------------- */

dfal_status df_output_open(struct df_output **out, const struct df_output_spec *spec)
{
    struct df_output *output;
    *out = NULL;
    DF_TRY(df_alloc(&output, 1, sizeof *output));
    output->spec = *spec;
    df_lock_begin(&output->lock);
    df_signal_begin(&output->changed);
    const dfal_status status = df_thread_start(&output->thread, work, output);
    if (status == DFAL_OK)
        *out = output;
    else
        df_output_close(output);
    return status;
}

dfal_status df_output_begin(struct df_output *output, struct df_shards *shards)
{
    bool *placed;
    DF_TRY(df_alloc(&placed, shards->count, sizeof *placed));
    df_lock_take(&output->lock);
    output->placed = placed;
    output->shards = shards;
    output->most_shards =
        most_shards(output->spec.context, shards->cut.shard_rows * df_rows_bytes(shards->kind));
    output->last_written = df_clock();
    df_signal_all(&output->changed);
    df_lock_release(&output->lock);
    return DFAL_OK;
}

dfal_status df_output_error(struct df_output *output)
{
    if (!atomic_load_explicit(&output->failed, memory_order_relaxed))
        return DFAL_OK;
    df_lock_take(&output->lock);
    const dfal_status status = output->status;
    df_message_set(output->message);
    df_lock_release(&output->lock);
    return status;
}

static dfal_status allocate(struct df_shard_rows **out, const struct df_shards *shards)
{
    DF_TRY(df_alloc(out, 1, sizeof **out));
    const struct df_shards_cut *cut = &shards->cut;
    const int64_t rows = at_most(cut->end - cut->begin, cut->shard_rows);
    dfal_status status = df_rows_alloc(&(*out)->rows, shards->kind, rows);
    if (status != DFAL_OK) {
        df_free(*out);
        *out = NULL;
    }
    return status;
}

dfal_status df_output_take(struct df_output *output, struct df_shard_rows **rows)
{
    df_lock_take(&output->lock);
    while (output->arrived.count + output->unwritten.count >= output->most_shards &&
           output->status == DFAL_OK)
        df_signal_wait(&output->changed, &output->lock);
    *rows = output->unused;
    if (*rows)
        output->unused = (*rows)->next;
    df_lock_release(&output->lock);
    return *rows ? DFAL_OK : allocate(rows, output->shards);
}

void df_output_give(struct df_output *output, struct df_shard_rows *rows)
{
    df_lock_take(&output->lock);
    append(&output->arrived, rows);
    df_signal_all(&output->changed);
    df_lock_release(&output->lock);
}

void df_output_drop(struct df_output *output, struct df_shard_rows *rows)
{
    df_lock_take(&output->lock);
    put_unused(output, rows);
    df_lock_release(&output->lock);
}

dfal_status df_output_end(struct df_output *output)
{
    df_lock_take(&output->lock);
    output->ended = true;
    df_signal_all(&output->changed);
    df_lock_release(&output->lock);
    df_thread_join(&output->thread);
    return df_output_error(output);
}

dfal_status df_output_keep(struct df_output *output)
{
    cancel(output);
    struct list *const lists[] = {&output->unwritten, &output->arrived};
    for (int i = 0; i < 2; i++)
        while (lists[i]->first) {
            struct batch batch;
            first_of(&batch, lists[i]);
            DF_TRY(write_files(output, &batch));
            for (int32_t k = 0; k < batch.count; k++)
                put_unused(output, remove_first(lists[i]));
        }
    return DFAL_OK;
}

dfal_status df_output_complete(struct df_output *output)
{
    for (int64_t i = 0; i < output->shards->count; i++) {
        if (output->placed[i])
            continue;
        DF_TRY(df_context_check_stop(output->spec.context));
        DF_TRY(place_from_file(output, i));
    }
    return DFAL_OK;
}

struct df_rows_writer *df_output_writer(struct df_output *output)
{
    return output->writer;
}

dfal_status df_output_finish(struct df_output *output)
{
    const struct df_output_spec *spec = &output->spec;
    struct df_row_hashes hashes;
    struct df_rows_head head = *output->shards->head; /* which parts still need, should publishing fail */
    head.shard_rows = 0;
    DF_TRY(df_rows_describe(output->writer, &head));
    DF_TRY(df_row_hashes_open(&hashes, spec->begin, spec->end, DF_SHARD_ROWS));
    df_row_hashes_join_all(&hashes, &output->shards->hashes);
    const dfal_status status = df_rows_put_hashes(output->writer, &hashes);
    df_row_hashes_close(&hashes);
    DF_TRY(status);
    df_row_hashes_say(output->spec.context, output->unknown_rows, output->spec.path);
    struct df_rows_writer *writer = output->writer;
    output->writer = NULL;
    return df_rows_finish(writer);
}

void df_output_abandon(struct df_output *output)
{
    cancel(output);
    df_rows_abandon(output->writer);
    output->writer = NULL;
}

void df_output_close(struct df_output *output)
{
    if (!output)
        return;
    df_output_abandon(output);
    free_rows(output->arrived.first);
    free_rows(output->unwritten.first);
    free_rows(output->unused);
    df_free(output->placed);
    df_free(output->found);
    df_signal_end(&output->changed);
    df_lock_end(&output->lock);
    df_free(output);
}
