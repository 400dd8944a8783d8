/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_folder.h"

/* The paper's seconds stand beside its own programs; the Xeon E5-2670 v3 and GTX TITAN X of Table 3. */
static const struct bench_case own_cases[] = {
    {.name = "dfal", .strategy = "dfal", .grows = true, .paper_seconds = 126.54},
    {.name = "coreset-greedy", .strategy = "coreset-greedy", .grows = true},
    {.name = "coreset-swap", .strategy = "coreset", .option = "solver=none", .grows = true},
    {.name = "coreset", .strategy = "coreset", .grows = true},
    {.name = "coreset-own", .strategy = "coreset", .own_solver = true, .grows = true},
    {.name = "coreset-robust", .strategy = "coreset", .robust = true, .grows = true},
    {.name = "coreset-robust-own", .strategy = "coreset", .robust = true, .own_solver = true, .grows = true},
    {.name = "sener",
     .strategy = "coreset",
     .option = "program=sener",
     .limited = true,
     .grows = true,
     .paper_seconds = 784.99},
    {.name = "sener-own",
     .strategy = "coreset",
     .option = "program=sener",
     .limited = true,
     .own_solver = true,
     .grows = true,
     .paper_seconds = 784.99},
    {.name = "sener-robust",
     .strategy = "coreset",
     .option = "program=sener",
     .robust = true,
     .limited = true,
     .grows = true,
     .paper_seconds = 891.78},
    {.name = "sener-robust-own",
     .strategy = "coreset",
     .option = "program=sener",
     .robust = true,
     .limited = true,
     .own_solver = true,
     .grows = true,
     .paper_seconds = 891.78},
};

const char *bench_fact(const struct bench_row *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row->facts, key));
    return text != NULL ? text : "";
}

bool bench_row_cut(const struct bench_row *row)
{
    return strcmp(bench_fact(row, "reason"), "seconds") == 0;
}

const struct bench_row *bench_table_find(const struct bench_table *table, const char *name, int64_t labelled,
                                         int64_t candidates)
{
    for (int32_t i = 0; i < table->row_count; i++) {
        const struct bench_row *row = &table->rows[i];
        if (strcmp(row->of->name, name) == 0 && row->refusal == NULL && row->result.labelled == labelled &&
            row->result.candidates == candidates)
            return row;
    }
    return NULL;
}

/* ---- the cases ----------------------------------------------------------------------------------------- */

static bool is_case(const struct bench_table *table, const char *name)
{
    for (int32_t i = 0; i < table->case_count; i++)
        if (strcmp(table->cases[i].name, name) == 0)
            return true;
    return false;
}

static void add_case(struct bench_table *table, const struct bench_case *of)
{
    struct bench_case *grown =
        realloc(table->cases, (size_t)(table->case_count + 1) * sizeof *grown); /* a few dozen */
    table->failed |= grown == NULL;
    if (grown == NULL)
        return;
    table->cases = grown;
    table->cases[table->case_count++] = *of;
}

/* The name is the library's own and stays. Somebody else's command has no time of dfal's. */
static void add_strategy(void *table, const struct dfal_field *strategy)
{
    if (!is_case(table, strategy->key) && strcmp(strategy->key, "command") != 0)
        add_case(table, &(struct bench_case){.name = strategy->key, .strategy = strategy->key});
}

static void list_cases(struct bench_table *table)
{
    const bool all = strcmp(table->kind, "table3") == 0;
    for (int32_t i = 0; i < COUNT_OF(own_cases); i++)
        if ((all || strncmp(own_cases[i].name, "dfal", 4) != 0) &&
            (table->options.solver != NULL || !own_cases[i].own_solver))
            add_case(table, &own_cases[i]);
    if (all)
        dfal_strategies(add_strategy, table);
}

/* ---- one of them --------------------------------------------------------------------------------------- */

static void set_options(struct bench_row *row, const struct bench_table_options *options)
{
    int32_t count = 0;
    if (row->of->option != NULL)
        snprintf(row->options[count++], BENCH_OPTION, "%s", row->of->option);
    if (row->of->robust)
        snprintf(row->options[count++], BENCH_OPTION, "outliers=%lld", (long long)options->outliers);
    if (row->of->limited)
        snprintf(row->options[count++], BENCH_OPTION, "seconds=%lld", (long long)options->limit);
    if (row->of->own_solver)
        snprintf(row->options[count++], BENCH_OPTION, "solver=%s", options->solver);
}

static void add_fact(void *facts, const struct dfal_field *fact)
{
    json_object_set_new(facts, fact->key, field_json(fact));
}

static dfal_status measure(const struct bench_table *table, struct bench_row *row)
{
    const struct bench_table_options *options = &table->options;
    const char *own[BENCH_OPTIONS];
    struct dfal_select_options select;
    struct dfal_bench_select_options bench;
    dfal_select_options_init(&select);
    dfal_bench_select_options_init(&bench);
    for (size_t i = 0; i < BENCH_OPTIONS && row->options[i][0] != '\0'; i++) {
        own[i] = row->options[i];
        select.strategy_option_count = i + 1;
    }
    select.strategy_options = own;
    select.strategy = row->of->strategy;
    select.count = options->queries;
    select.score = options->score;
    bench.select = &select;
    bench.labelled = row->result.labelled;
    bench.candidates = row->result.candidates;
    bench.repeat = options->repeat;
    bench.seconds = (double)options->limit;
    return dfal_bench_select(table->session->context, &row->result, table->network, table->pool, &bench,
                             add_fact, row->facts);
}

/* What a strategy says that cannot do it with this network or at this size. All cases choose from the same
 * files: what fails with the first is no matter of the strategy, nor is a solver that is none. */
static bool is_refusal(const struct bench_table *table, const struct bench_case *of, dfal_status status)
{
    if (table->row_count == 1 || (of->own_solver && !table->solver_serves && status == DFAL_E_UNAVAILABLE))
        return false;
    return status == DFAL_E_DATA || status == DFAL_E_USAGE || status == DFAL_E_UNAVAILABLE ||
           status == DFAL_E_MEMORY;
}

static dfal_status add_row(struct bench_table *table, const struct bench_case *of, int64_t labelled,
                           int64_t candidates)
{
    struct bench_row *grown = realloc(table->rows, (size_t)(table->row_count + 1) * sizeof *grown);
    if (grown == NULL)
        return usage_error(DFAL_E_MEMORY, "out of memory");
    table->rows = grown;
    struct bench_row *row = &table->rows[table->row_count++];
    *row = (struct bench_row){.of = of, .facts = json_object(), .paper_seconds = of->paper_seconds};
    dfal_bench_select_result_init(&row->result);
    row->result.labelled = labelled;
    row->result.candidates = candidates;
    set_options(row, &table->options);
    const dfal_status status = measure(table, row);
    table->solver_serves |= of->own_solver && status == DFAL_OK;
    if (status == DFAL_OK || !is_refusal(table, of, status))
        return status;
    char sentence[SENTENCE_SIZE];
    row->refusal = strdup(with_options(sentence, dfal_last_error()));
    return row->refusal != NULL ? DFAL_OK : usage_error(DFAL_E_MEMORY, "out of memory");
}

/* The cases that grow, with one of the two numbers another. */
static dfal_status grow(struct bench_table *table, int64_t labelled, int64_t candidates)
{
    const int32_t base = table->row_count;
    dfal_status status = DFAL_OK;
    if (labelled == table->options.labelled && candidates == table->options.candidates)
        return DFAL_OK;
    for (int32_t i = 0; i < table->case_count && status == DFAL_OK; i++)
        if (table->cases[i].grows)
            status = add_row(table, &table->cases[i], labelled, candidates);
    for (int32_t i = base; i < table->row_count; i++)
        table->rows[i].paper_seconds = 0; /* the paper has one size */
    return status;
}

static dfal_status measure_all(struct bench_table *table)
{
    const int64_t labelled = table->options.labelled, candidates = table->options.candidates;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < table->case_count && status == DFAL_OK; i++)
        status = add_row(table, &table->cases[i], labelled, candidates);
    const int64_t more_labelled[] = {labelled / 10, 3 * labelled, 10 * labelled},
                  more_candidates[] = {10 * candidates, 75 * candidates};
    for (int32_t i = 0; i < COUNT_OF(more_labelled) && table->options.growth && status == DFAL_OK; i++)
        status = grow(table, more_labelled[i], candidates);
    for (int32_t i = 0; i < COUNT_OF(more_candidates) && table->options.growth && status == DFAL_OK; i++)
        status = grow(table, labelled, more_candidates[i]);
    return status;
}

/* ---- network and pool where none are given ------------------------------------------------------------- */

/* Digits for every size, and a network that has seen the labelled rows of the base size alone. */
static dfal_status draw(const struct bench_table *table)
{
    const struct bench_table_options *options = &table->options;
    struct dfal_synth_options synth;
    struct dfal_train_options train;
    dfal_synth_options_init(&synth);
    dfal_train_options_init(&train);
    synth.count = options->growth ? 10 * options->labelled + 75 * options->candidates
                                  : options->labelled + options->candidates;
    const dfal_status status = dfal_synth(table->session->context, table->pool, &synth);
    if (status != DFAL_OK)
        return status;
    train.subset = options->labelled;
    train.epochs = 100;
    train.patience = 5;
    train.restarts = 5;
    train.validation = 0.2;
    return dfal_train(table->session->context, NULL, table->network, "lenet5", table->pool, &train);
}

static void table_clear(struct bench_table *table)
{
    for (int32_t i = 0; i < table->row_count; i++) {
        json_decref(table->rows[i].facts);
        free(table->rows[i].refusal);
    }
    free(table->rows);
    free(table->cases);
}

static dfal_status check_solver(const char *solver)
{
    const size_t most = BENCH_OPTION - sizeof "solver=";
    if (solver != NULL && strlen(solver) > most)
        return usage_error(DFAL_E_USAGE, "--solver has %zu bytes, expected at most %zu", strlen(solver),
                           most);
    return DFAL_OK;
}

static dfal_status run_table(struct bench_table *table)
{
    dfal_status status = check_solver(table->options.solver);
    if (status != DFAL_OK)
        return status;
    list_cases(table);
    status = table->failed ? usage_error(DFAL_E_MEMORY, "out of memory") : DFAL_OK;
    if (status == DFAL_OK && table->drawn)
        status = draw(table);
    if (status == DFAL_OK)
        status = measure_all(table);
    if (status == DFAL_OK)
        status = bench_table_print(table);
    table_clear(table);
    return status;
}

dfal_status bench_table(struct session *session, const char *kind, const char *network, const char *pool,
                        const struct bench_table_options *options)
{
    struct bench_table table = {
        .session = session, .options = *options, .kind = kind, .network = network, .pool = pool};
    struct bench_folder folder;
    char made_network[BENCH_PATH], made_pool[BENCH_PATH];
    if (network != NULL)
        return run_table(&table);
    dfal_status status = bench_folder_make(&folder);
    if (status != DFAL_OK)
        return status;
    table.drawn = true;
    table.network = bench_folder_file(made_network, &folder, "lenet5.h5");
    table.pool = bench_folder_file(made_pool, &folder, "digits.h5");
    status = run_table(&table);
    bench_folder_remove(&folder);
    return status;
}
