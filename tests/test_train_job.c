/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_train as a job: stopped behind any epoch it continues to the same bytes; every n-th allocation and
 * file operation fails once without a leak, a half file or another result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/network_file.h"
#include "support_score.h"

enum { ROWS = 24, EPOCHS = 3, RESTARTS = 2, LIMIT = 20000 };

static const char *const kinds[] = {"alloc", "open",  "read",   "write",    "flush",
                                    "close", "fsync", "rename", "exchange", "lock"};
_Static_assert(sizeof kinds / sizeof *kinds == DF_FAULT_COUNT, "a name for every kind");

static char folder[TEST_PATH], pool[TEST_PATH], network[TEST_PATH], out[TEST_PATH], parts[TEST_PATH];
static char expected[65];
static const char *augment = "shift=0.5,rotate=20"; /* of the next training */

/* Asks for a stop at the n-th epoch's event. */
struct stopper {
    struct dfal_context *context;
    int at, seen;
};

static void on_event(void *user, const struct dfal_event *event)
{
    struct stopper *stopper = user;
    if (strcmp(event->name, "train.epoch") == 0 && ++stopper->seen == stopper->at && stopper->context)
        dfal_context_stop(stopper->context);
}

static dfal_status train(struct dfal_context *context, int32_t epochs)
{
    struct dfal_train_options options;
    struct dfal_train_result result;
    dfal_train_result_init(&result);
    dfal_train_options_init(&options);
    options.epochs = epochs;
    options.batch = 5;
    options.restarts = RESTARTS;
    options.validation = 0.25;
    options.augment = augment;
    return dfal_train(context, &result, out, network, pool, &options);
}

/* Train in a context of its own, stopped at an epoch (0: not); fails when it leaves memory behind. */
static dfal_status run(int stop_at, int32_t epochs, bool *kept, bool force)
{
    const int64_t live = df_alloc_live();
    struct stopper stopper = {.at = stop_at};
    struct dfal_context_options options;
    struct dfal_context *context;
    dfal_context_options_init(&options);
    options.backend = "ref";
    options.threads = 1;
    options.memory = (int64_t)1 << 30; /* given, or the system's limits would be read for every run */
    options.force = force;
    options.event = on_event;
    options.event_user = &stopper;
    dfal_status status = dfal_context_create(&context, &options);
    if (status == DFAL_OK) {
        stopper.context = context;
        status = train(context, epochs);
        if (kept)
            *kept = dfal_context_kept_work(context);
        dfal_context_destroy(context);
    }
    if (df_alloc_live() != live)
        test_fail("%lld allocations are left behind, status %s", (long long)(df_alloc_live() - live),
                  dfal_status_name(status));
    return status;
}

static void digest_of(char digest[65])
{
    struct df_network *trained;
    test_ok(df_network_load(&trained, out));
    df_network_digest(digest, trained);
    df_network_destroy(trained);
}

static void check_result(const char *what)
{
    char digest[65];
    digest_of(digest);
    if (strcmp(digest, expected) != 0)
        test_fail("%s: another network came out", what);
    if (df_folder_exists(parts))
        test_fail("%s: %s is left", what, parts);
}

static void clean(void)
{
    (void)remove(out);
    (void)df_folder_remove(parts);
}

static void stops(void **state)
{
    (void)state;
    for (int at = 1; at <= EPOCHS * RESTARTS; at++) {
        char what[64];
        bool kept = false;
        snprintf(what, sizeof what, "stopped behind epoch %d", at);
        const dfal_status status = run(at, EPOCHS, &kept, false);
        if (status == DFAL_E_STOPPED) {
            if (!kept || df_file_exists(out))
                test_fail("%s: kept %d, output there %d", what, kept, df_file_exists(out));
            test_ok(run(0, EPOCHS, NULL, false));
        } else {
            test_ok(status); /* behind the last epoch there is nothing to stop */
        }
        check_result(what);
        clean();
    }
}

static void refuses(void **state)
{
    (void)state;
    test_error(run(2, EPOCHS, NULL, false), DFAL_E_STOPPED, "");
    test_error(run(0, EPOCHS + 1, NULL, false), DFAL_E_CONFIG,
               "/state.h5 was made with epochs 3, expected 4; `force` starts anew");
    for (int other = 0; other < 2; other++) {
        augment = other ? NULL : "shift=0.5,rotate=21";
        test_error(
            run(0, EPOCHS, NULL, false), DFAL_E_CONFIG,
            "/state.h5 was made with augment shift=0.5,rotate=20.0,scale=0.0,erase=0.0,flip=none, expected");
    }
    augment = "shift=1,rotate";
    test_error(run(0, EPOCHS, NULL, false), DFAL_E_USAGE, "`augment` rotate: no '=' stands behind a key");
    augment = "shift=0.5,rotate=20";
    test_ok(run(0, EPOCHS, NULL, true)); /* force starts anew */
    check_result("forced");
    test_error(run(0, EPOCHS, NULL, false), DFAL_E_EXISTS, "out.h5");
    clean();
    /* A state that is not one. */
    char path[TEST_PATH];
    test_join(path, parts, "state.h5");
    test_ok(df_folder_create(parts));
    test_ok(df_file_write(path, "not HDF5", 8));
    test_error(run(0, EPOCHS, NULL, false), DFAL_E_DATA, "state.h5");
    clean();
}

/* Where a failure has left no file, a line after it begins where this one began, and the next n is such a
 * line: after every eighth it is run all the same. */
static void torture(enum df_fault kind, int stop_at)
{
    const int at_first = test_entries(folder, "");
    int64_t failed = 0;
    for (int64_t n = 1;; n++) {
        char what[96];
        snprintf(what, sizeof what, "train (stop %d) with %s %lld failing", stop_at, kinds[kind],
                 (long long)n);
        if (n > LIMIT)
            test_fail("%s: no end", what);
        df_fault_arm(kind, n);
        const dfal_status status = run(stop_at, EPOCHS, NULL, false);
        const bool reached = df_fault_seen(kind) >= n;
        df_fault_arm(kind, 0);
        if (!reached) {
            if (status != (stop_at ? DFAL_E_STOPPED : DFAL_OK))
                test_fail("%s: %s, though nothing failed: %s", what, dfal_status_name(status),
                          dfal_last_error());
            if (!stop_at)
                check_result(what);
            clean();
            break;
        }
        failed += status != DFAL_OK && status != DFAL_E_STOPPED;
        if (status != DFAL_OK && *dfal_last_error() == 0)
            test_fail("%s: %s without a message", what, dfal_status_name(status));
        if (test_entries(folder, ".tmp.") + test_entries(parts, ".tmp.") != 0)
            test_fail("%s: a temporary is left", what);
        if (test_entries(folder, "") == at_first && n % 8 != 0)
            continue;
        if (!df_file_exists(out))
            test_ok(run(0, EPOCHS, NULL, false));
        if (df_folder_exists(parts)) /* the output is whole, only its parts could not be removed */
            (void)df_folder_remove(parts);
        check_result(what);
        clean();
    }
    print_message("train, stop %d: %lld failures by %s\n", stop_at, (long long)failed, kinds[kind]);
}

static void whole(void **state)
{
    (void)state;
    for (int kind = 0; kind < DF_FAULT_COUNT; kind++)
        torture((enum df_fault)kind, 0);
}

static void stopped(void **state)
{
    (void)state;
    for (int kind = 0; kind < DF_FAULT_COUNT; kind++)
        torture((enum df_fault)kind, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops),
        cmocka_unit_test(refuses),
        cmocka_unit_test(whole),
        cmocka_unit_test(stopped),
    };
    test_folder_create(folder);
    test_join(pool, folder, "pool.h5");
    test_join(network, folder, "net.h5");
    test_join(out, folder, "out.h5");
    test_join(parts, folder, "out.h5.parts");
    float weight[3 * 9], bias[3];
    test_fill_floats(weight, 27, 41, -1, 1);
    test_fill_floats(bias, 3, 42, -1, 1);
    struct df_network *net = test_affine_network(weight, bias, 3, 9);
    const struct df_provenance provenance = {"", "", "", "", "", "", 1, NULL};
    test_ok(df_network_save(net, network, true, &provenance));
    test_pool_u8(pool, ROWS, net->input, 3, 1, NULL);
    df_network_destroy(net);
    test_ok(run(0, EPOCHS, NULL, false));
    digest_of(expected);
    clean();
    int code = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return code;
}
