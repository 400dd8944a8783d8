/* SPDX-License-Identifier: Apache-2.0 */
/* softmax_loss and predict: closed forms, ties, what is not finite. */
#include "support_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>

enum { K = 4 };

static void loss_of(struct df_device *device, float *loss, float *dlogits, const float *logits,
                    const int32_t *label, const float *weight, double scale, int64_t rows)
{
    struct test_rig rig;
    rig_begin(&rig, device, DF_OP_softmax_loss, rows, 0);
    rig_in(&rig, 0, DF_TYPE_REAL, logits, rows * K);
    rig_in(&rig, 1, DF_TYPE_I32, label, rows);
    if (weight != NULL)
        rig_in(&rig, 2, DF_TYPE_REAL, weight, rows);
    rig_out(&rig, 0, DF_TYPE_REAL, NULL, rows);
    rig_out(&rig, 1, DF_TYPE_REAL, NULL, rows * K);
    rig.call.p.loss.classes = K;
    rig.call.p.loss.scale = scale;
    rig_run(&rig);
    rig_get(&rig, 0, loss);
    rig_get(&rig, 1, dlogits);
    rig_end(&rig);
}

static void loss_has_closed_forms(void **state)
{
    const float logits[5][K] = {
        {3, 3, 3, 3},             /* uniform: log 4 */
        {1000, 0, 0, 0},          /* certain and right: 0 */
        {-1000, 1000, 0, 0},      /* certain and wrong: 2000 */
        {NAN, 1, 2, 3},           /* unknown label: nothing */
        {0, 0, -INFINITY, -1e30F} /* two alike: log 2 */
    };
    const int32_t label[5] = {2, 0, 0, -1, 1};
    const float expected[5] = {(float)log(4), 0, 2000, 0, (float)log(2)};
    const float gradient[5][K] = {
        {0.25F, 0.25F, -0.75F, 0.25F}, {0, 0, 0, 0}, {-1, 1, 0, 0}, {0, 0, 0, 0}, {0.5F, -0.5F, 0, 0}};
    const float weight[5] = {1, 2, 3, 4, 0.5F};
    float loss[5], dlogits[5][K], scaled[5][K], scaled_loss[5];
    loss_of(*state, loss, dlogits[0], logits[0], label, NULL, 1, 5);
    test_near("loss", loss, expected, 5, 1e-7);
    test_near("dlogits", dlogits[0], gradient[0], 5 * K, 1e-7);
    loss_of(*state, scaled_loss, scaled[0], logits[0], label, weight, 0.125, 5);
    for (int i = 0; i < 5; i++) {
        assert_true(fabsf(scaled_loss[i] - weight[i] * expected[i]) <= 1e-6F * expected[i]);
        for (int k = 0; k < K; k++)
            assert_true(fabsf(scaled[i][k] - gradient[i][k] * weight[i] * 0.125F) <= 1e-7F);
    }
}

static void loss_is_never_silent_about_nan(void **state)
{
    const float logits[2][K] = {{NAN, 1, 2, 3}, {INFINITY, 1, 2, 3}};
    const int32_t label[2] = {1, 1};
    float loss[2], dlogits[2][K];
    loss_of(*state, loss, dlogits[0], logits[0], label, NULL, 1, 2);
    assert_true(isnan(loss[0]));
    assert_false(isfinite(loss[1]));
}

static void labels_out_of_range_are_unknown(void **state)
{
    const float logits[2][K] = {{0, 1, 2, 3}, {3, 2, 1, 0}};
    const int32_t label[2] = {K, -7};
    float loss[2], dlogits[2][K];
    const float zero[2 * K] = {0};
    loss_of(*state, loss, dlogits[0], logits[0], label, NULL, 1, 2);
    test_same_floats("loss", loss, zero, 2);
    test_same_floats("dlogits", dlogits[0], zero, 2 * K);
}

static void predict_takes_the_lowest_index(void **state)
{
    const float logits[6][K] = {{1, 5, 5, 2},     {NAN, -1, 4, 4}, {NAN, NAN, NAN, NAN},
                                {-0.0F, 0, 0, 0}, {0, 0, 0, 1000}, {-INFINITY, -INFINITY, 1, NAN}};
    const int32_t truth[6] = {2, -1, 0, 3, 3, 9}, expected[6] = {1, 2, 0, 0, 3, 2};
    int32_t label[6];
    float confidence[6], loss[6];
    for (int with_truth = 0; with_truth < 2; with_truth++) {
        struct test_rig rig;
        rig_begin(&rig, *state, DF_OP_predict, 6, 0);
        rig_in(&rig, 0, DF_TYPE_REAL, logits, 6 * K);
        if (with_truth)
            rig_in(&rig, 1, DF_TYPE_I32, truth, 6);
        rig_out(&rig, 0, DF_TYPE_I32, NULL, 6);
        rig_out(&rig, 1, DF_TYPE_REAL, NULL, 6);
        rig_out(&rig, 2, DF_TYPE_REAL, NULL, 6);
        rig.call.p.loss.classes = K;
        rig_run(&rig);
        rig_get(&rig, 0, label);
        rig_get(&rig, 1, confidence);
        rig_get(&rig, 2, loss);
        rig_end(&rig);
        test_same_ints("label", label, expected, 6);
        assert_true(confidence[3] == 0.25F);
        assert_true(confidence[4] == 1);
        const float first = (float)(log(2 + exp(-4) + exp(-3)));
        for (int i = 0; i < 6; i++)
            assert_int_equal(isnan(loss[i]) != 0, !with_truth || i == 1 || i == 2 || i == 5);
        if (with_truth) {
            assert_true(fabsf(loss[0] - first) < 1e-6F);
            assert_true(fabsf(loss[3] - (float)log(4)) < 1e-6F);
            assert_true(loss[4] == 0);
        }
    }
}

static void outputs_may_be_absent(void **state)
{
    const float logits[K] = {1, 2, 4, 3};
    struct test_rig rig;
    int32_t label;
    rig_begin(&rig, *state, DF_OP_predict, 1, 0);
    rig_in(&rig, 0, DF_TYPE_REAL, logits, K);
    rig_out(&rig, 0, DF_TYPE_I32, NULL, 1);
    rig.call.p.loss.classes = K;
    rig_run(&rig);
    rig_get(&rig, 0, &label);
    rig_end(&rig);
    assert_int_equal(label, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_has_closed_forms),           cmocka_unit_test(loss_is_never_silent_about_nan),
        cmocka_unit_test(labels_out_of_range_are_unknown), cmocka_unit_test(predict_takes_the_lowest_index),
        cmocka_unit_test(outputs_may_be_absent),
    };
    return test_on_backends(argc, argv, "ref ref64 cpu check:ref:cpu", tests, sizeof tests / sizeof tests[0]);
}
