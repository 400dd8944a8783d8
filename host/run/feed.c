/* SPDX-License-Identifier: Apache-2.0 */
#include "run/feed.h"

#include "backend/link.h"
#include "base/log.h"
#include "base/word.h"
#include "comm/device_link.h"

/* Making a link takes seconds on many nodes, and another rank may be slower to open its files. */
static const double patience = 300.0;

static void say(struct dfal_context *context, const struct df_pool *pool, const char *how)
{
    const int64_t bytes = pool->count * (int64_t)df_pool_row_bytes(pool);
    df_say(context, DFAL_INFO, "run.feed",
           DF_FIELDS(DF_INT("rows", pool->count), DF_INT("bytes", bytes), DF_TEXT("feed", how)),
           "the %lld rows of %s stay on the GPU, %.1f MB, %s", (long long)pool->count, pool->path,
           (double)bytes / 1e6, how);
}

static dfal_status is_sent(bool *sent, const char *how)
{
    int32_t which = 0;
    if (how)
        DF_TRY(df_word(&which, "way of feeding", how, DFAL_FEEDS));
    *sent = which == 1;
    return DFAL_OK;
}

dfal_status df_feed_check(struct df_device *device, const struct df_pool *pool, const char *how)
{
    bool sent;
    DF_TRY(is_sent(&sent, how));
    if (!pool || !sent)
        return DFAL_OK;
    if (device->next)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "--feed nccl joins one GPU of each rank, and this rank has %d: start a rank a GPU",
                df_group_count(device));
    if (!df_resident_pool_fits(device, pool))
        DF_FAIL(
            DFAL_E_UNAVAILABLE,
            "%s cannot stay on the %s device: --feed nccl takes a pool of bytes that fits in a quarter of "
            "a GPU's free memory",
            pool->path, device->info.backend);
    return DFAL_OK;
}

static dfal_status send(struct dfal_context *context, struct df_comm *comm, struct df_device *device,
                        struct df_pool *pool)
{
    char library[DF_LINK_TEXT];
    struct df_comm *here;
    DF_TRY(df_comm_split_hosts(comm, &here));
    DF_TRY(df_comm_link(here, context, device, patience, library));
    const dfal_status status = df_resident_pool_open(&pool->resident, context, device, pool, here);
    df_comm_unlink(here);
    if (status == DFAL_OK)
        say(context, pool, library);
    return status;
}

dfal_status df_feed(struct dfal_context *context, struct df_comm *comm, struct df_device *device,
                    struct df_pool *pool, const char *how)
{
    bool sent;
    DF_TRY(is_sent(&sent, how));
    if (sent) /* checked once, so that no rank leaves the others alone because its memory has changed */
        return send(context, comm, device, pool);
    if (!df_resident_pool_fits(device, pool))
        return DFAL_OK;
    DF_TRY(df_resident_pool_open(&pool->resident, context, device, pool, NULL));
    say(context, pool, "read by this process");
    return DFAL_OK;
}

void df_feed_end(struct df_pool *pool)
{
    if (!pool)
        return;
    df_resident_pool_close(pool->resident);
    pool->resident = NULL;
}
