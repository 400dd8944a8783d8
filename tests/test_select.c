/* SPDX-License-Identifier: Apache-2.0 */
/* Selection: who is a candidate, the same rows whatever the order, batch and threads, scores files taken
 * over, twins, near-duplicates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "report/report.h"
#include "score/pass.h"
#include "store/hdf5_file.h"
#include "store/table.h"
#include "strategy/selection.h"
#include "support_select.h"

/* Every strategy, and the files that may stand for what it computes: none, one of them, or both together. */
enum { NONE = 0, LOGITS = 1, SCORES = 2, TOGETHER = 4 };
static const struct {
    const char *name;
    int files;
} every[] = {
    {"dfal", SCORES},
    {"random", LOGITS | SCORES},
    {"entropy", LOGITS},
    {"least-confidence", LOGITS},
    {"margin", LOGITS},
    {"logit-gap", LOGITS | SCORES},
    {"egl-last", LOGITS},
    {"nearest-other", LOGITS},
    {"bald", NONE},
    {"coreset-greedy", NONE},
    {"egl", NONE},
    {"typiclust", NONE},
    {"cluster-margin", LOGITS},
    {"batchbald", NONE},
    {"ceal", LOGITS},
    {"dfal+ceal", TOGETHER},
    {"balanced", LOGITS},
    {"qbdc", LOGITS},
    {"badge", LOGITS},
    {"dfal-diverse", SCORES},
    {"coreset", NONE},
};
enum { EVERY = sizeof every / sizeof every[0] };
static const char *backends[TEST_BACKENDS];
static int backend_count;

enum { ALL = WORLD_ROWS };

struct heard {
    int duplicates, nonfinite, simulated, few, compared, no_twin;
    int64_t pair[2];
};

static void hear(void *user, const struct dfal_event *event)
{
    struct heard *heard = user;
    heard->nonfinite += !strcmp(event->name, "select.nonfinite");
    heard->simulated += !strcmp(event->name, "select.simulated");
    heard->few += !strcmp(event->name, "select.few");
    heard->compared += !strcmp(event->name, "select.compared");
    heard->no_twin += !strcmp(event->name, "select.no_twin");
    if (!strcmp(event->name, "select.near_duplicate")) {
        heard->duplicates++;
        heard->pair[0] = event->fields[1].integer;
        heard->pair[1] = event->fields[3].integer;
    }
}

struct queries {
    int64_t count, index[ALL];
    double score[ALL];
    int32_t label[ALL];
    char id[ALL][64];
};

static void take(void *user, const struct dfal_query *query)
{
    struct queries *queries = user;
    assert_int_equal(query->rank, queries->count + 1);
    assert_true(query->confidence > 0 && query->confidence <= 1);
    assert_in_range(query->predicted, 0, WORLD_CLASSES - 1);
    queries->score[queries->count] = query->score;
    queries->label[queries->count] = query->label;
    snprintf(queries->id[queries->count], sizeof queries->id[0], "%s", query->id);
    queries->index[queries->count++] = query->index;
}

static dfal_status select_into(const char *name, const char *backend, int32_t threads, const char *pool,
                               const struct dfal_select_options *options, struct queries *queries,
                               struct heard *heard)
{
    char out[TEST_PATH];
    struct queries local;
    test_join(out, world.folder, name);
    remove(out);
    queries = queries ? queries : &local;
    queries->count = 0;
    dfal_context *context = world_context(backend, threads, heard ? hear : NULL, heard);
    dfal_status status = dfal_select(context, out, world.net, pool, options, take, queries);
    dfal_context_destroy(context);
    return status;
}

static void test_same_bytes(void **state)
{
    (void)state;
    for (int b = 0; b < backend_count; b++) {
        for (int s = 0; s < EVERY; s++) {
            struct dfal_select_options options = world_select_options(every[s].name, 12);
            options.subsample = 40;
            test_ok(select_into("a.csv", backends[b], 1, world.train, &options, NULL, NULL));
            char *expected = world_read(world.folder, "a.csv");
            static const int64_t batches[] = {1, 7, 64};
            for (int i = 0; i < 3; i++) {
                world_deepfool.batch = batches[i];
                test_ok(select_into("b.csv", backends[b], 1 + i % 2, world.train, &options, NULL, NULL));
                char *found = world_read(world.folder, "b.csv");
                assert_string_equal(found, expected);
                free(found);
            }
            static const char header[] = DF_QUERY_COLUMNS "," DF_QUERY_NAME_COLUMNS "\n";
            assert_memory_equal(expected, header, strlen(header));
            free(expected);
        }
    }
}

/* A strategy of this build that these tests do not go through is not tested. A command has tests of its own:
 * tests/cli/strategy_command.py. */
static void test_every(void **state)
{
    (void)state;
    for (int i = 0; df_strategies[i]; i++) {
        if (df_strategies[i] == &df_strategy_command)
            continue;
        int found = 0;
        for (int s = 0; s < EVERY; s++)
            found += !strcmp(every[s].name, df_strategies[i]->name);
        if (found != 1)
            test_fail("strategy '%s' stands %d times in `every`, expected once", df_strategies[i]->name,
                      found);
    }
}

/* df_select gets the candidates in any order, with others missing. */
static void test_order(void **state)
{
    (void)state;
    struct world_opened opened;
    struct df_selection first, second;
    world_open(&opened, backends[0], 2, world.net, world.train);
    int64_t *order = opened.rows;
    struct df_selection_options options = {
        .strategy = &df_strategy_dfal, .count = 20, .seed = 3, .twins = true};
    test_ok(df_deepfool_preset(&options.deepfool, "lts4"));
    test_ok(
        df_select(opened.context, opened.device, opened.network, opened.pool, order, ALL, &options, &first));
    assert_int_equal(first.count, 20);
    test_ok(df_random_permutation(order, ALL, 9, DF_STREAM_SHUFFLE, 0));
    test_ok(
        df_select(opened.context, opened.device, opened.network, opened.pool, order, ALL, &options, &second));
    assert_memory_equal(first.index, second.index, 20 * sizeof *first.index);
    assert_memory_equal(first.twin, second.twin, (size_t)(20 * first.size) * sizeof *first.twin);
    df_selection_clear(&second);
    /* Ranks ascend, and leaving out a row that was not chosen moves nobody. */
    int64_t n = 0;
    for (int i = 1; i < 20; i++)
        assert_true(first.score[i] >= first.score[i - 1]);
    for (int i = 0; i < ALL; i++) {
        bool chosen = false;
        for (int k = 0; k < 20; k++)
            chosen = chosen || first.index[k] == i;
        if (chosen || i % 2)
            order[n++] = i;
    }
    test_ok(
        df_select(opened.context, opened.device, opened.network, opened.pool, order, n, &options, &second));
    assert_memory_equal(first.index, second.index, 20 * sizeof *first.index);
    df_selection_clear(&second);
    /* A twin crosses the boundary it was sent over: another class for the network, at the distance of its
     * score. */
    void *raw = malloc(df_pool_row_bytes(opened.pool));
    float *x = malloc((size_t)first.size * sizeof *x);
    for (int i = 0; i < 20; i++) {
        if (first.status[i] != DFAL_SCORE_OK)
            continue;
        double sum = 0;
        assert_int_not_equal(first.adversarial_class[i], first.predicted[i]);
        test_ok(df_pool_gather(opened.pool, raw, &first.index[i], 1));
        df_pool_decode(opened.pool, x, raw, 1);
        for (int64_t k = 0; k < first.size; k++)
            sum += pow((double)first.twin[i * first.size + k] - x[k], 2);
        if (!(fabs(sqrt(sum) - first.score[i]) <= 1e-4 * first.score[i] + 1e-6))
            test_fail("twin %d lies %g away, its score is %g", i, sqrt(sum), first.score[i]);
    }
    free(raw);
    free(x);
    df_selection_clear(&first);
    options.count = 5;
    test_ok(df_select(opened.context, opened.device, opened.network, opened.pool, NULL, 0, &options, &first));
    assert_int_equal(first.count, 0);
    df_selection_clear(&first);
    world_close(&opened);
}

static void test_left_out(void **state)
{
    (void)state;
    char pool[TEST_PATH], labels[TEST_PATH];
    struct queries queries;
    struct heard heard = {0};
    test_join(pool, world.folder, "plain.h5");
    world_pool(pool, ALL, 0, POOL_NO_LABELS | POOL_F32 | POOL_NAN | POOL_IDS);
    world_write(labels, "labels.csv",
                "id,label,status\n\"<script>\"\"0\"\"</script>\",1,\n\"=row,3\",0,label\n\"=row,9\",,skip\n");
    const char *files[] = {labels};
    for (int s = 0; s < EVERY; s++) {
        struct dfal_select_options options = world_select_options(every[s].name, 100);
        world_labelled.label_files = files;
        world_labelled.label_file_count = 1;
        heard = (struct heard){0};
        test_ok(select_into("left.csv", backends[0], 1, pool, &options, &queries, &heard));
        assert_int_equal(queries.count, ALL - 4); /* two labelled, one skipped, one not finite */
        for (int64_t i = 0; i < queries.count; i++) {
            assert_true(queries.index[i] != 0 && queries.index[i] != 3 && queries.index[i] != 9 &&
                        queries.index[i] != 5);
            assert_int_equal(queries.label[i], -1);
            for (int64_t k = 0; k < i; k++)
                assert_int_not_equal(queries.index[i], queries.index[k]);
        }
        assert_true(heard.nonfinite == 1 && heard.few == 1 && heard.simulated == 0);
    }
    char *text = world_read(world.folder, "left.csv");
    assert_non_null(strstr(text, ",\"'=row,1\",1,"));
    free(text);
    /* A pool that knows every label is a simulation: only rows of label files are left out. */
    struct dfal_select_options options = world_select_options("random", 100);
    world_labelled.label_files = files;
    world_labelled.label_file_count = 1;
    heard = (struct heard){0};
    test_ok(select_into("left.csv", backends[0], 1, world.train, &options, &queries, &heard));
    assert_int_equal(queries.count, ALL - 3);
    assert_int_equal(heard.simulated, 1);
    assert_in_range(queries.label[0], 0, WORLD_CLASSES - 1);
}

static void test_scores(void **state)
{
    (void)state;
    char scores[TEST_PATH], other[TEST_PATH];
    struct dfal_select_options options = world_select_options("dfal", 15);
    struct dfal_score_options score;
    test_join(scores, world.folder, "scores.h5");
    test_join(other, world.folder, "other-net.h5");
    remove(scores);
    world_network(other, 77);
    dfal_score_options_init(&score);
    dfal_context *context = world_context(backends[0], 1, NULL, NULL);
    struct dfal_score_result result;
    dfal_score_result_init(&result);
    test_ok(dfal_score(context, &result, scores, world.net, world.train, &score));
    test_ok(select_into("a.csv", backends[0], 1, world.train, &options, NULL, NULL));
    options.scores_path = scores;
    test_ok(select_into("b.csv", backends[0], 1, world.train, &options, NULL, NULL));
    char *a = world_read(world.folder, "a.csv"), *b = world_read(world.folder, "b.csv");
    assert_string_equal(a, b);
    free(a);
    free(b);
    char out[TEST_PATH], twins[TEST_PATH];
    test_join(out, world.folder, "refused.csv");
    test_join(twins, world.folder, "refused-twins.h5");
    options.twins_path = twins;
    test_error(dfal_select(context, out, other, world.train, &options, NULL, NULL), DFAL_E_DATA,
               ".h5 was made with network_sha256 ");
    test_error(dfal_select(context, out, world.net, world.test, &options, NULL, NULL), DFAL_E_DATA,
               ".h5 was made with pool_fingerprint ");
    world_deepfool.preset = "dfal2018";
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_CONFIG,
               "dfal2018");
    world_deepfool.preset = "lts4";
    char part[TEST_PATH]; /* rows 0 to 39 of 60 */
    test_join(part, world.folder, "part.h5");
    remove(part);
    score.range_end = 40;
    test_ok(dfal_score(context, &result, part, world.net, world.train, &score));
    options.scores_path = part;
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_DATA,
               "no margin of 20 of the 60 candidates, the first is row 40");
    options.scores_path = world.net;
    assert_int_equal(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_DATA);
    assert_false(world_exists(world.folder, "refused.csv"));
    assert_false(world_exists(world.folder, "refused-twins.h5"));
    dfal_context_destroy(context);
}

static char **read_ids(const char *path, int64_t count)
{
    struct df_h5 h5;
    struct df_h5_data data;
    char **ids = NULL;
    df_h5_lock();
    test_ok(df_h5_open(&h5, path, false));
    test_ok(df_h5_data_open(&h5, "id", &data, NULL));
    assert_int_equal(data.dims[0], count);
    test_ok(df_alloc(&ids, count, sizeof *ids));
    test_ok(df_h5_texts_read(&h5, &data, 0, count, ids));
    df_h5_data_close(&h5, &data);
    df_h5_close(&h5);
    df_h5_unlock();
    return ids;
}

static void test_twins(void **state)
{
    (void)state;
    char twins[TEST_PATH];
    struct dfal_select_options options = world_select_options("dfal", 9);
    struct queries queries;
    test_join(twins, world.folder, "twins.h5");
    options.twins_path = twins;
    test_ok(select_into("t.csv", backends[0], 1, world.train, &options, &queries, NULL));
    struct df_column columns[] = {{.name = "/samples", .type = DF_COLUMN_F32, .rank = 4},
                                  {.name = "/index", .type = DF_COLUMN_I64, .rank = 1},
                                  {.name = "/label", .type = DF_COLUMN_I32, .rank = 1},
                                  {.name = "/status", .type = DF_COLUMN_U8, .rank = 1},
                                  {.name = "/rank", .type = DF_COLUMN_I64, .rank = 1},
                                  {.name = "/adversarial_class", .type = DF_COLUMN_I32, .rank = 1}};
    char *configuration = NULL;
    char **ids = read_ids(twins, 9);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(ids[i], queries.id[i]);
        df_free(ids[i]);
    }
    df_free(ids);
    test_ok(df_table_read(twins, "dfal-twins", &configuration, columns, 6));
    assert_int_equal(columns[0].dims[0], 9);
    assert_int_equal(columns[0].dims[3], WORLD_SIZE);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(((int64_t *)columns[1].data)[i], queries.index[i]);
        assert_int_equal(((int32_t *)columns[2].data)[i], queries.label[i]);
        assert_int_equal(((uint8_t *)columns[3].data)[i], DFAL_SCORE_OK);
        assert_int_equal(((int64_t *)columns[4].data)[i], i + 1);
        assert_in_range(((int32_t *)columns[5].data)[i], 0, WORLD_CLASSES - 1);
    }
    assert_non_null(strstr(configuration, "\"scale\":[0.0039215686274509803]"));
    assert_non_null(strstr(configuration, "\"strategy\":\"dfal\""));
    for (int i = 0; i < 6; i++)
        df_free(columns[i].data);
    df_free(configuration);
    test_error(select_into("t.csv", backends[0], 1, world.train, &options, NULL, NULL), DFAL_E_EXISTS,
               "twins.h5");
}

static void test_near_duplicate(void **state)
{
    (void)state;
    char pool[TEST_PATH];
    struct heard heard = {0};
    struct dfal_select_options options = world_select_options("random", 20);
    test_join(pool, world.folder, "twice.h5");
    world_pool(pool, 20, 0, POOL_TWICE | POOL_NO_LABELS);
    test_ok(select_into("d.csv", backends[0], 1, pool, &options, NULL, &heard));
    assert_int_equal(heard.duplicates, 1);
    assert_int_equal(heard.pair[0] + heard.pair[1], 10);
}

/* Scores of other roads: logits on the way, a logits file, the gaps of a scores file. */
static void test_sources(void **state)
{
    (void)state;
    char logits[TEST_PATH], scores[TEST_PATH];
    struct dfal_score_options score;
    struct dfal_score_result result;
    dfal_score_result_init(&result);
    test_join(logits, world.folder, "logits.h5");
    test_join(scores, world.folder, "sources.h5");
    dfal_score_options_init(&score);
    for (int b = 0; b < backend_count; b++) {
        remove(logits);
        remove(scores);
        dfal_context *context = world_context(backends[b], 2, NULL, NULL);
        test_ok(dfal_logits(context, logits, world.net, world.train, NULL));
        test_ok(dfal_score(context, &result, scores, world.net, world.train, &score));
        dfal_context_destroy(context);
        for (int s = 0; s < EVERY; s++) {
            struct dfal_select_options options = world_select_options(every[s].name, 25);
            options.subsample = 50;
            test_ok(select_into("a.csv", backends[b], 1, world.train, &options, NULL, NULL));
            char *expected = world_read(world.folder, "a.csv");
            for (int files = 1; files <= (LOGITS | SCORES); files++) {
                options.logits_path = files & LOGITS ? logits : NULL;
                options.scores_path = files & SCORES ? scores : NULL;
                const dfal_status status =
                    select_into("b.csv", backends[b], 2, world.train, &options, NULL, NULL);
                const bool whole = files == (LOGITS | SCORES) && every[s].files == TOGETHER;
                if (!(files & every[s].files) && !whole) {
                    test_error(status, DFAL_E_USAGE, "needs ");
                    continue;
                }
                test_ok(status);
                char *found = world_read(world.folder, "b.csv");
                assert_string_equal(found, expected);
                free(found);
            }
            free(expected);
        }
    }
    /* Files of another network or pool, of another kind, of another shape. */
    char other[TEST_PATH], node[TEST_PATH];
    struct dfal_select_options options = world_select_options("entropy", 5);
    dfal_context *context = world_context(backends[0], 1, NULL, NULL);
    test_join(other, world.folder, "other-net.h5");
    test_join(node, world.folder, "node.h5");
    world_network(other, 77);
    struct dfal_logits_options dense;
    dfal_logits_options_init(&dense);
    dense.node = "dense";
    test_ok(dfal_logits(context, node, world.net, world.train, &dense));
    char out[TEST_PATH];
    test_join(out, world.folder, "no.csv");
    options.logits_path = logits;
    test_error(dfal_select(context, out, other, world.train, &options, NULL, NULL), DFAL_E_DATA,
               ".h5 was made with network_sha256 ");
    test_error(dfal_select(context, out, world.net, world.test, &options, NULL, NULL), DFAL_E_SHAPE,
               "[30, 3]");
    options.logits_path = node;
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_DATA,
               "logits");
    options.logits_path = world.net;
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_DATA,
               "expected a dfal logits");
    options.logits_path = "none.h5";
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_NOINPUT,
               "none.h5");
    assert_false(world_exists(world.folder, "no.csv"));
    dfal_context_destroy(context);
}

/* Twins of any strategy, only where DeepFool ended with OK. */
static void test_twins_of_any(void **state)
{
    (void)state;
    char twins[TEST_PATH];
    test_join(twins, world.folder, "any.h5");
    for (int s = 0; s < EVERY; s++) {
        struct dfal_select_options options = world_select_options(every[s].name, 10);
        struct heard heard = {0};
        struct queries queries;
        remove(twins);
        options.twins_path = twins;
        world_deepfool.max_iter = 1; /* some of them do not get there */
        world_deepfool.overshoot = 0;
        test_ok(select_into("any.csv", backends[0], 1, world.train, &options, &queries, &heard));
        struct df_column columns[] = {{.name = "/samples", .type = DF_COLUMN_F32, .rank = 4},
                                      {.name = "/rank", .type = DF_COLUMN_I64, .rank = 1},
                                      {.name = "/index", .type = DF_COLUMN_I64, .rank = 1}};
        char *configuration = NULL;
        test_ok(df_table_read(twins, "dfal-twins", &configuration, columns, 3));
        int64_t n = columns[0].dims[0];
        assert_in_range(n, 0, 10);
        assert_int_equal(heard.no_twin, n < 10);
        for (int64_t i = 0; i < n; i++) {
            const float *x = (const float *)columns[0].data + i * WORLD_SIZE * WORLD_SIZE;
            double sum = 0;
            for (int k = 0; k < WORLD_SIZE * WORLD_SIZE; k++)
                sum += fabs((double)x[k]);
            assert_true(sum > 0);
            int64_t rank = ((int64_t *)columns[1].data)[i];
            assert_int_equal(((int64_t *)columns[2].data)[i], queries.index[rank - 1]);
        }
        for (int i = 0; i < 3; i++)
            df_free(columns[i].data);
        df_free(configuration);
    }
}

static void test_usage(void **state)
{
    (void)state;
    struct dfal_select_options options = world_select_options("randon", 5);
    test_error(select_into("u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE, "'random'");
    options = world_select_options("random", 0);
    test_error(select_into("u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE, "count is 0");
    options = world_select_options("random", 5);
    char u[TEST_PATH];
    test_join(u, world.folder, "u.csv");
    options.twins_path = u;
    test_error(select_into("u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               "queries and for the twins");
    options.twins_path = NULL;
    options.sheet_path = u;
    test_error(select_into("u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               ".html or .png");
    options.sheet_path = NULL;
    options.scores_path = u;
    options.strategy = "margin";
    test_error(select_into("v.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               "`logits_path`");
    options.scores_path = NULL;
    options.logits_path = u;
    options.strategy = "dfal";
    test_error(select_into("v.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               "`scores_path`");
    options = world_select_options("coreset-greedy", 5);
    options.scores_path = u;
    test_error(select_into("v.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               "needs features, which ");
    options = world_select_options("bald", 5);
    options.logits_path = u;
    test_error(select_into("v.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               "needs stochastic passes, which ");
    const char *const wrong[] = {"passes=3", "passes=0"};
    options = world_select_options("bald", 5);
    options.strategy_options = wrong;
    options.strategy_option_count = 2;
    test_error(select_into("v.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE,
               "strategy bald: passes is 0, expected a whole number from 1 to 10000");
    options = world_select_options(NULL, 5);
    test_error(select_into("u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE, "strategy");
    options = world_select_options("dfal", 5);
    world_deepfool.preset = "lts5";
    test_error(select_into("u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE, "lts4");
    test_error(select_into("no/such/u.csv", "ref", 1, world.train, &options, NULL, NULL), DFAL_E_USAGE, "");
    assert_false(world_exists(world.folder, "u.csv"));
}

int main(int argc, char **argv)
{
    backend_count = test_backends(backends, argc, argv, "ref,cpu");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every),   cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_scores),  cmocka_unit_test(test_twins),
        cmocka_unit_test(test_usage),   cmocka_unit_test(test_near_duplicate),
        cmocka_unit_test(test_sources), cmocka_unit_test(test_twins_of_any),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
