/* SPDX-License-Identifier: Apache-2.0 */
/* Scores of precision fast: near strict's, with strict's logits; the same bytes whatever the batch; their own
 * identity. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "score/pass.h"
#include "score/score.h"
#include "scores_file.h"
#include "support_network.h"
#include "support_score.h"

enum { TRAINED_ROWS = 1000, ROWS = 120 };

static char folder[TEST_PATH], pool[TEST_PATH], network_path[TEST_PATH];

/* Layers of more than 32 channels, narrow ones before and behind them, trained until margins mean
 * something. */
static void make_network(void)
{
    const struct df_provenance provenance = {"", "", "", "", "", "", 1, NULL};
    const struct df_shape input = {1, 8, 8};
    struct df_network *network =
        test_graph(input, 10,
                   "a Conv input o=36 k=3; b Relu a; c MaxPool b k=2 s=2; d Conv c o=34 k=3; e Relu d; "
                   "f Gemm e o=48; g Relu f; h Gemm g o=10");
    struct dfal_context *context = test_context("cpu", 2);
    struct dfal_train_options options;
    struct dfal_train_result result;
    dfal_train_result_init(&result);
    char graph[TEST_PATH];
    test_folder_create(folder);
    test_join(graph, folder, "graph.h5");
    test_join(pool, folder, "pool.h5");
    test_join(network_path, folder, "network.h5");
    test_pool_u8(pool, TRAINED_ROWS, input, 10, 1, NULL);
    test_ok(df_network_save(network, graph, true, &provenance));
    df_network_destroy(network);
    dfal_train_options_init(&options);
    options.epochs = 10;
    test_ok(dfal_train(context, &result, network_path, graph, pool, &options));
    dfal_context_destroy(context);
}

static dfal_status score_pool(const char *name, const char *pool_path, const char *precision, int64_t batch,
                              int64_t begin, int64_t end)
{
    struct dfal_context *context = test_context(test_backend(), 2);
    struct dfal_score_options o;
    struct dfal_score_result result;
    dfal_score_result_init(&result);
    char path[TEST_PATH];
    test_join(path, folder, name);
    dfal_score_options_init(&o);
    o.precision = precision;
    o.batch = batch;
    o.range_begin = begin;
    o.range_end = end;
    context->options.force = true;
    const dfal_status status = dfal_score(context, &result, path, network_path, pool_path, &o);
    if (status == DFAL_OK)
        assert_string_equal(result.engine, "layers");
    dfal_context_destroy(context);
    return status;
}

static dfal_status score(const char *name, const char *precision, int64_t batch, int64_t begin, int64_t end)
{
    return score_pool(name, pool, precision, batch, begin, end);
}

/* Is there fast precision here? If not that is said, and nothing is written. */
static bool has_fast(void **state)
{
    const struct df_device *device = *state;
    char path[TEST_PATH], sentence[128];
    if (device->half_backward)
        return true;
    snprintf(sentence, sizeof sentence, "back end '%s' has no fast precision: use `precision` strict",
             device->info.backend);
    test_error(score("none.h5", "fast", 0, 0, ROWS), DFAL_E_UNAVAILABLE, sentence);
    test_join(path, folder, "none.h5");
    assert_false(df_file_exists(path));
    test_join(path, folder, "none.h5.parts");
    assert_false(df_folder_exists(path));
    return false;
}

static struct df_scores read_scores(const char *name, const char *precision)
{
    struct df_rows_head head = {0};
    struct df_scores scores = {0};
    char path[TEST_PATH];
    test_join(path, folder, name);
    test_ok(test_scores_read(path, &head, &scores));
    assert_string_equal(head.precision, precision);
    df_rows_head_clear(&head);
    return scores;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many margins are smaller. */
static int rank_of(const struct df_scores *s, int64_t row)
{
    int rank = 0;
    for (int64_t i = 0; i < s->count; i++)
        rank += s->margin[i] < s->margin[row];
    return rank;
}

static void near_strict(void **state)
{
    if (!has_fast(state))
        return;
    test_ok(score("strict.h5", "strict", 0, 0, ROWS));
    test_ok(score("fast.h5", "fast", 0, 0, ROWS));
    struct df_scores strict = read_scores("strict.h5", "strict"), fast = read_scores("fast.h5", "fast");
    double error[ROWS], ranks = 0;
    assert_int_equal(strict.count, ROWS);
    assert_int_equal(fast.count, ROWS);
    test_same_floats("logit gap", fast.logit_gap, strict.logit_gap, ROWS);
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(fast.status[i], strict.status[i]);
        assert_int_equal(fast.label[i], strict.label[i]);
        error[i] = fabs((double)fast.margin[i] / (double)strict.margin[i] - 1);
        const double apart = rank_of(&strict, i) - rank_of(&fast, i);
        ranks += apart * apart;
    }
    qsort(error, ROWS, sizeof *error, ascending);
    const double n = ROWS, spearman = 1 - 6 * ranks / (n * (n * n - 1));
    printf("%s: median error %.3g, p99 %.3g, Spearman 1 - %.3g\n", test_backend(), error[ROWS / 2],
           error[ROWS * 99 / 100], 1 - spearman);
    assert_true(error[ROWS / 2] > 1e-7); /* it is another arithmetic */
    assert_true(error[ROWS / 2] < 3e-4);
    assert_true(error[ROWS * 99 / 100] < 2e-3);
    assert_true(spearman > 0.9999);
    df_scores_clear(&strict);
    df_scores_clear(&fast);
}

static void batches(void **state)
{
    static const int64_t sizes[] = {1, 7, 64, 4096};
    if (!has_fast(state))
        return;
    test_ok(score("fast.h5", "fast", 0, 0, ROWS));
    struct df_scores whole = read_scores("fast.h5", "fast");
    for (int b = 0; b < 4; b++) {
        const int64_t rows = sizes[b] == 1 ? 12 : ROWS;
        test_ok(score("batch.h5", "fast", sizes[b], 0, rows));
        struct df_scores part = read_scores("batch.h5", "fast");
        test_same_floats("margin", part.margin, whole.margin, rows);
        test_same_floats("first margin", part.first_margin, whole.first_margin, rows);
        assert_memory_equal(part.iterations, whole.iterations, (size_t)rows * sizeof *part.iterations);
        df_scores_clear(&part);
    }
    df_scores_clear(&whole);
}

/* What is not finite ends as in strict, and its neighbours do not notice. */
static void strange_rows(void **state)
{
    enum { STRANGE = 6, D = 64 };
    static float x[STRANGE * D];
    char path[TEST_PATH];
    uint8_t status[2][STRANGE];
    float margin[2][STRANGE];
    if (!has_fast(state))
        return;
    test_join(path, folder, "strange.h5");
    test_fill_floats(x, STRANGE * D, 7, 0, 1);
    x[D + 5] = NAN;
    x[2 * D + 7] = INFINITY;
    for (int j = 0; j < D; j++) {
        x[3 * D + j] *= 1e30F;
        x[4 * D + j] *= 1e-30F;
    }
    test_pool_f32(path, x, STRANGE, (struct df_shape){1, 8, 8}, 10, NULL);
    for (int k = 0; k < 2; k++) {
        struct df_scores s;
        test_ok(score_pool("strange-scores.h5", path, k ? "fast" : "strict", 0, 0, -1));
        s = read_scores("strange-scores.h5", k ? "fast" : "strict");
        memcpy(status[k], s.status, sizeof status[k]);
        memcpy(margin[k], s.margin, sizeof margin[k]);
        df_scores_clear(&s);
    }
    assert_memory_equal(status[0], status[1], sizeof status[0]);
    assert_int_equal(status[1][1], DFAL_SCORE_NONFINITE);
    assert_int_equal(status[1][2], DFAL_SCORE_NONFINITE);
    for (int i = 0; i < STRANGE; i++)
        assert_true(margin[0][i] == margin[1][i] ||
                    fabs((double)margin[1][i] / (double)margin[0][i] - 1) < 2e-3);
}

static void identity(void **state)
{
    struct dfal_context *context = test_context(test_backend(), 1);
    struct dfal_verify_result result;
    dfal_verify_result_init(&result);
    char whole[TEST_PATH], first[TEST_PATH], second[TEST_PATH], out[TEST_PATH];
    const char *parts[] = {first, second};
    if (!has_fast(state))
        goto done;
    test_join(first, folder, "first.h5");
    test_join(second, folder, "second.h5");
    test_join(out, folder, "merged.h5");
    test_join(whole, folder, "fast.h5");
    test_ok(score("first.h5", "fast", 0, 0, 90));
    test_ok(score("second.h5", "strict", 0, 90, ROWS));
    test_error(dfal_merge(context, out, parts, 2), DFAL_E_CONFIG, "precision");
    assert_false(df_file_exists(out));
    test_ok(score("fast.h5", "fast", 0, 0, ROWS));
    test_ok(dfal_verify_scores(context, &result, whole, network_path, pool, 40, NULL));
    assert_true(result.tolerance == 5e-2);
    assert_true(result.excused <= 1);
done:
    dfal_context_destroy(context);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_strict),
        cmocka_unit_test(batches),
        cmocka_unit_test(strange_rows),
        cmocka_unit_test(identity),
    };
    make_network();
    const int code = test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
    test_folder_remove(folder);
    return code;
}
