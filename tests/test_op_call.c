/* SPDX-License-Identifier: Apache-2.0 */
/* Calls by operand names, what they touch, and what is refused before an op runs. */
#include "backend/op_call.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#include "batch.h"
#include "deepfool.h"
#include "support.h"

static struct df_buffer made_up[8];

static struct df_span span_of(int number)
{
    return (struct df_span){&made_up[number], number};
}

static void operands_stand_in_their_places(void **state)
{
    (void)state;
    struct df_call call = DF_CALL(deepfool_iterate, .high = span_of(5), .x = span_of(7), .x0 = span_of(1),
                                  .rows = 3, .cols = 4, .p.deepfool = {.size = 9});
    assert_int_equal(call.op, DF_OP_deepfool_iterate);
    assert_ptr_equal(call.out[0].buffer, &made_up[7]);
    assert_ptr_equal(call.in[0].buffer, &made_up[1]);
    assert_ptr_equal(call.in[5].buffer, &made_up[5]);
    assert_int_equal(call.in[5].offset, 5);
    for (int k = 1; k < DF_MAX_IN; k++)
        assert_true(k == 5 || (call.in[k].buffer == NULL && call.in[k].offset == 0));
    for (int k = 1; k < DF_MAX_OUT; k++)
        assert_true(call.out[k].buffer == NULL && call.out[k].offset == 0);
    assert_int_equal(call.rows * 100 + call.cols * 10 + call.p.deepfool.size, 349);
    DF_IN(&call, deepfool_iterate, number) = span_of(2);
    DF_OUT(&call, deepfool_observe, cand) = span_of(3);
    assert_ptr_equal(call.in[2].buffer, &made_up[2]);
    assert_ptr_equal(call.out[2].buffer, &made_up[3]);
}

/* No operand behind one without a name, none called as another, and each of a type. */
static void assert_named(const struct df_operand *operands, int most)
{
    for (int k = 0; k < most; k++) {
        if (operands[k].name == NULL) {
            assert_true(k + 1 == most || operands[k + 1].name == NULL);
            continue;
        }
        assert_true(operands[k].read || operands[k].written);
        assert_true(operands[k].type <= DF_TYPE_F64 || operands[k].type == DF_OPERAND_RAW);
        for (int other = 0; other < k; other++)
            assert_string_not_equal(operands[k].name, operands[other].name);
    }
}

static void names_and_places_agree(void **state)
{
    (void)state;
    const struct df_op_info *choose = &df_op_info[DF_OP_deepfool_choose];
    const char *const ins[] = {"g", "logits", "slots", "cand", "scale"};
    for (int k = 0; k < 5; k++)
        assert_string_equal(choose->in[k].name, ins[k]);
    assert_int_equal(DF_SPAN_AT(struct df_ins_deepfool_choose, scale), 4);
    assert_true(choose->in[4].optional && choose->out[1].read && choose->out[1].written);
    assert_int_equal(choose->out[1].type, DF_TYPE_F64);
    assert_int_equal(df_op_info[DF_OP_deepfool_refill].in[0].type, DF_OPERAND_RAW);
    for (int op = 0; op < DF_OP_COUNT; op++) {
        const struct df_op_info *info = &df_op_info[op];
        assert_non_null(info->out[0].name);
        assert_named(info->out, DF_MAX_OUT);
        assert_named(info->in, DF_MAX_IN);
    }
}

static void assert_size(struct df_operand_size size, int64_t extent, int64_t moved)
{
    assert_int_equal(size.extent, extent);
    assert_int_equal(size.moved, moved);
}

static struct df_call_sizes sizes_of(const struct df_call *call)
{
    struct df_call_sizes sizes;
    df_call_sizes(&sizes, call);
    return sizes;
}

/* What is left out is absent, also where the memory of the call held something else. */
static void what_is_left_out_is_absent(void **state)
{
    (void)state;
    struct df_call calls[8];
    memset(calls, 0xa5, sizeof calls);
    for (int c = 0; c < 8; c++) {
        const struct df_call own[] = {DF_CALL(fill, .rows = c, .y = span_of(c)),
                                      DF_CALL(deepfool_settle, .rows = c, .record = span_of(c))};
        calls[c] = own[c % 2];
        for (int k = 0; k < DF_MAX_IN; k++)
            assert_true(calls[c].in[k].buffer == NULL && calls[c].in[k].offset == 0);
        for (int k = 0; k < DF_MAX_OUT; k++)
            assert_int_equal(calls[c].out[k].buffer != NULL, k == (c % 2 ? 3 : 0));
        assert_null(calls[c].layer);
    }
}

static void an_owner_decides_about_rows(void **state)
{
    (void)state;
    struct df_call call = DF_CALL(relu_bwd, .rows = 6, .cols = 5);
    struct df_call_sizes sizes = sizes_of(&call);
    assert_size(sizes.out[0], 30, 30);
    assert_size(sizes.in[1], 30, 30);
    DF_IN(&call, relu_bwd, owner) = span_of(1);
    sizes = sizes_of(&call);
    assert_size(sizes.in[0], 30, 30);
    assert_size(sizes.in[1], DF_SIZE_TO_END, 30);
    assert_size(sizes.in[2], 6, 6);
    call = DF_CALL(maxpool_bwd, .rows = 2 * 3, .owner = span_of(1),
                   .p.pool = {.channels = 3, .in_h = 4, .in_w = 5, .out_h = 2, .out_w = 1});
    sizes = sizes_of(&call);
    assert_size(sizes.out[0], 6 * 20, 6 * 20);
    assert_size(sizes.in[0], 12, 12);
    assert_size(sizes.in[1], DF_SIZE_TO_END, 12);
    assert_size(sizes.in[2], 2, 2);
}

static void a_list_decides_about_slots(void **state)
{
    (void)state;
    const struct df_deepfool_params params = {
        .slots = 10, .classes = 7, .candidates = 6, .first = 2, .count = 4, .size = 20};
    struct df_call call = DF_CALL(deepfool_choose, .rows = 3, .p.deepfool = params);
    struct df_call_sizes sizes = sizes_of(&call);
    assert_size(sizes.out[0], 10 * DF_SLOT_INTS, 3 * DF_SLOT_INTS);
    assert_size(sizes.out[2], 200, 60);
    assert_size(sizes.in[0], 3 * 4 * 20, 3 * 4 * 20);
    assert_size(sizes.in[1], 70, 21);
    assert_size(sizes.in[3], 60, 18);
    assert_size(sizes.in[4], 20, 20);
    call = DF_CALL(deepfool_cotangent, .rows = 11,
                   .p.deepfool = params); /* of three slots, the last not whole */
    sizes = sizes_of(&call);
    assert_size(sizes.out[0], 77, 77);
    assert_size(sizes.in[0], 3, 3);
    assert_size(sizes.in[1], 10 * DF_SLOT_INTS, 3 * DF_SLOT_INTS);
}

static void an_index_decides_about_samples(void **state)
{
    (void)state;
    const struct df_call call = DF_CALL(batch_take, .rows = 4, .cols = 9);
    const struct df_call_sizes sizes = sizes_of(&call);
    assert_size(sizes.out[0], 36, 36);
    assert_size(sizes.out[3], 1, 1);
    assert_size(sizes.in[0], DF_SIZE_TO_END, 36);
    assert_size(sizes.in[3], DF_SIZE_TO_END, 4);
    assert_size(sizes.in[4], DF_CLOCK_NUMBERS, DF_CLOCK_NUMBERS);
    assert_size(sizes.in[5], DF_SIZE_TO_END, 1);
}

/* Back ends that check what they are given. */
static void bad_calls_are_refused(void **state)
{
    (void)state;
    const char *const names[] = {"ref", "ref64", "check:ref:ref64"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct df_device *device;
        struct df_span x, owner;
        test_ok(df_device_open(&device, names[n], "auto", 1));
        test_ok(df_buffer_new(device, &x, DF_TYPE_REAL, 12));
        test_ok(df_buffer_new(device, &owner, DF_TYPE_I32, 3));
        struct df_call call =
            DF_CALL(relu_bwd, .rows = 3, .cols = 4, .dx = x, .dy = x, .y = x, .owner = owner);
        test_ok(df_call_run(device, 0, &call));
        DF_IN(&call, relu_bwd, owner) = (struct df_span){NULL, 0};
        test_ok(df_call_run(device, 0, &call));
        DF_IN(&call, relu_bwd, y) = (struct df_span){NULL, 0};
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL,
                   "relu_bwd was called without its operand y");
        DF_IN(&call, relu_bwd, y) = owner;
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL,
                   "relu_bwd was called with y in a buffer of I32, expected REAL");
        DF_IN(&call, relu_bwd, y) = df_at(x, 1);
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL,
                   "relu_bwd, operand y: elements 1 to 13 do not lie in a buffer of 12");
        DF_IN(&call, relu_bwd, y) = df_at(x, 13);
        DF_IN(&call, relu_bwd, owner) = owner; /* to the end, which lies before it */
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL, "relu_bwd, operand y: elements 13 to 12");
        call = DF_CALL(maxpool_bwd, .rows = 3, .dx = x, .dy = x, .arg = owner, .owner = owner);
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL,
                   "maxpool_bwd, operand owner: elements 0 to -2");
        call = DF_CALL(gemm_fwd, .rows = 1, .y = x, .x = x);
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL, "gemm_fwd was called without a layer");
        call.op = DF_OP_COUNT;
        test_error(df_call_run(device, 0, &call), DFAL_E_INTERNAL, "was called, expected 0 to");
        df_buffer_drop(device, &x);
        df_buffer_drop(device, &owner);
        df_device_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_stand_in_their_places), cmocka_unit_test(names_and_places_agree),
        cmocka_unit_test(what_is_left_out_is_absent),     cmocka_unit_test(an_owner_decides_about_rows),
        cmocka_unit_test(a_list_decides_about_slots),     cmocka_unit_test(an_index_decides_about_samples),
        cmocka_unit_test(bad_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
