/* SPDX-License-Identifier: Apache-2.0 */
/* CORE-SET, the choice of the smallest radius (Sener, Savarese 2018, arXiv:1708.00489, algorithm 2): robust
 * k-center by mixed integer programming.
 *
 * Math     b centres among the candidates so that all candidates but `outliers` lie within a radius of a
 *          labelled row or a centre, the radius as small as can be. It is one of their distances, and so
 *          found without a tolerance (coreset_search.h)
 * Bounds   the greedy radius of b centres, outliers left out, from above; from below half of how far the next
 *          of b + outliers greedy centres would be: one more of these than there are outliers and centres
 *          would have to share a centre. With outliers half of the greedy radius itself is no bound
 * Order    among the chosen: as coreset-greedy would choose from them alone, with its scores
 * Ties     the same model gives the same centres, and models follow from the features alone
 * Source   the covering form is program (6) without the assignment of rows to centres, which any open centre
 *          within the radius may have (docs/NUMERICS.md) */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "strategy/coreset_search.h"
#include "strategy/coreset_solver.h"
#include "strategy/coreset_swap.h"
#include "strategy/k_center.h"
#include "strategy/strategy.h"

struct coreset {
    struct df_view *view;
    int64_t q, outliers;
    struct df_k_center center;
    double *far; /* [n] from the labelled rows, as k_center.h has it */
    struct df_coreset_solver solver;
    struct df_cover cover;
    struct df_sener sener;
    struct df_coreset_search search;
    double greedy; /* squared radius */
    int64_t swaps;
    double begin;
};

static void close_all(struct coreset *coreset)
{
    df_sener_clear(&coreset->sener);
    df_cover_clear(&coreset->cover);
    df_k_center_end(&coreset->center);
    df_free(coreset->search.chosen);
    df_coreset_solver_close(&coreset->solver);
    df_free(coreset->far);
}

/* ---- bounds -------------------------------------------------------------------------------------------- */

static dfal_status measure_greedy(struct coreset *coreset)
{
    const int64_t n = coreset->center.among.from.h.count;
    double *squares;
    DF_TRY(df_alloc(&squares, n, sizeof *squares));
    memcpy(squares, coreset->center.nearest, (size_t)n * sizeof *squares);
    coreset->greedy = df_cover_largest(squares, n, coreset->outliers);
    df_free(squares);
    return DFAL_OK;
}

/* b greedy centres and their radius; then `outliers` more and the bound from below. */
static dfal_status choose_greedily(struct coreset *coreset)
{
    struct df_k_center *center = &coreset->center;
    struct df_coreset_search *search = &coreset->search;
    for (; search->count < coreset->q && center->next >= 0; search->count++) {
        search->chosen[search->count] = center->next;
        DF_TRY(df_k_center_pick(center));
    }
    DF_TRY(measure_greedy(coreset));
    for (int64_t k = 0; k < coreset->outliers && center->next >= 0; k++)
        DF_TRY(df_k_center_pick(center));
    /* A hair less: the triangle inequality holds for distances before they are rounded. */
    const double next = center->next >= 0 ? center->nearest[center->next] : 0;
    coreset->cover.low = next / 4 * (1 - 1e-9);
    coreset->cover.high = search->square = coreset->greedy;
    if (coreset->cover.low > coreset->cover.high)
        coreset->cover.low = coreset->cover.high;
    return DFAL_OK;
}

static dfal_status begin(struct coreset *coreset)
{
    struct df_k_center *center = &coreset->center;
    const int64_t n = df_view_count(coreset->view), outliers = df_view_integer(coreset->view, "outliers");
    coreset->outliers = outliers < n ? outliers : n;
    struct df_k_center_among among;
    DF_TRY(df_k_center_of_view(&among, coreset->view, df_view_text(coreset->view, "node")));
    DF_TRY(df_k_center_begin(center, &among, coreset->q + coreset->outliers));
    DF_TRY(df_alloc(&coreset->far, center->among.from.h.count, sizeof *coreset->far));
    memcpy(coreset->far, center->nearest, (size_t)center->among.from.h.count * sizeof *coreset->far);
    DF_TRY(df_alloc(&coreset->search.chosen, coreset->q, sizeof *coreset->search.chosen));
    coreset->cover = (struct df_cover){.view = coreset->view,
                                       .h = center->among.from.h,
                                       .labelled = center->among.before,
                                       .far = coreset->far,
                                       .budget = coreset->q,
                                       .outliers = coreset->outliers};
    return choose_greedily(coreset);
}

/* ---- the search ---------------------------------------------------------------------------------------- */

static bool asks_for(const struct coreset *coreset, const char *key, const char *value)
{
    return !strcmp(df_view_text(coreset->view, key), value);
}

static dfal_status find_solver(struct coreset *coreset)
{
    struct df_solver *solver = &coreset->solver.solver;
    DF_TRY(df_coreset_solver_open(&coreset->solver, df_view_context(coreset->view),
                                  df_view_text(coreset->view, "solver")));
    solver->nodes = df_view_integer(coreset->view, "nodes");
    solver->end = df_clock() + df_view_real(coreset->view, "seconds");
    return DFAL_OK;
}

static dfal_status search_all(struct coreset *coreset)
{
    struct df_coreset_search *search = &coreset->search;
    search->cover = &coreset->cover;
    search->solver = &coreset->solver.solver;
    if (asks_for(coreset, "program", "sener")) {
        DF_TRY(df_sener_make(&coreset->sener, &coreset->cover));
        search->sener = &coreset->sener;
    }
    DF_TRY(df_cover_make(&coreset->cover));
    DF_TRY(df_coreset_search(search));
    if (search->failure[0] && !coreset->solver.automatic)
        DF_FAIL(DFAL_E_UNAVAILABLE, "strategy coreset: %s", search->failure);
    return DFAL_OK;
}

/* ---- what comes of it ---------------------------------------------------------------------------------- */

/* Fewer centres may do: the others are the farthest ones. */
static dfal_status fill_up(struct coreset *coreset)
{
    struct df_k_center *center = &coreset->center;
    struct df_coreset_search *search = &coreset->search;
    DF_TRY(df_k_center_restart(center, coreset->far));
    for (int64_t k = 0; k < search->count; k++) {
        center->next = search->chosen[k];
        DF_TRY(df_k_center_pick(center));
    }
    for (; search->count < coreset->q && center->next >= 0; search->count++) {
        search->chosen[search->count] = center->next;
        DF_TRY(df_k_center_pick(center));
    }
    return df_cover_radius(&coreset->cover, search->chosen, search->count, &search->square);
}

static dfal_status put_in_order(struct coreset *coreset, struct df_choices *choices)
{
    struct df_k_center *center = &coreset->center;
    const struct df_coreset_search *search = &coreset->search;
    double *among;
    dfal_status status;
    DF_TRY(df_alloc(&among, center->among.from.h.count, sizeof *among));
    for (int64_t i = 0; i < center->among.from.h.count; i++)
        among[i] = -1;
    for (int64_t k = 0; k < search->count; k++)
        among[search->chosen[k]] = coreset->far[search->chosen[k]];
    DF_TRY_TO(done, status, df_k_center_restart(center, among));
    while (center->next >= 0) {
        choices->list[choices->count++] =
            (struct df_choice){.candidate = center->next, .score = sqrt(center->nearest[center->next])};
        DF_TRY_TO(done, status, df_k_center_pick(center));
    }
done:
    df_free(among);
    return status;
}

static const char *why_not_proven(const struct coreset *coreset)
{
    const char *reason = coreset->search.reason;
    return !coreset->solver.solver.program ? "there is no solver: greedy centres with 1-swap"
           : !strcmp(reason, "nodes")      ? "the limit of nodes was reached"
           : !strcmp(reason, "seconds")    ? "the time was over, so another run may choose others"
                                           : coreset->search.failure;
}

/* The event and the facts of the choice are the same. */
static dfal_status tell(const struct coreset *coreset, struct df_fields *facts)
{
    const struct df_coreset_search *search = &coreset->search;
    const bool proven = search->proven;
    const struct df_solver *solver = &coreset->solver.solver;
    const char *name = !solver->program ? "none" : search->solved ? solver->name : "not asked";
    const char *word = proven && search->word ? ", by the word of the solver" : "";
    const char *proof = !proven ? "" : search->word ? "solver" : "bound";
    const struct dfal_field fields[] = {DF_TEXT("program", df_view_text(coreset->view, "program")),
                                        DF_TEXT("solver", name),
                                        DF_REAL("radius", sqrt(search->square)),
                                        DF_TEXT("proven", proven ? "yes" : "no"),
                                        DF_TEXT("reason", proven ? "" : search->reason),
                                        DF_TEXT("proof", proof),
                                        DF_REAL("greedy_radius", sqrt(coreset->greedy)),
                                        DF_INT("outliers", coreset->outliers),
                                        DF_INT("labelled", coreset->center.among.before.count),
                                        DF_INT("checks", search->checks),
                                        DF_INT("models", search->solved),
                                        DF_INT("nodes", search->nodes),
                                        DF_INT("swaps", coreset->swaps),
                                        DF_REAL("seconds", df_clock() - coreset->begin)};
    const int32_t count = (int32_t)(sizeof fields / sizeof fields[0]);
    df_say(df_view_context(coreset->view), proven ? DFAL_INFO : DFAL_WARNING, "select.coreset", fields, count,
           "coreset: radius %g (greedy %g), %s%s, %lld checks, %lld by the solver%s", sqrt(search->square),
           sqrt(coreset->greedy), proven ? "proven" : "not proven: ", proven ? word : why_not_proven(coreset),
           (long long)search->checks, (long long)search->solved,
           coreset->center.among.before.count
               ? ""
               : "; no row is labelled, so centres alone cover the candidates");
    return df_fields_keep(facts, fields, count);
}

static dfal_status search_centres(struct coreset *coreset)
{
    struct df_coreset_search *search = &coreset->search;
    search->proven = coreset->cover.high <= coreset->cover.low;
    if (search->proven)
        return DFAL_OK;
    search->reason = "solver";
    if (coreset->solver.solver.program)
        DF_TRY(search_all(coreset));
    if (!search->proven)
        DF_TRY(
            df_cover_swap(&coreset->cover, search->chosen, search->count, &search->square, &coreset->swaps));
    return DFAL_OK;
}

static dfal_status choose(struct df_view *view, int64_t q, struct df_choices *choices)
{
    struct coreset coreset = {.view = view, .q = q, .begin = df_clock()};
    dfal_status status;
    choices->count = 0;
    DF_TRY_TO(done, status, find_solver(&coreset));
    DF_TRY_TO(done, status, begin(&coreset));
    choices->nonfinite = coreset.center.nonfinite;
    DF_TRY_TO(done, status, search_centres(&coreset));
    DF_TRY_TO(done, status, fill_up(&coreset));
    DF_TRY_TO(done, status, put_in_order(&coreset, choices));
    status = tell(&coreset, &choices->facts);
done:
    close_all(&coreset);
    return status;
}

static const struct df_strategy_option options[] = {
    DF_OPTION_NODE,
    {.key = "outliers",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I64, .low = 0, .high = 1e9},
     .standard = "0",
     .help = "candidates that may stay outside of the radius"},
    {.key = "program",
     .kind = DF_OPTION_CHOICE,
     .choices = "covering|sener",
     .standard = "covering",
     .help =
         "the integer program: sener is program (6) of the paper, for at most 1,000 rows; covering is for "
         "some thousands of candidates, more are refused where their pairs do not fit in memory"},
    {.key = "solver",
     .kind = DF_OPTION_COMMAND,
     .choices = "auto|cbc|none",
     .standard = "auto",
     .help = "auto: cbc where it is built in, else none; none: greedy centres made better one by one; a "
             "command: any solver that reads an MPS file"},
    {.key = "nodes",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I64, .low = 1, .high = 1e9},
     .standard = "10000",
     .help = "nodes of the solver's search tree a check, at most"},
    {.key = "seconds",
     .kind = DF_OPTION_NUMBER,
     .number = {.kind = DF_NUMBER_I64, .low = 1, .high = 1e6},
     .standard = "600",
     .help = "the solver's time in all, at most: a net below nodes, as what it ends cannot be repeated"},
    {0}};

static dfal_status name_solver(char name[DF_STRATEGY_SOLVER], struct dfal_context *context,
                               const struct df_option_values *values)
{
    return df_coreset_solver_name(name, DF_STRATEGY_SOLVER, context,
                                  df_option_text(values, options, "solver"));
}

const struct df_strategy df_strategy_coreset = {
    .name = "coreset",
    .summary = "centres that cover all candidates with the smallest radius, by integer programming",
    .asks = DF_ASKS_FEATURES,
    .set = true,
    .options = options,
    .solver = name_solver,
    .select = choose,
};
