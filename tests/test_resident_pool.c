/* SPDX-License-Identifier: Apache-2.0 */
/* A pool whose rows are on the device: the margins are those of rows that are read, to the bit, whichever
 * rows are asked for and in whatever order. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "score/resident_pool.h"
#include "support_score.h"

enum { N = 137, CLASSES = 10, PICKED = 61, PIXELS = 100 };

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

struct table_sink {
    struct df_margin_sink sink;
    struct df_margin *margins;
    int64_t count;
};

static dfal_status table_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    struct table_sink *sink = (struct table_sink *)self;
    (void)adversarial;
    sink->margins[margin->index] = *margin;
    sink->count++;
    return DFAL_OK;
}

/* Rows of a list, by their numbers alone where they are on the device. */
static void score_list(struct world *w, struct df_device *device, bool resident, const int64_t *rows,
                       struct df_margin *margins)
{
    struct df_deepfool_engine *engine;
    struct df_row_stream *stream;
    struct df_list_source list;
    struct table_sink sink = {.sink.put = table_put, .margins = margins};
    test_ok(df_deepfool_create(&engine, w->context, device, w->network, w->pool, &w->deepfool, 16, true));
    assert_true(df_deepfool_wants_rows(engine) == !resident);
    df_list_source_init(&list, rows, PICKED);
    list.source.numbers = resident;
    test_ok(df_stream_open(&stream, w->pool, &list.source));
    test_ok(df_deepfool_run(engine, stream, &sink.sink, NULL));
    assert_int_equal(sink.count, PICKED);
    df_stream_close(stream);
    df_deepfool_destroy(engine);
}

/* All rows with their adversarial images, and some of them backwards. */
static void compare(struct world *w, struct df_device *device)
{
    struct df_margin all[2][N], some[2][N];
    float images[2][N * PIXELS];
    int64_t rows[PICKED];
    struct df_resident_pool *resident = NULL;
    memset(images, 0, sizeof images);
    memset(some, 0, sizeof some);
    for (int64_t i = 0; i < PICKED; i++)
        rows[i] = N - 1 - 2 * i;
    for (int kept = 0; kept < 2; kept++) {
        if (kept)
            test_ok(df_resident_pool_open(&resident, w->context, device, w->pool, NULL));
        w->pool->resident = resident;
        test_engine(w->context, device, w->network, w->pool, &w->deepfool, 16, all[kept], images[kept]);
        score_list(w, device, kept, rows, some[kept]);
    }
    test_same_margins("all rows", all[0], all[1], N, NULL);
    test_same_margins("some rows", some[0], some[1], N, NULL);
    assert_memory_equal(images[0], images[1], sizeof images[0]);
    w->pool->resident = NULL;
    df_resident_pool_close(resident);
}

static void same_margins(void **state)
{
    struct df_device *device = *state;
    const bool before = device->wide;
    struct world w;
    world_open(&w);
    for (int wide = 0; wide < 2; wide++) {
        device->wide = wide;
        compare(&w, device);
    }
    device->wide = before;
    world_close(&w);
}

static void of_a_group(void **state)
{
    const char *const names[] = {test_backend(), test_backend()};
    struct df_device *device;
    struct world w;
    (void)state;
    world_open(&w);
    test_ok(df_group_open(&device, names, 2, "auto", 2));
    compare(&w, device);
    df_device_close(device);
    world_close(&w);
}

/* The bytes that lie there, and where it is not worth it to put them. */
static void rows(void **state)
{
    struct df_device *device = *state;
    struct df_resident_pool *resident;
    struct world w;
    uint8_t found[3 * PIXELS], expected[3 * PIXELS];
    world_open(&w);
    assert_true(df_resident_pool_fits(device, w.pool) == device->own_memory);
    w.pool->raw = DF_RAW_F32;
    assert_false(df_resident_pool_fits(device, w.pool));
    w.pool->raw = DF_RAW_U8;
    const int64_t count = w.pool->count;
    w.pool->count = INT64_MAX / 1000; /* more than any device has */
    assert_false(df_resident_pool_fits(device, w.pool));
    w.pool->count = count;
    assert_null(df_resident_pool_rows(NULL, device).buffer);
    test_ok(df_resident_pool_open(&resident, w.context, device, w.pool, NULL));
    test_ok(df_pool_read(w.pool, expected, N - 3, N));
    test_ok(df_read(device, device->queue_count - 1, found,
                    df_at(df_resident_pool_rows(resident, device), (N - 3) * PIXELS), 3 * PIXELS));
    assert_memory_equal(found, expected, sizeof expected);
    struct df_device *second = test_device_open(test_backend(), 1);
    assert_ptr_equal(df_resident_pool_rows(resident, second).buffer,
                     df_resident_pool_rows(resident, device).buffer);
    second->place++;
    assert_null(df_resident_pool_rows(resident, second).buffer);
    second->place--;
    df_device_close(second);
    df_resident_pool_close(resident);
    dfal_context_stop(w.context);
    test_error(df_resident_pool_open(&resident, w.context, device, w.pool, NULL), DFAL_E_STOPPED, "");
    assert_null(resident);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_margins), cmocka_unit_test(of_a_group),
                                       cmocka_unit_test(rows)};
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
