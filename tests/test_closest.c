/* SPDX-License-Identifier: Apache-2.0 */
/* The closest Q, exact and by a cascade: a file says of each row what the file of all rows says, or less, by
 * a rule that Q and the rows alone decide. */
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
#include "score/score.h"
#include "scores_file.h"
#include "support_network.h"
#include "support_score.h"

/* Two shards and a bit of a tiny network's rows; and rows of convolutions. */
enum { ROWS = 2 * DF_SHARD_ROWS + 500, SMALL = 400, INPUTS = 3 };

static char folder[TEST_PATH];

struct paths {
    char pool[TEST_PATH], network[TEST_PATH], full[TEST_PATH], out[TEST_PATH];
};

static struct paths paths_of(const char *name)
{
    struct paths p;
    char file[64];
    const char *const ends[] = {"pool", "net", "full", "out"};
    char *const to[] = {p.pool, p.network, p.full, p.out};
    for (int i = 0; i < 4; i++) {
        snprintf(file, sizeof file, "%s-%s.h5", name, ends[i]);
        test_join(to[i], folder, file);
    }
    return p;
}

static void save(struct df_network *network, const char *path)
{
    const struct df_provenance provenance = {"", "", "", "", "", "", 1, NULL};
    test_ok(df_network_save(network, path, true, &provenance));
    df_network_destroy(network);
}

static struct dfal_score_options defaults(void)
{
    struct dfal_score_options options;
    dfal_score_options_init(&options);
    return options;
}

static dfal_status score_by(struct dfal_context *context, const struct paths *p, const char *out,
                            const struct dfal_score_options *options, struct dfal_score_result *result)
{
    struct dfal_score_result own;
    dfal_score_result_init(&own);
    const dfal_status status = dfal_score(context, &own, out, p->network, p->pool, options);
    if (result)
        *result = own;
    return status;
}

static dfal_status score(const struct paths *p, const char *out, const struct dfal_score_options *options,
                         struct dfal_score_result *result, int32_t threads)
{
    struct dfal_context *context = test_context(test_backend(), threads);
    context->options.force = true;
    const dfal_status status = score_by(context, p, out, options, result);
    dfal_context_destroy(context);
    return status;
}

static int setup(void **state)
{
    float weight1[8 * INPUTS], bias1[8], weight2[4 * 8], bias2[4], *x;
    (void)state;
    test_folder_create(folder);
    struct paths p = paths_of("tiny");
    test_fill_floats(weight1, 8 * INPUTS, 31, -1, 1);
    test_fill_floats(bias1, 8, 32, -0.5, 0.5);
    test_fill_floats(weight2, 4 * 8, 33, -1, 1);
    test_fill_floats(bias2, 4, 34, -0.5, 0.5);
    save(test_relu_network(weight1, bias1, 8, weight2, bias2, 4, INPUTS), p.network);
    test_ok(df_alloc(&x, (int64_t)ROWS * INPUTS, sizeof *x));
    test_fill_floats(x, (int64_t)ROWS * INPUTS, 35, -1, 1);
    x[7 * INPUTS] = NAN; /* NONFINITE, which no bound may hide */
    test_pool_f32(p.pool, x, ROWS, (struct df_shape){1, 1, INPUTS}, 4, NULL);
    df_free(x);
    p = paths_of("small");
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

static bool same_real(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void same_rows(const struct df_scores *a, const struct df_scores *b, int64_t i)
{
    if (!same_real(a->margin[i], b->margin[i]) || !same_real(a->first_margin[i], b->first_margin[i]) ||
        a->logit_gap[i] != b->logit_gap[i] || a->status[i] != b->status[i] || a->label[i] != b->label[i] ||
        a->adversarial_class[i] != b->adversarial_class[i] || a->iterations[i] != b->iterations[i])
        test_fail("row %lld differs: status %d and %d, margin %.9g and %.9g", (long long)i, a->status[i],
                  b->status[i], (double)a->margin[i], (double)b->margin[i]);
}

static void same_file(const char *a_path, const char *b_path)
{
    struct df_scores a = read_scores(a_path), b = read_scores(b_path);
    assert_int_equal(a.count, b.count);
    for (int64_t i = 0; i < a.count; i++)
        same_rows(&a, &b, i);
    df_scores_clear(&a);
    df_scores_clear(&b);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The q-th smallest margin of OK and TIE. */
static float qth(const struct df_scores *scores, int64_t q)
{
    float *margins, found;
    int64_t n = 0;
    test_ok(df_alloc(&margins, scores->count, sizeof *margins));
    for (int64_t i = 0; i < scores->count; i++)
        if (scores->status[i] <= DFAL_SCORE_TIE)
            margins[n++] = scores->margin[i];
    qsort(margins, (size_t)n, sizeof *margins, ascending);
    found = q <= n ? margins[q - 1] : INFINITY;
    df_free(margins);
    return found;
}

/* What the file of the q closest says of each row, given that of all. Returns how many it prunes. */
static int64_t judge(const struct paths *p, int64_t q, const struct dfal_score_result *result)
{
    struct df_scores all = read_scores(p->full), some = read_scores(p->out);
    const float radius = qth(&all, q < all.count ? q : all.count);
    int64_t pruned = 0;
    assert_int_equal(all.count, some.count);
    for (int64_t i = 0; i < all.count; i++) {
        assert_int_equal(some.index[i], i);
        assert_int_equal(some.label[i], all.label[i]);
        assert_true(some.logit_gap[i] == all.logit_gap[i]);
        if (some.status[i] != DFAL_SCORE_PRUNED) {
            same_rows(&some, &all, i);
            continue;
        }
        pruned++;
        assert_true(some.margin[i] > radius);
        if (all.status[i] == DFAL_SCORE_OK)
            assert_true(some.margin[i] <= all.margin[i]);
        assert_int_equal(some.iterations[i], 0);
        assert_int_equal(some.adversarial_class[i], -1);
        assert_true(isnan(some.first_margin[i]));
    }
    assert_int_equal(result->status[DFAL_SCORE_PRUNED], pruned);
    assert_true(result->deepfool_samples >= all.count - pruned);
    assert_true((float)result->closest_margin == radius);
    assert_true(isnan(result->recall));
    df_scores_clear(&all);
    df_scores_clear(&some);
    return pruned;
}

/* Presets and units whose margins are distances. */
static void exact(void **state)
{
    static const struct {
        const char *name, *preset;
        bool raw, layers;
        int64_t q, least_pruned;
    } cases[] = {
        {"tiny", "lts4", false, false, 10, ROWS * 9 / 10},
        {"tiny", "dfal2018", false, false, 1, ROWS / 2},
        {"small", "lts4", false, false, 3, 1},
        {"small", "lts4", true, false, 3, 1},
        {"small", "lts4", false, true, 3, 1},
        {"small", "foolbox", false, false, 2, 1},
        {"small", "lts4", false, false, SMALL, 0},
        {"small", "lts4", false, false, 10 * SMALL, 0},
    };
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct paths p = paths_of(cases[c].name);
        struct dfal_score_options o = defaults();
        struct dfal_score_result result;
        o.preset = cases[c].preset;
        o.units_raw = cases[c].raw;
        o.engine = cases[c].layers ? "layers" : "auto";
        test_ok(score(&p, p.full, &o, NULL, 2));
        o.closest = cases[c].q;
        test_ok(score(&p, p.out, &o, &result, 2));
        const int64_t pruned = judge(&p, o.closest, &result);
        if (pruned < cases[c].least_pruned)
            test_fail("case %zu: %lld rows are pruned, expected %lld or more", c, (long long)pruned,
                      (long long)cases[c].least_pruned);
    }
}

static void same_bits(void **state)
{
    (void)state;
    for (int cascade = 0; cascade < 2; cascade++) {
        const struct paths p = paths_of("small");
        struct dfal_score_options o = defaults();
        o.closest = 4;
        o.cascade = cascade;
        test_ok(score(&p, p.out, &o, NULL, 1));
        for (int32_t threads = 1; threads <= 4; threads++) {
            o.batch = threads * threads;
            test_ok(score(&p, p.full, &o, NULL, threads));
            same_file(p.out, p.full);
        }
    }
}

/* Head, audit and the rest: every row is as in the file of all rows, PRUNED, or UNSCORED and +inf. */
static void cascade(void **state)
{
    const struct paths p = paths_of("small");
    struct dfal_score_options o = defaults();
    struct dfal_score_result result;
    int64_t counts[DFAL_SCORE_STATUS_COUNT] = {0};
    (void)state;
    test_ok(score(&p, p.full, &o, NULL, 2));
    o.closest = 10;
    o.cascade = true;
    test_ok(score(&p, p.out, &o, &result, 2));
    struct df_scores all = read_scores(p.full), some = read_scores(p.out);
    const float radius = qth(&all, o.closest);
    int64_t missing = 0;
    for (int64_t i = 0; i < SMALL; i++) {
        counts[some.status[i]]++;
        assert_true(some.label[i] == all.label[i] && some.logit_gap[i] == all.logit_gap[i]);
        if (some.status[i] < DFAL_SCORE_PRUNED)
            same_rows(&some, &all, i);
        else if (some.status[i] == DFAL_SCORE_UNSCORED)
            assert_true(isinf(some.margin[i]) && isnan(some.first_margin[i]));
        missing +=
            all.status[i] <= DFAL_SCORE_TIE && all.margin[i] <= radius && some.status[i] >= DFAL_SCORE_PRUNED;
    }
    assert_int_equal(missing, 0); /* of this network the head has them all */
    assert_true(counts[DFAL_SCORE_UNSCORED] > 0);
    assert_int_equal(result.status[DFAL_SCORE_UNSCORED], counts[DFAL_SCORE_UNSCORED]);
    /* 5 Q, and a hundredth of what is neither run nor proven */
    const int64_t unproven = counts[DFAL_SCORE_UNSCORED] + result.audited;
    assert_true(result.audited >= (unproven + 99) / 100 - 1 && result.audited <= (unproven + 99) / 100 + 1);
    assert_int_equal(result.deepfool_samples, 5 * 10 + result.audited);
    assert_int_equal(result.audit_found, 0);
    assert_true(result.recall == 1);
    df_scores_clear(&all);
    df_scores_clear(&some);
}

static void with_images(void **state)
{
    const struct paths p = paths_of("small");
    struct dfal_score_options o = defaults();
    (void)state;
    o.adversarial = o.closest = 5;
    test_ok(score(&p, p.out, &o, NULL, 2));
    o.closest = 0;
    test_ok(score(&p, p.full, &o, NULL, 2));
    for (int i = 0; i < 2; i++) {
        struct df_column columns[2][2];
        const char *const names[] = {"adversarial/samples", "adversarial/index"}, *const paths[] = {p.out,
                                                                                                    p.full};
        for (int k = 0; k < 2; k++) {
            columns[k][0] = (struct df_column){.name = names[0], .type = DF_COLUMN_F32, .rank = 4};
            columns[k][1] = (struct df_column){.name = names[1], .type = DF_COLUMN_I64, .rank = 1};
            test_ok(df_table_read(paths[k], "dfal-scores", NULL, columns[k], 2));
        }
        assert_int_equal(columns[0][1].dims[0], 5);
        assert_memory_equal(columns[0][1].data, columns[1][1].data, 5 * sizeof(int64_t));
        assert_memory_equal(columns[0][0].data, columns[1][0].data, 5 * 100 * sizeof(float));
        for (int k = 0; k < 2; k++)
            for (int c = 0; c < 2; c++)
                df_free(columns[k][c].data);
    }
}

/* Of a network without bound every row is scored; a cascade needs its last layers to be Gemms. */
static void without_bound(void **state)
{
    struct paths p = paths_of("small");
    struct dfal_score_options o = defaults();
    struct dfal_score_result result;
    const struct df_shape shape = {1, 10, 10};
    (void)state;
    test_join(p.network, folder, "residual.h5");
    struct df_network *network = test_graph(shape, 10,
                                            "a Conv input o=2 k=3 p=1;b Relu a;c Conv b o=2 k=3 p=1;d Add "
                                            "c,b;e Relu d;f Flatten e;g Gemm f o=10");
    save(network, p.network);
    test_ok(score(&p, p.full, &o, NULL, 2));
    o.closest = 2;
    test_ok(score(&p, p.out, &o, &result, 2));
    same_file(p.full, p.out);
    assert_int_equal(result.deepfool_samples, SMALL);
    o.cascade = true;
    test_ok(score(&p, p.out, &o, &result, 2));
    assert_int_equal(result.status[DFAL_SCORE_PRUNED], 0);
    assert_true(result.status[DFAL_SCORE_UNSCORED] > SMALL / 2);
    save(test_graph(shape, 10, "a Conv input o=10 k=10;f Flatten a"), p.network);
    test_error(score(&p, p.out, &o, NULL, 2), DFAL_E_UNAVAILABLE, "last layer, a, is no Gemm");
}

static void refused(void **state)
{
    const struct paths p = paths_of("small");
    const struct {
        struct dfal_score_options options;
        const char *words;
    } cases[] = {
        {{.closest = -1}, "-1 closest rows"},
        {{.cascade = true}, "expected `closest`"},
        {{.closest = 3, .range_end = 20}, "no range and no shard"},
        {{.closest = 3, .range_begin = 1}, "no range and no shard"},
        {{.closest = 3, .shard_count = 2}, "no range and no shard"},
        {{.closest = 3, .norm = INFINITY}, "expected l2"},
        {{.closest = 3, .preset = "deepal"}, "squared distances"},
        {{.closest = 3, .unconverged = "keep"}, "expected last or exclude"},
        {{.closest = 3, .adversarial = 4}, "at most the 3 closest"},
    };
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct dfal_score_options o = defaults();
        const struct dfal_score_options *own = &cases[c].options;
        o.closest = own->closest;
        o.cascade = own->cascade;
        o.range_begin = own->range_begin;
        o.range_end = own->range_end ? own->range_end : -1;
        o.shard_count = own->shard_count;
        o.norm = own->norm != 0 ? own->norm : 2;
        o.preset = own->preset ? own->preset : "lts4";
        o.unconverged = own->unconverged ? own->unconverged : "last";
        o.adversarial = own->adversarial;
        test_error(score(&p, p.out, &o, NULL, 1), DFAL_E_USAGE, cases[c].words);
        struct dfal_context *context = test_context(test_backend(), 1);
        struct dfal_estimate_result estimate;
        dfal_estimate_result_init(&estimate);
        if (o.closest >= 0)
            test_error(dfal_score_estimate(context, &estimate, p.network, p.pool, &o), DFAL_E_USAGE,
                       "times the whole pass");
        dfal_context_destroy(context);
    }
}

/* Whatever has been written of a job that is killed, the same line gives the same bytes: it ends before its
 * file has its name, and of its shards one is lost. */
static void killed(void **state)
{
    const struct paths p = paths_of("tiny");
    struct dfal_score_options o = defaults();
    char parts[TEST_PATH + 16], shard[TEST_PATH + 32];
    (void)state;
    snprintf(parts, sizeof parts, "%s.parts", p.out);
    snprintf(shard, sizeof shard, "%s/000001.h5", parts);
    o.closest = 20;
    test_ok(score(&p, p.full, &o, NULL, 2));
    (void)remove(p.out);
    df_fault_arm(DF_FAULT_RENAME, 1);
    assert_int_not_equal(score(&p, p.out, &o, NULL, 2), DFAL_OK);
    df_fault_arm(DF_FAULT_RENAME, 0);
    assert_false(df_file_exists(p.out));
    assert_true(df_folder_exists(parts));
    assert_int_equal(remove(shard), 0);
    shard[strlen(shard) - strlen("1.h5")] = '0';
    assert_true(df_file_exists(shard));
    struct dfal_context *context = test_context(test_backend(), 1);
    o.closest = 21;
    test_error(score_by(context, &p, p.out, &o, NULL), DFAL_E_CONFIG, "closest");
    o.closest = 20;
    test_ok(score_by(context, &p, p.out, &o, NULL));
    dfal_context_destroy(context);
    assert_false(df_folder_exists(parts));
    same_file(p.full, p.out);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exact, setup, teardown),
        cmocka_unit_test_setup_teardown(same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(cascade, setup, teardown),
        cmocka_unit_test_setup_teardown(with_images, setup, teardown),
        cmocka_unit_test_setup_teardown(without_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(killed, setup, teardown),
    };
    return test_on_backends(argc, argv, "ref,cpu", tests, sizeof tests / sizeof *tests);
}
