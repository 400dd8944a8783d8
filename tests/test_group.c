/* SPDX-License-Identifier: Apache-2.0 */
/* Several devices as one group: the rows are shared, the bits are those of one device, and one that fails is
 * named. Members are devices of the host, so that any back end can be tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/wrapper.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/memory.h"
#include "score/budget.h"
#include "score/pass.h"
#include "support_score.h"

enum { N = 171, CLASSES = 10, MEMBERS = 3, QUEUES = 2 };

struct world {
    char folder[TEST_PATH];
    struct dfal_context *context;
    struct df_network *network;
    struct df_pool *pool;
    struct df_deepfool deepfool;
};

static void world_open(struct world *w)
{
    char path[TEST_PATH];
    test_folder_create(w->folder);
    test_join(path, w->folder, "pool.h5");
    w->network = test_small_network(5, CLASSES);
    test_pool_u8(path, N, w->network->input, CLASSES, 1, NULL);
    test_ok(df_pool_open(&w->pool, NULL, path, NULL));
    w->context = test_context("ref", 1);
    w->deepfool = test_preset("lts4");
}

static void world_close(struct world *w)
{
    dfal_context_destroy(w->context);
    df_network_destroy(w->network);
    df_pool_close(w->pool);
    test_folder_remove(w->folder);
}

static struct df_device *group_of(int32_t count)
{
    const char *names[MEMBERS];
    struct df_device *device;
    for (int32_t i = 0; i < count; i++)
        names[i] = test_backend();
    test_ok(df_group_open(&device, names, count, "auto", QUEUES));
    assert_int_equal(df_group_count(device), count);
    return device;
}

/* ---- Gates: every member waits with its first rows until all have some --------------------------------- */

struct meeting {
    struct df_lock lock;
    struct df_signal changed;
    int32_t expected, come;
};

struct gate {
    struct df_wrapper wrapper;
    struct meeting *meeting;
    int64_t rows, refills;
    bool fails; /* with its second refill */
};

static dfal_status gate_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    struct gate *gate = (struct gate *)df_wrapper_of(device, gate_run);
    struct meeting *meeting = gate->meeting;
    if (call->op == DF_OP_deepfool_refill) {
        df_lock_take(&meeting->lock);
        gate->rows += call->rows;
        meeting->come += gate->refills++ == 0;
        df_signal_all(&meeting->changed);
        while (meeting->come < meeting->expected)
            df_signal_wait(&meeting->changed, &meeting->lock);
        const bool failed = gate->fails && gate->refills > 1;
        df_lock_release(&meeting->lock);
        if (failed)
            DF_FAIL(DFAL_E_UNAVAILABLE, "the made-up device is lost");
    }
    return gate->wrapper.inner.backend->run(device, queue, call);
}

static void gates_put(struct gate gates[MEMBERS], struct meeting *meeting, struct df_device *device)
{
    *meeting = (struct meeting){.expected = df_group_count(device)};
    df_lock_begin(&meeting->lock);
    df_signal_begin(&meeting->changed);
    for (; device; device = device->next, gates++) {
        *gates = (struct gate){.meeting = meeting};
        df_wrapper_put(&gates->wrapper, device);
        gates->wrapper.functions.run = gate_run;
    }
}

static void gates_take(struct gate gates[MEMBERS], struct meeting *meeting, struct df_device *device)
{
    for (; device; device = device->next, gates++)
        df_wrapper_take(&gates->wrapper, device);
    df_signal_end(&meeting->changed);
    df_lock_end(&meeting->lock);
}

/* ---- Bits ---------------------------------------------------------------------------------------------- */

/* Every member has rows, and none of the bits tells. */
static void margins(void **state)
{
    struct world w;
    struct df_margin alone[N], shared[N];
    float alone_images[N * 100], shared_images[N * 100];
    (void)state;
    world_open(&w);
    struct df_device *one = group_of(1);
    test_engine(w.context, one, w.network, w.pool, &w.deepfool, 0, alone, alone_images);
    df_device_close(one);
    for (int32_t count = 2; count <= MEMBERS; count++) {
        const int64_t batches[] = {0, 7, 1};
        for (int b = 0; b < 3; b++) {
            struct df_device *device = group_of(count);
            struct gate gates[MEMBERS];
            struct meeting meeting;
            memset(shared_images, 0, sizeof shared_images);
            gates_put(gates, &meeting, device);
            test_engine(w.context, device, w.network, w.pool, &w.deepfool, batches[b], shared, shared_images);
            gates_take(gates, &meeting, device);
            test_same_margins("a group", alone, shared, N, NULL);
            for (int64_t i = 0; i < N; i++)
                if (alone[i].status <= DFAL_SCORE_TIE)
                    assert_memory_equal(alone_images + i * 100, shared_images + i * 100, 100 * sizeof(float));
            int64_t rows = 0;
            for (int32_t i = 0; i < count; i++) {
                assert_true(gates[i].rows > 0);
                rows += gates[i].rows;
            }
            assert_int_equal(rows, N);
            df_device_close(device);
        }
    }
    world_close(&w);
}

static dfal_status store(void *user, const int64_t *index, const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        memcpy((float *)user + index[i] * CLASSES, values + i * CLASSES, CLASSES * sizeof(float));
    return DFAL_OK;
}

static void logits(void **state)
{
    struct world w;
    float found[MEMBERS][N * CLASSES];
    (void)state;
    world_open(&w);
    for (int32_t count = 1; count <= MEMBERS; count++) {
        struct df_device *device = group_of(count);
        struct df_range_source range;
        const struct df_pass_spec spec = {
            .context = w.context, .device = device, .network = w.network, .pool = w.pool};
        df_range_source_init(&range, 0, N, 16);
        memset(found[count - 1], 0xff, sizeof found[0]);
        test_ok(df_forward_source(&spec, &range.source, store, found[count - 1]));
        assert_memory_equal(found[0], found[count - 1], sizeof found[0]);
        assert_int_equal(df_group_workers(device), count * df_device_workers(device));
        df_device_close(device);
    }
    world_close(&w);
}

/* ---- Failures ------------------------------------------------------------------------------------------ */

struct table_sink {
    struct df_margin_sink sink;
    struct df_margin *margins;
    int64_t count;
};

static dfal_status table_put(struct df_margin_sink *self, const struct df_margin *margin, const float *image)
{
    struct table_sink *sink = (struct table_sink *)self;
    (void)image;
    sink->margins[margin->index] = *margin;
    sink->count++;
    return DFAL_OK;
}

/* The others stop, what came out is right, and the sentence names the member. */
static void one_fails(void **state)
{
    struct world w;
    struct df_margin alone[N], some[N];
    struct df_device *device = group_of(2);
    struct gate gates[MEMBERS];
    struct meeting meeting;
    struct df_deepfool_engine *engine;
    struct df_range_source range;
    struct df_row_stream *stream;
    struct table_sink sink = {.sink.put = table_put, .margins = some};
    char sentence[96];
    (void)state;
    world_open(&w);
    struct df_device *one = group_of(1);
    test_engine(w.context, one, w.network, w.pool, &w.deepfool, 0, alone, NULL);
    df_device_close(one);
    for (int64_t i = 0; i < N; i++)
        some[i].index = -1;
    (void)snprintf(device->next->name, sizeof device->next->name, "made-up:1");
    (void)snprintf(sentence, sizeof sentence, "made-up:1: the made-up device is lost");
    gates_put(gates, &meeting, device);
    gates[1].fails = true;
    test_ok(df_deepfool_create(&engine, w.context, device, w.network, w.pool, &w.deepfool, 8, true));
    df_range_source_init(&range, 0, N, 16);
    test_ok(df_stream_open(&stream, w.pool, &range.source));
    test_error(df_deepfool_run(engine, stream, &sink.sink, NULL), DFAL_E_UNAVAILABLE, sentence);
    df_stream_close(stream);
    df_deepfool_destroy(engine);
    gates_take(gates, &meeting, device);
    assert_in_range(sink.count, 0, N - 1);
    for (int64_t i = 0; i < N; i++)
        if (some[i].index >= 0)
            test_same_margins("before it failed", &alone[i], &some[i], 1, NULL);
    df_device_close(device);
    world_close(&w);
}

static void one_does_not_open(void **state)
{
    struct df_device *device;
    const char *const names[] = {test_backend(), "dlopen:/nowhere.so"};
    (void)state;
    test_error(df_group_open(&device, names, 2, "auto", 1), DFAL_E_UNAVAILABLE, "/nowhere.so");
    assert_null(device);
}

static dfal_status try_engine(const struct world *w, struct df_device *device)
{
    struct df_deepfool_engine *engine;
    DF_TRY(df_deepfool_create(&engine, w->context, device, w->network, w->pool, &w->deepfool, 8, true));
    df_deepfool_destroy(engine);
    return DFAL_OK;
}

static dfal_status try_pass(const struct world *w, struct df_device *device)
{
    float found[N * CLASSES];
    struct df_range_source range;
    const struct df_pass_spec spec = {
        .context = w->context, .device = device, .network = w->network, .pool = w->pool};
    df_range_source_init(&range, 0, N, 16);
    return df_forward_source(&spec, &range.source, store, found);
}

/* Whatever memory is refused, the members are given back what they have. */
static void no_memory(void **state)
{
    static dfal_status (*const tried[])(const struct world *, struct df_device *) = {try_engine, try_pass};
    struct world w;
    (void)state;
    world_open(&w);
    struct df_device *device = group_of(2);
    for (int t = 0; t < 2; t++) {
        test_ok(tried[t](&w, device)); /* what a device keeps once it has run */
        const int64_t live = df_alloc_live();
        dfal_status status = DFAL_E_MEMORY;
        for (int64_t n = 1; status != DFAL_OK; n++) {
            df_fault_arm(DF_FAULT_ALLOC, n);
            status = tried[t](&w, device);
            df_fault_arm(DF_FAULT_ALLOC, 0);
            assert_true(status == DFAL_OK || status == DFAL_E_MEMORY);
            assert_int_equal(df_alloc_live(), live);
        }
    }
    df_device_close(device);
    world_close(&w);
}

/* ---- Models -------------------------------------------------------------------------------------------- */

static void models(void **state)
{
    struct df_device *device = group_of(3);
    char text[DF_GROUP_TEXT], isa[DF_ISA_TEXT];
    (void)state;
    for (struct df_device *d = device; d; d = d->next) {
        d->wide = true;
        (void)snprintf(d->info.isa, sizeof d->info.isa, "sm_90");
        (void)snprintf(d->info.device, sizeof d->info.device, "model A");
    }
    df_group_text(text, device);
    df_device_isa(isa, device);
    assert_string_equal(text, "3 x model A");
    assert_string_equal(isa, "sm_90 (model A)");
    assert_false(df_group_is_mixed(device));
    test_ok(df_group_check(device, false));
    struct df_device *last = device->next->next;
    (void)snprintf(last->name, sizeof last->name, "cuda:7");
    (void)snprintf(last->info.device, sizeof last->info.device, "model B");
    df_group_text(text, device);
    df_device_isa(isa, device);
    assert_string_equal(text, "model A, model A, model B");
    assert_string_equal(isa, "sm_90 (model A), sm_90 (model B)");
    assert_true(df_group_is_mixed(device));
    test_error(df_group_check(device, false), DFAL_E_UNAVAILABLE, "cuda:7 is sm_90 (model B)");
    test_ok(df_group_check(device, true));
    for (struct df_device *d = device; d; d = d->next)
        d->wide = false;
    df_device_close(device);
}

/* ---- Memory -------------------------------------------------------------------------------------------- */

/* Two workers of a GiB find room for one of them. */
static void host_memory(void **state)
{
    struct world w;
    struct df_device *device = group_of(1);
    struct df_plan *plan;
    struct df_budget budget;
    (void)state;
    world_open(&w);
    test_ok(df_plan_create(&plan, device, w.network, DF_PLAN_FORWARD, true));
    struct df_budget_need need = {.device = device,
                                  .devices = 1,
                                  .plan = plan,
                                  .pool = w.pool,
                                  .per_worker = INT64_C(1) << 30,
                                  .wanted = 1,
                                  .most_workers = 1};
    w.context->memory = df_memory_held() + (INT64_C(3) << 29);
    test_ok(df_budget_choose(&budget, w.context, &need));
    need.devices = 2;
    test_error(df_budget_choose(&budget, w.context, &need), DFAL_E_MEMORY, "one sample in flight needs 2");
    need.fixed = true;
    test_error(df_budget_choose(&budget, w.context, &need), DFAL_E_MEMORY, "this `batch` needs 2");
    df_plan_destroy(plan);
    df_device_close(device);
    world_close(&w);
}

static int64_t pretend_memory(struct df_device *device)
{
    (void)device;
    return INT64_C(1) << 30;
}

/* A batch is divided, and each device holds its part of it. */
static void own_memory(void **state)
{
    struct world w;
    int64_t memory[2];
    (void)state;
    world_open(&w);
    for (int32_t count = 1; count <= 2; count++) {
        struct df_device *device = group_of(count);
        struct df_wrapper wrappers[2];
        struct df_deepfool_engine *engine;
        int32_t i = 0;
        for (struct df_device *d = device; d; d = d->next, i++) {
            df_wrapper_put(&wrappers[i], d);
            wrappers[i].functions.memory_free = pretend_memory;
            d->wide = d->own_memory = true;
        }
        test_ok(df_deepfool_create(&engine, w.context, device, w.network, w.pool, &w.deepfool, 20 * count,
                                   DF_DEEPFOOL_FOLD));
        memory[count - 1] = df_deepfool_memory(engine);
        assert_int_equal(df_deepfool_batch(engine), 20 * count);
        df_deepfool_destroy(engine);
        i = 0;
        for (struct df_device *d = device; d; d = d->next, i++)
            df_wrapper_take(&wrappers[i], d);
        df_device_close(device);
    }
    assert_int_equal(memory[1], 2 * memory[0]);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margins),           cmocka_unit_test(logits),     cmocka_unit_test(one_fails),
        cmocka_unit_test(one_does_not_open), cmocka_unit_test(no_memory),  cmocka_unit_test(models),
        cmocka_unit_test(host_memory),       cmocka_unit_test(own_memory),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
