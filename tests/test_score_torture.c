/* SPDX-License-Identifier: Apache-2.0 */
/* Every n-th allocation and file operation fails once while a scores file is made: nothing leaks, no half file is
 * left, and the same line afterwards ends with the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support_score.h"
#include "support_torture.h"

enum { ROWS = 8 };

static char folder[TEST_PATH], pool[TEST_PATH], network[TEST_PATH], expected[TEST_PATH], out[TEST_PATH],
    parts[TEST_PATH];

static dfal_status score_job(struct dfal_context *context, const char *to)
{
    struct dfal_score_options o;
    struct dfal_score_result result;
    dfal_score_options_init(&o);
    o.max_iter = 2;
    o.adversarial = 2;
    o.batch = 5;
    return dfal_score(context, &result, to, network, pool, &o);
}

static dfal_status merge_job(struct dfal_context *context, const char *to)
{
    const char *shards[] = {expected};
    return dfal_merge(context, to, shards, 1);
}

static dfal_status verify_job(struct dfal_context *context, const char *to)
{
    struct dfal_verify_result result;
    (void)to;
    return dfal_verify_scores(context, &result, expected, network, pool, 8, NULL);
}

static void same_scores(const char *what)
{
    struct df_scores_head head_a = {0}, head_b = {0};
    struct df_scores a = {0}, b = {0};
    test_ok(df_scores_read(expected, &head_a, &a));
    test_ok(df_scores_read(out, &head_b, &b));
    if (a.count != b.count || memcmp(a.margin, b.margin, (size_t)a.count * sizeof *a.margin) != 0 ||
        memcmp(a.status, b.status, (size_t)a.count) != 0 ||
        memcmp(a.adversarial_class, b.adversarial_class, (size_t)a.count * sizeof *a.adversarial_class) !=
            0 ||
        memcmp(a.iterations, b.iterations, (size_t)a.count * sizeof *a.iterations) != 0)
        test_fail("%s: another file came out", what);
    df_scores_clear(&a);
    df_scores_clear(&b);
    df_scores_head_clear(&head_a);
    df_scores_head_clear(&head_b);
}

static struct test_torture torture_of(const char *name,
                                      dfal_status (*job)(struct dfal_context *, const char *),
                                      void (*same)(const char *))
{
    return (struct test_torture){
        .name = name, .folder = folder, .out = out, .parts = parts, .job = job, .same = same};
}

static void score_all(void **state)
{
    (void)state;
    const struct test_torture torture = torture_of("score", score_job, same_scores);
    test_torture_all(&torture);
}

static void merge_all(void **state)
{
    (void)state;
    const struct test_torture torture = torture_of("merge", merge_job, same_scores);
    test_torture_all(&torture);
}

static void verify_all(void **state)
{
    (void)state;
    const struct test_torture torture = torture_of("verify", verify_job, NULL);
    test_torture(&torture, DF_FAULT_ALLOC);
    test_torture(&torture, DF_FAULT_READ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(score_all),
        cmocka_unit_test(merge_all),
        cmocka_unit_test(verify_all),
    };
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
    const struct df_provenance provenance = {"", "", "", "", "", "", 1};
    test_ok(df_network_save(net, network, true, &provenance));
    test_pool_u8(pool, ROWS, net->input, 4, 1, NULL);
    df_network_destroy(net);
    const struct test_torture torture = torture_of("score", score_job, same_scores);
    test_ok(test_torture_run(&torture, expected));
    int code = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(folder);
    return code;
}
