/* SPDX-License-Identifier: Apache-2.0 */
/* Imports of arrays, batches and files of a class, small ones of every kind: every allocation and every file
 * operation fails once, every byte is changed once, and the file ends behind every byte: a pool or a
 * sentence, nothing lost, nothing left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/pool.h"
#include "support.h"

enum kind { NPY, NPZ, CIFAR10, CLASSES };
static const struct {
    const char *seed; /* the fuzz target's: a byte, then the file */
    enum kind kind;
    int64_t count;
} cases[] = {{"u1.npy", NPY, 4},          {"f8.npy", NPY, 4},        {"stored.npz", NPZ, 4},
             {"packed.npz", NPZ, 4},      {"batch.bin", CIFAR10, 1}, {"batch", CIFAR10, 1},
             {"drawings.npy", CLASSES, 2}};
enum { CASES = sizeof cases / sizeof *cases };

static char folder[TEST_PATH], in_path[TEST_PATH], out_path[TEST_PATH];
static char drawings[TEST_PATH]; /* the other class of CLASSES */

static char *read_seed(int which, size_t *size)
{
    char path[TEST_PATH], name[64], *bytes;
    snprintf(name, sizeof name, "tests/fuzz/seeds/arrays/%s", cases[which].seed);
    test_source(path, name);
    test_ok(df_file_read(&bytes, size, path, 1 << 20));
    --*size;
    memmove(bytes, bytes + 1, *size + 1);
    return bytes;
}

/* Without df_file_write's fsync: there are thousands. */
static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_drawings(void)
{
    size_t size;
    char *bytes = read_seed(CASES - 1, &size);
    write_file(drawings, bytes, size);
    df_free(bytes);
}

static dfal_status import_in(dfal_context *context, enum kind kind)
{
    const struct dfal_pool_options pool = {.size = sizeof(struct dfal_pool_options)};
    const char *const paths[2] = {in_path, drawings};
    switch (kind) {
    case NPY:
        return dfal_import_npy(context, out_path, in_path, NULL, &pool);
    case NPZ:
        return dfal_import_npz(context, out_path, in_path, NULL);
    case CIFAR10:
        return dfal_import_cifar10(context, out_path, paths, 1, NULL);
    default:
        return dfal_import_classes(context, out_path, "quickdraw", paths, 2, NULL, NULL);
    }
}

/* Thousands of times: with limits, or the system's would be read from a dozen files each time. */
static dfal_context *open_context(void)
{
    struct dfal_context_options options;
    dfal_context *context;
    dfal_context_options_init(&options);
    options.threads = 1;
    options.memory = (int64_t)1 << 30;
    options.force = true;
    test_ok(dfal_context_create(&context, &options));
    return context;
}

static dfal_status import(enum kind kind)
{
    dfal_context *context = open_context();
    dfal_status status = import_in(context, kind);
    dfal_context_destroy(context);
    return status;
}

/* Kilobytes of pixels, of which a few tell as much as all. */
static bool is_long(int which)
{
    return cases[which].kind == CIFAR10 || cases[which].kind == CLASSES;
}

static void nothing_left(const char *what, int64_t at)
{
    if (df_file_exists(out_path))
        test_fail("%s, %lld: a refused import left a pool", what, (long long)at);
}

static void test_whole(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct df_pool *pool;
        size_t size;
        char *bytes = read_seed(i, &size);
        write_file(in_path, bytes, size);
        df_free(bytes);
        test_ok(import(cases[i].kind));
        test_ok(df_pool_open(&pool, NULL, out_path, NULL));
        assert_int_equal(pool->count, cases[i].count);
        df_pool_close(pool);
        unlink(out_path);
    }
}

/* What a changed byte does is the reader's business: it must only not lose memory, and say why when it
 * refuses. */
static void test_changed(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        size_t size;
        char *bytes = read_seed(i, &size);
        for (size_t at = 0; at < size; at += !is_long(i) ? 1 : at < 150 || at + 60 > size ? 3 : 501) {
            int64_t live = df_alloc_live();
            char was = bytes[at];
            bytes[at] = (char)(was ^ (at % 3 ? 0xff : 0x01));
            write_file(in_path, bytes, size);
            bytes[at] = was;
            dfal_status status = import(cases[i].kind);
            if (status != DFAL_OK) {
                nothing_left(cases[i].seed, (int64_t)at);
                if (status != DFAL_E_DATA && status != DFAL_E_SHAPE)
                    test_fail("%s, byte %zu changed: %s", cases[i].seed, at, dfal_last_error());
            }
            unlink(out_path);
            assert_int_equal(df_alloc_live(), live);
        }
        df_free(bytes);
    }
}

static void test_cut(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        size_t size;
        char *bytes = read_seed(i, &size);
        for (size_t left = 0; left < size; left += !is_long(i) || left < 300 ? 1 : 61) {
            int64_t live = df_alloc_live();
            write_file(in_path, bytes, left);
            dfal_status status = import(cases[i].kind);
            if (status != DFAL_E_DATA)
                test_fail("%s, %zu of %zu bytes: status %d, expected E_DATA: %s", cases[i].seed, left, size,
                          status, dfal_last_error());
            nothing_left(cases[i].seed, (int64_t)left);
            assert_int_equal(df_alloc_live(), live);
        }
        df_free(bytes);
    }
}

static void test_torture(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        size_t size;
        char *bytes = read_seed(i, &size);
        write_file(in_path, bytes, size);
        df_free(bytes);
        for (int kind = 0; kind < DF_FAULT_COUNT; kind++) {
            int64_t failed = 0;
            for (int64_t n = 1;; n++) {
                int64_t live = df_alloc_live();
                dfal_context *context = open_context(); /* outside of the faults */
                df_fault_arm((enum df_fault)kind, n);
                dfal_status status = import_in(context, cases[i].kind);
                bool reached = df_fault_seen((enum df_fault)kind) >= n;
                df_fault_arm((enum df_fault)kind, 0);
                dfal_context_destroy(context);
                failed += status != DFAL_OK;
                assert_true(df_file_exists(out_path) == (status == DFAL_OK));
                unlink(out_path);
                assert_int_equal(df_alloc_live(), live);
                if (!reached)
                    break;
            }
            if (!failed && kind != DF_FAULT_CLOSE && kind != DF_FAULT_FLUSH && kind < DF_FAULT_LACKS)
                test_fail("%s: no fault of kind %d was met", cases[i].seed, kind);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_torture),
    };
    test_folder_create(folder);
    test_join(in_path, folder, "in");
    test_join(out_path, folder, "out.h5");
    test_join(drawings, folder, "drawings");
    write_drawings();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
