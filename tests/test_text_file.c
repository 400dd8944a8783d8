/* SPDX-License-Identifier: Apache-2.0 */
/* Text files of other programs: byte-order marks, UTF-16 whose characters lie across blocks, broken halves,
 * lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text_file.h"
#include "support.h"

enum { ROOM = 4 * DF_TEXT_BLOCK };

static char folder[TEST_PATH], path[TEST_PATH];

static size_t convert(char *out, const char *to, const char *text, size_t size)
{
    iconv_t converter = iconv_open(to, "UTF-8");
    char *in = (char *)(uintptr_t)text, *at = out;
    size_t room = ROOM;
    assert_true(converter != (iconv_t)-1);
    assert_true(iconv(converter, &in, &size, &at, &room) != (size_t)-1);
    iconv_close(converter);
    return (size_t)(at - out);
}

static void assert_reads(const char *expected, size_t size)
{
    char *text;
    size_t got;
    test_ok(df_text_file_read(&text, &got, path, ROOM));
    assert_int_equal(got, size);
    assert_memory_equal(text, expected, size + 1);
    df_free(text);
}

/* The same text by any code, whatever lies where a block ends. */
static void test_codes(void **state)
{
    (void)state;
    const char pattern[] = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80xy\n"; /* é € U+1F600 x y */
    const int64_t live = df_alloc_live();
    char *text = calloc(1, ROOM), *raw = calloc(1, ROOM);
    for (size_t shift = 0; shift < 5; shift++) {
        memset(text, 'a', shift);
        size_t size = shift;
        for (; size < DF_TEXT_BLOCK + 9000; size += sizeof pattern - 1)
            memcpy(text + size, pattern, sizeof pattern);
        test_ok(df_file_write(path, text, size));
        assert_reads(text, size);
        memcpy(raw, "\xef\xbb\xbf", 3);
        memcpy(raw + 3, text, size);
        test_ok(df_file_write(path, raw, size + 3));
        assert_reads(text, size);
        for (int big = 0; big < 2; big++) {
            memcpy(raw, big ? "\xfe\xff" : "\xff\xfe", 2);
            const size_t units = convert(raw + 2, big ? "UTF-16BE" : "UTF-16LE", text, size);
            test_ok(df_file_write(path, raw, units + 2));
            assert_reads(text, size);
        }
    }
    free(text);
    free(raw);
    assert_int_equal(df_alloc_live(), live);
}

static void refuse(const char *bytes, size_t size, const char *words)
{
    char *text;
    size_t got;
    test_ok(df_file_write(path, bytes, size));
    test_error(df_text_file_read(&text, &got, path, 64), DFAL_E_DATA, words);
    assert_null(text);
}

static void test_broken(void **state)
{
    (void)state;
    const int64_t live = df_alloc_live();
    test_ok(df_file_write(path, "", 0));
    assert_reads("", 0);
    test_ok(df_file_write(path, "\xef\xbb\xbf", 3));
    assert_reads("", 0);
    test_ok(df_file_write(path, "\xff", 1)); /* any bytes are a name */
    assert_reads("\xff", 1);
    refuse("\xff\xfe"
           "a\0b",
           5, "byte 4: half a character");
    refuse("\xff\xfe\0\xd8", 4, "half a character");
    refuse("\xff\xfe\0\xd8"
           "a\0",
           6, "byte 4: half a character");
    refuse("\xfe\xff\xdc\0\0a", 6, "byte 2: half a character");
    refuse("a\0b", 3, "zero byte");
    refuse("\xff\xfe\0\0", 4, "zero byte");
    char large[65] = "";
    refuse(large, sizeof large, "65 bytes, expected at most 64");
    for (int64_t n = 1; n < 4; n++) {
        char *text;
        size_t got;
        df_fault_arm(DF_FAULT_ALLOC, n);
        assert_int_equal(df_text_file_read(&text, &got, path, 100), n < 3 ? DFAL_E_MEMORY : DFAL_E_DATA);
        df_fault_arm(DF_FAULT_ALLOC, 0);
    }
    df_fault_arm(DF_FAULT_READ, 1);
    char *text;
    size_t got;
    assert_int_equal(df_text_file_read(&text, &got, path, 100), DFAL_E_IO);
    df_fault_arm(DF_FAULT_READ, 0);
    assert_int_equal(df_alloc_live(), live);
}

static void test_lines(void **state)
{
    (void)state;
    char text[] = "a\r\n\n\r\nb\r\rc\nlast", *at = text;
    const char *expected[] = {"a", "", "", "b\r\rc", "last"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_string_equal(df_text_line(&at), expected[i]);
    assert_null(df_text_line(&at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_lines),
    };
    test_folder_create(folder);
    test_join(path, folder, "text");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return failed;
}
