/* SPDX-License-Identifier: Apache-2.0 */
#include "run/config.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/identity.h"
#include "base/kind.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/sized.h"
#include "base/text.h"
#include "base/text_file.h"
#include "models/models.h"
#include "strategy/strategy.h"

enum { MAX_FILE = 1 << 20 };

/* The file's folder as an absolute path, so that config.yaml of a run directory means the same from anywhere.
 */
static dfal_status folder_of(char *folder, const char *path)
{
    char text[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? snprintf(text, sizeof text, "%.*s", (int)(slash > path ? slash - path : 1), path)
                       : snprintf(text, sizeof text, ".");
    if (length >= (int)sizeof text || !realpath(text, folder))
        DF_FAIL(DFAL_E_NOINPUT, "%s: its folder cannot be found, expected a readable path", path);
    return DFAL_OK;
}

static dfal_status load_file(struct df_run_config *config, const char *path)
{
    char folder[PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    dfal_status status;
    status = df_text_file_read(&text, &size, path, MAX_FILE);
    if (status == DFAL_E_DATA && df_refuse_kind(path, "a YAML configuration") != DFAL_OK)
        status = DFAL_E_CONFIG; /* what it is says more than why it is no text */
    if (status != DFAL_OK)
        goto done;
    DF_TRY_TO(done, status, folder_of(folder, path));
    status = df_run_config_parse(config, text, size, path, folder, DFAL_E_CONFIG);
done:
    df_free(text);
    return status;
}

static dfal_status take_path(char *to, const char *path)
{
    if (!path)
        return DFAL_OK;
    if (snprintf(to, DF_CONFIG_TEXT, "%s", path) >= DF_CONFIG_TEXT)
        DF_FAIL(DFAL_E_USAGE, "%.80s...: the path has more than %d bytes", path, DF_CONFIG_TEXT - 1);
    return DFAL_OK;
}

static dfal_status take_trainer(struct df_run_config *config, const char *command)
{
    DF_TRY(df_run_command_check("trainer's", command));
    snprintf(config->trainer, sizeof config->trainer, "%s", command);
    config->trainer_line = 0;
    return DFAL_OK;
}

/* The solver of all strategies that have one. */
static dfal_status take_solver(struct df_run_config *config, const char *solver)
{
    bool taken = false;
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const int32_t known = df_strategy_known_index(config->strategy[s]);
        const struct df_strategy_option *table = df_strategy_options(known);
        if (!df_option_find(table, "solver"))
            continue;
        taken = true;
        if (df_option_set(&config->options[known].own, table, "solver", solver) != DFAL_OK)
            return df_fail_prefix(DFAL_E_USAGE, "strategy %s: ", config->strategy[s]);
    }
    if (!taken)
        DF_FAIL(DFAL_E_USAGE, "`solver` is given, and none of the strategies of the run has one, expected "
                              "coreset among them");
    return DFAL_OK;
}

/* What a flag or --set gave is relative to here, and config.yaml must mean the same from anywhere. */
static dfal_status make_absolute(char *path)
{
    char here[PATH_MAX], text[DF_CONFIG_TEXT];
    if (!path[0] || path[0] == '/')
        return DFAL_OK;
    if (!getcwd(here, sizeof here))
        DF_FAIL(DFAL_E_IO, "the current folder cannot be read, expected a readable one");
    memcpy(text, path, sizeof text);
    if (snprintf(path, DF_CONFIG_TEXT, "%s/%s", here, text) >= DF_CONFIG_TEXT)
        DF_FAIL(DFAL_E_USAGE, "%.80s...: the path has more than %d bytes", text, DF_CONFIG_TEXT - 1);
    return DFAL_OK;
}

dfal_status df_run_config_load(struct df_run_config *config, const struct dfal_run_options *options,
                               const struct dfal_context_options *flags)
{
    df_run_config_init(config);
    if (options->preset) {
        const char *yaml = NULL;
        DF_TRY(df_run_preset(&yaml, options->preset));
        DF_TRY(df_run_config_parse(config, yaml, strlen(yaml), options->preset, NULL, DFAL_E_INTERNAL));
    }
    if (options->config_path)
        DF_TRY(load_file(config, options->config_path));
    for (int32_t i = 0; i < options->set_count; i++)
        DF_TRY(df_run_config_set(config, options->set[i]));
    if (options->trainer)
        DF_TRY(take_trainer(config, options->trainer));
    DF_TRY(df_run_command_take(config, options));
    if (options->solver)
        DF_TRY(take_solver(config, options->solver));
    DF_TRY(take_path(config->train, options->train_path));
    DF_TRY(take_path(config->test, options->test_path));
    DF_TRY(make_absolute(config->train));
    DF_TRY(make_absolute(config->test));
    if (!df_model_exists(config->network) && strpbrk(config->network, "/."))
        DF_TRY(make_absolute(config->network));
    const char *const texts[] = {config->train, config->test, config->network};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!df_text_is_utf8(texts[i])) /* the run could not read its own config.yaml back */
            DF_FAIL(DFAL_E_USAGE, "%s: the path is not UTF-8, which config.yaml is written in", texts[i]);
    if (flags && (flags->seed_given || flags->seed != 1))
        config->seed = flags->seed;
    df_run_config_settle(config);
    const char *source = options->config_path ? options->config_path : "the configuration";
    if (config->annotations < config->initial)
        DF_FAIL(DFAL_E_CONFIG, "%s: annotations is %lld, expected at least initial, %lld", source,
                (long long)config->annotations, (long long)config->initial);
    return DFAL_OK;
}

struct df_strategy_config df_run_strategy_options(const struct df_run_config *config, int32_t strategy)
{
    struct df_strategy_config options = config->options[df_run_strategy_known(config, strategy)];
    const struct df_strategy *found = NULL;
    if (options.subsample < 0)
        options.subsample = config->subsample;
    if (options.twins < 0)
        options.twins = df_run_strategy(&found, config, strategy) == DFAL_OK && found->twins;
    return options;
}

/* ---- canonical YAML ---------------------------------------------------------------------------------- */

/* Text that needs no quotes in YAML; the reader's own test decides about numbers and words. */
static bool is_plain(const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    if (strspn(text, safe) != strlen(text) ||
        !strpbrk(text, "abcdfghijklmpqrstuvwxyzABCDFGHIJKLMPQRSTUVWXYZ/"))
        return false;
    static const char *const words[] = {"null",  "y",  "n",   "yes",  "no",  "true",
                                        "false", "on", "off", ".nan", ".inf"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (df_same_but_case(text + (text[0] == '-'), words[i]))
            return false;
    return text[0] != '-';
}

static void put_text(struct df_text *out, const char *text)
{
    if (is_plain(text)) {
        df_text_add(out, "%s", text);
        return;
    }
    df_text_add(out, "\"");
    bool fine;
    int length;
    for (const char *c = text; *c; c += length) {
        length = df_text_next(c, &fine);
        if (*c == '"' || *c == '\\')
            df_text_add(out, "\\%c", *c);
        else if (!fine && (unsigned char)*c < 128)
            df_text_add(out, "\\x%02x", (unsigned char)*c);
        else if (!fine && length > 1)
            df_text_add(out, "\\u%04x", df_text_code(c, length));
        else /* the bytes of a file's name, whatever they are */
            df_text_append(out, c, length);
    }
    df_text_add(out, "\"");
}

/* The shortest digits that read back as the same number, with the point that YAML 1.1 wants. */
static void put_real(struct df_text *out, double value)
{
    char text[DF_NUMBER_TEXT];
    df_print_shortest(text, value, 6);
    char *exponent = strchr(text, 'e');
    if (exponent && !strchr(text, '.'))
        df_text_add(out, "%.*s.0%s", (int)(exponent - text), text, exponent);
    else
        df_text_add(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void put_number(struct df_text *out, const struct df_number *number, const void *field)
{
    char text[DF_NUMBER_TEXT];
    if (number->kind == DF_NUMBER_REAL)
        put_real(out, *(const double *)field);
    else
        df_text_add(out, "%s", df_number_print(text, number, field));
}

static void put_strategies(struct df_text *out, const struct df_run_config *config)
{
    df_text_add(out, "[");
    for (int32_t i = 0; i < config->strategy_count; i++) {
        const struct df_run_command *command = df_run_command_of(config, i);
        df_text_add(out, "%s", i ? ", " : "");
        if (!command) {
            df_text_add(out, "%s", config->strategy[i]);
            continue;
        }
        df_text_add(out, "{name: ");
        put_text(out, command->name);
        df_text_add(out, ", command: ");
        put_text(out, command->text);
        df_text_add(out, "}");
    }
    df_text_add(out, "]");
}

static void put_value(struct df_text *out, const struct df_key *key, struct df_run_config *config,
                      int32_t strategy)
{
    const void *field = df_key_field(key, config, strategy);
    switch (key->kind) {
    case DF_KEY_NUMBER:
        put_number(out, &key->number, field);
        break;
    case DF_KEY_FLAG:
        df_text_add(out, *(const int32_t *)field > 0 ? "true" : "false");
        break;
    case DF_KEY_STRATEGIES:
        put_strategies(out, config);
        break;
    case DF_KEY_TEXT:
    case DF_KEY_PATH:
    case DF_KEY_COMMAND:
    case DF_KEY_CHOICE:
        put_text(out, field);
        break;
    }
}

/* Keys of options.* that shape what a strategy does. */
static bool concerns(const struct df_key *key, const struct df_strategy *strategy,
                     const struct df_strategy_config *options)
{
    const char *name = strrchr(key->path, '.') + 1;
    if (!strcmp(name, "deepfool"))
        return df_strategy_asks(strategy, &options->own) & DF_ASKS_MARGINS || options->twins;
    return !strcmp(name, "subsample") || !strcmp(name, "twins");
}

static void put_option(struct df_text *out, const struct df_strategy_option *option, const char *value)
{
    if (option->kind == DF_OPTION_TEXT || option->kind == DF_OPTION_COMMAND)
        put_text(out, value);
    else if (option->kind == DF_OPTION_NUMBER && option->number.kind == DF_NUMBER_REAL)
        put_real(out, df_parse_real(value, NULL));
    else
        df_text_add(out, "%s", value);
}

/* Where a configuration first lists a strategy, -1: it does not. */
static int32_t listed_at(const struct df_run_config *config, int32_t known)
{
    for (int32_t s = 0; s < config->strategy_count; s++)
        if (df_run_strategy_known(config, s) == known)
            return s;
    return -1;
}

static dfal_status put_options(struct df_text *out, struct df_run_config *config)
{
    df_text_add(out, "options:\n");
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const struct df_strategy *strategy = NULL;
        DF_TRY(df_run_strategy(&strategy, config, s));
        const int32_t known = df_run_strategy_known(config, s);
        if (listed_at(config, known) < s) /* another command: they share their options */
            continue;
        config->options[known] = df_run_strategy_options(config, s);
        df_text_add(out, "  %s: {", strategy->name);
        const char *comma = "";
        for (int32_t k = 0; k < df_run_key_count; k++) {
            const struct df_key *key = &df_run_keys[k];
            if (!strchr(key->path, '*') || !concerns(key, strategy, &config->options[known]))
                continue;
            df_text_add(out, "%s%s: ", comma, strrchr(key->path, '.') + 1);
            put_value(out, key, config, known);
            comma = ", ";
        }
        for (const struct df_strategy_option *own = strategy->options; own && own->key; own++) {
            const char *value = df_option_text(&config->options[known].own, strategy->options, own->key);
            if (!value[0])
                continue;
            df_text_add(out, "%s%s: ", comma, own->key);
            put_option(out, own, value);
        }
        df_text_add(out, "}\n");
    }
    return DFAL_OK;
}

dfal_status df_run_config_yaml(char **yaml, const struct df_run_config *config)
{
    struct df_run_config copy = *config;
    struct df_text out = {0};
    char group[32] = "";
    dfal_status status = DFAL_OK;
    *yaml = NULL;
    df_run_config_settle(&copy);
    for (int32_t k = 0; k < df_run_key_count && status == DFAL_OK; k++) {
        const struct df_key *key = &df_run_keys[k];
        const char *dot = strchr(key->path, '.');
        int length = dot ? (int)(dot - key->path) : 0;
        bool opens = length && (strncmp(group, key->path, (size_t)length) || group[length]);
        snprintf(group, sizeof group, "%.*s", length, key->path);
        if (strchr(key->path, '*')) {
            if (opens)
                status = put_options(&out, &copy);
            continue;
        }
        if ((key->kind == DF_KEY_PATH || key->kind == DF_KEY_COMMAND) &&
            !*(const char *)df_key_field(key, &copy, 0)) {
            group[0] = 0; /* an absent path or command opens no group */
            continue;
        }
        if (opens)
            df_text_add(&out, "%s:\n", group);
        if (!df_key_holds(key, &copy))
            continue;
        if (key->remark && !strcmp(df_key_field(key, &copy, 0), key->remark_on))
            df_text_add(&out, "%s# %s\n", length ? "  " : "", key->remark);
        df_text_add(&out, "%s%s: ", length ? "  " : "", dot ? dot + 1 : key->path);
        put_value(&out, key, &copy, 0);
        df_text_add(&out, "\n");
    }
    DF_KEEP_FIRST(status, df_text_take(&out, yaml));
    return status;
}

/* One value of a configuration: a key's (of options.* for one strategy), or one of a strategy's own
 * options. */
struct setting {
    int32_t key; /* df_run_key_count: it is an option */
    int32_t known;
    const struct df_strategy_option *table, *option;
    bool begun;
};

static bool is_option(const struct setting *setting)
{
    return setting->key == df_run_key_count || strchr(df_run_keys[setting->key].path, '*');
}

/* All settings that there may be. Zero-initialise. */
static bool next_setting(struct setting *s)
{
    if (s->key < df_run_key_count) {
        if (s->begun && is_option(s) && df_strategy_known(s->known + 1)) {
            s->known++;
            return true;
        }
        s->key += s->begun;
        s->begun = true;
        s->known = 0;
        if (s->key < df_run_key_count)
            return true;
        s->known = -1;
    }
    if (s->option && (++s->option)->key)
        return true;
    do {
        if (!df_strategy_known(++s->known))
            return false;
        s->table = s->option = df_strategy_options(s->known);
    } while (!s->option);
    return true;
}

/* A setting's value as it is written. Nothing where it says nothing. */
static void value_text(struct df_text *out, const struct setting *setting, const struct df_run_config *config)
{
    struct df_run_config copy = *config;
    const int32_t known = setting->known, listed = is_option(setting) ? listed_at(config, known) : -1;
    const struct df_strategy *strategy = NULL;
    df_run_config_settle(&copy);
    if (is_option(setting)) {
        if (listed < 0 || df_run_strategy(&strategy, config, listed) != DFAL_OK)
            return;
        copy.options[known] = df_run_strategy_options(config, listed);
    }
    if (setting->option) {
        const char *value = df_option_text(&copy.options[known].own, setting->table, setting->option->key);
        if (value[0])
            put_option(out, setting->option, value);
        return;
    }
    const struct df_key *key = &df_run_keys[setting->key];
    if ((!strategy || concerns(key, strategy, &copy.options[known])) && df_key_holds(key, &copy))
        put_value(out, key, &copy, known);
}

/* A setting's path, that of an option with its strategy in the star's place. */
static void put_name(struct df_text *out, const struct setting *setting)
{
    const char *path = setting->option ? "options.*." : df_run_keys[setting->key].path,
               *star = strchr(path, '*');
    if (star)
        df_text_add(out, "%.*s%s%s", (int)(star - path), path, df_strategy_known(setting->known), star + 1);
    else
        df_text_add(out, "%s", path);
    if (setting->option)
        df_text_add(out, "%s", setting->option->key);
}

static bool differs(const struct setting *setting, const struct df_run_config *const *configs, int32_t count,
                    const struct df_text *ours)
{
    bool other = false;
    for (int32_t i = 0; i < count && !other; i++) {
        struct df_text theirs = {0};
        value_text(&theirs, setting, configs[i]);
        /* An option that nobody else's strategy has is told by the list of strategies. */
        other = !(is_option(setting) && !theirs.size) &&
                (theirs.size != ours->size || memcmp(theirs.bytes, ours->bytes, (size_t)ours->size) != 0);
        df_text_clear(&theirs);
    }
    return other;
}

void df_run_config_differences(struct df_text *out, const struct df_run_config *const *configs, int32_t count,
                               int32_t which)
{
    for (struct setting setting = {0}; next_setting(&setting);) {
        struct df_text ours = {0};
        value_text(&ours, &setting, configs[which]);
        if (ours.size && differs(&setting, configs, count, &ours)) {
            df_text_add(out, "%s", out->size ? ", " : "");
            put_name(out, &setting);
            df_text_add(out, ": %s", ours.bytes);
        }
        df_text_clear(&ours);
    }
}

/* Every setting that says something, data.train and data.test apart: fingerprints hold the data. */
static void identity_of(struct df_identity *identity, const struct df_run_config *config)
{
    for (struct setting setting = {0}; next_setting(&setting);) {
        struct df_text name = {0}, value = {0};
        if (!setting.option && df_run_keys[setting.key].kind == DF_KEY_PATH)
            continue;
        value_text(&value, &setting, config);
        if (value.size)
            put_name(&name, &setting);
        DF_KEEP_FIRST(identity->status, name.status);
        DF_KEEP_FIRST(identity->status, value.status);
        if (value.size && identity->status == DFAL_OK)
            df_identity_add(identity, name.bytes, "%s", value.bytes);
        df_text_clear(&name);
        df_text_clear(&value);
    }
}

dfal_status df_run_config_compare(const struct df_run_config *ours, const struct df_run_config *theirs,
                                  const char *path)
{
    struct df_identity a = {0}, b = {0};
    identity_of(&a, ours);
    identity_of(&b, theirs);
    const dfal_status status =
        df_identity_check(&a, &b, false, DFAL_E_CONFIG, path, " (`force` begins anew)");
    df_identity_clear(&a);
    df_identity_clear(&b);
    return status;
}

/* Own options of the strategies of this build. */
static void visit_options(dfal_run_key_fn *visit, void *user)
{
    for (int i = 0; df_strategies[i]; i++)
        for (const struct df_strategy_option *own = df_strategies[i]->options; own && own->key; own++) {
            char expected[160], path[80];
            df_option_expectation(own, expected, sizeof expected);
            snprintf(path, sizeof path, "options.%s.%s", df_strategies[i]->name, own->key);
            const struct dfal_run_key out = {path, expected, own->standard, own->help};
            visit(user, &out);
        }
}

void dfal_run_keys(dfal_run_key_fn *visit, void *user)
{
    struct df_run_config standard;
    df_run_config_init(&standard);
    df_run_config_settle(&standard);
    for (int32_t k = 0; k < df_run_key_count; k++) {
        const struct df_key *key = &df_run_keys[k];
        struct df_text value = {0};
        char expected[160];
        df_key_expectation(key, expected, sizeof expected);
        /* A strategy's own value is told by the help: it follows from the strategy, or from a key of the
         * run. */
        const bool own = key->kind == DF_KEY_FLAG ||
                         (key->kind == DF_KEY_NUMBER && key->number.or_all && strchr(key->path, '*')),
                   absent = (key->kind == DF_KEY_PATH || key->kind == DF_KEY_COMMAND) &&
                            !*(const char *)df_key_field(key, &standard, 0);
        if (!own && !absent && df_key_holds(key, &standard))
            put_value(&value, key, &standard, 0);
        const struct dfal_run_key out = {key->path, expected, value.size ? value.bytes : "", key->help};
        visit(user, &out);
        df_text_clear(&value);
        const bool last = k + 1 == df_run_key_count || !strchr(df_run_keys[k + 1].path, '*');
        if (strchr(key->path, '*') && last)
            visit_options(visit, user);
    }
}

dfal_status dfal_run_print_config(dfal_context *context, char **yaml, const struct dfal_run_options *options)
{
    struct df_run_config config;
    struct dfal_run_options own;
    *yaml = NULL;
    dfal_run_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, options, "dfal_run_options"));
    DF_TRY(df_run_config_load(&config, &own, context ? &context->options : NULL));
    return df_run_config_yaml(yaml, &config);
}
