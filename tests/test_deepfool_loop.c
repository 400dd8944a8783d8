/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker: on a wide device and on another, one worker and several, whatever ends it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/memory.h"
#include "score/deepfool_worker.h"
#include "support_score.h"

struct table_sink {
    struct df_margin_sink sink;
    struct df_margin *margins;
    int64_t count;
};

static dfal_status table_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    struct table_sink *sink = (struct table_sink *)self;
    assert_null(adversarial);
    sink->margins[margin->index] = *margin;
    sink->count++;
    return DFAL_OK;
}

/* Score as on a wide device, which reads ahead and gets large calls, or as on another; block above 0:
 * cotangents of a backward. */
static void score(struct df_device *device, bool wide, const struct df_network *network, struct df_pool *pool,
                  const struct df_deepfool *deepfool, int64_t batch, int64_t block, struct df_margin *margins)
{
    const bool before = device->wide;
    struct dfal_context *context = test_context("ref", 1);
    struct df_deepfool_engine *engine;
    device->wide = wide;
    test_ok(df_deepfool_create(&engine, context, device, network, pool, deepfool, batch, true));
    assert_int_equal(engine->workers[0].chunk_count, wide ? 2 : 1);
    if (block > 0) {
        assert_true(block <= engine->block);
        engine->block = block;
    }
    for (int run = 0; run < (batch == 64 ? 2 : 1); run++) { /* an engine may run more than once */
        struct df_range_source range;
        struct df_row_stream *stream;
        struct table_sink sink = {.sink.put = table_put, .margins = margins};
        df_range_source_init(&range, 0, pool->count, 16);
        test_ok(df_stream_open(&stream, pool, &range.source));
        test_ok(df_deepfool_run(engine, stream, &sink.sink, NULL));
        df_stream_close(stream);
        assert_int_equal(sink.count, pool->count);
    }
    df_deepfool_destroy(engine);
    dfal_context_destroy(context);
    device->wide = before;
}

/* Rows of a pool: more than any call takes, and a few. For `room` twice as many, so that there is much to
 * give up; for `recordings` four times as many, so that every slot is occupied for most iterations. */
enum { N = 67, MANY = 131, LONG = 259 };

struct pools {
    char folder[TEST_PATH];
    struct df_network *network;
    struct df_pool *u8, *f32;
};

static void pools_open(struct pools *p, int64_t rows)
{
    char path[TEST_PATH];
    test_folder_create(p->folder);
    p->network = test_small_network(5, 10);
    test_join(path, p->folder, "u8.h5");
    test_pool_u8(path, rows, p->network->input, 10, 1, NULL);
    test_ok(df_pool_open(&p->u8, NULL, path, NULL));
    const int64_t size = df_shape_size(p->network->input);
    float *x;
    test_ok(df_alloc(&x, rows * size, sizeof *x));
    test_fill_floats(x, rows * size, 9, 0, 1);
    x[3 * size + 4] = NAN;
    x[60 * size] = INFINITY;
    test_join(path, p->folder, "f32.h5");
    test_pool_f32(path, x, rows, p->network->input, 10, NULL);
    test_ok(df_pool_open(&p->f32, NULL, path, NULL));
    df_free(x);
}

static void pools_close(struct pools *p)
{
    df_pool_close(p->u8);
    df_pool_close(p->f32);
    df_network_destroy(p->network);
    test_folder_remove(p->folder);
}

/* Once without reading ahead, and on a wide device with every number of slots; one: a single slot, too, which
 * takes long. */
static void compare(const char *what, struct df_device *device, const struct df_network *network,
                    struct df_pool *pool, const struct df_deepfool *deepfool, int64_t block, bool one)
{
    static const int64_t batches[] = {0, 7, 64, 300, 1};
    struct df_margin *narrow, *wide;
    test_ok(df_alloc(&narrow, pool->count, sizeof *narrow));
    test_ok(df_alloc(&wide, pool->count, sizeof *wide));
    score(device, false, network, pool, deepfool, 50, 0, narrow);
    for (size_t b = 0; b < (one ? 5 : 4); b++) {
        score(device, true, network, pool, deepfool, batches[b], block, wide);
        test_same_margins(what, narrow, wide, pool->count, NULL);
    }
    df_free(narrow);
    df_free(wide);
}

static void presets(void **state)
{
    static const char *const names[] = {"lts4", "paper", "dfal2018", "foolbox", "deepal", "sdf"};
    struct pools p;
    pools_open(&p, N);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct df_deepfool deepfool = test_few_rounds(names[i]);
        compare(names[i], *state, p.network, p.u8, &deepfool, 0, i == 1);
    }
    pools_close(&p);
}

static void norms(void **state)
{
    static const double norms[] = {1, 3, INFINITY};
    struct pools p;
    pools_open(&p, N);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        struct df_deepfool deepfool = test_preset("lts4");
        deepfool.p = norms[i];
        deepfool.max_iter = 12;
        compare("norm", *state, p.network, p.u8, &deepfool, 0, false);
    }
    pools_close(&p);
}

static void variants(void **state)
{
    struct pools p;
    pools_open(&p, N);
    struct df_deepfool deepfool = test_preset("lts4");
    compare("floats", *state, p.network, p.f32, &deepfool, 0, false);
    compare("small backwards", *state, p.network, p.u8, &deepfool, 20, false);
    compare("candidates in pieces", *state, p.network, p.u8, &deepfool, 4, false);
    deepfool.refine = true;
    compare("refined", *state, p.network, p.u8, &deepfool, 0, false);
    deepfool = test_preset("foolbox");
    deepfool.refine = deepfool.units_raw = true;
    compare("refined, clipped, raw units", *state, p.network, p.u8, &deepfool, 0, false);
    deepfool = test_few_rounds("sdf");
    deepfool.units_raw = true;
    compare("rounds, small backwards", *state, p.network, p.u8, &deepfool, 4, false);
    deepfool.max_iter = 3;
    compare("rounds, floats", *state, p.network, p.f32, &deepfool, 0, false);
    deepfool = test_preset("lts4");
    deepfool.max_iter = 1;
    deepfool.classes = 3;
    compare("one step", *state, p.network, p.u8, &deepfool, 0, false);
    deepfool.max_iter = 0;
    compare("no step", *state, p.network, p.f32, &deepfool, 0, false);
    pools_close(&p);
}

/* Every way to end without a flip: ties, no gradient, logits that are not finite. */
static void ends(void **state)
{
    enum { D = 100, K = 3 };
    static const float biases[][K] = {{-3, 2, 1}, {2, 2, 2}, {1, INFINITY, 0}, {NAN, 0, 1}};
    static const uint8_t statuses[] = {DFAL_SCORE_ZERO_GRAD, DFAL_SCORE_TIE, DFAL_SCORE_NONFINITE,
                                       DFAL_SCORE_NONFINITE};
    char folder[TEST_PATH], path[TEST_PATH];
    test_folder_create(folder);
    test_join(path, folder, "pool.h5");
    test_pool_u8(path, 70, (struct df_shape){1, 1, D}, K, 1, NULL);
    struct df_pool *pool;
    test_ok(df_pool_open(&pool, NULL, path, NULL));
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct df_network *network = test_affine_network(NULL, biases[i], K, D);
        const struct df_deepfool deepfool = test_preset("lts4");
        struct df_margin found[70];
        compare("a sample without a margin", *state, network, pool, &deepfool, 0, false);
        score(*state, true, network, pool, &deepfool, 0, 0, found);
        for (int row = 0; row < 70; row++)
            assert_int_equal(found[row].status, statuses[i]);
        df_network_destroy(network);
    }
    df_pool_close(pool);
    test_folder_remove(folder);
}

/* A sink that wants images gets them: the same on a wide device and on another. */
static void images(void **state)
{
    struct df_device *device = *state;
    const bool before = device->wide;
    struct pools p;
    pools_open(&p, N);
    const int64_t size = df_shape_size(p.network->input);
    struct dfal_context *context = test_context("ref", 1);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin narrow[N], wide[N];
    float *a, *b;
    test_ok(df_alloc(&a, N * size, sizeof *a));
    test_ok(df_alloc(&b, N * size, sizeof *b));
    device->wide = false;
    test_engine(context, device, p.network, p.u8, &deepfool, 0, narrow, a);
    device->wide = true;
    test_engine(context, device, p.network, p.u8, &deepfool, 0, wide, b);
    device->wide = before;
    test_same_margins("images", narrow, wide, N, NULL);
    assert_memory_equal(a, b, (size_t)(N * size) * sizeof *a);
    df_free(a);
    df_free(b);
    dfal_context_destroy(context);
    pools_close(&p);
}

/* What a sink has seen when the job is stopped, or when it fails itself, is complete; and the engine still
 * works. */
struct stop_sink {
    struct df_margin_sink sink;
    struct dfal_context *context;
    struct df_margin *margins;
    int64_t count, stop_at, fail_at;
};

static dfal_status stop_put(struct df_margin_sink *self, const struct df_margin *margin,
                            const float *adversarial)
{
    (void)adversarial;
    struct stop_sink *sink = (struct stop_sink *)self;
    if (sink->count == sink->fail_at)
        DF_FAIL(DFAL_E_IO, "the sink is full");
    sink->margins[sink->count++] = *margin;
    if (sink->count == sink->stop_at)
        dfal_context_stop(sink->context);
    return DFAL_OK;
}

static void stopped(void **state)
{
    struct df_device *device = *state;
    const bool before = device->wide;
    struct pools p;
    pools_open(&p, N);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin all[N], seen[N];
    score(device, true, p.network, p.u8, &deepfool, 40, 0, all);
    device->wide = true;
    for (int fails = 0; fails < 2; fails++) {
        struct dfal_context *context = test_context("ref", 1);
        struct df_deepfool_engine *engine;
        struct df_range_source range;
        struct df_row_stream *stream;
        struct stop_sink sink = {.sink.put = stop_put,
                                 .context = context,
                                 .margins = seen,
                                 .stop_at = fails ? -1 : 50,
                                 .fail_at = fails ? 50 : -1};
        test_ok(df_deepfool_create(&engine, context, device, p.network, p.u8, &deepfool, 40, true));
        df_range_source_init(&range, 0, N, 16);
        test_ok(df_stream_open(&stream, p.u8, &range.source));
        test_error(df_deepfool_run(engine, stream, &sink.sink, NULL), fails ? DFAL_E_IO : DFAL_E_STOPPED,
                   fails ? "full" : "stopped");
        df_stream_close(stream);
        df_deepfool_destroy(engine);
        assert_true(sink.count >= 50 && sink.count < N);
        for (int64_t i = 0; i < sink.count; i++)
            test_same_margins("before the stop", &all[seen[i].index], &seen[i], 1, NULL);
        dfal_context_destroy(context);
    }
    device->wide = before;
    pools_close(&p);
}

/* Several workers share a stream: the same results and images however many there are, more of them than rows,
 * too. One whose sink fails stops the others. */
static void several_workers(void **state)
{
    struct df_device *const one = *state;
    struct df_device *device;
    struct pools p;
    if (strcmp(one->info.backend, "ref") != 0 && strcmp(one->info.backend, "cpu") != 0)
        return; /* what a shared object is called does not open it */
    test_ok(df_device_open(&device, one->info.backend, "auto", 4));
    pools_open(&p, N);
    const int64_t size = df_shape_size(p.network->input);
    struct dfal_context *context = test_context("ref", 1);
    struct df_margin alone[N], found[N];
    float *a, *b;
    test_ok(df_alloc(&a, N * size, sizeof *a));
    test_ok(df_alloc(&b, N * size, sizeof *b));
    static const int64_t batches[] = {0, 4, 7, 64};
    static const char *const names[] = {"lts4", "paper", "sdf"};
    for (int preset = 0; preset < 3; preset++) {
        const struct df_deepfool deepfool = test_few_rounds(names[preset]);
        for (int f32 = 0; f32 < 2; f32++) {
            struct df_pool *pool = f32 ? p.f32 : p.u8;
            test_engine(context, one, p.network, pool, &deepfool, 0, alone, a);
            for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
                memset(b, 0, (size_t)(N * size) * sizeof *b);
                test_engine(context, device, p.network, pool, &deepfool, batches[i], found, b);
                test_same_margins("several workers", alone, found, N, NULL);
                for (int64_t row = 0; row < N; row++)
                    if (alone[row].status <= DFAL_SCORE_TIE)
                        assert_memory_equal(a + row * size, b + row * size, (size_t)size * sizeof *a);
            }
        }
    }
    const struct df_deepfool deepfool = test_preset("lts4");
    for (int fails = 0; fails < 2; fails++) {
        struct df_deepfool_engine *engine;
        struct df_range_source range;
        struct df_row_stream *stream;
        struct stop_sink sink = {.sink.put = stop_put,
                                 .context = context,
                                 .margins = found,
                                 .stop_at = -1,
                                 .fail_at = fails ? 60 : -1};
        test_ok(df_deepfool_create(&engine, context, device, p.network, p.u8, &deepfool, 40, true));
        df_range_source_init(&range, 0, fails ? N : 3, 16);
        test_ok(df_stream_open(&stream, p.u8, &range.source));
        if (fails)
            test_error(df_deepfool_run(engine, stream, &sink.sink, NULL), DFAL_E_IO, "full");
        else
            test_ok(df_deepfool_run(engine, stream, &sink.sink, NULL));
        df_stream_close(stream);
        df_deepfool_destroy(engine);
        assert_int_equal(sink.count, fails ? 60 : 3);
    }
    df_free(a);
    df_free(b);
    dfal_context_destroy(context);
    pools_close(&p);
    df_device_close(device);
}

/* Every n-th allocation fails once; and once an engine has run, another run takes no memory. */
struct count_sink {
    struct df_margin_sink sink;
    int64_t first, last;
};

static dfal_status count_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    (void)margin;
    (void)adversarial;
    struct count_sink *sink = (struct count_sink *)self;
    sink->last = df_alloc_total();
    sink->first = sink->first < 0 ? sink->last : sink->first;
    return DFAL_OK;
}

static dfal_status run_twice(struct df_device *device, const struct pools *p, struct dfal_context *context)
{
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_deepfool_engine *engine;
    struct df_row_stream *stream = NULL;
    dfal_status status = df_deepfool_create(&engine, context, device, p->network, p->u8, &deepfool, 16, true);
    for (int run = 0; run < 2 && status == DFAL_OK; run++) {
        struct count_sink sink = {.sink.put = count_put, .first = -1};
        struct df_range_source range;
        df_range_source_init(&range, 0, 50, 16);
        status = df_stream_open(&stream, p->u8, &range.source);
        if (status == DFAL_OK)
            status = df_deepfool_run(engine, stream, &sink.sink, NULL);
        df_stream_close(stream);
        if (run == 1 && status == DFAL_OK)
            assert_int_equal(sink.first, sink.last);
    }
    df_deepfool_destroy(engine);
    return status;
}

static void memory(void **state)
{
    struct df_device *device = *state;
    const bool before = device->wide;
    struct pools p;
    pools_open(&p, N);
    struct dfal_context *context = test_context("ref", 1);
    int64_t done_without = 0;
    device->wide = true;
    test_ok(run_twice(device, &p, context)); /* what a device makes on first use stays */
    for (int64_t n = 1;; n++) {
        const int64_t live = df_alloc_live();
        df_fault_arm(DF_FAULT_ALLOC, n);
        const dfal_status status = run_twice(device, &p, context);
        const bool hit = df_fault_seen(DF_FAULT_ALLOC) >= n;
        df_fault_arm(DF_FAULT_ALLOC, 0);
        if (df_alloc_live() != live)
            test_fail("allocation %lld fails: %lld are left behind", (long long)n,
                      (long long)(df_alloc_live() - live));
        if (hit && status == DFAL_OK)
            done_without++;
        else
            assert_int_equal(status, hit ? DFAL_E_MEMORY : DFAL_OK);
        if (!hit)
            break;
    }
    /* A look that cannot be recorded is run call by call: the one allocation that a job can do without. */
    assert_int_equal(done_without, device->backend->record_begin != NULL);
    device->wide = before;
    dfal_context_destroy(context);
    pools_close(&p);
}

/* While every slot is occupied, a device that has recordings looks by one: each iteration is a recorded look
 * or an eager one, and the results are those of eager looks alone. */
static struct {
    const struct df_backend *inner;
    int64_t looks, recorded;
} seen;

static dfal_status seen_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    seen.looks += call->op == DF_OP_deepfool_observe;
    return seen.inner->run(device, queue, call);
}

static dfal_status seen_record_run(struct df_device *device, int32_t queue, struct df_recording *recording)
{
    seen.recorded++;
    return seen.inner->record_run(device, queue, recording);
}

static void recordings(void **state)
{
    struct df_device *device = *state;
    struct df_backend own = *device->backend;
    struct pools p;
    pools_open(&p, LONG);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin eager[LONG], found[LONG];
    struct df_recording *none = NULL;
    bool has;
    test_ok(df_record_begin(device, 0, &has));
    if (has) {
        test_ok(device->backend->record_end(device, 0, &none));
        device->backend->record_destroy(device, none);
    }
    seen.inner = device->backend;
    own.run = seen_run;
    own.record_run = seen_record_run;
    device->backend = &own;
    for (int64_t batch = 16; batch <= 64; batch += 48) { /* 64: runs twice, and records once */
        own.record_begin = NULL;
        seen.looks = seen.recorded = 0;
        score(device, true, p.network, p.u8, &deepfool, batch, 0, eager);
        const int64_t iterations = seen.looks;
        assert_int_equal(seen.recorded, 0);
        own.record_begin = seen.inner->record_begin;
        seen.looks = 0;
        score(device, true, p.network, p.u8, &deepfool, batch, 0, found);
        test_same_margins("recorded", eager, found, LONG, NULL);
        /* while it is recorded, a look is queued and not run */
        assert_int_equal(seen.looks - has + seen.recorded, iterations);
        assert_true(seen.recorded > (has ? iterations / 4 : -1));
    }
    device->backend = seen.inner;
    pools_close(&p);
}

/* A device with memory of its own: slots and cotangents follow what is free there, results do not. */
static int64_t memory_there;

static int64_t pretend_memory(struct df_device *device)
{
    (void)device;
    return memory_there;
}

static void room(void **state)
{
    struct df_device *device = *state;
    const struct df_backend *const backend = device->backend;
    struct df_backend own = *backend;
    const bool before = device->wide, own_memory = device->own_memory;
    struct pools p;
    pools_open(&p, MANY);
    struct dfal_context *context = test_context("ref", 1);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_deepfool_engine *engine;
    struct df_margin all[MANY], some[MANY];
    score(device, true, p.network, p.u8, &deepfool, 0, 0, all);
    own.memory_free = pretend_memory;
    device->backend = &own;
    device->wide = device->own_memory = true;
    int64_t slots = MANY + 1, cotangents = 9 * MANY + 1;
    for (memory_there = INT64_C(1) << 30; memory_there > 0; memory_there -= memory_there / 16) {
        const dfal_status status =
            df_deepfool_create(&engine, context, device, p.network, p.u8, &deepfool, 0, true);
        if (status != DFAL_OK) {
            assert_int_equal(status, DFAL_E_MEMORY);
            assert_non_null(strstr(dfal_last_error(), "one sample in flight needs"));
            break;
        }
        assert_true(engine->slots >= 1 && engine->slots <= slots);
        assert_true(engine->block >= 1 && engine->block <= cotangents);
        /* What is free does not count what the plan has taken. */
        struct df_plan_memory plan;
        df_plan_memory(engine->plan, &plan);
        assert_true(engine->memory - plan.shared <= memory_there);
        if (memory_there == INT64_C(1) << 30)
            assert_true(engine->slots == MANY && engine->block >= 9 * MANY);
        slots = engine->slots;
        cotangents = engine->block;
        df_deepfool_destroy(engine);
        if (slots > 1 && slots < MANY && cotangents < 64)
            break;
    }
    assert_true(memory_there > 0 && slots < MANY);
    memory_there += memory_there / 8;
    score(device, true, p.network, p.u8, &deepfool, 0, 0, some);
    test_same_margins("little memory", all, some, MANY, NULL);
    test_error(df_deepfool_create(&engine, context, device, p.network, p.u8, &deepfool, 100000, true),
               DFAL_E_MEMORY, "this `batch` needs");
    device->backend = backend;
    device->wide = before;
    device->own_memory = own_memory;
    dfal_context_destroy(context);
    pools_close(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets),         cmocka_unit_test(norms),
        cmocka_unit_test(variants),        cmocka_unit_test(ends),
        cmocka_unit_test(images),          cmocka_unit_test(stopped),
        cmocka_unit_test(several_workers), cmocka_unit_test(memory),
        cmocka_unit_test(recordings),      cmocka_unit_test(room),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
