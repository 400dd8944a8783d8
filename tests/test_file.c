/* SPDX-License-Identifier: Apache-2.0 */
/* Files: published whole or not at all, whatever fails; stale temporaries; targets. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"

struct place {
    char folder[64], target[96], other[96];
};

static int enter(void **state)
{
    struct place *place = test_calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/dfal-file-XXXXXX");
    if (!mkdtemp(place->folder))
        return -1;
    snprintf(place->target, sizeof place->target, "%s/target.txt", place->folder);
    snprintf(place->other, sizeof place->other, "%s/other", place->folder);
    *state = place;
    return 0;
}

static int leave(void **state)
{
    struct place *place = *state;
    dfal_status status = df_folder_remove(place->folder);
    test_free(place);
    return status == DFAL_OK ? 0 : -1;
}

static int entries(const char *folder)
{
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void assert_content(const char *path, const char *expected)
{
    char *bytes;
    size_t size;
    assert_int_equal(df_file_read(&bytes, &size, path, 1 << 20), DFAL_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(bytes, expected);
    df_free(bytes);
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void writes_and_reads(void **state)
{
    struct place *place = *state;
    assert_int_equal(df_file_write(place->target, "one", 3), DFAL_OK);
    assert_content(place->target, "one");
    assert_int_equal(df_file_write(place->target, "", 0), DFAL_OK);
    assert_content(place->target, "");
    enum { SIZE = 300000 };
    char *large;
    assert_int_equal(df_alloc(&large, SIZE + 1, 1), DFAL_OK);
    for (int i = 0; i < SIZE; i++)
        large[i] = (char)('a' + i % 26);
    assert_int_equal(df_file_write(place->target, large, SIZE), DFAL_OK);
    assert_content(place->target, large);
    df_free(large);
    assert_int_equal(entries(place->folder), 1);
}

static void mode_comes_from_umask(void **state)
{
    struct place *place = *state;
    mode_t before = umask(027);
    assert_int_equal(df_file_write(place->target, "x", 1), DFAL_OK);
    umask(before);
    struct stat facts;
    assert_int_equal(stat(place->target, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
}

/* Whoever hides files from himself too can still work: as nobody, for root may read everything. */
static void the_owner_keeps_access(void **state)
{
    struct place *place = *state;
    assert_int_equal(chmod(place->folder, 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        char below[160], *bytes;
        size_t size;
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(2);
        umask(0777);
        snprintf(below, sizeof below, "%s/file", place->other);
        bool fine = df_file_write(place->target, "x", 1) == DFAL_OK &&
                    df_file_write(place->target, "y", 1) == DFAL_OK &&
                    df_file_read(&bytes, &size, place->target, 10) == DFAL_OK &&
                    df_folder_create(place->other) == DFAL_OK && df_file_write(below, "z", 1) == DFAL_OK;
        if (!fine)
            print_message("%s\n", dfal_last_error());
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct stat facts;
    assert_int_equal(stat(place->target, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(place->other, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
}

static void a_link_is_replaced_not_followed(void **state)
{
    struct place *place = *state;
    assert_int_equal(df_file_write(place->other, "precious", 8), DFAL_OK);
    assert_int_equal(symlink(place->other, place->target), 0);
    assert_int_equal(df_file_write(place->target, "mine", 4), DFAL_OK);
    assert_content(place->other, "precious");
    assert_content(place->target, "mine");
    struct stat facts;
    assert_int_equal(lstat(place->target, &facts), 0);
    assert_true(S_ISREG(facts.st_mode));
}

static void temporary_then_publish(void **state)
{
    struct place *place = *state;
    char *temporary;
    int fd;
    assert_int_equal(df_file_temporary(&temporary, &fd, place->target), DFAL_OK);
    assert_memory_equal(temporary, place->target, strlen(place->target));
    assert_memory_equal(temporary + strlen(place->target), ".tmp.", 5);
    assert_int_equal(strlen(temporary), strlen(place->target) + 11);
    assert_int_equal(write(fd, "done", 4), 4);
    close(fd);
    assert_false(df_file_exists(place->target));
    assert_int_equal(df_file_publish(temporary, place->target, false), DFAL_OK);
    assert_false(df_file_exists(temporary));
    assert_content(place->target, "done");
    df_free(temporary);
}

/* A file that is there is not replaced unasked, also where the file system cannot rename that way, and
 * nothing is left. */
static void what_is_there_is_not_replaced(void **state)
{
    struct place *place = *state;
    for (int64_t without = 0; without < 2; without++) {
        df_fault_arm(DF_FAULT_FLAGS, without);
        assert_int_equal(df_file_write_output(place->target, "first", 5, false), DFAL_OK);
        df_fault_arm(DF_FAULT_FLAGS, without);
        assert_int_equal(df_file_write_output(place->target, "second", 6, false), DFAL_E_EXISTS);
        assert_non_null(strstr(dfal_last_error(), "`force`"));
        assert_content(place->target, "first");
        df_fault_arm(DF_FAULT_FLAGS, without ? 1 + without : 0); /* no exchange: a plain rename */
        assert_int_equal(df_file_write_output(place->target, "third", 5, true), DFAL_OK);
        df_fault_arm(DF_FAULT_FLAGS, 0);
        assert_content(place->target, "third");
        assert_int_equal(entries(place->folder), 1);
        assert_int_equal(unlink(place->target), 0);
    }
}

/* When the folder cannot be synced the file might be gone tomorrow: it is gone at once, and an old one is
 * back. */
static void a_folder_that_cannot_be_synced(void **state)
{
    struct place *place = *state;
    df_fault_arm(DF_FAULT_FSYNC, 2);
    assert_int_equal(df_file_write_output(place->target, "first", 5, false), DFAL_E_IO);
    df_fault_arm(DF_FAULT_FSYNC, 0);
    assert_int_equal(entries(place->folder), 0);
    assert_int_equal(df_file_write_output(place->target, "first", 5, false), DFAL_OK);
    df_fault_arm(DF_FAULT_FSYNC, 2);
    assert_int_equal(df_file_write_output(place->target, "second", 6, true), DFAL_E_IO);
    df_fault_arm(DF_FAULT_FSYNC, 0);
    assert_content(place->target, "first");
    assert_int_equal(entries(place->folder), 1);
}

/* The n-th operation of each kind fails, for every n: the old content stands, nothing beside it, no leak. */
static void every_failing_operation_leaves_the_old(void **state)
{
    struct place *place = *state;
    const struct {
        enum df_fault kind;
        int at_least;
    } kinds[] = {{DF_FAULT_ALLOC, 2}, {DF_FAULT_OPEN, 3},  {DF_FAULT_WRITE, 1},
                 {DF_FAULT_FSYNC, 2}, {DF_FAULT_CLOSE, 3}, {DF_FAULT_RENAME, 1}};
    int64_t live = df_alloc_live();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int failed = 0;
        for (int64_t n = 1;; n++) {
            assert_int_equal(df_file_write(place->target, "old", 3), DFAL_OK);
            df_fault_arm(kinds[k].kind, n);
            dfal_status status = df_file_write(place->target, "new", 3);
            df_fault_arm(kinds[k].kind, 0);
            assert_int_equal(entries(place->folder), 1);
            assert_int_equal(df_alloc_live(), live);
            if (status == DFAL_OK)
                break;
            failed++;
            assert_int_equal(status, kinds[k].kind == DF_FAULT_ALLOC ? DFAL_E_MEMORY : DFAL_E_IO);
            if (kinds[k].kind != DF_FAULT_ALLOC)
                assert_non_null(strstr(dfal_last_error(), place->folder));
            assert_content(place->target, "old");
        }
        assert_true(failed >= kinds[k].at_least);
        assert_content(place->target, "new");
    }
}

static void failing_reads_are_told(void **state)
{
    struct place *place = *state;
    assert_int_equal(df_file_write(place->target, "0123456789", 10), DFAL_OK);
    int64_t live = df_alloc_live();
    char *bytes;
    size_t size;
    df_fault_arm(DF_FAULT_READ, 2);
    assert_int_equal(df_file_read(&bytes, &size, place->target, 100), DFAL_E_IO);
    df_fault_arm(DF_FAULT_READ, 0);
    assert_null(bytes);
    df_fault_arm(DF_FAULT_OPEN, 1);
    assert_int_equal(df_file_read(&bytes, &size, place->target, 100), DFAL_E_IO);
    df_fault_arm(DF_FAULT_OPEN, 0);
    assert_int_equal(df_file_read(&bytes, &size, place->target, 9), DFAL_E_DATA);
    assert_non_null(strstr(dfal_last_error(), "10 bytes, expected at most 9"));
    assert_int_equal(df_file_read(&bytes, &size, place->other, 100), DFAL_E_NOINPUT);
    assert_non_null(strstr(dfal_last_error(), place->other));
    assert_int_equal(df_file_read(&bytes, &size, place->folder, 1 << 20), DFAL_E_DATA);
    assert_int_equal(df_file_read(&bytes, &size, "/dev/zero", 200000), DFAL_E_DATA);
    assert_null(bytes);
    assert_int_equal(df_alloc_live(), live);
    assert_int_equal(df_file_read(&bytes, &size, place->target, 10), DFAL_OK);
    df_free(bytes);
}

static void sweep_takes_only_stale_temporaries(void **state)
{
    struct place *place = *state;
    static const char *const names[] = {
        "target.txt.tmp.abcDE1", "target.txt.tmp.abcDE2",  "target.txt",
        "target.txt.tmp.abc",    "target.txt.tmp.abcdefg", "other.tmp.abcdef"};
    char path[6][160];
    for (int i = 0; i < 6; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", place->folder, names[i]);
        touch(path[i]);
    }
    int held = open(path[1], O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(held, LOCK_EX), 0);
    df_fault_arm(DF_FAULT_LOCK, 1); /* without locks nobody knows whose it is */
    df_file_sweep(place->target);
    df_fault_arm(DF_FAULT_LOCK, 0);
    assert_true(df_file_exists(path[0]));
    df_file_sweep(place->target);
    assert_false(df_file_exists(path[0]));
    for (int i = 1; i < 6; i++)
        assert_true(df_file_exists(path[i]));
    close(held);
    df_file_sweep(place->target);
    assert_false(df_file_exists(path[1]));
    char *temporary;
    int fd;
    assert_int_equal(df_file_temporary(&temporary, &fd, place->target), DFAL_OK);
    df_file_sweep(place->target);
    assert_true(df_file_exists(temporary));
    close(fd);
    unlink(temporary);
    df_free(temporary);
    df_file_sweep("/nonexistent/folder/file");
}

static void targets_are_checked(void **state)
{
    struct place *place = *state;
    char missing[160];
    snprintf(missing, sizeof missing, "%s/none/file", place->folder);
    assert_int_equal(df_file_check_target(place->target, false), DFAL_OK);
    assert_int_equal(df_file_check_target("bare-name-that-is-not-there", false), DFAL_OK);
    assert_int_equal(df_file_check_target(missing, true), DFAL_E_EXISTS);
    assert_non_null(strstr(dfal_last_error(), "does not exist"));
    assert_int_equal(df_file_check_target(place->folder, true), DFAL_E_EXISTS);
    assert_int_equal(df_file_check_target("", false), DFAL_E_EXISTS);
    touch(place->target);
    assert_int_equal(df_file_check_target(place->target, false), DFAL_E_EXISTS);
    assert_non_null(strstr(dfal_last_error(), place->target));
    assert_int_equal(df_file_check_target(place->target, true), DFAL_OK);
    assert_int_equal(df_file_write(missing, "x", 1), DFAL_E_EXISTS);
    assert_int_equal(df_file_write("/proc/none", "x", 1), DFAL_E_EXISTS);
}

static void folders_come_and_go(void **state)
{
    struct place *place = *state;
    char path[4][160];
    assert_int_equal(df_folder_create(place->other), DFAL_OK);
    assert_int_equal(df_folder_create(place->other), DFAL_OK);
    assert_true(df_folder_exists(place->other));
    snprintf(path[0], sizeof path[0], "%s/file", place->other);
    snprintf(path[1], sizeof path[1], "%s/below", place->other);
    snprintf(path[2], sizeof path[2], "%s/below/file", place->other);
    snprintf(path[3], sizeof path[3], "%s/below/deep", place->other);
    touch(path[0]);
    assert_int_equal(df_folder_create(path[0]), DFAL_E_EXISTS); /* a file */
    assert_int_equal(df_folder_create(path[1]), DFAL_OK);
    touch(path[2]);
    assert_int_equal(df_folder_create(path[3]), DFAL_OK);
    assert_int_equal(df_folder_remove(place->other), DFAL_E_EXISTS); /* two levels: not ours */
    assert_non_null(strstr(dfal_last_error(), path[3]));
    assert_int_equal(rmdir(path[3]), 0);
    assert_int_equal(df_folder_remove(place->other), DFAL_OK);
    assert_false(df_file_exists(place->other));
    assert_int_equal(df_folder_remove(place->other), DFAL_OK); /* nothing there */

    /* A link to a folder is removed as a link. */
    char *away;
    assert_int_equal(df_format(&away, "%s/away", place->folder), DFAL_OK);
    assert_int_equal(df_folder_create(away), DFAL_OK);
    char *kept;
    assert_int_equal(df_format(&kept, "%s/kept", away), DFAL_OK);
    touch(kept);
    assert_int_equal(df_folder_create(place->other), DFAL_OK);
    assert_int_equal(symlink(away, path[1]), 0);
    assert_int_equal(df_folder_remove(place->other), DFAL_OK);
    assert_true(df_file_exists(kept));
    df_free(kept);
    df_free(away);
}

/* What others leave in a folder of ours, at any depth and of any mode; links are removed, not followed. */
static void trees_are_removed(void **state)
{
    struct place *place = *state;
    char path[512], kept[160], again[160];
    int length = snprintf(path, sizeof path, "%s", place->other);
    assert_int_equal(df_folder_create(path), DFAL_OK);
    for (int i = 0; i < 20; i++) {
        length += snprintf(path + length, sizeof path - (size_t)length, "/%d", i);
        assert_int_equal(df_folder_create(path), DFAL_OK);
    }
    snprintf(path + length, sizeof path - (size_t)length, "/file");
    touch(path);
    path[length] = 0;
    assert_int_equal(chmod(path, 0500), 0);
    touch(place->target);
    snprintf(kept, sizeof kept, "%s/0/link", place->other);
    assert_int_equal(symlink(place->folder, kept), 0);
    snprintf(again, sizeof again, "%s/0/1/link", place->other);
    assert_int_equal(symlink(place->target, again), 0);
    assert_int_equal(df_path_remove(place->other), DFAL_OK);
    assert_false(df_file_exists(place->other));
    assert_true(df_file_exists(place->target));
    assert_int_equal(df_path_remove(place->target), DFAL_OK);
    assert_int_equal(df_path_remove(place->target), DFAL_OK); /* nothing there */
    assert_int_equal(entries(place->folder), 0);
}

static void errno_is_mapped(void **state)
{
    (void)state;
    assert_int_equal(df_fail_errno(ENOENT, false, "a", "opening"), DFAL_E_NOINPUT);
    assert_string_equal(dfal_last_error(), "a: opening failed: No such file or directory");
    assert_int_equal(df_fail_errno(EACCES, false, "a", "opening"), DFAL_E_NOINPUT);
    assert_int_equal(df_fail_errno(EIO, false, "a", "reading"), DFAL_E_IO);
    assert_int_equal(df_fail_errno(EACCES, true, "a", "creating"), DFAL_E_EXISTS);
    assert_int_equal(df_fail_errno(EROFS, true, "a", "creating"), DFAL_E_EXISTS);
    assert_int_equal(df_fail_errno(EISDIR, true, "a", "creating"), DFAL_E_EXISTS);
    assert_int_equal(df_fail_errno(ENOENT, true, "a", "creating"), DFAL_E_EXISTS);
    assert_int_equal(df_fail_errno(ENOSPC, true, "a", "writing"), DFAL_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_and_reads, enter, leave),
        cmocka_unit_test_setup_teardown(mode_comes_from_umask, enter, leave),
        cmocka_unit_test_setup_teardown(the_owner_keeps_access, enter, leave),
        cmocka_unit_test_setup_teardown(a_link_is_replaced_not_followed, enter, leave),
        cmocka_unit_test_setup_teardown(what_is_there_is_not_replaced, enter, leave),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_synced, enter, leave),
        cmocka_unit_test_setup_teardown(temporary_then_publish, enter, leave),
        cmocka_unit_test_setup_teardown(every_failing_operation_leaves_the_old, enter, leave),
        cmocka_unit_test_setup_teardown(failing_reads_are_told, enter, leave),
        cmocka_unit_test_setup_teardown(sweep_takes_only_stale_temporaries, enter, leave),
        cmocka_unit_test_setup_teardown(targets_are_checked, enter, leave),
        cmocka_unit_test_setup_teardown(folders_come_and_go, enter, leave),
        cmocka_unit_test_setup_teardown(trees_are_removed, enter, leave),
        cmocka_unit_test(errno_is_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
