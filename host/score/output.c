/* SPDX-License-Identifier: Apache-2.0 */
#include "score/output.h"

#include <stdatomic.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"

/* ID_ROWS: ids of one turn; IDS_AHEAD: rows that ids may be ahead of scores, which a job that is killed has in vain. */
enum { ID_ROWS = 4096, IDS_AHEAD = 1 << 20 };
static const double interval = 1.0; /* seconds between two times that shards are written as files */

/* Shards in memory beside those that lack rows, and margins in memory. */
struct limits {
    int64_t shards, margins;
};
static struct limits limits_of(const struct dfal_context *context)
{
    const bool ample = context->memory >= (int64_t)1 << 30;
    return ample ? (struct limits){128, 16 << 20} : (struct limits){8, 1 << 20};
}

struct list {
    struct df_shard_rows *first, *last;
    int64_t count;
};

/* A shard goes from `arrived` into the file, to `unwritten`, into a file of its own, to `unused`. */
struct df_output {
    struct df_output_spec spec;
    struct limits limits;
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
    struct df_scores_writer *writer;
    struct df_summary summary;
    bool *placed;         /* [shards->count] in the file */
    int64_t unknown_rows; /* of shards that do not tell which rows they are of */
    int64_t placed_rows, named, next_finished;
};

static const int64_t row_bytes =
    sizeof(int64_t) + 3 * sizeof(float) + sizeof(uint8_t) + 2 * sizeof(int32_t) + sizeof(uint16_t);

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

static int64_t shard_rows(int64_t rows)
{
    return at_most(rows, DF_SHARD_ROWS);
}

int64_t df_output_bytes(const struct dfal_context *context, int64_t rows)
{
    const struct limits limits = limits_of(context);
    const int64_t shards = at_most(rows / DF_SHARD_ROWS + 2, limits.shards + 2);
    return shards * shard_rows(rows) * row_bytes +
           (rows <= limits.margins ? rows * (int64_t)sizeof(float) : 0);
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
        df_scores_clear(&rows->scores);
        df_free(rows);
        rows = next;
    }
}

static void put_unused(struct df_output *output, struct df_shard_rows *rows)
{
    rows->next = output->unused;
    output->unused = rows;
}

/* ---- The thread's work ---------------------------------------------------------------------- */

static dfal_status place(struct df_output *output, int64_t shard, const struct df_scores *scores)
{
    int64_t begin, end;
    if (!output->writer)
        return DFAL_OK;
    df_shards_rows(output->shards, shard, &begin, &end);
    DF_TRY(df_scores_put(output->writer, begin - output->spec.begin, scores));
    df_summary_add(&output->summary, scores, output->spec.pool);
    output->placed[shard] = true;
    output->placed_rows += scores->count;
    return DFAL_OK;
}

/* Whether the pool still holds the rows that a finished shard was made from. */
static dfal_status compare(struct df_output *output, int64_t shard, const struct df_scores *scores)
{
    bool unknown;
    DF_TRY(
        df_shards_compare(output->shards, shard, scores, output->spec.context, output->spec.pool, &unknown));
    output->unknown_rows += unknown ? scores->count : 0;
    return DFAL_OK;
}

static dfal_status place_from_file(struct df_output *output, int64_t shard)
{
    struct df_scores scores = {0};
    DF_TRY(df_shards_read(output->shards, shard, &scores));
    dfal_status status = DFAL_OK;
    if (output->shards->finished[shard]) /* by a job before this one */
        status = compare(output, shard, &scores);
    if (status == DFAL_OK)
        status = place(output, shard, &scores);
    df_scores_clear(&scores);
    return status;
}

/* The first shards of a list, as many as go at once. */
struct batch {
    int64_t shard[DF_SHARD_FILES];
    const struct df_scores *scores[DF_SHARD_FILES];
    int32_t count;
};

static void first_of(struct batch *batch, const struct list *list)
{
    batch->count = 0;
    for (const struct df_shard_rows *rows = list->first; rows && batch->count < DF_SHARD_FILES;
         rows = rows->next) {
        batch->shard[batch->count] = rows->shard;
        batch->scores[batch->count++] = &rows->scores;
    }
}

static dfal_status write_files(struct df_output *output, const struct batch *batch)
{
    DF_TRY(df_shards_write(output->shards, batch->shard, batch->scores, batch->count));
    output->spec.context->kept_work =
        true; /* now, and not when the job returns: its owner may ask in between */
    return DFAL_OK;
}

static dfal_status name_rows(struct df_output *output)
{
    const int64_t begin = output->spec.begin + output->named,
                  count = at_most(output->spec.end - begin, ID_ROWS);
    DF_TRY(df_scores_put_ids(output->writer, output->spec.pool, begin, count));
    output->named += count;
    return DFAL_OK;
}

static dfal_status create(struct df_output *output)
{
    const struct df_output_spec *spec = &output->spec;
    if (!spec->path)
        return DFAL_OK;
    return df_scores_create(&output->writer, spec->path, NULL, spec->end - spec->begin, true,
                            spec->context->options.force);
}

/* ---- The thread ----------------------------------------------------------------------------- */

enum task { NOTHING, PLACE, WRITE, READ, NAME };

/* Is it time to write files? When all rows have come the whole file is near. */
static bool must_write(struct df_output *output)
{
    if (output->ended || !output->unwritten.first)
        return false;
    if (df_clock() - output->last_written >= interval || 2 * output->unwritten.count >= output->limits.shards)
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
        if (output->unwritten.first)
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
        return place(output, batch->shard[0], batch->scores[0]);
    case WRITE:
        return write_files(output, batch);
    case READ:
        return place_from_file(output, output->next_finished++);
    default:
        return name_rows(output);
    }
}

/* A task is done: move its shards on. */
static void settle(struct df_output *output, enum task task, int32_t count)
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
            settle(output, task, batch.count);
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
    output->limits = limits_of(spec->context);
    df_lock_begin(&output->lock);
    df_signal_begin(&output->changed);
    dfal_status status =
        df_summary_open(&output->summary, spec->end - spec->begin, spec->adversarial, output->limits.margins);
    if (status == DFAL_OK)
        status = df_thread_start(&output->thread, work, output);
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

static dfal_status allocate(struct df_shard_rows **out, int64_t rows)
{
    DF_TRY(df_alloc(out, 1, sizeof **out));
    dfal_status status = df_scores_alloc(&(*out)->scores, rows);
    if (status != DFAL_OK) {
        df_free(*out);
        *out = NULL;
    }
    return status;
}

dfal_status df_output_take(struct df_output *output, struct df_shard_rows **rows)
{
    df_lock_take(&output->lock);
    while (output->arrived.count + output->unwritten.count >= output->limits.shards &&
           output->status == DFAL_OK)
        df_signal_wait(&output->changed, &output->lock);
    *rows = output->unused;
    if (*rows)
        output->unused = (*rows)->next;
    df_lock_release(&output->lock);
    return *rows ? DFAL_OK : allocate(rows, shard_rows(output->spec.end - output->spec.begin));
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
    return df_summary_finish(&output->summary, output->writer);
}

const struct df_summary *df_output_summary(const struct df_output *output)
{
    return &output->summary;
}

struct df_scores_writer *df_output_writer(struct df_output *output)
{
    return output->writer;
}

dfal_status df_output_finish(struct df_output *output)
{
    DF_TRY(df_scores_describe(output->writer, output->shards->head));
    DF_TRY(df_scores_hashes(output->writer, &output->shards->rows));
    df_row_hashes_say(output->spec.context, output->unknown_rows, output->spec.path);
    struct df_scores_writer *writer = output->writer;
    output->writer = NULL;
    return df_scores_finish(writer);
}

void df_output_abandon(struct df_output *output)
{
    cancel(output);
    df_scores_abandon(output->writer);
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
    df_summary_close(&output->summary);
    df_signal_end(&output->changed);
    df_lock_end(&output->lock);
    df_free(output);
}
