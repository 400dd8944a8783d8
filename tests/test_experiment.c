/* SPDX-License-Identifier: Apache-2.0 */
/* What a run lets one take apart: the validation split, twins and optimiser steps of each strategy; and what
 * its tables, its page and its status say about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "report/report.h"
#include "run/pace.h"
#include "run/rounds.h"
#include "run/state.h"
#include "support_world.h"

enum { MOST = 24 };
struct settings {
    const char *set[MOST];
    int32_t count;
};

/* The small experiment of these tests and, behind it, what a test changes. */
static struct settings settings_with(const char *const *more, int32_t count)
{
    static char network[TEST_PATH + 16];
    static const char *const first[] = {"initial=8",           "query=5",
                                        "annotations=18",      "trials=1",
                                        "training.epochs=2",   "training.validation=0.3",
                                        "training.restarts=2", "training.batch=4"};
    struct settings settings = {.count = sizeof first / sizeof *first};
    snprintf(network, sizeof network, "network=%s", world.net);
    memcpy(settings.set, first, sizeof first);
    settings.set[settings.count++] = network;
    for (int32_t i = 0; i < count; i++)
        settings.set[settings.count++] = more[i];
    return settings;
}

struct stopper {
    dfal_context *context;
    int rounds, stop_at;
};

static void count_rounds(void *user, const struct dfal_event *event)
{
    struct stopper *stopper = user;
    if (!strcmp(event->name, "run.round") && ++stopper->rounds == stopper->stop_at)
        dfal_context_stop(stopper->context);
}

static dfal_status run_until(const char *dir, const struct settings *settings, int stop_at)
{
    struct dfal_run_options options;
    struct stopper stopper = {.stop_at = stop_at};
    dfal_run_options_init(&options);
    options.set = settings->set;
    options.set_count = settings->count;
    options.train_path = world.train;
    options.test_path = world.test;
    stopper.context = world_context("cpu", 1, count_rounds, &stopper);
    dfal_status status = dfal_run(stopper.context, dir, &options, NULL, NULL);
    dfal_context_destroy(stopper.context);
    return status;
}

/* Run into a folder of the world; its curve, which the caller clears. */
static struct df_curve run_into(char dir[TEST_PATH], const char *name, const char *const *more, int32_t count)
{
    struct df_curve curve;
    const struct settings settings = settings_with(more, count);
    test_join(dir, world.folder, name);
    test_ok(run_until(dir, &settings, 0));
    test_ok(df_curve_read(&curve, dir));
    assert_int_equal(curve.count, 6); /* three rounds of dfal, three of random */
    return curve;
}

static bool page_says(const char *dir, const char *words)
{
    char *page = world_read(dir, "report.html");
    const bool found = strstr(page, words) != NULL;
    free(page);
    return found;
}

/* Dividing row by row moves nothing for random, which has no twins; for dfal it does. */
static void test_split(void **state)
{
    (void)state;
    char grouped_dir[TEST_PATH], rows_dir[TEST_PATH];
    struct df_curve grouped = run_into(grouped_dir, "grouped", NULL, 0),
                    rows = run_into(rows_dir, "rows", (const char *const[]){"training.split=rows"}, 1);
    for (int i = 3; i < 6; i++)
        assert_true(grouped.rows[i].loss == rows.rows[i].loss &&
                    grouped.rows[i].accuracy == rows.rows[i].accuracy);
    assert_true(grouped.rows[0].loss == rows.rows[0].loss); /* no twin yet */
    assert_true(grouped.rows[2].loss != rows.rows[2].loss);
    assert_true(page_says(grouped_dir, "A query and its twin are on the same side"));
    assert_true(page_says(rows_dir, "The validation split is the paper's: each row by itself"));
    char *yaml = world_read(rows_dir, "config.yaml");
    assert_non_null(strstr(yaml, "# as the paper divides"));
    free(yaml);
    df_curve_clear(&grouped);
    df_curve_clear(&rows);
}

/* A checkpoint's rows: each twin in the unit of the row it came from, everything else by itself. */
static void test_units(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    char *path = NULL;
    struct df_pool *pool = NULL;
    struct df_run_state seen = {.round = -1};
    int64_t *unit = NULL, units = 0;
    test_join(dir, world.folder, "grouped");
    test_ok(df_pool_open(&pool, NULL, world.train, NULL));
    test_ok(df_run_state_path(&path, dir, "dfal", 1));
    test_ok(df_run_state_load(&seen, NULL, pool, path));
    assert_true(seen.capacity == seen.count && seen.x_capacity == seen.count);
    test_ok(df_alloc(&unit, seen.count, sizeof *unit));
    df_run_state_units(&seen, true, unit);
    assert_true(seen.twin_count > 5);
    for (int64_t i = 0; i < seen.count; i++) {
        if (seen.rows[i].source == DF_ROW_POOL) {
            assert_int_equal(unit[i], units++);
            continue;
        }
        int64_t source = 0;
        while (seen.rows[source].source != DF_ROW_POOL ||
               seen.rows[source].index != seen.twin_of[seen.rows[i].index])
            source++;
        assert_int_equal(unit[i], unit[source]);
    }
    assert_int_equal(units, 18);
    df_free(unit);
    df_free(path);
    df_run_state_clear(&seen);
    df_pool_close(pool);
}

/* Room is made once for what a trial will have; a checkpoint gets what it holds, and more rows than were
 * thought of find room as well. */
static void test_reserved_rows(void **state)
{
    (void)state;
    enum { ROWS = 9, TWINS = 3, MORE = 2 };
    static const int64_t rows[ROWS + MORE] = {5, 1, 8, 0, 3, 2, 4, 7, 6, 10, 9};
    int32_t labels[ROWS + MORE];
    struct df_pool *pool = NULL;
    float *twin;
    test_ok(df_pool_open(&pool, NULL, world.train, NULL));
    test_ok(df_alloc(&twin, df_shape_size(pool->shape), sizeof *twin));
    twin[0] = 7;
    for (int i = 0; i < ROWS + MORE; i++)
        labels[i] = pool->labels[rows[i]];
    for (int twins_only = 0; twins_only < 2; twins_only++) {
        struct df_run_state seen = {
            .round = -1, .size = df_shape_size(pool->shape), .twins_only = twins_only};
        test_ok(df_run_state_reserve(&seen, ROWS, TWINS));
        const struct df_training_row *first = seen.rows;
        const float *x = seen.x;
        assert_int_equal(seen.capacity, ROWS + TWINS);
        assert_int_equal(seen.x_capacity, twins_only ? TWINS : ROWS + TWINS);
        for (int i = 0; i < ROWS; i++) {
            test_ok(df_run_state_add_rows(&seen, pool, rows + i, labels + i, 1));
            if (i < TWINS)
                test_ok(df_run_state_add_twin(&seen, rows[i], labels[i], 1, twin));
        }
        assert_true(seen.rows == first && seen.x == x);
        assert_true(df_run_state_x(&seen, 1)[0] == 7);
        assert_int_equal(seen.capacity, ROWS + TWINS);
        test_ok(df_run_state_add_pseudo(&seen, pool, rows + ROWS, labels + ROWS, MORE));
        assert_int_equal(seen.count, ROWS + TWINS + MORE);
        df_run_state_clear(&seen);
    }
    df_free(twin);
    df_pool_close(pool);
}

/* A checkpoint that another program wrote, or a broken disk: nothing of it is taken for a label or a row. */
static void test_damaged_checkpoint(void **state)
{
    (void)state;
    char dir[TEST_PATH], damaged[TEST_PATH];
    char *path = NULL;
    struct df_pool *pool = NULL;
    struct df_run_state whole = {.round = -1}, seen = {.round = -1};
    test_join(dir, world.folder, "grouped");
    test_join(damaged, world.folder, "damaged.h5");
    test_ok(df_pool_open(&pool, NULL, world.train, NULL));
    test_ok(df_run_state_path(&path, dir, "dfal", 1));
    test_ok(df_run_state_load(&whole, NULL, pool, path));
    int64_t twin = 0;
    while (whole.rows[twin].source != DF_ROW_TWIN)
        twin++;
    assert_true(twin > 2); /* the second row is one of several that are read together */
    for (int damage = 0; damage < 7; damage++) {
        const struct df_training_row second = whole.rows[1], first_twin = whole.rows[twin];
        const int64_t of = whole.twin_of[0];
        if (damage == 0)
            whole.rows[1].label = pool->class_count;
        if (damage == 1)
            whole.rows[1].label = -1;
        if (damage == 2)
            whole.rows[1].index = pool->count;
        if (damage == 3)
            whole.rows[1].source = 7;
        if (damage == 4)
            whole.rows[twin].index = 1;
        if (damage == 5)
            whole.rows[twin].label = pool->class_count;
        if (damage == 6)
            whole.twin_of[0] = pool->count;
        test_ok(df_run_state_save(&whole, NULL, damaged));
        test_error(df_run_state_load(&seen, NULL, pool, damaged), DFAL_E_DATA, "does not fit the pool");
        whole.rows[1] = second;
        whole.rows[twin] = first_twin;
        whole.twin_of[0] = of;
    }
    test_ok(df_run_state_save(&whole, NULL, damaged));
    test_ok(df_run_state_load(&seen, NULL, pool, damaged));
    df_free(path);
    df_run_state_clear(&seen);
    df_run_state_clear(&whole);
    df_pool_close(pool);
}

/* The twins change sides; every row of the curve has taken as many steps; stopped and continued it is the
 * same run. */
static void test_twins_and_steps(void **state)
{
    (void)state;
    static const char *const more[] = {"options.dfal.twins=false", "options.random.twins=true",
                                       "training.steps=11"};
    char dir[TEST_PATH], again[TEST_PATH];
    struct df_curve curve = run_into(dir, "steps", more, 3), second;
    for (int i = 0; i < 6; i++) {
        const struct df_curve_row *row = &curve.rows[i];
        const bool random = !strcmp(row->strategy, "random");
        assert_int_equal(row->steps, 11);
        assert_true(row->round_seconds >= row->train_seconds);
        assert_true(random && row->round ? row->labelled > row->annotations
                                         : row->labelled == row->annotations);
    }
    assert_false(page_says(dir, "differ in optimiser steps"));
    const struct settings settings = settings_with(more, 3);
    test_join(again, world.folder, "steps-again");
    test_error(run_until(again, &settings, 2), DFAL_E_STOPPED, "kept");
    const struct settings other = settings_with(more, 2);
    test_error(run_until(again, &other, 0), DFAL_E_CONFIG,
               "steps-again was made with training.epochs (none), expected 2 (`force` begins anew)");
    test_error(run_until(again, &settings, 3), DFAL_E_STOPPED, "kept");
    test_ok(run_until(again, &settings, 0));
    test_ok(df_curve_read(&second, again));
    for (int i = 0; i < 6; i++)
        assert_true(second.rows[i].loss == curve.rows[i].loss &&
                    second.rows[i].steps == curve.rows[i].steps &&
                    second.rows[i].accuracy == curve.rows[i].accuracy);
    df_curve_clear(&curve);
    df_curve_clear(&second);
    /* At equal epochs dfal's twins cost steps, and the page says so. */
    curve = run_into(dir, "epochs", (const char *const[]){"training.patience=0"}, 1);
    assert_true(curve.rows[2].steps > curve.rows[5].steps);
    assert_int_equal(curve.rows[5].steps, 2 * ((18 - 5 + 3) / 4));
    assert_true(page_says(dir, "differ in optimiser steps"));
    df_curve_clear(&curve);
}

/* Each round trains on changed rows: stopped and continued it is the same run, and without augmentation it is
 * another one from the first training on. */
static void test_augmented(void **state)
{
    (void)state;
    static const char *const more[] = {"training.augment={rotate: 20, erase: 0.5}"};
    char dir[TEST_PATH], again[TEST_PATH];
    struct df_curve curve = run_into(dir, "augmented", more, 1), plain, second;
    const struct settings settings = settings_with(more, 1), other = settings_with(NULL, 0);
    test_join(again, world.folder, "augmented-again");
    test_error(run_until(again, &settings, 2), DFAL_E_STOPPED, "kept");
    test_error(run_until(again, &other, 0), DFAL_E_CONFIG,
               "augmented-again was made with training.augment.rotate 20.0, expected 0.0");
    test_ok(run_until(again, &settings, 0));
    test_ok(df_curve_read(&second, again));
    test_join(again, world.folder, "grouped");
    test_ok(df_curve_read(&plain, again));
    for (int i = 0; i < 6; i++) {
        assert_true(second.rows[i].loss == curve.rows[i].loss);
        assert_true(plain.rows[i].loss != curve.rows[i].loss);
    }
    df_curve_clear(&curve);
    df_curve_clear(&second);
    df_curve_clear(&plain);
}

/* The strategy stands in a row once, in front. */
static void test_query_columns(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    test_join(dir, world.folder, "grouped");
    char *text = world_read(dir, "queries.csv");
    static const char header[] =
        "strategy,trial,round,rank,id,index,score,predicted,confidence,label,adversarial_class,"
        "predicted_name,label_name,adversarial_name\n";
    assert_memory_equal(text, header, sizeof header - 1);
    const char *line = text + sizeof header - 1;
    int commas = 0;
    for (const char *c = line; *c != '\n'; c++)
        commas += *c == ',';
    assert_true(commas >= 10); /* an id may hold some */
    assert_memory_equal(line, "dfal,1,1,1,", 11);
    assert_null(strstr(line + 4, ",dfal,"));
    free(text);
}

/* Rows cannot go on below the columns of another build. */
static void test_other_columns(void **state)
{
    (void)state;
    char dir[TEST_PATH], path[TEST_PATH];
    const struct settings settings = settings_with(NULL, 0);
    test_join(dir, world.folder, "columns");
    test_error(run_until(dir, &settings, 2), DFAL_E_STOPPED, "");
    test_join(path, dir, "curve.csv");
    char *text = world_read(dir, "curve.csv");
    char *column = strstr(text, ",steps");
    assert_non_null(column);
    memcpy(column, ",stops", 6);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    free(text);
    test_error(run_until(dir, &settings, 0), DFAL_E_CONFIG, "was begun with the columns strategy,trial");
}

struct rows {
    int count;
    struct dfal_run_row row[4];
};

static void take_row(void *user, const struct dfal_run_row *row)
{
    struct rows *rows = user;
    rows->row[rows->count++] = *row;
}

/* The final table is there again, and one trial is not tested. */
static void test_table(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    struct rows rows = {0};
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_join(dir, world.folder, "grouped");
    test_ok(dfal_run_table(context, dir, take_row, &rows));
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.row[0].annotations, 18);
    assert_true(isfinite(rows.row[0].difference) && isnan(rows.row[0].p_value) &&
                isnan(rows.row[0].p_corrected) && !rows.row[0].significant);
    assert_true(rows.row[0].steps_mean > 0 && rows.row[1].steps_mean > 0);
    assert_true(page_says(dir, "not tested: one trial"));
    test_error(dfal_run_table(context, world.folder, take_row, &rows), DFAL_E_DATA, "config.yaml");
    dfal_context_destroy(context);
}

/* Several runs: one chart, each named by its folder and by what is its own; each chart is drawn twice, for
 * two widths. */
static void test_several(void **state)
{
    (void)state;
    char one[TEST_PATH], two[TEST_PATH], out[TEST_PATH];
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_join(one, world.folder, "grouped/");
    test_join(two, world.folder, "steps");
    test_join(out, world.folder, "both.html");
    test_ok(dfal_report(context, out, (const char *const[]){one, two}, 2));
    char *page = world_read(world.folder, "both.html");
    assert_non_null(strstr(page, "<h2 id=\"s0\">All runs</h2>"));
    assert_non_null(
        strstr(page, "<a href=\"#s1\">grouped</a>: options.dfal.twins: true, options.random.twins: false, "
                     "training.epochs: 2, training.patience: 5</li>"));
    assert_non_null(strstr(page, "<a href=\"#s2\">steps</a>: "));
    assert_non_null(strstr(page, "training.steps: 11, training.patience: 0</li>"));
    int lines = 0;
    for (const char *c = page; (c = strstr(c, "<polyline class=\"line c")) != NULL; c++)
        lines++;
    assert_int_equal(lines, 2 * (4 + 2 + 2));
    free(page);
    unlink(out);
    test_ok(dfal_report(context, out, (const char *const[]){two}, 1));
    page = world_read(world.folder, "both.html");
    assert_null(strstr(page, "All runs"));
    free(page);
    const char *dirs[DF_REPORT_RUNS + 1];
    for (int i = 0; i <= DF_REPORT_RUNS; i++)
        dirs[i] = two;
    unlink(out);
    test_error(dfal_report(context, out, dirs, DF_REPORT_RUNS + 1), DFAL_E_USAGE, "at most 64");
    dfal_context_destroy(context);
}

static void test_time(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    struct df_run_look look;
    struct df_run_pace pace;
    test_join(dir, world.folder, "steps");
    test_ok(df_run_look(&look, dir));
    assert_true(look.finished && look.eta == 0 && look.elapsed > 0);
    /* Two strategies of two rounds and two trials; the one with twins has 10 and 10 + 5 + 5 rows, the other
     * 10 and 15. */
    struct df_run_config config;
    struct df_run_set set;
    df_run_config_init(&config);
    config.initial = 10;
    config.query = 10;
    config.annotations = 15;
    config.trials = 2;
    test_ok(df_run_set_of_part(&set, &config, (struct df_run_part){0}));
    df_run_pace_begin(&pace, &config, &set, 1000);
    assert_true(isnan(df_run_pace_left(&pace)));
    struct df_curve_row row = {.strategy = "dfal", .annotations = 10, .round_seconds = 1};
    df_run_pace_add(&pace, &row);
    /* 0.1 s a row: dfal has 20 + 10 + 20 left, random, of which nothing is known, 2 x 25 */
    assert_true(fabs(df_run_pace_left(&pace) - 10) < 1e-9 && df_run_pace_spent(&pace) == 1);
    strcpy(row.strategy, "random");
    row.round_seconds = 0.5;
    df_run_pace_add(&pace, &row);
    assert_true(fabs(df_run_pace_left(&pace) - (5 + 0.05 * 40)) < 1e-9);
    config.training.steps = 7; /* every round is as long */
    df_run_pace_begin(&pace, &config, &set, 12);
    df_run_pace_add(&pace, &row);
    assert_true(fabs(df_run_pace_left(&pace) - 7 * 0.5) < 1e-9);
    df_run_set_clear(&set);
    /* One of the two trials: half of it. */
    test_ok(df_run_set_of_part(&set, &config, (struct df_run_part){1, 2}));
    df_run_pace_begin(&pace, &config, &set, 12);
    df_run_pace_add(&pace, &row);
    assert_true(fabs(df_run_pace_left(&pace) - 3 * 0.5) < 1e-9);
    df_run_set_clear(&set);
}

static void keep_progress(void *user, const struct dfal_event *event)
{
    char *kept = user;
    if (event->level == DFAL_PROGRESS && !strcmp(event->name, "train.epoch"))
        snprintf(kept, 200, "%s", event->text);
}

/* The last epoch of a run is deep in its last round, and yet tells of the whole. */
static void test_progress(void **state)
{
    (void)state;
    char dir[TEST_PATH], kept[200] = "";
    const struct settings settings = settings_with((const char *const[]){"training.patience=0"}, 1);
    struct dfal_run_options options;
    dfal_run_options_init(&options);
    options.set = settings.set;
    options.set_count = settings.count;
    options.train_path = world.train;
    options.test_path = world.test;
    test_join(dir, world.folder, "progress");
    dfal_context *context = world_context("cpu", 1, keep_progress, kept);
    test_ok(dfal_run(context, dir, &options, NULL, NULL));
    if (strncmp(kept, "run 86.1 %  ETA ", 16) || !strstr(kept, "  after ") ||
        !strstr(kept, " s | restart 2/2, epoch 2/2: loss "))
        test_fail("the progress is '%s'", kept);
    dfal_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),           cmocka_unit_test(test_units),
        cmocka_unit_test(test_reserved_rows),   cmocka_unit_test(test_damaged_checkpoint),
        cmocka_unit_test(test_twins_and_steps), cmocka_unit_test(test_query_columns),
        cmocka_unit_test(test_other_columns),   cmocka_unit_test(test_table),
        cmocka_unit_test(test_several),         cmocka_unit_test(test_time),
        cmocka_unit_test(test_progress),        cmocka_unit_test(test_augmented),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
