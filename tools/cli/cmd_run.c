/* SPDX-License-Identifier: Apache-2.0 */
/* dfal run: a whole experiment with a simulated oracle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "estimate_table.h"
#include "run_table.h"

struct run_args {
    struct dfal_run_options run;
    const char *out;
    bool estimate;
};

static void init(void *user)
{
    struct run_args *args = user;
    dfal_run_options_init(&args->run);
}

/* Does the terminal's locale know UTF-8? The first of the three that is set decides. */
static bool speaks_utf8(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int32_t i = 0; i < COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

static dfal_status print_curve(struct session *session, const char *folder)
{
    enum { WIDTH = 78 };
    char *text = NULL;
    dfal_status status = dfal_run_curve(session->context, &text, folder, WIDTH, !speaks_utf8());
    if (status == DFAL_OK)
        printf("\n%s", text);
    dfal_string_free(text);
    return status;
}

static dfal_status print_configuration(struct session *session, const struct run_args *args)
{
    char *yaml = NULL;
    dfal_status status = dfal_run_print_config(session->context, &yaml, &args->run);
    if (status == DFAL_OK)
        fputs(yaml, stdout);
    dfal_string_free(yaml);
    return status;
}

/* Where the configuration comes from. */
static dfal_status take_configuration(struct run_args *args, const struct session *session,
                                      const char *const *operands, int32_t count)
{
    args->run.config_path = session->config;
    if (count > 0 && session->config != NULL)
        return usage_error(DFAL_E_USAGE, "the configuration is given twice: %s and --config %s", operands[0],
                           session->config);
    if (count > 0)
        args->run.config_path = operands[0];
    args->run.set = session->set.items;
    args->run.set_count = session->set.count;
    if (args->run.config_path == NULL && args->run.preset == NULL)
        return usage_error(DFAL_E_USAGE, "run needs CONFIG.yaml or --preset NAME");
    return DFAL_OK;
}

/* What the configuration says is known before the job begins; its pools may not be here yet. */
static dfal_status check(struct session *session, void *user, const char *const *operands, int32_t count,
                         int32_t parts)
{
    struct run_args *args = user;
    char *yaml = NULL;
    int trials = 0;
    dfal_status status = take_configuration(args, session, operands, count);
    if (status == DFAL_OK)
        status = dfal_run_print_config(session->context, &yaml, &args->run);
    const char *line = yaml != NULL ? strstr(yaml, "\ntrials: ") : NULL;
    if (status == DFAL_OK && parts > 0 && line != NULL && sscanf(line, "\ntrials: %d", &trials) == 1 &&
        trials < parts)
        status = usage_error(DFAL_E_USAGE,
                             "--array is %d, but the experiment has %d trials, expected at most as many",
                             parts, trials);
    dfal_string_free(yaml);
    return status;
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct run_args *args = user;
    dfal_status status = take_configuration(args, session, operands, count);
    if (status != DFAL_OK)
        return status;
    if (session->print_config && session->json)
        return usage_error(DFAL_E_USAGE, "--print-config prints YAML, expected it without --json");
    if (session->print_config)
        return print_configuration(session, args);
    if (args->estimate)
        return run_estimate(session, &args->run);
    struct run_table table = {0};
    json_t *rows = session->json ? json_array() : NULL;
    status =
        dfal_run(session->context, args->out, &args->run, session->json ? run_table_add : run_table_print,
                 session->json ? (void *)rows : (void *)&table);
    if (status != DFAL_OK || !is_speaker(session)) {
        json_decref(rows);
        return status;
    }
    status = session->json ? print_json(rows) : print_curve(session, args->out);
    if (args->run.part_count > 0)
        session_note(session, "part %d of %d; next, once all are there: dfal merge DIR... -o RUN",
                     args->run.part + 1, args->run.part_count);
    else
        session_note(session, "report: %s/report.html", args->out);
    return status;
}

/* ---- what a configuration may say ---------------------------------------------------------------------- */

static void print_key(void *user, const struct dfal_run_key *key)
{
    char help[SENTENCE_SIZE];
    (void)user;
    printf("  %-22s  %s\n  %-22s  %s", key->path, with_options(help, key->help), "", key->expected);
    printf(key->standard[0] != '\0' ? "; default %s\n" : "\n", key->standard);
}

static void print_key_row(void *user, const struct dfal_run_key *key)
{
    char help[SENTENCE_SIZE];
    (void)user;
    printf("| `%s` | ", key->path);
    print_cell(with_options(help, key->help));
    printf(" | ");
    print_cell(key->expected);
    printf(" | %s%s%s |\n", key->standard[0] != '\0' ? "`" : "", key->standard,
           key->standard[0] != '\0' ? "`" : "");
}

static void print_preset(void *user, const struct dfal_field *preset)
{
    printf(*(const bool *)user ? "| `%s` | %s |\n" : "  %-22s  %s\n", preset->key, preset->text);
}

static void print_more(bool markdown)
{
    if (markdown) {
        printf("Presets:\n\n| `--preset` | is |\n|---|---|\n");
        dfal_presets(print_preset, &markdown);
        printf("\nKeys of CONFIG.yaml and of `--set` (`*` stands for a strategy's name; dots are levels in "
               "YAML):\n\n"
               "| key | says | takes | default |\n|---|---|---|---|\n");
        dfal_run_keys(print_key_row, NULL);
        return;
    }
    printf("Presets:\n");
    dfal_presets(print_preset, &markdown);
    printf("\nKeys of CONFIG.yaml and of --set (* stands for a strategy's name; dots are levels in YAML):\n");
    dfal_run_keys(print_key, NULL);
}

#define S struct run_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "DIR", "the run directory", .required = true,
        .unless = "print-config, estimate"),
    OPT(S, "estimate", 0, VALUE_FLAG, estimate, NULL,
        "time trainings and choices on samples, print how long the experiment takes, and stop"),
    OPT(S, "preset", 0, VALUE_TEXT, run.preset, "NAME", "a configuration by name"),
    OPT(S, "train", 0, VALUE_TEXT, run.train_path, "POOL", "the pool to label from", .reads = true),
    OPT(S, "test", 0, VALUE_TEXT, run.test_path, "POOL", "the pool accuracy is measured on", .reads = true),
    OPT(S, "resume", 0, VALUE_FLAG, run.resume, NULL, "demand that there is something to resume"),
    OPT(S, "trial", 0, VALUE_SHARD, run.part, "K/N",
        "only the trials K, K + N, K + 2 N, ...: one of N parts, which dfal merge joins"),
    OPT(S, "feed", 0, VALUE_CHOICE, run.feed, DFAL_FEEDS,
        "who reads the rows that stay on the ranks' GPUs: each its own, or one rank of each host, which "
        "sends "
        "them by NCCL (default own)"),
    OPT(S, "trainer", 0, VALUE_TEXT, run.trainer, "CMD",
        "train by this command instead of dfal, words as a shell reads them, without a shell"),
    OPT(S, "strategy-command", 0, VALUE_TEXT, run.strategy_command, "CMD",
        "compare this command, too: the strategy `command`, words as a shell reads them, without a shell"),
    OPT(S, "solver", 0, VALUE_TEXT, run.solver, "CMD",
        "solve coreset's integer programs by this command, or auto, cbc or none"),
    OPT(S, "allow-command", 0, VALUE_FLAG, run.allow_command, NULL,
        "let the configuration file name commands: the trainer, strategies, solvers"),
};

const struct command command_run = {
    .name = "run",
    .operands = "[CONFIG.yaml]",
    .summary = "Run a whole experiment with a simulated oracle",
    .text =
        "The configuration comes from CONFIG.yaml or --config, or from --preset; --set KEY.PATH=VALUE "
        "beats the file,\n"
        "an option of its own beats --set. Ends with a table: accuracy in the last round, mean and "
        "standard error\n"
        "over the trials, and the difference to random, paired by trial, with the p of the paired t test "
        "before and\n"
        "after Holm's correction over all strategies. --json is a list of objects with the keys strategy, "
        "annotations,\n"
        "labelled, trials, accuracy, accuracy_stderr, best, difference, difference_stderr, significant, "
        "p_value, p_holm,\n"
        "steps (of the optimiser, in the last round), area (under the curve of accuracy over annotations, by "
        "their span),\n"
        "area_stderr, area_difference, area_difference_stderr, area_p_value, area_p_holm. What one trial, or "
        "differences without variance, "
        "cannot tell is\n"
        "null. dfal status DIR prints the table again. Killed at any moment, the same line continues.\n"
        "--trial K/N: N lines, each with a directory of its own, run an experiment in parts, on as many "
        "machines as\n"
        "one likes and with the bits of the whole; a part compares nothing and has no report.html. dfal "
        "merge DIR... -o RUN\n"
        "joins them.\n"
        "--estimate: a line a strategy with the seconds of all its trials by the work of one branch, then "
        "the "
        "whole by the\n"
        "clock, in device-hours and memory; a trainer is refused, and what cannot be told is named. --json: "
        "{branches,\n"
        "beside, seconds, device_seconds, memory_bytes, upper_bound, timed_seconds, strategies: [{strategy, "
        "trials, rounds,\n"
        "labelled, train_seconds, select_seconds, test_seconds, seconds, missing}]}; upper_bound: early "
        "stopping may end\n"
        "trainings before.\n"
        "--trainer: each round is trained by CMD --pool P --labels L.csv [--twins T.h5] [--init PREV] "
        "--out NET.onnx\n"
        "--seed S --round R (docs/FORMATS.md, \"Trainer\"; examples/trainer_torch.py). Exit code 75 "
        "stops the run, and\n"
        "the same line resumes it. --strategy-command: each round's queries are the ids that CMD "
        "--candidates "
        "FILE.h5\n"
        "--count Q --seed S --round R --out IDS.csv names (\"Strategy command\"; "
        "examples/strategy_numpy.py); "
        "in CONFIG.yaml\n"
        "an entry {name: NAME, command: CMD} of strategies. --solver: docs/FORMATS.md, \"Solver\".",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 0,
    .most = 1,
    .ranks = true,
    .size = sizeof(S),
    .init = init,
    .run = run,
    .check = check,
    .more = print_more,
};
