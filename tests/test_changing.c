/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs that change while they are read: an error, and never zeros or a mixture of old and new rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/source.h"
#include "store/stream.h"
#include "store/table.h"
#include "support.h"

enum { COUNT = 9000, SIDE = 28, ROW = SIDE * SIDE, TABLE_ROWS = 3000, TABLE_WIDTH = 4 };

static char folder[TEST_PATH];

static const char *at(const char *name)
{
    static char path[4][TEST_PATH];
    static int next;
    next = (next + 1) % 4;
    test_join(path[next], folder, name);
    return path[next];
}

static void make_pool(const char *name)
{
    struct df_pool_spec spec = {.count = COUNT, .shape = {1, SIDE, SIDE}, .raw = DF_RAW_U8, .class_count = 2};
    struct df_pool_writer *writer;
    uint8_t row[ROW];
    test_ok(df_pool_create(&writer, at(name), &spec, true));
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < ROW; k++)
            row[k] = (uint8_t)(1 + (i + k) % 255); /* no zero */
        test_ok(df_pool_append(writer, row, NULL, 1));
    }
    test_ok(df_pool_finish(writer));
}

/* ---- What may happen to a file ---------------------------------------------------------------------- */

static void cut(const char *path)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(truncate(path, facts.st_size / 2), 0);
}

static void grow(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

/* One byte in place; the time is set by hand, for a clock ticks only every few milliseconds. */
static void write_in_place(const char *path)
{
    int fd = open(path, O_WRONLY);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1, .tv_nsec = 1}};
    assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void replace(const char *path)
{
    char beside[TEST_PATH + 2], bytes[4096];
    snprintf(beside, sizeof beside, "%s~", path);
    FILE *from = fopen(path, "rb"), *to = fopen(beside, "wb");
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, from)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, to), n);
    fclose(from);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(rename(beside, path), 0);
}

static void take_away(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static const struct change {
    void (*make)(const char *path);
    const char *says;
} changes[] = {{cut, "bytes, expected the"},
               {grow, "bytes, expected the"},
               {write_in_place, "was written to while it was read"},
               {replace, "was replaced by another file while it was read"},
               {take_away, "is gone while it was read"}};
enum { CHANGES = sizeof changes / sizeof *changes };

/* ---- Readers ---------------------------------------------------------------------------------------- */

static void test_pool(void **state)
{
    (void)state;
    static uint8_t rows[COUNT * ROW];
    const int64_t list[] = {8990, 3, 4}, live = df_alloc_live();
    for (int i = 0; i < CHANGES; i++) {
        struct df_pool *pool;
        make_pool("p.h5");
        test_ok(df_pool_open(&pool, at("p.h5"), NULL));
        test_ok(df_pool_read(pool, rows, 0, 10));
        changes[i].make(at("p.h5"));
        test_error(df_pool_read(pool, rows, 0, COUNT), DFAL_E_IO, changes[i].says);
        test_error(df_pool_read(pool, rows, 0, COUNT), DFAL_E_IO, "rows 0 to 8999");
        test_error(df_pool_gather(pool, rows, list, 3), DFAL_E_IO, changes[i].says);
        test_error(df_pool_unchanged(pool), DFAL_E_IO, "p.h5");
        df_pool_close(pool);
    }
    assert_int_equal(df_alloc_live(), live);
}

/* Rows are handed out up to the error, which comes before the end. */
static void test_stream(void **state)
{
    (void)state;
    static uint8_t rows[64 * ROW];
    for (int i = 0; i < CHANGES; i++) {
        struct df_pool *pool;
        struct df_row_stream *stream;
        struct df_range_source range;
        int64_t index[64], n, taken = 0;
        make_pool("p.h5");
        test_ok(df_pool_open(&pool, at("p.h5"), NULL));
        df_range_source_init(&range, 0, COUNT, 100);
        changes[i].make(at("p.h5"));
        test_ok(df_stream_open(&stream, pool, &range.source));
        dfal_status status;
        while ((status = df_stream_take(stream, 64, rows, index, &n)) == DFAL_OK && n)
            taken += n;
        test_error(status, DFAL_E_IO, changes[i].says);
        assert_true(taken < COUNT);
        df_stream_close(stream);
        df_pool_close(pool);
    }
}

static void test_table(void **state)
{
    (void)state;
    static float values[TABLE_ROWS * TABLE_WIDTH];
    for (int i = 0; i < CHANGES; i++) {
        const struct df_column column = {.name = "logits",
                                         .type = DF_COLUMN_F32,
                                         .rank = 2,
                                         .dims = {TABLE_ROWS, TABLE_WIDTH},
                                         .data = values};
        struct df_table_reader *reader;
        char *configuration;
        test_ok(df_table_write(at("t.h5"), "dfal-logits", "{}", &column, 1, true));
        test_ok(df_table_open(&reader, at("t.h5"), "dfal-logits", &configuration, "logits", TABLE_ROWS,
                              TABLE_WIDTH));
        df_free(configuration);
        test_ok(df_table_take(reader, 0, 5, values));
        changes[i].make(at("t.h5"));
        test_error(df_table_take(reader, 5, TABLE_ROWS - 5, values), DFAL_E_IO, changes[i].says);
        df_table_close(reader);
    }
}

/* What importers read. */
static void test_bytes(void **state)
{
    (void)state;
    static char bytes[100000];
    for (int i = 0; i < CHANGES; i++) {
        struct df_source source;
        FILE *file = fopen(at("s.bin"), "wb");
        assert_int_equal(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
        assert_int_equal(fclose(file), 0);
        test_ok(df_source_open(&source, at("s.bin")));
        test_ok(df_source_read(&source, bytes, 1000, "head"));
        changes[i].make(at("s.bin"));
        dfal_status status = df_source_read(&source, bytes, sizeof bytes - 1000, "samples");
        if (status == DFAL_OK)
            status = df_source_end(&source);
        test_error(status, DFAL_E_IO, changes[i].says);
        df_source_close(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_bytes),
    };
    test_folder_create(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
