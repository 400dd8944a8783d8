/* SPDX-License-Identifier: Apache-2.0 */
/* Forward passes over a pool, a tape for every queue of each device of a group. */
#include "score/pass.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "score/budget.h"
#include "score/pool_network.h"
#include "score/row_values.h"

enum { PASS_ROWS = 256, WIDE_PASS_ROWS = 4096 };

dfal_status df_check_logits(const float *logits, int64_t rows, int32_t classes)
{
    if (rows < DF_PROBABILITY_ROWS)
        return DFAL_OK;
    for (int64_t i = 0; i < rows; i++)
        if (!df_row_like_probabilities(logits + i * classes, classes))
            return DFAL_OK;
    DF_FAIL(DFAL_E_DATA,
            "the network's outputs look like probabilities (the first %" PRId64
            " rows lie in [0,1] and sum to 1): margins need logits, so cut the softmax off",
            rows);
}

/* What a pass has on one device. */
struct pass_share {
    struct df_device *device;
    struct df_plan *plan;
    struct df_plan *fused; /* of the logits beside a node, where they have an engine of their own; or NULL */
    int32_t worker_count;
    int64_t rows;    /* of a block */
    int64_t at_once; /* cotangents of a backward */
};

/* One queue of a pass. */
struct pass_worker {
    struct pass_share *share;
    int32_t queue, number;        /* of the device; among all workers */
    struct df_tape *tape, *fused; /* fused: NULL where the pass has no such plan */
    struct df_span values;        /* what is read */
    int64_t *index;
    unsigned char *raw;
    float *decoded, *out;
    struct df_gradient_worker *gradients;
    struct df_span numbers; /* of the rows, where dropout is drawn; and on the host */
    int32_t *numbers_host;
    float *logits; /* [rows, K] beside out: of one pass, or of each row */
};

struct pass {
    struct dfal_context *context;
    struct df_device *device; /* the first of its group */
    struct df_pool *pool;
    struct pass_share *shares;
    int32_t share_count;
    struct df_thread_pool *threads;
    struct df_row_stream *stream; /* borrowed */
    struct df_progress *progress;
    int64_t beside;
    int32_t worker_count; /* of all devices */
    struct pass_worker *workers;
    int64_t size; /* of one row's values */
    df_pass_fn *fn, *also;
    void *user, *also_user;
    df_pass_rows_fn *block; /* NULL: fn and also take the values */
    void *block_user;
    const struct df_pass_drawing *drawing;     /* NULL: dropout is not drawn */
    const struct df_gradients_spec *gradients; /* NULL: none */
    df_pass_device_fn *on_device;              /* NULL: values are read */
    void *device_user;
    atomic_bool failed; /* a worker gave up: the others do, too */
    struct df_lock lock;
};

/* All passes over a block, one behind the other: its rows are read once, and what is known of a row is
 * complete. */
static dfal_status draw(struct pass *pass, struct pass_worker *worker, int64_t n)
{
    const struct df_pass_drawing *drawing = pass->drawing;
    struct df_device *device = worker->share->device;
    const int64_t k = df_plan_class_count(worker->share->plan);
    for (int64_t i = 0; i < n; i++)
        worker->numbers_host[i] = (int32_t)(uint32_t)worker->index[i];
    DF_TRY(df_write(device, worker->queue, worker->numbers, worker->numbers_host, n));
    for (int64_t t = 0; t < drawing->passes; t++) {
        const struct df_dropout dropout = {.seed = drawing->seed,
                                           .step = t,
                                           .shared = drawing->shared,
                                           .filters = drawing->filters,
                                           .ratio = drawing->ratio,
                                           .rows = worker->numbers};
        DF_TRY(df_context_check_stop(pass->context));
        DF_TRY(df_tape_forward_dropout(worker->tape, n, &dropout));
        DF_TRY(df_read(device, worker->queue, worker->logits, df_tape_logits(worker->tape), n * k));
        for (int64_t i = 0; i < n; i++)
            memcpy(worker->out + i * pass->size + t * k, worker->logits + i * k, (size_t)k * sizeof(float));
    }
    return DFAL_OK;
}

/* Beside a node's values? */
static bool wants_logits(const struct pass *pass)
{
    return pass->also || pass->block;
}

/* The logits beside a node's values. */
static dfal_status read_logits(struct pass_worker *worker, int64_t n)
{
    struct df_tape *tape = worker->fused ? worker->fused : worker->tape;
    struct df_device *device = worker->share->device;
    const struct df_plan *plan = worker->share->plan;
    if (worker->fused) {
        DF_TRY(df_write(device, worker->queue, df_tape_input(tape), worker->decoded,
                        n * df_plan_input_size(plan)));
        DF_TRY(df_tape_forward(tape, n));
    }
    return df_read(device, worker->queue, worker->logits, df_tape_logits(tape),
                   n * df_plan_class_count(plan));
}

static dfal_status call_on_device(struct pass *pass, struct pass_worker *worker, int64_t n)
{
    const struct df_pass_on_device block = {.device = worker->share->device,
                                            .queue = worker->queue,
                                            .most = worker->share->rows,
                                            .count = n,
                                            .index = worker->index,
                                            .input = worker->decoded,
                                            .logits = worker->values};
    return pass->on_device(pass->device_user, worker->number, &block);
}

static dfal_status run_block(struct pass *pass, struct pass_worker *worker, int64_t n)
{
    if (pass->drawing) {
        DF_TRY(draw(pass, worker, n));
    } else {
        DF_TRY(df_tape_forward(worker->tape, n));
        if (pass->on_device)
            return call_on_device(pass, worker, n);
        DF_TRY(df_read(worker->share->device, worker->queue, worker->out, worker->values, n * pass->size));
    }
    if (pass->gradients)
        return df_gradient_worker_run(worker->gradients, worker->index, worker->out, n, &pass->lock);
    if (wants_logits(pass))
        DF_TRY(read_logits(worker, n));
    if (pass->block) {
        const struct df_pass_rows rows = {n, worker->index, worker->decoded, worker->out, worker->logits};
        return pass->block(pass->block_user, worker->number, &rows);
    }
    df_lock_take(&pass->lock);
    dfal_status status = pass->fn(pass->user, worker->index, worker->out, n);
    if (pass->also && status == DFAL_OK)
        status = pass->also(pass->also_user, worker->index, worker->logits, n);
    df_lock_release(&pass->lock);
    return status;
}

static dfal_status run_worker(struct pass *pass, struct pass_worker *worker)
{
    const struct pass_share *share = worker->share;
    while (!atomic_load(&pass->failed)) {
        DF_TRY(df_context_check_stop(pass->context));
        int64_t n = 0;
        DF_TRY(df_stream_take(pass->stream, share->rows, worker->raw, worker->index, &n));
        if (n == 0)
            return DFAL_OK;
        df_pool_decode(pass->pool, worker->decoded, worker->raw, n);
        DF_TRY(df_write(share->device, worker->queue, df_tape_input(worker->tape), worker->decoded,
                        n * df_plan_input_size(share->plan)));
        DF_TRY(run_block(pass, worker, n));
        if (pass->progress)
            df_progress_add(pass->progress, n, NULL);
    }
    return DFAL_OK;
}

static dfal_status pass_job(void *arg, int64_t job, int32_t thread)
{
    (void)thread;
    struct pass *pass = arg;
    struct pass_worker *worker = &pass->workers[job];
    const dfal_status status = run_worker(pass, worker);
    if (status != DFAL_OK)
        atomic_store(&pass->failed, true);
    return df_group_blame(worker->share->device, status);
}

static dfal_status worker_open(struct pass *pass, struct pass_worker *worker, const char *node)
{
    const struct pass_share *share = worker->share;
    struct df_device *device = share->device;
    struct df_plan *plan = share->plan;
    const int64_t rows = share->rows;
    DF_TRY(df_tape_create(&worker->tape, plan, worker->queue, rows, share->at_once));
    if (share->fused)
        DF_TRY(df_tape_create(&worker->fused, share->fused, worker->queue, rows, 0));
    worker->values = df_tape_logits(worker->tape);
    pass->size = df_plan_class_count(plan);
    if (node) {
        struct df_shape shape;
        DF_TRY(df_tape_node(worker->tape, node, &worker->values, &shape));
        pass->size = df_shape_size(shape);
    }
    if (pass->drawing) {
        DF_TRY(df_buffer_new(device, &worker->numbers, DF_TYPE_I32, rows));
        DF_TRY(df_alloc(&worker->numbers_host, rows, sizeof *worker->numbers_host));
        pass->size *= pass->drawing->passes;
    }
    if (pass->drawing || wants_logits(pass))
        DF_TRY(df_alloc(&worker->logits, rows * df_plan_class_count(plan), sizeof *worker->logits));
    DF_TRY(df_alloc(&worker->index, rows, sizeof *worker->index));
    DF_TRY(df_alloc(&worker->raw, rows, df_pool_row_bytes(pass->pool)));
    DF_TRY(df_alloc(&worker->decoded, rows * df_plan_input_size(plan), sizeof *worker->decoded));
    if (!pass->on_device)
        DF_TRY(df_alloc(&worker->out, rows * pass->size, sizeof *worker->out));
    if (pass->gradients)
        return df_gradient_worker_create(&worker->gradients, pass->gradients, pass->context, plan,
                                         worker->tape, rows, share->at_once);
    return DFAL_OK;
}

static void worker_close(struct pass_worker *worker)
{
    struct df_device *device = worker->share ? worker->share->device : NULL;
    df_buffer_drop(device, &worker->numbers);
    df_gradient_worker_destroy(worker->gradients);
    df_tape_destroy(worker->tape);
    df_tape_destroy(worker->fused);
    df_free(worker->index);
    df_free(worker->raw);
    df_free(worker->decoded);
    df_free(worker->out);
    df_free(worker->numbers_host);
    df_free(worker->logits);
}

static void pass_close(struct pass *pass)
{
    for (int32_t i = 0; pass->workers && i < pass->worker_count; i++)
        worker_close(&pass->workers[i]);
    df_free(pass->workers);
    df_thread_pool_destroy(pass->threads);
    for (int32_t i = 0; pass->shares && i < pass->share_count; i++) {
        df_plan_destroy(pass->shares[i].plan);
        df_plan_destroy(pass->shares[i].fused);
    }
    df_free(pass->shares);
    df_lock_end(&pass->lock);
}

/* Workers and rows of a block on every queue, fewer where memory is short. */
static dfal_status choose_rows(const struct pass *pass, struct pass_share *share,
                               const struct df_network *network, const char *node)
{
    const int32_t found = node ? df_network_find(network, node) : network->output;
    const int64_t size = found < 0 ? df_shape_size(network->input) : df_shape_size(network->nodes[found].out),
                  drawn = pass->drawing ? pass->drawing->passes * size : 0,
                  also = wants_logits(pass) ? df_plan_class_count(share->plan) : 0;
    const struct df_gradients_spec *gradients = pass->gradients;
    enum { BESIDE = 64 }; /* bytes of a row: its number, and what is told of it on the device */
    struct df_budget budget;
    struct df_budget_need need = {
        .device = share->device,
        .devices = pass->share_count,
        .plan = share->plan,
        .pool = pass->pool,
        .per_slot = (int64_t)df_pool_row_bytes(pass->pool) +
                    (df_plan_input_size(share->plan) + size + drawn + also) * (int64_t)sizeof(float) + BESIDE,
        .wanted = share->device->wide ? WIDE_PASS_ROWS : PASS_ROWS,
        .most_workers = df_device_workers(share->device),
        .beside = pass->beside,
    };
    if (share->fused) {
        struct df_plan_memory memory;
        df_plan_memory(share->fused, &memory);
        need.per_slot += memory.row;
        need.per_worker += memory.scratch;
    }
    if (gradients) {
        need.gradients = true;
        need.cotangents = need.wanted;
        need.per_worker = df_gradient_worker_bytes(gradients, share->plan);
        need.per_slot += df_gradient_worker_row_bytes(gradients, share->plan);
        need.wanted = need.wanted > gradients->count ? need.wanted / gradients->count : 1;
    }
    DF_TRY(df_budget_choose(&budget, pass->context, &need));
    share->worker_count = budget.workers;
    share->rows = budget.slots;
    share->at_once = gradients ? budget.chunk : 0;
    return DFAL_OK;
}

/* Logits are those that a score starts from, by the same engine, which keeps no node's values. Who takes
 * whole blocks gives a network that is folded. */
static dfal_status plan_logits(const struct pass *pass, struct pass_share *share,
                               const struct df_network *network)
{
    DF_TRY(df_plan_create(&share->fused, share->device, network, DF_PLAN_FORWARD | DF_PLAN_FUSED,
                          pass->block == NULL));
    if (df_plan_is_fused(share->fused))
        return DFAL_OK;
    df_plan_destroy(share->fused);
    share->fused = NULL;
    return DFAL_OK;
}

static dfal_status make_plans(const struct pass *pass, struct pass_share *share,
                              const struct df_network *network, const char *node, bool layers)
{
    const bool logits = node == NULL && !pass->drawing && !pass->gradients;
    const int uses = pass->gradients ? DF_PLAN_ROW_GRADIENT
                     : pass->drawing ? DF_PLAN_FORWARD | DF_PLAN_DRAWN
                     : logits        ? DF_PLAN_FORWARD | DF_PLAN_FUSED
                                     : DF_PLAN_FORWARD;
    /* Who takes whole blocks does not mind which engine a node's values come from. */
    if (pass->block && !layers)
        DF_TRY(df_plan_create_tapped(&share->plan, share->device, network, node));
    if (share->plan)
        return DFAL_OK;
    DF_TRY(df_plan_create(&share->plan, share->device, network, uses, logits));
    df_plan_tell_fallback(pass->context, share->plan);
    return wants_logits(pass) && !layers && share->device->backend->fused_create
               ? plan_logits(pass, share, network)
               : DFAL_OK;
}

/* All plans stand before the first asks for memory, so that each finds as much as the others. */
static dfal_status open_shares(struct pass *pass, const struct df_network *network, const char *node,
                               bool layers)
{
    struct df_device *device = pass->device;
    pass->share_count = df_group_count(device);
    DF_TRY(df_alloc(&pass->shares, pass->share_count, sizeof *pass->shares));
    for (int32_t i = 0; i < pass->share_count; i++, device = device->next) {
        pass->shares[i].device = device;
        DF_TRY(df_group_blame(device, make_plans(pass, &pass->shares[i], network, node, layers)));
    }
    for (int32_t i = 0; i < pass->share_count; i++) {
        struct pass_share *share = &pass->shares[i];
        DF_TRY(df_group_blame(share->device, choose_rows(pass, share, network, node)));
        pass->worker_count += share->worker_count;
    }
    return DFAL_OK;
}

static dfal_status open_workers(struct pass *pass, const char *node)
{
    int32_t number = 0;
    DF_TRY(df_alloc(&pass->workers, pass->worker_count, sizeof *pass->workers));
    for (int32_t i = 0; i < pass->share_count; i++)
        for (int32_t queue = 0; queue < pass->shares[i].worker_count; queue++, number++) {
            struct pass_worker *worker = &pass->workers[number];
            worker->share = &pass->shares[i];
            worker->queue = queue;
            worker->number = number;
            DF_TRY(df_group_blame(worker->share->device, worker_open(pass, worker, node)));
        }
    return DFAL_OK;
}

static dfal_status run_pass(struct pass *pass, const struct df_network *network, const char *node,
                            bool layers)
{
    DF_TRY(df_network_check_shape(network, pass->pool, "the network"));
    DF_TRY(df_budget_for_plan(pass->context, pass->device, network, pass->gradients != NULL));
    df_lock_begin(&pass->lock);
    dfal_status status;
    DF_TRY_TO(done, status, open_shares(pass, network, node, layers));
    DF_TRY_TO(done, status, df_thread_pool_create(&pass->threads, pass->worker_count));
    DF_TRY_TO(done, status, open_workers(pass, node));
    status = df_thread_pool_run(pass->threads, pass_job, pass, pass->worker_count);
done:
    pass_close(pass);
    return status;
}

dfal_status df_forward_pass(const struct df_pass_spec *spec, struct df_row_stream *stream, df_pass_fn *fn,
                            void *user)
{
    struct pass pass = {
        .context = spec->context,
        .device = spec->device,
        .pool = spec->pool,
        .stream = stream,
        .progress = spec->progress,
        .beside = spec->beside,
        .drawing = spec->drawing,
        .gradients = spec->gradients,
        .fn = fn,
        .user = user,
        .also = spec->also,
        .also_user = spec->also_user,
        .block = spec->rows,
        .block_user = spec->rows_user,
        .on_device = spec->on_device,
        .device_user = spec->device_user,
    };
    return run_pass(&pass, spec->network, spec->node, spec->layers);
}

dfal_status df_forward_source(const struct df_pass_spec *spec, struct df_chunk_source *source, df_pass_fn *fn,
                              void *user)
{
    struct df_row_stream *stream;
    DF_TRY(df_stream_open(&stream, spec->pool, source));
    const dfal_status status = df_forward_pass(spec, stream, fn, user);
    df_stream_close(stream);
    return status;
}
