/* SPDX-License-Identifier: Apache-2.0 */
#include "support_torture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "support.h"

enum { LIMIT = 20000 };

static const char *const kinds[] = {"alloc", "open", "read", "write", "flush", "close", "fsync", "rename"};
_Static_assert(sizeof kinds / sizeof *kinds == DF_FAULT_COUNT, "a name for every kind");

dfal_status test_torture_run(const struct test_torture *torture, const char *to)
{
    const int64_t live = df_alloc_live();
    struct dfal_context_options options;
    struct dfal_context *context;
    dfal_context_options_init(&options);
    options.backend = "ref";
    options.threads = 1;
    dfal_status status = dfal_context_create(&context, &options);
    if (status == DFAL_OK) {
        status = torture->job(context, to);
        dfal_context_destroy(context);
    }
    if (df_alloc_live() != live)
        test_fail("%lld allocations are left behind, status %s", (long long)(df_alloc_live() - live),
                  dfal_status_name(status));
    return status;
}

static int temporaries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        count += strstr(entry->d_name, ".tmp.") != NULL;
    if (dir)
        closedir(dir);
    return count;
}

/* After a failure: a whole file or none, no temporary, and the same line ends well. */
static void recover(const struct test_torture *torture, const char *what)
{
    if (df_file_exists(torture->out))
        torture->same(what);
    if (temporaries(torture->folder) + temporaries(torture->parts) != 0)
        test_fail("%s: a temporary is left", what);
    if (!df_file_exists(torture->out)) {
        const dfal_status status = test_torture_run(torture, torture->out);
        if (status != DFAL_OK)
            test_fail("%s: the same line again: %s", what, dfal_last_error());
    }
    torture->same(what);
    (void)remove(torture->out);
    (void)df_folder_remove(torture->parts);
}

void test_torture(const struct test_torture *torture, enum df_fault kind)
{
    int64_t failed = 0;
    for (int64_t n = 1;; n++) {
        char what[128];
        snprintf(what, sizeof what, "%s with %s %lld failing", torture->name, kinds[kind], (long long)n);
        if (n > LIMIT)
            test_fail("%s: no end", what);
        df_fault_arm(kind, n);
        const dfal_status status = test_torture_run(torture, torture->out);
        const bool reached = df_fault_seen(kind) >= n;
        df_fault_arm(kind, 0);
        if (!reached) {
            if (status != DFAL_OK)
                test_fail("%s: %s, though nothing failed: %s", what, dfal_status_name(status),
                          dfal_last_error());
            break;
        }
        failed += status != DFAL_OK;
        if (status != DFAL_OK && *dfal_last_error() == 0)
            test_fail("%s: %s without a message", what, dfal_status_name(status));
        if (torture->same)
            recover(torture, what);
    }
    (void)remove(torture->out);
    (void)df_folder_remove(torture->parts);
    print_message("%s: %lld failures by %s\n", torture->name, (long long)failed, kinds[kind]);
}

void test_torture_all(const struct test_torture *torture)
{
    for (int kind = 0; kind < DF_FAULT_COUNT; kind++)
        test_torture(torture, (enum df_fault)kind);
}
