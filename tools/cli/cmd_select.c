/* SPDX-License-Identifier: Apache-2.0 */
/* dfal select: the next queries. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "print.h"

struct select_args {
    struct dfal_select_options select;
    struct dfal_score_options score;
    struct pool_args pool;
    struct text_list options;
    const char *out;
};

static void init(void *user)
{
    struct select_args *args = user;
    dfal_select_options_init(&args->select);
    dfal_score_options_init(&args->score);
}

static void add_json(void *user, const struct dfal_query *query)
{
    json_array_append_new(
        user, OBJECT(MEMBER(query, rank), MEMBER(query, id), MEMBER(query, index), MEMBER(query, score),
                     MEMBER(query, strategy), MEMBER(query, predicted), MEMBER(query, confidence),
                     MEMBER(query, label), MEMBER(query, adversarial_class), MEMBER(query, predicted_name),
                     MEMBER(query, label_name), MEMBER(query, adversarial_name), "facts",
                     fields_json(query->facts, query->fact_count)));
}

/* People read a class by its name. */
static const char *class_word(char line[ONE_LINE], const char *name, int32_t class)
{
    if (name != NULL)
        return one_line(line, name);
    snprintf(line, ONE_LINE, "%d", class);
    return line;
}

/* The rows of the table on a terminal: all of them are in the file. */
enum { SHOWN = 20 };

/* What the strategy or the network does not tell is a dash. */
static const char *number_word(char text[32], const char *format, double value)
{
    snprintf(text, 32, isnan(value) ? "-" : format, value);
    return text;
}

static void print_row(void *user, const struct dfal_query *query)
{
    int64_t *count = user;
    char id[ONE_LINE], words[3][ONE_LINE], numbers[2][32];
    if (++*count > SHOWN)
        return;
    if (*count == 1)
        printf("%6s  %-24s %10s %14s %10s %10s %6s %17s\n", "rank", "id", "index", "score", "predicted",
               "confidence", "label", "adversarial_class");
    printf("%6" PRId64 "  %-24s %10" PRId64 " %14s %10s %10s %6s %17s\n", query->rank,
           one_line(id, query->id), query->index, number_word(numbers[0], "%.7g", query->score),
           class_word(words[0], query->predicted_name, query->predicted),
           number_word(numbers[1], "%.4f", query->confidence),
           class_word(words[1], query->label_name, query->label),
           class_word(words[2], query->adversarial_name, query->adversarial_class));
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct select_args *args = user;
    (void)count;
    args->score.pool = pool_args_options(&args->pool);
    args->select.score = &args->score;
    args->select.strategy_options = args->options.items;
    args->select.strategy_option_count = (size_t)args->options.count;
    int64_t printed = 0;
    json_t *rows = session->json ? json_array() : NULL;
    dfal_status status =
        dfal_select(session->context, args->out, operands[0], operands[1], &args->select,
                    session->json ? add_json : print_row, session->json ? (void *)rows : (void *)&printed);
    if (status != DFAL_OK) {
        json_decref(rows);
        return status;
    }
    if (!is_speaker(session)) {
        json_decref(rows);
        return DFAL_OK;
    }
    if (session->json)
        return print_json(rows);
    if (printed > SHOWN)
        printf("%" PRId64 " more in %s\n", printed - SHOWN, args->out);
    return DFAL_OK;
}

/* ---- strategies and their options --------------------------------------------------------------------- */

static void print_strategy(void *user, const struct dfal_field *strategy)
{
    printf(*(const bool *)user ? "| `%s` | %s |\n" : "  %-18s  %s\n", strategy->key, strategy->text);
}

/* Keys of `run` that are one strategy's own: options.NAME.KEY. */
static const char *own_option(const struct dfal_run_key *key)
{
    static const char options[] = "options.";
    const size_t length = sizeof(options) - 1;
    return strncmp(key->path, options, length) == 0 && key->path[length] != '*' ? key->path + length : NULL;
}

static void print_option(void *user, const struct dfal_run_key *key)
{
    const bool markdown = *(const bool *)user;
    const char *own = own_option(key);
    if (own == NULL)
        return;
    const char *name = strchr(own, '.') + 1, *standard = key->standard[0] != '\0' ? key->standard : NULL;
    if (!markdown) {
        printf("  %.*s: %s\n  %-18s  %s; %s", (int)(name - own - 1), own, name, "", key->help, key->expected);
        printf(standard != NULL ? "; default %s\n" : "\n", standard);
        return;
    }
    printf("| `%.*s` | `%s` | ", (int)(name - own - 1), own, name);
    print_cell(key->help);
    printf(" | ");
    print_cell(key->expected);
    printf(" | %s%s%s |\n", standard != NULL ? "`" : "", standard != NULL ? standard : "",
           standard != NULL ? "`" : "");
}

static void print_more(bool markdown)
{
    printf(markdown ? "Strategies:\n\n| `--strategy` | chooses |\n|---|---|\n" : "Strategies:\n");
    dfal_strategies(print_strategy, &markdown);
    printf(markdown ? "\nTheir options:\n\n| `--strategy` | `--option` | says | takes | default |\n"
                      "|---|---|---|---|---|\n"
                    : "\nTheir options (--option KEY=VALUE):\n");
    dfal_run_keys(print_option, &markdown);
}

#define S struct select_args
static const struct option options[] = {
    OPT(S, "strategy", 0, VALUE_TEXT, select.strategy, "NAME", "how to choose, see below", .required = true,
        .unless = "strategy-command"),
    OPT(S, "strategy-command", 0, VALUE_TEXT, select.strategy_command, "CMD",
        "let this command choose, words as a shell reads them, without a shell"),
    OPT(S, "option", 0, VALUE_LIST, options, "KEY=VALUE",
        "an option of the strategy, see below (repeatable)"),
    OPT(S, "solver", 0, VALUE_TEXT, select.solver, "CMD",
        "solve coreset's integer programs by this command, or auto, cbc or none; as --option solver=CMD"),
    OPT(S, "count", 0, VALUE_NUMBER, select.count, "Q", "how many", NUMBER(I64, 1, NO_LIMIT),
        .required = true),
    OPT(S, "output", 'o', VALUE_TEXT, out, "QUERIES.csv", "the table to write", .required = true),
    OPT(S, "scores", 0, VALUE_TEXT, select.scores_path, "SCORES.h5",
        "take margins and logit gaps from here (default: compute them)", .reads = true),
    OPT(S, "logits", 0, VALUE_TEXT, select.logits_path, "LOGITS.h5",
        "take the logits from here, as `dfal logits` writes them (default: compute them)", .reads = true),
    OPT(S, "trust-rows", 0, VALUE_FLAG, select.trust_rows, NULL,
        "do not read the pool to see that scores and logits are those of its rows"),
    OPT(S, "subsample", 0, VALUE_NUMBER, select.subsample, "M|all",
        "candidates, drawn by --seed and by which rows are labelled (default all)",
        NUMBER(I64, 1, NO_LIMIT, .or_all = true)),
    OPT(S, "twins", 0, VALUE_TEXT, select.twins_path, "TWINS.h5",
        "also write the adversarial twins of the queries, for training elsewhere"),
    OPT(S, "pseudo-labels", 0, VALUE_TEXT, select.pseudo_labels_path, "LABELS.csv",
        "also write the labels that ceal and dfal+ceal give themselves, as a label file"),
    OPT(S, "sheet", 0, VALUE_TEXT, select.sheet_path, "SHEET.html|png",
        "also draw the queries, with twins and difference where the strategy or --twins makes them"),
    DEEPFOOL_OPTIONS(S, score),
    BATCH_OPTION(S, score),
    OPT(S, "cascade", 0, VALUE_FLAG, score.cascade, NULL,
        "DeepFool on the 5 Q that a forward takes for the closest, and on a random hundredth of the others, "
        "from "
        "which the recall is estimated; of strategies that ask for margins (default: the Q closest are "
        "proven)"),
    POOL_OPTIONS(S, pool),
};

const struct command command_select = {
    .name = "select",
    .operands = "NET POOL",
    .summary = "Choose the next samples to label",
    .text =
        "Labelled, skipped and non-finite samples are left out; near-duplicates among the chosen are "
        "reported.\n"
        "A pool that knows every label counts as its own oracle: then only the rows of --labels are left "
        "out.\n"
        "dfal takes the smallest DeepFool margins, entropy and least-confidence the largest of their kind,\n"
        "margin and logit-gap the smallest difference of the two largest probabilities, or logits. On a\n"
        "finished scores file dfal and logit-gap need no pass over the pool; the others take --logits.\n"
        "QUERIES.csv has the columns rank, id, index, score, strategy, predicted, confidence, label,\n"
        "adversarial_class and the names of the three classes, predicted_name, label_name, "
        "adversarial_name,\n"
        "empty where pool and network have none; --json is a list of objects with these keys and `facts`: "
        "what\n"
        "the strategy knows of all the chosen together (of coreset the event select.coreset), else null. "
        "The\n"
        "table on stdout ends behind 20 rows.\n"
        "--strategy-command: the queries are the ids that CMD --candidates FILE.h5 --count Q --seed S "
        "--round R\n"
        "--out IDS.csv names (docs/FORMATS.md, \"Strategy command\"; examples/strategy_numpy.py). Exit code "
        "75 ends\n"
        "with 75, and the same line calls it again.",
    .options = options,
    .option_count = COUNT_OF(options),
    .more = print_more,
    .least = 2,
    .most = 2,
    .ranks = true,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
