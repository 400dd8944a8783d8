/* SPDX-License-Identifier: Apache-2.0 */
/* Scores of precision fast and split: near strict's, fast with strict's logits; the same bytes whatever the
 * batch; their own identity. */
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

/* What is asked of a precision beside strict. */
struct precision {
    const char *name;
    double least, median, p99, spearman; /* of relative errors: the median is at least `least` */
    double tolerance;                    /* of verify */
};
static const struct precision precisions[] = {{"fast", 1e-7, 3e-4, 2e-3, 0.9999, 5e-2},
                                              {"split", 1e-9, 3e-6, 1e-4, 0.99998, 1e-3}};
enum { PRECISIONS = sizeof precisions / sizeof *precisions };

/* Are both there? If not that is said of each, and nothing is written. */
static bool has_both(void **state)
{
    const struct df_device *device = *state;
    char path[TEST_PATH], sentence[128];
    assert_int_equal(device->half_backward, device->split);
    if (device->half_backward)
        return true;
    for (int i = 0; i < PRECISIONS; i++) {
        snprintf(sentence, sizeof sentence, "back end '%s' has no %s precision: use `precision` strict",
                 device->info.backend, precisions[i].name);
        test_error(score("none.h5", precisions[i].name, 0, 0, ROWS), DFAL_E_UNAVAILABLE, sentence);
    }
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

static void check_near_strict(const struct precision *p)
{
    test_ok(score("near.h5", p->name, 0, 0, ROWS));
    struct df_scores strict = read_scores("strict.h5", "strict"), near = read_scores("near.h5", p->name);
    double error[ROWS], ranks = 0;
    assert_int_equal(strict.count, ROWS);
    assert_int_equal(near.count, ROWS);
    if (strcmp(p->name, "fast") == 0)
        test_same_floats("logit gap", near.logit_gap, strict.logit_gap, ROWS);
    else
        test_near("logit gap", near.logit_gap, strict.logit_gap, ROWS, 1e-5);
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(near.status[i], strict.status[i]);
        assert_int_equal(near.label[i], strict.label[i]);
        error[i] = fabs((double)near.margin[i] / (double)strict.margin[i] - 1);
        const double apart = rank_of(&strict, i) - rank_of(&near, i);
        ranks += apart * apart;
    }
    qsort(error, ROWS, sizeof *error, ascending);
    const double n = ROWS, spearman = 1 - 6 * ranks / (n * (n * n - 1));
    printf("%s: %s, median error %.3g, p99 %.3g, Spearman 1 - %.3g\n", test_backend(), p->name,
           error[ROWS / 2], error[ROWS * 99 / 100], 1 - spearman);
    assert_true(error[ROWS / 2] > p->least); /* it is another arithmetic */
    assert_true(error[ROWS / 2] < p->median);
    assert_true(error[ROWS * 99 / 100] < p->p99);
    assert_true(spearman > p->spearman);
    df_scores_clear(&strict);
    df_scores_clear(&near);
}

static void near_strict(void **state)
{
    if (!has_both(state))
        return;
    test_ok(score("strict.h5", "strict", 0, 0, ROWS));
    for (int i = 0; i < PRECISIONS; i++)
        check_near_strict(&precisions[i]);
}

static void batches(void **state)
{
    static const int64_t sizes[] = {1, 7, 64, 4096};
    if (!has_both(state))
        return;
    for (int i = 0; i < PRECISIONS; i++) {
        const char *name = precisions[i].name;
        test_ok(score("whole.h5", name, 0, 0, ROWS));
        struct df_scores whole = read_scores("whole.h5", name);
        for (int b = 0; b < 4; b++) {
            const int64_t rows = sizes[b] == 1 ? 12 : ROWS;
            test_ok(score("batch.h5", name, sizes[b], 0, rows));
            struct df_scores part = read_scores("batch.h5", name);
            test_same_floats("margin", part.margin, whole.margin, rows);
            test_same_floats("first margin", part.first_margin, whole.first_margin, rows);
            assert_memory_equal(part.iterations, whole.iterations, (size_t)rows * sizeof *part.iterations);
            df_scores_clear(&part);
        }
        df_scores_clear(&whole);
    }
}

/* What is not finite ends as in strict, and its neighbours do not notice. */
static void strange_rows(void **state)
{
    enum { STRANGE = 6, D = 64 };
    static float x[STRANGE * D];
    char path[TEST_PATH];
    uint8_t status[1 + PRECISIONS][STRANGE];
    float margin[1 + PRECISIONS][STRANGE];
    if (!has_both(state))
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
    for (int k = 0; k < 1 + PRECISIONS; k++) {
        const char *name = k == 0 ? "strict" : precisions[k - 1].name;
        struct df_scores s;
        test_ok(score_pool("strange-scores.h5", path, name, 0, 0, -1));
        s = read_scores("strange-scores.h5", name);
        memcpy(status[k], s.status, sizeof status[k]);
        memcpy(margin[k], s.margin, sizeof margin[k]);
        df_scores_clear(&s);
    }
    assert_int_equal(status[0][1], DFAL_SCORE_NONFINITE);
    assert_int_equal(status[0][2], DFAL_SCORE_NONFINITE);
    for (int k = 1; k < 1 + PRECISIONS; k++) {
        assert_memory_equal(status[0], status[k], sizeof status[0]);
        for (int i = 0; i < STRANGE; i++)
            assert_true(margin[0][i] == margin[k][i] ||
                        fabs((double)margin[k][i] / (double)margin[0][i] - 1) < precisions[k - 1].p99);
    }
}

static void identity(void **state)
{
    struct dfal_context *context = test_context(test_backend(), 1);
    struct dfal_verify_result result;
    char whole[TEST_PATH], first[TEST_PATH], second[TEST_PATH], out[TEST_PATH];
    const char *parts[] = {first, second};
    test_join(first, folder, "first.h5");
    test_join(second, folder, "second.h5");
    test_join(out, folder, "merged.h5");
    test_join(whole, folder, "whole.h5");
    for (int i = 0; has_both(state) && i < PRECISIONS; i++) {
        dfal_verify_result_init(&result);
        test_ok(score("first.h5", precisions[i].name, 0, 0, 90));
        test_ok(score("second.h5", "strict", 0, 90, ROWS));
        test_error(dfal_merge(context, out, parts, 2), DFAL_E_CONFIG, "precision");
        assert_false(df_file_exists(out));
        test_ok(score("whole.h5", precisions[i].name, 0, 0, ROWS));
        test_ok(dfal_verify_scores(context, &result, whole, network_path, pool, 40, NULL));
        assert_true(result.tolerance == precisions[i].tolerance);
        assert_true(result.excused <= 1);
    }
    dfal_context_destroy(context);
}

/* What is proven of rows that are not run rests on float32's sums. */
static void no_proofs(void **state)
{
    struct dfal_context *context = test_context(test_backend(), 1);
    struct dfal_score_options o;
    struct dfal_score_result result;
    char path[TEST_PATH];
    (void)state;
    dfal_score_result_init(&result);
    dfal_score_options_init(&o);
    o.precision = "split";
    o.closest = 5;
    test_join(path, folder, "closest.h5");
    test_error(dfal_score(context, &result, path, network_path, pool, &o), DFAL_E_USAGE,
               "expected `precision` strict or fast");
    assert_false(df_file_exists(path));
    dfal_context_destroy(context);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_strict), cmocka_unit_test(batches),   cmocka_unit_test(strange_rows),
        cmocka_unit_test(identity),    cmocka_unit_test(no_proofs),
    };
    make_network();
    const int code = test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
    test_folder_remove(folder);
    return code;
}
