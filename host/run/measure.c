/* SPDX-License-Identifier: Apache-2.0 */
#include "run/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compare.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "run/branch.h"
#include "run/side.h"

enum {
    TRAIN_ROWS = 1024, /* at most, that a training is timed with */
    FEW_ROWS = 64,     /* candidates of the first choice */
};
/* Seconds that are a measurement, and those after which nothing larger is tried. */
#define ENOUGH 0.25
#define PLENTY 2.0

struct measure {
    struct df_experiment part; /* the experiment as a branch sees it */
    struct dfal_context *context;
    struct df_branch branch;
    int64_t most;  /* rows that the timed training has, in branch.state */
    int64_t *rows; /* [eligible_count] in the order of the draw */
    int64_t *labelled, *candidates;
    int32_t *labels; /* [most] of labelled */
};

/* ---- training ------------------------------------------------------------------------------------------ */

/* The labelled rows of the last round of the strategy that has the most, as far as they are drawn here. */
static int64_t rows_of_training(const struct df_experiment *e)
{
    int64_t most = 0;
    for (int32_t s = 0; s < e->config.strategy_count; s++) {
        const struct df_run_cost none = {0};
        const struct df_run_forecast last = df_run_forecast_trial(&e->config, s, e->eligible_count, &none);
        most = last.labelled > most ? last.labelled : most;
    }
    const int64_t half = e->eligible_count / 2 > 1 ? e->eligible_count / 2 : 1;
    most = most < TRAIN_ROWS ? most : TRAIN_ROWS;
    return most < half ? most : half;
}

/* All restarts with the first `rows` rows; n: epochs, or steps where training counts in these. */
static dfal_status train(struct measure *m, int64_t rows, int64_t n, double *seconds)
{
    struct df_training_options *training = &m->part.config.training;
    const struct df_training_options asked = *training;
    const int64_t held = m->branch.state.count;
    struct df_training_result result;
    const double begin = df_clock();
    df_network_destroy(m->branch.network);
    m->branch.network = NULL;
    training->patience = 0;
    if (asked.steps > 0)
        training->steps = n;
    else
        training->epochs = (int32_t)n;
    m->branch.state.count = rows;
    dfal_status status = df_network_copy(&m->branch.network, m->part.graph);
    if (status == DFAL_OK)
        status = df_branch_fit(&m->branch, m->branch.network, 0, m->part.warm, &result);
    m->branch.state.count = held;
    *training = asked;
    *seconds = df_clock() - begin;
    return status;
}

/* As many epochs, or whole trainings, as make a measurement; seconds of all epochs of one. */
static dfal_status time_training(struct measure *m, int64_t rows, double *seconds)
{
    const struct df_training_options *asked = &m->part.config.training;
    const int64_t all = asked->steps > 0 ? asked->steps : asked->epochs;
    double sum = 0, one = 0;
    *seconds = 0;
    for (int64_t n = 1; n < all; n *= 4) {
        DF_TRY(train(m, rows, n, &one));
        *seconds = one * (double)all / (double)n;
        if (one >= ENOUGH)
            return DFAL_OK;
    }
    for (int count = 1; all > 0 && sum < ENOUGH; count++) {
        DF_TRY(train(m, rows, all, &one));
        sum += one;
        *seconds = sum / count;
    }
    return DFAL_OK;
}

/* A line through two measurements, of x rows and of fewer; through the origin where they tell no more. */
static void fit(double *fixed, double *each, int64_t few, double t_few, int64_t many, double t_many)
{
    *each = many > few ? (t_many - t_few) / (double)(many - few) : t_many / (double)many;
    *each = fmin(fmax(*each, 0), t_many / (double)many);
    *fixed = t_many - *each * (double)many;
}

static dfal_status measure_training(struct measure *m, struct df_run_cost *cost)
{
    const int64_t few = m->most / 4 > 2 ? m->most / 4 : m->most;
    double t_few, t_many;
    DF_TRY(time_training(m, few, &t_few)); /* first: what is made once, is made here */
    DF_TRY(time_training(m, few, &t_few));
    DF_TRY(time_training(m, m->most, &t_many));
    if (m->part.config.training.steps > 0)
        cost->train = t_many;
    else
        fit(&cost->train, &cost->train_row, few, t_few, m->most, t_many);
    return DFAL_OK;
}

/* ---- choosing ------------------------------------------------------------------------------------------ */

static dfal_status time_choice(const struct measure *m, int64_t rows, double *seconds)
{
    const struct df_experiment *e = &m->part;
    struct df_selection_options options;
    struct df_selection selection = {0};
    const int64_t count = e->config.query < FEW_ROWS ? e->config.query : FEW_ROWS;
    DF_TRY(df_branch_choice(&options, &m->branch, 1, count < rows ? count : rows));
    options.subsample = 0;
    options.labelled_rows = m->labelled;
    options.labelled_labels = m->labels;
    options.labelled_row_count = m->most;
    const double begin = df_clock();
    const dfal_status status = df_select(e->context, e->device, m->branch.network, e->train, m->candidates,
                                         rows, &options, &selection);
    *seconds = df_clock() - begin;
    df_selection_clear(&selection);
    return status;
}

/* The mean of as many choices as are a measurement. */
static dfal_status time_choices(const struct measure *m, int64_t rows, double *seconds)
{
    double sum = 0, one;
    int32_t count = 0;
    for (; sum < ENOUGH; count++, sum += one)
        DF_TRY(time_choice(m, rows, &one));
    *seconds = sum / count;
    return DFAL_OK;
}

/* Of few rows and of so many that they are a measurement by themselves. */
static dfal_status measure_choice(struct measure *m, double *fixed, double *each)
{
    const int64_t left = m->part.eligible_count - m->most, few = left < FEW_ROWS ? left : FEW_ROWS;
    double t_few, t_many;
    *fixed = *each = 0;
    if (few == 0)
        return DFAL_OK;
    DF_TRY(time_choice(m, few, &t_few)); /* what is made once, is made here */
    if (t_few < PLENTY)
        DF_TRY(time_choices(m, few, &t_few));
    t_many = t_few;
    int64_t many = few;
    while (t_many < ENOUGH && many < left) {
        many = 4 * many < left ? 4 * many : left;
        DF_TRY(time_choice(m, many, &t_many));
    }
    if (many > few && t_many < ENOUGH)
        DF_TRY(time_choices(m, many, &t_many));
    fit(fixed, each, few, t_few, many, t_many);
    return DFAL_OK;
}

/* One whose own work is next to nothing beside what it asks for. */
static const char *plain_strategy(int asks)
{
    return asks & DF_ASKS_MARGINS     ? "dfal"
           : asks & DF_ASKS_PASSES    ? "bald"
           : asks & DF_ASKS_GRADIENTS ? "egl"
                                      : "entropy";
}

/* Of a strategy that compares rows with each other only what it asks for is known: its own work does not grow
 * with the candidates alone. */
static bool compares(const struct df_strategy *strategy, int asks)
{
    return strategy->set || ((asks & DF_ASKS_FEATURES) && !(asks & DF_ASKS_LAST_LAYER));
}

static dfal_status measure_strategy(struct measure *m, int32_t s, struct df_run_measured *measured)
{
    const struct df_run_config *config = &m->part.config;
    struct df_run_cost *cost = &measured->cost[s];
    struct df_branch *branch = &m->branch;
    branch->strategy = df_run_strategy(config, s);
    branch->options = df_run_strategy_options(config, s);
    const int asks = df_strategy_asks(branch->strategy, &branch->options.own);
    const bool transfer = config->transfer[0];
    measured->missing[s] = transfer ? "training the network of transfer" : "";
    if (config->strategy[s].command.text[0]) {
        measured->missing[s] = "what the command takes";
        return DFAL_OK;
    }
    if (compares(branch->strategy, asks)) {
        measured->missing[s] = transfer
                                   ? "comparing candidates with each other, training the network of transfer"
                                   : "comparing candidates with each other";
        branch->options.own = (struct df_option_values){0};
        DF_TRY(df_strategy_find(&branch->strategy, plain_strategy(asks)));
    }
    DF_TRY(measure_choice(m, &cost->select, &cost->select_row));
    if (branch->options.twins && !(asks & DF_ASKS_MARGINS) && config->query > FEW_ROWS)
        cost->select *= (double)config->query / FEW_ROWS; /* most of it are the twins of the queries */
    return DFAL_OK;
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

/* Rows drawn as those of a trial: the first are labelled, the next are candidates. */
static dfal_status draw(struct measure *m)
{
    const struct df_experiment *e = &m->part;
    int32_t *labels = NULL;
    dfal_status status;
    m->most = rows_of_training(e);
    DF_TRY_TO(done, status, df_alloc(&m->rows, e->eligible_count, sizeof *m->rows));
    DF_TRY_TO(done, status, df_alloc(&m->labelled, m->most, sizeof *m->labelled));
    DF_TRY_TO(done, status, df_alloc(&m->labels, m->most, sizeof *m->labels));
    DF_TRY_TO(done, status, df_alloc(&labels, m->most, sizeof *labels));
    DF_TRY_TO(done, status,
              df_random_permutation(m->rows, e->eligible_count, e->config.seed, DF_STREAM_INITIAL, 0));
    for (int64_t i = 0; i < e->eligible_count; i++)
        m->rows[i] = e->eligible[m->rows[i]];
    m->candidates = m->rows + m->most;
    memcpy(m->labelled, m->rows, (size_t)m->most * sizeof *m->labelled);
    qsort(m->labelled, (size_t)m->most, sizeof *m->labelled, df_compare_integers);
    for (int64_t i = 0; i < m->most; i++) {
        m->labels[i] = e->train->labels[m->labelled[i]];
        labels[i] = e->train->labels[m->rows[i]];
    }
    m->branch.state.size = df_shape_size(e->train->shape);
    status = df_run_state_add_rows(&m->branch.state, e->train, m->rows, labels, m->most);
done:
    df_free(labels);
    return status;
}

static dfal_status measure_all(struct measure *m, struct df_run_measured *measured)
{
    const int32_t count = m->part.config.strategy_count;
    struct df_run_cost training = {0};
    double forward, forward_row;
    DF_TRY(draw(m));
    DF_TRY(measure_training(m, &training));
    DF_TRY(df_strategy_find(&m->branch.strategy, "entropy")); /* one forward of each row, as an evaluation */
    m->branch.options = df_run_strategy_options(&m->part.config, 0);
    m->branch.options.own = (struct df_option_values){0};
    m->branch.options.twins = 0;
    DF_TRY(measure_choice(m, &forward, &forward_row));
    for (int32_t s = 0; s < count; s++) {
        measured->cost[s] = training;
        measured->cost[s].test = forward + forward_row * (double)m->part.test->count;
        DF_TRY(df_context_check_stop(m->context));
        DF_TRY(measure_strategy(m, s, measured));
    }
    return DFAL_OK;
}

/* Side by side, as branches are: they share the machine's memory, and whatever else it does. */
struct team {
    struct measure *members;
    struct df_run_measured *measured; /* [workers] */
};

static dfal_status measure_one(void *arg, int64_t job, int32_t index)
{
    struct team *team = arg;
    (void)index;
    return measure_all(&team->members[job], &team->measured[job]);
}

static dfal_status open_member(struct measure *m, const struct df_experiment *experiment, int32_t index,
                               int32_t threads)
{
    m->branch.state.round = -1;
    DF_TRY(df_run_side_open(&m->part, &m->context, experiment, index, threads));
    m->branch.experiment = &m->part;
    m->branch.seed = experiment->config.seed;
    return DFAL_OK;
}

static void close_member(struct measure *m)
{
    df_run_state_clear(&m->branch.state);
    df_network_destroy(m->branch.network);
    dfal_context_destroy(m->context);
    df_free(m->rows);
    df_free(m->labelled);
    df_free(m->labels);
}

/* The mean of what they measured. */
static void join(struct df_run_measured *joined, const struct df_run_measured *measured, int32_t workers,
                 int32_t strategies)
{
    for (int32_t s = 0; s < strategies; s++) {
        struct df_run_cost *cost = &joined->cost[s];
        joined->missing[s] = measured[0].missing[s];
        for (int32_t w = 0; w < workers; w++) {
            const struct df_run_cost *one = &measured[w].cost[s];
            cost->train += one->train / workers;
            cost->train_row += one->train_row / workers;
            cost->select += one->select / workers;
            cost->select_row += one->select_row / workers;
            cost->test += one->test / workers;
        }
    }
}

dfal_status df_run_measure(struct df_run_measured *measured, const struct df_experiment *experiment,
                           int32_t workers)
{
    struct team team = {0};
    struct df_thread_pool *threads = NULL;
    const double begin = df_clock();
    dfal_status status;
    *measured = (struct df_run_measured){0};
    if (experiment->config.trainer.text[0])
        DF_FAIL(DFAL_E_USAGE, "trainer is '%.200s', expected none: how long a command takes is not known",
                experiment->config.trainer.text);
    DF_TRY_TO(done, status, df_alloc(&team.members, workers, sizeof *team.members));
    DF_TRY_TO(done, status, df_alloc(&team.measured, workers, sizeof *team.measured));
    for (int32_t w = 0; w < workers; w++)
        DF_TRY_TO(done, status,
                  open_member(&team.members[w], experiment, w,
                              df_run_side_threads(experiment->context->threads, workers, w)));
    DF_TRY_TO(done, status, df_thread_pool_create(&threads, workers));
    DF_TRY_TO(done, status, df_thread_pool_run(threads, measure_one, &team, workers));
    join(measured, team.measured, workers, experiment->config.strategy_count);
    measured->seconds = df_clock() - begin;
done:
    df_thread_pool_destroy(threads);
    for (int32_t w = 0; team.members && w < workers; w++)
        close_member(&team.members[w]);
    df_free(team.members);
    df_free(team.measured);
    return status;
}
