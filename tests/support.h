/* SPDX-License-Identifier: Apache-2.0 */
/* What tests share: folders, back-end names, random data, where the data sets lie. Needs df_base.
 * Device helpers are in support_device.h. */
#ifndef DFAL_TESTS_SUPPORT_H
#define DFAL_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEST_PATH = 512, TEST_BACKENDS = 8 };

/* Make a fresh folder under TMPDIR (/tmp) and give its path; removed with all it holds by
 * test_folder_remove. */
void test_folder_create(char path[TEST_PATH]);
void test_folder_remove(const char *path);
/* How many entries of a folder have this text in their name ("": all); 0 of a folder that is not there. */
int test_entries(const char *path, const char *text);
/* folder/name */
void test_join(char path[TEST_PATH], const char *folder, const char *name);

/* Write folder/name, a shell script that can be executed, and give its path. */
void test_program(char path[TEST_PATH], const char *folder, const char *name, const char *script);

/* Names of back ends to test: argv, else DFAL_TEST_BACKENDS (blanks or commas between), else defaults
 * ("ref,cpu"). Where DFAL_REQUIRE names cuda, a list without it gets "cuda" for its "cpu" and
 * "check:ref:cuda" for its "check:ref:cpu". Returns their number; names point into static memory. */
int test_backends(const char *names[TEST_BACKENDS], int argc, char **argv, const char *defaults);
/* Does DFAL_REQUIRE (blanks or commas between) name it, or a part of it between colons, as cuda of
 * check:ref:cuda? Then it must not be skipped. */
bool test_required(const char *name);
/* A file of the source tree: below $DFAL_SOURCE, else where it was built. */
void test_source(char path[TEST_PATH], const char *name);

/* Fill with floats in [low, high), multiples of 2^-16 of the range, by (seed, element). */
void test_fill_floats(float *out, int64_t count, uint64_t seed, double low, double high);
/* Fill with small whole numbers in [low, high]. */
void test_fill_whole(float *out, int64_t count, uint64_t seed, int low, int high);

/* Find a data set's file: $DFAL_DATA/name, else shared/data/name beside the source tree. False: absent, and a
 * line says so, for the test then makes its own data. With DFAL_REQUIRE naming "data" absence ends the test
 * program. */
bool test_data(char path[TEST_PATH], const char *name);

/* Print how to reproduce a failure, then fail the running test. Use through test_fail. */
_Noreturn void test_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define test_fail(...)      test_fail_at(__FILE__, __LINE__, __VA_ARGS__)
/* Fail with dfal_last_error() unless status is OK. */
#define test_ok(expression) test_ok_at(__FILE__, __LINE__, #expression, (int)(expression))
void test_ok_at(const char *file, int line, const char *text, int status);
/* Fail unless the status is the expected one and the message contains words. */
#define test_error(expression, status, words)                                                                \
    test_error_at(__FILE__, __LINE__, #expression, (int)(expression), (int)(status), (words))
void test_error_at(const char *file, int line, const char *text, int status, int expected, const char *words);
/* Fail unless two arrays have the same bytes; names the first element that differs. */
void test_same_floats(const char *what, const float *found, const float *expected, int64_t count);
void test_same_ints(const char *what, const int32_t *found, const int32_t *expected, int64_t count);
/* Fail unless |found - expected| <= tolerance * max(|expected|) everywhere. */
void test_near(const char *what, const float *found, const float *expected, int64_t count, double tolerance);

#endif
