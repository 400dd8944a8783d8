/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_floor.h"
#include "bench_folder.h"
#include "print.h"

/* The library tells ops before anything may be printed: an error prints no results. */
struct table {
    const char *network;
    struct dfal_bench_roofs roofs;
    struct dfal_op_time *times;
    int32_t count;
    bool failed;
};

static void take(void *user, const struct dfal_op_time *time)
{
    struct table *table = user;
    struct dfal_op_time *grown =
        realloc(table->times, (size_t)(table->count + 1) * sizeof *grown); /* a few dozen rows */
    char *shape = strdup(time->shape), *engine = strdup(time->engine);
    if (grown != NULL)
        table->times = grown;
    if (grown == NULL || shape == NULL || engine == NULL) {
        free(shape);
        free(engine);
        table->failed = true;
        return;
    }
    grown[table->count] = *time;
    grown[table->count].shape = shape;
    grown[table->count++].engine = engine;
}

static void clear(struct table *table)
{
    for (int32_t i = 0; i < table->count; i++) {
        free((char *)(uintptr_t)table->times[i].shape);
        free((char *)(uintptr_t)table->times[i].engine);
    }
    free(table->times);
}

/* A core's fused multiply-adds are a roof that no product of the library has to reach. */
static void raise_roof(struct dfal_bench_roofs *roofs)
{
    if (strcmp(roofs->backend, "cpu") == 0)
        roofs->product_operations_per_second =
            fmax(roofs->product_operations_per_second, bench_peak_operations(1));
}

static double job_seconds(const struct table *table, const char *job)
{
    double sum = 0;
    for (int32_t i = 0; i < table->count; i++)
        sum += strcmp(table->times[i].job, job) == 0 ? table->times[i].seconds : 0;
    return sum;
}

static json_t *table_json(const struct table *table)
{
    const struct dfal_bench_roofs *roofs = &table->roofs;
    json_t *ops = json_array();
    for (int32_t i = 0; i < table->count; i++) {
        const struct dfal_op_time *t = &table->times[i];
        json_array_append_new(
            ops,
            OBJECT(MEMBER(t, job), MEMBER(t, op), MEMBER(t, shape), "engine",
                   JSON(*t->engine != '\0' ? t->engine : NULL), MEMBER(t, calls), MEMBER(t, rows),
                   MEMBER(t, seconds), MEMBER(t, bytes), MEMBER(t, operations), "copy_share",
                   JSON(t->bytes / t->seconds / roofs->copy_bytes_per_second), "product_share",
                   JSON(t->operations > 0 ? t->operations / t->seconds / roofs->product_operations_per_second
                                          : NAN)));
    }
    return OBJECT("case", JSON("ops"), MEMBER(table, network), MEMBER(roofs, backend), MEMBER(roofs, isa),
                  MEMBER(roofs, device), MEMBER(roofs, library), MEMBER(roofs, copy_bytes_per_second),
                  MEMBER(roofs, product_operations_per_second), MEMBER(roofs, call_seconds), "ops", ops);
}

static void print_table(const struct table *table)
{
    const struct dfal_bench_roofs *roofs = &table->roofs;
    printf("%s on %s: %s, %s, %s\ncopy %.1f GB/s, product %.1f GFLOP/s, a call alone %.2f us\n",
           table->network, roofs->backend, roofs->device, roofs->isa, roofs->library,
           roofs->copy_bytes_per_second * 1e-9, roofs->product_operations_per_second * 1e-9,
           roofs->call_seconds * 1e6);
    printf("%-6s %-20s %-22s %6s %9s %11s %6s %10s %8s %6s %9s %8s  %s\n", "job", "op", "shape", "calls",
           "rows", "us", "time", "KB", "GB/s", "copy", "GFLOP/s", "product", "engine");
    for (int32_t i = 0; i < table->count; i++) {
        const struct dfal_op_time *t = &table->times[i];
        printf("%-6s %-20s %-22s %6" PRId64 " %9" PRId64 " %11.1f %5.1f%% %10.1f %8.1f %5.1f%%", t->job,
               t->op, t->shape, t->calls, t->rows, t->seconds * 1e6,
               100 * t->seconds / job_seconds(table, t->job), t->bytes * 1e-3, t->bytes / t->seconds * 1e-9,
               100 * t->bytes / t->seconds / roofs->copy_bytes_per_second);
        if (t->operations > 0)
            printf(" %9.1f %7.1f%%  %s", t->operations / t->seconds * 1e-9,
                   100 * t->operations / t->seconds / roofs->product_operations_per_second, t->engine);
        putchar('\n');
    }
}

static dfal_status measure(struct session *session, struct table *table, int64_t samples, int32_t repeat)
{
    struct bench_folder folder;
    struct dfal_bench_ops_options options;
    dfal_status status = bench_folder_make(&folder);
    if (status != DFAL_OK)
        return status;
    dfal_bench_ops_options_init(&options);
    dfal_bench_roofs_init(&table->roofs);
    options.samples = samples;
    options.repeat = repeat;
    status =
        dfal_bench_ops(session->context, &table->roofs, table->network, folder.path, &options, take, table);
    bench_folder_remove(&folder);
    if (status == DFAL_OK && table->failed)
        return usage_error(DFAL_E_MEMORY, "out of memory");
    if (status == DFAL_OK)
        raise_roof(&table->roofs);
    return status;
}

dfal_status bench_ops(struct session *session, const char *network, int64_t samples, int32_t repeat)
{
    const char *const networks[] = {network != NULL ? network : "lenet5", "vgg8"};
    struct table tables[2] = {0};
    const int32_t count = network != NULL ? 1 : 2;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < count && status == DFAL_OK; i++) {
        tables[i].network = networks[i];
        status = measure(session, &tables[i], samples, repeat);
    }
    if (status == DFAL_OK && session->json) {
        json_t *document = json_array();
        for (int32_t i = 0; i < count; i++)
            json_array_append_new(document, table_json(&tables[i]));
        status = print_json(document);
    }
    for (int32_t i = 0; i < count && status == DFAL_OK && !session->json; i++)
        print_table(&tables[i]);
    for (int32_t i = 0; i < count; i++)
        clear(&tables[i]);
    return status;
}
