/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration as canonical YAML. */
#include "run/config_yaml.h"

#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"
#include "strategy/strategy.h"

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

void df_config_put_value(struct df_text *out, const struct df_key *key, void *of)
{
    const void *field = df_key_field(key, of);
    switch (key->kind) {
    case DF_KEY_NUMBER:
        put_number(out, &key->number, field);
        break;
    case DF_KEY_FLAG:
        df_text_add(out, *(const int32_t *)field > 0 ? "true" : "false");
        break;
    case DF_KEY_STRATEGIES:
        df_config_put_strategies(out, of, true);
        break;
    case DF_KEY_TEXT:
    case DF_KEY_PATH:
    case DF_KEY_WORDS:
    case DF_KEY_COMMAND:
    case DF_KEY_CHOICE:
        put_text(out, field);
        break;
    }
}

void df_config_put_option(struct df_text *out, const struct df_strategy_option *option, const char *value)
{
    if (option->kind != DF_OPTION_NUMBER)
        put_text(out, value); /* a word, too: yes is true to other readers */
    else if (option->number.kind == DF_NUMBER_REAL)
        put_real(out, df_parse_real(value, NULL));
    else
        df_text_add(out, "%s", value);
}

/* ---- options of strategies ----------------------------------------------------------------------------- */

/* Is a key of options.* given? */
static bool is_given(const struct df_key *key, struct df_strategy_config *options)
{
    const void *field = df_key_field(key, options);
    switch (key->kind) {
    case DF_KEY_NUMBER:
        return *(const int64_t *)field >= 0;
    case DF_KEY_FLAG:
        return *(const int32_t *)field >= 0;
    default:
        return *(const char *)field != 0;
    }
}

/* {KEY: VALUE, ...} of what is given. config: of keys that all strategies have only those that matter in it;
 * and of a strategy's own options also what holds unless they are given. */
static void put_mapping(struct df_text *out, int32_t known, struct df_strategy_config *options,
                        const struct df_run_config *config)
{
    const struct df_strategy_option *table = df_strategy_options(known);
    const char *comma = "";
    df_text_add(out, "{");
    for (int32_t k = 0; k < df_run_key_count; k++) {
        const struct df_key *key = &df_run_keys[k];
        if (!strchr(key->path, '*') || !is_given(key, options) ||
            (config && !df_config_concerns(key, config, known)))
            continue;
        df_text_add(out, "%s%s: ", comma, strrchr(key->path, '.') + 1);
        df_config_put_value(out, key, options);
        comma = ", ";
    }
    for (const struct df_strategy_option *own = table; own && own->key; own++) {
        const char *value = df_option_text(&options->own, table, own->key);
        if (!value[0] || !(config || df_option_given(&options->own, table, own->key)))
            continue;
        df_text_add(out, "%s%s: ", comma, own->key);
        df_config_put_option(out, own, value);
        comma = ", ";
    }
    df_text_add(out, "}");
}

static bool gives_options(const struct df_run_entry *entry)
{
    const struct df_strategy_option *table = df_strategy_options(entry->known);
    struct df_strategy_config options = entry->options;
    bool gives = false;
    for (int32_t k = 0; k < df_run_key_count && !gives; k++)
        gives = strchr(df_run_keys[k].path, '*') && is_given(&df_run_keys[k], &options);
    for (const struct df_strategy_option *own = table; own && own->key && !gives; own++)
        gives = df_option_given(&options.own, table, own->key);
    return gives;
}

void df_config_put_given(struct df_text *out, const struct df_run_entry *entry)
{
    struct df_strategy_config options = entry->options;
    if (gives_options(entry))
        put_mapping(out, entry->known, &options, NULL);
}

void df_config_put_strategies(struct df_text *out, const struct df_run_config *config, bool options)
{
    df_text_add(out, "[");
    for (int32_t i = 0; i < config->strategy_count; i++) {
        const struct df_run_entry *entry = &config->strategy[i];
        const char *strategy = df_strategy_known(entry->known);
        const bool command = entry->command.text[0], given = options && gives_options(entry);
        df_text_add(out, "%s", i ? ", " : "");
        if (!command && !given && !strcmp(entry->name, strategy)) {
            df_text_add(out, "%s", strategy);
            continue;
        }
        df_text_add(out, "{name: ");
        put_text(out, entry->name);
        df_text_add(out, command ? ", command: " : ", strategy: ");
        put_text(out, command ? entry->command.text : strategy);
        if (given) {
            df_text_add(out, ", options: ");
            df_config_put_given(out, entry);
        }
        df_text_add(out, "}");
    }
    df_text_add(out, "]");
}

static bool concerns_one(const struct df_key *key, const struct df_strategy *strategy,
                         const struct df_strategy_config *options)
{
    const char *name = strrchr(key->path, '.') + 1;
    if (!strcmp(name, "deepfool"))
        return df_strategy_asks(strategy, &options->own) & DF_ASKS_MARGINS || options->twins;
    return !strcmp(name, "subsample") || !strcmp(name, "twins");
}

bool df_config_concerns(const struct df_key *key, const struct df_run_config *config, int32_t known)
{
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const struct df_strategy_config options = df_run_strategy_options(config, s);
        if (config->strategy[s].known == known && concerns_one(key, df_strategies[known], &options))
            return true;
    }
    return false;
}

bool df_config_is_listed(const struct df_run_config *config, int32_t known)
{
    for (int32_t s = 0; s < config->strategy_count; s++)
        if (config->strategy[s].known == known)
            return true;
    return false;
}

/* In the order in which their first entries stand; those that share a strategy share these. */
static void put_options(struct df_text *out, const struct df_run_config *config)
{
    df_text_add(out, "options:\n");
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const int32_t known = config->strategy[s].known;
        struct df_strategy_config options = df_run_known_options(config, known);
        bool before = false;
        for (int32_t i = 0; i < s; i++)
            before = before || config->strategy[i].known == known;
        if (before)
            continue;
        df_text_add(out, "  %s: ", df_strategy_known(known));
        put_mapping(out, known, &options, config);
        df_text_add(out, "\n");
    }
}

/* --- groups --------------------------------------------------------------------------------------------- */

enum { GROUP = 64 };

/* Open the groups of a key's path that are not open yet, and note them. Returns how deep the key stands. */
static int open_groups(struct df_text *out, char open[GROUP], const char *path)
{
    int depth = 0;
    const char *name = path;
    for (const char *dot; (dot = strchr(name, '.')); name = dot + 1, depth++) {
        const size_t length = (size_t)(dot - path);
        if (strncmp(open, path, length) != 0 || (open[length] && open[length] != '.'))
            df_text_add(out, "%*s%.*s:\n", 2 * depth, "", (int)(dot - name), name);
    }
    snprintf(open, GROUP, "%.*s", name > path ? (int)(name - 1 - path) : 0, path);
    return depth;
}

/* --- the whole ----------------------------------------------------------------------------------------- */

dfal_status df_run_config_yaml(char **yaml, const struct df_run_config *config)
{
    struct df_run_config copy = *config;
    struct df_text out = {0};
    char open[GROUP] = "";
    dfal_status status = DFAL_OK;
    *yaml = NULL;
    df_run_config_settle(&copy);
    for (int32_t k = 0; k < df_run_key_count && status == DFAL_OK; k++) {
        const struct df_key *key = &df_run_keys[k];
        if (strchr(key->path, '*')) {
            if (strcmp(open, "options") != 0)
                put_options(&out, &copy);
            snprintf(open, sizeof open, "options");
            continue;
        }
        if (!df_key_holds(key, &copy))
            continue;
        const int depth = open_groups(&out, open, key->path);
        if (key->remark && !strcmp(df_key_field(key, &copy), key->remark_on))
            df_text_add(&out, "%*s# %s\n", 2 * depth, "", key->remark);
        const char *dot = strrchr(key->path, '.');
        df_text_add(&out, "%*s%s: ", 2 * depth, "", dot ? dot + 1 : key->path);
        df_config_put_value(&out, key, &copy);
        df_text_add(&out, "\n");
    }
    DF_KEEP_FIRST(status, df_text_take(&out, yaml));
    return status;
}
