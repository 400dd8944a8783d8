/* SPDX-License-Identifier: Apache-2.0 */
/* The run's configuration: what is taken, what is refused and with which words, and that printing reads
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "run/config.h"
#include "strategy/strategy.h"
#include "support.h"

static dfal_status parse(struct df_run_config *config, const char *text)
{
    df_run_config_init(config);
    return df_run_config_parse(config, text, strlen(text), "c.yaml", NULL, DFAL_E_CONFIG);
}

/* Comparisons are pairs of names; what they name may be missing. */
static void test_primary(void **state)
{
    (void)state;
    struct df_run_config c;
    struct df_run_pair pairs[DF_MAX_PAIRS];
    int32_t count;
    test_ok(parse(&c, "report: {primary: ' a+b against c-1 ,d against random'}\n"));
    test_ok(df_run_primary(&c, pairs, &count));
    assert_int_equal(count, 2);
    assert_string_equal(pairs[0].ours, "a+b");
    assert_string_equal(pairs[0].theirs, "c-1");
    assert_string_equal(pairs[1].ours, "d");
    assert_string_equal(pairs[1].theirs, "random");
    static const char *const wrong[] = {"dfal",
                                        "dfal against",
                                        "against random",
                                        "dfal vs random",
                                        "a against b against c",
                                        "a against b,",
                                        "a against b,,c against d"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(c.primary, sizeof c.primary, "%s", wrong[i]);
        if (i == 5) /* a comma behind the last is as well */
            test_ok(df_run_primary(&c, pairs, &count));
        else
            test_error(df_run_primary(&c, pairs, &count), DFAL_E_CONFIG, "report.primary");
    }
    memset(c.primary, 0, sizeof c.primary);
    for (int i = 0; i <= DF_MAX_PAIRS; i++)
        strcat(c.primary, "a against b,");
    test_error(df_run_primary(&c, pairs, &count), DFAL_E_CONFIG, "at most 16");
}

/* A word that another YAML reader takes for true is quoted. */
static void test_quoted_word(void **state)
{
    (void)state;
    struct df_run_config c;
    char *yaml;
    test_ok(parse(&c, "strategies: [egl]\noptions: {egl: {paper-compat: 'yes'}}\n"));
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "paper-compat: \"yes\""));
    df_free(yaml);
}

static void test_contract_example(void **state)
{
    (void)state;
    struct df_run_config c;
    test_ok(parse(
        &c, "data: {train: mnist-train.h5, test: mnist-test.h5}\n"
            "network: lenet5\n"
            "strategies: [dfal, random]\n"
            "options: {dfal: {subsample: 300, deepfool: dfal2018}, bald: {subsample: 100, passes: 10}, "
            "coreset: {program: covering}}\n"
            "initial: 10\nquery: 10\nannotations: 1000\n"
            "subsample: all          # default for strategies that name none\n"
            "trials: 5\n"
            "training: {restarts: 5, epochs: 100, patience: 5, validation: 0.2, batch: 32, optimizer: adam, "
            "lr: 1.0e-3}\nkeep: last\nseed: 1\n"));
    assert_string_equal(c.train, "mnist-train.h5");
    assert_int_equal(c.strategy_count, 2);
    struct df_strategy_config options = df_run_strategy_options(&c, 0);
    assert_int_equal(options.subsample, 300);
    assert_string_equal(options.deepfool, "dfal2018");
    assert_int_equal(df_run_strategy_options(&c, 1).subsample, 0);
    assert_true(c.training.learning_rate == 1e-3 && c.training.validation == 0.2);
}

static void test_good(void **state)
{
    (void)state;
    struct df_run_config c, defaults;
    static const char *const same_as_defaults[] = {"",           "\n", "# nothing\n",  "---\n",
                                                   "---\n...\n", "{}", "initial: 10\n"};
    df_run_config_init(&defaults);
    for (size_t i = 0; i < sizeof same_as_defaults / sizeof same_as_defaults[0]; i++) {
        test_ok(parse(&c, same_as_defaults[i]));
        assert_memory_equal(&c, &defaults, sizeof c);
    }
    test_ok(parse(
        &c, "initial: +7\nsubsample: 100\nseed: 18446744073709551615\ntraining:\n  lr: .5\n  epochs: 0\n"));
    assert_int_equal(c.initial, 7);
    assert_int_equal(c.subsample, 100);
    assert_true(c.seed == UINT64_MAX);
    assert_true(c.training.learning_rate == 0.5);
    assert_int_equal(c.training.epochs, 0);
    test_ok(parse(&c, "training: {lr: 1e-2, validation: 0}\nstrategies: [random]\nnetwork: \"1.5\"\n"));
    assert_true(c.training.learning_rate == 0.01 && c.training.validation == 0);
    assert_string_equal(c.network, "1.5");
    test_ok(parse(&c, "{\"initial\": 5, \"keep\": \"all\"}")); /* JSON is YAML */
    assert_int_equal(c.initial, 5);
    assert_string_equal(c.keep, "all");
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"initial: 10.5\n", "c.yaml:1: initial is 10.5, expected a whole number from 1"},
        {"network: lenet5\ninitial: 010\n", "c.yaml:2: initial is 010"},
        {"initial: 0x10\n", "initial is 0x10"},
        {"initial: 1_000\n", "initial is 1_000"},
        {"initial: 1e3\n", "initial is 1e3"},
        {"initial: 0\n", "initial is 0"},
        {"initial: -1\n", "initial is -1"},
        {"initial: ten\n", "initial is ten"},
        {"initial: \"10\"\n", "initial is \"10\""},
        {"initial: 99999999999999999999\n", "initial is 99999999999999999999"},
        {"initial:\n", "initial is empty"},
        {"initial: [10]\n", "initial is a list"},
        {"initial: {a: 1}\n", "initial is a mapping"},
        {"trials: 2147483648\n", "trials is 2147483648"},
        {"seed: -1\n", "seed is -1"},
        {"seed: 18446744073709551616\n", "from 0 to 18446744073709551615"},
        {"subsample: +all\n", "subsample is +all, expected a whole number from 1"},
        {"initial: +-5\n", "initial is +-5, expected a whole number"},
        {"initial: ++5\n", "initial is ++5, expected a whole number"},
        {"network: .1e999\n", "expected text (quoted where it looks like a number"},
        {"training: {lr: nan}\n", "training.lr is nan, expected a number above 0"},
        {"training: {lr: .nan}\n", "training.lr is .nan"},
        {"training: {lr: .inf}\n", "training.lr is .inf"},
        {"training: {lr: 0}\n", "training.lr is 0"},
        {"training: {lr: 1e999}\n", "training.lr is 1e999"},
        {"training: {lr: 0.1.2}\n", "training.lr is 0.1.2"},
        {"training: {validation: 1}\n", "training.validation is 1"},
        {"training: {validation: 00.5}\n", "training.validation is 00.5"},
        {"training: {optimizer: adm}\n",
         "training.optimizer: unknown value 'adm': expected adam or sgd; nearest is 'adam'"},
        {"keep: lasts\n", "keep: unknown value 'lasts': expected last, all or none; nearest is 'last'"},
        {"keep: la\n", "keep: unknown value 'la'"},
        {"training:\n  epocs: 3\n", "; nearest is 'epochs'"},
        {"training:\n  epocs: 3\n", "c.yaml:2: training: unknown key 'epocs': expected restarts, epochs,"},
        {"querry: 3\n", "; nearest is 'query'"},
        {"querry: 3\n", "c.yaml:1: unknown key 'querry': expected data, network,"},
        {"zzzzzzzz: 3\n", "expected data, network"},
        {"training.epochs: 3\n", "unknown key 'training.epochs'"},
        {"options: {dfl: {subsample: 3}}\n", "; nearest is 'dfal'"},
        {"options: {dfl: {subsample: 3}}\n", "options: unknown key 'dfl': expected dfal,"},
        {"options: {dfal: {subsampel: 3}}\n", "options.dfal: unknown key 'subsampel': expected subsample, "
                                              "deepfool, twins or power; nearest is 'subsample'"},
        {"options: {coreset: {progam: sener}}\n",
         "options.coreset: unknown key 'progam': expected subsample, "
         "deepfool, twins, node, outliers, program, solver, nodes or seconds; nearest is 'program'"},
        {"options: {coreset: {program: senr}}\n",
         "c.yaml:1: options.coreset: unknown program 'senr': expected "
         "covering or sener; nearest is 'sener'"},
        {"options: {coreset: {program: [sener]}}\n",
         "options.coreset.program is a list, expected one of covering, sener"},
        {"options: {coreset: {program: }}\n", "options.coreset.program is empty, expected one of covering"},
        {"options: {dfal: {program: sener}}\n", "options.dfal: unknown key 'program'"},
        {"options: {bald: {passes: 0}}\n",
         "c.yaml:1: options.bald: passes is 0, expected a whole number from 1"},
        {"options: {bald: {passes: 1e3}}\n", "options.bald: passes is 1e3, expected a whole number"},
        {"options: {bald: {passes: \"10\"}}\n", "options.bald.passes is \"10\", expected a whole number"},
        {"options: {dfal: {deepfool: lts5}}\n", "unknown value 'lts5': expected lts4, paper,"},
        {"options: {\"*\": {subsample: 3}}\n", "unknown key"},
        {"initial: 1\nquery: 2\ninitial: 3\n", "c.yaml:3: key 'initial' stands here a second time"},
        {"training: {epochs: 1, steps: 2}\n", "training.epochs and training.steps stand side by side"},
        {"training:\n  steps: 1\n  lr: 0.1\n  epochs: 2\n",
         "c.yaml:4: training.steps and training.epochs stand side by side"},
        {"training: {steps: 0}\n", "training.steps is 0, expected a whole number from 1"},
        {"training: {augment: {shift: -1}}\n",
         "training.augment.shift is -1, expected a number from 0 to 10000"},
        {"training: {augment: {rotate: 181}}\n", "training.augment.rotate is 181, expected a number from 0"},
        {"training:\n  augment: {scale: 1}\n", "c.yaml:2: training.augment.scale is 1, expected a number"},
        {"training: {augment: {erase: 1.5}}\n", "training.augment.erase is 1.5, expected a number from 0"},
        {"training: {augment: {flip: both}}\n",
         "training.augment.flip: unknown value 'both': expected none, horizontal or vertical"},
        {"training: {augment: {shft: 1}}\n", "training.augment: unknown key 'shft': expected shift, rotate, "
                                             "scale, erase or flip; nearest is 'shift'"},
        {"training: {augment: 2}\n", "training.augment is not a mapping, expected keys below it"},
        {"training: {split: group}\n",
         "training.split: unknown value 'group': expected grouped or rows; nearest is 'grouped'"},
        {"options: {random: {twins: yes}}\n", "options.random.twins is yes, expected true or false"},
        {"options: {random: {twins: \"true\"}}\n", "expected true or false"},
        {"options: {random: {twins: 1}}\n", "expected true or false"},
        {"training: {epochs: 1, epochs: 2}\n", "key 'training.epochs' stands here a second time"},
        {"training: {epochs: 1}\ntraining: {batch: 2}\n", "key 'training' stands here a second time"},
        {"training: 3\n", "training is not a mapping"},
        {"strategies: dfal\n", "expected a list of strategies"},
        {"strategies: []\n", "strategies is empty"},
        {"strategies: [dfal, dfal]\n", "names dfal twice"},
        {"strategies: [dfal, [random]]\n", "strategies is a list"},
        {"strategies: [dfal, randm]\n", "; nearest is 'random'"},
        {"strategies: [dfal, randm]\n", "strategies: unknown strategy 'randm': expected dfal, random,"},
        {"network: 123\n", "network is 123, expected text"},
        {"network: yes\n", "network is yes"},
        {"network: ~\n", "network is ~"},
        {"network: \"\"\n", "network is empty"},
        {"network: \"a\\0b\"\n", "zero byte"},
        {"initial: &a 10\nquery: *a\n", "an anchor ('&a')"},
        {"query: *a\n", "an alias ('*a')"},
        {"initial: !!int 10\n", "a tag"},
        {"<<: {initial: 3}\n", "unknown key '<<'"},
        {"- 1\n- 2\n", "a list stands here"},
        {"lenet5\n", "a single value stands here"},
        {"{initial: 1\n", "not valid YAML"},
        {"initial: 1\n\tquery: 2\n", "not valid YAML"},
        {"initial: 1\n---\nquery: 2\n", "second document"},
        {"? [a]\n: 1\n", "a key is a list"},
        {"initial: \xff\xfe\n", "not valid YAML"},
        {"a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {}}}}}}}}}}\n", "unknown key 'a'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct df_run_config c;
        dfal_status status = parse(&c, bad[i].text);
        if (status != DFAL_E_CONFIG || !strstr(dfal_last_error(), bad[i].words))
            test_fail("%s gave %s '%s', expected E_CONFIG with '%s'", bad[i].text, dfal_status_name(status),
                      dfal_last_error(), bad[i].words);
    }
    struct df_run_config c;
    test_error(parse(&c, "strategies: [qbdz]\n"), DFAL_E_CONFIG,
               "c.yaml:1: strategies: unknown strategy 'qbdz'");
    test_error(parse(&c, "initial: 3\nnetwork: lenet6\n"), DFAL_E_CONFIG,
               "c.yaml:2: network: unknown network 'lenet6': expected lenet5, vgg8 or the path of a network "
               "file; nearest is 'lenet5'");
}

static void test_deep(void **state)
{
    (void)state;
    struct df_run_config c;
    char text[4001];
    memset(text, '[', 4000);
    text[4000] = 0;
    test_error(parse(&c, text), DFAL_E_CONFIG, "c.yaml");
    for (int i = 0; i < 4000; i++)
        text[i] = "{a: "[i % 4];
    test_error(parse(&c, text), DFAL_E_CONFIG, "c.yaml");
    char path[400];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = 0;
    test_error(df_run_config_set(&c, path), DFAL_E_USAGE, "no '='");
    path[200] = '=';
    test_error(df_run_config_set(&c, path), DFAL_E_USAGE, "too long");
}

static void test_set(void **state)
{
    (void)state;
    struct df_run_config c;
    df_run_config_init(&c);
    test_ok(df_run_config_set(&c, "training.epochs=3"));
    test_ok(df_run_config_set(&c, "strategies=[random]"));
    test_ok(df_run_config_set(&c, "options.dfal.subsample=all"));
    test_ok(df_run_config_set(&c, "training={batch: 8, lr: 0.25}"));
    test_ok(df_run_config_set(&c, "data.train=a b=c.h5"));
    assert_int_equal(c.training.epochs, 3);
    assert_int_equal(c.strategy_count, 1);
    assert_int_equal(c.options[df_strategy_known_index("dfal")].subsample, 0);
    int32_t known = 0;
    while (df_strategy_known(known))
        known++;
    assert_in_range(known, 1, DF_MAX_STRATEGIES); /* each has its options */
    assert_int_equal(c.training.batch, 8);
    assert_string_equal(c.train, "a b=c.h5");
    test_error(df_run_config_set(&c, "training.epochs=10.5"), DFAL_E_USAGE,
               "`set` training.epochs=10.5: training.epochs");
    test_error(df_run_config_set(&c, "training.epocs=1"), DFAL_E_USAGE, "nearest is 'epochs'");
    test_error(df_run_config_set(&c, "trainin.epochs=1"), DFAL_E_USAGE, "unknown key");
    test_error(df_run_config_set(&c, "trials"), DFAL_E_USAGE, "no '='");
    test_error(df_run_config_set(&c, "=3"), DFAL_E_USAGE, "no '='");
    test_error(df_run_config_set(&c, "trials="), DFAL_E_USAGE, "trials");
    test_error(df_run_config_set(&c, "strategies=[qbdz]"), DFAL_E_USAGE, "'qbdc'");
    test_error(df_run_config_set(&c, "trials=1\n---\n2"), DFAL_E_USAGE, "second");
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "strategies: [random]\nseed: 7\n",
        "data: {train: \"/a b/\\\"c\\\\.h5\", test: /x/y.h5}\nnetwork: ./net.h5\n",
        "network: \"/on\"\nsubsample: 50\noptions: {dfal: {deepfool: paper}}\ntraining: {lr: 0.1, "
        "validation: "
        "0.3333333333333333}\n",
        "training: {lr: 3, validation: 1.0e-7, optimizer: sgd}\nkeep: none\n",
        "network: \"-5.\"\n",
        "network: \"1.e5\"\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct df_run_config c, again;
        char *first = NULL, *second = NULL;
        test_ok(parse(&c, texts[i]));
        test_ok(df_run_config_yaml(&first, &c));
        test_ok(parse(&again, first));
        test_ok(df_run_config_yaml(&second, &again));
        assert_string_equal(first, second);
        assert_string_equal(c.network, again.network);
        assert_string_equal(c.train, again.train);
        assert_true(c.training.learning_rate == again.training.learning_rate);
        assert_true(c.training.validation == again.training.validation);
        test_ok(df_run_config_compare(&c, &again, "dir"));
        df_free(first);
        df_free(second);
    }
}

static void test_compare(void **state)
{
    (void)state;
    struct df_run_config a, b;
    test_ok(parse(&a, "data: {train: a.h5, test: b.h5}\n"));
    test_ok(parse(&b, "data: {train: elsewhere.h5, test: b.h5}\noptions: {bald: {passes: 3}}\n"));
    test_ok(df_run_config_compare(&a, &b, "dir")); /* fingerprints hold the data; bald is not run */
    b.training.epochs = 7;
    b.seed = 9;
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with training.epochs 7, expected 100 (`force` begins anew)");
    b.training.epochs = a.training.epochs;
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with seed 9, expected 1 (`force` begins anew)");
    b.seed = a.seed;
    snprintf(b.trainer.text, sizeof b.trainer.text, "train \"%s\"", "it");
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with trainer \"train \\\"it\\\"\", expected ");
    b.trainer = a.trainer;
    b.strategy_count = 1;
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with strategies [dfal], expected [dfal, random] (`force` begins anew)");
}

/* A strategy's own options stand in config.yaml where it is run, and shape the run. */
static void test_own_options(void **state)
{
    (void)state;
    struct df_run_config c, again, other;
    struct df_text differences = {0};
    char *yaml = NULL;
    test_ok(parse(&c, "strategies: [bald, random]\noptions: {bald: {passes: +3, subsample: 50}}\n"));
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "  bald: {subsample: 50, twins: false, passes: 3}\n"
                                 "  random: {subsample: all, twins: false}\n"));
    test_ok(parse(&again, yaml));
    test_ok(df_run_config_compare(&c, &again, "dir"));
    df_free(yaml);
    test_ok(parse(&again, "strategies: [bald, random]\noptions: {bald: {subsample: 50}}\n"));
    test_error(df_run_config_compare(&c, &again, "dir"), DFAL_E_CONFIG,
               "dir was made with options.bald.passes 10, expected 3 (`force` begins anew)");
    other = again;
    test_ok(df_run_config_set(&other, "options.bald.passes=3"));
    test_ok(df_run_config_compare(&c, &other, "dir"));
    test_ok(df_run_config_set(&other, "options.bald={passes: 4}"));
    test_error(df_run_config_set(&other, "options.bald.pases=4"), DFAL_E_USAGE,
               "options.bald: unknown key 'pases': expected subsample, deepfool, twins, passes or power");
    const struct df_run_config *const both[] = {&again, &other};
    df_run_config_differences(&differences, both, 2, 1);
    char *text = NULL;
    test_ok(df_text_take(&differences, &text));
    assert_string_equal(text, "options.bald.passes: 4");
    df_free(text);
}

/* A group within a group, and the word of one line that has the same keys. */
static void test_augment(void **state)
{
    (void)state;
    struct df_run_config c, again;
    char *yaml = NULL, *text = NULL;
    test_ok(parse(&c, "training: {augment: {shift: 2, flip: horizontal}, epochs: 3}\n"));
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "\ntraining:\n  restarts: 5\n  epochs: 3\n"));
    assert_non_null(strstr(yaml,
                           "  init: scratch\n  augment:\n    shift: 2.0\n    rotate: 0.0\n    scale: 0.0\n"
                           "    erase: 0.0\n    flip: horizontal\nkeep: last\n"));
    test_ok(parse(&again, yaml));
    test_ok(df_run_config_compare(&c, &again, "dir"));
    df_free(yaml);
    test_ok(df_run_config_set(&again, "training.augment={rotate: 5}"));
    test_error(df_run_config_compare(&c, &again, "dir"), DFAL_E_CONFIG,
               "dir was made with training.augment.rotate 5.0, expected 0.0 (`force` begins anew)");
    struct df_augment augment = c.training.augment;
    test_ok(df_run_augment_parse(&augment, "rotate=12.5,scale=0.1,shift=0"));
    test_ok(df_run_augment_text(&text, &augment));
    assert_string_equal(text, "shift=0.0,rotate=12.5,scale=0.1,erase=0.0,flip=horizontal");
    struct df_augment back = {.flip = "none"};
    test_ok(df_run_augment_parse(&back, text));
    assert_true(back.shift == 0 && back.rotate == 12.5 && back.scale == 0.1 && back.erase == 0);
    assert_string_equal(back.flip, "horizontal");
    df_free(text);
    static const char *const bad[][2] = {
        {"shift=x", "`augment` shift=x: training.augment.shift is x, expected a number from 0 to 10000"},
        {"shift=1,rotat=2", "`augment` rotat=2: training.augment: unknown key 'rotat'"},
        {"flip=up", "`augment` flip=up: training.augment.flip: unknown value 'up'"},
        {"shift", "`augment` shift: no '=' stands behind a key, expected KEY=VALUE,KEY=VALUE"},
        {"shift=1,", "`augment` : no '=' stands behind a key"},
        {"shift=", "`augment` shift=: no value stands behind '=', expected KEY=VALUE,KEY=VALUE"},
        {"", "no '=' stands behind a key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_error(df_run_augment_parse(&back, bad[i][0]), DFAL_E_USAGE, bad[i][1]);
}

/* Of epochs and steps the later layer's holds; a patience that nobody gave follows from which it is. */
static void test_epochs_or_steps(void **state)
{
    (void)state;
    struct df_run_config c, again;
    char *yaml = NULL;
    test_ok(parse(&c, ""));
    df_run_config_settle(&c);
    assert_true(c.training.epochs == 100 && c.training.steps == 0 && c.training.patience == 5);
    test_ok(parse(&c, "training: {steps: 500, batch: 8}\n"));
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "  steps: 500\n  patience: 0\n"));
    assert_null(strstr(yaml, "epochs"));
    test_ok(parse(&again, yaml));
    assert_int_equal(again.training.steps, 500);
    df_free(yaml);
    test_ok(df_run_config_set(&c, "training.epochs=3"));
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "  epochs: 3\n  patience: 5\n"));
    assert_null(strstr(yaml, "steps"));
    df_free(yaml);
    test_ok(parse(&c, "training: {steps: 500, patience: 7}\n")); /* given is given */
    df_run_config_settle(&c);
    assert_int_equal(c.training.patience, 7);
    test_error(df_run_config_compare(&c, &again, "dir"), DFAL_E_CONFIG,
               "dir was made with training.patience 0, expected 7 (`force` begins anew)");
    test_ok(parse(&c, "training: {epochs: 500}\n"));
    test_error(df_run_config_compare(&c, &again, "dir"), DFAL_E_CONFIG,
               "dir was made with training.epochs (none), expected 500 (`force` begins anew)");
    test_error(df_run_config_compare(&again, &c, "dir"), DFAL_E_CONFIG,
               "dir was made with training.steps (none), expected 500 (`force` begins anew)");
}

static void test_twins(void **state)
{
    (void)state;
    struct df_run_config c, plain;
    char *yaml = NULL;
    test_ok(parse(&plain, "")); /* [dfal, random] */
    assert_true(df_run_strategy_options(&plain, 0).twins == 1 &&
                df_run_strategy_options(&plain, 1).twins == 0);
    test_ok(parse(&c, "options: {dfal: {twins: false}, random: {twins: true, deepfool: paper}}\n"));
    assert_true(df_run_strategy_options(&c, 0).twins == 0 && df_run_strategy_options(&c, 1).twins == 1);
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "  dfal: {subsample: all, deepfool: lts4, twins: false}\n"));
    assert_non_null(strstr(yaml, "  random: {subsample: all, deepfool: paper, twins: true}\n"));
    df_free(yaml);
    test_error(df_run_config_compare(&c, &plain, "dir"), DFAL_E_CONFIG,
               "dir was made with options.random.deepfool (none), expected paper (`force` begins anew)");
    test_ok(parse(&c, "options: {dfal: {twins: false}}\n"));
    test_error(df_run_config_compare(&c, &plain, "dir"), DFAL_E_CONFIG,
               "dir was made with options.dfal.twins true, expected false (`force` begins anew)");
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_load(void **state)
{
    (void)state;
    char folder[TEST_PATH], path[TEST_PATH], expected[2 * TEST_PATH];
    struct df_run_config c;
    struct dfal_context_options flags = {.size = sizeof(struct dfal_context_options), .seed = 1};
    test_folder_create(folder);
    test_join(path, folder, "c.yaml");
    write_file(path,
               "data: {train: t.h5, test: /abs.h5}\nnetwork: nets/n.h5\ntrials: 2\nquery: 4\nseed: 5\n");
    const char *const set[] = {"query=6", "initial=3"};
    struct dfal_run_options options = {.size = sizeof(struct dfal_run_options),
                                       .config_path = path,
                                       .preset = "paper-mnist-vgg8",
                                       .set = set,
                                       .set_count = 2};
    test_ok(df_run_config_load(&c, &options, &flags));
    char real[4096];
    assert_non_null(realpath(folder, real));
    snprintf(expected, sizeof expected, "%.900s/t.h5", real);
    assert_string_equal(c.train, expected);
    assert_string_equal(c.test, "/abs.h5");
    snprintf(expected, sizeof expected, "%.900s/nets/n.h5", real);
    assert_string_equal(c.network, expected);
    assert_int_equal(c.trials, 2); /* the file beats the preset */
    assert_int_equal(c.query, 6);  /* --set beats the file */
    assert_int_equal(c.initial, 3);
    assert_int_equal(c.annotations, 1000);
    assert_true(c.seed == 5);
    flags.seed = 11; /* a flag beats all */
    options.train_path = "/flag.h5";
    test_ok(df_run_config_load(&c, &options, &flags));
    assert_true(c.seed == 11);
    assert_string_equal(c.train, "/flag.h5");
    flags = (struct dfal_context_options){.seed = 1, .seed_given = true};
    test_ok(df_run_config_load(&c, &options, &flags));
    assert_true(c.seed == 1);

    options.train_path = "/flag\xff.h5";
    test_error(df_run_config_load(&c, &options, &flags), DFAL_E_USAGE, "not UTF-8");

    options = (struct dfal_run_options){.preset = "paper-mnist-lenet"};
    test_error(df_run_config_load(&c, &options, &flags), DFAL_E_USAGE, "paper-mnist-lenet5");
    options = (struct dfal_run_options){.config_path = "/nowhere/c.yaml"};
    test_error(df_run_config_load(&c, &options, &flags), DFAL_E_NOINPUT, "/nowhere/c.yaml");
    write_file(path, "initial: 100\nannotations: 50\n");
    options.config_path = path;
    test_error(df_run_config_load(&c, &options, &flags), DFAL_E_CONFIG, "annotations is 50");
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primary),
        cmocka_unit_test(test_quoted_word),
        cmocka_unit_test(test_contract_example),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_own_options),
        cmocka_unit_test(test_augment),
        cmocka_unit_test(test_epochs_or_steps),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
