/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/solver.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/process.h"

/* A solver that looks at its clock ends by itself; one that does not is killed so much later. */
enum { GRACE_SECONDS = 2, LINE_BYTES = 80, HEAD_BYTES = 4096 };

dfal_status df_solver_find(char **program)
{
    static const char *const places[] = {"../../libexec/dfal/dfal-cbc", "../libexec/dfal/dfal-cbc"};
    *program = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !*program; i++)
        DF_TRY(df_beside(program, places[i]));
    return DFAL_OK;
}

void df_solver_answer_clear(struct df_solver_answer *answer)
{
    df_free(answer->chosen);
    *answer = (struct df_solver_answer){0};
}

/* ---- its files ----------------------------------------------------------------------------------------- */

enum { MODEL, SOLUTION, LOG, FILES };

static void close_files(const int fd[FILES])
{
    for (int i = 0; i < FILES; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

static dfal_status open_files(int fd[FILES])
{
    static const char *const names[FILES] = {"dfal-model", "dfal-solution", "dfal-solver-log"};
    for (int i = 0; i < FILES; i++)
        fd[i] = -1;
    for (int i = 0; i < FILES; i++) {
        fd[i] = df_descriptor(memfd_create(names[i], MFD_CLOEXEC));
        if (fd[i] < 0)
            return df_fail_errno(errno, true, names[i], "opening");
    }
    return DFAL_OK;
}

static dfal_status write_model(int fd, df_solver_model_fn *write, const void *model)
{
    const int own = df_descriptor(dup(fd));
    FILE *file = own < 0 ? NULL : fdopen(own, "w");
    if (!file) {
        const int error = errno;
        if (own >= 0)
            close(own);
        return df_fail_errno(error, true, "the solver's model", "opening");
    }
    write(file, model);
    const bool failed = ferror(file) != 0;
    if (fclose(file) || failed)
        return df_fail_errno(errno, true, "the solver's model", "writing");
    return DFAL_OK;
}

static dfal_status make_words(struct df_words *words, const struct df_solver *solver, const int fd[FILES],
                              int64_t seconds)
{
    char text[4][LINE_BYTES];
    *words = (struct df_words){0};
    for (int i = MODEL; i <= SOLUTION; i++)
        snprintf(text[i], LINE_BYTES, "/proc/%ld/fd/%d", (long)getpid(), fd[i]);
    snprintf(text[2], LINE_BYTES, "%lld", (long long)solver->nodes);
    snprintf(text[3], LINE_BYTES, "%lld", (long long)seconds);
    DF_TRY(df_words_add(words, solver->program));
    for (int i = 0; i < 4; i++)
        DF_TRY(df_words_add(words, text[i]));
    return DFAL_OK;
}

/* ---- its answer ---------------------------------------------------------------------------------------- */

static void fail_answer(struct df_solver_answer *answer, const char *format, ...) DFAL_PRINTF(2, 3);
static void fail_answer(struct df_solver_answer *answer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_vprint(answer->reason, sizeof answer->reason, format, arguments);
    va_end(arguments);
    answer->outcome = DF_SOLVER_FAILED;
    answer->count = 0;
}

/* The next line of a text, whose end becomes a zero; NULL: none is whole. */
static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = 0;
    *text = end + 1;
    return line;
}

/* What stands behind "KEY " in the next line; NULL: it is another line. */
static const char *next_value(char **text, const char *key)
{
    const char *line = next_line(text);
    const size_t length = strlen(key);
    return line && !strncmp(line, key, length) && line[length] == ' ' ? line + length + 1 : NULL;
}

static bool outcome_named(enum df_solver_outcome *outcome, const char *name)
{
    static const struct {
        const char *name;
        enum df_solver_outcome outcome;
    } known[] = {{"feasible", DF_SOLVER_FEASIBLE},
                 {"infeasible", DF_SOLVER_INFEASIBLE},
                 {"nodes", DF_SOLVER_NODES},
                 {"seconds", DF_SOLVER_SECONDS}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name)) {
            *outcome = known[i].outcome;
            return true;
        }
    return false;
}

/* Columns by their names, ascending, up to the line "end". */
static bool read_chosen(struct df_solver_answer *answer, char *text, int64_t columns)
{
    int64_t column, last = -1;
    for (const char *line; (line = next_line(&text)); last = column) {
        if (!strcmp(line, "end"))
            return !*text;
        if (line[0] != 'y' || !df_parse_whole(&column, line + 1) || column <= last || column >= columns)
            return false;
        answer->chosen[answer->count++] = column;
    }
    return false;
}

static void read_answer(struct df_solver *solver, struct df_solver_answer *answer, char *text,
                        int64_t columns)
{
    const char *name = next_value(&text, "solver");
    const char *outcome = name ? next_value(&text, "outcome") : NULL;
    const char *nodes = outcome ? next_value(&text, "nodes") : NULL;
    if (!nodes || !df_parse_whole(&answer->nodes, nodes) || answer->nodes < 0) {
        fail_answer(answer, "the solver %s left no solution that can be read", solver->program);
        return;
    }
    if (!strcmp(outcome, "failed"))
        fail_answer(answer, "the solver %s gave a model up", solver->program);
    else if (!outcome_named(&answer->outcome, outcome) || !read_chosen(answer, text, columns))
        fail_answer(answer, "the solver %s left a solution with other lines than expected", solver->program);
    else
        snprintf(solver->name, sizeof solver->name, "%s", name);
}

static dfal_status take_answer(struct df_solver *solver, struct df_solver_answer *answer, int fd,
                               int64_t columns)
{
    const int64_t most = HEAD_BYTES + columns * LINE_BYTES;
    char *text = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&answer->chosen, columns, sizeof *answer->chosen));
    DF_TRY_TO(done, status, df_alloc(&text, most + 1, 1));
    const ssize_t got = pread(fd, text, (size_t)most, 0);
    if (got < 0)
        status = df_fail_errno(errno, false, "the solver's solution", "reading");
    else if (got == 0 || got == most || strlen(text) != (size_t)got)
        fail_answer(answer, "the solver %s left %s solution", solver->program, got == 0 ? "no" : "a strange");
    else
        read_answer(solver, answer, text, columns);
done:
    df_free(text);
    return status;
}

static dfal_status judge(struct df_solver *solver, struct df_solver_answer *answer,
                         const struct df_process_end *end, int fd, int64_t columns)
{
    if (end->stopped)
        return df_context_check_stop(solver->context);
    if (end->expired) {
        answer->outcome = DF_SOLVER_SECONDS;
        return DFAL_OK;
    }
    if (end->signal)
        fail_answer(answer, "the solver %s died by signal %d (%s)", solver->program, end->signal,
                    strsignal(end->signal));
    else if (end->code)
        fail_answer(answer, "the solver %s ended with exit code %d, expected 0", solver->program, end->code);
    else
        return take_answer(solver, answer, fd, columns);
    return DFAL_OK;
}

dfal_status df_solver_run(struct df_solver *solver, df_solver_model_fn *write, const void *model,
                          int64_t columns, struct df_solver_answer *answer)
{
    struct df_words words = {0};
    struct df_process_end end;
    int fd[FILES];
    dfal_status status;
    *answer = (struct df_solver_answer){.outcome = DF_SOLVER_SECONDS};
    const double left = solver->end - df_clock();
    if (left <= 0)
        return DFAL_OK;
    DF_TRY_TO(done, status, open_files(fd));
    DF_TRY_TO(done, status, write_model(fd[MODEL], write, model));
    DF_TRY_TO(done, status, make_words(&words, solver, fd, (int64_t)ceil(left)));
    status = df_process_run(&end, solver->context, &words, left + GRACE_SECONDS, fd[LOG]);
    if (status == DFAL_OK) {
        status = judge(solver, answer, &end, fd[SOLUTION], columns);
    } else if (status == DFAL_E_UNAVAILABLE) {
        fail_answer(answer, "%.200s", dfal_last_error());
        status = DFAL_OK;
    }
done:
    df_words_clear(&words);
    close_files(fd);
    return status;
}
