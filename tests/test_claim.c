/* SPDX-License-Identifier: Apache-2.0 */
/* Claims: an output is no input by whatever name, and has one owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/at_work.h"
#include "base/claim.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/file_mark.h"
#include "base/memory.h"
#include "base/parts.h"
#include "support.h"

enum { NAMES = 8 };
static char folder[TEST_PATH], out[TEST_PATH], lock[TEST_PATH];

static void at(char path[TEST_PATH], const char *name)
{
    test_join(path, folder, name);
}

static void put(const char *name)
{
    char path[TEST_PATH];
    at(path, name);
    test_ok(df_file_write(path, name, strlen(name)));
}

static bool there(const char *name)
{
    char path[TEST_PATH];
    at(path, name);
    return df_file_exists(path);
}

static void drop(const char *name)
{
    char path[TEST_PATH];
    at(path, name);
    (void)remove(path);
}

/* The same file under its name, a hard link, a symbolic link, by way of other folders, as a part, as a
 * temporary. */
static void test_inputs(void **state)
{
    (void)state;
    char path[NAMES][TEST_PATH], missing[TEST_PATH], other[TEST_PATH];
    put("out.h5");
    at(path[0], "out.h5");
    at(path[1], "hard.h5");
    at(path[2], "soft.h5");
    at(path[3], "sub/../out.h5");
    at(path[4], "link/out.h5");
    at(path[5], "out.h5.parts/000003.h5");
    at(path[6], "out.h5.tmp.abcdef");
    at(path[7], "link/deep/below/file");
    at(other, "sub");
    test_ok(df_folder_create(other));
    at(other, "deep");
    test_ok(df_folder_create(other));
    at(other, "deep/below");
    test_ok(df_folder_create(other));
    at(other, "out.h5.parts");
    test_ok(df_folder_create(other));
    assert_int_equal(link(out, path[1]), 0);
    assert_int_equal(symlink(out, path[2]), 0);
    at(other, "link");
    assert_int_equal(symlink(folder, other), 0);
    put("out.h5.parts/000003.h5");
    put("out.h5.tmp.abcdef");
    put("deep/below/file");
    put("other.h5");
    at(missing, "missing.h5");
    struct df_claim claim = DF_CLAIM_NONE;
    test_ok(df_claim_input(&claim, path[0])); /* nothing is written */
    test_ok(df_claim_output(&claim, out, "pool"));
    at(other, "deep");
    test_ok(df_claim_folder(&claim, other, "folder"));
    assert_true(df_claim_may_clash(&claim));
    for (int i = 0; i < NAMES; i++) {
        test_error(df_claim_input(&claim, path[i]), DFAL_E_USAGE, path[i]);
        test_error(df_claim_input(&claim, path[i]), DFAL_E_USAGE, i < NAMES - 1 ? out : other);
    }
    at(other, "other.h5");
    test_ok(df_claim_input(&claim, other));
    test_ok(df_claim_input(&claim, missing));
    test_ok(df_claim_input(&claim, NULL));
    const struct dfal_pool_options pool = {.size = sizeof(struct dfal_pool_options),
                                           .label_files = (const char *const[]){other, path[1]},
                                           .label_file_count = 2};
    test_error(df_claim_pool(&claim, other, &pool), DFAL_E_USAGE, path[1]);
    df_claim_end(&claim);
    assert_true(there("out.h5") && there("out.h5.tmp.abcdef")); /* nothing was taken */
    for (int i = 0; i < NAMES; i++)
        (void)remove(path[i]);
}

static void test_two_outputs(void **state)
{
    (void)state;
    char again[TEST_PATH];
    struct df_claim claim = DF_CLAIM_NONE;
    at(again, "sub/../out.h5");
    test_ok(df_claim_output(&claim, out, "queries"));
    test_ok(df_claim_output(&claim, NULL, "twins"));
    test_error(df_claim_output(&claim, out, "sheet"), DFAL_E_USAGE, "queries and for the sheet");
    test_error(df_claim_output(&claim, again, "sheet"), DFAL_E_USAGE, again); /* neither is there */
    df_claim_end(&claim);
}

static dfal_status take(struct df_claim *claim, bool force)
{
    *claim = DF_CLAIM_NONE;
    return df_claim_job(claim, out, NULL, NULL, NULL, force);
}

/* A second claim of this process, and of another, is told, force or not; the end leaves nothing. */
static void test_one_owner(void **state)
{
    (void)state;
    struct df_claim claim, second;
    test_ok(take(&claim, false));
    assert_true(df_file_exists(lock) && df_claim_owns(&claim, out));
    for (int force = 0; force < 2; force++) {
        test_error(take(&second, force), DFAL_E_EXISTS, "another process");
        df_claim_end(&second);
    }
    df_file_sweep(out);
    assert_true(df_file_exists(lock));
    pid_t child = fork();
    if (child == 0)
        _exit(take(&second, true) == DFAL_E_EXISTS ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    df_claim_end(&claim);
    assert_false(df_file_exists(lock));
    test_ok(take(&second, false));
    df_claim_end(&second);
}

/* What a dead job has left goes, also where the output is refused because it is finished. */
static void test_leftovers(void **state)
{
    (void)state;
    struct df_claim claim;
    for (int finished = 0; finished < 2; finished++) {
        put("out.h5.tmp.locked");
        put("out.h5.tmp.a1b2c3");
        if (finished)
            put("out.h5");
        dfal_status found = take(&claim, false);
        assert_int_equal(found, finished ? DFAL_E_EXISTS : DFAL_OK);
        if (finished)
            assert_non_null(strstr(dfal_last_error(), "`force`"));
        assert_int_equal(df_claim_owns(&claim, out), true);
        df_claim_end(&claim);
        assert_false(there("out.h5.tmp.locked") || there("out.h5.tmp.a1b2c3"));
    }
    test_ok(take(&claim, true));
    df_claim_end(&claim);
    drop("out.h5");
}

/* Parts stay while their output is unfinished, whatever stood there when they were to become it, and go when
 * it is. */
static void test_published_parts(void **state)
{
    (void)state;
    struct df_parts parts;
    struct df_claim claim;
    for (int replaced = 0; replaced < 2; replaced++) {
        if (replaced)
            put("out.h5");
        test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false));
        put("out.h5.parts/000000.h5");
        df_parts_publish(&parts);
        df_parts_close(&parts);
        assert_int_equal(take(&claim, replaced), DFAL_OK);
        df_claim_end(&claim);
        assert_true(there("out.h5.parts/000000.h5")); /* killed before it had its name: work to go on with */
        test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false));
        df_parts_publish(&parts);
        put("out.h5");
        df_parts_close(&parts);
        test_error(take(&claim, false), DFAL_E_EXISTS, "`force`");
        df_claim_end(&claim);
        assert_false(there("out.h5.parts"));
        drop("out.h5");
    }
    /* A finished output that is being made again says nothing of publishing. */
    put("out.h5");
    test_ok(df_parts_open(&parts, out, df_parts_is_numbered, "shards", false));
    put("out.h5.parts/000000.h5");
    test_error(take(&claim, false), DFAL_E_EXISTS, "`force`");
    df_claim_end(&claim);
    df_parts_close(&parts);
    test_error(take(&claim, false), DFAL_E_EXISTS, "`force`");
    df_claim_end(&claim);
    assert_true(there("out.h5.parts/000000.h5"));
    drop("out.h5.parts/000000.h5");
    drop("out.h5.parts");
    drop("out.h5");
}

/* Without locks two may begin, but the second one's file does not replace the first one's. */
static void test_without_locks(void **state)
{
    (void)state;
    struct df_claim claim, second;
    test_ok(take(&claim, false));
    df_fault_arm(DF_FAULT_LOCK, 1);
    test_ok(take(&second, false));
    df_fault_arm(DF_FAULT_LOCK, 0);
    test_ok(df_file_write_output(out, "first", 5, false));
    test_error(df_file_write_output(out, "second", 6, false), DFAL_E_EXISTS, "`force`");
    df_claim_end(&second);
    df_claim_end(&claim);
    drop("out.h5");
}

/* Who only looks is told that a job is at work as long as it is, in this process or another, and not by what
 * a kill leaves. On a file system of other hosts nobody is told "no". */
static void test_at_work(void **state)
{
    (void)state;
    struct df_claim claim;
    const enum df_at_work nobody = df_at_work_look(lock);
    assert_int_not_equal(nobody, DF_AT_WORK_YES);
    test_ok(take(&claim, false));
    assert_int_equal(df_at_work_look(lock), DF_AT_WORK_YES);
    df_claim_end(&claim);
    assert_int_equal(df_at_work_look(lock), nobody);
    put("out.h5.tmp.locked");
    assert_int_equal(df_at_work_look(lock), nobody);
    int ready[2], status = -1;
    char byte;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        const bool owned = take(&claim, false) == DFAL_OK && write(ready[1], "x", 1) == 1;
        pause();
        _exit(owned);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(df_at_work_look(lock), DF_AT_WORK_YES);
    test_error(take(&claim, false), DFAL_E_EXISTS, "another process");
    df_claim_end(&claim);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(there("out.h5.tmp.locked"));
    assert_int_equal(df_at_work_look(lock), nobody);
    close(ready[0]);
    close(ready[1]);
    drop("out.h5.tmp.locked");
}

static void test_failures(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    for (int kind = 0; kind < DF_FAULT_LACKS; kind++)
        for (int64_t n = 1;; n++) {
            struct df_claim claim;
            df_fault_arm((enum df_fault)kind, n);
            const dfal_status status = take(&claim, false);
            const bool hit = df_fault_seen((enum df_fault)kind) >= n;
            df_fault_arm((enum df_fault)kind, 0);
            df_claim_end(&claim);
            assert_false(df_file_exists(lock));
            assert_int_equal(df_alloc_live(), live);
            if (!hit)
                break;
            if (kind == DF_FAULT_OPEN)
                test_error(status, DFAL_E_IO, lock);
        }
}

/* A lock is tried again while its name leads elsewhere: what cannot be told is an error, or it would be tried
 * for ever. */
static void test_names(void **state)
{
    (void)state;
    char path[TEST_PATH], below[TEST_PATH];
    bool has;
    put("held");
    put("other");
    at(path, "held");
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    test_ok(df_file_has_name(&has, fd, path));
    assert_true(has);
    assert_int_equal(df_file_has_name(&has, -1, path), DFAL_E_IO);
    at(below, "held/below");
    assert_int_equal(df_file_has_name(&has, fd, below), DFAL_E_IO);
    at(path, "other");
    test_ok(df_file_has_name(&has, fd, path));
    assert_false(has);
    drop("other");
    test_ok(df_file_has_name(&has, fd, path));
    assert_false(has);
    close(fd);
    drop("held");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs),          cmocka_unit_test(test_two_outputs),
        cmocka_unit_test(test_one_owner),       cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_published_parts), cmocka_unit_test(test_without_locks),
        cmocka_unit_test(test_at_work),         cmocka_unit_test(test_failures),
        cmocka_unit_test(test_names),
    };
    test_folder_create(folder);
    at(out, "out.h5");
    at(lock, "out.h5.tmp.locked");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
