/* SPDX-License-Identifier: Apache-2.0 */
/* Anybody's solver: its command, the files it gets, and what it leaves, as CBC, GLPK, HiGHS, SCIP and Gurobi
 * write it and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "strategy/coreset_solver.h"
#include "strategy/solver_text.h"
#include "support_world.h"

enum { COLUMNS = 4 };

/* ---- what it leaves ------------------------------------------------------------------------------------ */

static void test_solutions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum df_solver_word word;
        int chosen; /* bits */
        int64_t values, fractional, foreign;
    } cases[] = {
        {"Optimal - objective value 0.00000000\n      0 y0        1       0\n      2 y2     1    0\n",
         DF_WORD_SOLVED, 5, 2, -1, -1},
        {"Integer infeasible - objective value 0.00000000\n      0 y0    0.5    0\n", DF_WORD_INFEASIBLE, 0,
         1, 0, -1},
        {"Infeasible - objective value 0\n** 2 y2  1  0\n", DF_WORD_INFEASIBLE, 4, 1, -1, -1},
        {"Stopped on time (no integer solution - continuous used) - objective value 0\n 1 y1 0.0014026 0\n",
         DF_WORD_SECONDS, 0, 1, 1, -1},
        {"Stopped on iterations (no integer solution - continuous used) - objective value 0.00000000\n",
         DF_WORD_NODES, 0, 0, -1, -1},
        {"Problem:    DFAL\nRows:       5\nStatus:     INTEGER OPTIMAL\n\n   No.   Row name        Activity\n"
         "     1 budget                      2                           2 \n"
         "     1 y0           *              1             0             1 \n"
         "     2 y1           *              0             0             1 \n\n"
         "KKT.PB: max.abs.err = 0.00e+00 on row 0\n        High quality\n",
         DF_WORD_SOLVED, 1, 2, -1, -1},
        {"Status:     INTEGER EMPTY\n     1 y0           *              0             0             1 \n",
         DF_WORD_INFEASIBLE, 0, 1, -1, -1},
        {"Status:     INTEGER UNDEFINED\n   1 y0  *  0  0  1 \n        SOLUTION IS INFEASIBLE\n",
         DF_WORD_NONE, 0, 1, -1, -1},
        {"Model status\nOptimal\n\n# Primal solution values\nFeasible\n# Columns 2\ny0 0\ny3 1\n# Rows 1\nr0 "
         "1\n"
         "\n# Dual solution values\nNone\n",
         DF_WORD_SOLVED, 8, 2, -1, -1},
        {"Model status\nInfeasible\n\n# Primal solution values\nNone\n", DF_WORD_INFEASIBLE, 0, 0, -1, -1},
        {"Model status\nTime limit reached\n\n# Primal solution values\nInfeasible\n", DF_WORD_SECONDS, 0, 0,
         -1, -1},
        {"Model status\nSolution limit reached\n\n# Primal\nNone\n", DF_WORD_NODES, 0, 0, -1, -1},
        {"Model status\nUnknown\n\n# Primal solution values\nInfeasible\n", DF_WORD_NONE, 0, 0, -1, -1},
        {"# Solution for model DFAL\n# Objective value = 0\ny0 1\ny1 0\ny2 0.99999999\n", DF_WORD_NONE, 5, 3,
         -1, -1},
        {"solution status: optimal solution found\nobjective value:  0\ny1    1   (obj:0)\n", DF_WORD_SOLVED,
         2, 1, -1, -1},
        {"solution status: infeasible\nno solution available\n", DF_WORD_INFEASIBLE, 0, 0, -1, -1},
        {"y0 = 1\r\ny1=0\r\ny3 =1", DF_WORD_NONE, 9, 3, -1, -1},
        {"y0 nan\n", DF_WORD_NONE, 0, 1, 0, -1},
        {"y0 1e999\n", DF_WORD_NONE, 0, 1, 0, -1},
        {"y4 1\n", DF_WORD_NONE, 0, 1, -1, 4},
        {"y99999999999999999999 1\ny-1 1\ny 1\nyes 1\ny0\ny1 one\n", DF_WORD_NONE, 0, 0, -1, -1},
        {"", DF_WORD_NONE, 0, 0, -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool chosen[COLUMNS] = {false};
        struct df_solver_solution solution = {.columns = COLUMNS, .chosen = chosen};
        FILE *file = fmemopen((void *)cases[i].text, strlen(cases[i].text) + 1, "r");
        assert_non_null(file);
        df_solver_read_solution(&solution, file, 1 << 20);
        assert_int_equal(fclose(file), 0);
        int bits = 0;
        for (int j = 0; j < COLUMNS; j++)
            bits |= chosen[j] << j;
        if (solution.word != cases[i].word || bits != cases[i].chosen || solution.values != cases[i].values ||
            solution.fractional != cases[i].fractional || solution.foreign != cases[i].foreign)
            test_fail("'%s': word %d, chosen %d, values %lld, fractional %lld, foreign %lld", cases[i].text,
                      solution.word, bits, (long long)solution.values, (long long)solution.fractional,
                      (long long)solution.foreign);
    }
}

/* No more is read than was allowed, and a line may be as long as it likes. */
static void test_long_solution(void **state)
{
    (void)state;
    enum { BYTES = 20000 };
    char *text = malloc(BYTES);
    assert_non_null(text);
    memset(text, 'x', BYTES);
    memcpy(text, "y0 1\n", 5);
    memcpy(text + BYTES - 7, "\ny1 1\n", 7);
    for (int whole = 0; whole < 2; whole++) {
        bool chosen[COLUMNS] = {false};
        struct df_solver_solution solution = {.columns = COLUMNS, .chosen = chosen};
        FILE *file = fmemopen(text, BYTES, "r");
        assert_non_null(file);
        df_solver_read_solution(&solution, file, whole ? BYTES : 5);
        assert_int_equal(fclose(file), 0);
        assert_true(chosen[0] && chosen[1] == whole && solution.values == 1 + whole);
    }
    free(text);
}

static void test_logs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *version;
        enum df_solver_word word;
        const char *last;
    } cases[] = {
        {"Welcome to the CBC MILP Solver \nVersion: 2.10.8 \nBuild Date: May  9 2022 \n", "Version: 2.10.8",
         DF_WORD_NONE, "Build Date: May  9 2022 "},
        {"GLPSOL--GLPK LP/MIP Solver 5.0\nTIME LIMIT EXCEEDED; SEARCH TERMINATED\nTime used:   3.0 secs\n",
         "GLPSOL--GLPK LP/MIP Solver 5.0", DF_WORD_SECONDS, "Time used:   3.0 secs"},
        {"Running HiGHS 1.16.0 (git hash: f3f113d): Copyright (c) 2026\n", "Running HiGHS 1.16.0",
         DF_WORD_NONE, "Running HiGHS 1.16.0 (git hash: f3f113d): Copyright (c) 2026"},
        {"Set parameter TimeLimit to value 10\nGurobi Optimizer version 11.0.1 build v11.0.1rc0 (linux64)\n"
         "Model is infeasible\n\n",
         "Gurobi Optimizer version 11.0.1", DF_WORD_INFEASIBLE, "Model is infeasible"},
        {"SCIP version 8.0.3 [precision: 8 byte]\nSCIP Status  : problem is solved [infeasible]\n",
         "SCIP version 8.0.3", DF_WORD_INFEASIBLE, "SCIP Status  : problem is solved [infeasible]"},
        {"LP HAS NO PRIMAL FEASIBLE SOLUTION\n", "", DF_WORD_INFEASIBLE,
         "LP HAS NO PRIMAL FEASIBLE SOLUTION"},
        {"2026-11-29 10:00:00.5 begins\nTotal time 0.25\nThe relaxation is infeasible or expensive\n", "",
         DF_WORD_NONE, "The relaxation is infeasible or expensive"},
        {"v 1. 2 3.\n\x1b[31mred\n", "", DF_WORD_NONE, "?[31mred"},
        {"", "", DF_WORD_NONE, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct df_solver_log log;
        FILE *file = fmemopen((void *)cases[i].text, strlen(cases[i].text) + 1, "r");
        assert_non_null(file);
        df_solver_read_log(&log, file);
        assert_int_equal(fclose(file), 0);
        assert_string_equal(log.version, cases[i].version);
        assert_string_equal(log.last, cases[i].last);
        assert_int_equal(log.word, cases[i].word);
    }
}

/* ---- its command --------------------------------------------------------------------------------------- */

static void test_split(void **state)
{
    (void)state;
    static const char *const fine[] = {"cbc {model} -solution {solution}", "a", "a b",
                                       "a 'x{model}{solution}y'", "a {else}"};
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"a {model}", "says where {model} goes but not where {solution} does"},
        {"a {solution} {nodes}", "says where {solution} goes but not where {model} does"},
        {"a {seconds}", "says where a limit goes but not where {model} does"},
        {"a 'b", "has an open quote"},
        {" ", "has no words"},
    };
    struct df_words words;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        test_ok(df_solver_split(&words, fine[i], DFAL_E_USAGE));
        df_words_clear(&words);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        test_error(df_solver_split(&words, wrong[i].text, DFAL_E_CONFIG), DFAL_E_CONFIG, wrong[i].says);
}

/* A solver is asked whether it is one before anything is made of its answers. */
static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *script, *words, *name, *error;
    } cases[] = {
        {"echo Tiny solver v1.2.3, all rights; printf 'y0 1\\ny2 1\\n' > $2", "",
         "solver (Tiny solver v1.2.3)", NULL},
        {"printf 'y0 1\\ny2 1\\n' > $2", "", "solver", NULL},
        {"test \"$1\" = 1000 -a $2 -le 60 && grep -q ENDATA $4 && printf 'y0 1\\ny1 1\\n' > $3",
         "{nodes} {seconds} {solution} {model}", "solver", NULL},
        {"test $1 = -s${1#-s} && printf 'y0 1\\ny1 1\\n' > ${1#-s}", "-s{solution} '{model} b'", "solver",
         NULL},
        {"echo Infeasible > $2", "", NULL, "does not solve a model of three columns: it calls it infeasible"},
        {"echo 'time limit reached'", "", NULL,
         "does not solve a model of three columns: it reaches a limit"},
        {"printf 'y0 1\\n' > $2", "", NULL, "does not solve a model of three columns: it chooses others"},
        {"echo no licence >&2; exit 9", "", NULL,
         "ended with exit code 9, expected 0; it ends with: no licence"},
        {"kill -11 $$", "", NULL, "died by signal 11"},
        {"mkfifo $2", "", NULL, "left no solution that can be read"},
        {"mkdir $2", "", NULL, "left no solution that can be read"},
    };
    char program[TEST_PATH], text[2 * TEST_PATH], name[DF_SOLVER_NAME];
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_program(program, world.folder, "solver", cases[i].script);
        snprintf(text, sizeof text, "'%s' %s", program, cases[i].words);
        const dfal_status status = df_coreset_solver_name(name, sizeof name, context, text);
        if (cases[i].error) {
            test_error(status, DFAL_E_UNAVAILABLE, cases[i].error);
        } else {
            test_ok(status);
            assert_string_equal(name, cases[i].name);
        }
    }
    test_error(df_coreset_solver_name(name, sizeof name, context, "no-such-solver -a"), DFAL_E_UNAVAILABLE,
               "the solver no-such-solver cannot be started: No such file or directory, expected a program");
    test_ok(df_coreset_solver_name(name, sizeof name, context, "none"));
    assert_string_equal(name, "none");
    test_ok(df_coreset_solver_name(name, sizeof name, context, "auto"));
    assert_true(!strncmp(name, "CBC ", 4) || !strcmp(name, "none"));
    dfal_context_destroy(context);
}

/* Every allocation fails once: an error of dfal's own and not of the solver, and nothing is lost. */
static void test_no_memory(void **state)
{
    (void)state;
    char program[TEST_PATH], text[2 * TEST_PATH], name[DF_SOLVER_NAME];
    int64_t failed = 0;
    dfal_context *context = world_context("ref", 1, NULL, NULL);
    test_program(program, world.folder, "solver", "printf 'y0 1\\ny2 1\\n' > ${2#x}");
    snprintf(text, sizeof text, "'%s' {model} x{solution}", program);
    for (int64_t n = 1;; n++) {
        const int64_t live = df_alloc_live();
        df_fault_arm(DF_FAULT_ALLOC, n);
        const dfal_status status = df_coreset_solver_name(name, sizeof name, context, text);
        const bool hit = df_fault_seen(DF_FAULT_ALLOC) >= n;
        df_fault_arm(DF_FAULT_ALLOC, 0);
        assert_int_equal(df_alloc_live(), live);
        if (!hit) {
            test_ok(status);
            break;
        }
        assert_int_equal(status, DFAL_E_MEMORY);
        failed++;
    }
    assert_true(failed > 10);
    dfal_context_destroy(context);
}

/* ---- its folder ---------------------------------------------------------------------------------------- */

static void test_scratch(void **state)
{
    (void)state;
    struct df_scratch first = {0}, second = {0};
    char stale[] = "/tmp/dfal-scratch-XXXXXX", file[TEST_PATH];
    struct stat facts;
    assert_non_null(mkdtemp(stale));
    test_join(file, stale, "model.mps");
    test_ok(df_file_write(file, "x", 1));
    test_ok(df_scratch_open(&first));
    assert_false(df_folder_exists(stale)); /* nobody holds it */
    test_ok(df_scratch_open(&second));
    assert_true(df_folder_exists(first.path) && df_folder_exists(second.path));
    assert_int_equal(stat(first.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    test_join(file, first.path, "left");
    test_ok(df_file_write(file, "x", 1));
    char *path = NULL;
    test_ok(df_strdup(&path, first.path));
    df_scratch_close(&first);
    assert_false(df_folder_exists(path));
    assert_true(df_folder_exists(second.path));
    df_scratch_close(&second);
    df_scratch_close(&second);
    df_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_solutions), cmocka_unit_test(test_long_solution),
        cmocka_unit_test(test_logs),      cmocka_unit_test(test_split),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_scratch),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
