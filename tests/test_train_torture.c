/* SPDX-License-Identifier: Apache-2.0 */
/* Every n-th allocation and file operation fails once while a network is trained: nothing leaks, no half file is left,
 * and the same line afterwards ends with the same network. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "store/network_file.h"
#include "support_score.h"
#include "support_torture.h"

enum { ROWS = 12 };

static char folder[TEST_PATH], pool[TEST_PATH], network[TEST_PATH], expected[TEST_PATH], out[TEST_PATH],
    parts[TEST_PATH];

static dfal_status train_job(struct dfal_context *context, const char *to)
{
    struct dfal_train_options o;
    struct dfal_train_result result;
    dfal_train_options_init(&o);
    o.epochs = 2;
    o.batch = 8;
    o.restarts = 2;
    o.validation = 0.25;
    return dfal_train(context, &result, to, network, pool, &o);
}

static void digest(char text[65], const char *path)
{
    struct df_network *net;
    test_ok(df_network_load(&net, path));
    df_network_digest(text, net);
    df_network_destroy(net);
}

static void same_network(const char *what)
{
    char a[65], b[65];
    digest(a, expected);
    digest(b, out);
    if (strcmp(a, b) != 0)
        test_fail("%s: another network came out", what);
}

static const struct test_torture torture = {
    .name = "train", .folder = folder, .out = out, .parts = parts, .job = train_job, .same = same_network};

static void train_all(void **state)
{
    (void)state;
    test_torture_all(&torture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(train_all)};
    test_folder_create(folder);
    test_join(pool, folder, "pool.h5");
    test_join(network, folder, "net.h5");
    test_join(expected, folder, "expected.h5");
    test_join(out, folder, "out.h5");
    test_join(parts, folder, "out.h5.parts");
    struct df_network *net = test_small_network(3, 3);
    const struct df_provenance provenance = {"", "", "", "", "", "", 1};
    test_ok(df_network_save(net, network, true, &provenance));
    test_pool_u8(pool, ROWS, net->input, 3, 1, NULL);
    df_network_destroy(net);
    test_ok(test_torture_run(&torture, expected));
    int code = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return code;
}
