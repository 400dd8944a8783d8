/* SPDX-License-Identifier: Apache-2.0 */
/* Scores files: the same bytes whatever the batch, threads, ranges, shards and kills; merge; verify. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "score/evaluate.h"
#include "score/pass.h"
#include "score/pool_network.h"
#include "score/score.h"
#include "scores_file.h"
#include "store/table.h"
#include "support_score.h"

/* Two shards and a bit: the network is tiny so that many rows are cheap. */
enum { ROWS = 2 * DF_SHARD_ROWS + 500, SMALL = 130, INPUTS = 3 };

static char folder[TEST_PATH];

struct paths {
    char pool[TEST_PATH], network[TEST_PATH], out[TEST_PATH], other[TEST_PATH], parts[TEST_PATH];
};

static struct paths paths_of(const char *pool, const char *network, const char *out)
{
    struct paths p;
    test_join(p.pool, folder, pool);
    test_join(p.network, folder, network);
    test_join(p.out, folder, out);
    test_join(p.other, folder, "other.h5");
    snprintf(p.parts, sizeof p.parts, "%.500s.parts", p.out);
    return p;
}

static void save(struct df_network *network, const char *path)
{
    const struct df_provenance provenance = {"", "", "", "", "", "", 1, NULL};
    test_ok(df_network_save(network, path, true, &provenance));
    df_network_destroy(network);
}

static struct df_network *tiny_network(void)
{
    float weight1[8 * INPUTS], bias1[8], weight2[4 * 8], bias2[4];
    test_fill_floats(weight1, 8 * INPUTS, 31, -1, 1);
    test_fill_floats(bias1, 8, 32, -0.5, 0.5);
    test_fill_floats(weight2, 4 * 8, 33, -1, 1);
    test_fill_floats(bias2, 4, 34, -0.5, 0.5);
    return test_relu_network(weight1, bias1, 8, weight2, bias2, 4, INPUTS);
}

static int setup(void **state)
{
    (void)state;
    test_folder_create(folder);
    struct paths p = paths_of("pool.h5", "net.h5", "scores.h5");
    save(tiny_network(), p.network);
    float *x;
    int32_t *labels;
    test_ok(df_alloc(&x, (int64_t)ROWS * INPUTS, sizeof *x));
    test_ok(df_alloc(&labels, ROWS, sizeof *labels));
    test_fill_floats(x, (int64_t)ROWS * INPUTS, 35, -1, 1);
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % 5 - 1;
    test_pool_f32(p.pool, x, ROWS, (struct df_shape){1, 1, INPUTS}, 4, labels);
    df_free(x);
    df_free(labels);
    p = paths_of("small.h5", "small-net.h5", "small-scores.h5");
    struct df_network *network = test_small_network(5, 10);
    test_pool_u8(p.pool, SMALL, network->input, 10, 1, NULL);
    save(network, p.network);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static struct df_scores read_scores(const char *path)
{
    struct df_rows_head head = {0};
    struct df_scores scores = {0};
    test_ok(test_scores_read(path, &head, &scores));
    df_rows_head_clear(&head);
    return scores;
}

#define SAME(column)                                                                                         \
    do {                                                                                                     \
        if (memcmp(a->column + a_from, b->column, (size_t)b->count * sizeof *b->column) != 0)                \
            test_fail("%s: column " #column " differs", what);                                               \
    } while (0)

/* b is rows [a_from, ...) of a, in every byte. */
static void same_rows(const char *what, const struct df_scores *a, int64_t a_from, const struct df_scores *b)
{
    SAME(index);
    SAME(margin);
    SAME(first_margin);
    SAME(logit_gap);
    SAME(status);
    SAME(label);
    SAME(adversarial_class);
    SAME(iterations);
    for (int64_t i = 0; a->id && b->id && i < b->count; i++)
        assert_string_equal(a->id[a_from + i], b->id[i]);
}

static void same_file(const char *what, const char *a_path, const char *b_path)
{
    struct df_scores a = read_scores(a_path), b = read_scores(b_path);
    assert_int_equal(a.count, b.count);
    assert_true((a.id == NULL) == (b.id == NULL));
    same_rows(what, &a, 0, &b);
    df_scores_clear(&a);
    df_scores_clear(&b);
}

static struct dfal_score_options defaults(void)
{
    struct dfal_score_options o;
    dfal_score_options_init(&o);
    return o;
}

static dfal_status score(struct dfal_context *context, const struct paths *p, const char *out,
                         const struct dfal_score_options *o, struct dfal_score_result *result)
{
    struct dfal_score_result scratch;
    dfal_score_result_init(&scratch);
    return dfal_score(context, result ? result : &scratch, out, p->network, p->pool, o);
}

static const char *backend(void **state)
{
    (void)state;
    return test_backend();
}

/* The file that the others are held against; made once a back end. */
static struct paths reference(void **state, struct dfal_score_result *result)
{
    char name[64];
    snprintf(name, sizeof name, "reference-%s.h5", ((struct df_device *)*state)->info.backend);
    struct paths p = paths_of("pool.h5", "net.h5", name);
    if (result || !df_file_exists(p.out)) {
        struct dfal_context *context = test_context(backend(state), 2);
        context->options.force = true;
        struct dfal_score_options o = defaults();
        test_ok(score(context, &p, p.out, &o, result));
        dfal_context_destroy(context);
    }
    return p;
}

static void result_and_columns(void **state)
{
    struct dfal_score_result result;
    dfal_score_result_init(&result);
    struct paths p = reference(state, &result);
    assert_int_equal(result.samples, ROWS);
    assert_false(df_folder_exists(p.parts));
    struct df_scores s = read_scores(p.out);
    assert_int_equal(s.count, ROWS);
    assert_non_null(s.id); /* made up */
    assert_string_equal(s.id[0] + 8, ":0");
    int64_t status[DFAL_SCORE_STATUS_COUNT] = {0}, iterations = 0, labelled = 0, right = 0;
    double least = INFINITY, most = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        assert_int_equal(s.index[i], i);
        status[s.status[i]]++;
        iterations += s.iterations[i];
        labelled += i % 5 > 0;
        right += i % 5 > 0 && i % 5 - 1 == s.label[i];
        if (s.status[i] <= DFAL_SCORE_TIE) {
            least = fmin(least, (double)s.margin[i]);
            most = fmax(most, (double)s.margin[i]);
        }
    }
    for (int k = 0; k < DFAL_SCORE_STATUS_COUNT; k++)
        assert_int_equal(result.status[k], status[k]);
    assert_true(status[DFAL_SCORE_OK] > ROWS / 2);
    assert_int_equal(result.iterations, iterations);
    assert_true(result.margin_quantile[0] == least && result.margin_quantile[4] == most);
    for (int q = 0; q < 4; q++)
        assert_true(result.margin_quantile[q] <= result.margin_quantile[q + 1]);
    assert_true(result.accuracy == (double)right / (double)labelled);
    assert_string_equal(result.engine, "layers");
    df_scores_clear(&s);
    /* finished: not twice, unless forced */
    struct dfal_context *context = test_context(backend(state), 1);
    struct dfal_score_options o = defaults();
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_EXISTS, p.out);
    dfal_context_destroy(context);
}

static void batches_and_threads(void **state)
{
    struct paths p = paths_of("small.h5", "small-net.h5", "small-scores.h5");
    const int64_t batches[] = {0, 1, 7, 64, 4096};
    bool first = true;
    for (int32_t threads = 1; threads <= 3; threads++) {
        for (size_t b = 0; b < 5; b++) {
            struct dfal_context *context = test_context(backend(state), threads);
            context->options.force = true;
            struct dfal_score_options o = defaults();
            o.batch = batches[b];
            test_ok(score(context, &p, first ? p.out : p.other, &o, NULL));
            if (!first)
                same_file("batch or threads", p.out, p.other);
            first = false;
            dfal_context_destroy(context);
        }
    }
    struct df_scores s = read_scores(p.out);
    assert_non_null(s.id);
    assert_string_equal(s.id[17], "sample-17");
    df_scores_clear(&s);
}

static void shard_path(char path[TEST_PATH], const char *stem, int i)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%d.h5", stem, i);
    test_join(path, folder, name);
}

static void ranges_and_merge(void **state)
{
    struct paths p = reference(state, NULL);
    struct dfal_context *context = test_context(backend(state), 2);
    context->options.force = true;
    const int64_t cuts[] = {0, 1000, DF_SHARD_ROWS + 7, ROWS};
    char path[3][TEST_PATH];
    const char *list[4] = {path[2], path[0], path[1], path[1]};
    struct df_scores whole = read_scores(p.out);
    for (int i = 0; i < 3; i++) {
        struct dfal_score_options o = defaults();
        o.range_begin = cuts[i];
        o.range_end = cuts[i + 1];
        shard_path(path[i], "range", i);
        test_ok(score(context, &p, path[i], &o, NULL));
        struct df_scores part = read_scores(path[i]);
        assert_int_equal(part.count, cuts[i + 1] - cuts[i]);
        same_rows("a range", &whole, cuts[i], &part);
        df_scores_clear(&part);
    }
    test_ok(dfal_merge(context, p.other, list, 3));
    same_file("merged ranges", p.out, p.other);
    test_error(dfal_merge(context, p.other, list, 2), DFAL_E_DATA, "rows 1000 to 16390 are missing");
    test_error(dfal_merge(context, p.other, list + 1, 2), DFAL_E_DATA, "are missing, behind");
    test_error(dfal_merge(context, p.other, list, 4), DFAL_E_DATA, "there twice");
    struct dfal_score_options o = defaults();
    o.range_begin = 500;
    o.range_end = 2000;
    char overlap[TEST_PATH];
    shard_path(overlap, "overlap", 0);
    test_ok(score(context, &p, overlap, &o, NULL));
    list[3] = overlap;
    test_error(dfal_merge(context, p.other, list, 4), DFAL_E_DATA, "overlap in rows 500 to 999");
    o.range_end = 500;
    test_error(score(context, &p, overlap, &o, NULL), DFAL_E_USAGE, "500:500");
    o.range_end = ROWS + 1;
    test_error(score(context, &p, overlap, &o, NULL), DFAL_E_USAGE, "range");
    /* another preset's part is foreign */
    o = defaults();
    o.range_end = 1000;
    o.preset = "deepal";
    test_ok(score(context, &p, path[0], &o, NULL));
    test_error(dfal_merge(context, p.other, list, 3), DFAL_E_CONFIG, "");
    /* a merge is a finished output, too */
    context->options.force = false;
    test_error(dfal_merge(context, p.other, list, 3), DFAL_E_EXISTS, p.other);
    df_scores_clear(&whole);
    dfal_context_destroy(context);
}

static void shards_and_merge(void **state)
{
    struct paths p = reference(state, NULL);
    struct dfal_context *context = test_context(backend(state), 2);
    context->options.force = true;
    for (int32_t count = 2; count <= 5; count += 3) { /* cut at whole shards, and finer than those */
        char path[5][TEST_PATH];
        const char *list[6];
        for (int32_t k = 0; k < count; k++) {
            struct dfal_score_options o = defaults();
            o.shard = k;
            o.shard_count = count;
            shard_path(path[k], "shard", (int)k);
            list[k] = path[k];
            test_ok(score(context, &p, path[k], &o, NULL));
        }
        test_ok(dfal_merge(context, p.other, list, count));
        same_file("merged shards", p.out, p.other);
        char missing[64];
        snprintf(missing, sizeof missing, "shard %d of %d is missing", count, count);
        test_error(dfal_merge(context, p.other, list, count - 1), DFAL_E_DATA,
                   count == 2 ? "missing" : missing);
        list[count] = list[0];
        test_error(dfal_merge(context, p.other, list, count + 1), DFAL_E_DATA, "there twice");
    }
    dfal_context_destroy(context);
}

static dfal_status rows_of(int64_t *begin, int64_t *end, const struct dfal_score_options *options,
                           int64_t count)
{
    const struct df_job_range range = df_score_range(options);
    return df_job_rows(begin, end, &range, count);
}

static void cuts(void **state)
{
    (void)state;
    struct dfal_score_options o = defaults();
    for (int64_t count = 1; count < 200000; count = count * 3 + 1) {
        for (o.shard_count = 1; o.shard_count <= 9 && o.shard_count <= count; o.shard_count++) {
            int64_t expected = 0;
            for (o.shard = 0; o.shard < o.shard_count; o.shard++) {
                int64_t begin, end;
                test_ok(rows_of(&begin, &end, &o, count));
                assert_int_equal(begin, expected);
                assert_true(end > begin);
                if (count / DF_SHARD_ROWS >= o.shard_count)
                    assert_int_equal(begin % DF_SHARD_ROWS, 0);
                expected = end;
            }
            assert_int_equal(expected, count);
        }
    }
    int64_t begin, end;
    o.shard_count = 3;
    o.shard = 3;
    test_error(rows_of(&begin, &end, &o, 10), DFAL_E_USAGE, "4 of 3");
    o.shard = 0;
    test_error(rows_of(&begin, &end, &o, 2), DFAL_E_USAGE, "cut");
}

/* Stops the job once this many rows are finished. */
struct stopper {
    struct dfal_context *context;
    int64_t rows;
};
static void stop_at(void *user, const struct dfal_event *event)
{
    struct stopper *stopper = user;
    if (strcmp(event->name, "score.progress") != 0)
        return;
    for (int32_t i = 0; i < event->field_count; i++)
        if (strcmp(event->fields[i].key, "done") == 0 && event->fields[i].integer >= stopper->rows)
            dfal_context_stop(stopper->context);
}

/* Is it known from the first event on that there is work that would be kept? */
static bool kept_at_begin;
static void note_kept(void *user, const struct dfal_event *event)
{
    if (strcmp(event->name, "score.begin") == 0)
        kept_at_begin = dfal_context_kept_work(user);
}

static struct dfal_context *stopping_context(struct stopper *stopper, const char *name, int64_t rows)
{
    struct dfal_context *context = test_context(name, 2);
    context->options.event = stop_at;
    context->options.event_user = stopper;
    *stopper = (struct stopper){context, rows};
    return context;
}

static void killed_and_resumed(void **state)
{
    struct paths p = reference(state, NULL), q = paths_of("pool.h5", "net.h5", "killed.h5");
    struct stopper stopper;
    struct dfal_score_options o = defaults();
    (void)remove(q.out);
    /* asked to stop before anything is finished: no work, no folder */
    struct dfal_context *context = stopping_context(&stopper, backend(state), 0);
    dfal_context_stop(context);
    test_error(score(context, &q, q.out, &o, NULL), DFAL_E_STOPPED, "");
    assert_false(dfal_context_kept_work(context));
    assert_false(df_folder_exists(q.parts));
    dfal_context_destroy(context);
    /* a part of the shards is there after a stop; other lines are refused, the same line ends it */
    o = defaults();
    bool stopped = false;
    for (int64_t rows = DF_SHARD_ROWS + 100; rows < ROWS && !stopped; rows += 50) {
        context = stopping_context(&stopper, backend(state), rows);
        context->options.force = true;
        dfal_status status = score(context, &q, q.out, &o, NULL);
        stopped = status == DFAL_E_STOPPED && dfal_context_kept_work(context);
        if (status == DFAL_OK)
            (void)remove(q.out);
        dfal_context_destroy(context);
    }
    if (stopped) {
        assert_true(df_folder_exists(q.parts));
        assert_false(df_file_exists(q.out));
        context = test_context(backend(state), 1);
        o.preset = "deepal";
        test_error(score(context, &q, q.out, &o, NULL), DFAL_E_CONFIG, "");
        o = defaults();
        o.range_end = ROWS - 1;
        test_error(score(context, &q, q.out, &o, NULL), DFAL_E_CONFIG, "rows 0:");
        o = defaults();
        o.batch = 33;
        context->options.event = note_kept;
        context->options.event_user = context;
        test_ok(score(context, &q, q.out, &o, NULL));
        assert_true(kept_at_begin);
        assert_false(dfal_context_kept_work(context));
        assert_false(df_folder_exists(q.parts));
        same_file("killed and resumed", p.out, q.out);
        dfal_context_destroy(context);
    } else {
        test_fail("the stop flag never stopped the job");
    }
}

static void adversarial(void **state)
{
    struct paths p = paths_of("small.h5", "small-net.h5", "images.h5");
    enum { Q = 9 };
    struct dfal_context *context = test_context(backend(state), 2);
    context->options.force = true;
    struct dfal_score_options o = defaults();
    o.adversarial = Q;
    test_ok(score(context, &p, p.out, &o, NULL));
    struct df_column columns[] = {{.name = "adversarial/samples", .type = DF_COLUMN_F32, .rank = 4},
                                  {.name = "adversarial/index", .type = DF_COLUMN_I64, .rank = 1}};
    test_ok(df_table_read(p.out, "dfal-scores", NULL, columns, 2));
    assert_int_equal(columns[0].dims[0], Q);
    struct df_scores s = read_scores(p.out);
    struct df_pool *pool;
    test_ok(df_pool_open(&pool, NULL, p.pool, NULL));
    unsigned char raw[100];
    float x[100];
    for (int i = 0; i < Q; i++) {
        const int64_t row = ((int64_t *)columns[1].data)[i];
        int64_t nearer = 0; /* rows that rank before this one: OK and TIE, by margin, then row */
        for (int64_t j = 0; j < s.count; j++)
            nearer += s.status[j] <= DFAL_SCORE_TIE &&
                      (s.margin[j] < s.margin[row] || (s.margin[j] == s.margin[row] && j < row));
        assert_int_equal(nearer, i);
        test_ok(df_pool_read(pool, raw, row, row + 1));
        df_pool_decode(pool, x, raw, 1);
        double length = 0;
        for (int j = 0; j < 100; j++)
            length += pow((double)((float *)columns[0].data)[i * 100 + j] - (double)x[j], 2);
        assert_true(fabs(sqrt(length) - (double)s.margin[row]) <= 1e-5 + 1e-3 * (double)s.margin[row]);
    }
    for (int i = 0; i < 2; i++)
        df_free(columns[i].data);
    df_pool_close(pool);
    df_scores_clear(&s);
    dfal_context_destroy(context);
}

static void same_images(const char *a_path, const char *b_path)
{
    struct df_column a[] = {{.name = "adversarial/samples", .type = DF_COLUMN_F32, .rank = 4},
                            {.name = "adversarial/index", .type = DF_COLUMN_I64, .rank = 1}};
    struct df_column b[] = {a[0], a[1]};
    test_ok(df_table_read(a_path, "dfal-scores", NULL, a, 2));
    test_ok(df_table_read(b_path, "dfal-scores", NULL, b, 2));
    assert_int_equal(a[0].dims[0], b[0].dims[0]);
    assert_memory_equal(a[1].data, b[1].data, (size_t)a[1].dims[0] * sizeof(int64_t));
    assert_memory_equal(a[0].data, b[0].data,
                        (size_t)(a[0].dims[0] * a[0].dims[2] * a[0].dims[3]) * sizeof(float));
    for (int i = 0; i < 2; i++) {
        df_free(a[i].data);
        df_free(b[i].data);
    }
}

/* The images of merged shards are those of one job. */
static void merged_images(void **state)
{
    struct paths p = paths_of("small.h5", "small-net.h5", "images.h5");
    struct dfal_context *context = test_context(backend(state), 2);
    context->options.force = true;
    struct dfal_score_options o = defaults();
    o.adversarial = 9;
    test_ok(score(context, &p, p.out, &o, NULL));
    char path[3][TEST_PATH];
    const char *list[3];
    for (int k = 0; k < 3; k++) {
        o.shard = k;
        o.shard_count = 3;
        shard_path(path[k], "image-shard", k);
        list[k] = path[k];
        test_ok(score(context, &p, path[k], &o, NULL));
    }
    test_ok(dfal_merge(context, p.other, list, 3));
    same_file("merged shards with images", p.out, p.other);
    same_images(p.out, p.other);
    dfal_context_destroy(context);
}

/* Rows that layers have found, and images by the fused engine, which finds the same margins in other bits. */
static void mixed_images(void **state)
{
    struct paths p = paths_of("small.h5", "small-net.h5", "mixed.h5");
    if (strcmp(((struct df_device *)*state)->info.backend, "cpu") != 0)
        return; /* one engine, one arithmetic */
    struct dfal_context *context = test_context(backend(state), 2);
    struct dfal_score_options o = defaults();
    o.adversarial = 40;
    o.engine = "layers";
    df_fault_arm(DF_FAULT_RENAME, 1); /* when all is computed: the rows are kept */
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_IO, "");
    df_fault_arm(DF_FAULT_RENAME, 0);
    assert_true(df_folder_exists(p.parts));
    o.engine = "fused";
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_CONFIG, "engine");
    context->options.allow_mixed = true;
    test_ok(score(context, &p, p.out, &o, NULL));
    struct df_rows_head head = {0};
    struct df_scores scores = {0};
    struct df_column images = {.name = "adversarial/index", .type = DF_COLUMN_I64, .rank = 1};
    test_ok(test_scores_read(p.out, &head, &scores));
    assert_non_null(strstr(head.mixed, "layers"));
    test_ok(df_table_read(p.out, "dfal-scores", NULL, &images, 1));
    assert_int_equal(images.dims[0], 40);
    df_free(images.data);
    df_scores_clear(&scores);
    df_rows_head_clear(&head);
    dfal_context_destroy(context);
}

/* Write a scores file again with one margin changed. */
static void tamper(const char *path, int64_t row, float factor)
{
    struct df_rows_head head = {0};
    struct df_scores scores = {0};
    struct df_rows_writer *writer;
    test_ok(test_scores_read(path, &head, &scores));
    scores.margin[row] *= factor;
    test_ok(df_rows_create(&writer, path, &df_scores_kind, &head, scores.count, scores.id != NULL, true));
    test_ok(df_rows_append(writer, &scores.rows));
    test_ok(df_rows_finish(writer));
    df_scores_clear(&scores);
    df_rows_head_clear(&head);
}

static void verify(void **state)
{
    static const char *const presets[] = {"lts4", "paper", "foolbox", "deepal", "sdf", "dfal2018"};
    struct paths p = paths_of("small.h5", "small-net.h5", "verified.h5");
    struct dfal_context *context = test_context(backend(state), 2);
    context->options.force = true;
    struct dfal_verify_result result;
    dfal_verify_result_init(&result);
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        struct dfal_score_options o = defaults();
        o.preset = presets[i];
        test_ok(score(context, &p, p.out, &o, NULL));
        const int64_t samples = i ? 40 : SMALL;
        test_ok(dfal_verify_scores(context, &result, p.out, p.network, p.pool, samples, NULL));
        assert_int_equal(result.samples, samples);
        assert_true(result.largest_relative_error < result.tolerance || result.disagreements > 0);
    }
    test_ok(dfal_verify_scores(context, &result, p.out, NULL, NULL, 64, NULL));
    assert_int_equal(result.samples, 64);
    tamper(p.out, 77, 1.01f);
    test_error(dfal_verify_scores(context, &result, p.out, p.network, p.pool, SMALL, NULL), DFAL_E_DATA,
               "row 77");
    assert_true(result.largest_relative_error > 0.009);
    struct paths q = paths_of("pool.h5", "net.h5", "verified.h5");
    test_error(dfal_verify_scores(context, &result, p.out, q.network, p.pool, 8, NULL), DFAL_E_SHAPE,
               "expects");
    test_error(dfal_verify_scores(context, &result, p.out, q.network, q.pool, 8, NULL), DFAL_E_DATA,
               "sha256");
    dfal_context_destroy(context);
}

/* The engine is the back end's where it has one, unless layers are asked for, and both agree. */
static void engines(void **state)
{
    static const char *const asked[] = {"auto", "layers"};
    struct paths p = paths_of("small.h5", "small-net.h5", "engine.h5");
    const bool fuses = strcmp(((struct df_device *)*state)->info.backend, "cpu") == 0;
    struct dfal_context *context = test_context(backend(state), 1);
    struct df_scores found[2];
    context->options.force = true;
    for (int e = 0; e < 2; e++) {
        struct dfal_score_options o = defaults();
        struct dfal_score_result result;
        dfal_score_result_init(&result);
        o.engine = asked[e];
        test_ok(score(context, &p, p.out, &o, &result));
        assert_string_equal(result.engine, fuses && e == 0 ? "fused" : "layers");
        found[e] = read_scores(p.out);
    }
    for (int64_t i = 0; i < found[0].count; i++) {
        assert_int_equal(found[0].label[i], found[1].label[i]);
        assert_int_equal(found[0].status[i], found[1].status[i]);
    }
    test_near("margins", found[0].margin, found[1].margin, found[0].count, 1e-3);
    df_scores_clear(&found[0]);
    df_scores_clear(&found[1]);
    dfal_context_destroy(context);
}

static void refusals(void **state)
{
    struct paths p = paths_of("small.h5", "small-net.h5", "refused.h5");
    struct dfal_context *context = test_context(backend(state), 1);
    struct dfal_score_options o = defaults();
    o.precision = "strikt";
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_USAGE, "nearest is 'strict'");
    o = defaults();
    o.engine = "fused"; /* products alone */
    struct paths products = paths_of("pool.h5", "net.h5", "refused.h5");
    test_error(score(context, &products, p.out, &o, NULL), DFAL_E_UNAVAILABLE,
               "no fused engine for this network");
    o = defaults();
    struct dfal_estimate_result estimate; /* refuses what the score refuses */
    dfal_estimate_result_init(&estimate);
    o.engine = "fused";
    test_error(dfal_score_estimate(context, &estimate, products.network, products.pool, &o),
               DFAL_E_UNAVAILABLE, "no fused engine for this network");
    o = defaults();
    o.adversarial = SMALL;
    const int64_t memory = context->memory;
    context->memory = df_memory_held() + 1000;
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_MEMORY, "130 adversarial images");
    test_error(dfal_score_estimate(context, &estimate, p.network, p.pool, &o), DFAL_E_MEMORY,
               "130 adversarial images");
    context->memory = memory;
    o = defaults();
    o.unconverged = "first";
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_USAGE, "first");
    o = defaults();
    struct dfal_score_result result;
    dfal_score_result_init(&result);
    test_error(dfal_score(context, &result, p.out, "lenet5", p.pool, &o), DFAL_E_USAGE, "has no weights");
    test_error(dfal_score(context, &result, p.out, p.pool, p.pool, &o), DFAL_E_DATA, p.pool);
    char absent[TEST_PATH];
    test_join(absent, folder, "absent.h5");
    test_error(dfal_score(context, &result, p.out, p.network, absent, &o), DFAL_E_NOINPUT, absent);
    struct paths q = paths_of("pool.h5", "net.h5", "refused.h5");
    test_error(dfal_score(context, &result, p.out, q.network, p.pool, &o), DFAL_E_SHAPE, "expects");
    test_join(p.other, folder, "no/such/folder.h5");
    test_error(score(context, &p, p.other, &o, NULL), DFAL_E_EXISTS, "");
    o.batch = INT64_C(1) << 40;
    test_error(score(context, &p, p.out, &o, NULL), DFAL_E_MEMORY, "in flight");
    assert_false(df_file_exists(p.out));
    assert_false(df_folder_exists(p.parts));
    dfal_context_destroy(context);
}

struct logits_table {
    float values[SMALL * 10];
    int64_t count;
};
static dfal_status keep_logits(void *user, const int64_t *index, const float *values, int64_t n)
{
    struct logits_table *table = user;
    for (int64_t i = 0; i < n; i++)
        memcpy(table->values + index[i] * 10, values + i * 10, 10 * sizeof *values);
    table->count += n;
    return DFAL_OK;
}

static void passes(void **state)
{
    struct paths p = paths_of("small.h5", "small-net.h5", "x.h5");
    struct dfal_context *context = test_context(backend(state), 1);
    struct df_pool *pool;
    struct df_network *network;
    test_ok(df_pool_open(&pool, NULL, p.pool, NULL));
    test_ok(df_network_for_pool(&network, context, p.network, pool));
    struct logits_table table = {.count = 0};
    struct df_range_source range;
    df_range_source_init(&range, 0, SMALL, 13);
    test_ok(df_forward_source(
        &(struct df_pass_spec){.context = context, .device = *state, .network = network, .pool = pool},
        &range.source, keep_logits, &table));
    assert_int_equal(table.count, SMALL);
    struct dfal_eval_result eval;
    dfal_eval_result_init(&eval);
    test_ok(df_evaluate(context, *state, network, pool, NULL, &eval, NULL));
    double loss = 0;
    int64_t right = 0, confusion = 0;
    for (int i = 0; i < SMALL; i++) {
        const float *f = table.values + i * 10;
        double sum = 0;
        int top = 0;
        for (int k = 0; k < 10; k++) {
            sum += exp((double)f[k]);
            top = f[k] > f[top] ? k : top;
        }
        loss += log(sum) - (double)f[i % 10];
        right += top == i % 10;
        assert_true(eval.confusion[(i % 10) * 10 + top] > 0);
    }
    for (int k = 0; k < 100; k++)
        confusion += eval.confusion[k];
    assert_int_equal(eval.samples, SMALL);
    assert_int_equal(confusion, SMALL);
    assert_true(eval.accuracy == (double)right / SMALL);
    assert_true(fabs(eval.loss - loss / SMALL) < 1e-5);
    dfal_eval_result_clear(&eval);
    df_network_destroy(network);
    df_pool_close(pool);
    dfal_context_destroy(context);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts),
        cmocka_unit_test(result_and_columns),
        cmocka_unit_test(batches_and_threads),
        cmocka_unit_test(ranges_and_merge),
        cmocka_unit_test(shards_and_merge),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(adversarial),
        cmocka_unit_test(merged_images),
        cmocka_unit_test(mixed_images),
        cmocka_unit_test(verify),
        cmocka_unit_test(engines),
        cmocka_unit_test(refusals),
        cmocka_unit_test(passes),
    };
    setup(NULL);
    int code = test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
    teardown(NULL);
    return code;
}
