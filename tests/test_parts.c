/* SPDX-License-Identifier: Apache-2.0 */
/* OUT.parts: held by one process, and never emptied of what dfal did not write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parts.h"
#include "support.h"

static char folder[TEST_PATH], out[TEST_PATH], parts_path[TEST_PATH];

static void put(const char *name)
{
    char path[TEST_PATH];
    test_join(path, parts_path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("x", file);
    fclose(file);
}

static bool there(const char *name)
{
    char path[TEST_PATH];
    test_join(path, parts_path, name);
    return df_file_exists(path);
}

static bool is_state(const char *name)
{
    return strncmp(name, "state.h5", 8) == 0;
}

static void test_names(void **state)
{
    (void)state;
    assert_true(df_parts_is_numbered("000000.h5") && df_parts_is_numbered("1234567.h5"));
    assert_true(df_parts_is_numbered("000001.h5.tmp.aB3dEf"));
    const char *const others[] = {"00000.h5", "000000.h5x", "000000.h5.bak", "state.h5", "x000000.h5", ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(df_parts_is_numbered(others[i]));
}

static void test_empty_folder_goes(void **state)
{
    (void)state;
    struct df_parts parts;
    test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false));
    assert_string_equal(parts.folder, parts_path);
    assert_true(df_folder_exists(parts_path));
    df_parts_close(&parts);
    assert_false(df_folder_exists(parts_path));
    df_parts_close(&parts); /* closing what is closed does no harm */
}

static void test_parts_stay_until_cleared(void **state)
{
    (void)state;
    struct df_parts parts;
    test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false));
    put("000000.h5");
    put("000001.h5.tmp.abcdef");
    df_parts_close(&parts);
    assert_true(there("000000.h5"));
    test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", true));
    assert_true(there("000000.h5")); /* force alone removes only another kind's parts */
    test_ok(df_parts_clear(&parts));
    df_parts_close(&parts);
    assert_false(df_folder_exists(parts_path));
}

/* Who is stopped beside parts says that work is kept; whoever ends otherwise, or leaves none, says
 * nothing. */
static void test_kept_work(void **state)
{
    (void)state;
    dfal_context *context;
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    test_ok(dfal_context_create(&context, &options));
    df_parts_tell_kept(context, DFAL_E_STOPPED, out);
    assert_false(dfal_context_kept_work(context));
    assert_int_equal(mkdir(parts_path, 0777), 0);
    put("000001.h5.tmp.abcdef");
    df_parts_tell_kept(context, DFAL_E_STOPPED, out);
    assert_false(dfal_context_kept_work(context));
    put("000000.h5");
    df_parts_tell_kept(context, DFAL_OK, out);
    df_parts_tell_kept(context, DFAL_E_IO, out);
    assert_false(dfal_context_kept_work(context));
    df_parts_tell_kept(context, DFAL_E_STOPPED, out);
    assert_true(dfal_context_kept_work(context));
    dfal_context_destroy(context);
    test_folder_remove(parts_path);
}

/* A second process, and a second job of this one, are told. */
static void test_one_at_a_time(void **state)
{
    (void)state;
    struct df_parts parts, second;
    test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false));
    test_error(df_parts_open(&second, out, is_state, "a checkpoint", true), DFAL_E_EXISTS, "another process");
    df_parts_close(&second);
    assert_true(df_folder_exists(parts_path));
    pid_t child = fork();
    if (child == 0)
        _exit(df_parts_open(&second, out, df_parts_is_numbered, "shards", false) == DFAL_E_EXISTS ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    df_parts_close(&parts);
    test_ok(df_parts_open(&second, out, df_parts_is_numbered, "shards", false));
    df_parts_close(&second);
}

static void test_other_kinds_and_strangers(void **state)
{
    (void)state;
    struct df_parts parts;
    assert_int_equal(mkdir(parts_path, 0777), 0);
    put("state.h5");
    test_error(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false), DFAL_E_CONFIG, "state.h5");
    put("thesis.txt");
    for (int force = 0; force < 2; force++)
        test_error(df_parts_open(&parts, out, is_state, "a checkpoint", force), DFAL_E_EXISTS, "thesis.txt");
    assert_true(there("thesis.txt") && there("state.h5"));
    char path[TEST_PATH];
    test_join(path, parts_path, "thesis.txt");
    assert_int_equal(unlink(path), 0);
    test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", true));
    assert_false(there("state.h5"));
    df_parts_close(&parts);
    assert_false(df_folder_exists(parts_path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_empty_folder_goes),
        cmocka_unit_test(test_parts_stay_until_cleared),
        cmocka_unit_test(test_kept_work),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_other_kinds_and_strangers),
    };
    test_folder_create(folder);
    test_join(out, folder, "out.h5");
    test_join(parts_path, folder, "out.h5.parts");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
