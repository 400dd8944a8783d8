/* SPDX-License-Identifier: Apache-2.0 */
/* An experiment in parts: each with the bits that it has in the whole, and merged the directory of the whole;
 * parts that are missing, doubled, foreign, unfinished or torn are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/pieces.h"
#include "run/curve.h"
#include "run/rounds.h"
#include "support_world.h"

enum { TRIALS = 3 };
/* dfal has twins and a checkpoint of its own; the networks of all rounds are kept. */
static const char *const settings[] = {
    "initial=8",         "query=5",           "annotations=18",
    "trials=3",          "keep=all",          "training.restarts=1",
    "training.epochs=1", "transfer_every=13", "options.dfal.subsample=20",
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static const char *more = "seed=1"; /* one setting more */
static char whole[TEST_PATH], merged[TEST_PATH];

struct killer {
    int64_t seen, kill_at, stop_at;
    dfal_context *context;
};

static void hear(void *user, const struct dfal_event *event)
{
    struct killer *killer = user;
    if (strcmp(event->name, "run.round"))
        return;
    killer->seen++;
    if (killer->seen == killer->kill_at)
        raise(SIGKILL);
    if (killer->seen == killer->stop_at)
        dfal_context_stop(killer->context);
}

static dfal_status run(const char *dir, int32_t number, int32_t count, struct killer *killer)
{
    struct dfal_run_options options;
    const char *set[SETTINGS + 3];
    char network[TEST_PATH + 16], transfer[TEST_PATH + 16];
    snprintf(network, sizeof network, "network=%s", world.net);
    snprintf(transfer, sizeof transfer, "transfer=%s", world.net);
    memcpy(set, settings, sizeof settings);
    set[SETTINGS] = network;
    set[SETTINGS + 1] = transfer;
    set[SETTINGS + 2] = more;
    dfal_run_options_init(&options);
    options.set = set;
    options.set_count = SETTINGS + 3;
    options.train_path = world.train;
    options.test_path = world.test;
    options.part = number;
    options.part_count = count;
    dfal_context *context = world_context("ref", 1 + count % 2, killer ? hear : NULL, killer);
    if (killer)
        killer->context = context;
    const dfal_status status = dfal_run(context, dir, &options, NULL, NULL);
    dfal_context_destroy(context);
    return status;
}

/* DIR of part `number` of so many, from 0, which is run when it is asked for first. */
static const char *part(int32_t number, int32_t count)
{
    static char dirs[TRIALS + 1][TRIALS][TEST_PATH];
    char *dir = dirs[count][number], name[16];
    snprintf(name, sizeof name, "p%dof%d", number + 1, count);
    test_join(dir, world.folder, name);
    if (!world_exists(dir, "state/finished"))
        test_ok(run(dir, number, count, NULL));
    return dir;
}

static enum df_fault fault_kind;
static int64_t fault_at;

static dfal_status merge_with(const char *const *dirs, int32_t count, bool force)
{
    struct dfal_context_options options;
    dfal_context *context;
    dfal_context_options_init(&options);
    options.force = force;
    test_ok(dfal_context_create(&context, &options));
    df_fault_arm(fault_kind, fault_at);
    const dfal_status status = dfal_merge(context, merged, dirs, count);
    df_fault_arm(fault_kind, 0);
    dfal_context_destroy(context);
    return status;
}

static dfal_status merge(const char *const *dirs, int32_t count)
{
    return merge_with(dirs, count, false);
}

static void same(const char *name, bool curve)
{
    char *a = world_read(merged, name), *b = world_read(whole, name);
    if (curve) {
        world_strip_seconds(a);
        world_strip_seconds(b);
    }
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void same_as_whole(void)
{
    static const char *const names[] = {"queries.csv", "classes.csv", "transfer.csv", "config.yaml",
                                        "state/identity"};
    static const char *const strategies[] = {"dfal", "random"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        same(names[i], false);
    same("curve.csv", true);
    assert_true(world_exists(merged, "report.html"));
    for (int32_t t = 1; t <= TRIALS; t++)
        for (int s = 0; s < 2; s++)
            for (int32_t round = 0; round < 3; round++) {
                char name[64];
                snprintf(name, sizeof name, "networks/%s-%d-r%d.h5", strategies[s], t, round);
                assert_true(world_exists(merged, name));
            }
}

/* Nothing of a merge that has failed stays. */
static void nothing_left(void)
{
    assert_false(world_exists(world.folder, "merged"));
    assert_false(world_exists(world.folder, "merged.merging"));
}

static void refused(const char *const *dirs, int32_t count, dfal_status status, const char *words)
{
    test_error(merge(dirs, count), status, words);
    nothing_left();
}

static int setup(void **state)
{
    world_setup(state);
    test_join(whole, world.folder, "whole");
    test_join(merged, world.folder, "merged");
    test_ok(run(whole, 0, 0, NULL));
    return 0;
}

/* Parts in any order of the line. */
static void test_same_bytes(void **state)
{
    (void)state;
    for (int32_t count = 1; count <= TRIALS; count++) {
        const char *dirs[TRIALS];
        for (int32_t k = 0; k < count; k++)
            dirs[count - 1 - k] = part(k, count);
        test_ok(merge(dirs, count));
        same_as_whole();
        struct df_run_look look;
        test_ok(df_run_look(&look, merged));
        assert_true(look.finished && !look.part.count && look.annotations == 18 * 2 * TRIALS);
        test_error(run(merged, 0, 0, NULL), DFAL_E_EXISTS, "finished");
        test_error(merge(dirs, count), DFAL_E_EXISTS, "merged");
        test_ok(merge_with(dirs, count, true));
        same_as_whole();
        test_folder_remove(merged);
    }
}

/* What a part says of itself; a mean of its own trials is held against nothing. */
static void hear_row(void *user, const struct dfal_run_row *row)
{
    ++*(int *)user;
    assert_int_equal(row->trials, 2);
    assert_true(row->difference != row->difference && row->p_value != row->p_value && !row->significant);
}

static void test_part_alone(void **state)
{
    (void)state;
    const char *dir = part(0, 2);
    struct df_run_look look;
    struct df_curve curve;
    int rows = 0;
    test_ok(df_run_look(&look, dir));
    assert_true(look.finished && look.part.number == 0 && look.part.count == 2);
    assert_true(look.trials_total == 4 && look.trials_done == 4 && look.annotations == 18 * 4);
    assert_int_equal(look.config.trials, TRIALS);
    test_ok(df_curve_read(&curve, dir));
    assert_int_equal(curve.count, 3 * 4);
    for (int64_t i = 0; i < curve.count; i++)
        assert_int_equal(curve.rows[i].trial, i < 6 ? 1 : 3);
    df_curve_clear(&curve);
    assert_false(world_exists(dir, "report.html"));
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_ok(dfal_run_table(context, dir, hear_row, &rows));
    assert_int_equal(rows, 2);
    test_error(dfal_report(context, merged, &dir, 1), DFAL_E_DATA, "p1of2 is part 1 of 2 of an experiment");
    dfal_context_destroy(context);
    test_error(run(merged, 3, 4, NULL), DFAL_E_USAGE,
               "the experiment is cut into 4 parts, but it has 3 trials, expected at most a part a trial");
    test_error(run(merged, 2, 2, NULL), DFAL_E_USAGE, "part 3 of 2 is asked for, expected one from 1 to 2");
    nothing_left();
}

/* Stopped or killed, a part goes on as itself alone. */
static void test_continued(void **state)
{
    (void)state;
    const char *dirs[2] = {part(0, 2), merged};
    char dir[TEST_PATH], sentence[2 * TEST_PATH];
    test_join(dir, world.folder, "stopped");
    dirs[1] = dir;
    struct killer killer = {.stop_at = 2};
    test_error(run(dir, 1, 2, &killer), DFAL_E_STOPPED, "kept");
    test_error(run(dir, 0, 2, NULL), DFAL_E_CONFIG, "made with part 2/2, expected 1/2");
    test_error(run(dir, 0, 0, NULL), DFAL_E_CONFIG, "made with part 2/2, expected (none)");
    snprintf(sentence, sizeof sentence,
             "%s is unfinished: trial 2 of strategy dfal stands at 13 of 18 annotations", dir);
    refused(dirs, 2, DFAL_E_DATA, sentence);
    for (int64_t n = 1;; n++) {
        fflush(NULL);
        const pid_t pid = fork();
        if (!pid) {
            killer = (struct killer){.kill_at = n};
            _exit(run(dir, 1, 2, &killer) == DFAL_OK ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            assert_true(n >= 3);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
    }
    test_ok(merge(dirs, 2));
    same_as_whole();
    test_folder_remove(merged);
    /* Killed before the mark of its end. */
    char mark[TEST_PATH];
    test_join(mark, dir, "state/finished");
    assert_int_equal(unlink(mark), 0);
    refused(dirs, 2, DFAL_E_DATA, "stopped is unfinished: its trials are there");
    test_folder_remove(dir);
}

static void test_wrong_parts(void **state)
{
    (void)state;
    const char *p13 = part(0, 3), *p23 = part(1, 3), *p33 = part(2, 3), *p12 = part(0, 2);
    refused((const char *[]){p13, p33}, 2, DFAL_E_DATA, "part 2 of 3 is missing");
    refused((const char *[]){p33}, 1, DFAL_E_DATA, "p3of3 is part 3 of 3, the others are missing");
    refused((const char *[]){p13, p33, p23, p13}, 4, DFAL_E_DATA, "part 1 of 3 is there twice");
    refused((const char *[]){p13, p12, p33}, 3, DFAL_E_DATA, "expected parts of one cut");
    refused((const char *[]){whole}, 1, DFAL_E_DATA, "whole is a run of all trials, expected a part");
    refused((const char *[]){p13, world.net, p33}, 3, DFAL_E_DATA,
            "net.h5 is none, expected run directories");
    refused((const char *[]){world.folder, p13}, 2, DFAL_E_DATA, "without config.yaml");
    char foreign[TEST_PATH];
    test_join(foreign, world.folder, "foreign");
    more = "seed=2";
    test_ok(run(foreign, 1, 3, NULL));
    more = "seed=1";
    refused((const char *[]){p13, foreign, p33}, 3, DFAL_E_CONFIG,
            "foreign was made with seed 2, expected 1 as in");
    test_folder_remove(foreign);
    /* The outputs of others, and the parts themselves, stay. */
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_error(dfal_merge(context, p23, (const char *[]){p13, p23, p33}, 3), DFAL_E_USAGE,
               "expected it elsewhere");
    test_error(dfal_merge(context, world.net, (const char *[]){p13, p23, p33}, 3), DFAL_E_EXISTS,
               "a file is there");
    dfal_context_destroy(context);
    assert_int_equal(mkdir(merged, 0777), 0);
    char other[TEST_PATH];
    test_join(other, merged, "thesis.tex");
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    fclose(file);
    test_error(merge_with((const char *[]){p13, p23, p33}, 3, true), DFAL_E_EXISTS,
               "merged holds thesis.tex");
    test_folder_remove(merged);
}

/* Of thousands the first missing ones are named. */
static void test_many_pieces(void **state)
{
    (void)state;
    struct df_piece pieces[] = {{"c", 2, 4}, {"a", 0, 4}};
    test_error(df_pieces_check(pieces, 2, "shard"), DFAL_E_DATA, "shards 2 and 4 of 4 are missing");
    struct df_piece few[] = {{"i", 8, 2000}, {"b", 1, 2000}};
    test_error(df_pieces_check(few, 2, "part"), DFAL_E_DATA,
               "parts 1, 3, 4, 5, 6, 7, 8, 10 and 1990 more of 2000 are missing");
    struct df_piece all[] = {{"b", 1, 2}, {"a", 0, 2}};
    test_ok(df_pieces_check(all, 2, "part"));
    assert_string_equal(all[0].path, "a");
}

/* A file of a part, changed for one merge. */
struct change {
    char path[TEST_PATH];
    char *bytes;
    long size;
};

static void change_begin(struct change *change, const char *dir, const char *name)
{
    struct stat facts;
    test_join(change->path, dir, name);
    assert_int_equal(stat(change->path, &facts), 0);
    change->size = facts.st_size;
    change->bytes = world_read(dir, name);
}

static void change_write(const struct change *change, const char *bytes, size_t size)
{
    FILE *file = fopen(change->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void change_end(struct change *change)
{
    change_write(change, change->bytes, (size_t)change->size);
    free(change->bytes);
}

/* So many of the last lines. */
static size_t without_lines(const struct change *change, int lines)
{
    long size = change->size;
    for (int i = 0; i < lines; i++)
        for (size--; change->bytes[size - 1] != '\n';)
            size--;
    return (size_t)size;
}

static void test_torn(void **state)
{
    (void)state;
    const char *dirs[2] = {part(0, 2), part(1, 2)};
    struct change change;
    static const struct {
        const char *name, *words; /* with bytes, or lines, less at the end */
        long bytes;
        int lines;
    } cuts[] = {
        {"curve.csv", "p2of2/curve.csv has no round 2 of random in trial 2", 0, 1},
        {"curve.csv", "bytes that are of no round of its checkpoints, expected the table of a finished", 3,
         0},
        {"queries.csv", "p2of2/queries.csv has 4 lines of round 2 of random in trial 2, expected 5", 0, 1},
        {"queries.csv", "p2of2/queries.csv has no round 2 of random in trial 2", 0, 5},
        {"classes.csv", "p2of2/classes.csv has 2 lines of round 2 of random in trial 2, expected 3", 0, 1},
        {"transfer.csv", "p2of2/transfer.csv has no line of round 2 of random in trial 2", 0, 1},
        {"state/dfal-2.h5", "dfal-2.h5", 100, 0},
        {"networks/random-2-r1.h5", "random-2-r1.h5", 2000, 0},
    };
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        change_begin(&change, dirs[1], cuts[i].name);
        change_write(&change, change.bytes,
                     cuts[i].lines ? without_lines(&change, cuts[i].lines)
                                   : (size_t)(change.size - cuts[i].bytes));
        refused(dirs, 2, DFAL_E_DATA, cuts[i].words);
        change_end(&change);
    }
    /* More than there should be. */
    change_begin(&change, dirs[1], "queries.csv");
    char *longer = calloc((size_t)change.size + 8, 1);
    memcpy(longer, change.bytes, (size_t)change.size);
    memcpy(longer + change.size, "dfal,2,9", 8);
    change_write(&change, longer, (size_t)change.size + 8);
    refused(dirs, 2, DFAL_E_DATA, "p2of2/queries.csv has 8 bytes that are of no round of its checkpoints");
    free(longer);
    change_end(&change);
    /* Other columns, as another version may have them. */
    change_begin(&change, dirs[1], "curve.csv");
    change.bytes[0] = 'S';
    change_write(&change, change.bytes, (size_t)change.size);
    refused(dirs, 2, DFAL_E_DATA, "p2of2/curve.csv begins with other columns, expected strategy,trial");
    change.bytes[0] = 's';
    change_end(&change);
    /* The checkpoint of another round, and none at all. */
    char shorter[TEST_PATH];
    struct change state_file;
    test_join(shorter, world.folder, "shorter");
    more = "annotations=13";
    test_ok(run(shorter, 1, 2, NULL));
    more = "seed=1";
    change_begin(&change, dirs[1], "state/random-2.h5");
    change_begin(&state_file, shorter, "state/random-2.h5");
    change_write(&change, state_file.bytes, (size_t)state_file.size);
    refused(dirs, 2, DFAL_E_DATA, "bytes that are of no round of its checkpoints");
    free(state_file.bytes);
    assert_int_equal(unlink(change.path), 0);
    refused(dirs, 2, DFAL_E_DATA, "is unfinished: trial 2 of strategy random stands at 0 of 18 annotations");
    change_end(&change);
    test_folder_remove(shorter);
    change_begin(&change, dirs[0], "networks/dfal-3-r0.h5");
    assert_int_equal(unlink(change.path), 0);
    refused(dirs, 2, DFAL_E_DATA, "p1of2/networks/dfal-3-r0.h5 is missing");
    change_end(&change);
    test_ok(merge(dirs, 2));
    same_as_whole();
    test_folder_remove(merged);
}

/* Whatever fails, there is no half of a directory. */
static void test_faults(void **state)
{
    (void)state;
    static const enum df_fault kinds[] = {DF_FAULT_WRITE, DF_FAULT_FSYNC, DF_FAULT_RENAME, DF_FAULT_ALLOC};
    const char *dirs[2] = {part(0, 2), part(1, 2)};
    for (int k = 0; k < 4; k++) {
        int failures = 0;
        fault_kind = kinds[k];
        for (fault_at = 1;; fault_at += kinds[k] == DF_FAULT_ALLOC   ? 397
                                        : kinds[k] == DF_FAULT_WRITE ? 7
                                                                     : 1) {
            const int64_t live = df_alloc_live();
            const dfal_status status = merge(dirs, 2);
            assert_int_equal(df_alloc_live(), live);
            if (status == DFAL_OK)
                break;
            assert_true(dfal_last_error()[0]);
            nothing_left();
            assert_true(++failures < 2000);
        }
        fault_at = 0;
        assert_true(failures > 1);
        same_as_whole();
        test_folder_remove(merged);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),  cmocka_unit_test(test_part_alone),
        cmocka_unit_test(test_continued),   cmocka_unit_test(test_many_pieces),
        cmocka_unit_test(test_wrong_parts), cmocka_unit_test(test_torn),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, setup, world_teardown);
}
