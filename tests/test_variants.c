/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of `strategies` that are mappings: variants of a strategy and commands, each with options of its
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "run/config.h"
#include "strategy/strategy.h"
#include "support.h"

static dfal_status parse(struct df_run_config *config, const char *text)
{
    df_run_config_init(config);
    return df_run_config_parse(config, text, strlen(text), "c.yaml", NULL, DFAL_E_CONFIG);
}

/* What an entry gives holds before options.<strategy>, whatever stands first in the file; what it leaves out
 * is that of options.<strategy>, and of the strategy where that says nothing. */
static void test_layers(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "strategies: [dfal, {name: plain, strategy: dfal, options: {twins: false, subsample: 30}}, "
        "{strategy: "
        "margin, name: m, options: {twins: true}}]\noptions: {dfal: {subsample: 20, deepfool: paper, power: "
        "2}}\n",
        "options: {dfal: {subsample: 20, deepfool: paper, power: 2}}\nstrategies:\n- dfal\n- options: "
        "{subsample: 30, twins: false}\n  strategy: dfal\n  name: plain\n- name: m\n  options:\n    twins: "
        "true\n  strategy: margin\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct df_run_config c;
        test_ok(parse(&c, texts[i]));
        assert_int_equal(c.strategy_count, 3);
        const struct df_strategy_config dfal = df_run_strategy_options(&c, 0),
                                        plain = df_run_strategy_options(&c, 1),
                                        m = df_run_strategy_options(&c, 2);
        assert_string_equal(c.strategy[1].name, "plain");
        assert_ptr_equal(df_run_strategy(&c, 1), &df_strategy_dfal);
        assert_ptr_equal(df_run_strategy(&c, 2), &df_strategy_margin);
        assert_true(dfal.subsample == 20 && dfal.twins == 1);
        assert_true(plain.subsample == 30 && plain.twins == 0);
        assert_string_equal(plain.deepfool, "paper");
        assert_string_equal(df_option_text(&plain.own, df_strategy_dfal.options, "power"), "2");
        assert_true(m.subsample == 0 && m.twins == 1);
        assert_string_equal(m.deepfool, "lts4");
    }
}

/* Under another name a strategy does what it does under its own. */
static void test_follows_strategy(void **state)
{
    (void)state;
    struct df_run_config c;
    test_ok(parse(&c, "strategies: [{name: x, strategy: dfal}, {name: y+z, strategy: random}, {strategy: "
                      "entropy}]\n"));
    assert_true(df_run_strategy_options(&c, 0).twins == 1 && df_run_strategy_options(&c, 1).twins == 0);
    assert_string_equal(c.strategy[1].name, "y+z");
    assert_string_equal(c.strategy[2].name, "entropy"); /* not given: its own */
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *entries, *words;
    } bad[] = {
        {"{options: {twins: false}}", "c.yaml:1: strategies[0] has no command and no strategy, expected"},
        {"{name: x}", "strategies[0] has no command and no strategy"},
        {"dfal, {strategy: dfal, command: c}", "strategies[1] has a strategy and a command, expected one"},
        {"{strategy: dfl}", "strategies[0].strategy: unknown strategy 'dfl'"},
        {"{strategy: dfl}", "; nearest is 'dfal'"},
        {"{strategy: [dfal]}", "strategies[0].strategy is a list, expected a strategy's name"},
        {"{strategy: 5}", "strategies[0].strategy is 5, expected a strategy's name"},
        {"{name: margin, strategy: dfal}", "strategies[0].name is 'margin', expected a name of letters"},
        {"{name: +a, strategy: dfal}", "strategies[0].name is '+a'"},
        {"{name: a b, strategy: dfal}", "strategies[0].name is 'a b'"},
        {"{name: abcdefghijabcdefghijabcdefghijxy, strategy: dfal}", "has 32 bytes, expected at most 31"},
        {"dfal, {strategy: dfal}", "c.yaml:1: strategies names dfal twice, expected each name once"},
        {"{name: x, strategy: dfal}, {name: x, strategy: margin}", "names x twice"},
        {"{name: x, strategy: dfal, option: {}}", "unknown key 'option': expected name, strategy, command or "
                                                  "options; nearest is 'options'"},
        {"{strategy: dfal, strategy: dfal}", "key 'strategies[0].strategy' stands here a second time"},
        {"{strategy: dfal, options: [a]}", "strategies[0].options is not a mapping"},
        {"{strategy: dfal, options: 3}", "strategies[0].options is not a mapping"},
        {"dfal,\n random,\n {name: x,\n strategy: dfal,\n options: {subsample: 0}}",
         "c.yaml:5: strategies[2].options.subsample is 0, expected a whole number from 1"},
        {"{options: {subsampl: 1}, strategy: dfal}", "strategies[0].options: unknown key 'subsampl': "
                                                     "expected subsample, deepfool, twins or power; nearest "
                                                     "is 'subsample'"},
        {"{strategy: dfal, options: {passes: 3}}", "unknown key 'passes'"},
        {"{strategy: dfal, options: {a.b: 3}}", "unknown key 'a.b'"},
        {"{strategy: bald, options: {passes: 0}}", "strategies[0].options: passes is 0, expected a whole"},
        {"{strategy: dfal, options: {twins: {a: {b: c}}}}", "twins is a mapping, expected true or false"},
        {"{strategy: dfal, options: {twins: true, twins: true}}",
         "key 'strategies[0].options.twins' stands here a second time"},
        {"{strategy: dfal, options: {? [a] : 1}}", "a key is a list or a mapping"},
        {"{strategy: dfal, options: {twins: *a}}", "an alias ('*a')"},
        {"{strategy: dfal, options: {twins: true}", "not valid YAML"},
        {"{command: c, options: {passes: 3}}", "unknown key 'passes': expected subsample, deepfool, twins or "
                                               "node"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct df_run_config c;
        char text[400];
        snprintf(text, sizeof text, "strategies: [%s]\n", bad[i].entries);
        dfal_status status = parse(&c, text);
        if (status != DFAL_E_CONFIG || !strstr(dfal_last_error(), bad[i].words))
            test_fail("%s gave %s '%s', expected E_CONFIG with '%s'", text, dfal_status_name(status),
                      dfal_last_error(), bad[i].words);
    }
    struct df_text many = {0};
    struct df_run_config c;
    df_text_add(&many, "strategies: [{strategy: dfal, options: {");
    for (int i = 0; i < 200; i++)
        df_text_add(&many, "k%d: 1, ", i);
    df_text_add(&many, "}}]\n");
    test_error(parse(&c, many.bytes), DFAL_E_CONFIG, "strategies[0].options holds more than 64 keys");
    df_text_clear(&many);
    df_text_add(&many, "strategies: [");
    for (int i = 0; i < DF_MAX_STRATEGIES + 1; i++)
        df_text_add(&many, "%s{name: x%d, strategy: dfal}", i ? ", " : "", i);
    df_text_add(&many, "]\n");
    test_error(parse(&c, many.bytes), DFAL_E_CONFIG, "strategies has more than 32 entries");
    df_text_clear(&many);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "strategies: [{name: a, strategy: dfal}, {name: b, strategy: dfal, options: {subsample: all}}]\n",
        "strategies: [{strategy: bald, options: {passes: +7, power: 0.1, deepfool: paper}}]\n",
        "strategies: [{name: c, strategy: coreset, options: {solver: 'my \"cbc\"', nodes: 10}}, coreset]\n"
        "options: {coreset: {program: sener}}\n",
        "strategies: [{command: 'a b', options: {subsample: 20, twins: true}}, {name: other, command: c}, "
        "random]\n",
        "strategies: [margin, {name: margin+twins, strategy: margin, options: {twins: true}}]\n"
        "options: {margin: {deepfool: paper}}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct df_run_config c, again;
        char *first = NULL, *second = NULL;
        test_ok(parse(&c, texts[i]));
        test_ok(df_run_config_yaml(&first, &c));
        test_ok(parse(&again, first));
        test_ok(df_run_config_yaml(&second, &again));
        assert_string_equal(first, second);
        test_ok(df_run_config_compare(&c, &again, "dir"));
        for (int32_t s = 0; s < c.strategy_count; s++) {
            const struct df_strategy_config ours = df_run_strategy_options(&c, s),
                                            theirs = df_run_strategy_options(&again, s);
            assert_string_equal(c.strategy[s].name, again.strategy[s].name);
            assert_string_equal(c.strategy[s].command.text, again.strategy[s].command.text);
            assert_string_equal(ours.own.command.text, theirs.own.command.text);
            assert_true(ours.subsample == theirs.subsample && ours.twins == theirs.twins);
            assert_string_equal(ours.deepfool, theirs.deepfool);
        }
        df_free(first);
        df_free(second);
    }
    struct df_run_config c;
    char *yaml = NULL;
    test_ok(parse(&c, texts[4]));
    test_ok(df_run_config_yaml(&yaml, &c));
    assert_non_null(strstr(yaml, "strategies: [margin, {name: \"margin+twins\", strategy: margin, options: "
                                 "{twins: true}}]\n"));
    assert_non_null(strstr(yaml, "  margin: {subsample: all, deepfool: paper, twins: false}\n"));
    df_free(yaml);
    test_ok(df_run_config_set(&c, "strategies=[{name: q, strategy: dfal, options: {subsample: 7}}]"));
    assert_true(c.strategy_count == 1 && df_run_strategy_options(&c, 0).subsample == 7);
}

static void test_compare(void **state)
{
    (void)state;
    struct df_run_config a, b;
    struct df_text differences = {0};
    test_ok(parse(&a, "strategies: [dfal, {name: x, strategy: dfal, options: {subsample: 20}}]\n"));
    test_ok(parse(&b, "strategies: [dfal, {name: x, strategy: dfal, options: {subsample: 30}}]\n"));
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with strategies[1].options {subsample: 30}, expected {subsample: 20} (`force`");
    const struct df_run_config *const both[] = {&a, &b};
    df_run_config_differences(&differences, both, 2, 1);
    assert_string_equal(differences.bytes, "strategies[1].options: {subsample: 30}");
    df_text_clear(&differences);
    test_ok(parse(&b, "strategies: [dfal, {name: x, strategy: dfal}]\n"));
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with strategies[1].options (none), expected {subsample: 20} (`force`");
    test_ok(parse(&b, "strategies: [dfal, {name: x, strategy: entropy, options: {subsample: 20}}]\n"));
    test_error(df_run_config_compare(&a, &b, "dir"), DFAL_E_CONFIG,
               "dir was made with strategies [dfal, {name: x, strategy: entropy}], expected [dfal, {name: x, "
               "strategy: dfal}]");
}

/* A file's solver in an entry needs the caller's leave like any other; the caller's own takes its place. */
static void test_solver(void **state)
{
    (void)state;
    static const char text[] = "strategies: [coreset,\n {name: c, strategy: coreset, options: {solver: my "
                               "cbc}}]\n";
    char folder[TEST_PATH], path[TEST_PATH];
    struct df_run_config c;
    struct dfal_run_options options = {.size = sizeof options, .config_path = "c.yaml"};
    test_ok(parse(&c, text));
    test_error(df_run_command_allowed(&c, &options), DFAL_E_CONFIG,
               "c.yaml:2: strategies[1].options.solver is 'my cbc', expected `allow_command` with it, or "
               "`solver`");
    options.allow_command = true;
    test_ok(df_run_command_allowed(&c, &options));
    test_folder_create(folder);
    test_join(path, folder, "c.yaml");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    options = (struct dfal_run_options){.size = sizeof options, .config_path = path, .solver = "none"};
    test_ok(df_run_config_load(&c, &options, NULL));
    test_ok(df_run_command_allowed(&c, &options));
    for (int32_t s = 0; s < 2; s++) {
        const struct df_strategy_config held = df_run_strategy_options(&c, s);
        assert_string_equal(df_option_text(&held.own, df_strategy_coreset.options, "solver"), "none");
    }
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),  cmocka_unit_test(test_follows_strategy),
        cmocka_unit_test(test_bad),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_solver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
