/* SPDX-License-Identifier: Apache-2.0 */
#include "score/resident_pool.h"

#include <string.h>

#include "base/memory.h"
#include "comm/spans.h"

enum { BLOCK_BYTES = 4 << 20, MOST_SHARE = 4 };

struct df_resident_pool {
    struct df_device *device;
    struct df_span rows;
    struct df_resident_pool *next; /* of the group's next device */
};

bool df_resident_pool_fits(struct df_device *device, const struct df_pool *pool)
{
    const int64_t bytes = pool->count * (int64_t)df_pool_row_bytes(pool);
    for (; device; device = device->next)
        if (!device->own_memory || bytes > device->backend->memory_free(device) / MOST_SHARE)
            return false;
    return pool->raw == DF_RAW_U8;
}

/* *at is set at once, so that what is there is given back whatever happened. */
static dfal_status take_memory(struct df_resident_pool **at, struct df_device *device, int64_t bytes)
{
    do {
        DF_TRY(df_alloc(at, 1, sizeof **at));
        (*at)->device = device;
        DF_TRY(df_buffer_new(device, &(*at)->rows, DF_TYPE_U8, bytes));
        at = &(*at)->next;
        device = device->next;
    } while (device);
    return DFAL_OK;
}

static dfal_status write_rows(const struct df_resident_pool *resident, const void *raw, int64_t at,
                              int64_t bytes)
{
    for (; resident; resident = resident->next)
        DF_TRY(df_group_blame(resident->device,
                              df_write(resident->device, 0, df_at(resident->rows, at), raw, bytes)));
    return DFAL_OK;
}

static dfal_status fill(const struct df_resident_pool *resident, struct dfal_context *context,
                        struct df_pool *pool, struct df_comm *comm)
{
    const int64_t row = (int64_t)df_pool_row_bytes(pool), step = BLOCK_BYTES > row ? BLOCK_BYTES / row : 1;
    const bool reads = !comm || comm->rank == 0;
    void *raw = NULL;
    dfal_status status = DFAL_OK;
    if (reads)
        DF_TRY(df_alloc(&raw, step, (size_t)row));
    for (int64_t begin = 0; begin < pool->count; begin += step) {
        const int64_t end = pool->count - begin < step ? pool->count : begin + step;
        const int64_t at = begin * row, bytes = (end - begin) * row;
        DF_TRY_TO(done, status, df_context_check_stop(context));
        if (reads) {
            DF_TRY_TO(done, status, df_pool_read(pool, raw, begin, end));
            DF_TRY_TO(done, status, write_rows(resident, raw, at, bytes));
        }
        if (comm)
            DF_TRY_TO(done, status,
                      df_comm_span_broadcast(comm, resident->device, 0, df_at(resident->rows, at), bytes, 0));
    }
    for (const struct df_resident_pool *of = resident; of; of = of->next) /* other queues find them */
        DF_TRY_TO(done, status, of->device->backend->synchronize(of->device, 0));
done:
    df_free(raw);
    return status;
}

dfal_status df_resident_pool_open(struct df_resident_pool **out, struct dfal_context *context,
                                  struct df_device *device, struct df_pool *pool, struct df_comm *comm)
{
    struct df_resident_pool *resident = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY_TO(done, status, take_memory(&resident, device, pool->count * (int64_t)df_pool_row_bytes(pool)));
    status = fill(resident, context, pool, comm);
done:
    if (status == DFAL_OK)
        *out = resident;
    else
        df_resident_pool_close(resident);
    return status;
}

/* A branch of an experiment has a device of its own, on a GPU of the group. */
static bool is_at(const struct df_device *a, const struct df_device *b)
{
    return a->place == b->place && strcmp(a->info.backend, b->info.backend) == 0;
}

struct df_span df_resident_pool_rows(const struct df_resident_pool *resident, const struct df_device *device)
{
    for (; resident; resident = resident->next)
        if (is_at(resident->device, device))
            return resident->rows;
    return (struct df_span){0};
}

void df_resident_pool_close(struct df_resident_pool *resident)
{
    while (resident) {
        struct df_resident_pool *next = resident->next;
        df_buffer_drop(resident->device, &resident->rows);
        df_free(resident);
        resident = next;
    }
}
