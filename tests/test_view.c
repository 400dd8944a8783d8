/* SPDX-License-Identifier: Apache-2.0 */
/* What a view computes of its candidates, and how a selection asks a strategy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/rng.h"
#include "net/row_gradients.h"
#include "score/pass.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/view_inside.h"
#include "support_world.h"

static const char *backends[TEST_BACKENDS];
static int backend_count;

enum { ALL = WORLD_ROWS };

/* Logits as a whole; of them column 1 is ranked. */
static dfal_status choose_by_logit(struct df_view *view, int64_t q, struct df_choices *choices)
{
    const float *logits = NULL, *again = NULL;
    double *column = NULL;
    const int64_t n = df_view_count(view), k = df_view_class_count(view);
    DF_TRY(df_view_logits(view, &logits));
    DF_TRY(df_view_logits(view, &again));
    assert_ptr_equal(logits, again); /* they are kept */
    DF_TRY(df_alloc(&column, n, sizeof *column));
    for (int64_t i = 0; i < n; i++)
        column[i] = (double)logits[i * k + 1];
    const dfal_status status = df_rank_by_score(view, column, DF_LARGEST_FIRST, q, choices);
    df_free(column);
    return status;
}

/* A set of neighbours: a row and the next ones. One that is left out changes who else is in it. */
static int sets; /* how often it was asked */
static dfal_status choose_set(struct df_view *view, int64_t q, struct df_choices *choices)
{
    sets++;
    choices->count = choices->nonfinite = 0;
    for (int64_t i = 0; i < q; i++)
        choices->list[choices->count++] =
            (struct df_choice){.candidate = df_view_count(view) - 1 - i, .score = (double)(100 * q + i)};
    return DFAL_OK;
}

static dfal_status select_all(const struct world_opened *opened, const struct df_selection_options *options,
                              struct df_selection *selection)
{
    return df_select(opened->context, opened->device, opened->network, opened->pool, opened->rows, ALL,
                     options, selection);
}

/* A strategy that wants all logits gets them, where they have room. */
static void test_whole_logits(void **state)
{
    (void)state;
    struct world_opened opened;
    struct df_selection selection;
    const struct df_strategy logits = {.name = "logit", .asks = DF_ASKS_LOGITS, .select = choose_by_logit};
    struct df_selection_options options = {.strategy = &logits, .count = ALL};
    world_open(&opened, backends[0], 1, world.net, world.train);
    test_ok(select_all(&opened, &options, &selection));
    assert_int_equal(selection.count, ALL);
    for (int i = 1; i < ALL; i++)
        assert_true(selection.score[i] <= selection.score[i - 1] && selection.adversarial_class[i] == -1);
    df_selection_clear(&selection);
    opened.context->memory = 1;
    test_error(select_all(&opened, &options, &selection), DFAL_E_MEMORY,
               "the logits of 60 candidates take 0.0 MB, expected at most the 0.0 MB");
    world_close(&opened);
}

/* One that chooses a set is asked again without what turned out not to be finite. */
static void test_sets(void **state)
{
    (void)state;
    char path[TEST_PATH];
    struct world_opened opened;
    struct df_selection selection;
    const struct df_strategy set = {.name = "set", .set = true, .select = choose_set};
    const struct df_selection_options options = {.strategy = &set, .count = ALL};
    struct df_selection_options few = options;
    test_join(path, world.folder, "set.h5");
    world_pool(path, ALL, 0, POOL_NO_LABELS | POOL_F32 | POOL_NAN);
    world_open(&opened, backends[0], 1, world.net, path);
    sets = 0;
    test_ok(select_all(&opened, &options, &selection));
    assert_int_equal(sets, 2);
    assert_int_equal(selection.count, ALL - 1); /* row 5 is not finite */
    assert_int_equal(selection.nonfinite, 1);
    for (int i = 0; i < ALL - 1; i++) {
        assert_int_equal(selection.index[i], i < ALL - 6 ? ALL - 1 - i : ALL - 2 - i);
        assert_true(selection.score[i] == 100 * (ALL - 1) + i); /* of the second set */
    }
    df_selection_clear(&selection);
    few.count = 4;
    sets = 0;
    test_ok(select_all(&opened, &few, &selection));
    assert_true(sets == 1 && selection.count == 4 && selection.nonfinite == 0 &&
                selection.index[3] == ALL - 4);
    df_selection_clear(&selection);
    world_close(&opened);
}

/* A number of the logits of labelled rows is that of the same rows as candidates; the two are kept apart. */
static double second_logit(const float *logits, int64_t class_count)
{
    (void)class_count;
    return (double)logits[1];
}

static struct df_view view_of(const struct world_opened *opened, const struct df_selection_options *options)
{
    return (struct df_view){.context = opened->context,
                            .device = opened->device,
                            .network = opened->network,
                            .pool = opened->pool,
                            .options = options};
}

static void test_labelled_row_scores(void **state)
{
    (void)state;
    static const int64_t labelled[3] = {2, 30, 59};
    const struct df_strategy none = {.name = "none"};
    const struct df_selection_options options = {
        .strategy = &none, .labelled_rows = labelled, .labelled_row_count = 3};
    for (int b = 0; b < backend_count; b++) {
        struct world_opened opened;
        const double *all = NULL, *known = NULL, *again = NULL;
        world_open(&opened, backends[b], 2, world.net, world.train);
        struct df_view view = view_of(&opened, &options);
        test_ok(df_view_open(&view, opened.rows, ALL));
        test_ok(df_view_labelled_row_scores(&view, second_logit, &known));
        test_ok(df_view_row_scores(&view, second_logit, &all));
        for (int i = 0; i < 3; i++)
            assert_true(known[i] == all[labelled[i]]);
        test_ok(df_view_exclude(&view, (int64_t[]){0, 1}, 2));
        test_ok(df_view_labelled_row_scores(&view, second_logit, &again));
        assert_ptr_equal(again, known);
        assert_true(again[0] == all[0]); /* row 2 is candidate 0 now */
        df_view_close(&view);
        world_close(&opened);
    }
}

/* ---- features ------------------------------------------------------------------------------------------ */

static double square_sum(const float *values, int64_t size)
{
    double sum = 0;
    for (int64_t i = 0; i < size; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

enum { FEATURES = 96 };

/* All rows' features, of their own forward; then those of other candidates in other threads have the same
 * bits. */
static void test_features(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    static float whole[2][ALL * FEATURES];
    for (int b = 0; b < backend_count; b++) {
        for (int run = 0; run < 4; run++) {
            struct world_opened opened;
            struct df_features features, again, known;
            const double *scores = NULL, *alone = NULL;
            static const int64_t labelled[3] = {2, 30, 59};
            const struct df_selection_options options = {.strategy = &none,
                                                         .subsample = run < 2 ? 0 : 17,
                                                         .seed = 4,
                                                         .labelled_rows = labelled,
                                                         .labelled_row_count = 3};
            world_open(&opened, backends[b], 1 + run % 3, world.net, world.train);
            struct df_view view = view_of(&opened, &options), other = view_of(&opened, &options);
            test_ok(df_view_open(&view, opened.rows, ALL));
            test_ok(df_view_open(&other, opened.rows, ALL));
            for (int named = 0; named < 2; named++) {
                const char *node = named ? "flat" : "";
                test_ok(df_view_features(&view, node, &features));
                assert_true(features.size == FEATURES && features.count == (run < 2 ? ALL : 17));
                if (run == 0)
                    memcpy(whole[named], features.values, sizeof whole[named]);
                for (int64_t i = 0; i < features.count; i++)
                    test_same_floats("features", features.values + i * FEATURES,
                                     whole[named] + df_view_rows(&view)[i] * FEATURES, FEATURES);
                test_ok(df_view_features(&view, node, &again));
                assert_ptr_equal(again.values, features.values);
                /* Numbers of them, from the whole and streamed. */
                test_ok(df_view_feature_scores(&view, node, square_sum, &scores));
                test_ok(df_view_feature_scores(&other, node, square_sum, &alone));
                for (int64_t i = 0; i < features.count; i++)
                    assert_true(scores[i] == alone[i] && scores[i] > 0 &&
                                scores[i] == square_sum(features.values + i * FEATURES, FEATURES));
                test_ok(df_view_labelled_features(&view, node, &known));
                assert_true(known.count == 3 && known.size == FEATURES);
                for (int64_t i = 0; i < 3; i++)
                    test_same_floats("labelled features", known.values + i * FEATURES,
                                     whole[named] + labelled[i] * FEATURES, FEATURES);
            }
            df_view_close(&view);
            df_view_close(&other);
            world_close(&opened);
        }
        /* The last Gemm reads what the pool gives: folded or not, that is the same but for rounding. */
        test_near("features of the folded network", whole[0], whole[1], ALL * FEATURES, 1e-5);
    }
}

/* How many passes ended. */
struct passed {
    int logits, features;
};

static void count_passes(void *user, const struct dfal_event *event)
{
    struct passed *passed = user;
    const bool ended = event->field_count > 1 && event->fields[0].integer == event->fields[1].integer;
    passed->logits += ended && !strcmp(event->name, "select.logits");
    passed->features += ended && !strcmp(event->name, "select.features");
}

struct asked {
    const double *logits, *sums;
    struct df_features features;
};

static struct asked ask_both(struct df_view *view, bool labelled, bool whole)
{
    struct asked asked = {0};
    test_ok(labelled ? df_view_labelled_row_scores(view, second_logit, &asked.logits)
                     : df_view_row_scores(view, second_logit, &asked.logits));
    if (whole)
        test_ok(labelled ? df_view_labelled_features(view, "", &asked.features)
                         : df_view_features(view, "", &asked.features));
    else
        test_ok(df_view_feature_scores(view, "", square_sum, &asked.sums));
    return asked;
}

/* Logits and features of one pass are those of two: numbers of the features, they themselves, and those of
 * labelled rows. */
static void test_expected(void **state)
{
    (void)state;
    static const int64_t labelled_rows[3] = {2, 30, 59};
    const struct df_strategy none = {.name = "none"};
    const struct df_selection_options options = {
        .strategy = &none, .labelled_rows = labelled_rows, .labelled_row_count = 3};
    for (int run = 0; run < 3 * backend_count; run++) {
        const bool whole = run % 3 > 0, labelled = run % 3 > 1;
        struct world_opened opened;
        struct passed passed = {0};
        world_open(&opened, backends[run / 3], 1 + run % 2, world.net, world.train);
        opened.context->options.event = count_passes;
        opened.context->options.event_user = &passed;
        struct df_view one = view_of(&opened, &options), two = one;
        test_ok(df_view_open(&one, opened.rows, ALL));
        test_ok(df_view_open(&two, opened.rows, ALL));
        test_ok(df_view_expect(&one, labelled, second_logit, "", whole ? NULL : square_sum));
        const struct asked found = ask_both(&one, labelled, whole);
        assert_true(passed.features == 1 && passed.logits == 0);
        const struct asked expected = ask_both(&two, labelled, whole);
        assert_true(passed.features == 2 && passed.logits == 1);
        const size_t n = labelled ? 3 : ALL;
        assert_memory_equal(found.logits, expected.logits, n * sizeof *found.logits);
        if (whole)
            test_same_floats("features", found.features.values, expected.features.values,
                             (int64_t)n * found.features.size);
        else
            assert_memory_equal(found.sums, expected.sums, n * sizeof *found.sums);
        df_view_close(&one);
        df_view_close(&two);
        world_close(&opened);
    }
}

/* A node's values are not the folded network's, so nothing is computed before it is asked for. */
static void test_not_expected(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    const struct df_selection_options options = {.strategy = &none};
    struct world_opened opened;
    struct passed passed = {0};
    const double *logits;
    world_open(&opened, backends[0], 1, world.net, world.train);
    opened.context->options.event = count_passes;
    opened.context->options.event_user = &passed;
    struct df_view view = view_of(&opened, &options);
    test_ok(df_view_open(&view, opened.rows, ALL));
    test_ok(df_view_expect(&view, false, second_logit, "flat", NULL));
    assert_true(passed.logits == 0 && passed.features == 0);
    test_ok(df_view_row_scores(&view, second_logit, &logits));
    assert_true(passed.logits == 1 && passed.features == 0);
    test_ok(df_view_expect(&view, false, second_logit, "", square_sum)); /* one of them is there */
    assert_true(passed.logits == 1 && passed.features == 0);
    df_view_close(&view);
    world_close(&opened);
}

static void test_features_refused(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    const struct df_selection_options options = {.strategy = &none, .seed = 4};
    struct world_opened opened;
    struct df_features features;
    world_open(&opened, backends[0], 1, world.net, world.train);
    struct df_view view = view_of(&opened, &options);
    test_ok(df_view_open(&view, opened.rows, ALL));
    test_error(df_view_features(&view, "flatt", &features), DFAL_E_USAGE, "unknown node 'flatt'");
    test_error(df_view_features(&view, "flatt", &features), DFAL_E_USAGE, "nearest is 'flat'");
    test_ok(df_view_features(&view, "input", &features));
    assert_int_equal(features.size, WORLD_SIZE * WORLD_SIZE);
    test_ok(df_view_labelled_features(&view, "", &features)); /* nobody is labelled */
    assert_int_equal(features.count, 0);
    opened.context->memory = df_memory_held() / 2;
    test_error(
        df_view_features(&view, "", &features), DFAL_E_MEMORY,
        "the features of 60 candidates take 0.0 MB, expected at most the 0.0 MB that the memory limit of ");
    test_error(df_view_features(&view, "", &features), DFAL_E_MEMORY,
               "choose from fewer candidates (subsample)");
    df_view_close(&view);
    world_close(&opened);
}

/* ---- ids --------------------------------------------------------------------------------------------- */

static dfal_status count_ids(void *user, int64_t at, int64_t count, char *const *ids)
{
    (void)at;
    for (int64_t i = 0; i < count; i++)
        *(int64_t *)user += strlen(ids[i]) > 0;
    return DFAL_OK;
}

/* Ids that the pool has, and ids that are made where it has none: each allocation fails once, and nothing is
 * lost or freed twice. */
static void test_ids(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    const struct df_selection_options options = {.strategy = &none, .seed = 4};
    struct world_opened opened;
    world_open(&opened, backends[0], 1, world.net, world.train);
    for (int made = 0; made < 2; made++) {
        struct df_view view = {.context = opened.context,
                               .device = opened.device,
                               .network = opened.network,
                               .pool = opened.pool,
                               .options = &options};
        int64_t seen = 0;
        dfal_status status = DFAL_E_MEMORY;
        opened.pool->has_ids = opened.pool->has_ids && !made;
        test_ok(df_view_open(&view, opened.rows, ALL));
        const int64_t live = df_alloc_live();
        for (int n = 1; status != DFAL_OK; n++) {
            seen = 0;
            df_fault_arm(DF_FAULT_ALLOC, n);
            status = df_view_ids(&view, count_ids, &seen);
            df_fault_arm(DF_FAULT_ALLOC, 0);
            assert_true(status == DFAL_OK || status == DFAL_E_MEMORY);
            assert_int_equal(df_alloc_live(), live);
        }
        assert_int_equal(seen, ALL);
        df_view_close(&view);
    }
    world_close(&opened);
}

/* ---- passes -------------------------------------------------------------------------------------------- */

enum { PASSES = 5, LOGITS = PASSES * WORLD_CLASSES };

struct passes {
    float logits[ALL * LOGITS]; /* by row of the pool */
    int seen[ALL];
    const struct df_view *view;
};

static dfal_status keep_passes(void *user, int64_t candidate, const float *logits)
{
    struct passes *passes = user;
    const int64_t row = df_view_rows(passes->view)[candidate];
    passes->seen[row]++;
    memcpy(passes->logits + row * LOGITS, logits, LOGITS * sizeof *logits);
    return DFAL_OK;
}

/* Passes of one row at a time, straight from a tape. */
static void draw_alone(const struct world_opened *opened, uint64_t seed, bool shared, float *logits)
{
    struct df_plan *plan = NULL;
    struct df_tape *tape = NULL;
    const int64_t size = WORLD_SIZE * WORLD_SIZE;
    unsigned char raw[WORLD_SIZE * WORLD_SIZE];
    float x[WORLD_SIZE * WORLD_SIZE];
    test_ok(df_plan_create(&plan, opened->device, opened->network, DF_PLAN_FORWARD, false));
    test_ok(df_tape_create(&tape, plan, 0, 1, 0));
    for (int64_t row = 0; row < ALL; row++) {
        test_ok(df_pool_gather(opened->pool, raw, &row, 1));
        df_pool_decode(opened->pool, x, raw, 1);
        test_ok(df_write(opened->device, 0, df_tape_input(tape), x, size));
        for (int64_t t = 0; t < PASSES; t++) {
            const struct df_dropout dropout = {.seed = seed, .step = t, .first_row = row, .shared = shared};
            test_ok(df_tape_forward_dropout(tape, 1, &dropout));
            test_ok(df_read(opened->device, 0, logits + row * LOGITS + t * WORLD_CLASSES,
                            df_tape_logits(tape), WORLD_CLASSES));
        }
    }
    df_tape_destroy(tape);
    df_plan_destroy(plan);
}

static void test_passes(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    static float expected[ALL * LOGITS];
    static struct passes passes;
    for (int b = 0; b < backend_count; b++)
        for (int run = 0; run < 6; run++) {
            struct world_opened opened;
            const bool shared = run % 2 == 1;
            const struct df_selection_options options = {
                .strategy = &none, .subsample = run < 4 ? 0 : 17, .seed = 4};
            world_open(&opened, backends[b], 1 + run / 2, world.net, world.train);
            draw_alone(&opened, df_random_child(4, DF_STREAM_PASSES, 0), shared, expected);
            struct df_view view = view_of(&opened, &options);
            test_ok(df_view_open(&view, opened.rows, ALL));
            memset(&passes, 0, sizeof passes);
            passes.view = &view;
            test_ok(df_view_passes(&view, PASSES, shared ? DF_MASKS_SHARED : DF_MASKS_OWN, 0, NULL,
                                   keep_passes, &passes));
            int differ = 0;
            for (int64_t i = 0; i < df_view_count(&view); i++) {
                const int64_t row = df_view_rows(&view)[i];
                assert_int_equal(passes.seen[row], 1);
                test_same_floats("passes", passes.logits + row * LOGITS, expected + row * LOGITS, LOGITS);
                differ += memcmp(expected + row * LOGITS, expected + row * LOGITS + WORLD_CLASSES,
                                 WORLD_CLASSES * sizeof(float)) != 0;
            }
            assert_in_range(differ, df_view_count(&view) / 2, ALL); /* two passes are two masks */
            df_view_close(&view);
            world_close(&opened);
        }
}

/* ---- gradients ----------------------------------------------------------------------------------------- */

enum { ASKED = 3, MOST_PARAMETERS = 600 };

/* Three losses of a row: of its logits, of its largest class, of the first two. */
static void three_losses(const float *logits, int32_t class_count, float *cotangents)
{
    for (int32_t k = 0; k < class_count; k++) {
        cotangents[k] = logits[k] / 8;
        cotangents[class_count + k] = k == (int32_t)df_row_largest(logits, class_count);
        cotangents[2 * class_count + k] = k == 0 ? 1.0f : k == 1 ? -1.0f : 0.0f;
    }
}

struct gradients {
    const struct df_view *view; /* NULL: by row of the pool */
    int64_t size;
    bool vectors;
    int seen[ALL];
    double norms[ALL][ASKED];
    float values[ALL][ASKED * MOST_PARAMETERS];
    dfal_context *stop; /* at the first row */
};

static dfal_status keep_gradients(void *user, int64_t candidate, const struct df_gradients *gradients)
{
    struct gradients *kept = user;
    const int64_t row = df_view_rows(kept->view)[candidate];
    kept->seen[row]++;
    assert_int_equal(gradients->count, ASKED);
    assert_int_equal(gradients->size, kept->size);
    assert_true((gradients->vectors != NULL) == kept->vectors);
    memcpy(kept->norms[row], gradients->norms, sizeof kept->norms[row]);
    if (kept->vectors)
        memcpy(kept->values[row], gradients->vectors, (size_t)(ASKED * kept->size) * sizeof(float));
    if (kept->stop)
        dfal_context_stop(kept->stop);
    return DFAL_OK;
}

/* Gradients of one row and one cotangent at a time, straight from a tape. */
static void gradients_alone(const struct world_opened *opened, const uint8_t *chosen, struct gradients *kept)
{
    struct df_plan *plan = NULL;
    struct df_tape *tape = NULL;
    struct df_row_gradients *gradients = NULL;
    const int64_t size = WORLD_SIZE * WORLD_SIZE;
    const int32_t zero = 0;
    unsigned char raw[WORLD_SIZE * WORLD_SIZE];
    float x[WORLD_SIZE * WORLD_SIZE], logits[WORLD_CLASSES], cotangents[ASKED * WORLD_CLASSES];
    test_ok(df_plan_create(&plan, opened->device, opened->network, DF_PLAN_ROW_GRADIENT, false));
    test_ok(df_tape_create(&tape, plan, 0, 1, 1));
    test_ok(df_row_gradients_create(&gradients, tape, chosen, true));
    kept->size = df_row_gradients_size(plan, chosen);
    assert_in_range(kept->size, 1, MOST_PARAMETERS);
    for (int64_t row = 0; row < ALL; row++) {
        test_ok(df_pool_gather(opened->pool, raw, &row, 1));
        df_pool_decode(opened->pool, x, raw, 1);
        test_ok(df_write(opened->device, 0, df_tape_input(tape), x, size));
        test_ok(df_tape_forward(tape, 1));
        test_ok(df_read(opened->device, 0, logits, df_tape_logits(tape), WORLD_CLASSES));
        three_losses(logits, WORLD_CLASSES, cotangents);
        for (int64_t k = 0; k < ASKED; k++) {
            test_ok(df_row_gradients_run(gradients, 1, cotangents + k * WORLD_CLASSES, &zero,
                                         &kept->norms[row][k], kept->values[row] + k * kept->size));
            kept->norms[row][k] = sqrt(kept->norms[row][k]);
        }
    }
    df_row_gradients_destroy(gradients);
    df_tape_destroy(tape);
    df_plan_destroy(plan);
}

static const char *const layer_texts[] = {"", "conv", "dense"};

/* Lengths and gradients of all threads, of a part of the pool and of some layers, to the bit. */
static void test_gradients(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    static struct gradients expected, found;
    for (int b = 0; b < backend_count; b++)
        for (int run = 0; run < 12; run++) {
            struct world_opened opened;
            uint8_t *chosen = NULL;
            const struct df_selection_options options = {
                .strategy = &none, .subsample = run < 6 ? 0 : 17, .seed = 4};
            const struct df_gradients_ask ask = {.layers = layer_texts[run % 3],
                                                 .count = ASKED,
                                                 .cotangents = three_losses,
                                                 .vectors = run % 2 == 1};
            world_open(&opened, backends[b], 1 + run % 4, world.net, world.train);
            test_ok(df_layers_choose(&chosen, opened.network, ask.layers));
            gradients_alone(&opened, chosen, &expected);
            struct df_view view = view_of(&opened, &options);
            test_ok(df_view_open(&view, opened.rows, ALL));
            memset(&found, 0, sizeof found);
            found.view = &view;
            found.size = expected.size;
            found.vectors = ask.vectors;
            test_ok(df_view_gradients(&view, &ask, keep_gradients, &found));
            for (int64_t i = 0; i < df_view_count(&view); i++) {
                const int64_t row = df_view_rows(&view)[i];
                assert_int_equal(found.seen[row], 1);
                assert_memory_equal(found.norms[row], expected.norms[row], sizeof found.norms[row]);
                assert_true(found.norms[row][0] > 0 && found.norms[row][1] != found.norms[row][2]);
                if (ask.vectors)
                    test_same_floats("gradients", found.values[row], expected.values[row],
                                     ASKED * found.size);
            }
            df_view_close(&view);
            df_free(chosen);
            world_close(&opened);
        }
}

static void test_gradients_refused(void **state)
{
    (void)state;
    const struct df_strategy none = {.name = "none"};
    const struct df_selection_options options = {.strategy = &none, .seed = 4};
    struct df_gradients_ask ask = {.layers = "dense", .count = ASKED, .cotangents = three_losses};
    static struct gradients kept;
    struct world_opened opened;
    world_open(&opened, backends[0], 1, world.net, world.train);
    struct df_view view = view_of(&opened, &options);
    memset(&kept, 0, sizeof kept);
    kept.view = &view;
    kept.size = WORLD_CLASSES * (FEATURES + 1);
    test_ok(df_view_open(&view, opened.rows, 0)); /* nobody */
    test_ok(df_view_gradients(&view, &ask, keep_gradients, &kept));
    test_ok(df_view_open(&view, opened.rows, ALL));
    test_ok(df_view_gradients(&view, &ask, keep_gradients, &kept));
    ask.layers = "conv,dens";
    test_error(df_view_gradients(&view, &ask, keep_gradients, &kept), DFAL_E_USAGE, "nearest is 'dense'");
    ask.layers = "input";
    test_error(df_view_gradients(&view, &ask, keep_gradients, &kept), DFAL_E_USAGE,
               "node 'input' has no parameters that are trained");
    ask.layers = ",,";
    test_error(df_view_gradients(&view, &ask, keep_gradients, &kept), DFAL_E_USAGE, "names no node");
    ask.layers = "dense";
    const int64_t memory = opened.context->memory;
    opened.context->memory = df_memory_held() / 2;
    test_error(df_view_gradients(&view, &ask, keep_gradients, &kept), DFAL_E_MEMORY, "MiB of memory");
    opened.context->memory = memory;
    for (int i = 0; i < ALL; i++)
        assert_int_equal(kept.seen[i], 1);
    kept.stop = opened.context;
    ask.vectors = kept.vectors = true;
    assert_int_equal(df_view_gradients(&view, &ask, keep_gradients, &kept), DFAL_E_STOPPED);
    int again = 0;
    for (int i = 0; i < ALL; i++)
        again += kept.seen[i] - 1;
    assert_int_equal(again, 1); /* the row at hand was the last */
    df_view_close(&view);
    world_close(&opened);
}

/* A network that a strategy cannot ask is refused before anything is computed. */
static void test_networks_refused(void **state)
{
    (void)state;
    static const struct df_strategy_option node[] = {{.key = "node", .kind = DF_OPTION_TEXT, .standard = ""},
                                                     {0}};
    const struct df_strategy draws = {.name = "draws", .asks = DF_ASKS_PASSES, .select = choose_by_logit},
                             looks = {.name = "looks",
                                      .asks = DF_ASKS_FEATURES,
                                      .options = node,
                                      .select = choose_by_logit},
                             last = {.name = "last", .asks = DF_ASKS_LAST_LAYER, .select = choose_by_logit},
                             learns = {
                                 .name = "learns", .asks = DF_ASKS_GRADIENTS, .select = choose_by_logit};
    struct df_option_values values = {0};
    struct df_selection_options options = {.strategy = &draws, .values = &values, .count = 1};
    struct df_selection selection;
    struct world_opened opened;
    world_open(&opened, backends[0], 1, world.net, world.train);
    const struct df_strategy *const all[] = {&draws, &looks, &last, &learns};
    for (int i = 0; i < 4; i++) {
        options.strategy = all[i];
        test_ok(select_all(&opened, &options, &selection));
        df_selection_clear(&selection);
    }
    options.strategy = &looks;
    test_ok(df_option_set(&values, node, "node", "pol"));
    test_error(select_all(&opened, &options, &selection), DFAL_E_USAGE, "strategy looks: unknown node 'pol'");
    test_ok(df_option_set(&values, node, "node", "pool"));
    test_ok(select_all(&opened, &options, &selection));
    df_selection_clear(&selection);
    values = (struct df_option_values){0};
    for (int32_t i = 0; i < opened.network->node_count; i++)
        opened.network->nodes[i].ratio = 0;
    test_error(df_strategy_check_network(&draws, &values, opened.network), DFAL_E_DATA,
               "strategy draws draws dropout, and the network has none");
    opened.network->nodes[opened.network->output].op = DF_NODE_RELU;
    test_error(df_strategy_check_network(&looks, &values, opened.network), DFAL_E_DATA,
               "the network has no Gemm");
    test_error(df_strategy_check_network(&last, &values, opened.network), DFAL_E_DATA,
               "ends in node 'dense'");
    for (int32_t i = 0; i < opened.network->node_count; i++) {
        df_free(opened.network->nodes[i].parameter[DF_WEIGHT].data);
        opened.network->nodes[i].parameter[DF_WEIGHT].data = NULL;
    }
    test_error(df_strategy_check_network(&learns, &values, opened.network), DFAL_E_DATA,
               "strategy learns: the network has no parameters that are trained");
    world_close(&opened);
}

int main(int argc, char **argv)
{
    backend_count = test_backends(backends, argc, argv, "ref,cpu");
    assert_in_range(backend_count, 1, TEST_BACKENDS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_logits),        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_labelled_row_scores), cmocka_unit_test(test_features),
        cmocka_unit_test(test_features_refused),    cmocka_unit_test(test_expected),
        cmocka_unit_test(test_not_expected),        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_gradients),           cmocka_unit_test(test_gradients_refused),
        cmocka_unit_test(test_networks_refused),    cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
