/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of a run's configuration, once, with its type, bounds and place; and their defaults. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "run/config.h"
#include "strategy/strategy.h"

#define AT(field)     offsetof(struct df_run_config, field)
#define OPTION(field) offsetof(struct df_strategy_config, field)
#define ROWS          1e12

const struct df_key df_run_keys[] = {
    {.path = "data.train", .kind = DF_KEY_PATH, .offset = AT(train)},
    {.path = "data.test", .kind = DF_KEY_PATH, .offset = AT(test)},
    {.path = "network", .kind = DF_KEY_TEXT, .offset = AT(network)},
    {.path = "strategies", .kind = DF_KEY_STRATEGIES, .offset = AT(strategy)},
    {.path = "options.*.subsample",
     .kind = DF_KEY_COUNT_OR_ALL,
     .offset = OPTION(subsample),
     .low = 1,
     .high = ROWS},
    {.path = "options.*.deepfool",
     .kind = DF_KEY_CHOICE,
     .offset = OPTION(deepfool),
     .choices = "lts4|paper|dfal2018|foolbox|deepal"},
    {.path = "options.*.passes", .kind = DF_KEY_I32, .offset = OPTION(passes), .low = 1, .high = 10000},
    {.path = "options.*.program",
     .kind = DF_KEY_CHOICE,
     .offset = OPTION(program),
     .choices = "covering|sener"},
    {.path = "initial", .kind = DF_KEY_I64, .offset = AT(initial), .low = 1, .high = ROWS},
    {.path = "query", .kind = DF_KEY_I64, .offset = AT(query), .low = 1, .high = ROWS},
    {.path = "annotations", .kind = DF_KEY_I64, .offset = AT(annotations), .low = 1, .high = ROWS},
    {.path = "subsample", .kind = DF_KEY_COUNT_OR_ALL, .offset = AT(subsample), .low = 1, .high = ROWS},
    {.path = "trials", .kind = DF_KEY_I32, .offset = AT(trials), .low = 1, .high = 10000},
    {.path = "trainer", .kind = DF_KEY_COMMAND, .offset = AT(trainer)},
    {.path = "training.restarts",
     .kind = DF_KEY_I32,
     .offset = AT(training.restarts),
     .low = 1,
     .high = 1000},
    {.path = "training.epochs", .kind = DF_KEY_I32, .offset = AT(training.epochs), .low = 0, .high = 1000000},
    {.path = "training.patience",
     .kind = DF_KEY_I32,
     .offset = AT(training.patience),
     .low = 0,
     .high = 1000000},
    {.path = "training.validation",
     .kind = DF_KEY_REAL,
     .offset = AT(training.validation),
     .low = 0,
     .high = 1,
     .high_open = true},
    {.path = "training.batch", .kind = DF_KEY_I32, .offset = AT(training.batch), .low = 1, .high = 1000000},
    {.path = "training.optimizer", .kind = DF_KEY_CHOICE, .offset = AT(optimizer), .choices = "adam|sgd"},
    {.path = "training.lr",
     .kind = DF_KEY_REAL,
     .offset = AT(training.learning_rate),
     .low = 0,
     .low_open = true,
     .high = 1000},
    {.path = "training.init",
     .kind = DF_KEY_CHOICE,
     .offset = AT(init),
     .choices = "scratch|weights|previous"},
    {.path = "keep", .kind = DF_KEY_CHOICE, .offset = AT(keep), .choices = "last|all|none"},
    {.path = "seed", .kind = DF_KEY_U64, .offset = AT(seed)},
};
const int32_t df_run_key_count = sizeof df_run_keys / sizeof df_run_keys[0];

void *df_key_field(const struct df_key *key, struct df_run_config *config, int32_t strategy)
{
    char *base = strchr(key->path, '*') ? (char *)&config->options[strategy] : (char *)config;
    return base + key->offset;
}

void df_key_expectation(const struct df_key *key, char *text, size_t size)
{
    switch (key->kind) {
    case DF_KEY_I32:
    case DF_KEY_I64:
        df_print(text, size, "a decimal integer from %.0f to %.0f", key->low, key->high);
        break;
    case DF_KEY_U64: /* whose bound is no double */
        snprintf(text, size, "a decimal integer from 0 to 18446744073709551615");
        break;
    case DF_KEY_COUNT_OR_ALL:
        df_print(text, size, "a decimal integer from %.0f to %.0f, or all", key->low, key->high);
        break;
    case DF_KEY_REAL:
        df_print(text, size, "a number %s %g and %s %g", key->low_open ? "above" : "from", key->low,
                 key->high_open ? "below" : "at most", key->high);
        break;
    case DF_KEY_TEXT:
    case DF_KEY_PATH:
    case DF_KEY_COMMAND:
        snprintf(text, size, "text (quoted where it looks like a number, yes, no or null)");
        break;
    case DF_KEY_CHOICE: {
        size_t used = (size_t)snprintf(text, size, "one of ");
        for (const char *c = key->choices; *c && used + 3 < size; c++) {
            if (*c == '|') {
                text[used++] = ',';
                text[used++] = ' ';
            } else {
                text[used++] = *c;
            }
        }
        text[used] = 0;
        break;
    }
    case DF_KEY_STRATEGIES:
        snprintf(text, size, "a list of strategies such as [dfal, random]");
        break;
    }
}

void df_run_config_init(struct df_run_config *config)
{
    *config = (struct df_run_config){
        .network = "lenet5",
        .strategy = {"dfal", "random"},
        .strategy_count = 2,
        .initial = 10,
        .query = 10,
        .annotations = 1000,
        .trials = 5,
        .optimizer = "adam",
        .keep = "last",
        .seed = 1,
        .init = "scratch",
    };
    for (int32_t i = 0; i < DF_MAX_STRATEGIES; i++)
        config->options[i] = (struct df_strategy_config){
            .subsample = -1, .deepfool = "lts4", .passes = 10, .program = "covering"};
    df_training_options_init(&config->training);
    config->training.restarts = 5;
    config->training.epochs = 100;
    config->training.patience = 5;
    config->training.validation = 0.2;
    config->training.batch = 32;
    config->training.learning_rate = 1e-3;
}

/* name, one line, YAML */
static const struct {
    const char *name, *summary, *yaml;
} presets[] = {
    {"quickstart", "LeNet5, DFAL against RANDOM, 3 trials, two minutes on two cores",
     "network: lenet5\nstrategies: [dfal, random]\noptions: {dfal: {subsample: all}}\n"
     "initial: 20\nquery: 20\nannotations: 240\ntrials: 3\n"
     "training: {restarts: 1, epochs: 50, patience: 0, validation: 0, batch: 32, optimizer: adam, lr: "
     "1.0e-3}\n"},
#define PAPER(network)                                                                                       \
    "network: " network                                                                                      \
    "\nstrategies: [dfal, random]\noptions: {dfal: {subsample: 300, deepfool: dfal2018}}\n"                  \
    "initial: 10\nquery: 10\nannotations: 1000\ntrials: 5\n"                                                 \
    "training: {restarts: 5, epochs: 100, patience: 5, validation: 0.2, batch: 32, optimizer: adam, lr: "    \
    "1.0e-3}\n"
    {"paper-mnist-lenet5", "Ducoffe and Precioso 2018 on MNIST with LeNet5: 1000 annotations, 5 trials",
     PAPER("lenet5")},
    {"paper-mnist-vgg8", "Ducoffe and Precioso 2018 on MNIST with VGG8: 1000 annotations, 5 trials",
     PAPER("vgg8")},
#undef PAPER
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

dfal_status df_run_preset(const char **yaml, const char *name)
{
    const char *names[PRESETS];
    *yaml = NULL;
    for (int i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (!strcmp(name, names[i])) {
            *yaml = presets[i].yaml;
            return DFAL_OK;
        }
    }
    const char *near = df_nearest(name, names, PRESETS);
    if (near)
        DF_FAIL(DFAL_E_USAGE, "unknown preset '%s', did you mean '%s'?", name, near);
    DF_FAIL(DFAL_E_USAGE, "unknown preset '%s', expected quickstart, paper-mnist-lenet5 or paper-mnist-vgg8",
            name);
}

void dfal_presets(dfal_fact_fn *fact, void *user)
{
    for (int i = 0; i < PRESETS; i++) {
        struct dfal_field field = {
            .key = presets[i].name, .kind = DFAL_FIELD_TEXT, .text = presets[i].summary};
        fact(user, &field);
    }
}
