/* SPDX-License-Identifier: Apache-2.0 */
/* dfal-cbc: solve a mixed integer program with CBC. dfal runs it as a child (host/strategy/solver.h), so that
 * whatever happens to the solver happens to this program alone.
 *
 *     dfal-cbc MODEL.mps SOLUTION NODES SECONDS
 *
 * SOLUTION, a line each: "solver NAME VERSION"; "outcome feasible|infeasible|nodes|seconds|failed";
 * "nodes COUNT" of the search tree; where it is feasible every column that begins with y and is 1, by its
 * name; "end". One thread and fixed seeds: the same model gives the same solution. NODES ends a search in a
 * way that can be repeated, SECONDS (of the wall clock) in one that cannot.
 * Exit codes: 0 a solution was written, 64 wrong words, 65 no model, 73 it cannot be written. CBC itself
 * aborts at a model that it cannot read. */
#include <coin/Cbc_C_Interface.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES = 64 };
enum { EXIT_USAGE = 64, EXIT_DATA = 65, EXIT_NOT_WRITTEN = 73 };

static const char *outcome_of(Cbc_Model *model)
{
    if (Cbc_bestSolution(model) && Cbc_numberSavedSolutions(model) > 0)
        return "feasible";
    if (Cbc_isProvenInfeasible(model) || Cbc_isInitialSolveProvenPrimalInfeasible(model))
        return "infeasible";
    if (Cbc_isNodeLimitReached(model))
        return "nodes";
    return Cbc_isSecondsLimitReached(model) ? "seconds" : "failed";
}

static void write_chosen(FILE *file, Cbc_Model *model)
{
    const double *value = Cbc_bestSolution(model);
    char name[LINE_BYTES];
    for (int j = 0; j < Cbc_getNumCols(model); j++) {
        Cbc_getColName(model, j, name, sizeof name);
        if (name[0] == 'y' && value[j] > 0.5)
            fprintf(file, "%s\n", name);
    }
}

static int write_solution(const char *path, Cbc_Model *model)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        return EXIT_NOT_WRITTEN;
    }
    const char *outcome = outcome_of(model);
    fprintf(file, "solver CBC %s\noutcome %s\nnodes %d\n", Cbc_getVersion(), outcome,
            Cbc_getNodeCount(model));
    if (outcome[0] == 'f' && outcome[1] == 'e')
        write_chosen(file, model);
    fputs("end\n", file);
    const int failed = ferror(file);
    return fclose(file) || failed ? EXIT_NOT_WRITTEN : EXIT_SUCCESS;
}

/* By its name CBC would only find a file that ends in .mps, which a file without a name does not. */
static int solve(const char *model_path, const char *solution_path, int nodes, double seconds)
{
    Cbc_Model *model = Cbc_newModel();
    Cbc_setLogLevel(model, 0);
    int code = EXIT_DATA;
    if (freopen(model_path, "r", stdin) && Cbc_readMps(model, "stdin") == 0 && Cbc_getNumCols(model) > 0) {
        Cbc_setParameter(model, "timeMode", "elapsed");
        Cbc_setParameter(model, "randomSeed", "1");
        Cbc_setParameter(model, "randomCbcSeed", "1");
        Cbc_setParameter(model, "threads", "0");
        Cbc_setMaximumSeconds(model, seconds);
        Cbc_setMaximumNodes(model, nodes);
        Cbc_setMaximumSolutions(model, 1);
        Cbc_solve(model);
        code = write_solution(solution_path, model);
    } else {
        fprintf(stderr, "%s: expected a model in the MPS format\n", model_path);
    }
    Cbc_deleteModel(model);
    return code;
}

int main(int count, char **words)
{
    const int nodes = count == 5 ? atoi(words[3]) : 0, seconds = count == 5 ? atoi(words[4]) : 0;
    if (nodes < 1 || seconds < 1) {
        fprintf(stderr, "usage: dfal-cbc MODEL.mps SOLUTION NODES SECONDS\n");
        return EXIT_USAGE;
    }
    return solve(words[1], words[2], nodes, seconds);
}
