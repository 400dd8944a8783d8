/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a run: one key table (config_keys.c) serves the YAML reader, --set, presets and
 * printing. */
#ifndef DF_RUN_CONFIG_H
#define DF_RUN_CONFIG_H

#include "base/external_command.h"
#include "base/identity.h"
#include "base/number.h"
#include "base/text.h"
#include "net/training.h"
#include "strategy/strategy_option.h"

struct df_strategy;

enum { DF_MAX_STRATEGIES = 32, DF_STRATEGY_NAME = 32, DF_CONFIG_TEXT = DF_COMMAND_TEXT };

/* What is given for a strategy's options: by options.<strategy>, or by an entry of strategies. */
struct df_strategy_config {
    int64_t subsample; /* -1: not given; 0: all */
    char deepfool[16]; /* preset; "": not given */
    int32_t twins;     /* 1, 0; -1: not given */
    struct df_option_values own;
};
#define DF_STRATEGY_CONFIG_NONE ((struct df_strategy_config){.subsample = -1, .twins = -1})

/* An entry of strategies: one of dfal's by its name, a variant of it under another name, or a command. */
struct df_run_entry {
    char name[DF_STRATEGY_NAME];       /* in the tables and in the names of files */
    int32_t known;                     /* df_strategy_known_index of what runs; `command` for every command */
    struct df_command command;         /* of one that is a command */
    struct df_strategy_config options; /* its own: they hold before options.<strategy> */
};
struct df_run_config {
    char train[DF_CONFIG_TEXT],
        test[DF_CONFIG_TEXT];     /* paths, relative ones resolved against the file's folder; "" */
    char network[DF_CONFIG_TEXT]; /* built-in name or path */
    struct df_run_entry strategy[DF_MAX_STRATEGIES];
    int32_t strategy_count;
    struct df_strategy_config options[DF_MAX_STRATEGIES]; /* of all entries; by df_strategy_known_index */
    int64_t initial, query, annotations, subsample;       /* subsample 0: all */
    int32_t trials;
    char transfer[DF_CONFIG_TEXT]; /* another network that is trained on what was chosen; "": none */
    int64_t transfer_every;        /* annotations; 0: after the last round */
    struct df_command trainer;     /* somebody else's that trains; none: dfal does */
    char optimizer[16];
    struct df_training_options training; /* its seed is the caller's to set */
    char keep[16];                       /* last | all | none */
    char paper[16];                      /* none, or the paper's data set: what stands beside in the report */
    char primary[DF_CONFIG_TEXT];        /* comparisons, df_run_primary */
    double full_set; /* test accuracy of a network trained on the whole pool; 0: not known */
    uint64_t seed;
    char init[16];  /* scratch | weights | previous: what a round's training starts from */
    char split[16]; /* grouped | rows: what the validation split keeps together */
};

/* The kinds of value a key may have. */
enum df_key_kind {
    DF_KEY_NUMBER,
    DF_KEY_TEXT,    /* char[DF_CONFIG_TEXT] */
    DF_KEY_PATH,    /* the same */
    DF_KEY_WORDS,   /* the same, taken as it stands */
    DF_KEY_COMMAND, /* struct df_command */
    DF_KEY_CHOICE,  /* char[16], one of the words of `choices` */
    DF_KEY_FLAG,    /* int32_t 0 or 1, -1 where it was not given */
    DF_KEY_STRATEGIES,
};
/* One key. A "*" in its path stands for a strategy's name; its offset is then inside df_strategy_config. */
struct df_key {
    const char *path;
    enum df_key_kind kind;
    size_t offset;
    struct df_number number;
    const char *choices; /* words separated by '|' */
    const char *help;    /* a line without a full stop */
    /* An integer key in whose place this one is given: one of the two holds, the other one's value is below
     * its `low`. */
    const char *rival;
    const char *needs;              /* a key of text without which this one says nothing */
    const char *remark_on, *remark; /* stands above the key in config.yaml where its value is remark_on */
};
extern const struct df_key df_run_keys[];
extern const int32_t df_run_key_count;
/* Where a key's value stands in the struct that its offset counts in. */
void *df_key_field(const struct df_key *key, void *of);
/* The key of this path, NULL: none. */
const struct df_key *df_key_find(const char *path);
/* Does it say something? One of two rivals does not, nor does text that is not given, nor what needs it. */
bool df_key_holds(const struct df_key *key, struct df_run_config *config);
/* "an integer from 1 to 100": what the key expects, for messages. */
void df_key_expectation(const struct df_key *key, char *text, size_t size);

/* The comparisons that an experiment was made for, names of entries.
 * Errors   E_CONFIG what stands there is none */
enum { DF_MAX_PAIRS = 16 };
struct df_run_pair {
    char ours[DF_STRATEGY_NAME], theirs[DF_STRATEGY_NAME];
};
dfal_status df_run_primary(const struct df_run_config *config, struct df_run_pair pairs[DF_MAX_PAIRS],
                           int32_t *count);

/* Defaults. */
void df_run_config_init(struct df_run_config *config);
/* What follows from other keys: the optimiser, a patience that was not given. */
void df_run_config_settle(struct df_run_config *config);
/* Lay YAML text over config. source names it in messages, folder (may be NULL) is what its paths are relative
 * to. Errors   `error` with source, line, key, value, expectation, nearest name */
dfal_status df_run_config_parse(struct df_run_config *config, const char *text, size_t size,
                                const char *source, const char *folder, dfal_status error);
/* Lay one "key.path=value" over config. Errors   E_USAGE */
dfal_status df_run_config_set(struct df_run_config *config, const char *assignment);
/* Lay "shift=2,rotate=10", values of keys below training.augment, over augment. Errors   E_USAGE */
dfal_status df_run_augment_parse(struct df_augment *augment, const char *text);
/* All of them in that form. Free with df_free. */
dfal_status df_run_augment_text(char **text, const struct df_augment *augment);
/* YAML of a preset; NULL and the nearest name in the message when unknown. */
dfal_status df_run_preset(const char **yaml, const char *name);

/* default < preset < file < set < train_path, test_path, a context seed that was given or is not 1.
 * Errors   E_CONFIG file, line, key, value, the nearest key; E_USAGE the same in --set, unknown preset;
 *          E_NOINPUT the file is missing */
dfal_status df_run_config_load(struct df_run_config *config, const struct dfal_run_options *options,
                               const struct dfal_context_options *flags);
/* Canonical YAML: the same configuration gives the same bytes, and reading them gives the same configuration.
 * Options of strategies that are not run are left out. Free with df_free. */
dfal_status df_run_config_yaml(char **yaml, const struct df_run_config *config);
/* Every setting that says something, data.train and data.test apart: fingerprints hold the data. */
void df_run_config_identity(struct df_identity *identity, const struct df_run_config *config);
/* E_CONFIG naming the first key that differs; data.train and data.test are left to the pools' fingerprints.
 */
dfal_status df_run_config_compare(const struct df_run_config *ours, const struct df_run_config *theirs,
                                  const char *path);
/* "training.split: rows, seed: 2": what one of several configurations has and another has not; nothing where
 * they are the same. Options of a strategy are compared among those that list it. */
void df_run_config_differences(struct df_text *out, const struct df_run_config *const *configs, int32_t count,
                               int32_t which);
/* What the caller's options say of commands; a listed strategy `command` has one then.
 * Errors   E_USAGE, E_CONFIG */
dfal_status df_run_command_take(struct df_run_config *config, const struct dfal_run_options *options);
/* Whether a command can stand in config.yaml; whose: "trainer's". Errors   E_USAGE */
dfal_status df_run_command_check(const char *whose, const char *command);
/* Whether the trainer and all commands may run, and are words.
 * Errors   E_CONFIG with the file's line; E_USAGE */
dfal_status df_run_command_allowed(const struct df_run_config *config,
                                   const struct dfal_run_options *options);
/* What runs for a listed strategy. */
const struct df_strategy *df_run_strategy(const struct df_run_config *config, int32_t strategy);
/* List one more. Errors   E_USAGE its name is listed, or there is no room */
/* The entry of that name, -1: there is none. */
int32_t df_run_entry_find(const struct df_run_config *config, const char *name);
dfal_status df_run_entry_add(struct df_run_config *config, const struct df_run_entry *entry);
/* The options that a listed strategy runs under: subsample (0: all), deepfool and twins resolved. */
struct df_strategy_config df_run_strategy_options(const struct df_run_config *config, int32_t strategy);
/* Those of options.<strategy>, by df_strategy_known_index, which entries lay theirs over. */
struct df_strategy_config df_run_known_options(const struct df_run_config *config, int32_t known);

#endif
