/* SPDX-License-Identifier: Apache-2.0 */
/* What a selection leaves: killed between its files, resumed with other options or another solver, a rename
 * or an allocation that fails. */
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
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/pool.h"
#include "support_select.h"

/* Killed after each of the files: the same line goes on, another one is refused. */
struct killer {
    int64_t seen, at;
};

static void kill_at_output(void *user, const struct dfal_event *event)
{
    struct killer *killer = user;
    if (!strcmp(event->name, "select.output") && ++killer->seen == killer->at)
        raise(SIGKILL);
}

static void remove_outputs(const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        char path[TEST_PATH];
        test_join(path, world.folder, names[i]);
        remove(path);
    }
}

/* The signal that a selection died by; 0: none. */
static int killed_at_output(const char *out, const struct dfal_select_options *options, int at)
{
    int how = 0;
    pid_t child = fork();
    if (!child) {
        struct killer killer = {.at = at};
        dfal_context *own = world_context("ref", 1, kill_at_output, &killer);
        dfal_select(own, out, world.net, world.train, options, NULL, NULL);
        _exit(0);
    }
    waitpid(child, &how, 0);
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

static void test_killed_between(void **state)
{
    (void)state;
    static const char *const names[] = {"k.csv", "k\n.h5", "k.html", "k.csv.unfinished"};
    char out[TEST_PATH], twins[TEST_PATH], sheet[TEST_PATH];
    test_join(out, world.folder, names[0]);
    test_join(twins, world.folder, names[1]);
    test_join(sheet, world.folder, names[2]);
    struct dfal_select_options options = world_select_options("dfal", 6);
    options.twins_path = twins;
    options.sheet_path = sheet;
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_ok(dfal_select(context, out, world.net, world.train, &options, NULL, NULL));
    char *expected = world_read(world.folder, names[0]);
    assert_false(world_exists(world.folder, names[3]));
    for (int at = 1; at <= 2; at++) {
        remove_outputs(names, 4);
        assert_int_equal(killed_at_output(out, &options, at), SIGKILL);
        assert_false(world_exists(world.folder, names[0]));
        assert_true(world_exists(world.folder, names[2]));
        assert_int_equal(world_exists(world.folder, names[1]), at == 2);
        assert_true(world_exists(world.folder, names[3]));
        options.count = 7;
        test_error(
            dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_CONFIG,
            "k.csv.unfinished was made with count 6, expected 7: finish that line first, or use `force`");
        options.count = 6;
        const double overshoot = world_deepfool.overshoot;
        world_deepfool.overshoot = 0.75;
        test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_CONFIG,
                   "overshoot\":0.75");
        world_deepfool.overshoot = overshoot;
        test_ok(dfal_select(context, out, world.net, world.train, &options, NULL, NULL));
        char *found = world_read(world.folder, names[0]);
        assert_string_equal(found, expected);
        free(found);
        assert_false(world_exists(world.folder, names[3]));
        test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_EXISTS,
                   "k.csv");
    }
    free(expected);
    /* A journal beside finished queries is left from a kill at the very end. */
    char stale[TEST_PATH];
    world_write(stale, names[3], "strategy: \"margin\"\n");
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_EXISTS,
               "k.csv");
    assert_false(world_exists(world.folder, names[3]));
    remove_outputs(names, 1);
    world_write(stale, names[3], "strategy: \"dfal\"\noption.power: \"\"\n");
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_CONFIG,
               "k.csv.unfinished was made with count (none), expected 6");
    static const char *const passes[] = {"passes=3"};
    struct dfal_select_options draws = world_select_options("bald", 6);
    draws.twins_path = twins;
    draws.strategy_options = passes;
    draws.strategy_option_count = 1;
    world_write(stale, names[3], "strategy: \"bald\"\noption.passes: \"10\"\n");
    test_error(dfal_select(context, out, world.net, world.train, &draws, NULL, NULL), DFAL_E_CONFIG,
               "k.csv.unfinished was made with option.passes \"10\", expected \"3\"");
    world_write(stale, names[3], "strategy: \"dfal\"\ncount: 6");
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_DATA,
               "k.csv.unfinished: line 2 is 'count: 6', expected 'name: value' and a line end");
    remove(stale);
    /* Without a journal a file that is there is somebody else's. */
    remove_outputs(names, 1);
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_EXISTS,
               "k?.h5");
    remove_outputs(names, 2);
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_EXISTS,
               "k.html");
    remove_outputs(names, 4);
    /* A failed rename leaves nothing behind: journal, sheet, twins, queries. */
    for (int n = 1; n <= 4; n++) {
        df_fault_arm(DF_FAULT_RENAME, n);
        dfal_status status = dfal_select(context, out, world.net, world.train, &options, NULL, NULL);
        df_fault_arm(DF_FAULT_RENAME, 0);
        if (status == DFAL_OK)
            test_fail("rename %d did not fail", n);
        for (int i = 0; i < 4; i++)
            if (world_exists(world.folder, names[i]))
                test_fail("after rename %d failed %s is there", n, names[i]);
    }
    dfal_context_destroy(context);
}

/* It is a solver, and solves nothing but the model that it is asked first. */
static void write_solver(char path[TEST_PATH], int version)
{
    char script[128];
    snprintf(script, sizeof script, "echo Tiny solver v1.%d; printf 'y0 1\\ny2 1\\n' > $2", version);
    test_program(path, world.folder, "solver", script);
}

/* Killed behind the sheet; the same line with the same command goes on, but not when the command has become
 * another solver, nor with another solver. */
static void test_other_solver(void **state)
{
    (void)state;
    static const char *const names[] = {"v.csv", "v.html", "v.csv.unfinished"};
    static const char *const none[] = {"solver=none"};
    char out[TEST_PATH], sheet[TEST_PATH], program[TEST_PATH], option[TEST_PATH + 16];
    const char *const own[] = {option};
    test_join(out, world.folder, names[0]);
    test_join(sheet, world.folder, names[1]);
    write_solver(program, 1);
    snprintf(option, sizeof option, "solver='%s'", program);
    struct dfal_select_options options = world_select_options("coreset", 3);
    options.sheet_path = sheet;
    options.strategy_options = own;
    options.strategy_option_count = 1;
    assert_int_equal(killed_at_output(out, &options, 1), SIGKILL);
    assert_true(world_exists(world.folder, names[2]) && !world_exists(world.folder, names[0]));
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    write_solver(program, 2);
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_CONFIG,
               "v.csv.unfinished was made with solver \"solver (Tiny solver v1.1)\", expected "
               "\"solver (Tiny solver v1.2)\"");
    options.strategy_options = none;
    test_error(dfal_select(context, out, world.net, world.train, &options, NULL, NULL), DFAL_E_CONFIG,
               "expected \"none\": finish that line first");
    options.strategy_options = own;
    write_solver(program, 1);
    test_ok(dfal_select(context, out, world.net, world.train, &options, NULL, NULL));
    assert_true(world_exists(world.folder, names[0]) && !world_exists(world.folder, names[2]));
    dfal_context_destroy(context);
    remove_outputs(names, 3);
}

static void count_pseudo_labels(void *told, const struct dfal_event *event)
{
    *(int *)told += !strcmp(event->name, "select.pseudo_labels");
}

/* The first rename is the journal's, the second that of the pseudo-labels, the third that of the queries. */
static void test_pseudo_labels_told(void **state)
{
    (void)state;
    static const char *const names[] = {"p.csv", "pseudo.csv", "p.csv.unfinished"};
    static const char *const certain[] = {"threshold=100"};
    char out[TEST_PATH], pseudo[TEST_PATH];
    test_join(out, world.folder, names[0]);
    test_join(pseudo, world.folder, names[1]);
    struct dfal_select_options options = world_select_options("ceal", 4);
    options.pseudo_labels_path = pseudo;
    options.strategy_options = certain;
    options.strategy_option_count = 1;
    for (int n = 1; n <= 4; n++) {
        int told = 0;
        dfal_context *context = world_context("ref", 1, count_pseudo_labels, &told);
        df_fault_arm(DF_FAULT_RENAME, n);
        dfal_status status = dfal_select(context, out, world.net, world.train, &options, NULL, NULL);
        df_fault_arm(DF_FAULT_RENAME, 0);
        dfal_context_destroy(context);
        assert_int_equal(status == DFAL_OK, n > 3);
        assert_int_equal(told, n > 2);
        assert_int_equal(world_exists(world.folder, names[1]), n > 3);
    }
    remove_outputs(names, 3);
}

/* Allocation 1, 2, ... of a selection fails, up to the first that it does not need: an error, and no queries,
 * which are names[0]. growth: of the steps from one to the next, 1: each. */
static void fail_allocations(const char *out, const struct dfal_select_options *options,
                             const char *const *names, int count, double growth)
{
    dfal_status status = DFAL_E_MEMORY;
    for (int64_t n = 1; status != DFAL_OK && n < 20000; n = (int64_t)((double)n * growth) + 1) {
        remove_outputs(names, count);
        dfal_context *context = world_context("ref", 1, NULL, NULL);
        df_fault_arm(DF_FAULT_ALLOC, n);
        status = dfal_select(context, out, world.net, world.train, options, NULL, NULL);
        df_fault_arm(DF_FAULT_ALLOC, 0);
        dfal_context_destroy(context);
        if (status != DFAL_OK && world_exists(world.folder, names[0]))
            test_fail("allocation %lld failed and the queries are there", (long long)n);
    }
    test_ok(status);
}

/* Every allocation of a whole selection with all its files may fail: an error, nothing left, and no leak. */
static void test_out_of_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"m.csv", "m.h5", "m.png", "m.html", "m.csv.unfinished", "pseudo.csv"};
    char out[TEST_PATH], twins[TEST_PATH], sheet[TEST_PATH], pseudo[TEST_PATH];
    test_join(out, world.folder, names[0]);
    test_join(twins, world.folder, names[1]);
    test_join(pseudo, world.folder, names[5]);
    static const char *const strategies[] = {
        "dfal",          "entropy",   "egl-last",       "egl",       "bald",  "coreset-greedy",
        "nearest-other", "typiclust", "cluster-margin", "batchbald", "badge", "dfal-diverse",
        "coreset",       "ceal",      "balanced",       "qbdc"};
    for (int kind = 0; kind < (int)(sizeof strategies / sizeof strategies[0]); kind++) {
        test_join(sheet, world.folder, names[2 + (kind > 0)]);
        struct dfal_select_options options = world_select_options(strategies[kind], 4);
        options.twins_path = twins;
        options.sheet_path = sheet;
        options.pseudo_labels_path = strcmp(strategies[kind], "ceal") ? NULL : pseudo;
        world_deepfool.max_iter = 2;
        fail_allocations(out, &options, names, 6, 1);
        remove_outputs(names, 6);
    }
}

/* The same of a command that names four rows. */
static void test_command_out_of_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"c.csv"};
    char out[TEST_PATH], ids[TEST_PATH], command[TEST_PATH + 64];
    struct world_opened opened;
    test_join(out, world.folder, names[0]);
    world_open(&opened, "ref", 1, world.net, world.train);
    struct df_text text_of_ids = {0};
    for (int row = 9; row > 5; row--) {
        char *id;
        test_ok(df_pool_id(opened.pool, &id, row));
        df_text_csv(&text_of_ids, id);
        df_text_add(&text_of_ids, "\n");
        df_free(id);
    }
    world_close(&opened);
    test_join(ids, world.folder, "ids.txt");
    test_ok(text_of_ids.status);
    test_ok(df_file_write(ids, text_of_ids.bytes, (size_t)text_of_ids.size));
    df_text_clear(&text_of_ids);
    /* the words behind the script are those of dfal: the tenth is IDS.csv */
    snprintf(command, sizeof command, "sh -c 'cp \"$0\" \"${10}\"' %s", ids);
    struct dfal_select_options options = world_select_options(NULL, 4);
    options.strategy_command = command;
    /* Every late one would start the command hundreds of times. */
    fail_allocations(out, &options, names, 1, 17.0 / 16);
    assert_false(world_exists(world.folder, "c.csv.command"));
    char *text = world_read(world.folder, names[0]);
    assert_non_null(strstr(text, ",9,"));
    free(text);
    remove_outputs(names, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_between),        cmocka_unit_test(test_other_solver),
        cmocka_unit_test(test_pseudo_labels_told),    cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_command_out_of_memory),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
