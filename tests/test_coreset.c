/* SPDX-License-Identifier: Apache-2.0 */
/* CORE-SET as an integer program, against exhaustive search on small sets; and solvers that die, hang or
 * print nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/context.h"
#include "base/log.h"
#include "base/memory.h"
#include "strategy/coreset_search.h"
#include "strategy/coreset_swap.h"
#include "strategy/row_distance.h"
#include "strategy/view_inside.h"
#include "support_world.h"

enum { MOST = 14, SIZE = 3, LABELLED = 3 };

/* A few points of small whole numbers, so that distances are exact and often equal. */
struct problem {
    struct df_view view;
    struct df_selection_options options;
    float h[MOST * SIZE], labelled[LABELLED * SIZE];
    double far[MOST];
    struct df_cover cover;
    int64_t chosen[MOST];
};

static void problem_open(struct problem *problem, dfal_context *context, uint64_t seed, int64_t n,
                         int64_t labelled, int64_t budget, int64_t outliers)
{
    *problem = (struct problem){.view = {.context = context}};
    test_fill_whole(problem->h, n * SIZE, seed, -4, 4);
    test_fill_whole(problem->labelled, labelled * SIZE, seed + 1, -4, 4);
    if (seed % 3 == 0)
        memcpy(problem->h + SIZE, problem->h, SIZE * sizeof(float)); /* the same picture twice */
    if (seed % 7 == 0)
        memset(problem->h, 0, sizeof problem->h); /* nothing but one point */
    problem->cover = (struct df_cover){.view = &problem->view,
                                       .h = {n, SIZE, problem->h},
                                       .labelled = {labelled, SIZE, problem->labelled},
                                       .far = problem->far,
                                       .budget = budget,
                                       .outliers = outliers};
    for (int64_t i = 0; i < n; i++) {
        problem->far[i] = INFINITY;
        for (int64_t j = 0; j < labelled; j++)
            problem->far[i] = fmin(problem->far[i], df_square_distance(problem->h + i * SIZE,
                                                                       problem->labelled + j * SIZE, SIZE));
    }
}

static double radius_of(const struct problem *problem, const int64_t *chosen, int64_t count)
{
    double square;
    test_ok(df_cover_radius(&problem->cover, chosen, count, &square));
    return square;
}

/* The smallest squared radius of all sets of `budget` candidates. */
static double exhaustive(const struct problem *problem)
{
    const int64_t n = problem->cover.h.count, b = problem->cover.budget;
    double best = INFINITY;
    for (int64_t set = 0; set < (int64_t)1 << n; set++) {
        int64_t chosen[MOST], count = 0;
        double nearest[MOST];
        for (int64_t i = 0; i < n; i++)
            if (set >> i & 1)
                chosen[count++] = i;
        if (count != b)
            continue;
        for (int64_t i = 0; i < n; i++) {
            nearest[i] = problem->far[i];
            for (int64_t k = 0; k < b; k++) {
                double sum = 0;
                for (int64_t s = 0; s < SIZE; s++) {
                    const double d = (double)problem->h[i * SIZE + s] - problem->h[chosen[k] * SIZE + s];
                    sum += d * d;
                }
                nearest[i] = fmin(nearest[i], sum);
            }
        }
        /* the (outliers + 1)-th largest */
        for (int64_t out = 0; out <= problem->cover.outliers; out++) {
            int64_t at = 0;
            for (int64_t i = 1; i < n; i++)
                at = nearest[i] > nearest[at] ? i : at;
            if (out == problem->cover.outliers)
                best = fmin(best, nearest[at]);
            nearest[at] = -1;
        }
    }
    return fmax(best, 0);
}

/* Begin with the first candidates, whatever they are worth. */
static struct df_coreset_search search_of(struct problem *problem, struct df_solver *solver)
{
    struct df_cover *cover = &problem->cover;
    struct df_coreset_search search = {.cover = cover, .solver = solver, .chosen = problem->chosen};
    for (; search.count < cover->budget; search.count++)
        problem->chosen[search.count] = search.count;
    cover->high = search.square = radius_of(problem, problem->chosen, search.count);
    test_ok(df_cover_make(cover));
    return search;
}

static struct df_solver solver_of(dfal_context *context, const char *program, double seconds)
{
    return (struct df_solver){
        .context = context, .program = program, .nodes = 1000, .end = df_clock() + seconds};
}

static char *found_solver(void)
{
    char *program = NULL;
    test_ok(df_solver_find(&program));
    if (!program && test_required("cbc"))
        test_fail("there is no dfal-cbc in this build");
    if (!program)
        print_message("dfal-cbc is not in this build: skipped\n");
    return program;
}

/* ---- the smallest radius ------------------------------------------------------------------------------- */

static void check_case(dfal_context *context, const char *program, uint64_t seed, const int64_t shape[4],
                       int64_t *models)
{
    struct problem problem;
    struct df_sener sener = {0};
    for (int paper = 0; paper < 2; paper++) {
        problem_open(&problem, context, seed, shape[0], shape[1], shape[2], shape[3]);
        const double best = exhaustive(&problem);
        struct df_solver solver = solver_of(context, program, 600);
        struct df_coreset_search search = search_of(&problem, &solver);
        if (paper) {
            test_ok(df_sener_make(&sener, &problem.cover));
            search.sener = &sener;
        }
        test_ok(df_coreset_search(&search));
        if (!search.proven || search.square != best ||
            radius_of(&problem, search.chosen, search.count) != best)
            test_fail("seed %llu, %lld candidates, %lld labelled, %lld centres, %lld outliers, program %d: "
                      "square %g, proven %d, expected %g; %s",
                      (unsigned long long)seed, (long long)shape[0], (long long)shape[1], (long long)shape[2],
                      (long long)shape[3], paper, search.square, search.proven, best, search.failure);
        assert_true(search.checks >= search.solved);
        models[paper] += search.solved;
        df_sener_clear(&sener);
        df_cover_clear(&problem.cover);
    }
}

static void test_exhaustive(void **state)
{
    (void)state;
    char *program = found_solver();
    if (!program)
        skip();
    static const int64_t shapes[][4] = {{1, 0, 1, 0}, {2, 1, 1, 0},  {6, 0, 1, 0},  {9, 0, 3, 0},
                                        {9, 2, 2, 1}, {12, 3, 3, 0}, {14, 0, 3, 0}, {14, 3, 3, 2},
                                        {5, 0, 5, 0}, {4, 1, 1, 4}};
    int64_t models[2] = {0};
    dfal_context *context = world_context("ref", 2, NULL, NULL);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (uint64_t seed = 1; seed <= 7; seed++)
            check_case(context, program, 16 * seed * (s + 1) + seed, shapes[s], models);
    assert_true(models[0] > 0 && models[1] > models[0]); /* both programs were solved, the paper's always */
    dfal_context_destroy(context);
    df_free(program);
}

/* What is said without a solver is true: the search with nobody to ask proves nothing that is not so. */
static void test_guess(void **state)
{
    (void)state;
    int64_t answered = 0;
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct problem problem;
        int64_t chosen[MOST], count;
        problem_open(&problem, context, seed, 12, seed % 3, 1 + (int64_t)seed % 3, (int64_t)seed % 2);
        const double best = exhaustive(&problem);
        struct df_coreset_search search = search_of(&problem, NULL);
        for (int64_t v = 0; v < problem.cover.value_count; v++) {
            struct df_cover_stage stage;
            enum df_verdict verdict;
            const double square = problem.cover.value[v];
            test_ok(df_cover_stage_make(&stage, &problem.cover, square));
            test_ok(df_cover_guess(&stage, &verdict, chosen, &count));
            if (verdict == DF_FEASIBLE)
                assert_true(square >= best && count <= problem.cover.budget &&
                            radius_of(&problem, chosen, count) <= square);
            if (verdict == DF_INFEASIBLE)
                assert_true(square < best);
            answered += verdict != DF_UNDECIDED;
            df_cover_stage_clear(&stage);
        }
        assert_true(search.square >= best);
        df_cover_clear(&problem.cover);
    }
    assert_true(answered > 100);
    dfal_context_destroy(context);
}

/* No single swap is left that would help; whatever the number of threads. */
static void test_swap(void **state)
{
    (void)state;
    int64_t all = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        int64_t first[MOST] = {0};
        for (int32_t threads = 1; threads <= 3; threads += 2) {
            struct problem problem;
            int64_t swaps;
            dfal_context *context = world_context("ref", threads, NULL, NULL);
            problem_open(&problem, context, seed, MOST, seed % 3, 3, (int64_t)seed % 2);
            struct df_coreset_search search = search_of(&problem, NULL);
            const double before = search.square;
            test_ok(df_cover_swap(&problem.cover, problem.chosen, 3, &search.square, &swaps));
            assert_true(search.square <= before && (swaps > 0) == (search.square < before));
            assert_true(search.square == radius_of(&problem, problem.chosen, 3));
            for (int64_t c = 0; c < 3; c++)
                for (int64_t v = 0; v < MOST; v++) {
                    int64_t other[3];
                    memcpy(other, problem.chosen, sizeof other);
                    other[c] = v;
                    assert_true(radius_of(&problem, other, 3) >= search.square);
                }
            if (threads == 1)
                memcpy(first, problem.chosen, sizeof first);
            assert_memory_equal(first, problem.chosen, 3 * sizeof *first);
            all += swaps;
            df_cover_clear(&problem.cover);
            dfal_context_destroy(context);
        }
    }
    assert_true(all > 20);
}

/* ---- solvers that are none ----------------------------------------------------------------------------- */

/* A set that cannot be decided without a solver: an odd ring, where each point covers its neighbours. */
static void ring_open(struct problem *problem, dfal_context *context)
{
    static const float ring[7][2] = {{4, 0}, {2, 3}, {-1, 4}, {-4, 2}, {-4, -2}, {-1, -4}, {2, -3}};
    problem_open(problem, context, 1, 7, 0, 3, 0);
    memset(problem->h, 0, sizeof problem->h);
    for (int i = 0; i < 7; i++)
        memcpy(problem->h + (ptrdiff_t)i * SIZE, ring[i], sizeof ring[i]);
}

static void test_bad_solvers(void **state)
{
    (void)state;
    static const struct {
        const char *script, *reason, *failure;
    } cases[] = {
        {"kill -9 $$", "failed", "died by signal 9"},
        {"exit 3", "failed", "ended with exit code 3, expected 0"},
        {"exit 0", "failed", "left no solution"},
        {"echo rubbish > $2", "failed", "left no solution that can be read"},
        {"printf 'solver x\\noutcome feasible\\nnodes 1\\ny1\\n' > $2", "failed",
         "other lines than expected"},
        {"printf 'solver x\\noutcome feasible\\nnodes 1\\ny99\\nend\\n' > $2", "failed", "other lines"},
        {"printf 'solver x\\noutcome feasible\\nnodes 1\\ny1\\ny1\\nend\\n' > $2", "failed", "other lines"},
        {"printf 'solver x\\noutcome perhaps\\nnodes 1\\nend\\n' > $2", "failed", "other lines"},
        {"printf 'solver x\\noutcome failed\\nnodes 1\\nend\\n' > $2", "failed", "gave a model up"},
        {"printf 'solver x\\noutcome feasible\\nnodes 1\\ny1\\nend\\n' > $2", "failed", "are no cover"},
        {"printf 'solver x\\noutcome nodes\\nnodes 1000\\nend\\n' > $2", "nodes", ""},
        {"printf 'solver x\\noutcome seconds\\nnodes 7\\nend\\n' > $2", "seconds", ""},
        {"head -c 100000 /dev/zero > $2", "failed", "a strange solution"},
        {"head -c 100000 /dev/zero | tr '\\0' y > $2", "failed", "a strange solution"},
    };
    char program[TEST_PATH];
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problem problem;
        test_program(program, world.folder, "solver", cases[i].script);
        ring_open(&problem, context);
        struct df_solver solver = solver_of(context, program, 60);
        struct df_sener sener;
        struct df_coreset_search search = search_of(&problem, &solver);
        test_ok(df_sener_make(&sener, &problem.cover));
        search.sener = &sener;
        test_ok(df_coreset_search(&search));
        if (search.proven || strcmp(search.reason, cases[i].reason) ||
            !strstr(search.failure, cases[i].failure))
            test_fail("'%s': proven %d, '%s', '%s'", cases[i].script, search.proven, search.reason,
                      search.failure);
        assert_true(search.square == radius_of(&problem, search.chosen, search.count));
        df_sener_clear(&sener);
        df_cover_clear(&problem.cover);
    }
    dfal_context_destroy(context);
}

static void test_hanging_solver(void **state)
{
    (void)state;
    char program[TEST_PATH];
    struct problem problem;
    struct df_sener sener;
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_program(program, world.folder, "solver", "trap '' TERM\nsleep 600 & wait");
    ring_open(&problem, context);
    struct df_solver solver = solver_of(context, program, 0.2);
    struct df_coreset_search search = search_of(&problem, &solver);
    test_ok(df_sener_make(&sener, &problem.cover));
    search.sener = &sener;
    const double begin = df_clock();
    test_ok(df_coreset_search(&search));
    assert_true(df_clock() - begin < 60 && !search.proven);
    assert_string_equal(search.reason, "seconds");
    assert_string_equal(search.failure, "");
    search.failure[0] = 0;
    solver = solver_of(context, "/no/such/solver", 60);
    search.square = problem.cover.high;
    test_ok(df_coreset_search(&search));
    assert_non_null(strstr(search.failure, "/no/such/solver cannot be started"));
    dfal_context_stop(context);
    test_program(program, world.folder, "solver", "sleep 600");
    solver = solver_of(context, program, 60);
    search.failure[0] = 0;
    search.square = problem.cover.high;
    test_error(df_coreset_search(&search), DFAL_E_STOPPED, "");
    df_sener_clear(&sener);
    df_cover_clear(&problem.cover);
    dfal_context_destroy(context);
}

/* A command that is no solver, or lies: nothing of what it says gets into the result. */
static void test_bad_commands(void **state)
{
    (void)state;
    static const struct {
        const char *script, *reason, *failure;
    } cases[] = {
        {"kill -9 $$", "failed", "died by signal 9"},
        {"echo no licence; exit 3", "failed", "ended with exit code 3, expected 0; it ends with: no licence"},
        {"exit 0", "failed", "left no solution that can be read"},
        {"yes $0 $0 $0 $0", "failed", "ended with exit code 1"},
        {"head -c 1000000 /dev/urandom | tee $2", "failed", "left no solution that can be read"},
        {"head -c 1000000 /dev/zero > $2", "failed", "left no solution that can be read"},
        {"printf 'y1 1\\n' > $2", "failed", "with 1 centres that are no cover by at most 3"},
        {"for i in 0 1 2 3 4 5 6; do echo y$i 1; done > $2", "failed",
         "with 7 centres that are no cover by at most 3"},
        {"printf 'y99 1\\n' > $2", "failed", "tells of a column y99, expected one below y7"},
        {"printf 'y1 0.5\\n' > $2", "failed", "calls y1 neither 0 nor 1"},
        {"echo Infeasible > $2", "failed", "calls a model infeasible that has a solution"},
        {"echo PROBLEM HAS NO INTEGER FEASIBLE SOLUTION", "failed",
         "calls a model infeasible that has a solution"},
        /* Infeasible, and at a larger radius the centres of a smaller one. */
        {"if mkdir $(dirname $2)/once; then echo Infeasible; else printf 'y0 1\\ny2 1\\ny5 1\\n'; fi > $2",
         "failed", "infeasible, and there are centres of"},
        {"echo Stopped on nodes > $2", "nodes", ""},
        {"echo Stopped on time > $2; echo y1 1 >> $2", "seconds", ""},
        {"sleep 600", "seconds", ""},
    };
    char program[TEST_PATH];
    char *word[] = {program, NULL};
    const struct df_words command = {word, 1};
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const size_t at = i / 2;
        struct problem problem;
        test_program(program, world.folder, "solver", cases[at].script);
        ring_open(&problem, context);
        const double best = exhaustive(&problem);
        struct df_solver solver = solver_of(context, program, strstr(cases[at].script, "sleep") ? 0.2 : 60);
        solver.command = &command;
        struct df_sener sener = {0};
        struct df_coreset_search search = search_of(&problem, &solver);
        if (i % 2) {
            test_ok(df_sener_make(&sener, &problem.cover));
            search.sener = &sener;
        }
        test_ok(df_coreset_search(&search));
        const bool asked = search.solved > 0;
        if (search.square != radius_of(&problem, search.chosen, search.count) || search.square < best ||
            (search.proven && search.square > best) || (i % 2 && !asked) ||
            (asked && (search.proven || strcmp(search.reason, cases[at].reason) ||
                       !strstr(search.failure, cases[at].failure))))
            test_fail("'%s' %d: square %g of %g, proven %d, '%s', '%s'", cases[at].script, (int)(i % 2),
                      search.square, best, search.proven, search.reason ? search.reason : "", search.failure);
        df_solver_close(&solver);
        df_sener_clear(&sener);
        df_cover_clear(&problem.cover);
    }
    dfal_context_destroy(context);
}

static void test_too_many_points(void **state)
{
    (void)state;
    struct df_sener sener;
    const struct df_cover cover = {.h = {.count = 990, .size = 1}, .labelled = {.count = 11, .size = 1}};
    test_error(df_sener_make(&sener, &cover), DFAL_E_USAGE, "1001 labelled rows and candidates");
}

/* All of them lie within the radius of each other: every pair counts. */
static void check_crowd(dfal_context *context, int64_t n, const char *expected)
{
    struct df_view view = {.context = context};
    float *h;
    double *far;
    test_ok(df_alloc(&h, n, sizeof *h));
    test_ok(df_alloc(&far, n, sizeof *far));
    test_fill_whole(h, n, 5, -4, 4);
    for (int64_t i = 0; i < n; i++)
        far[i] = INFINITY;
    struct df_cover cover = {.view = &view, .h = {n, 1, h}, .far = far, .budget = 2, .low = 0, .high = 100};
    test_error(df_cover_make(&cover), DFAL_E_MEMORY, expected);
    df_cover_clear(&cover);
    df_free(h);
    df_free(far);
}

/* A context's memory counts what the process holds already: what is left is nothing. */
static void test_too_many_pairs(void **state)
{
    (void)state;
    dfal_context *context = world_context("ref", 2, NULL, NULL);
    context->memory = 1;
    check_crowd(context, 600, "the 360000 pairs of candidates of coreset's integer program take");
    check_crowd(context, 6000,
                "at least about 18000000 pairs of candidates of coreset's integer program take");
    dfal_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exhaustive),
        cmocka_unit_test(test_guess),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_bad_solvers),
        cmocka_unit_test(test_hanging_solver),
        cmocka_unit_test(test_bad_commands),
        cmocka_unit_test(test_too_many_points),
        cmocka_unit_test(test_too_many_pairs),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
