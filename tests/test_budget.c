/* SPDX-License-Identifier: Apache-2.0 */
/* What a wide device with memory of its own is filled with: the back end's workspace counts, and so does the
 * plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/plan.h"
#include "score/deepfool_worker.h"
#include "support_score.h"

enum { N = 40, N_COARSE = 16384, CLASSES = 5, BATCH = 8, FORWARD_SCRATCH = 3 << 20, BACKWARD_ROW = 20000 };
static const int64_t memory_there = INT64_C(1) << 30;

struct world {
    char folder[TEST_PATH];
    struct df_device *device;
    const struct df_backend *backend; /* the device's own */
    struct df_backend changed;
    bool wide, own_memory;
    struct dfal_context *context;
    struct df_network *network;
    struct df_pool *pool;
    struct df_deepfool deepfool;
};

static int64_t pretend_memory(struct df_device *device)
{
    (void)device;
    return memory_there;
}

/* A backward wants a workspace that grows with its rows, and a forward one of its own. */
static int64_t pretend_scratch(struct df_device *device, const struct df_layer *layer,
                               enum df_layer_kind kind, int64_t rows)
{
    (void)device;
    (void)layer;
    return kind == 0 ? FORWARD_SCRATCH : kind == 1 ? rows * BACKWARD_ROW : 0;
}

static int64_t not_told(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                        int64_t rows)
{
    (void)device, (void)layer, (void)kind, (void)rows;
    return -1;
}

static void world_open_rows(struct world *w, struct df_device *device, int64_t rows)
{
    char path[TEST_PATH];
    *w = (struct world){
        .device = device, .backend = device->backend, .wide = device->wide, .own_memory = device->own_memory};
    test_folder_create(w->folder);
    test_join(path, w->folder, "pool.h5");
    test_pool_u8(path, rows, (struct df_shape){1, 10, 10}, CLASSES, 3, NULL);
    test_ok(df_pool_open(&w->pool, NULL, path, NULL));
    w->network = test_small_network(1, CLASSES);
    w->context = test_context("ref", 1);
    w->deepfool = test_preset("lts4");
    w->changed = *device->backend;
    w->changed.memory_free = pretend_memory;
    w->changed.layer_scratch = not_told;
    device->backend = &w->changed;
    device->wide = device->own_memory = true;
}

static void world_open(struct world *w, struct df_device *device)
{
    world_open_rows(w, device, N);
}

static void world_close(struct world *w)
{
    w->device->backend = w->backend;
    w->device->wide = w->wide;
    w->device->own_memory = w->own_memory;
    dfal_context_destroy(w->context);
    df_network_destroy(w->network);
    df_pool_close(w->pool);
    test_folder_remove(w->folder);
}

static struct df_deepfool_engine *engine_of(const struct world *w, int64_t memory)
{
    struct df_deepfool_engine *engine;
    w->context->options.memory = memory;
    test_ok(df_deepfool_create(&engine, w->context, w->device, w->network, w->pool, &w->deepfool, BATCH,
                               DF_DEEPFOOL_FOLD));
    return engine;
}

static void workspace_is_counted(void **state)
{
    struct world w;
    struct df_plan_memory plan;
    world_open(&w, *state);
    struct df_deepfool_engine *engine = engine_of(&w, 0);
    df_plan_memory(engine->plan, &plan);
    const int64_t block = engine->block, bare = engine->memory - plan.scratch;
    df_deepfool_destroy(engine);
    w.changed.layer_scratch = pretend_scratch;
    engine = engine_of(&w, 0);
    assert_int_equal(engine->block, block);
    assert_true(block * BACKWARD_ROW > FORWARD_SCRATCH);
    assert_int_equal(engine->memory - bare, block * BACKWARD_ROW);
    const int64_t held = engine->memory;
    df_deepfool_destroy(engine);
    /* Exactly so much is enough; with less the backward has fewer rows, until only the forward's workspace is
     * left. */
    engine = engine_of(&w, held);
    assert_int_equal(engine->block, block);
    df_deepfool_destroy(engine);
    engine = engine_of(&w, held - 1);
    assert_true(engine->block < block && engine->memory < held);
    df_deepfool_destroy(engine);
    engine = engine_of(&w, held - bare + FORWARD_SCRATCH);
    assert_true(engine->memory <= held - bare + FORWARD_SCRATCH);
    df_deepfool_destroy(engine);
    /* What the plan has taken is a part of --memory. */
    w.context->options.memory = FORWARD_SCRATCH + plan.shared;
    test_error(df_deepfool_create(&engine, w.context, w.device, w.network, w.pool, &w.deepfool, BATCH,
                                  DF_DEEPFOOL_FOLD),
               DFAL_E_MEMORY, "give more `memory`");
    world_close(&w);
}

static dfal_status forget(struct df_margin_sink *self, const struct df_margin *margin,
                          const float *adversarial)
{
    (void)self;
    (void)margin;
    (void)adversarial;
    return DFAL_OK;
}

/* A GPU gives memory out by pieces of some MiB, so that a small buffer need not be seen. */
static bool is_coarse(struct df_device *device)
{
    enum { COUNT = 1000 };
    struct df_span span;
    const int64_t before = device->backend->memory_free(device);
    test_ok(df_buffer_new(device, &span, DF_TYPE_REAL, COUNT));
    const int64_t taken = before - device->backend->memory_free(device);
    df_buffer_drop(device, &span);
    return taken < COUNT || taken > (1 << 20);
}

/* What a job takes of a device, [0], and what it foretells, [1]. */
static void take_memory(int64_t bytes[2], const struct world *w, int how)
{
    struct df_deepfool_engine *engine;
    struct df_device *fresh = test_device_open(test_backend(), 1);
    const int64_t before = fresh->backend->memory_free(fresh);
    test_ok(df_deepfool_create(&engine, w->context, fresh, w->network, w->pool, &w->deepfool, 0, how));
    struct df_margin_sink sink = {.put = forget};
    struct df_range_source range;
    struct df_row_stream *stream = NULL;
    df_range_source_init(&range, 0, w->pool->count, w->pool->count);
    test_ok(df_stream_open(&stream, w->pool, &range.source));
    test_ok(df_deepfool_run(engine, stream, &sink, NULL));
    df_stream_close(stream);
    bytes[0] = before - fresh->backend->memory_free(fresh);
    bytes[1] = df_deepfool_memory(engine);
    df_deepfool_destroy(engine);
    df_device_close(fresh);
}

/* What a job takes of the device is at most what it was told to take; on a GPU, whose pieces are coarse, an
 * eighth more. A first job loads kernels, which take memory as well. */
static void more_is_not_taken(void **state)
{
    struct df_device *device = *state;
    struct world w;
    int64_t bytes[2];
    if (!device->own_memory)
        return; /* it computes in the host's memory */
    const bool coarse = is_coarse(device);
    world_open_rows(&w, device, coarse ? N_COARSE : N);
    device->backend = w.backend;
    for (int how = DF_DEEPFOOL_FOLD; how <= (DF_DEEPFOOL_FOLD | DF_DEEPFOOL_FUSED);
         how += DF_DEEPFOOL_FUSED) {
        if (coarse)
            take_memory(bytes, &w, how);
        take_memory(bytes, &w, how);
        if (bytes[0] > bytes[1] + (coarse ? bytes[1] / 8 : 0) || bytes[0] < bytes[1] / 8)
            test_fail("%lld bytes were taken, %lld foretold", (long long)bytes[0], (long long)bytes[1]);
    }
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workspace_is_counted),
                                       cmocka_unit_test(more_is_not_taken)};
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
