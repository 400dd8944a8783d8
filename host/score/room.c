/* SPDX-License-Identifier: Apache-2.0 */
#include "score/room.h"

#include "base/memory.h"
#include "store/scores.h"
#include "store/stream.h"

/* Beside lanes: a shard's rows being gathered and another being written, quantiles, messages, the heap's own losses. */
static const int64_t shard_bytes = INT64_C(2) * DF_SHARD_ROWS * 64, losses = INT64_C(12) << 20;

struct lane_bytes {
    int64_t fixed, per_chunk_row, per_slot;
};

static struct lane_bytes lane_of(const struct df_room_need *need)
{
    struct df_plan_memory memory;
    df_plan_memory(need->plan, &memory);
    return (struct lane_bytes){
        .fixed = memory.scratch,
        .per_chunk_row = memory.chunk_row + (need->gradients ? memory.cotangent : 0),
        .per_slot = memory.row + need->per_slot,
    };
}

static int64_t bytes_of(const struct lane_bytes *lane, int64_t chunk, int64_t slots)
{
    return lane->fixed + chunk * lane->per_chunk_row + slots * lane->per_slot;
}

/* What stands already and what every job takes: the plan, rows read ahead, a chunk cache. */
static int64_t base_of(const struct df_room_need *need)
{
    return df_memory_resident() + df_stream_bytes(need->pool) + df_pool_cache_bytes(need->pool) +
           shard_bytes + losses;
}

static int64_t slots_within(const struct lane_bytes *lane, int64_t bytes, int64_t chunk, int64_t wanted)
{
    const int64_t fits = (bytes - bytes_of(lane, chunk, 0)) / (lane->per_slot + 1);
    return bytes < bytes_of(lane, chunk, 1) ? 0 : fits > wanted ? wanted : fits < 1 ? 1 : fits;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool try_lanes(struct df_room *room, const struct df_room_need *need, const struct lane_bytes *lane,
                      int64_t bytes, int64_t chunk)
{
    int64_t best = 0;
    for (int32_t lanes = need->most_lanes; lanes >= 1; lanes--) {
        const int64_t slots = slots_within(lane, bytes / lanes, chunk, need->wanted);
        const int64_t rows = lanes * least(slots, chunk); /* that calls in flight are filled with */
        if (rows <= best)
            continue;
        best = rows;
        room->lanes = lanes;
        room->slots = slots;
        room->chunk = chunk;
    }
    return best > 0;
}

static dfal_status fail(const struct dfal_context *context, int64_t needed, const char *what)
{
    const double mebi = 1048576.0;
    DF_FAIL(DFAL_E_MEMORY, "%s needs %.0f MiB of memory, the limit is %.0f MiB: give --memory %.0fM or more",
            what, (double)needed / mebi, (double)context->memory / mebi, (double)needed / mebi + 1);
}

/* Own memory is left a quarter: engines take workspaces when a layer first runs. */
static int64_t device_limit(const struct df_room_need *need)
{
    return need->device_free - need->device_free / 4;
}

/* One lane. Too much is halved: the greater of chunk and slots down to the network's own block, then slots, then the
 * chunk. */
static dfal_status choose_wide(struct df_room *room, const struct dfal_context *context,
                               const struct df_room_need *need, int64_t base)
{
    const struct lane_bytes lane = lane_of(need);
    const int64_t host = context->memory - base, block = df_plan_block_rows(need->plan);
    const bool own = need->device_free > 0;
    const int64_t limit = own ? device_limit(need) : host;
    int64_t slots = need->wanted, chunk = need->cotangents > block ? need->cotangents : block;
    if (own && !need->fixed && slots > host / need->host_slot)
        slots = host < need->host_slot ? 1 : host / need->host_slot;
    if (own && host < slots * need->host_slot)
        return fail(context, base + slots * need->host_slot,
                    need->fixed ? "this --batch" : "one sample in flight");
    while (bytes_of(&lane, chunk, slots) > limit) {
        const bool chunk_first =
            chunk > block && (need->fixed || chunk * lane.per_chunk_row > slots * lane.per_slot);
        if (chunk_first || (!need->fixed && slots == 1 && chunk > 1))
            chunk = chunk > block && chunk / 2 < block ? block : chunk / 2;
        else if (!need->fixed && slots > 1)
            slots /= 2;
        else
            break;
    }
    const int64_t needed = bytes_of(&lane, chunk, slots);
    if (needed > limit && own)
        DF_FAIL(DFAL_E_MEMORY, "%s needs %.0f MiB of the device's memory, of which it may take %.0f MiB",
                need->fixed ? "this --batch" : "one sample in flight", (double)needed / 1048576,
                (double)limit / 1048576);
    if (needed > limit)
        return fail(context, base + needed, need->fixed ? "this --batch" : "one sample in flight");
    *room = (struct df_room){.lanes = 1, .slots = slots, .chunk = chunk};
    room->bytes = base + (own ? slots * need->host_slot : needed);
    return DFAL_OK;
}

dfal_status df_room_choose(struct df_room *room, const struct dfal_context *context,
                           const struct df_room_need *need)
{
    const struct lane_bytes lane = lane_of(need);
    const int64_t base = base_of(need), bytes = context->memory - base,
                  block = df_plan_block_rows(need->plan);
    *room = (struct df_room){.lanes = need->most_lanes, .slots = need->wanted, .chunk = block};
    if (need->wanted > INT32_MAX)
        DF_FAIL(DFAL_E_MEMORY, "%lld samples in flight in a lane, expected at most %d: lower the batch",
                (long long)need->wanted, INT32_MAX);
    if (need->cotangents > 0)
        return choose_wide(room, context, need, base);
    if (need->fixed) {
        const int64_t needed = base + need->most_lanes * bytes_of(&lane, block, need->wanted);
        if (needed > context->memory)
            return fail(context, needed, "this --batch");
    } else {
        int64_t chunk = block;
        while (!try_lanes(room, need, &lane, bytes, chunk) && chunk > 1)
            chunk /= 2;
        if (bytes < bytes_of(&lane, 1, 1))
            return fail(context, base + bytes_of(&lane, 1, 1), "one sample in flight");
    }
    room->bytes = base + room->lanes * bytes_of(&lane, room->chunk, room->slots);
    return DFAL_OK;
}
