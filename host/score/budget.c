/* SPDX-License-Identifier: Apache-2.0 */
#include "score/budget.h"

#include <sys/stat.h>

#include "base/memory.h"
#include "store/scores.h"
#include "store/stream.h"

/* Beside workers: chunks of columns being written, quantiles, messages, the heap's own losses. */
static const int64_t column_bytes = INT64_C(2) * DF_SHARD_ROWS * 64, losses = INT64_C(12) << 20;

struct worker_bytes {
    int64_t plan;                                      /* that all workers share */
    int64_t fixed, chunk_row, per_chunk_row, per_slot; /* chunk_row: without gradients */
};

static struct worker_bytes one_worker(const struct df_budget_need *need)
{
    struct df_plan_memory memory;
    df_plan_memory(need->plan, &memory);
    return (struct worker_bytes){
        .plan = memory.shared,
        .fixed = memory.scratch + need->per_worker,
        .chunk_row = memory.chunk_row,
        .per_chunk_row = memory.chunk_row + (need->gradients ? memory.cotangent : 0),
        .per_slot = memory.row + need->per_slot,
    };
}

static int64_t bytes_of(const struct worker_bytes *worker, int64_t chunk, int64_t slots)
{
    return worker->fixed + chunk * worker->per_chunk_row + slots * worker->per_slot;
}

/* What stands already and what every job takes: the plan, rows read ahead, a chunk cache. */
static int64_t base_of(const struct df_budget_need *need)
{
    return df_memory_held() + df_stream_bytes(need->pool) + df_pool_cache_bytes(need->pool) + need->beside +
           column_bytes + losses;
}

static int64_t slots_within(const struct worker_bytes *worker, int64_t bytes, int64_t chunk, int64_t wanted)
{
    const int64_t fits = (bytes - bytes_of(worker, chunk, 0)) / (worker->per_slot + 1);
    return bytes < bytes_of(worker, chunk, 1) ? 0 : fits > wanted ? wanted : fits < 1 ? 1 : fits;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool try_workers(struct df_budget *budget, const struct df_budget_need *need,
                        const struct worker_bytes *worker, int64_t bytes, int64_t chunk)
{
    int64_t best = 0;
    for (int32_t workers = need->most_workers; workers >= 1; workers--) {
        const int64_t slots = slots_within(worker, bytes / workers, chunk, need->wanted);
        const int64_t rows = workers * least(slots, chunk); /* that calls in flight are filled with */
        if (rows <= best)
            continue;
        best = rows;
        budget->workers = workers;
        budget->slots = slots;
        budget->chunk = chunk;
    }
    return best > 0;
}

static const double mebi = 1048576.0;

static dfal_status fail(const struct dfal_context *context, int64_t needed, const char *what)
{
    DF_FAIL(DFAL_E_MEMORY, "%s needs %.0f MiB of memory, the limit is %.0f MiB: give `memory` %.0fM or more",
            what, (double)needed / mebi, (double)context->memory / mebi, (double)needed / mebi + 1);
}

/* A forward takes all slots through the network at once, and a backward all cotangents. */
static int64_t wide_bytes(const struct df_budget_need *need, const struct worker_bytes *worker, int64_t chunk,
                          int64_t slots)
{
    return bytes_of(worker, chunk, slots) - worker->fixed + need->per_worker +
           df_plan_scratch(need->plan, slots, chunk) +
           (slots > chunk ? slots - chunk : 0) * worker->chunk_row;
}

/* The greater of chunk and slots is halved until both fit, but the chunk first down to the network's own
 * block, and then the slots. Of a device's own memory, of which the plan has taken its part, a part stays
 * free: libraries and drivers take some that nobody announces. */
static dfal_status choose_wide(struct df_budget *budget, const struct dfal_context *context,
                               const struct df_budget_need *need, const struct worker_bytes *worker,
                               int64_t base)
{
    const bool own = need->device->own_memory;
    const int64_t free = need->device->backend->memory_free(need->device), plan = own ? worker->plan : 0;
    const int64_t most = free - free / 8 + plan, asked = context->options.memory,
                  workers = need->most_workers;
    const int64_t limit = !own                        ? (context->memory - base) / need->devices
                          : asked > 0 && asked < most ? asked
                                                      : most;
    const int64_t block = df_plan_block_rows(need->plan);
    const char *what = need->fixed ? "this `batch`" : "one sample in flight";
    int64_t slots = need->wanted, chunk = need->cotangents > block ? need->cotangents : block;
    while (plan + workers * wide_bytes(need, worker, chunk, slots) > limit) {
        const bool more =
            need->fixed || slots == 1 || chunk * worker->per_chunk_row > slots * worker->per_slot;
        if (chunk > block && more) {
            chunk = chunk / 2 > block ? chunk / 2 : block;
        } else if (!need->fixed && slots > 1) {
            slots /= 2;
            slots -= slots > block ? slots % block : 0; /* whole blocks: a part of one costs as much */
        } else if (chunk > 1) {
            chunk /= 2;
        } else {
            break;
        }
    }
    const int64_t needed = plan + workers * wide_bytes(need, worker, chunk, slots);
    if (needed > limit && free == 0)
        return fail(context, base + need->devices * needed, what);
    if (needed > limit)
        DF_FAIL(DFAL_E_MEMORY, "%s needs %.0f MiB on the GPU, the limit is %.0f MiB: %s", what,
                (double)needed / mebi, (double)limit / mebi,
                limit < most ? "give more `memory`" : "this network or batch is too large for it");
    *budget = (struct df_budget){.workers = (int32_t)workers,
                                 .slots = slots,
                                 .chunk = chunk,
                                 .bytes = free == 0 ? base + need->devices * needed : needed};
    return DFAL_OK;
}

dfal_status df_budget_choose(struct df_budget *budget, const struct dfal_context *context,
                             const struct df_budget_need *need)
{
    const struct worker_bytes worker = one_worker(need);
    const int64_t base = base_of(need), bytes = (context->memory - base) / need->devices,
                  block = df_plan_block_rows(need->plan);
    *budget = (struct df_budget){.workers = need->most_workers, .slots = need->wanted, .chunk = block};
    if (need->wanted > INT32_MAX)
        DF_FAIL(DFAL_E_MEMORY, "%lld samples in flight in a worker, expected at most %d: lower the batch",
                (long long)need->wanted, INT32_MAX);
    if (need->device->wide)
        return choose_wide(budget, context, need, &worker, base);
    if (need->fixed) {
        const int64_t needed =
            base + need->devices * need->most_workers * bytes_of(&worker, block, need->wanted);
        if (needed > context->memory)
            return fail(context, needed, "this `batch`");
    } else {
        int64_t chunk = block;
        while (!try_workers(budget, need, &worker, bytes, chunk) && chunk > 1)
            chunk /= 2;
        if (bytes < bytes_of(&worker, 1, 1))
            return fail(context, base + need->devices * bytes_of(&worker, 1, 1), "one sample in flight");
    }
    budget->bytes = base + need->devices * budget->workers * bytes_of(&worker, budget->chunk, budget->slots);
    return DFAL_OK;
}

enum { PLAN_COPIES = 4 }; /* of the parameters: df_budget_for_plan */
/* So many bytes of parameters are taken all the same: df_budget_choose then names the least that works, which
 * is more. */
static const int64_t taken_anyway = INT64_C(32) << 20;

static dfal_status check_least(const struct dfal_context *context, int64_t parameters, int64_t first,
                               int64_t in_all, const char *what)
{
    const int64_t held = df_memory_held();
    if (parameters <= taken_anyway || held + first <= context->memory)
        return DFAL_OK;
    DF_FAIL(DFAL_E_MEMORY,
            "%s needs at least %.0f MiB of memory, the limit is %.0f MiB: give `memory` %.0fM or more", what,
            (double)(held + in_all) / mebi, (double)context->memory / mebi,
            (double)(held + in_all) / mebi + 1);
}

dfal_status df_budget_for_file(const struct dfal_context *context, const char *path)
{
    struct stat facts;
    if (stat(path, &facts) < 0)
        return DFAL_OK;
    return check_least(context, facts.st_size, facts.st_size, (1 + PLAN_COPIES) * facts.st_size, path);
}

dfal_status df_budget_for_plan(const struct dfal_context *context, struct df_device *device,
                               const struct df_network *network, bool gradients)
{
    const int64_t parameters = df_network_parameter_count(network) * (int64_t)sizeof(float);
    const int64_t copies = device->own_memory ? 1 : gradients ? PLAN_COPIES : PLAN_COPIES - 1;
    const int64_t bytes = df_group_count(device) * copies * parameters;
    return check_least(context, parameters, bytes, bytes, "this network");
}
