/* SPDX-License-Identifier: Apache-2.0 */
/* Restarts of one training over several processes, which are threads of this one: each with a context, a
 * device and a network of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "base/fault.h"
#include "base/memory.h"
#include "net/training.h"
#include "support.h"
#include "support_network.h"
#include "support_ranks.h"

enum { ROWS = 40, RESTARTS = 5, EPOCHS = 4 };

struct one {
    struct df_network *network;
    struct df_training_result result;
    int32_t epochs[RESTARTS]; /* of each restart, that this one has run */
};
struct together {
    struct test_hall hall;
    const char *backend;
    struct df_training_set set;
    struct df_training_options options;
    struct one ones[TEST_RANKS];
};

static dfal_status count_epoch(void *user, const struct df_training_state *state, int32_t restart)
{
    struct one *one = user;
    (void)state;
    one->epochs[restart]++;
    return DFAL_OK;
}

static dfal_status give(void *user, void *data, int64_t bytes, int32_t from)
{
    return df_comm_broadcast(user, data, bytes, from);
}

static dfal_status train_as(void *user, int64_t r, int32_t worker)
{
    struct together *together = user;
    struct one *one = &together->ones[r];
    struct test_rank rank = test_rank_of(&together->hall, r);
    struct df_training_options options = together->options;
    struct dfal_context_options asked;
    dfal_context *context;
    struct df_device *device;
    (void)worker;
    dfal_context_options_init(&asked);
    asked.backend = together->backend;
    asked.threads = 2;
    DF_TRY(dfal_context_create(&context, &asked));
    options.share = (struct df_training_share){(int32_t)r, together->hall.size, give, &rank.comm};
    one->network = test_chain();
    dfal_status status = df_context_device(context, &device);
    if (status == DFAL_OK)
        status = df_train(context, device, one->network, &together->set, &options, NULL, count_epoch, one,
                          &one->result);
    dfal_context_destroy(context);
    return status;
}

static void same_network(const struct df_network *found, const struct df_network *expected)
{
    for (int32_t i = 0; i < expected->node_count; i++)
        for (int p = 0; p < DF_PARAMETER_KINDS; p++) {
            const struct df_parameter *parameter = &expected->nodes[i].parameter[p];
            test_same_floats(expected->nodes[i].name, found->nodes[i].parameter[p].data, parameter->data,
                             parameter->count);
        }
}

/* On every rank the weights and the numbers of one process; each restart was run by one rank. */
static void compare(const struct together *together, const struct one *alone)
{
    for (int32_t r = 0; r < together->hall.size; r++) {
        const struct one *one = &together->ones[r];
        same_network(one->network, alone->network);
        assert_int_equal(one->result.restart, alone->result.restart);
        assert_int_equal(one->result.epochs, alone->result.epochs);
        assert_int_equal(one->result.steps, alone->result.steps);
        assert_true(one->result.loss == alone->result.loss);
        assert_true(one->result.validation_loss == alone->result.validation_loss ||
                    (isnan(one->result.validation_loss) && isnan(alone->result.validation_loss)));
        for (int32_t i = 0; i < together->options.restarts; i++)
            assert_int_equal(one->epochs[i], i % together->hall.size == r ? alone->epochs[i] : 0);
    }
}

static void train_together(struct together *together)
{
    test_run_ranks(train_as, together, together->hall.size);
}

static void clear(struct together *together)
{
    for (int32_t r = 0; r < together->hall.size; r++)
        df_network_destroy(together->ones[r].network);
}

/* More restarts than ranks, fewer, and some that end early. */
static void test_shares(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    static const int32_t restarts[] = {RESTARTS, 2, 1};
    struct df_network *network = test_chain();
    const int64_t size = df_shape_size(network->input);
    struct df_training_row rows[ROWS];
    float *x;
    test_ok(df_alloc(&x, ROWS * size, sizeof *x));
    test_fill_floats(x, ROWS * size, 7, -1, 1);
    for (int32_t i = 0; i < ROWS; i++)
        rows[i] = (struct df_training_row){.index = i, .label = i % network->class_count, .weight = 1};
    for (int run = 0; run < 12; run++) {
        struct together alone = {.hall = {.size = 1},
                                 .backend = backends[run % 2],
                                 .set = {.count = ROWS, .size = size, .rows = rows, .x = x}};
        df_training_options_init(&alone.options);
        alone.options.epochs = EPOCHS;
        alone.options.batch = 16;
        alone.options.restarts = restarts[run / 2 % 3];
        alone.options.validation = run / 6 ? 0.3 : 0;
        alone.options.patience = run / 6;
        train_together(&alone);
        for (int32_t ranks = 2; ranks <= TEST_RANKS; ranks++) {
            struct together together = alone;
            memset(together.ones, 0, sizeof together.ones);
            together.hall.size = ranks;
            train_together(&together);
            compare(&together, &alone.ones[0]);
            clear(&together);
        }
        clear(&alone);
    }
    df_free(x);
    df_network_destroy(network);
}

/* As if the other process, which has run the only restart, had ended it without a loss and with weights that
 * are zero. */
static dfal_status give_zeros(void *user, void *data, int64_t bytes, int32_t from)
{
    (void)user;
    assert_int_equal(from, 0);
    memset(data, 0, (size_t)bytes);
    return DFAL_OK;
}

/* Whatever allocation is refused of one who has run nothing, all is given back. */
static void test_memory(void **state)
{
    (void)state;
    struct dfal_context_options asked;
    struct df_training_options options;
    struct df_training_result result;
    struct df_training_row rows[2] = {{.label = 0, .weight = 1}, {.label = 1, .weight = 1}};
    dfal_context *context;
    struct df_device *device;
    struct df_network *network = test_chain();
    struct df_training_set set = {.count = 2, .size = df_shape_size(network->input), .rows = rows};
    float *x;
    dfal_status status = DFAL_E_MEMORY;
    dfal_context_options_init(&asked);
    asked.backend = "ref";
    test_ok(dfal_context_create(&context, &asked));
    test_ok(df_context_device(context, &device));
    test_ok(df_alloc(&x, 2 * set.size, sizeof *x));
    set.x = x;
    df_training_options_init(&options);
    options.share = (struct df_training_share){1, 2, give_zeros, NULL};
    const int64_t live = df_alloc_live();
    for (int64_t n = 1; status != DFAL_OK; n++) {
        df_fault_arm(DF_FAULT_ALLOC, n);
        status = df_train(context, device, network, &set, &options, NULL, NULL, NULL, &result);
        df_fault_arm(DF_FAULT_ALLOC, 0);
        assert_true(status == DFAL_OK || status == DFAL_E_MEMORY);
        assert_int_equal(df_alloc_live(), live);
    }
    assert_true(result.restart == 0 && result.loss == 0);
    for (int32_t i = 0; i < network->node_count; i++)
        for (int64_t k = 0; k < network->nodes[i].parameter[DF_WEIGHT].count; k++)
            assert_true(network->nodes[i].parameter[DF_WEIGHT].data[k] == 0);
    df_free(x);
    df_network_destroy(network);
    dfal_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
