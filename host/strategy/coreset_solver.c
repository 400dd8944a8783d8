/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/coreset_solver.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "strategy/coreset_model.h"

static dfal_status open_own(struct df_coreset_solver *solver, bool needed)
{
    DF_TRY(df_solver_find(&solver->own));
    solver->solver.program = solver->own;
    if (needed && !solver->own)
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "solver cbc is not in this build (dfal-cbc is built where coinor-libcbc-dev is installed), "
                "expected solver=auto, none or a command");
    return DFAL_OK;
}

dfal_status df_coreset_solver_open(struct df_coreset_solver *solver, struct dfal_context *context,
                                   const char *text)
{
    *solver = (struct df_coreset_solver){.solver = {.context = context}, .automatic = !strcmp(text, "auto")};
    if (!strcmp(text, "none"))
        return DFAL_OK;
    if (solver->automatic || !strcmp(text, "cbc"))
        return open_own(solver, !solver->automatic);
    DF_TRY(df_solver_split(&solver->words, text, DFAL_E_USAGE));
    solver->solver.command = &solver->words;
    solver->solver.program = solver->words.word[0];
    return DFAL_OK;
}

void df_coreset_solver_close(struct df_coreset_solver *solver)
{
    df_solver_close(&solver->solver);
    df_words_clear(&solver->words);
    df_free(solver->own);
    *solver = (struct df_coreset_solver){0};
}

/* Three rows in a ring, each column covers two of them: any two columns do. A solver that takes a model for
 * something else, or calls each of them infeasible, would make a proof of nothing. */
static dfal_status try(struct df_solver *solver)
{
    static const int64_t reach[] = {2, 2, 2}, column[] = {0, 1, 2}, begin[] = {0, 2, 4, 6},
                         entry[] = {0, 1, 1, 2, 0, 2};
    const struct df_cover_stage ring = {.budget = 2,
                                        .row_count = 3,
                                        .reach = (int64_t *)reach,
                                        .column_count = 3,
                                        .column = (int64_t *)column,
                                        .begin = (int64_t *)begin,
                                        .entry = (int64_t *)entry};
    enum { PATIENCE_SECONDS = 60, ENOUGH_NODES = 1000 };
    struct df_solver_answer answer = {0};
    solver->nodes = ENOUGH_NODES;
    solver->end = df_clock() + PATIENCE_SECONDS;
    dfal_status status = df_solver_run(solver, df_cover_write, &ring, ring.column_count, &answer);
    if (status == DFAL_OK && answer.outcome == DF_SOLVER_FAILED)
        status = df_fail(DFAL_E_UNAVAILABLE, "%s", answer.reason);
    else if (status == DFAL_OK && answer.count != 2)
        status =
            df_fail(DFAL_E_UNAVAILABLE,
                    "the solver %.200s does not solve a model of three columns: %s, expected two columns "
                    "that are 1",
                    solver->program,
                    answer.outcome == DF_SOLVER_INFEASIBLE ? "it calls it infeasible"
                    : answer.outcome == DF_SOLVER_FEASIBLE ? "it chooses others"
                                                           : "it reaches a limit");
    df_solver_answer_clear(&answer);
    return status;
}

dfal_status df_coreset_solver_name(char *name, size_t size, struct dfal_context *context, const char *text)
{
    struct df_coreset_solver solver;
    dfal_status status;
    snprintf(name, size, "%s", "none");
    DF_TRY_TO(done, status, df_coreset_solver_open(&solver, context, text));
    if (!solver.solver.program)
        goto done;
    status = try(&solver.solver);
    if (status == DFAL_E_UNAVAILABLE && solver.automatic)
        status = DFAL_OK; /* the selection says that it fails */
    snprintf(name, size, "%s", solver.solver.name[0] ? solver.solver.name : "one that fails");
done:
    df_coreset_solver_close(&solver);
    return status;
}
