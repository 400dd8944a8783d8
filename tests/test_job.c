/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up command for every row of a pool: its columns and a function that fills them are all that it
 * brings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "job/job.h"
#include "job/merge.h"
#include "support_score.h"

enum { ROWS = 40000, BLOCK = 100, LARGE = 2048 };

static char folder[TEST_PATH], pool_path[TEST_PATH], out[TEST_PATH], whole[TEST_PATH];

/* ---- The command: twice a sample's pixel, and which of its row number's bits are set ------------------- */

static const struct df_rows_kind twice_kind = {
    .format = "dfal-twice",
    .name = "file of doubled pixels",
    .column_count = 2,
    .columns = {{.name = "twice", .type = DF_COLUMN_F32},
                {.name = "bits", .type = DF_COLUMN_U16, .rank = 1, .dims = {3}, .fill = 7}},
};

struct twice {
    struct df_job job;
    int64_t computed, stop_after; /* rows */
};

static void fill(struct df_rows *rows, int64_t at, int64_t row, float pixel)
{
    float *twice = rows->column[0];
    uint16_t *bits = rows->column[1];
    twice[at] = 2 * pixel;
    for (int i = 0; i < 3; i++)
        bits[3 * at + i] = (uint16_t)(row >> i & 1);
}

static dfal_status compute(void *user, struct df_row_stream *stream, struct df_shard_sink *sink,
                           struct df_progress *progress)
{
    struct twice *twice = user;
    float pixels[BLOCK];
    int64_t index[BLOCK], n;
    for (;;) {
        DF_TRY(df_context_check_stop(twice->job.context));
        DF_TRY(df_stream_take(stream, BLOCK, pixels, index, &n));
        if (n == 0)
            return DFAL_OK;
        for (int64_t i = 0; i < n; i++) {
            struct df_rows *rows;
            int64_t at;
            DF_TRY(df_shard_sink_row(sink, index[i], &rows, &at));
            fill(rows, at, index[i], pixels[i]);
            df_shard_sink_stored(sink);
        }
        df_progress_add(progress, n, NULL);
        twice->computed += n;
        if (twice->stop_after > 0 && twice->computed >= twice->stop_after)
            dfal_context_stop(twice->job.context);
    }
}

/* A file of somebody else's at the output, when every row is in: it cannot be published. */
static const char *twice_appears;
static dfal_status appear(void *user, struct df_rows_writer *writer)
{
    (void)user;
    (void)writer;
    return twice_appears ? df_file_write(twice_appears, "mine", 4) : DFAL_OK;
}

static const struct df_job_client twice_client = {
    .resume_event = "score.resume", .progress_event = "score.progress", .run = compute, .complete = appear};

/* ---- The tests ----------------------------------------------------------------------------------------- */

struct line {
    const char *path, *configuration;
    struct df_job_range range;
    int64_t stop_after;
    double operations;
    bool force;
    const struct df_rows_kind *kind; /* NULL: twice_kind */
};

/* Run the command once; *computed: the rows that it took. */
static dfal_status run(const struct line *line, int64_t *computed)
{
    const int64_t live = df_alloc_live();
    struct dfal_context *context = test_context("ref", 1);
    context->options.force = line->force;
    struct df_device *device;
    struct df_pool *pool;
    struct twice twice = {.stop_after = line->stop_after};
    float weight[2] = {1, -1}, bias[2] = {0, 0};
    struct df_network *network = test_affine_network(weight, bias, 2, 1);
    const struct df_job_maker maker = {
        .network = network,
        .network_path = "n.h5",
        .engine = "layers",
        .precision = "strict",
        .units = "",
        .configuration = line->configuration,
        .operations = line->operations,
    };
    struct df_job_maker own = maker;
    test_ok(df_context_device(context, &device));
    own.device = device;
    test_ok(df_pool_open(&pool, NULL, pool_path, NULL));
    dfal_status status = df_job_open(&twice.job, context, pool, line->kind ? line->kind : &twice_kind,
                                     &twice_client, &twice, line->path, &line->range);
    if (status == DFAL_OK)
        status = df_job_find(&twice.job, &own);
    if (status == DFAL_OK)
        status = df_job_run(&twice.job);
    df_job_close(&twice.job);
    df_pool_close(pool);
    df_network_destroy(network);
    dfal_context_destroy(context);
    assert_int_equal(df_alloc_live(), live);
    *computed = twice.computed;
    return status;
}

static struct line all_rows(const char *path)
{
    return (struct line){.path = path, .configuration = "{\"factor\":2}", .range = {0, -1, 0, 0}};
}

struct seen {
    int64_t rows;
};

static dfal_status check_block(void *user, int64_t begin, const struct df_rows *block)
{
    struct seen *seen = user;
    const float *twice = block->column[0];
    const uint16_t *bits = block->column[1];
    for (int64_t i = 0; i < block->count; i++) {
        const int64_t row = begin + i;
        if (block->index[i] != row || twice[i] != 2 * (float)row || bits[3 * i] != (row & 1) ||
            bits[3 * i + 2] != (row >> 2 & 1))
            test_fail("row %lld holds index %lld, %g, %d", (long long)row, (long long)block->index[i],
                      (double)twice[i], bits[3 * i]);
    }
    seen->rows += block->count;
    return DFAL_OK;
}

/* Every value, every id, and the sums of the pool's rows. */
static void check_file(const char *path)
{
    struct df_rows_head head;
    struct df_rows_reader *reader;
    struct df_row_hashes hashes;
    struct seen seen = {0};
    test_ok(df_rows_open(&reader, &head, path, &twice_kind));
    assert_int_equal(df_rows_count(reader), ROWS);
    assert_true(df_rows_have_ids(reader));
    assert_int_equal(head.shard_rows, 0);
    assert_string_equal(head.configuration, "{\"factor\":2}");
    test_ok(df_rows_each(reader, true, check_block, &seen));
    assert_int_equal(seen.rows, ROWS);
    test_ok(df_rows_take_hashes(reader, 0, ROWS, &hashes));
    assert_int_equal(df_row_hashes_known(&hashes), ROWS);
    df_row_hashes_close(&hashes);
    df_rows_close(reader);
    df_rows_head_clear(&head);
}

static void complete(void **state)
{
    (void)state;
    int64_t computed;
    const struct line line = all_rows(whole);
    test_ok(run(&line, &computed));
    assert_int_equal(computed, ROWS);
    check_file(whole);
    test_error(run(&line, &computed), DFAL_E_EXISTS, whole);
}

/* What is finished is not computed again, whatever the second line would cut: rows of long work make small
 * parts. */
static void resumed(void **state)
{
    (void)state;
    const double operations[] = {1, 3e9, 1};
    for (int first = 0; first < 2; first++) {
        struct line line = all_rows(out);
        int64_t computed, again;
        line.operations = operations[first];
        line.stop_after = 30000;
        test_error(run(&line, &computed), DFAL_E_STOPPED, "stop");
        assert_false(df_file_exists(out));
        line.stop_after = 0;
        line.operations = operations[first + 1];
        test_ok(run(&line, &again));
        const int64_t part =
            first == 0 ? DF_SHARD_ROWS : 512; /* 3e12 / 3e9 rows, rounded down to a power of two */
        assert_int_equal(again, ROWS - computed / part * part);
        check_file(out);
        assert_int_equal(remove(out), 0);
    }
}

/* Unfinished parts of another identity are named and left alone. */
static void of_another(void **state)
{
    (void)state;
    struct line line = all_rows(out);
    int64_t computed;
    line.stop_after = 20000;
    test_error(run(&line, &computed), DFAL_E_STOPPED, "stop");
    line.stop_after = 0;
    line.configuration = "{\"factor\":3}";
    test_error(run(&line, &computed), DFAL_E_CONFIG, "factor 2, expected 3");
    assert_int_equal(computed, 0);
    line = all_rows(out);
    line.range.end = ROWS - 1;
    test_error(run(&line, &computed), DFAL_E_CONFIG, "rows 0:39999");
    line = all_rows(out);
    test_ok(run(&line, &computed));
    assert_true(computed < ROWS);
    check_file(out);
    assert_int_equal(remove(out), 0);
}

/* Parts beyond the rows of a job are somebody's work, too; only force removes them, and nothing of another
 * kind is read. */
static void beyond(void **state)
{
    (void)state;
    struct df_rows_kind other = twice_kind;
    other.format = "dfal-other";
    char part[TEST_PATH + 24];
    int64_t computed;
    struct line first = all_rows(out), line = all_rows(out);
    snprintf(part, sizeof part, "%s.parts/000001.h5", out);
    first.range.begin = 20000;
    first.stop_after = 15000;
    test_error(run(&first, &computed), DFAL_E_STOPPED, "stop");
    assert_true(df_file_exists(part));
    line.range.end = 10000;
    test_error(run(&line, &computed), DFAL_E_CONFIG, "rows 20000:40000");
    line.kind = &other;
    test_error(run(&line, &computed), DFAL_E_CONFIG, "dfal-twice, expected dfal-other");
    assert_true(df_file_exists(part));
    line.kind = NULL;
    line.force = true;
    line.range.end = ROWS;
    test_ok(run(&line, &computed));
    assert_int_equal(computed, ROWS);
    check_file(out);
    assert_int_equal(remove(out), 0);
}

/* A part that is no part is named, and force begins anew. */
static void damaged(void **state)
{
    (void)state;
    char part[TEST_PATH + 24];
    int64_t computed;
    struct line line = all_rows(out);
    snprintf(part, sizeof part, "%s.parts/000000.h5", out);
    line.stop_after = 20000;
    test_error(run(&line, &computed), DFAL_E_STOPPED, "stop");
    line.stop_after = 0;
    test_ok(df_file_write(part, "no HDF5 at all", 14));
    test_error(run(&line, &computed), DFAL_E_CONFIG, part);
    line.force = true;
    test_ok(run(&line, &computed));
    assert_int_equal(computed, ROWS);
    check_file(out);
    assert_int_equal(remove(out), 0);
}

/* The output cannot be published: what was computed is kept, as it is cut. */
static void unpublished(void **state)
{
    (void)state;
    int64_t computed;
    struct line line = all_rows(out);
    line.operations = 3e9;
    twice_appears = out;
    test_error(run(&line, &computed), DFAL_E_EXISTS, out);
    twice_appears = NULL;
    assert_int_equal(computed, ROWS);
    assert_int_equal(remove(out), 0);
    test_ok(run(&line, &computed));
    assert_int_equal(computed, 0);
    check_file(out);
    assert_int_equal(remove(out), 0);
}

static void merged(void **state)
{
    (void)state;
    enum { SHARDS = 3 };
    static const struct df_merge_client nothing = {0};
    char paths[SHARDS][TEST_PATH + 16];
    const char *list[SHARDS];
    struct dfal_context *context = test_context("ref", 1);
    int64_t rows, sum = 0;
    for (int k = 0; k < SHARDS; k++) {
        int64_t computed;
        snprintf(paths[k], sizeof paths[k], "%s.%d", out, k);
        list[SHARDS - 1 - k] = paths[k];
        struct line line = all_rows(paths[k]);
        line.range.shard = k;
        line.range.shard_count = SHARDS;
        test_ok(run(&line, &computed));
        sum += computed;
    }
    assert_int_equal(sum, ROWS);
    test_error(df_merge_rows(context, out, list, SHARDS - 1, &twice_kind, &nothing, NULL, &rows), DFAL_E_DATA,
               "shard 1 of 3 is missing");
    test_ok(df_merge_rows(context, out, list, SHARDS, &twice_kind, &nothing, NULL, &rows));
    assert_int_equal(rows, ROWS);
    check_file(out);
    test_error(df_merge_rows(context, whole, list, SHARDS, &df_scores_kind, &nothing, NULL, &rows),
               DFAL_E_EXISTS, whole);
    dfal_context_destroy(context);
}

/* A kind whose rows are large is cut into smaller parts, and one that takes long. */
static void cut(void **state)
{
    (void)state;
    const struct df_rows_kind large = {
        .column_count = 1, .columns = {{.name = "x", .type = DF_COLUMN_U8, .rank = 1, .dims = {LARGE}}}};
    assert_int_equal(df_rows_bytes(&large), LARGE + 8);
    assert_int_equal(df_shard_rows(&twice_kind, 16 << 20, DF_SHARD_ROWS), DF_SHARD_ROWS);
    assert_int_equal(df_shard_rows(&large, 16 << 20, DF_SHARD_ROWS), DF_SHARD_ROWS / 4);
    assert_int_equal(df_shard_rows(&large, 16 << 20, 100), 64);
    assert_int_equal(df_shard_rows(&large, 16 << 20, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete), cmocka_unit_test(resumed), cmocka_unit_test(of_another),
        cmocka_unit_test(beyond),   cmocka_unit_test(damaged), cmocka_unit_test(unpublished),
        cmocka_unit_test(merged),   cmocka_unit_test(cut),
    };
    test_folder_create(folder);
    test_join(pool_path, folder, "pool.h5");
    test_join(whole, folder, "whole.h5");
    test_join(out, folder, "out.h5");
    float *x;
    test_ok(df_alloc(&x, ROWS, sizeof *x));
    for (int64_t i = 0; i < ROWS; i++)
        x[i] = (float)i;
    test_pool_f32(pool_path, x, ROWS, (struct df_shape){1, 1, 1}, 2, NULL);
    df_free(x);
    const int code = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return code;
}
