/* SPDX-License-Identifier: Apache-2.0 */
/* A wide device keeps the slots itself: kernels/residency.h op by op, then the bits of both loops. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/memory.h"
#include "residency.h"
#include "score/lane.h"
#include "support_score.h"

/* ---- Ops ------------------------------------------------------------------------------------ */

static const int32_t status_of[] = {DF_SLOT_ACTIVE,    DF_FINAL_OK,        DF_SLOT_REFINING, DF_SLOT_ACTIVE,
                                    DF_FINAL_MAX_ITER, DF_FINAL_ZERO_GRAD, DF_SLOT_FRESH,    DF_FINAL_TIE,
                                    DF_SLOT_ACTIVE,    DF_FINAL_NONFINITE};

struct slots {
    struct df_deepfool_params params;
    int32_t *state, *counts, *offsets, *totals, *active, *kept, *empty;
    double *number, *record;
    int64_t groups;
};

/* Seeded statuses; rows and results by slot. Some runs of slots are all active, some all finished. */
static void slots_open(struct slots *s, int32_t slots, int32_t occupied, uint64_t seed)
{
    *s = (struct slots){.params = {.slots = slots, .occupied = occupied, .candidates = 3, .size = 5}};
    s->groups = df_slot_groups(&s->params);
    test_ok(df_alloc(&s->state, (int64_t)slots * DF_SLOT_INTS, sizeof *s->state));
    test_ok(df_alloc(&s->number, (int64_t)slots * DF_SLOT_NUMBERS, sizeof *s->number));
    test_ok(df_alloc(&s->counts, s->groups * DF_COUNTS, sizeof *s->counts));
    test_ok(df_alloc(&s->offsets, s->groups * DF_COUNTS, sizeof *s->offsets));
    test_ok(df_alloc(&s->totals, DF_TOTALS, sizeof *s->totals));
    test_ok(df_alloc(&s->active, slots, sizeof *s->active));
    test_ok(df_alloc(&s->kept, slots, sizeof *s->kept));
    test_ok(df_alloc(&s->empty, slots, sizeof *s->empty));
    test_ok(df_alloc(&s->record, (int64_t)slots * DF_RECORD_NUMBERS, sizeof *s->record));
    float *draw;
    test_ok(df_alloc(&draw, slots, sizeof *draw));
    test_fill_floats(draw, slots, seed, 0, 10);
    for (int32_t i = 0; i < slots; i++) {
        const int32_t group = i / 64 % 10;
        int32_t *state = s->state + (int64_t)i * DF_SLOT_INTS;
        double *number = s->number + (int64_t)i * DF_SLOT_NUMBERS;
        state[DF_SLOT_STATUS] = group == 3   ? (int32_t)DF_SLOT_ACTIVE
                                : group == 7 ? (int32_t)DF_FINAL_OK
                                             : status_of[(int)draw[i] % 10];
        state[DF_SLOT_LABEL] = i % 11;
        state[DF_SLOT_ADVERSARIAL] = i % 7 - 1;
        state[DF_SLOT_ITERATIONS] = i % 51;
        number[DF_SLOT_GAP] = i + 0.25;
        number[DF_SLOT_MARGIN] = i % 5 ? i + 0.5 : (double)INFINITY;
        number[DF_SLOT_FIRST] = i + 0.75;
        number[DF_SLOT_ROW] = 1e10 + i;
    }
    df_free(draw);
}

static void slots_close(struct slots *s)
{
    void *all[] = {s->state, s->counts, s->offsets, s->totals, s->active,
                   s->kept,  s->empty,  s->number,  s->record};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        df_free(all[i]);
}

static void run_count(struct slots *s, struct df_device *device)
{
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_deepfool_count, s->groups, 0);
    rig.call.p.deepfool = s->params;
    rig_out(&rig, 0, DF_TYPE_I32, NULL, s->groups * DF_COUNTS);
    rig_in(&rig, 0, DF_TYPE_I32, s->state, (int64_t)s->params.slots * DF_SLOT_INTS);
    rig_run(&rig);
    rig_get(&rig, 0, s->counts);
    rig_end(&rig);
}

static void run_offsets(struct slots *s, struct df_device *device)
{
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_deepfool_offsets, 1, 0);
    rig.call.p.deepfool = s->params;
    rig_out(&rig, 0, DF_TYPE_I32, NULL, s->groups * DF_COUNTS);
    rig_out(&rig, 1, DF_TYPE_I32, NULL, DF_TOTALS);
    rig_in(&rig, 0, DF_TYPE_I32, s->counts, s->groups * DF_COUNTS);
    rig_run(&rig);
    rig_get(&rig, 0, s->offsets);
    rig_get(&rig, 1, s->totals);
    rig_end(&rig);
}

/* The lists and records begin as they are in s. */
static void run_settle(struct slots *s, struct df_device *device)
{
    const int64_t slots = s->params.slots;
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_deepfool_settle, s->groups, 0);
    rig.call.p.deepfool = s->params;
    rig_out(&rig, 0, DF_TYPE_I32, s->active, slots);
    rig_out(&rig, 1, DF_TYPE_I32, s->kept, slots);
    rig_out(&rig, 2, DF_TYPE_I32, s->empty, slots);
    rig_out(&rig, 3, DF_TYPE_F64, s->record, slots * DF_RECORD_NUMBERS);
    rig_in(&rig, 0, DF_TYPE_I32, s->state, slots * DF_SLOT_INTS);
    rig_in(&rig, 1, DF_TYPE_F64, s->number, slots * DF_SLOT_NUMBERS);
    rig_in(&rig, 2, DF_TYPE_I32, s->offsets, s->groups * DF_COUNTS);
    rig_run(&rig);
    rig_get(&rig, 0, s->active);
    rig_get(&rig, 1, s->kept);
    rig_get(&rig, 2, s->empty);
    rig_get(&rig, 3, s->record);
    rig_end(&rig);
}

static void expect_lists(const struct slots *s)
{
    const int32_t slots = s->params.slots, occupied = s->params.occupied;
    int32_t active = 0, kept = 0, empty = 0, records = 0;
    for (int32_t i = 0; i < slots; i++) {
        const int32_t *state = s->state + (int64_t)i * DF_SLOT_INTS;
        const double *number = s->number + (int64_t)i * DF_SLOT_NUMBERS;
        if (i < occupied && state[DF_SLOT_STATUS] >= DF_SLOT_REFINING) {
            assert_int_equal(s->kept[kept++], i);
            if (state[DF_SLOT_STATUS] == DF_SLOT_ACTIVE)
                assert_int_equal(s->active[active++], i);
            continue;
        }
        assert_int_equal(s->empty[empty++], i);
        if (i >= occupied)
            continue;
        const double *record = s->record + (int64_t)records++ * DF_RECORD_NUMBERS;
        assert_true(record[DF_RECORD_ROW] == number[DF_SLOT_ROW]);
        assert_true(record[DF_RECORD_MARGIN] == number[DF_SLOT_MARGIN]);
        assert_true(record[DF_RECORD_FIRST] == number[DF_SLOT_FIRST]);
        assert_true(record[DF_RECORD_GAP] == number[DF_SLOT_GAP]);
        assert_true(record[DF_RECORD_STATUS] == state[DF_SLOT_STATUS]);
        assert_true(record[DF_RECORD_LABEL] == state[DF_SLOT_LABEL]);
        assert_true(record[DF_RECORD_ADVERSARIAL] == state[DF_SLOT_ADVERSARIAL]);
        assert_true(record[DF_RECORD_ITERATIONS] == state[DF_SLOT_ITERATIONS]);
    }
    assert_int_equal(s->totals[DF_COUNT_ACTIVE], active);
    assert_int_equal(s->totals[DF_COUNT_FREE], empty);
    /* what lies behind a list stays as it was */
    for (int32_t i = active; i < slots; i++)
        assert_int_equal(s->active[i], 0);
    for (int32_t i = kept; i < slots; i++)
        assert_int_equal(s->kept[i], 0);
    for (int64_t i = (int64_t)records * DF_RECORD_NUMBERS; i < (int64_t)slots * DF_RECORD_NUMBERS; i++)
        assert_true(s->record[i] == 0);
}

static const struct {
    int32_t slots, occupied;
} extents[] = {{1, 0},    {1, 1},       {63, 63},     {256, 50},    {257, 257},
               {300, 17}, {2048, 2048}, {2049, 2049}, {8191, 7999}, {40000, 39987}};
enum { EXTENTS = sizeof extents / sizeof *extents };

static void lists(void **state)
{
    for (size_t e = 0; e < EXTENTS; e++) {
        struct slots s;
        slots_open(&s, extents[e].slots, extents[e].occupied, e);
        run_count(&s, *state);
        run_offsets(&s, *state);
        run_settle(&s, *state);
        expect_lists(&s);
        slots_close(&s);
    }
}

/* `fresh` new samples take the first holes, the rest is closed: each kept slot is somewhere below the border, once. */
static void expect_pairs(struct slots *s, struct df_device *device, int32_t fresh)
{
    const int32_t kept = s->params.slots - s->totals[DF_COUNT_FREE], border = kept + fresh;
    const int32_t holes = s->params.occupied - border;
    int32_t *pairs, *seen;
    test_ok(df_alloc(&pairs, 2 * (int64_t)holes, sizeof *pairs));
    test_ok(df_alloc(&seen, border, sizeof *seen));
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_deepfool_pair, 1, holes);
    rig.call.p.deepfool = s->params;
    rig.call.p.deepfool.occupied = border;
    rig.call.p.deepfool.kept = kept;
    rig_out(&rig, 0, DF_TYPE_I32, NULL, 2 * (int64_t)holes);
    rig_in(&rig, 0, DF_TYPE_I32, s->empty + fresh, holes);
    rig_in(&rig, 1, DF_TYPE_I32, s->kept, kept);
    rig_run(&rig);
    rig_get(&rig, 0, pairs);
    rig_end(&rig);
    for (int32_t i = 0; i < fresh; i++)
        seen[s->empty[i]]++;
    for (int32_t i = 0; i < kept && s->kept[i] < border; i++)
        seen[s->kept[i]]++;
    for (int32_t i = 0; i < holes; i++) {
        const int32_t from = pairs[2 * i], to = pairs[2 * i + 1];
        assert_int_equal(to, s->empty[fresh + i]);
        if (to >= border) {
            assert_int_equal(from, to);
            continue;
        }
        assert_true(from >= border);
        assert_true(s->state[(int64_t)from * DF_SLOT_INTS + DF_SLOT_STATUS] >= DF_SLOT_REFINING);
        s->state[(int64_t)from * DF_SLOT_INTS + DF_SLOT_STATUS] = DF_SLOT_EMPTY - 1000; /* taken */
        seen[to]++;
    }
    for (int32_t i = 0; i < border; i++)
        assert_int_equal(seen[i], 1);
    df_free(pairs);
    df_free(seen);
}

static void pairs(void **state)
{
    for (size_t e = 0; e < EXTENTS; e++)
        for (int part = 0; part < 4; part++) {
            struct slots s;
            slots_open(&s, extents[e].slots, extents[e].occupied, 20 + e);
            run_count(&s, *state);
            run_offsets(&s, *state);
            run_settle(&s, *state);
            const int32_t finished = s.params.occupied - (s.params.slots - s.totals[DF_COUNT_FREE]);
            const int32_t fresh = part * finished / 4;
            if (finished > fresh && s.params.slots > s.totals[DF_COUNT_FREE])
                expect_pairs(&s, *state, fresh);
            slots_close(&s);
        }
}

/* u8 through the table of its channel, floats as they are; the slots of other samples stay. */
static void refill(void **state)
{
    enum { SLOTS = 9, N = 4, CHANNELS = 3, PLANE = 35, D = CHANNELS * PLANE };
    static const int32_t into[N] = {7, 0, 3, 8};
    const double index[N] = {5, 1e12, 0, 77};
    float table[CHANNELS * 256], real[N * D], x0[SLOTS * D], r[SLOTS * D], found[SLOTS * D];
    uint8_t raw[N * D];
    int32_t ints[SLOTS * DF_SLOT_INTS], found_ints[SLOTS * DF_SLOT_INTS];
    double numbers[SLOTS * DF_SLOT_NUMBERS], found_numbers[SLOTS * DF_SLOT_NUMBERS];
    test_fill_floats(table, CHANNELS * 256, 1, -1, 1);
    test_fill_floats(real, N * D, 2, 0, 255.99f);
    test_fill_floats(x0, SLOTS * D, 3, -1, 1);
    test_fill_floats(r, SLOTS * D, 4, -1, 1);
    for (int i = 0; i < N * D; i++)
        raw[i] = (uint8_t)real[i];
    for (int i = 0; i < SLOTS * DF_SLOT_INTS; i++)
        ints[i] = 1000 + i;
    for (int i = 0; i < SLOTS * DF_SLOT_NUMBERS; i++)
        numbers[i] = 2000 + i;
    for (int u8 = 0; u8 < 2; u8++) {
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_deepfool_refill, N, PLANE);
        rig.call.p.deepfool = (struct df_deepfool_params){.slots = SLOTS, .size = D};
        rig_out(&rig, 0, DF_TYPE_REAL, x0, SLOTS * D);
        rig_out(&rig, 1, DF_TYPE_REAL, r, SLOTS * D);
        rig_out(&rig, 2, DF_TYPE_I32, ints, SLOTS * DF_SLOT_INTS);
        rig_out(&rig, 3, DF_TYPE_F64, numbers, SLOTS * DF_SLOT_NUMBERS);
        rig_in(&rig, 0, u8 ? DF_TYPE_U8 : DF_TYPE_REAL, u8 ? (void *)raw : (void *)real, N * D);
        rig_in(&rig, 1, DF_TYPE_F64, index, N);
        rig_in(&rig, 2, DF_TYPE_I32, into, N);
        if (u8)
            rig_in(&rig, 3, DF_TYPE_REAL, table, CHANNELS * 256);
        rig_run(&rig);
        rig_get(&rig, 2, found_ints);
        rig_get(&rig, 3, found_numbers);
        for (int s = 0; s < SLOTS; s++) {
            int row = -1;
            for (int i = 0; i < N; i++)
                row = into[i] == s ? i : row;
            rig_get(&rig, 0, found);
            for (int j = 0; j < D; j++)
                assert_true(found[s * D + j] == (row < 0 ? x0[s * D + j]
                                                 : u8    ? table[j / PLANE * 256 + raw[row * D + j]]
                                                         : real[row * D + j]));
            rig_get(&rig, 1, found);
            for (int j = 0; j < D; j++)
                assert_true(found[s * D + j] == (row < 0 ? r[s * D + j] : 0));
            const int32_t *i = found_ints + s * DF_SLOT_INTS;
            const double *n = found_numbers + s * DF_SLOT_NUMBERS;
            if (row < 0) {
                assert_memory_equal(i, ints + s * DF_SLOT_INTS, DF_SLOT_INTS * sizeof *i);
                assert_memory_equal(n, numbers + s * DF_SLOT_NUMBERS, DF_SLOT_NUMBERS * sizeof *n);
            } else {
                assert_int_equal(i[DF_SLOT_STATUS], DF_SLOT_FRESH);
                assert_int_equal(i[DF_SLOT_ITERATIONS], 0);
                assert_int_equal(i[DF_SLOT_LABEL], -1);
                assert_true(n[DF_SLOT_ROW] == index[row] && n[DF_SLOT_POINT] == 0);
                assert_true(isinf(n[DF_SLOT_FIRST]));
            }
        }
        rig_end(&rig);
    }
}

/* ---- The loop ------------------------------------------------------------------------------- */

struct table_sink {
    struct df_sink sink;
    struct df_margin *margins;
    int64_t count;
};

static dfal_status table_put(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    struct table_sink *sink = (struct table_sink *)self;
    assert_null(adversarial);
    sink->margins[margin->index] = *margin;
    sink->count++;
    return DFAL_OK;
}

/* Score with the lane's loop or with the resident one, as on a wide device both; block above 0: cotangents of a
 * backward. */
static void score(struct df_device *device, bool resident, const struct df_network *network,
                  struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch, int64_t block,
                  struct df_margin *margins)
{
    const bool before = device->wide;
    struct dfal_context *context = test_context("ref", 1);
    struct df_deepfool_engine *engine;
    device->wide = true;
    test_ok(df_deepfool_create(&engine, context, device, network, pool, deepfool, batch, true));
    assert_non_null(engine->resident);
    if (block > 0) {
        assert_true(block <= engine->block);
        engine->block = block;
    }
    struct df_resident *const own = engine->resident;
    if (!resident)
        engine->resident = NULL;
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
    engine->resident = own;
    df_deepfool_destroy(engine);
    dfal_context_destroy(context);
    device->wide = before;
}

enum { N = 171 };

struct pools {
    char folder[TEST_PATH];
    struct df_network *network;
    struct df_pool *u8, *f32;
};

static void pools_open(struct pools *p)
{
    char path[TEST_PATH];
    test_folder_create(p->folder);
    p->network = test_small_network(5, 10);
    test_join(path, p->folder, "u8.h5");
    test_pool_u8(path, N, p->network->input, 10, 1, NULL);
    test_ok(df_pool_open(&p->u8, NULL, path, NULL));
    const int64_t size = df_shape_size(p->network->input);
    float *x;
    test_ok(df_alloc(&x, N * size, sizeof *x));
    test_fill_floats(x, N * size, 9, 0, 1);
    x[3 * size + 4] = NAN;
    x[150 * size] = INFINITY;
    test_join(path, p->folder, "f32.h5");
    test_pool_f32(path, x, N, p->network->input, 10, NULL);
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

/* The lane's loop once, the resident one for every number of slots; one: for a single slot, too, which takes long. */
static void compare(const char *what, struct df_device *device, const struct df_network *network,
                    struct df_pool *pool, const struct df_deepfool *deepfool, int64_t block, bool one)
{
    static const int64_t batches[] = {0, 7, 64, 300, 1};
    struct df_margin *lane, *resident;
    test_ok(df_alloc(&lane, pool->count, sizeof *lane));
    test_ok(df_alloc(&resident, pool->count, sizeof *resident));
    score(device, false, network, pool, deepfool, 50, 0, lane);
    for (size_t b = 0; b < (one ? 5 : 4); b++) {
        score(device, true, network, pool, deepfool, batches[b], block, resident);
        test_same_margins(what, lane, resident, pool->count, NULL);
    }
    df_free(lane);
    df_free(resident);
}

static void presets(void **state)
{
    static const char *const names[] = {"lts4", "paper", "dfal2018", "foolbox", "deepal"};
    struct pools p;
    pools_open(&p);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct df_deepfool deepfool = test_preset(names[i]);
        compare(names[i], *state, p.network, p.u8, &deepfool, 0, i == 1);
    }
    pools_close(&p);
}

static void norms(void **state)
{
    static const double norms[] = {1, 3, INFINITY};
    struct pools p;
    pools_open(&p);
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
    pools_open(&p);
    struct df_deepfool deepfool = test_preset("lts4");
    compare("floats", *state, p.network, p.f32, &deepfool, 0, false);
    compare("small backwards", *state, p.network, p.u8, &deepfool, 20, false);
    compare("candidates in pieces", *state, p.network, p.u8, &deepfool, 4, false);
    deepfool.refine = true;
    compare("refined", *state, p.network, p.u8, &deepfool, 0, false);
    deepfool = test_preset("foolbox");
    deepfool.refine = deepfool.units_raw = true;
    compare("refined, clipped, raw units", *state, p.network, p.u8, &deepfool, 0, false);
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

/* A sink that wants images gets them, from the lane's loop. */
static void images(void **state)
{
    struct df_device *device = *state;
    const bool before = device->wide;
    struct pools p;
    pools_open(&p);
    const int64_t size = df_shape_size(p.network->input);
    struct dfal_context *context = test_context("ref", 1);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin lane[N], wide[N];
    float *a, *b;
    test_ok(df_alloc(&a, N * size, sizeof *a));
    test_ok(df_alloc(&b, N * size, sizeof *b));
    device->wide = false;
    test_engine(context, device, p.network, p.u8, &deepfool, 0, lane, a);
    device->wide = true;
    test_engine(context, device, p.network, p.u8, &deepfool, 0, wide, b);
    device->wide = before;
    test_same_margins("images", lane, wide, N, NULL);
    assert_memory_equal(a, b, (size_t)(N * size) * sizeof *a);
    df_free(a);
    df_free(b);
    dfal_context_destroy(context);
    pools_close(&p);
}

/* What a sink has seen when the job is stopped, or when it fails itself, is complete; and the engine still works. */
struct stop_sink {
    struct df_sink sink;
    struct dfal_context *context;
    struct df_margin *margins;
    int64_t count, stop_at, fail_at;
};

static dfal_status stop_put(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
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
    pools_open(&p);
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
                                 .stop_at = fails ? -1 : 100,
                                 .fail_at = fails ? 100 : -1};
        test_ok(df_deepfool_create(&engine, context, device, p.network, p.u8, &deepfool, 40, true));
        df_range_source_init(&range, 0, N, 16);
        test_ok(df_stream_open(&stream, p.u8, &range.source));
        test_error(df_deepfool_run(engine, stream, &sink.sink, NULL), fails ? DFAL_E_IO : DFAL_E_STOPPED,
                   fails ? "full" : "stopped");
        df_stream_close(stream);
        df_deepfool_destroy(engine);
        assert_true(sink.count >= 100 && sink.count < N);
        for (int64_t i = 0; i < sink.count; i++)
            test_same_margins("before the stop", &all[seen[i].index], &seen[i], 1, NULL);
        dfal_context_destroy(context);
    }
    device->wide = before;
    pools_close(&p);
}

/* Every n-th allocation fails once; and once an engine has run, another run takes no memory. */
struct count_sink {
    struct df_sink sink;
    int64_t first, last;
};

static dfal_status count_put(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
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
    pools_open(&p);
    struct dfal_context *context = test_context("ref", 1);
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
        assert_int_equal(status, hit ? DFAL_E_MEMORY : DFAL_OK);
        if (!hit)
            break;
    }
    device->wide = before;
    dfal_context_destroy(context);
    pools_close(&p);
}

/* While every slot is occupied, a device that has recordings looks by one: each iteration is a recorded look or an eager
 * one, and the results are those of eager looks alone. */
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
    pools_open(&p);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_margin eager[N], found[N];
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
        test_same_margins("recorded", eager, found, N, NULL);
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
    pools_open(&p);
    struct dfal_context *context = test_context("ref", 1);
    const struct df_deepfool deepfool = test_preset("lts4");
    struct df_deepfool_engine *engine;
    struct df_margin all[N], some[N];
    score(device, true, p.network, p.u8, &deepfool, 0, 0, all);
    own.memory_free = pretend_memory;
    device->backend = &own;
    device->wide = device->own_memory = true;
    int64_t slots = N + 1, cotangents = 9 * N + 1;
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
            assert_true(engine->slots == N && engine->block >= 9 * N);
        slots = engine->slots;
        cotangents = engine->block;
        df_deepfool_destroy(engine);
        if (slots > 1 && slots < N && cotangents < 64)
            break;
    }
    assert_true(memory_there > 0 && slots < N);
    memory_there += memory_there / 8;
    score(device, true, p.network, p.u8, &deepfool, 0, 0, some);
    test_same_margins("little memory", all, some, N, NULL);
    test_error(df_deepfool_create(&engine, context, device, p.network, p.u8, &deepfool, 100000, true),
               DFAL_E_MEMORY, "this --batch needs");
    device->backend = backend;
    device->wide = before;
    device->own_memory = own_memory;
    dfal_context_destroy(context);
    pools_close(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),   cmocka_unit_test(pairs),      cmocka_unit_test(refill),
        cmocka_unit_test(presets), cmocka_unit_test(norms),      cmocka_unit_test(variants),
        cmocka_unit_test(ends),    cmocka_unit_test(images),     cmocka_unit_test(stopped),
        cmocka_unit_test(memory),  cmocka_unit_test(recordings), cmocka_unit_test(room),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
