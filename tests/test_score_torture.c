/* SPDX-License-Identifier: Apache-2.0 */
/* Every n-th allocation and file operation fails once while a scores file is made: nothing leaks, no half
 * file is left, and the same line afterwards ends with the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "scores_file.h"
#include "support_score.h"

enum { ROWS = 8, LIMIT = 5000 };

static const char *const kinds[] = {"alloc", "open",  "read",   "write",    "flush",
                                    "close", "fsync", "rename", "exchange", "lock"};
_Static_assert(sizeof kinds / sizeof *kinds == DF_FAULT_COUNT, "a name for every kind");

static char folder[TEST_PATH], pool[TEST_PATH], network[TEST_PATH], expected[TEST_PATH], out[TEST_PATH],
    parts[TEST_PATH];

typedef dfal_status job_fn(struct dfal_context *context, const char *to);

static dfal_status score_job(struct dfal_context *context, const char *to)
{
    struct dfal_score_options o;
    struct dfal_score_result result;
    dfal_score_result_init(&result);
    dfal_score_options_init(&o);
    o.max_iter = 2;
    o.adversarial = 2;
    o.batch = 5;
    return dfal_score(context, &result, to, network, pool, &o);
}

/* The look at all rows by a forward, and DeepFool on some. */
static dfal_status closest_job(struct dfal_context *context, const char *to)
{
    struct dfal_score_options o;
    dfal_score_options_init(&o);
    o.closest = 1;
    o.batch = 5;
    return dfal_score(context, NULL, to, network, pool, &o);
}

static void stop_at_end(void *user, const struct dfal_event *event)
{
    if (strcmp(event->name, "score.progress") == 0)
        dfal_context_stop(user);
}

/* Stopped when every row is scored: what is finished becomes a file to resume from. */
static dfal_status stopped_job(struct dfal_context *context, const char *to)
{
    context->options.event = stop_at_end;
    context->options.event_user = context;
    return score_job(context, to);
}

static dfal_status merge_job(struct dfal_context *context, const char *to)
{
    const char *shards[] = {expected};
    return dfal_merge(context, to, shards, 1);
}

static dfal_status verify_job(struct dfal_context *context, const char *to)
{
    struct dfal_verify_result result;
    dfal_verify_result_init(&result);
    (void)to;
    return dfal_verify_scores(context, &result, expected, network, pool, 8, NULL);
}

/* Run a job in a context of its own; fails when it leaves memory behind. */
static dfal_status run(job_fn *job, const char *to)
{
    const int64_t live = df_alloc_live();
    struct dfal_context_options options;
    struct dfal_context *context;
    dfal_context_options_init(&options);
    options.backend = "ref";
    options.threads = 1;
    options.memory = (int64_t)1 << 30; /* given, or the system's limits would be read for every run */
    dfal_status status = dfal_context_create(&context, &options);
    if (status == DFAL_OK) {
        status = job(context, to);
        dfal_context_destroy(context);
    }
    if (df_alloc_live() != live)
        test_fail("%lld allocations are left behind, status %s", (long long)(df_alloc_live() - live),
                  dfal_status_name(status));
    return status;
}

static void same_scores(const char *what)
{
    struct df_rows_head head_a = {0}, head_b = {0};
    struct df_scores a = {0}, b = {0};
    test_ok(test_scores_read(expected, &head_a, &a));
    test_ok(test_scores_read(out, &head_b, &b));
    if (a.count != b.count || memcmp(a.margin, b.margin, (size_t)a.count * sizeof *a.margin) != 0 ||
        memcmp(a.status, b.status, (size_t)a.count) != 0 ||
        memcmp(a.adversarial_class, b.adversarial_class, (size_t)a.count * sizeof *a.adversarial_class) !=
            0 ||
        memcmp(a.iterations, b.iterations, (size_t)a.count * sizeof *a.iterations) != 0)
        test_fail("%s: another file came out", what);
    df_scores_clear(&a);
    df_scores_clear(&b);
    df_rows_head_clear(&head_a);
    df_rows_head_clear(&head_b);
}

/* again: what has to work afterwards, NULL: the job writes nothing. Where a failure has left no file, a line
 * after it begins where this one began, and the next n is such a line: after every eighth it is run all the
 * same. */
static void torture(enum df_fault kind, job_fn *job, const char *name, job_fn *again)
{
    const dfal_status without = job == stopped_job ? DFAL_E_STOPPED : DFAL_OK;
    const int at_first = test_entries(folder, "");
    int64_t failed = 0;
    for (int64_t n = 1;; n++) {
        char what[128];
        snprintf(what, sizeof what, "%s with %s %lld failing", name, kinds[kind], (long long)n);
        if (n > LIMIT)
            test_fail("%s: no end", what);
        df_fault_arm(kind, n);
        const dfal_status status = run(job, out);
        const bool reached = df_fault_seen(kind) >= n;
        df_fault_arm(kind, 0);
        if (!reached) {
            if (status != without)
                test_fail("%s: %s, though nothing failed: %s", what, dfal_status_name(status),
                          dfal_last_error());
            if (again && status == DFAL_OK)
                same_scores(what);
            break;
        }
        failed += status != DFAL_OK;
        if (status != DFAL_OK && *dfal_last_error() == 0)
            test_fail("%s: %s without a message", what, dfal_status_name(status));
        if (!again)
            continue;
        if (test_entries(folder, ".tmp.") + test_entries(parts, ".tmp.") != 0)
            test_fail("%s: a temporary is left", what);
        if (test_entries(folder, "") == at_first && n % 8 != 0)
            continue;
        if (!df_file_exists(out))
            test_ok(run(again, out));
        same_scores(what);
        (void)remove(out);
        (void)df_folder_remove(parts);
    }
    (void)remove(out);
    (void)df_folder_remove(parts);
    print_message("%s: %lld failures by %s\n", name, (long long)failed, kinds[kind]);
}

static void score_all(void **state)
{
    (void)state;
    for (int kind = 0; kind < DF_FAULT_COUNT; kind++)
        torture((enum df_fault)kind, score_job, "score", score_job);
}

static void stop_all(void **state)
{
    (void)state;
    for (int kind = 0; kind < DF_FAULT_COUNT; kind++)
        torture((enum df_fault)kind, stopped_job, "a stopped score", score_job);
}

static void merge_all(void **state)
{
    (void)state;
    for (int kind = 0; kind < DF_FAULT_COUNT; kind++)
        torture((enum df_fault)kind, merge_job, "merge", merge_job);
}

static void verify_all(void **state)
{
    (void)state;
    torture(DF_FAULT_ALLOC, verify_job, "verify", NULL);
    torture(DF_FAULT_READ, verify_job, "verify", NULL);
}

/* What is expected is another file from here on. */
static void closest_all(void **state)
{
    (void)state;
    (void)remove(expected);
    test_ok(run(closest_job, expected));
    torture(DF_FAULT_ALLOC, closest_job, "the closest", closest_job);
    torture(DF_FAULT_READ, closest_job, "the closest", closest_job);
    torture(DF_FAULT_WRITE, closest_job, "the closest", closest_job);
}

/* test_score_torture [stopped|closest]: with a name the job that is stopped when every row is scored, or that
 * of the closest rows, and no other. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(score_all),
        cmocka_unit_test(merge_all),
        cmocka_unit_test(verify_all),
    };
    const struct CMUnitTest stopped[] = {cmocka_unit_test(stop_all)},
                            closest[] = {cmocka_unit_test(closest_all)};
    const char *name = argc > 1 ? argv[1] : "";
    const bool is_stopped = strcmp(name, "stopped") == 0, is_closest = strcmp(name, "closest") == 0;
    if (argc > 2 || (argc == 2 && !is_stopped && !is_closest))
        return 64;
    test_folder_create(folder);
    test_join(pool, folder, "pool.h5");
    test_join(network, folder, "net.h5");
    test_join(expected, folder, "expected.h5");
    test_join(out, folder, "out.h5");
    test_join(parts, folder, "out.h5.parts");
    float weight[4 * 9], bias[4];
    test_fill_floats(weight, 36, 41, -1, 1);
    test_fill_floats(bias, 4, 42, -1, 1);
    struct df_network *net = test_affine_network(weight, bias, 4, 9);
    const struct df_provenance provenance = {"", "", "", "", "", "", 1, NULL};
    test_ok(df_network_save(net, network, true, &provenance));
    test_pool_u8(pool, ROWS, net->input, 4, 1, NULL);
    df_network_destroy(net);
    test_ok(run(score_job, expected));
    int code = is_stopped   ? cmocka_run_group_tests(stopped, NULL, NULL)
               : is_closest ? cmocka_run_group_tests(closest, NULL, NULL)
                            : cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return code;
}
