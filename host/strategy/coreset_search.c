/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/coreset_search.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"

/* A radius that may be the smallest, by its place among them: the first that is not smaller. */
static int64_t place_of(const struct df_cover *cover, double square)
{
    int64_t low = 0, high = cover->value_count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (cover->value[middle] < square)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A solver's centres are looked at, whatever it says of them. */
static dfal_status take_centres(struct df_coreset_search *search, const int64_t *chosen, int64_t count,
                                double allowed, bool *holds)
{
    double square = 0;
    *holds = count <= search->cover->budget;
    if (*holds)
        DF_TRY(df_cover_radius(search->cover, chosen, count, &square));
    *holds = *holds && square <= allowed;
    if (!*holds || square > search->square)
        return DFAL_OK;
    memcpy(search->chosen, chosen, (size_t)count * sizeof *chosen);
    search->count = count;
    search->square = square;
    return DFAL_OK;
}

static void note_open(struct df_coreset_search *search, const struct df_solver_answer *answer)
{
    search->reason = answer->outcome == DF_SOLVER_NODES     ? "nodes"
                     : answer->outcome == DF_SOLVER_SECONDS ? "seconds"
                                                            : "failed";
    if (answer->outcome == DF_SOLVER_FAILED)
        memcpy(search->failure, answer->reason, sizeof search->failure);
}

static void fail(struct df_coreset_search *search, const char *format, ...) DFAL_PRINTF(2, 3);
static void fail(struct df_coreset_search *search, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_vprint(search->failure, sizeof search->failure, format, arguments);
    va_end(arguments);
    search->reason = "failed";
}

/* column NULL: the solver's numbers are candidates. Centres that hold are an answer whatever is said of them;
 * what is said is one where they do not. */
static dfal_status ask_solver(struct df_coreset_search *search, df_solver_model_fn *write, const void *model,
                              const int64_t *column, int64_t columns, double square, enum df_verdict *verdict)
{
    struct df_solver_answer answer = {0};
    dfal_status status;
    bool holds = false;
    search->solved += df_clock() < search->solver->end; /* behind that it is not run */
    DF_TRY_TO(done, status, df_solver_run(search->solver, write, model, columns, &answer));
    search->nodes += answer.nodes;
    for (int64_t k = 0; column && k < answer.count; k++)
        answer.chosen[k] = column[answer.chosen[k]];
    if (answer.count || answer.outcome == DF_SOLVER_FEASIBLE)
        DF_TRY_TO(done, status, take_centres(search, answer.chosen, answer.count, square, &holds));
    *verdict = holds ? DF_FEASIBLE : answer.outcome == DF_SOLVER_INFEASIBLE ? DF_INFEASIBLE : DF_UNDECIDED;
    search->held = search->held || holds;
    search->word = *verdict == DF_INFEASIBLE;
    if (*verdict == DF_UNDECIDED && answer.outcome == DF_SOLVER_FEASIBLE)
        fail(search,
             "the solver %.120s calls a model feasible with %lld centres that are no cover by at most %lld",
             search->solver->program, (long long)answer.count, (long long)search->cover->budget);
    else if (*verdict == DF_UNDECIDED)
        note_open(search, &answer);
done:
    df_solver_answer_clear(&answer);
    return status;
}

static dfal_status ask_covering(struct df_coreset_search *search, const struct df_cover_stage *stage,
                                enum df_verdict *verdict)
{
    return ask_solver(search, df_cover_write, stage, stage->column, stage->column_count, stage->square,
                      verdict);
}

static dfal_status ask_sener(struct df_coreset_search *search, double square, enum df_verdict *verdict)
{
    search->sener->square = square;
    return ask_solver(search, df_sener_write, search->sener, NULL, search->cover->h.count, square, verdict);
}

static dfal_status check_covering(struct df_coreset_search *search, double square, enum df_verdict *verdict)
{
    struct df_cover_stage stage;
    int64_t *chosen = NULL, count;
    dfal_status status;
    bool holds;
    DF_TRY_TO(done, status, df_cover_stage_make(&stage, search->cover, square));
    DF_TRY_TO(done, status, df_alloc(&chosen, search->cover->budget, sizeof *chosen));
    DF_TRY_TO(done, status, df_cover_guess(&stage, verdict, chosen, &count));
    if (*verdict == DF_FEASIBLE)
        status = take_centres(search, chosen, count, square, &holds);
    else if (*verdict == DF_UNDECIDED)
        status = ask_covering(search, &stage, verdict);
done:
    df_cover_stage_clear(&stage);
    df_free(chosen);
    return status;
}

static dfal_status check(struct df_coreset_search *search, double square, enum df_verdict *verdict)
{
    search->checks++;
    search->word = false;
    return search->sener ? ask_sener(search, square, verdict) : check_covering(search, square, verdict);
}

/* Somebody's solver that has never found centres may take every model for something else than it is: it is
 * asked for those that are known. */
static dfal_status doubt(struct df_coreset_search *search)
{
    struct df_cover_stage stage = {0};
    enum df_verdict verdict = DF_UNDECIDED;
    dfal_status status = DFAL_OK;
    if (search->sener) {
        status = ask_sener(search, search->square, &verdict);
    } else {
        DF_TRY_TO(done, status, df_cover_stage_make(&stage, search->cover, search->square));
        if (stage.row_count > stage.outliers)
            status = ask_covering(search, &stage, &verdict);
    }
    if (status == DFAL_OK && verdict == DF_INFEASIBLE)
        fail(search, "the solver %.120s calls a model infeasible that has a solution",
             search->solver->program);
done:
    df_cover_stage_clear(&stage);
    return status;
}

dfal_status df_coreset_search(struct df_coreset_search *search)
{
    const struct df_cover *cover = search->cover;
    int64_t low = 0, high = place_of(cover, search->square), said = -1;
    bool open = false, word = false; /* of the largest radius that was refused: undecided, by a word */
    while (low < high && !search->failure[0]) {
        const int64_t middle = low + (high - low) / 2;
        enum df_verdict verdict = DF_UNDECIDED;
        DF_TRY(check(search, cover->value[middle], &verdict));
        if (verdict == DF_FEASIBLE) {
            const int64_t found = place_of(cover, search->square);
            high = found < middle ? found : middle;
            if (found <= said)
                fail(search, "the solver %.120s calls a radius of %g infeasible, and there are centres of %g",
                     search->solver->program, sqrt(cover->value[said]), sqrt(search->square));
        } else {
            open = verdict == DF_UNDECIDED;
            word = search->word;
            said = word ? middle : said;
            low = middle + 1;
        }
    }
    if (!search->failure[0] && !open && word && !search->held && search->solver->command)
        DF_TRY(doubt(search));
    search->proven = !open && !search->failure[0];
    search->word = search->proven && word;
    if (search->proven)
        search->reason = NULL;
    return DFAL_OK;
}
