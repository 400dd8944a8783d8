/* SPDX-License-Identifier: Apache-2.0 */
/* Writing beside scoring without any scoring: shards in any order, more of them than memory takes, kept and
 * resumed, and a disk that fails. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "job/output.h"
#include "score/summary.h"
#include "scores_file.h"
#include "support_score.h"

/* LITTLE memory lets 8 shards wait. */
enum { SHARDS = 21, BEGIN = 100, ROWS = BEGIN + (SHARDS - 1) * DF_SHARD_ROWS + 7, WAITING = 8, Q = 3 };
static const int64_t little = 1 << 20, ample = (int64_t)1 << 40;

static char folder[TEST_PATH], pool_path[TEST_PATH], path[TEST_PATH];

/* What row i scores: every status, ties, and rows without a finite margin. */
static void fill_row(struct df_scores *s, int64_t i, int64_t row)
{
    const uint32_t mixed = (uint32_t)row * 2654435761U;
    s->index[i] = row;
    s->margin[i] = (float)(mixed >> 12) / 4096;
    s->first_margin[i] = s->margin[i] + 1;
    s->logit_gap[i] = s->margin[i] * 2;
    s->status[i] = (uint8_t)(mixed % 5 == 0 ? row % 5 : DFAL_SCORE_OK);
    s->label[i] = (int32_t)(row % 2);
    s->adversarial_class[i] = (int32_t)(1 - row % 2);
    s->iterations[i] = (uint16_t)(row % 7);
}

struct job {
    struct dfal_context *context;
    struct df_pool *pool;
    struct df_rows_head head;
    struct df_shards shards;
    struct df_output *output;
    struct df_summary summary;
};

static void sum_up(void *user, const struct df_rows *rows)
{
    struct job *job = user;
    const struct df_scores scores = df_scores_of(rows);
    df_summary_add(&job->summary, &scores, job->pool);
}

static void open_job(struct job *job, int64_t memory, bool force)
{
    *job = (struct job){.context = test_context("ref", 1)};
    job->context->memory = memory;
    job->context->options.force = force;
    test_ok(df_pool_open(&job->pool, NULL, pool_path, NULL));
    memcpy(job->head.pool_fingerprint, job->pool->fingerprint, sizeof job->head.pool_fingerprint);
    test_ok(df_strdup(&job->head.configuration, "{}"));
    job->head.pool_count = job->head.range_end = ROWS;
    job->head.range_begin = BEGIN;
    const struct df_shards_cut cut = {BEGIN, ROWS, df_shard_rows(&df_scores_kind, 16 << 20, DF_SHARD_ROWS)};
    assert_int_equal(cut.shard_rows, DF_SHARD_ROWS);
    const struct df_output_spec spec = {job->context, job->pool, &df_scores_kind, path,
                                        BEGIN,        ROWS,      sum_up,          job};
    test_ok(df_summary_open(&job->summary, ROWS - BEGIN, Q, df_summary_kept_limit(job->context)));
    test_ok(df_output_open(&job->output, &spec));
    test_ok(df_shards_open(&job->shards, path, &df_scores_kind, cut, &job->head, false, false));
    assert_int_equal(job->shards.count, SHARDS);
    test_ok(df_output_begin(job->output, &job->shards));
}

static void close_job(struct job *job, bool finished)
{
    df_output_close(job->output);
    df_summary_close(&job->summary);
    df_shards_remove(&job->shards, finished);
    df_shards_close(&job->shards);
    df_rows_head_clear(&job->head);
    df_pool_close(job->pool);
    dfal_context_destroy(job->context);
}

static dfal_status give(struct job *job, int64_t shard)
{
    struct df_shard_rows *rows;
    int64_t begin, end;
    DF_TRY(df_output_error(job->output));
    DF_TRY(df_output_take(job->output, &rows));
    df_shards_rows(&job->shards, shard, &begin, &end);
    rows->shard = shard;
    rows->rows.count = end - begin;
    struct df_scores scores = df_scores_of(&rows->rows);
    for (int64_t row = begin; row < end; row++)
        fill_row(&scores, row - begin, row);
    df_output_give(job->output, rows);
    return DFAL_OK;
}

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void check_summary(const struct df_summary *summary)
{
    struct df_scores row;
    int64_t status[DFAL_SCORE_STATUS_COUNT] = {0}, iterations = 0, count = 0;
    float *margins;
    test_ok(df_scores_alloc(&row, 1));
    test_ok(df_alloc(&margins, ROWS, sizeof *margins));
    for (int64_t i = BEGIN; i < ROWS; i++) {
        fill_row(&row, 0, i);
        status[row.status[0]]++;
        iterations += row.iterations[0];
        if (row.status[0] <= DFAL_SCORE_TIE)
            margins[count++] = row.margin[0];
    }
    qsort(margins, (size_t)count, sizeof *margins, compare);
    assert_int_equal(summary->samples, ROWS - BEGIN);
    assert_int_equal(summary->iterations, iterations);
    assert_memory_equal(summary->status, status, sizeof status);
    for (int q = 0; q < DF_QUANTILES; q++)
        assert_true(summary->quantile[q] == (double)margins[(int64_t)(0.25 * q * (double)(count - 1) + 0.5)]);
    assert_int_equal(summary->near.count, Q);
    for (int q = 0; q < Q; q++)
        assert_true(summary->near.rows[q].key == (double)margins[q]);
    df_scores_clear(&row);
    df_free(margins);
}

static void check_file(void)
{
    struct df_rows_head head;
    struct df_scores found, expected;
    char id[32];
    test_ok(test_scores_read(path, &head, &found));
    test_ok(df_scores_alloc(&expected, ROWS - BEGIN));
    assert_int_equal(found.count, ROWS - BEGIN);
    for (int64_t i = 0; i < found.count; i++) {
        fill_row(&expected, i, BEGIN + i);
        snprintf(id, sizeof id, "%.8s:%lld", head.pool_fingerprint, (long long)(BEGIN + i));
        assert_string_equal(found.id[i], id);
    }
#define SAME(column)                                                                                         \
    assert_memory_equal(found.column, expected.column, (size_t)found.count * sizeof *found.column)
    SAME(index);
    SAME(margin);
    SAME(first_margin);
    SAME(logit_gap);
    SAME(status);
    SAME(label);
    SAME(adversarial_class);
    SAME(iterations);
#undef SAME
    df_scores_clear(&found);
    df_scores_clear(&expected);
    df_rows_head_clear(&head);
}

static void finish(struct job *job)
{
    test_ok(df_output_end(job->output));
    test_ok(df_output_complete(job->output));
    test_ok(df_summary_finish(&job->summary, df_output_writer(job->output)));
    check_summary(&job->summary);
    test_ok(df_output_finish(job->output));
    close_job(job, true);
    check_file();
    char parts[TEST_PATH + 8];
    snprintf(parts, sizeof parts, "%s.parts", path);
    assert_false(df_folder_exists(parts));
}

/* The last shard first, and the others by steps of 8. */
static void any_order(void **state)
{
    (void)state;
    struct job job;
    open_job(&job, ample, true);
    const double begin = df_clock();
    for (int64_t i = 0; i < SHARDS; i++)
        test_ok(give(&job, (SHARDS - 1 + 8 * i) % SHARDS));
    test_ok(df_output_end(job.output));
    if (job.shards.finished_rows > 0 && df_clock() - begin < 1)
        test_fail("%lld rows were written as shards within a second", (long long)job.shards.finished_rows);
    finish(&job);
    assert_int_equal(remove(path), 0);
}

/* More shards than may wait become files at once; what waits is kept when the job stops; and another job
 * takes all. */
static void little_memory(void **state)
{
    (void)state;
    struct job job;
    open_job(&job, little, false);
    for (int64_t i = 0; i < SHARDS - 1; i++)
        test_ok(give(&job, i));
    df_output_abandon(job.output);
    assert_true(job.shards.finished_rows >= (SHARDS - 1 - WAITING) * DF_SHARD_ROWS - BEGIN);
    test_ok(df_output_keep(job.output));
    assert_int_equal(job.shards.finished_rows, (SHARDS - 1) * DF_SHARD_ROWS - BEGIN);
    close_job(&job, false);
    assert_false(df_file_exists(path));
    open_job(&job, little, false);
    assert_int_equal(job.shards.finished_rows, (SHARDS - 1) * DF_SHARD_ROWS - BEGIN);
    test_ok(give(&job, SHARDS - 1));
    finish(&job);
    assert_int_equal(remove(path), 0);
}

/* A second later a shard is a file, though nothing else has happened. */
static void after_a_second(void **state)
{
    (void)state;
    struct job job;
    char shard[TEST_PATH + 20];
    snprintf(shard, sizeof shard, "%s.parts/000004.h5", path);
    open_job(&job, ample, false);
    test_ok(give(&job, 4));
    const double begin = df_clock();
    while (!df_file_exists(shard) && df_clock() - begin < 60)
        test_ok(df_output_error(job.output));
    assert_true(df_file_exists(shard));
    df_output_abandon(job.output);
    close_job(&job, true);
}

/* Whatever fails in the thread is the job's error; nothing is left of the output, and shards are kept. */
static void errors(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 400; n += 40) {
        struct job job;
        dfal_status status = DFAL_OK;
        open_job(&job, little, false);
        df_fault_arm(DF_FAULT_WRITE, n);
        for (int64_t i = 0; i < SHARDS && status == DFAL_OK; i++)
            status = give(&job, i);
        if (status == DFAL_OK)
            status = df_output_end(job.output);
        df_fault_arm(DF_FAULT_WRITE, 0);
        test_error(status, DFAL_E_IO, path);
        df_output_abandon(job.output);
        test_ok(df_output_keep(job.output));
        assert_false(df_file_exists(path));
        close_job(&job, true);
    }
}

/* A request to stop ends what is left to do behind the last row. */
static void stopped(void **state)
{
    (void)state;
    struct job job;
    open_job(&job, ample, false);
    for (int64_t i = 0; i < SHARDS; i++)
        test_ok(give(&job, i));
    dfal_context_stop(job.context);
    test_error(df_output_end(job.output), DFAL_E_STOPPED, "stopped");
    df_output_abandon(job.output);
    test_ok(df_output_keep(job.output));
    assert_int_equal(job.shards.finished_rows, ROWS - BEGIN);
    close_job(&job, true);
}

/* The second pass over margins that are not in memory. */
static void margins_of_the_file(void **state)
{
    (void)state;
    struct df_rows_writer *writer;
    struct df_rows_head head = {.configuration = (char *)"{}", .pool_count = ROWS, .range_end = ROWS};
    struct df_scores scores;
    struct df_summary summary;
    test_ok(df_scores_alloc(&scores, ROWS - BEGIN));
    for (int64_t i = 0; i < scores.count; i++)
        fill_row(&scores, i, BEGIN + i);
    test_ok(df_rows_create(&writer, path, &df_scores_kind, &head, scores.count, false, false));
    test_ok(df_summary_open(&summary, scores.count, Q, scores.count - 1));
    test_ok(df_rows_put(writer, 0, &scores.rows));
    df_summary_add(&summary, &scores, NULL);
    assert_null(summary.kept);
    test_ok(df_summary_finish(&summary, writer));
    check_summary(&summary);
    df_summary_close(&summary);
    df_rows_abandon(writer);
    df_scores_clear(&scores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order), cmocka_unit_test(little_memory), cmocka_unit_test(after_a_second),
        cmocka_unit_test(errors),    cmocka_unit_test(stopped),       cmocka_unit_test(margins_of_the_file),
    };
    test_folder_create(folder);
    test_join(pool_path, folder, "pool.h5");
    test_join(path, folder, "scores.h5");
    float *x;
    test_ok(df_alloc(&x, ROWS, sizeof *x));
    test_pool_f32(pool_path, x, ROWS, (struct df_shape){1, 1, 1}, 2, NULL);
    df_free(x);
    const int code = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return code;
}
