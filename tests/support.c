/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"

void test_folder_create(char path[TEST_PATH])
{
    const char *root = getenv("TMPDIR");
    snprintf(path, TEST_PATH, "%s/dfal-test-XXXXXX", root != NULL && *root != '\0' ? root : "/tmp");
    if (mkdtemp(path) == NULL)
        test_fail("cannot make the folder %s", path);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *walk)
{
    (void)facts, (void)kind, (void)walk;
    return remove(path);
}

void test_folder_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int test_entries(const char *path, const char *text)
{
    int count = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                 strstr(entry->d_name, text) != NULL;
    if (folder)
        closedir(folder);
    return count;
}

void test_join(char path[TEST_PATH], const char *folder, const char *name)
{
    const int length = snprintf(path, TEST_PATH, "%s/%s", folder, name);
    if (length < 0 || length >= TEST_PATH)
        test_fail("the path %s/%s is too long", folder, name);
}

void test_program(char path[TEST_PATH], const char *folder, const char *name, const char *script)
{
    test_join(path, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", script);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

/* Append a name to a list in static memory, "cpu" in it replaced by "cuda". */
static const char *on_cuda(const char *name)
{
    static char memory[TEST_PATH];
    static size_t used;
    const char *cpu = strstr(name, "cpu");
    char *text = memory + used;
    const int length = snprintf(text, sizeof memory - used, "%.*scuda%s", (int)(cpu - name), name, cpu + 3);
    used += (size_t)length + 1;
    if (used > sizeof memory)
        test_fail("the list of back ends is too long at %s", name);
    return text;
}

int test_backends(const char *names[TEST_BACKENDS], int argc, char **argv, const char *defaults)
{
    static char list[TEST_PATH];
    const char *wish = getenv("DFAL_TEST_BACKENDS");
    list[0] = '\0';
    for (int i = 1; i < argc; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s ", argv[i]);
    }
    if (argc <= 1)
        snprintf(list, sizeof list, "%s", wish != NULL && *wish != '\0' ? wish : defaults);
    int count = 0;
    char *state;
    for (char *word = strtok_r(list, ", ", &state); word != NULL; word = strtok_r(NULL, ", ", &state))
        if (count < TEST_BACKENDS)
            names[count++] = word;
    bool wanted = test_required("cuda");
    for (int i = 0; i < count; i++)
        wanted = wanted && strstr(names[i], "cuda") == NULL;
    for (int i = 0, given = count; wanted && i < given && count < TEST_BACKENDS; i++)
        if (strstr(names[i], "cpu") != NULL)
            names[count++] = on_cuda(names[i]);
    return count;
}

bool test_required(const char *name)
{
    const char *list = getenv("DFAL_REQUIRE");
    while (list != NULL && *list != '\0') {
        const size_t word = strcspn(list, ", ");
        for (const char *part = name; word > 0 && part != NULL; part = strchr(part, ':')) {
            part += *part == ':';
            if (strcspn(part, ":") == word && memcmp(list, part, word) == 0)
                return true;
        }
        list += word + strspn(list + word, ", ");
    }
    return false;
}

void test_source(char path[TEST_PATH], const char *name)
{
    const char *root = getenv("DFAL_SOURCE");
    test_join(path, root != NULL && *root != '\0' ? root : DFAL_SOURCE_DIR, name);
}

void test_fill_floats(float *out, int64_t count, uint64_t seed, double low, double high)
{
    for (int64_t i = 0; i < count; i++) {
        const double step = (double)(df_random_bits(seed, DF_STREAM_VERIFY, (uint64_t)i) >> 48) / 65536;
        out[i] = (float)(low + (high - low) * step);
    }
}

void test_fill_whole(float *out, int64_t count, uint64_t seed, int low, int high)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(low + (int)(df_random_bits(seed, DF_STREAM_VERIFY, (uint64_t)i) %
                                     (uint64_t)(high - low + 1)));
}

bool test_data(char path[TEST_PATH], const char *name)
{
    const char *root = getenv("DFAL_DATA");
    if (root != NULL && *root != '\0')
        test_join(path, root, name);
    else
        test_join(path, DFAL_SOURCE_DIR "/../shared/data", name);
    if (access(path, R_OK) == 0)
        return true;
    if (test_required("data")) {
        fprintf(stderr, "%s is not there, and DFAL_REQUIRE names data\n", path);
        exit(1);
    }
    printf("no %s: the test makes its own data (DFAL_DATA=FOLDER names a place)\n", path);
    return false;
}

_Noreturn void test_fail_at(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    fail();
    abort(); /* fail() does not come back */
}

void test_ok_at(const char *file, int line, const char *text, int status)
{
    if (status != DFAL_OK)
        test_fail_at(file, line, "%s gave %s: %s", text, dfal_status_name((dfal_status)status),
                     dfal_last_error());
}

void test_error_at(const char *file, int line, const char *text, int status, int expected, const char *words)
{
    if (status != expected)
        test_fail_at(file, line, "%s gave %s instead of %s (%s)", text, dfal_status_name((dfal_status)status),
                     dfal_status_name((dfal_status)expected), status == DFAL_OK ? "" : dfal_last_error());
    if (strstr(dfal_last_error(), words) == NULL)
        test_fail_at(file, line, "%s says '%s', which lacks '%s'", text, dfal_last_error(), words);
}

void test_same_floats(const char *what, const float *found, const float *expected, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&found[i], &expected[i], sizeof found[i]) != 0 && !(isnan(found[i]) && isnan(expected[i])))
            test_fail("%s: element %" PRId64 " of %" PRId64 " is %.9g, expected %.9g", what, i, count,
                      (double)found[i], (double)expected[i]);
}

void test_same_ints(const char *what, const int32_t *found, const int32_t *expected, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (found[i] != expected[i])
            test_fail("%s: element %" PRId64 " of %" PRId64 " is %d, expected %d", what, i, count, found[i],
                      expected[i]);
}

void test_near(const char *what, const float *found, const float *expected, int64_t count, double tolerance)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance * largest))
            test_fail("%s: element %" PRId64 " of %" PRId64 " is %.9g, expected %.9g within %g of %g", what,
                      i, count, (double)found[i], (double)expected[i], tolerance, largest);
}
