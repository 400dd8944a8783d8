/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people write them: what is one, what is not, and the bounds of options and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "base/number.h"

static void whole_numbers(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"7", 7},
                {"-12", -12},
                {"-0", 0},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",    "-",   "+5",  "05", "00",  "-01",
                                      "1.0", "1e3", " 1",  "1 ", "0x1", "9223372036854775808",
                                      "١",   "1\n", "--1", "all"};
    int64_t value;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(df_parse_whole(&value, good[i].text));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (df_parse_whole(&value, bad[i]))
            fail_msg("'%s' was read as a whole number", bad[i]);
}

static void natural_numbers(void **state)
{
    uint64_t value;
    (void)state;
    assert_true(df_parse_natural(&value, "18446744073709551615") && value == UINT64_MAX);
    assert_true(df_parse_natural(&value, "0") && value == 0);
    assert_false(df_parse_natural(&value, "-1"));
    assert_false(df_parse_natural(&value, "18446744073709551616"));
    assert_false(df_parse_natural(&value, "01"));
}

static void decimal_numbers(void **state)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},       {"-1.5", -1.5},  {".5", 0.5},        {"5.", 5},    {"1e3", 1000},
                {"1E-3", 1e-3}, {"2.5e+2", 250}, {"1e-320", 1e-320}, {"0.1", 0.1}, {"-.25", -0.25}};
    static const char *const bad[] = {"",      ".",      "-",     "+1",  "01", "1e", "1e+",
                                      "nan",   "inf",    "0x1p3", "1,5", "1 ", " 1", "1.2.3",
                                      "1e999", "-1e999", "e5",    "1d3", "--1"};
    double value;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(df_parse_decimal(&value, good[i].text));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (df_parse_decimal(&value, bad[i]))
            fail_msg("'%s' was read as a number", bad[i]);
}

static void bytes(void **state)
{
    static const char *const bad[] = {"", "0", "-1", "K", "1k", "1.5G", "1KB", "8589934592G", "1 G"};
    int64_t value;
    (void)state;
    assert_true(df_parse_bytes(&value, "300M") && value == INT64_C(300) << 20);
    assert_true(df_parse_bytes(&value, "1K") && value == 1024);
    assert_true(df_parse_bytes(&value, "8589934591G") && value == INT64_C(8589934591) << 30);
    assert_true(df_parse_bytes(&value, "4096") && value == 4096);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (df_parse_bytes(&value, bad[i]))
            fail_msg("'%s' was read as bytes", bad[i]);
}

/* What does not fit leaves the field as it was. */
static void bounds(void **state)
{
    const struct df_number few = {.kind = DF_NUMBER_I32, .low = 1, .high = 10},
                           rows = {.kind = DF_NUMBER_I64, .low = 1, .high = 1e12, .or_all = true},
                           share = {.kind = DF_NUMBER_REAL, .low = 0, .high = 1, .high_open = true},
                           rate = {.kind = DF_NUMBER_REAL, .low = 0, .high = 1000, .low_open = true},
                           free_32 = {.kind = DF_NUMBER_I32};
    int32_t small = 77;
    int64_t large = 77;
    double real = 77;
    (void)state;
    assert_true(df_number_parse(&few, "10", &small) && small == 10);
    assert_false(df_number_parse(&few, "11", &small));
    assert_false(df_number_parse(&few, "0", &small));
    assert_false(df_number_parse(&few, "all", &small));
    assert_int_equal(small, 10);
    assert_true(df_number_parse(&free_32, "-2147483648", &small) && small == INT32_MIN);
    assert_false(df_number_parse(&free_32, "2147483648", &small));
    assert_true(df_number_parse(&rows, "all", &large) && large == 0);
    assert_true(df_number_parse(&rows, "1000000000000", &large) && large == INT64_C(1000000000000));
    assert_false(df_number_parse(&rows, "1000000000001", &large));
    assert_true(df_number_parse(&share, "0", &real) && real == 0);
    assert_false(df_number_parse(&share, "1", &real));
    assert_false(df_number_parse(&rate, "0", &real));
    assert_true(df_number_parse(&rate, "1000", &real) && real == 1000);
    assert_false(df_number_parse(&rate, "1000.5", &real));
    assert_true(real == 1000);
    uint64_t seed = 77;
    assert_false(df_number_parse(&(struct df_number){.kind = DF_NUMBER_U64}, "18446744073709551616", &seed));
    assert_true(seed == 77);
}

static void expectations(void **state)
{
    static const struct {
        struct df_number number;
        const char *text;
    } cases[] = {
        {{.kind = DF_NUMBER_I32, .low = 1, .high = 10}, "a whole number from 1 to 10"},
        {{.kind = DF_NUMBER_I64, .low = 1, .high = 1e12, .or_all = true},
         "a whole number from 1 to 1000000000000, or all"},
        {{.kind = DF_NUMBER_I64, .low = 1, .high = DF_NUMBER_NO_LIMIT}, "a whole number of at least 1"},
        {{.kind = DF_NUMBER_U64}, "a whole number from 0 to 18446744073709551615"},
        {{.kind = DF_NUMBER_REAL, .low = 0, .high = 1, .high_open = true}, "a number from 0 and below 1"},
        {{.kind = DF_NUMBER_REAL, .low = 0, .high = DF_NUMBER_NO_LIMIT, .low_open = true},
         "a number above 0"},
        {{.kind = DF_NUMBER_REAL, .low = 0, .high = 1000, .low_open = true},
         "a number above 0 and at most 1000"},
        {{.kind = DF_NUMBER_BYTES}, "bytes, or a whole number with K, M or G behind it"},
    };
    char text[160];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        df_number_expectation(text, sizeof text, &cases[i].number);
        assert_string_equal(text, cases[i].text);
    }
}

/* What is printed is read back, and is the one form of its number. */
static void printing(void **state)
{
    static const struct {
        struct df_number number;
        const char *given, *printed;
    } cases[] = {
        {{.kind = DF_NUMBER_I32}, "-2147483648", "-2147483648"},
        {{.kind = DF_NUMBER_I64}, "0", "0"},
        {{.kind = DF_NUMBER_I64, .low = 1, .high = 10, .or_all = true}, "all", "all"},
        {{.kind = DF_NUMBER_U64}, "18446744073709551615", "18446744073709551615"},
        {{.kind = DF_NUMBER_BYTES}, "2K", "2048"},
        {{.kind = DF_NUMBER_REAL}, "0.00001", "1e-05"},
        {{.kind = DF_NUMBER_REAL}, "0.1234567890123", "0.1234567890123"},
    };
    char text[DF_NUMBER_TEXT];
    uint64_t value, again;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        value = again = 0;
        assert_true(df_number_parse(&cases[i].number, cases[i].given, &value));
        const char *printed = df_number_print(text, &cases[i].number, &value);
        assert_string_equal(printed, cases[i].printed);
        assert_true(df_number_parse(&cases[i].number, printed, &again));
        assert_int_equal(value, again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers), cmocka_unit_test(natural_numbers), cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(bytes),         cmocka_unit_test(bounds),          cmocka_unit_test(expectations),
        cmocka_unit_test(printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
