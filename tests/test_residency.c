/* SPDX-License-Identifier: Apache-2.0 */
/* The device keeps the slots: kernels/residency.h op by op. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "residency.h"
#include "support_score.h"

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

/* `fresh` new samples take the first holes, the rest is closed: each kept slot is somewhere below the border,
 * once. */
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

/* u8 through the table of its channel, floats as they are, of a whole pool those of the index; the slots of
 * other samples stay. */
static void refill(void **state)
{
    enum { SLOTS = 9, N = 4, CHANNELS = 3, PLANE = 35, D = CHANNELS * PLANE };
    static const int32_t into[N] = {7, 0, 3, 8};
    const double anywhere[N] = {5, 1e12, 0, 77}, within[N] = {1, 3, 3, 0};
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
    for (int kind = 0; kind < 4; kind++) {
        const bool u8 = kind % 2, whole = kind / 2;
        const double *index = whole ? within : anywhere;
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_deepfool_refill, N, PLANE);
        rig.call.p.deepfool = (struct df_deepfool_params){.slots = SLOTS, .size = D, .whole = whole};
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
            const int from = row < 0 || !whole ? row : (int)index[row];
            rig_get(&rig, 0, found);
            for (int j = 0; j < D; j++)
                assert_true(found[s * D + j] == (row < 0 ? x0[s * D + j]
                                                 : u8    ? table[j / PLANE * 256 + raw[from * D + j]]
                                                         : real[from * D + j]));
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(pairs),
        cmocka_unit_test(refill),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
