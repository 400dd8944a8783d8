/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a configuration: preset, file, --set, flags. */
#include "run/config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/kind.h"
#include "base/memory.h"
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
    snprintf(config->trainer.text, sizeof config->trainer.text, "%s", command);
    config->trainer.line = 0;
    return DFAL_OK;
}

/* The solver of all strategies that have one. */
static dfal_status take_solver(struct df_run_config *config, const char *solver)
{
    bool taken = false;
    for (int32_t s = 0; s < config->strategy_count; s++) {
        struct df_run_entry *entry = &config->strategy[s];
        const struct df_strategy_option *table = df_strategy_options(entry->known);
        if (!df_option_find(table, "solver"))
            continue;
        taken = true;
        struct df_option_values *const own = df_option_given(&entry->options.own, table, "solver")
                                                 ? &entry->options.own
                                                 : &config->options[entry->known].own;
        if (df_option_set(own, table, "solver", solver) != DFAL_OK)
            return df_fail_prefix(DFAL_E_USAGE, "strategy %s: ", entry->name);
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

static dfal_status make_network_absolute(char *network)
{
    return !df_model_exists(network) && strpbrk(network, "/.") ? make_absolute(network) : DFAL_OK;
}

/* Where the last of two keys was set that do not fit together, for a message, and the error that this is. */
static dfal_status source_of(char source[DF_CONFIG_TEXT], const struct dfal_run_options *options,
                             const char *first, const char *second)
{
    for (int32_t i = options->set_count - 1; i >= 0; i--) {
        const size_t length = strcspn(options->set[i], "=");
        if ((length == strlen(first) && !strncmp(options->set[i], first, length)) ||
            (length == strlen(second) && !strncmp(options->set[i], second, length))) {
            snprintf(source, DF_CONFIG_TEXT, "`set` %.140s", options->set[i]);
            return DFAL_E_USAGE;
        }
    }
    snprintf(source, DF_CONFIG_TEXT, "%s", options->config_path ? options->config_path : "the configuration");
    return DFAL_E_CONFIG;
}

/* Keys that need each other. */
static dfal_status check_together(const struct df_run_config *config, const struct dfal_run_options *options)
{
    char source[DF_CONFIG_TEXT];
    dfal_status error = source_of(source, options, "transfer_every", "transfer");
    if (config->transfer_every && !config->transfer[0])
        DF_FAIL(error, "%s: transfer_every is %lld, expected `transfer`, the network it is about, beside it",
                source, (long long)config->transfer_every);
    error = source_of(source, options, "annotations", "initial");
    if (config->annotations < config->initial)
        DF_FAIL(error, "%s: annotations is %lld, expected at least initial, %lld", source,
                (long long)config->annotations, (long long)config->initial);
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
    DF_TRY(make_network_absolute(config->network));
    DF_TRY(make_network_absolute(config->transfer));
    const char *const texts[] = {config->train, config->test, config->network, config->transfer};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!df_text_is_utf8(texts[i])) /* the run could not read its own config.yaml back */
            DF_FAIL(DFAL_E_USAGE, "%s: the path is not UTF-8, which config.yaml is written in", texts[i]);
    if (flags && (flags->seed_given || flags->seed != 1))
        config->seed = flags->seed;
    df_run_config_settle(config);
    struct df_run_pair pairs[DF_MAX_PAIRS];
    int32_t pair_count;
    DF_TRY(df_run_primary(config, pairs, &pair_count));
    return check_together(config, options);
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
