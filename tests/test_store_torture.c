/* SPDX-License-Identifier: Apache-2.0 */
/* Every n-th allocation, open, read, write, flush, close, fsync and rename of the store fails once, for every
 * file kind, written and read; and disks of every size up to the first that is large enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <hdf5.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "scores_file.h"
#include "store/classes.h"
#include "store/stream.h"
#include "store/table.h"
#include "support.h"

enum { ROWS = 3000, SCORES = 100, WIDTH = 64 };

static char folder[TEST_PATH];

/* ---- One writer and one reader a file kind ------------------------------------------------------ */

static dfal_status write_pool(const char *path)
{
    static uint8_t raw[ROWS * WIDTH];
    static int32_t labels[ROWS];
    static const char *ids[ROWS];
    for (int i = 0; i < ROWS; i++) {
        raw[i * WIDTH] = (uint8_t)i;
        labels[i] = i % 2;
        ids[i] = i % 2 ? "odd" : "even";
    }
    struct df_pool_spec spec = {.count = ROWS,
                                .shape = {1, 8, 8},
                                .raw = DF_RAW_U8,
                                .class_count = 2,
                                .has_labels = true,
                                .ids = ids};
    struct df_pool_writer *writer;
    DF_TRY(df_pool_create(&writer, path, &spec, false));
    for (int begin = 0; begin < ROWS; begin += 1000) {
        dfal_status status = df_pool_append(writer, raw + begin * WIDTH, labels + begin, 1000);
        if (status != DFAL_OK) {
            df_pool_abandon(writer);
            return status;
        }
    }
    return df_pool_finish(writer);
}

static dfal_status read_pool(const char *path)
{
    struct df_pool *pool;
    struct df_row_stream *stream = NULL;
    struct df_range_source range;
    static uint8_t raw[ROWS * WIDTH];
    static int64_t index[ROWS];
    int64_t n = 1;
    char *id;
    const int64_t rows[3] = {2, 0, 1};
    DF_TRY(df_pool_open(&pool, NULL, path, NULL));
    dfal_status status = df_pool_read(pool, raw, 0, 100);
    if (status == DFAL_OK)
        status = df_pool_gather(pool, raw, rows, 3);
    if (status == DFAL_OK)
        status = df_pool_id(pool, &id, 7);
    if (status == DFAL_OK)
        df_free(id);
    df_range_source_init(&range, 0, ROWS, 100);
    if (status == DFAL_OK)
        status = df_stream_open(&stream, pool, &range.source);
    while (status == DFAL_OK && n)
        status = df_stream_take(stream, ROWS, raw, index, &n);
    df_stream_close(stream);
    df_pool_close(pool);
    return status;
}

static dfal_status write_network(const char *path)
{
    struct df_network *network;
    int32_t input = DF_INPUT, node;
    DF_TRY(df_network_create(&network, (struct df_shape){1, 8, 8}, 10));
    dfal_status status = df_network_add(network, &node, "flat", DF_NODE_FLATTEN, &input, 1);
    if (status == DFAL_OK)
        status = df_network_add(network, &node, "fc", DF_NODE_GEMM, &node, 1);
    if (status == DFAL_OK) {
        network->nodes[node].parameter[DF_WEIGHT] = (struct df_parameter){.rank = 2, .dims = {10, 64}};
        network->output = node;
        status = df_network_infer(network);
    }
    char *names[10] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    const struct df_provenance provenance = {"dfal train", "{}", "ref", "layers", "avx2", "cpu", 1, NULL};
    if (status == DFAL_OK)
        status = df_network_name_classes(network, names);
    if (status == DFAL_OK)
        status = df_network_save(network, path, false, &provenance);
    df_network_destroy(network);
    return status;
}

/* Matched with the same classes the other way round. */
static dfal_status read_network(const char *path)
{
    struct df_network *network;
    char *turned[10] = {"j", "i", "h", "g", "f", "e", "d", "c", "b", "a"};
    int32_t *map = NULL;
    DF_TRY(df_network_load(&network, path));
    const struct df_classes ours = {path, network->classes, 10}, theirs = {"turned", turned, 10};
    dfal_status status = df_classes_match(&map, &ours, &theirs);
    if (status == DFAL_OK)
        assert_int_equal(map[0], 9);
    df_free(map);
    df_network_destroy(network);
    return status;
}

static dfal_status fill_scores(struct df_scores *scores)
{
    DF_TRY(df_scores_alloc(scores, SCORES));
    dfal_status status = df_alloc(&scores->id, SCORES, sizeof *scores->id);
    for (int64_t i = 0; i < SCORES && status == DFAL_OK; i++) {
        scores->index[i] = i;
        status = df_strdup(&scores->id[i], i % 2 ? "odd" : "even");
    }
    return status;
}

static dfal_status write_scores(const char *path)
{
    struct df_scores scores;
    struct df_rows_writer *writer = NULL;
    struct df_rows_head head = {.configuration = "{}", .pool_count = SCORES, .range_end = SCORES};
    static const float images[2 * WIDTH];
    const int64_t index[2] = {1, 0};
    dfal_status status = fill_scores(&scores);
    if (status == DFAL_OK)
        status = df_rows_create(&writer, path, &df_scores_kind, &head, SCORES, true, false);
    if (status == DFAL_OK)
        status = df_rows_append(writer, &scores.rows);
    if (status == DFAL_OK)
        status = df_scores_put_images(writer, images, index, 2, (struct df_shape){1, 8, 8});
    if (status == DFAL_OK)
        status = df_rows_finish(writer);
    else
        df_rows_abandon(writer);
    df_scores_clear(&scores);
    return status;
}

static dfal_status read_scores(const char *path)
{
    struct df_scores scores;
    struct df_rows_head head;
    DF_TRY(test_scores_read(path, &head, &scores));
    df_scores_clear(&scores);
    df_rows_head_clear(&head);
    return DFAL_OK;
}

static dfal_status write_table(const char *path)
{
    static float values[ROWS * 10];
    struct df_column columns[2] = {{"logits", DF_COLUMN_F32, 2, {ROWS, 10}, values},
                                   {"a/b", DF_COLUMN_F32, 1, {7}, values}};
    return df_table_write(path, "dfal-state", "{}", columns, 2, false);
}

static dfal_status write_rows(const char *path)
{
    static float values[ROWS * 10];
    static int64_t index[1000];
    static const struct df_rows_kind kind = {
        .format = "dfal-logits",
        .name = "logits file",
        .column_count = 1,
        .columns = {{.name = "logits", .type = DF_COLUMN_F32, .rank = 1, .dims = {10}}}};
    const struct df_rows_head head = {.configuration = (char *)"{}", .pool_count = ROWS, .range_end = ROWS};
    struct df_rows_writer *writer;
    DF_TRY(df_rows_create(&writer, path, &kind, &head, ROWS, false, false));
    for (int begin = 0; begin < ROWS; begin += 1000) {
        const struct df_rows rows = {
            .kind = &kind, .count = 1000, .index = index, .column = {values + begin * 10}};
        dfal_status status = df_rows_put(writer, begin, &rows);
        if (status != DFAL_OK) {
            df_rows_abandon(writer);
            return status;
        }
    }
    const dfal_status status = df_rows_put_document(writer, "configuration", "{}");
    if (status != DFAL_OK) {
        df_rows_abandon(writer);
        return status;
    }
    return df_rows_finish(writer);
}

static dfal_status read_table(const char *path)
{
    char *configuration, format[32];
    struct df_column column = {"logits", DF_COLUMN_F32, 2, {0}, NULL};
    DF_TRY(df_file_format(format, path));
    DF_TRY(df_table_read(path, format, &configuration, &column, 1));
    df_free(configuration);
    df_free(column.data);
    return DFAL_OK;
}

static const struct kind {
    const char *name;
    dfal_status (*write)(const char *path);
    dfal_status (*read)(const char *path);
} kinds[] = {
    {"pool", write_pool, read_pool},       {"network", write_network, read_network},
    {"scores", write_scores, read_scores}, {"table", write_table, read_table},
    {"rows", write_rows, read_table},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void nothing_open(const char *what, int64_t live)
{
    if (df_alloc_live() != live)
        test_fail("%s: %lld allocations are left", what, (long long)(df_alloc_live() - live));
    ssize_t open = H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL);
    if (open != 0)
        test_fail("%s: %lld HDF5 handles are left", what, (long long)open);
}

/* Descriptors of this process. */
static int descriptors(void)
{
    return test_entries("/proc/self/fd", "");
}

static void torture_write(const struct kind *kind, enum df_fault fault)
{
    char path[TEST_PATH], what[128];
    test_join(path, folder, "target.h5");
    for (int64_t n = 1;; n++) {
        int64_t live = df_alloc_live();
        int open = descriptors();
        snprintf(what, sizeof what, "writing a %s, fault %d number %lld", kind->name, (int)fault,
                 (long long)n);
        df_fault_arm(fault, n);
        dfal_status status = kind->write(path);
        bool hit = df_fault_seen(fault) >= n;
        df_fault_arm(fault, 0);
        nothing_open(what, live);
        if (descriptors() != open)
            test_fail("%s: %d descriptors are left", what, descriptors() - open);
        bool there = df_file_exists(path);
        if (!hit) {
            if (status != DFAL_OK || !there || n == 1)
                test_fail("%s: status %s without a fault", what, dfal_status_name(status));
            unlink(path);
            return;
        }
        /* Without memory for the search, stale temporaries stay: no reason to fail. */
        bool whole = status == DFAL_OK && (fault == DF_FAULT_ALLOC || fault >= DF_FAULT_LACKS);
        if (!whole && status != DFAL_E_IO && status != DFAL_E_MEMORY)
            test_fail("%s: status %s", what, dfal_status_name(status));
        if (!whole && strlen(dfal_last_error()) < 10)
            test_fail("%s: no sentence", what);
        /* What fails leaves nothing, even if it was the folder's fsync behind the renaming. */
        if (there && whole)
            test_ok(kind->read(path));
        else if (there)
            test_fail("%s: a file appeared", what);
        unlink(path);
        if (test_entries(folder, "") != 0)
            test_fail("%s: %d files are left in %s", what, test_entries(folder, ""), folder);
    }
}

static void test_write_faults(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int fault = 0; fault < DF_FAULT_COUNT; fault++)
            if (fault != DF_FAULT_READ)
                torture_write(&kinds[k], (enum df_fault)fault);
}

static void torture_read(const struct kind *kind, enum df_fault fault)
{
    char path[TEST_PATH], what[128];
    test_join(path, folder, "target.h5");
    test_ok(kind->write(path));
    for (int64_t n = 1;; n += n < 100 ? 1 : 97) {
        int64_t live = df_alloc_live();
        int open = descriptors();
        snprintf(what, sizeof what, "reading a %s, fault %d number %lld", kind->name, (int)fault,
                 (long long)n);
        df_fault_arm(fault, n);
        dfal_status status = kind->read(path);
        bool hit = df_fault_seen(fault) >= n;
        df_fault_arm(fault, 0);
        nothing_open(what, live);
        if (descriptors() != open)
            test_fail("%s: %d descriptors are left", what, descriptors() - open);
        if (hit == (status == DFAL_OK))
            test_fail("%s: status %s", what, dfal_status_name(status));
        if (!hit)
            break;
    }
    unlink(path);
}

static void test_read_faults(void **state)
{
    (void)state;
    const enum df_fault faults[3] = {DF_FAULT_ALLOC, DF_FAULT_OPEN, DF_FAULT_READ};
    for (int k = 0; k < KINDS; k++)
        for (int f = 0; f < 3; f++)
            torture_read(&kinds[k], faults[f]);
}

/* ---- A full disk ---------------------------------------------------------------------------- */

/* Needs the right to mount: in a mount namespace of its own, so that nothing stays mounted. */
static bool may_mount(const char *at)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", at, "tmpfs", 0, "size=64k") == 0 && umount(at) == 0;
}

static void test_full_disk(void **state)
{
    (void)state;
    char disk[TEST_PATH], path[TEST_PATH], what[128], size[32];
    test_folder_create(disk);
    test_join(path, disk, "target.h5");
    if (!may_mount(disk)) {
        test_folder_remove(disk);
        if (test_required("mount"))
            test_fail("no right to mount a tmpfs");
        printf("skipped: no right to mount a tmpfs for the full disk\n");
        skip();
    }
    for (int k = 0; k < KINDS; k++) {
        bool fits = false;
        int failures = 0;
        for (int pages = 1; !fits; pages++) {
            int64_t live = df_alloc_live();
            snprintf(size, sizeof size, "size=%dk", 4 * pages);
            snprintf(what, sizeof what, "writing a %s to a disk of %d KiB", kinds[k].name, 4 * pages);
            if (mount("none", disk, "tmpfs", 0, size) != 0 || pages > 200)
                test_fail("%s: no disk", what);
            dfal_status status = kinds[k].write(path);
            nothing_open(what, live);
            fits = status == DFAL_OK;
            if (fits) {
                test_ok(kinds[k].read(path));
            } else {
                failures++;
                if (status != DFAL_E_IO || !strstr(dfal_last_error(), "target.h5"))
                    test_fail("%s: status %s, '%s'", what, dfal_status_name(status), dfal_last_error());
                if (test_entries(disk, "") != 0)
                    test_fail("%s: %d files are left", what, test_entries(disk, ""));
            }
            if (umount(disk) != 0)
                test_fail("%s: the disk is still in use", what);
        }
        assert_true(failures > 0);
    }
    test_folder_remove(disk);
}

/* close(2) itself, called by HDF5 or by dfal's driver. */
static bool close_fails;

int close(int fd)
{
    const long closed = syscall(SYS_close, fd);
    if (closed == 0 && close_fails)
        errno = EIO;
    return closed == 0 && close_fails ? -1 : (int)closed;
}

/* A file that was read is done with, whatever closing it says: HDF5 keeps no half of it, over which it would
 * crash at exit. */
static void test_close_fails(void **state)
{
    (void)state;
    char path[TEST_PATH];
    test_join(path, folder, "target.h5");
    for (int k = 0; k < KINDS; k++) {
        const int64_t live = df_alloc_live();
        test_ok(kinds[k].write(path));
        close_fails = true;
        dfal_status status = kinds[k].read(path);
        close_fails = false;
        test_ok(status);
        nothing_open("closing fails", live);
        assert_int_equal(H5close(), 0);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_fails),
        cmocka_unit_test(test_write_faults),
        cmocka_unit_test(test_read_faults),
        cmocka_unit_test(test_full_disk),
    };
    test_folder_create(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
