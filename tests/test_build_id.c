/* SPDX-License-Identifier: Apache-2.0 */
/* The build id: 40 hex digits, always the same, and those that readelf reads in the program's file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/build_id.h"
#include "support.h"

static void test_digits(void **state)
{
    (void)state;
    char first[DF_BUILD_ID_TEXT], second[DF_BUILD_ID_TEXT];
    df_build_id(first);
    df_build_id(second);
    assert_int_equal(strlen(first), 40);
    assert_int_equal(strspn(first, "0123456789abcdef"), 40);
    assert_string_equal(first, second);
}

static void test_readelf(void **state)
{
    (void)state;
    static const char words[] = "Build ID: ";
    char own[DF_BUILD_ID_TEXT], path[TEST_PATH], command[TEST_PATH + 32], line[256];
    int found = 0;
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(length > 0);
    path[length] = '\0';
    snprintf(command, sizeof command, "LC_ALL=C readelf -n '%s'", path);
    df_build_id(own);
    FILE *notes = popen(command, "r");
    assert_non_null(notes);
    while (fgets(line, sizeof line, notes)) {
        const char *id = strstr(line, words);
        if (id) {
            line[strcspn(line, "\n")] = '\0';
            assert_string_equal(own, id + strlen(words));
            found++;
        }
    }
    assert_int_equal(pclose(notes), 0);
    assert_int_equal(found, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_readelf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
