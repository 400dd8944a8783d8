/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small experiments: the same bytes on one and two threads, stopped, killed and failed writes
 * continued, and what a run directory promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "report/report.h"
#include "run/rounds.h"
#include "run/state.h"
#include "store/network_file.h"
#include "support_world.h"

static const char *backends[TEST_BACKENDS];
static int backend_count;
static const char *program;

static const char *const settings[] = {
    "initial=8",           "query=5",           "annotations=21",          "trials=2",
    "training.restarts=2", "training.epochs=2", "training.validation=0.2", "options.dfal.subsample=30",
};
enum { SETTINGS = sizeof settings / sizeof settings[0], ROUNDS = 4, BRANCHES = 4 };

static const char *more; /* one setting more, NULL: none */

static struct dfal_run_options run_options(void)
{
    struct dfal_run_options options;
    static const char *set[SETTINGS + 2];
    static char network[TEST_PATH + 16];
    dfal_run_options_init(&options);
    snprintf(network, sizeof network, "network=%s", world.net);
    memcpy(set, settings, sizeof settings);
    set[SETTINGS] = network;
    options.set = set;
    set[SETTINGS + 1] = more;
    options.set_count = SETTINGS + 1 + (more != NULL);
    options.train_path = world.train;
    options.test_path = world.test;
    return options;
}

/* Count events and act on the n-th. */
struct watcher {
    dfal_context *context;
    const char *name; /* NULL: any */
    int64_t seen, stop_at, kill_at;
};

static void watch(void *user, const struct dfal_event *event)
{
    struct watcher *watcher = user;
    if (watcher->name && strcmp(event->name, watcher->name))
        return;
    watcher->seen++;
    if (watcher->seen == watcher->kill_at)
        raise(SIGKILL);
    if (watcher->seen == watcher->stop_at)
        dfal_context_stop(watcher->context);
}

/* Armed while the job runs and at no other time. */
static enum df_fault fault_kind;
static int64_t fault_at;

static dfal_status run(const char *dir, const char *backend, int32_t threads, struct watcher *watcher,
                       bool *kept)
{
    struct dfal_run_options options = run_options();
    dfal_context *context = world_context(backend, threads, watcher ? watch : NULL, watcher);
    if (watcher)
        watcher->context = context;
    df_fault_arm(fault_kind, fault_at);
    dfal_status status = dfal_run(context, dir, &options, NULL, NULL);
    df_fault_arm(fault_kind, 0);
    if (kept)
        *kept = dfal_context_kept_work(context);
    dfal_context_destroy(context);
    return status;
}

static void same_tables(const char *dir, const char *expected)
{
    static const char *const names[] = {"queries.csv", "classes.csv"};
    char *a, *b;
    for (int i = 0; i < 2; i++) {
        a = world_read(dir, names[i]);
        b = world_read(expected, names[i]);
        assert_string_equal(a, b);
        free(a);
        free(b);
    }
    a = world_read(dir, "curve.csv");
    b = world_read(expected, "curve.csv");
    world_strip_seconds(a);
    world_strip_seconds(b);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void reference(char dir[TEST_PATH], const char *backend)
{
    char name[64];
    snprintf(name, sizeof name, "reference-%s", backend);
    test_join(dir, world.folder, name);
    if (!world_exists(dir, "report.html"))
        test_ok(run(dir, backend, 1, NULL, NULL));
}

static void test_threads(void **state)
{
    (void)state;
    static const int32_t threads[] = {2, 3, BRANCHES + 3};
    for (int b = 0; b < backend_count; b++)
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
            char one[TEST_PATH], several[TEST_PATH];
            reference(one, backends[b]);
            test_join(several, world.folder, "several");
            test_ok(run(several, backends[b], threads[t], NULL, NULL));
            same_tables(several, one);
            test_folder_remove(several);
        }
}

static void test_rows(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    struct df_curve curve;
    reference(dir, backends[0]);
    test_ok(df_curve_read(&curve, dir));
    assert_int_equal(curve.count, ROUNDS * BRANCHES);
    for (int64_t i = 0; i < curve.count; i++) {
        const struct df_curve_row *row = &curve.rows[i];
        static const int64_t annotations[ROUNDS] = {8, 13, 18, 21}; /* the last query is clipped */
        assert_int_equal(row->round, i % ROUNDS);
        assert_int_equal(row->annotations, annotations[row->round]);
        assert_int_equal(row->trial, 1 + i / (2 * ROUNDS));
        bool dfal = !strcmp(row->strategy, "dfal");
        assert_true(dfal ? row->labelled >= row->annotations && row->labelled <= 2 * row->annotations - 8
                         : row->labelled == row->annotations);
        assert_true(row->accuracy >= 0 && row->accuracy <= 1 && row->best_so_far >= row->accuracy);
        if (row->round)
            assert_true(row->best_so_far >= row[-1].best_so_far);
        else if (!dfal) /* both strategies of a trial begin with the same network */
            assert_true(row->accuracy == row[-ROUNDS].accuracy && row->loss == row[-ROUNDS].loss);
    }
    assert_true(curve.rows[0].loss != curve.rows[2 * ROUNDS].loss); /* trials differ */
    df_curve_clear(&curve);
}

static void test_queries_and_twins(void **state)
{
    (void)state;
    char dir[TEST_PATH];
    struct df_query_table table;
    struct df_pool *pool = NULL;
    struct df_network *network = NULL;
    reference(dir, backends[0]);
    test_ok(df_pool_open(&pool, NULL, world.train, NULL));
    test_ok(df_network_load(&network, world.net));
    test_ok(df_query_table_read(&table, dir));
    assert_int_equal(table.count, 13 * BRANCHES);
    for (int64_t i = 0; i < table.count; i++) {
        const struct df_query_row *row = &table.rows[i];
        assert_int_equal(row->label, pool->labels[row->index]);
        assert_true(row->rank == 1 || (row[-1].rank == row->rank - 1 && row[-1].round == row->round));
        for (int64_t k = 0; k < i; k++)
            assert_false(table.rows[k].index == row->index && table.rows[k].trial == row->trial &&
                         !strcmp(table.rows[k].strategy, row->strategy));
        char *id = NULL, guarded[64];
        test_ok(df_pool_id(pool, &id, row->index));
        snprintf(guarded, sizeof guarded, "%s%s", id[0] == '=' ? "'" : "", id);
        assert_string_equal(row->id, guarded);
        df_free(id);
    }
    for (int32_t trial = 1; trial <= 2; trial++) {
        struct df_run_state dfal = {.round = -1}, random = {.round = -1};
        char *path = NULL;
        test_ok(df_run_state_path(&path, dir, "dfal", trial));
        test_ok(df_run_state_load(&dfal, network, pool, path));
        df_free(path);
        test_ok(df_run_state_path(&path, dir, "random", trial));
        test_ok(df_run_state_load(&random, network, pool, path));
        df_free(path);
        assert_true(dfal.finished && random.finished && dfal.twin_count > 0 && random.twin_count == 0);
        for (int i = 0; i < 8; i++) /* the same initial set */
            assert_int_equal(dfal.rows[i].index, random.rows[i].index);
        for (int64_t i = 0; i < dfal.count; i++) {
            if (dfal.rows[i].source != DF_ROW_TWIN)
                continue;
            int64_t source = dfal.twin_of[dfal.rows[i].index];
            assert_int_equal(dfal.rows[i].label, pool->labels[source]);
            for (int64_t k = 0; k < dfal.count; k++) /* near its source, and not it */
                if (dfal.rows[k].source == DF_ROW_POOL && dfal.rows[k].index == source)
                    assert_memory_not_equal(dfal.x + i * dfal.size, dfal.x + k * dfal.size,
                                            (size_t)dfal.size * sizeof(float));
        }
        df_run_state_clear(&dfal);
        df_run_state_clear(&random);
    }
    df_query_table_clear(&table);
    df_network_destroy(network);
    df_pool_close(pool);
}

static void test_stop(void **state)
{
    (void)state;
    char dir[TEST_PATH], expected[TEST_PATH];
    reference(expected, backends[backend_count - 1]);
    test_join(dir, world.folder, "stopped");
    for (int64_t n = 1; n <= 11; n += 2) {
        struct watcher watcher = {.name = "run.round", .stop_at = n};
        bool kept = false;
        test_error(run(dir, backends[backend_count - 1], 1 + n % 3, &watcher, &kept), DFAL_E_STOPPED, "kept");
        assert_true(kept);
        assert_false(world_exists(dir, "report.html"));
        if (n % 4 == 1) { /* stopped a second time while continuing */
            watcher = (struct watcher){.name = "run.round", .stop_at = 2};
            test_error(run(dir, backends[backend_count - 1], 2, &watcher, &kept), DFAL_E_STOPPED, "stopped");
        }
        test_ok(run(dir, backends[backend_count - 1], 2, NULL, NULL));
        same_tables(dir, expected);
        test_folder_remove(dir);
    }
    /* Stopped before the first round there is nothing to keep, and nothing stays. */
    struct watcher watcher = {.name = "run.begin", .stop_at = 1};
    bool kept = true;
    test_error(run(dir, "ref", 1, &watcher, &kept), DFAL_E_STOPPED, "");
    assert_false(kept);
    assert_false(world_exists(world.folder, "stopped"));
}

/* In its own process: run and die at the n-th event, on so many threads. */
static int child(char **argv)
{
    struct watcher watcher = {.kill_at = atoll(argv[4])};
    snprintf(world.train, TEST_PATH, "%.400s/train.h5", argv[2]);
    snprintf(world.test, TEST_PATH, "%.400s/test.h5", argv[2]);
    snprintf(world.net, TEST_PATH, "%.400s/net.h5", argv[2]);
    return run(argv[3], argv[5], atoi(argv[6]), &watcher, NULL) == DFAL_OK ? 0 : 1;
}

static void test_kill(void **state)
{
    (void)state;
    char dir[TEST_PATH], expected[TEST_PATH], at[32], threads[2] = "1";
    const char *backend = backends[backend_count - 1];
    reference(expected, backend);
    test_join(dir, world.folder, "killed");
    int64_t n = 1;
    for (int tries = 0;; tries++, n += 9) {
        snprintf(at, sizeof at, "%lld", (long long)n);
        threads[0] = (char)('1' + tries % 3);
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) {
            execl(program, program, "--child", world.folder, dir, at, backend, threads, (char *)NULL);
            _exit(127);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0); /* fewer than n events were left */
            assert_true(tries >= 3);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
    }
    same_tables(dir, expected);
    test_folder_remove(dir);
}

/* Half-written rows and a checkpoint's temporary, as a kill between the two leaves them. */
static void test_later_rows(void **state)
{
    (void)state;
    char dir[TEST_PATH], path[TEST_PATH], expected[TEST_PATH];
    reference(expected, backends[0]);
    test_join(dir, world.folder, "later");
    struct watcher watcher = {.name = "run.round", .stop_at = 6};
    test_error(run(dir, backends[0], 1, &watcher, NULL), DFAL_E_STOPPED, "");
    static const char *const names[] = {"curve.csv", "queries.csv", "classes.csv"};
    for (int i = 0; i < 2; i++) {
        test_join(path, dir, names[i]);
        FILE *file = fopen(path, "a");
        assert_non_null(file);
        fprintf(file, "dfal,9,9,9,9,9\ndfal,9,9");
        fclose(file);
    }
    test_ok(run(dir, backends[0], 1, NULL, NULL));
    same_tables(dir, expected);
    test_folder_remove(dir);

    watcher = (struct watcher){.name = "run.round", .stop_at = 3};
    test_error(run(dir, backends[0], 1, &watcher, NULL), DFAL_E_STOPPED, "");
    test_join(path, dir, "curve.csv");
    assert_int_equal(truncate(path, 150), 0);
    test_error(run(dir, backends[0], 1, NULL, NULL), DFAL_E_DATA,
               "curve.csv has no round 0 of dfal in trial 1, expected those up to 2");
    test_folder_remove(dir);
}

/* A round's network is the next one's beginning, and the checkpoint has it. */
static void test_starts(void **state)
{
    (void)state;
    static const char *const inits[] = {"training.init=previous", "training.init=weights"};
    char whole[TEST_PATH], parts[TEST_PATH], scratch[TEST_PATH];
    reference(scratch, backends[0]);
    test_join(whole, world.folder, "whole");
    test_join(parts, world.folder, "parts");
    for (int i = 0; i < 2; i++) {
        more = inits[i];
        test_ok(run(whole, backends[0], 1, NULL, NULL));
        struct watcher watcher = {.name = "run.round", .stop_at = 2};
        test_error(run(parts, backends[0], 1, &watcher, NULL), DFAL_E_STOPPED, "");
        more = NULL;
        test_error(run(parts, backends[0], 1, NULL, NULL), DFAL_E_CONFIG,
                   i ? "parts was made with training.init weights, expected scratch"
                     : "parts was made with training.init previous, expected scratch");
        more = inits[i];
        test_ok(run(parts, backends[0], 2, NULL, NULL));
        same_tables(parts, whole);
        char *a = world_read(whole, "curve.csv"), *b = world_read(scratch, "curve.csv");
        world_strip_seconds(a);
        world_strip_seconds(b);
        assert_string_not_equal(a, b);
        free(a);
        free(b);
        test_folder_remove(whole);
        test_folder_remove(parts);
    }
    more = NULL;
}

static dfal_status run_with(const char *dir, const char *setting, bool resume, bool force)
{
    struct dfal_run_options options = run_options();
    const char *set[32];
    memcpy(set, options.set, (size_t)options.set_count * sizeof *set);
    if (setting)
        set[options.set_count++] = setting;
    options.set = set;
    options.resume = resume;
    struct dfal_context_options flags;
    dfal_context *context = NULL;
    dfal_context_options_init(&flags);
    flags.backend = backends[0];
    flags.force = force;
    test_ok(dfal_context_create(&context, &flags));
    dfal_status status = dfal_run(context, dir, &options, NULL, NULL);
    dfal_context_destroy(context);
    return status;
}

static void test_existing(void **state)
{
    (void)state;
    char dir[TEST_PATH], path[TEST_PATH], finished[TEST_PATH];
    reference(finished, backends[0]);
    test_error(run_with(finished, NULL, false, false), DFAL_E_EXISTS, "finished");
    test_error(run_with(finished, "seed=3", true, false), DFAL_E_EXISTS, "finished");
    test_join(dir, world.folder, "existing");
    test_error(run_with(dir, NULL, true, false), DFAL_E_NOINPUT, "no such folder, expected a run directory");
    assert_false(world_exists(world.folder, "existing"));
    struct watcher watcher = {.name = "run.round", .stop_at = 2};
    test_error(run(dir, backends[0], 1, &watcher, NULL), DFAL_E_STOPPED, "");
    test_error(run_with(dir, "training.epochs=3", false, false), DFAL_E_CONFIG,
               "existing was made with training.epochs 2, expected 3 (`force` begins anew)");
    test_error(run_with(dir, "seed=3", true, false), DFAL_E_CONFIG,
               "existing was made with seed 1, expected 3 (`force` begins anew)");
    test_ok(run_with(dir, "annotations=10", false, true)); /* --force begins anew */
    char *curve = world_read(dir, "curve.csv");
    assert_null(strstr(curve, ",13,"));
    free(curve);
    test_join(path, world.folder, "train.h5");
    test_error(run_with(path, NULL, false, false), DFAL_E_EXISTS, "a file is there");
    test_error(run_with(world.folder, NULL, false, true), DFAL_E_EXISTS, "holds other files");
    assert_true(world_exists(world.folder, "train.h5"));
    test_join(path, world.folder, "no/such");
    assert_true(run_with(path, NULL, false, false) == DFAL_E_EXISTS);
    test_folder_remove(dir);
}

/* Write state/identity with `from` replaced by `to`, or without `from` and all behind it. */
static void edit_identity(const char *dir, const char *text, const char *from, const char *to)
{
    char path[TEST_PATH];
    test_join(path, dir, "state/identity");
    const char *at = strstr(text, from);
    assert_non_null(at);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(at - text), text, to ? to : "", to ? at + strlen(from) : "");
    fclose(file);
}

static int count_of(const char *text, const char *words)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, words)); at++)
        count++;
    return count;
}

static dfal_status run_mixed(const char *dir, struct watcher *watcher)
{
    struct dfal_run_options options = run_options();
    struct dfal_context_options flags;
    dfal_context *context = NULL;
    dfal_context_options_init(&flags);
    flags.backend = backends[0];
    flags.allow_mixed = true;
    flags.event = watch;
    flags.event_user = watcher;
    test_ok(dfal_context_create(&context, &flags));
    watcher->context = context;
    const dfal_status status = dfal_run(context, dir, &options, NULL, NULL);
    dfal_context_destroy(context);
    return status;
}

/* What a run was begun with: the data always, the arithmetic unless that may be mixed, and then every
 * difference is an event; rows where they were written. */
static void test_identity(void **state)
{
    (void)state;
    char dir[TEST_PATH], path[TEST_PATH + 100];
    struct watcher watcher = {.name = "run.round", .stop_at = 2};
    test_join(dir, world.folder, "identity");
    test_error(run(dir, backends[0], 1, &watcher, NULL), DFAL_E_STOPPED, "");
    char *text = world_read(dir, "state/identity");
    assert_int_equal(count_of(text, "\n"), 11);
    edit_identity(dir, text, "version: " DFAL_VERSION, "version: 9.8");
    snprintf(path, sizeof path,
             "%s/state/identity was made with version 9.8, expected " DFAL_VERSION
             "; `force` begins anew (`allow_mixed`",
             dir);
    test_error(run_with(dir, NULL, false, false), DFAL_E_CONFIG, path);
    watcher = (struct watcher){.name = "run.mixed"};
    edit_identity(dir, text, "test_fingerprint: ", "test_fingerprint: 0");
    test_error(run_mixed(dir, &watcher), DFAL_E_CONFIG, "identity was made with test_fingerprint 0");
    edit_identity(dir, text, "test_rows: ", "test_rows: 0");
    test_error(run_mixed(dir, &watcher), DFAL_E_CONFIG, "identity was made with test_rows 0");
    assert_int_equal(watcher.seen, 0);
    edit_identity(dir, text, "engine: ", NULL);
    test_error(run_with(dir, NULL, false, false), DFAL_E_CONFIG, "identity was made with engine (none)");
    edit_identity(dir, text, ": strict\n", NULL);
    test_error(run_mixed(dir, &watcher), DFAL_E_DATA, "state/identity: line 8 is 'precision', expected");
    edit_identity(dir, text, "isa: ", "more: 1\nisa: ");
    test_error(run_with(dir, NULL, false, false), DFAL_E_CONFIG, "was made with more 1, expected (none)");
    edit_identity(dir, text, "train_rows: ", NULL);
    char *earlier = world_read(dir, "state/identity");
    edit_identity(dir, earlier, "precision: strict\nlibrary: ", "precision: fast\nlibrary: 0");
    test_ok(run_mixed(dir, &watcher));
    assert_int_equal(watcher.seen, 2);
    char *log = world_read(dir, "log.jsonl");
    assert_int_equal(count_of(log, "\"event\": \"run.mixed\""), 2);
    assert_non_null(strstr(log, "\"key\": \"precision\", \"begun\": \"fast\", \"now\": \"strict\""));
    assert_non_null(strstr(log, "\"key\": \"library\", \"begun\": \"0"));
    free(log);
    free(earlier);
    free(text);
    test_folder_remove(dir);
}

static void test_bad_pools(void **state)
{
    (void)state;
    char dir[TEST_PATH], other[TEST_PATH], set[TEST_PATH + 16];
    struct dfal_run_options options = run_options();
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_join(dir, world.folder, "bad");
    test_join(other, world.folder, "other.h5");
    world_pool(other, 20, 0, POOL_NO_LABELS);
    options.train_path = other;
    test_error(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_DATA, "no labels");
    options.train_path = NULL;
    test_error(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_USAGE, "training pool");
    options.train_path = world.net;
    assert_int_equal(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_DATA);
    options.train_path = "/nowhere.h5";
    test_error(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_NOINPUT, "/nowhere.h5");
    world_pool(other, 20, 0, POOL_F32);
    options.train_path = world.train;
    options.test_path = other;
    test_error(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_DATA, "scaled");
    options.test_path = world.test;
    snprintf(set, sizeof set, "network=lenet6");
    options.set = (const char *const[]){set};
    options.set_count = 1;
    test_error(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_USAGE, "lenet5");
    options.set = (const char *const[]){"initial=100"};
    test_error(dfal_run(context, dir, &options, NULL, NULL), DFAL_E_DATA, "60");
    assert_false(world_exists(world.folder, "bad"));
    dfal_context_destroy(context);
}

/* A pool smaller than the annotations ends the trial; keep: all and none; rows that are not finite are no
 * candidates. */
static void test_exhausted(void **state)
{
    (void)state;
    char dir[TEST_PATH], other[TEST_PATH], transfer[TEST_PATH + 16];
    struct dfal_run_options options = run_options();
    const char *set[32];
    dfal_context *context = world_context(backends[0], 1, NULL, NULL);
    test_join(dir, world.folder, "exhausted");
    test_join(other, world.folder, "small.h5");
    world_pool(other, 16, 0, POOL_F32 | POOL_NAN);
    memcpy(set, options.set, (size_t)options.set_count * sizeof *set);
    snprintf(transfer, sizeof transfer, "transfer=%s", world.net);
    set[options.set_count++] = transfer;
    set[options.set_count++] = "keep=all";
    set[options.set_count++] = "trials=1";
    set[options.set_count++] = "data={test: ignored.h5}";
    options.set = set;
    options.train_path = options.test_path = other;
    test_ok(dfal_run(context, dir, &options, NULL, NULL));
    struct df_curve curve;
    struct df_query_table table;
    test_ok(df_curve_read(&curve, dir));
    assert_int_equal(curve.rows[curve.count - 1].annotations, 15);
    struct df_curve
        learnt; /* the last round was not known to be the last: the other network learns it all the same */
    test_ok(df_transfer_read(&learnt, dir));
    assert_int_equal(learnt.count, 2);
    assert_true(learnt.rows[0].annotations == 15 && learnt.rows[1].annotations == 15);
    df_curve_clear(&learnt);
    test_ok(df_query_table_read(&table, dir));
    for (int64_t i = 0; i < table.count; i++)
        assert_int_not_equal(table.rows[i].index, 5);
    assert_true(world_exists(dir, "networks/dfal-1-r0.h5") && world_exists(dir, "networks/random-1-r2.h5"));
    struct df_run_look look;
    test_ok(df_run_look(&look, dir));
    assert_true(look.finished && look.trials_done == 2 && look.trial == 1);
    df_curve_clear(&curve);
    df_query_table_clear(&table);
    dfal_context_destroy(context);
    test_folder_remove(dir);
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

static void test_outputs(void **state)
{
    (void)state;
    char dir[TEST_PATH], out[TEST_PATH];
    struct dfal_run_options options = run_options();
    struct rows rows = {0};
    dfal_context *context = world_context(backends[0], 1, NULL, NULL);
    test_join(dir, world.folder, "outputs");
    test_ok(dfal_run(context, dir, &options, take_row, &rows));
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.row[0].trials, 2);
    assert_int_equal(rows.row[0].annotations, 21);
    assert_true(rows.row[1].difference != rows.row[1].difference); /* random itself */
    assert_true(rows.row[0].difference == rows.row[0].accuracy_mean - rows.row[1].accuracy_mean ||
                rows.row[0].difference == rows.row[0].difference);
    assert_true(world_exists(dir, "networks/dfal-1.h5") && world_exists(dir, "networks/random-2.h5"));

    char *page = world_read(dir, "report.html");
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<b>bar</b>"));
    assert_non_null(strstr(page, "&lt;b&gt;bar&lt;/b&gt;"));
    assert_non_null(strstr(page, "&lt;script&gt;"));
    assert_non_null(strstr(page, "data:image/png;base64,iVBOR"));
    assert_non_null(strstr(page, "<svg viewBox"));
    assert_non_null(strstr(page, "</html>"));
    assert_true(strstr(page, "not significant") || strstr(page, "significant over"));
    free(page);

    char *log = world_read(dir, "log.jsonl");
    assert_non_null(strstr(log, "\"event\": \"run.begin\""));
    assert_non_null(strstr(log, "\"event\": \"run.end\""));
    free(log);

    char *text = NULL;
    test_ok(dfal_run_curve(context, &text, dir, 60, true));
    for (const char *c = text; *c; c++)
        assert_true(*c == '\n' || (*c >= 32 && *c < 127));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 60);
    dfal_string_free(text);
    test_ok(dfal_run_curve(context, &text, dir, 500, false));
    assert_non_null(strstr(text, "●"));
    dfal_string_free(text);
    test_error(dfal_run_curve(context, &text, dir, 3, false), DFAL_E_USAGE, "width");
    test_error(dfal_run_curve(context, &text, world.folder, 80, false), DFAL_E_DATA, "config.yaml");

    test_join(out, world.folder, "both.html");
    char first[TEST_PATH];
    reference(first, backends[0]);
    test_ok(dfal_report(context, out, (const char *const[]){dir, first}, 2));
    test_error(dfal_report(context, out, (const char *const[]){dir}, 1), DFAL_E_EXISTS, "both.html");
    page = world_read(world.folder, "both.html");
    assert_non_null(strstr(page, "id=\"s2\""));
    free(page);

    /* Without its pool the page says so and stands. */
    char moved[TEST_PATH];
    test_join(moved, world.folder, "moved.h5");
    assert_int_equal(rename(world.train, moved), 0);
    unlink(out);
    test_ok(dfal_report(context, out, (const char *const[]){dir}, 1));
    page = world_read(world.folder, "both.html");
    assert_non_null(strstr(page, "No pictures: "));
    assert_null(strstr(page, "<img"));
    free(page);
    assert_int_equal(rename(moved, world.train), 0);
    dfal_context_destroy(context);
    test_folder_remove(dir);
}

/* Every n-th write, sync and rename fails once, on so many threads: an error, no leak, and the same line
 * continues. A full disk is met by the tables, too. Of several strategies at once one that finds no memory
 * goes on behind the others. */
static void check_faults(int32_t threads, int64_t step)
{
    static const enum df_fault kinds[] = {DF_FAULT_WRITE, DF_FAULT_FSYNC, DF_FAULT_RENAME, DF_FAULT_ALLOC};
    char dir[TEST_PATH], expected[TEST_PATH];
    reference(expected, "ref");
    test_join(dir, world.folder, "faults");
    for (int k = 0; k < 4; k++) {
        int failures = 0, full = 0;
        for (int64_t n = 1;; n += kinds[k] == DF_FAULT_ALLOC ? 997 : step) {
            int64_t live = df_alloc_live();
            fault_kind = kinds[k];
            fault_at = n;
            dfal_status status = run(dir, "ref", threads, NULL, NULL);
            fault_at = 0;
            assert_int_equal(df_alloc_live(), live);
            if (status == DFAL_OK)
                break;
            assert_true(dfal_last_error()[0]);
            failures++;
            full += strstr(dfal_last_error(), ".csv: writing failed: No space left on device") != NULL;
            if (kinds[k] == DF_FAULT_ALLOC && failures >= 12) {
                test_ok(run(dir, "ref", 1, NULL, NULL));
                break;
            }
        }
        assert_true(failures > 0);
        /* Which write of several threads is the n-th is up to them. */
        assert_true(full > 0 || threads > 1 || kinds[k] != DF_FAULT_WRITE);
        same_tables(dir, expected);
        test_folder_remove(dir);
    }
}

static void test_faults(void **state)
{
    (void)state;
    check_faults(1, 7);
    check_faults(3, 17);
}

int main(int argc, char **argv)
{
    if (argc == 7 && !strcmp(argv[1], "--child"))
        return child(argv);
    program = "/proc/self/exe";
    backend_count = test_backends(backends, argc, argv, "ref,cpu");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_queries_and_twins),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_later_rows),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_existing),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_bad_pools),
        cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
