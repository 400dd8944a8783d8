/* SPDX-License-Identifier: Apache-2.0 */
/* Presets of a run: each is a configuration that holds, prints and fits the data that it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/memory.h"
#include "graph/network.h"
#include "models/models.h"
#include "run/config.h"
#include "strategy/strategy.h"
#include "support.h"

static dfal_status load(struct df_run_config *config, const char *preset)
{
    const struct dfal_run_options options = {.size = sizeof options, .preset = preset};
    return df_run_config_load(config, &options, NULL);
}

/* What the preset's name says of its data; MNIST where it says nothing. */
static struct df_shape shape_of(const char *preset, int32_t *class_count)
{
    *class_count = strstr(preset, "quickdraw") ? 4 : strstr(preset, "shoebag") ? 2 : 10;
    return strstr(preset, "shoebag") ? (struct df_shape){3, 64, 64} : (struct df_shape){1, 28, 28};
}

/* The network takes the data, and every strategy can ask the network. */
static void check_network(const struct df_run_config *config, const char *preset)
{
    struct df_network *network = NULL;
    int32_t class_count;
    const struct df_shape shape = shape_of(preset, &class_count);
    test_ok(df_model_create(&network, config->network, shape, class_count));
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const struct df_strategy_config options = df_run_strategy_options(config, s);
        test_ok(df_strategy_check_network(df_run_strategy(config, s), &options.own, network));
    }
    df_network_destroy(network);
}

static void check_preset(void *user, const struct dfal_field *fact)
{
    struct df_run_config c, again;
    char *yaml = NULL, *second = NULL;
    test_ok(load(&c, fact->key));
    test_ok(df_run_config_yaml(&yaml, &c));
    df_run_config_init(&again);
    test_ok(df_run_config_parse(&again, yaml, strlen(yaml), fact->key, NULL, DFAL_E_CONFIG));
    test_ok(df_run_config_yaml(&second, &again));
    assert_string_equal(yaml, second);
    test_ok(df_run_config_compare(&c, &again, fact->key));
    df_free(yaml);
    df_free(second);
    bool random = false;
    for (int32_t s = 0; s < c.strategy_count; s++)
        random = random || !strcmp(c.strategy[s].name, "random");
    assert_true(random || !strcmp(fact->key, "table2")); /* what the others are tested against */
    assert_true(strlen(fact->text) > 20);
    check_network(&c, fact->key);
    ++*(int *)user;
}

static void test_all(void **state)
{
    (void)state;
    int count = 0;
    dfal_presets(check_preset, &count);
    assert_int_equal(count, 13);
}

static void test_paper(void **state)
{
    (void)state;
    struct df_run_config c;
    struct dfal_run_options options = {.size = sizeof(struct dfal_run_options), .preset = "paper-mnist-vgg8"};
    test_ok(df_run_config_load(&c, &options, NULL));
    assert_string_equal(c.network, "vgg8");
    assert_int_equal(df_run_strategy_options(&c, 0).subsample, 300);
    assert_string_equal(df_run_strategy_options(&c, 0).deepfool, "dfal2018");
    assert_int_equal(c.training.restarts, 5);
    /* The paper's presets divide as the paper does and say so in their file; the default keeps a query with
     * its twin. */
    char *yaml = NULL;
    assert_string_equal(c.split, "rows");
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "  # as the paper divides"));
    df_free(yaml);
    options.preset = "quickstart";
    test_ok(df_run_config_load(&c, &options, NULL));
    assert_string_equal(c.split, "grouped");
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_null(strchr(yaml, '#'));
    df_free(yaml);
}

/* The paper's other data sets: the same but for the network and ceal's threshold. */
static void test_thresholds(void **state)
{
    (void)state;
    static const struct {
        const char *preset, *network, *threshold;
    } papers[] = {{"paper-mnist-lenet5", "lenet5", "0.05"},     {"paper-mnist-vgg8", "vgg8", "0.05"},
                  {"paper-quickdraw-lenet5", "lenet5", "0.08"}, {"paper-quickdraw-vgg8", "vgg8", "0.08"},
                  {"paper-shoebag-lenet5", "lenet5", "0.19"},   {"paper-shoebag-vgg8", "vgg8", "0.19"}};
    for (size_t i = 0; i < sizeof papers / sizeof *papers; i++) {
        struct df_run_config c;
        test_ok(load(&c, papers[i].preset));
        assert_string_equal(c.network, papers[i].network);
        assert_int_equal(c.strategy_count, 7);
        for (int32_t s = 0; s < c.strategy_count; s++) {
            const struct df_strategy_config options = df_run_strategy_options(&c, s);
            if (!strcmp(c.strategy[s].name, "ceal"))
                assert_string_equal(df_option_text(&options.own, df_strategy_ceal.options, "threshold"),
                                    papers[i].threshold);
        }
    }
}

/* Table 4, both ways. */
static void test_transfer(void **state)
{
    (void)state;
    struct df_run_config c;
    char *yaml = NULL;
    test_ok(load(&c, "table4"));
    assert_string_equal(c.transfer, "vgg8");
    assert_int_equal(c.transfer_every, 0); /* after the last round */
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "\ntransfer: vgg8\ntransfer_every: 0\n"));
    df_free(yaml);
    test_ok(df_run_config_set(&c, "network=vgg8"));
    test_ok(df_run_config_set(&c, "transfer=lenet5"));
    test_ok(df_run_config_set(&c, "options.coreset.node=fc2"));
    check_network(&c, "table4");
    test_error(df_run_config_set(&c, "transfer=lenet6"), DFAL_E_USAGE, "transfer: unknown network 'lenet6'");
    test_ok(load(&c, "study"));
    test_ok(df_run_config_set(&c, "transfer_every=7")); /* without a network it says nothing */
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_null(strstr(yaml, "transfer"));
    df_free(yaml);
}

/* Six strategies, with twins and without: what is chosen and what is trained on are taken apart. */
static void test_study(void **state)
{
    (void)state;
    static const char *const names[] = {"study", "study-steps"};
    for (int i = 0; i < 2; i++) {
        struct df_run_config c;
        test_ok(load(&c, names[i]));
        assert_int_equal(c.strategy_count, 12);
        assert_int_equal(c.trials, 20);
        for (int32_t s = 0; s < 12; s++) {
            const struct df_strategy_config options = df_run_strategy_options(&c, s);
            assert_int_equal(options.twins, s % 2);
            assert_int_equal(options.subsample, 300);
            assert_ptr_equal(df_run_strategy(&c, s), df_run_strategy(&c, s - s % 2));
        }
        assert_true(i ? c.training.steps == 1000 : c.training.epochs == 100 && !c.training.steps);
        assert_int_equal(c.training.patience, 0);
    }
}

/* What is to bring 99 % at 1,000 labels. */
static void test_modern(void **state)
{
    (void)state;
    struct df_run_config c;
    test_ok(load(&c, "modern-mnist"));
    assert_string_equal(c.network, "vgg8");
    assert_true(c.training.augment.shift == 2 && c.training.augment.rotate == 10 &&
                c.training.augment.scale == 0.1 && c.training.augment.erase == 0);
    assert_string_equal(c.training.augment.flip, "none"); /* a mirrored 2 is no 2 */
    assert_true(c.training.restarts == 1 && c.training.validation == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),      cmocka_unit_test(test_paper), cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_transfer), cmocka_unit_test(test_study), cmocka_unit_test(test_modern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
