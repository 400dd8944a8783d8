/* SPDX-License-Identifier: Apache-2.0 */
/* What one configuration has and another has not. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "run/config_yaml.h"
#include "strategy/strategy.h"

/* One value of a configuration: a key's (of options.* for one strategy), one of a strategy's own options, or
 * what an entry of strategies gives itself. */
struct setting {
    int32_t key; /* df_run_key_count: it is no key's */
    int32_t known;
    const struct df_strategy_option *table, *option;
    int32_t entry; /* from 1; 0: it is no entry's */
    bool begun;
};

static bool is_option(const struct setting *setting)
{
    return setting->option || (!setting->entry && strchr(df_run_keys[setting->key].path, '*'));
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
    if (s->entry)
        return ++s->entry <= DF_MAX_STRATEGIES;
    if (s->option && (++s->option)->key)
        return true;
    do {
        if (!df_strategy_known(++s->known)) {
            s->option = NULL;
            return ++s->entry;
        }
        s->table = s->option = df_strategy_options(s->known);
    } while (!s->option);
    return true;
}

/* An option of a strategy that is listed. */
static void option_text(struct df_text *out, const struct setting *setting,
                        const struct df_run_config *config)
{
    struct df_strategy_config options = df_run_known_options(config, setting->known);
    if (!df_config_is_listed(config, setting->known))
        return;
    if (setting->option) {
        const char *value = df_option_text(&options.own, setting->table, setting->option->key);
        if (value[0])
            df_config_put_option(out, setting->option, value);
    } else if (df_config_concerns(&df_run_keys[setting->key], config, setting->known)) {
        df_config_put_value(out, &df_run_keys[setting->key], &options);
    }
}

/* A setting's value as it is written. Nothing where it says nothing. */
static void value_text(struct df_text *out, const struct setting *setting, const struct df_run_config *config)
{
    if (setting->entry) {
        if (setting->entry <= config->strategy_count)
            df_config_put_given(out, &config->strategy[setting->entry - 1]);
        return;
    }
    if (is_option(setting)) {
        option_text(out, setting, config);
        return;
    }
    const struct df_key *key = &df_run_keys[setting->key];
    struct df_run_config copy = *config;
    df_run_config_settle(&copy);
    if (key->kind == DF_KEY_STRATEGIES) /* what entries give themselves is a setting each */
        df_config_put_strategies(out, config, false);
    else if (df_key_holds(key, &copy))
        df_config_put_value(out, key, &copy);
}

/* A setting's path, that of an option with its strategy in the star's place. */
static void put_name(struct df_text *out, const struct setting *setting)
{
    if (setting->entry) {
        df_text_add(out, "strategies[%d].options", setting->entry - 1);
        return;
    }
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

void df_run_config_identity(struct df_identity *identity, const struct df_run_config *config)
{
    for (struct setting setting = {0}; next_setting(&setting);) {
        struct df_text name = {0}, value = {0};
        if (setting.key < df_run_key_count && df_run_keys[setting.key].kind == DF_KEY_PATH)
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
    df_run_config_identity(&a, ours);
    df_run_config_identity(&b, theirs);
    const dfal_status status =
        df_identity_check(&a, &b, false, DFAL_E_CONFIG, path, " (`force` begins anew)");
    df_identity_clear(&a);
    df_identity_clear(&b);
    return status;
}
