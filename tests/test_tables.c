/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a run directory are put in order: rounds that ended in any order, lines of nobody, lines that
 * are cut short, line ends inside of quotes. Its log has the events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "run/curve.h"
#include "run/tables.h"
#include "support_world.h"

static const struct df_run_place places[] = {{.strategy = "random", .trial = 1, .round = 1},
                                             {.strategy = "random+", .trial = 1, .round = 0},
                                             {.strategy = "random", .trial = 2, .round = -1},
                                             {.strategy = "random+", .trial = 2, .round = 0}};
enum { PLACES = sizeof places / sizeof *places };

/* A directory whose only table is this one. */
static struct df_run_directory directory_of(char *dir, enum df_run_table table, const char *name,
                                            const char *text)
{
    struct df_run_directory directory = df_run_directory_none();
    char path[TEST_PATH];
    FILE *file;
    directory.path = dir;
    test_join(path, dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    directory.table[table] = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    assert_true(directory.table[table] >= 0);
    return directory;
}

static void drop(struct df_run_directory *directory)
{
    directory->path = NULL; /* the test's own */
    df_run_directory_close(directory);
}

#define HEAD DF_CURVE_COLUMNS "\n"

static void test_order(void **state)
{
    (void)state;
    struct df_run_directory directory = directory_of(
        world.folder, DF_RUN_CURVE, "curve.csv",
        HEAD "random+,2,0,a\nrandom,1,0,\"b\n\nrandom,1,9,\"\"x\"\nrandom+,1,0,c\nrandom,1,2,d\n"
             "random,2,0,e\nrandom,1,1,f\nnobody,1,0,g\nrandom+,3,0,h\nrandom,1\n\nrandom,1,0,i");
    const char *expected =
        HEAD "random,1,0,\"b\n\nrandom,1,9,\"\"x\"\nrandom,1,1,f\nrandom+,1,0,c\nrandom+,2,0,a\n";
    test_ok(df_run_tables_settle(&directory, places, PLACES));
    char *found = world_read(world.folder, "curve.csv");
    assert_string_equal(found, expected);
    free(found);
    test_ok(df_run_tables_settle(&directory, places, PLACES)); /* and stays so */
    struct df_text more = {0};
    df_text_add(&more, "random,2,0,k\n");
    test_ok(df_run_directory_append(&directory, DF_RUN_CURVE,
                                    &more)); /* what is appended stands in the new one */
    df_text_clear(&more);
    found = world_read(world.folder, "curve.csv");
    assert_int_equal(strlen(found), strlen(expected) + strlen("random,2,0,k\n"));
    free(found);
    drop(&directory);
}

static void test_missing(void **state)
{
    (void)state;
    struct df_run_directory directory = directory_of(world.folder, DF_RUN_CURVE, "curve.csv",
                                                     HEAD "random,1,0,a\nrandom,1,1,b\nrandom+,2,0,c\n");
    test_error(df_run_tables_settle(&directory, places, PLACES), DFAL_E_DATA,
               "curve.csv has no round 0 of random+ in trial 1, expected those up to 0");
    char *found = world_read(world.folder, "curve.csv");
    assert_string_equal(found, HEAD "random,1,0,a\nrandom,1,1,b\nrandom+,2,0,c\n"); /* as it was */
    free(found);
    drop(&directory);
}

/* The first round has no queries, and a round that another network learns may be any. */
static void test_which(void **state)
{
    (void)state;
    static const struct df_run_place one = {.strategy = "random", .trial = 1, .round = 2};
    struct df_run_directory directory =
        directory_of(world.folder, DF_RUN_TRANSFER, "transfer.csv",
                     DF_TRANSFER_COLUMNS "\nrandom,1,1,x\nrandom,1,2,a\nrandom,1,3,b\nrandom,1,2,a\n");
    test_ok(df_run_tables_settle(&directory, &one, 1));
    char *found = world_read(world.folder, "transfer.csv");
    assert_string_equal(found, DF_TRANSFER_COLUMNS "\nrandom,1,1,x\nrandom,1,2,a\n");
    free(found);
    drop(&directory);
    directory =
        directory_of(world.folder, DF_RUN_QUERIES, "queries.csv", "header\nrandom,1,1,a\nrandom,1,1,b\n");
    test_error(df_run_tables_settle(&directory, &one, 1), DFAL_E_DATA,
               "queries.csv has no round 2 of random");
    drop(&directory);
}

/* A full disk: the sentence says so, and the table has no line more nor a part of one. */
static void test_full_disk(void **state)
{
    (void)state;
    struct df_run_directory directory =
        directory_of(world.folder, DF_RUN_CURVE, "curve.csv", HEAD "random,1,0,a\n");
    struct df_text line = {0};
    df_text_add(&line, "random,1,1,b\n");
    df_fault_arm(DF_FAULT_WRITE, 1);
    test_error(df_run_directory_append(&directory, DF_RUN_CURVE, &line), DFAL_E_IO,
               "curve.csv: writing failed: No space left on device");
    df_fault_arm(DF_FAULT_WRITE, 0);
    char *found = world_read(world.folder, "curve.csv");
    assert_string_equal(found, HEAD "random,1,0,a\n");
    free(found);
    test_ok(df_run_directory_append(&directory, DF_RUN_CURVE, &line));
    found = world_read(world.folder, "curve.csv");
    assert_string_equal(found, HEAD "random,1,0,a\nrandom,1,1,b\n");
    free(found);
    df_text_clear(&line);
    drop(&directory);
}

/* Every kind of field in the log; what progress and debug say is not in it. */
static void test_log(void **state)
{
    (void)state;
    struct df_run_directory directory = directory_of(world.folder, DF_RUN_CURVE, "curve.csv", HEAD);
    const struct dfal_field fields[] = {
        {.key = "names", .kind = DFAL_FIELD_LIST, .integer = 2, .text = "a \"b\"\0c"},
        {.key = "none", .kind = DFAL_FIELD_LIST, .text = ""},
        {.key = "rows", .kind = DFAL_FIELD_INT, .integer = -7},
        {.key = "share", .kind = DFAL_FIELD_REAL, .real = 0.25},
        {.key = "far", .kind = DFAL_FIELD_REAL, .real = INFINITY},
        {.key = "word", .kind = DFAL_FIELD_TEXT, .text = "x"},
        {.key = "silent", .kind = DFAL_FIELD_TEXT},
    };
    struct dfal_event event = {DFAL_WARNING, "test.log", "said", fields, sizeof fields / sizeof *fields};
    char path[TEST_PATH];
    test_join(path, world.folder, "log.jsonl");
    directory.log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    assert_true(directory.log >= 0);
    df_run_directory_event(&directory, &event);
    event.level = DFAL_PROGRESS;
    df_run_directory_event(&directory, &event);
    char *found = world_read(world.folder, "log.jsonl");
    const char *behind = strstr(found, "\"level\"");
    assert_non_null(behind);
    assert_string_equal(behind,
                        "\"level\": \"warning\", \"event\": \"test.log\", \"text\": \"said\", "
                        "\"names\": [\"a \\\"b\\\"\", \"c\"], \"none\": [], \"rows\": -7, \"share\": 0.25, "
                        "\"far\": null, \"word\": \"x\", \"silent\": \"\"}\n");
    free(found);
    drop(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),     cmocka_unit_test(test_missing), cmocka_unit_test(test_which),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
