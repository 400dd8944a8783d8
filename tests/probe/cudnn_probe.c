/* SPDX-License-Identifier: Apache-2.0 */
/* Which strict engine of cuDNN is the fastest for the convolutions of docs/PERFORMANCE.md, "cuDNN's engines"?
 *
 *   cudnn_probe SECONDS   time them on the first GPU, with all their knobs, and print the page's table
 *   cudnn_probe --list    without a GPU: an H200's engines, and the plans that would be timed
 *
 * What the heuristics give and what is preferred is always timed; the other plans share the rest of the time,
 * and what was left out is said. TFLOP/s count padding as work. Exit status 1 when a plan did not run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support_cudnn.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "cudnn_engines.h"
#include "cudnn_timer.h"

static const struct convolution {
    struct test_shape shape;
    int32_t rows;
} convolutions[] = {
    {{"vgg8", 64, 14, 128, 3, 1, 1, 1}, 1024},     {{"vgg8", 128, 7, 256, 3, 1, 1, 1}, 1024},
    {{"vgg8", 256, 7, 256, 3, 1, 1, 1}, 1024},     {{"vgg8", 256, 3, 512, 3, 1, 1, 1}, 1024},
    {{"vgg8", 512, 3, 512, 3, 1, 1, 1}, 1024},     {{"vgg8", 512, 3, 512, 3, 1, 1, 1}, 32},
    {{"resnet18", 64, 32, 64, 3, 1, 1, 1}, 256},   {{"resnet18", 128, 16, 128, 3, 1, 1, 1}, 1024},
    {{"resnet18", 256, 8, 256, 3, 1, 1, 1}, 1024}, {{"resnet18", 512, 4, 512, 3, 1, 1, 1}, 1024},
};

/* The three ways to run a convolution: the input gradient is its own op, or a forward over turned weights. */
enum way { FORWARD, GRADIENT, TURNED, WAYS };
enum { CONVOLUTIONS = sizeof convolutions / sizeof *convolutions };
static const char *const way_names[WAYS] = {"forward", "input gradient", "input gradient as a forward"};

/* A plan that takes more than so many times the best one's time is timed once. */
enum { SLOW = 4 };

/* Microseconds, 0: not timed, in `best` not every plan. */
struct times {
    double heuristics[WAYS], preferred[WAYS], best[WAYS];
};

struct probe {
    cudnnBackendDescriptor_t properties;
    struct timer *timer; /* NULL: plans are made and not run */
    double deadline;     /* of the convolution's way that is gone through */
    int64_t failed;
    struct times times[CONVOLUTIONS];
};

/* ---- A plan ---------------------------------------------------------------------------------- */

static double work(const struct convolution *c)
{
    const struct test_shape *s = &c->shape;
    return 2.0 * c->rows * s->c * s->o * s->h * s->h * s->kernel * s->kernel;
}

/* Time a plan and clear it. Returns microseconds; 0: it did not run. */
static double run(struct probe *probe, const struct convolution *c, struct df_cudnn_plan *plan,
                  const struct df_cudnn_problem *problem, const char *label, double most)
{
    double took = 0.0;
    printf("    %s%s", label, plan->text);
    if (probe->timer == NULL)
        printf("\n");
    else if (timer_run(&took, probe->timer, plan, problem, most) == DFAL_OK)
        printf(": %.1f us, %.1f TFLOP/s\n", took, work(c) / took * 1e-6);
    else {
        printf(": %s\n", dfal_last_error());
        probe->failed++;
        took = 0.0;
    }
    df_cudnn_plan_clear(plan);
    return took;
}

/* ---- A way ----------------------------------------------------------------------------------- */

static void print_engine(const struct engine *engine)
{
    printf("    engine %lld%s", (long long)engine->number, engine->strict ? " strict" : "");
    for (int i = 0; i < engine->knob_count; i++) {
        const struct df_cudnn_knob *k = &engine->knobs[i];
        printf("%s%d:[%lld..%lld]", i == 0 ? ", knobs " : " ", (int)k->type, (long long)k->min,
               (long long)k->max);
    }
    printf("\n");
}

/* All plans of an engine; *best is of all engines. False: the time was up before the last one. */
static bool run_engine(struct probe *probe, const struct convolution *c, const struct engine *engine,
                       const struct df_cudnn_problem *problem, double *best)
{
    struct df_cudnn_choice choice = engine_first(engine);
    do {
        struct df_cudnn_plan plan;
        if (probe->timer != NULL && df_clock() > probe->deadline)
            return false;
        /* Most values of knobs do not go together. */
        if (df_cudnn_plan_choose(&plan, probe->properties, problem, &choice) != DFAL_OK)
            continue;
        const double took = run(probe, c, &plan, problem, "", *best > 0.0 ? SLOW * *best : HUGE_VAL);
        *best = took > 0.0 && (*best == 0.0 || took < *best) ? took : *best;
    } while (engine_next(engine, &choice));
    return true;
}

static dfal_status run_engines(struct probe *probe, const struct convolution *c,
                               const struct df_cudnn_problem *problem, double *best)
{
    struct engine *engines = NULL;
    int64_t count = 0;
    bool in_time = true;
    dfal_status status;
    DF_TRY_TO(done, status, engines_read(&engines, &count, probe->properties, problem));
    for (int64_t i = 0; i < count; i++)
        print_engine(&engines[i]);
    for (int64_t i = 0; i < count && in_time; i++)
        if (engines[i].strict)
            in_time = run_engine(probe, c, &engines[i], problem, best);
    if (!in_time) {
        printf("    the time is up: not all plans were timed\n");
        *best = 0.0;
    }
done:
    df_free(engines);
    return status;
}

static dfal_status run_heuristics(struct probe *probe, const struct convolution *c,
                                  const struct df_cudnn_problem *problem, double *took)
{
    struct df_cudnn_plan plan;
    DF_TRY(df_cudnn_plan_search(&plan, probe->properties, problem, DF_CUDNN_LISTS));
    *took = run(probe, c, &plan, problem, "heuristics: ", HUGE_VAL);
    return DFAL_OK;
}

/* A turned gradient's plan has the tensors of the forward that it is. */
static dfal_status run_preferred(struct probe *probe, const struct convolution *c,
                                 const struct df_cudnn_problem *problem, double *took)
{
    struct df_cudnn_plan plan;
    struct df_cudnn_problem run_as = *problem;
    DF_TRY(df_cudnn_plan_create(&plan, probe->properties, problem->desc, problem->kind, c->rows));
    if (plan.turned)
        run_as.kind = DF_LAYER_FORWARD;
    *took = run(probe, c, &plan, &run_as, "preferred: ", HUGE_VAL);
    return DFAL_OK;
}

static dfal_status run_way(struct probe *probe, const struct convolution *c, enum way way,
                           struct times *times)
{
    const struct df_layer_desc own = test_convolution(&c->shape),
                               desc = way == TURNED ? df_cudnn_turned(&own) : own;
    const struct df_cudnn_problem problem = {.desc = &desc,
                                             .kind = way == GRADIENT ? DF_LAYER_BACKWARD : DF_LAYER_FORWARD,
                                             .bias = way == FORWARD,
                                             .rows = c->rows,
                                             .workspace = (int64_t)TIMER_WORKSPACE_MIB << 20};
    const struct test_shape *s = &c->shape;
    printf("%s %d to %d, %dx%d, %d rows, %s: %.2f GFLOP\n", s->network, s->c, s->o, s->h, s->h, c->rows,
           way_names[way], work(c) * 1e-9);
    DF_TRY(run_heuristics(probe, c, &problem, &times->heuristics[way]));
    if (way != TURNED)
        DF_TRY(run_preferred(probe, c, &problem, &times->preferred[way]));
    times->best[way] = times->heuristics[way];
    DF_TRY(run_engines(probe, c, &problem, &times->best[way]));
    return fflush(stdout) == 0 ? DFAL_OK : DFAL_E_IO;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static dfal_status run_all(struct probe *probe, double end)
{
    for (int i = 0; i < CONVOLUTIONS; i++)
        for (int way = 0; way < WAYS; way++) {
            const double now = df_clock();
            probe->deadline = now + (end - now) / (CONVOLUTIONS * WAYS - i * WAYS - way);
            DF_TRY(run_way(probe, &convolutions[i], (enum way)way, &probe->times[i]));
        }
    return DFAL_OK;
}

static void print_cell(const struct convolution *c, double microseconds)
{
    if (microseconds > 0.0)
        printf(" %.1f |", work(c) / microseconds * 1e-6);
    else
        printf(" |");
}

static void print_table(const struct probe *probe)
{
    printf("\n| convolution | forward | preferred | input gradient | preferred | fastest forward | fastest "
           "input gradient | the same as a forward |\n|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < CONVOLUTIONS; i++) {
        const struct convolution *c = &convolutions[i];
        const struct test_shape *s = &c->shape;
        const struct times *t = &probe->times[i];
        printf("| %s %d to %d, %dx%d, %d rows |", s->network, s->c, s->o, s->h, s->h, c->rows);
        for (int way = FORWARD; way <= GRADIENT; way++) {
            print_cell(c, t->heuristics[way]);
            print_cell(c, t->preferred[way]);
        }
        for (int way = 0; way < WAYS; way++)
            print_cell(c, t->best[way]);
        printf("\n");
    }
}

static int64_t most_values(void)
{
    int64_t most = 0;
    for (int i = 0; i < CONVOLUTIONS; i++) {
        const struct test_shape *s = &convolutions[i].shape;
        const int64_t channels = s->c > s->o ? s->c : s->o,
                      values = convolutions[i].rows * channels * s->h * s->h;
        most = values > most ? values : most;
    }
    return most;
}

/* The clocks rise under load: the first plan for a third of a second. */
static dfal_status warm_up(struct probe *probe)
{
    const struct df_layer_desc desc = test_convolution(&convolutions[0].shape);
    const struct df_cudnn_problem problem = {.desc = &desc, .kind = DF_LAYER_FORWARD, .bias = true};
    const double end = df_clock() + 0.3;
    struct df_cudnn_plan plan;
    double took;
    DF_TRY(df_cudnn_plan_create(&plan, probe->properties, &desc, DF_LAYER_FORWARD, convolutions[0].rows));
    dfal_status status = DFAL_OK;
    while (status == DFAL_OK && df_clock() < end)
        status = timer_run(&took, probe->timer, &plan, &problem, HUGE_VAL);
    df_cudnn_plan_clear(&plan);
    return status;
}

static dfal_status time_all(struct probe *probe, double end)
{
    DF_TRY(timer_open(probe->timer, most_values()));
    DF_TRY(df_cudnn_properties(&probe->properties, probe->timer->handle, NULL));
    DF_TRY(warm_up(probe));
    DF_TRY(run_all(probe, end));
    print_table(probe);
    return DFAL_OK;
}

static dfal_status list_all(struct probe *probe)
{
    DF_TRY(df_cudnn_properties(&probe->properties, NULL, test_gpus[TEST_SM_90].json));
    return run_all(probe, 0.0);
}

int main(int argc, char **argv)
{
    struct timer timer = {0};
    struct probe probe = {0};
    const double start = df_clock();
    const char *word = argc == 2 ? argv[1] : "";
    char *end = NULL;
    const bool lists = strcmp(word, "--list") == 0;
    const double seconds = df_parse_real(word, &end);
    if (!lists && (*end != '\0' || !(seconds > 0.0))) {
        (void)fprintf(stderr, "usage: cudnn_probe SECONDS | --list\n");
        return 64;
    }
    probe.timer = lists ? NULL : &timer;
    printf("cuDNN %zu\n", cudnnGetVersion());
    const dfal_status status = lists ? list_all(&probe) : time_all(&probe, start + seconds);
    if (status != DFAL_OK)
        (void)fprintf(stderr, "cudnn_probe: %s\n", dfal_last_error());
    df_cudnn_drop(probe.properties);
    timer_close(&timer);
    return status == DFAL_OK && probe.failed == 0 ? 0 : 1;
}
