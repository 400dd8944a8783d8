/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs that change while they are read: an error, and never zeros or a mixture of old and new rows. And
 * sums of rows, which tell changes between two jobs. */
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
#include "base/row_sum.h"
#include "base/text_file.h"
#include "io/source.h"
#include "store/row_hash.h"
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
        test_ok(df_pool_open(&pool, NULL, at("p.h5"), NULL));
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
        test_ok(df_pool_open(&pool, NULL, at("p.h5"), NULL));
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

/* Label files and lists. */
static void test_text(void **state)
{
    (void)state;
    static char bytes[3 * DF_TEXT_BLOCK];
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < CHANGES; i++) {
        struct df_text_file text;
        const char *piece;
        size_t n = 1;
        FILE *file = fopen(at("t.csv"), "wb");
        assert_int_equal(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
        assert_int_equal(fclose(file), 0);
        test_ok(df_text_file_open(&text, at("t.csv"), 1 << 20));
        test_ok(df_text_file_next(&text, &piece, &n));
        changes[i].make(at("t.csv"));
        dfal_status status = DFAL_OK;
        while (status == DFAL_OK && n)
            status = df_text_file_next(&text, &piece, &n);
        test_error(status, DFAL_E_IO, changes[i].says);
        df_text_file_close(&text);
    }
}

/* ---- Sums of rows ----------------------------------------------------------------------------------- */

static void assert_sum(const struct df_row_sum *sum, const char *expected)
{
    char text[33];
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)sum->high,
             (unsigned long long)sum->low);
    assert_string_equal(text, expected);
}

/* Against xxHash's own program (python-xxhash: xxh3_128_hexdigest(row, seed=number)). */
static void test_sums(void **state)
{
    (void)state;
    unsigned char bytes[1000];
    const struct {
        size_t size;
        int64_t number;
        const char *hash;
    } known[] = {{0, 0, "99aa06d3014798d86001c324468d497f"},
                 {784, 0, "eb185a15dfcba39964109ba7751df452"},
                 {784, 5, "0ae2c0e1351c0b068ed56ea707eabaf6"},
                 {16, 16384, "82a32dcebdad5ab47bd22d86f2faa14f"},
                 {1000, 123456789012, "8851714e08dd96adca2511d0b1e45c67"}};
    for (int i = 0; i < 1000; i++)
        bytes[i] = (unsigned char)(7 * i);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct df_row_sum sum = {0};
        df_row_sum_take(&sum, bytes, known[i].size, known[i].number);
        assert_sum(&sum, known[i].hash);
    }
    /* 900 rows that overlap, from the last to the first, and in two parts */
    struct df_row_sum parts[2] = {{0}};
    for (int i = 899; i >= 0; i--)
        df_row_sum_take(&parts[i % 3 == 0], bytes + i, 100, i);
    df_row_sum_add(&parts[0], parts[1]);
    assert_sum(&parts[0], "700b89c2a84593dc2e7b07ba09c11f51");
}

/* What a stream is asked for, in any order; and rows that were exchanged, changed or left out. */
static void test_hashes(void **state)
{
    (void)state;
    enum { BEGIN = 16000, END = 33000, PIECES = 3, BYTES = 5 };
    const int64_t live = df_alloc_live();
    static unsigned char raw[(END - BEGIN) * BYTES];
    static int64_t index[END - BEGIN];
    struct df_row_hashes a, b;
    for (int64_t i = 0; i < END - BEGIN; i++) {
        index[i] = END - 1 - (i * 7919) % (END - BEGIN);
        for (int k = 0; k < BYTES; k++)
            raw[i * BYTES + k] = (unsigned char)(index[i] >> (8 * k));
    }
    test_ok(df_row_hashes_open(&a, BEGIN, END, DF_SHARD_ROWS));
    assert_int_equal(a.count, PIECES);
    assert_int_equal(df_row_hashes_rows(&a, 0), 384);
    assert_int_equal(df_row_hashes_rows(&a, 1), DF_SHARD_ROWS);
    assert_int_equal(df_row_hashes_rows(&a, 2), END - 2 * DF_SHARD_ROWS);
    df_row_hashes_add(&a, NULL, raw, BYTES, index, END - BEGIN - 1);
    assert_int_equal(END - BEGIN - df_row_hashes_known(&a),
                     df_row_hashes_rows(&a, df_row_hashes_find(&a, index[END - BEGIN - 1])));
    df_row_hashes_add(&a, NULL, raw + (END - BEGIN - 1) * BYTES, BYTES, index + END - BEGIN - 1, 1);
    assert_int_equal(df_row_hashes_known(&a), END - BEGIN);
    for (int change = 0; change < 3; change++) {
        test_ok(df_row_hashes_open(&b, BEGIN, END, DF_SHARD_ROWS));
        if (change == 1) /* two rows in each other's place */
            for (int k = 0; k < BYTES; k++) {
                unsigned char byte = raw[BYTES + k];
                raw[BYTES + k] = raw[2 * BYTES + k];
                raw[2 * BYTES + k] = byte;
            }
        raw[3] ^= change == 2; /* one bit */
        df_row_hashes_add(&b, NULL, raw, BYTES, index, END - BEGIN);
        int same = 0;
        for (int i = 0; i < PIECES; i++)
            same += memcmp(&a.pieces[i].sum, &b.pieces[i].sum, sizeof a.pieces[i].sum) == 0;
        assert_true(change ? same < PIECES : same == PIECES);
        df_row_hashes_close(&b);
    }
    df_row_hashes_close(&a);
    assert_int_equal(df_alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),   cmocka_unit_test(test_stream), cmocka_unit_test(test_table),
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_text),   cmocka_unit_test(test_sums),
        cmocka_unit_test(test_hashes),
    };
    test_folder_create(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
