/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of a run's configuration, once, with its type, bounds and place; and their defaults. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/word.h"
#include "run/config.h"
#include "strategy/strategy.h"

#define AT(field)     offsetof(struct df_run_config, field)
#define OPTION(field) offsetof(struct df_strategy_config, field)
#define ROWS          1e12

const struct df_key df_run_keys[] = {
    {.path = "data.train",
     .kind = DF_KEY_PATH,
     .offset = AT(train),
     .help = "the pool that is labelled from; relative to the file"},
    {.path = "data.test",
     .kind = DF_KEY_PATH,
     .offset = AT(test),
     .help = "the pool that accuracy is measured on"},
    {.path = "network",
     .kind = DF_KEY_TEXT,
     .offset = AT(network),
     .help = "a built-in name or a network file; a name with / or . is a file"},
    {.path = "strategies",
     .kind = DF_KEY_STRATEGIES,
     .offset = AT(strategy),
     .help =
         "what is compared; random among them is what the others are tested against; an entry {name: NAME, "
         "strategy: dfal, options: {twins: false}} is a variant of a strategy, its options hold before those "
         "of options.dfal; an entry {name: NAME, command: CMD} is a command (docs/FORMATS.md, Strategy "
         "command) and needs `allow_command`"},
    {.path = "options.*.subsample",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 1, ROWS, .or_all = true},
     .offset = OPTION(subsample),
     .help = "candidates that this strategy looks at a round; not given: what the key subsample says"},
    {.path = "options.*.deepfool",
     .kind = DF_KEY_CHOICE,
     .offset = OPTION(deepfool),
     .choices = DFAL_DEEPFOOL_PRESETS,
     .help = "the DeepFool preset of margins and twins"},
    {.path = "options.*.twins",
     .kind = DF_KEY_FLAG,
     .offset = OPTION(twins),
     .help = "train on each query's adversarial twin as well, whoever chose it; not given: dfal and "
             "dfal-diverse do, others not"},
    {.path = "initial",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 1, ROWS},
     .offset = AT(initial),
     .help = "rows labelled at the start, drawn uniformly, the same for all strategies of a trial"},
    {.path = "query",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 1, ROWS},
     .offset = AT(query),
     .help = "rows that a round asks for"},
    {.path = "annotations",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 1, ROWS},
     .offset = AT(annotations),
     .help = "rows labelled at the end, the initial ones included"},
    {.path = "subsample",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 1, ROWS, .or_all = true},
     .offset = AT(subsample),
     .help = "candidates looked at a round, drawn uniformly, by strategies that say nothing else"},
    {.path = "trials",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I32, 1, 10000},
     .offset = AT(trials),
     .help = "repetitions, each with another initial set; one cannot be tested for significance"},
    {.path = "transfer",
     .kind = DF_KEY_TEXT,
     .offset = AT(transfer),
     .help = "another network, named as `network` is, that is trained from scratch on what each strategy has "
             "labelled; its accuracy stands in transfer.csv"},
    {.path = "transfer_every",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 0, ROWS},
     .offset = AT(transfer_every),
     .needs = "transfer",
     .help = "after which rounds: those whose annotations are a multiple of it, and the last; 0: the last"},
    {.path = "trainer",
     .kind = DF_KEY_COMMAND,
     .offset = AT(trainer),
     .help = "a command that trains instead of dfal (docs/FORMATS.md, Trainer); needs `allow_command`"},
    {.path = "training.restarts",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I32, 1, 1000},
     .offset = AT(training.restarts),
     .help = "trainings a round, each with other weights and another split; that of the lowest loss is kept"},
    {.path = "training.epochs",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I32, 0, 1000000},
     .offset = AT(training.epochs),
     .rival = "training.steps",
     .help = "passes over the rows a restart; twins are rows, so a strategy with twins takes more steps"},
    {.path = "training.steps",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I64, 1, 1e9},
     .offset = AT(training.steps),
     .rival = "training.epochs",
     .help = "instead of epochs: optimiser steps a restart, as many for every strategy whatever its rows"},
    {.path = "training.patience",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I32, 0, 1000000},
     .offset = AT(training.patience),
     .help = "a restart ends after so many epochs without a lower loss, 0: never; not given with steps: 0"},
    {.path = "training.validation",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 1, .high_open = true},
     .offset = AT(training.validation),
     .help = "share that is not trained on and whose loss is watched; 0: the training loss is watched"},
    {.path = "training.split",
     .kind = DF_KEY_CHOICE,
     .offset = AT(split),
     .choices = "grouped|rows",
     .remark_on = "rows",
     .remark = "as the paper divides: a query may be watched while its twin is trained on (grouped: never)",
     .help = "what the share is drawn from: a query together with its twin (grouped), or each row by itself"},
    {.path = "training.batch",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_I32, 1, 1000000},
     .offset = AT(training.batch),
     .help = "rows an optimiser step"},
    {.path = "training.optimizer",
     .kind = DF_KEY_CHOICE,
     .offset = AT(optimizer),
     .choices = "adam|sgd",
     .help = "Adam, or SGD with momentum 0.9"},
    {.path = "training.lr",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 1000, .low_open = true},
     .offset = AT(training.learning_rate),
     .help = "learning rate"},
    {.path = "training.init",
     .kind = DF_KEY_CHOICE,
     .offset = AT(init),
     .choices = "scratch|weights|previous",
     .help =
         "what a round starts from: random weights, those of the network file, those of the round before"},
    {.path = "training.augment.shift",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 10000},
     .offset = AT(training.augment.shift),
     .help = "each step sees its rows moved by up to so many pixels along each axis (docs/NUMERICS.md, "
             "Augmentation)"},
    {.path = "training.augment.rotate",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 180},
     .offset = AT(training.augment.rotate),
     .help = "turned by up to so many degrees either way"},
    {.path = "training.augment.scale",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 1, .high_open = true},
     .offset = AT(training.augment.scale),
     .help = "enlarged by a factor from 1 - scale to 1 + scale"},
    {.path = "training.augment.erase",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 1},
     .offset = AT(training.augment.erase),
     .help = "probability that a rectangle of up to half of each side is emptied"},
    {.path = "training.augment.flip",
     .kind = DF_KEY_CHOICE,
     .offset = AT(training.augment.flip),
     .choices = DF_FLIPS,
     .help = "half of the rows, drawn anew every epoch, mirrored: left with right (horizontal), or top with "
             "bottom (vertical)"},
    {.path = "keep",
     .kind = DF_KEY_CHOICE,
     .offset = AT(keep),
     .choices = "last|all|none",
     .help = "networks kept in networks/: of each trial's last round, of every round, none"},
    {.path = "report.paper",
     .kind = DF_KEY_CHOICE,
     .offset = AT(paper),
     .choices = "none|mnist|shoebag|quickdraw",
     .help = "the experiment of Ducoffe and Precioso 2018 whose numbers the report shows beside these"},
    {.path = "report.primary",
     .kind = DF_KEY_WORDS,
     .offset = AT(primary),
     .help =
         "the comparisons that the experiment is made for, such as dfal against margin, dfal against random: "
         "the report tests their areas under the curve apart from all others"},
    {.path = "report.full_set",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_REAL, 0, 1},
     .offset = AT(full_set),
     .help = "test accuracy of a network trained on the whole pool, for the report to tell who comes within "
             "half a point of it; 0: not known"},
    {.path = "seed",
     .kind = DF_KEY_NUMBER,
     .number = {DF_NUMBER_U64},
     .offset = AT(seed),
     .help = "of everything that is drawn; `seed` beats it"},
};
const int32_t df_run_key_count = sizeof df_run_keys / sizeof df_run_keys[0];

void *df_key_field(const struct df_key *key, void *of)
{
    return (char *)of + key->offset;
}

const struct df_key *df_key_find(const char *path)
{
    for (int32_t i = 0; i < df_run_key_count; i++)
        if (!strcmp(df_run_keys[i].path, path))
            return &df_run_keys[i];
    return NULL;
}

static bool is_text(const struct df_key *key)
{
    return key->kind == DF_KEY_TEXT || key->kind == DF_KEY_PATH || key->kind == DF_KEY_WORDS ||
           key->kind == DF_KEY_COMMAND;
}

bool df_key_holds(const struct df_key *key, struct df_run_config *config)
{
    const void *field = df_key_field(key, config);
    if (is_text(key))
        return *(const char *)field != 0;
    if (key->needs && !df_key_holds(df_key_find(key->needs), config))
        return false;
    return !key->rival ||
           (double)(key->number.kind == DF_NUMBER_I32 ? *(const int32_t *)field : *(const int64_t *)field) >=
               key->number.low;
}

void df_key_expectation(const struct df_key *key, char *text, size_t size)
{
    switch (key->kind) {
    case DF_KEY_NUMBER:
        df_number_expectation(text, size, &key->number);
        break;
    case DF_KEY_TEXT:
    case DF_KEY_PATH:
    case DF_KEY_WORDS:
    case DF_KEY_COMMAND:
        snprintf(text, size, "text (quoted where it looks like a number, yes, no or null)");
        break;
    case DF_KEY_CHOICE:
        df_word_expectation(text, size, key->choices);
        break;
    case DF_KEY_FLAG:
        snprintf(text, size, "true or false");
        break;
    case DF_KEY_STRATEGIES:
        snprintf(text, size, "a list of strategies such as [dfal, random]");
        break;
    }
}

void df_run_config_init(struct df_run_config *config)
{
    *config = (struct df_run_config){
        .network = "lenet5",
        .initial = 10,
        .query = 10,
        .annotations = 1000,
        .trials = 5,
        .optimizer = "adam",
        .split = "grouped",
        .keep = "last",
        .paper = "none",
        .seed = 1,
        .init = "scratch",
    };
    static const char *const listed[] = {"dfal", "random"};
    for (int32_t s = 0; s < 2; s++) {
        struct df_run_entry *entry = &config->strategy[config->strategy_count++];
        *entry = (struct df_run_entry){.known = df_strategy_known_index(listed[s]),
                                       .options = DF_STRATEGY_CONFIG_NONE};
        snprintf(entry->name, sizeof entry->name, "%s", listed[s]);
    }
    for (int32_t i = 0; i < DF_MAX_STRATEGIES; i++)
        config->options[i] = (struct df_strategy_config){.subsample = -1, .deepfool = "lts4", .twins = -1};
    df_training_options_init(&config->training);
    config->training.restarts = 5;
    config->training.epochs = 100;
    config->training.patience = -1;
    config->training.validation = 0.2;
    config->training.batch = 32;
    config->training.learning_rate = 1e-3;
}

void df_run_config_settle(struct df_run_config *config)
{
    config->training.sgd = !strcmp(config->optimizer, "sgd");
    if (config->training.patience < 0)
        config->training.patience = config->training.steps > 0 ? 0 : 5;
}
