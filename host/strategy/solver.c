/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/solver.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "strategy/solver_text.h"

/* A solver that looks at its clock ends by itself; one that does not is killed so much later. */
enum { GRACE_SECONDS = 2, LINE_BYTES = 80, HEAD_BYTES = 4096, LOG_BYTES = 1 << 26 };

dfal_status df_solver_find(char **program)
{
    static const char *const beside[] = {"../../libexec/dfal/dfal-cbc", "../libexec/dfal/dfal-cbc"};
    *program = NULL;
    for (size_t i = 0; i < sizeof beside / sizeof *beside && !*program; i++)
        DF_TRY(df_beside(program, beside[i]));
    return DFAL_OK;
}

void df_solver_answer_clear(struct df_solver_answer *answer)
{
    df_free(answer->chosen);
    *answer = (struct df_solver_answer){0};
}

void df_solver_close(struct df_solver *solver)
{
    df_scratch_close(&solver->scratch);
}

/* ---- a command's words --------------------------------------------------------------------------------- */

/* What it is told, in the order in which it comes where the command says nothing of it. */
enum told { MODEL, SOLUTION, NODES, SECONDS, TOLD };
static const char *const places[TOLD] = {"{model}", "{solution}", "{nodes}", "{seconds}"};

/* Which of them a command names, as bits. */
static int named_in(const struct df_words *words)
{
    int named = 0;
    for (int32_t i = 0; i < words->count; i++)
        for (int k = 0; k < TOLD; k++)
            if (strstr(words->word[i], places[k]))
                named |= 1 << k;
    return named;
}

dfal_status df_solver_split(struct df_words *words, const char *text, dfal_status error)
{
    DF_TRY(df_words_split(words, text, error));
    const int named = named_in(words), both = 1 << MODEL | 1 << SOLUTION;
    if (!named || (named & both) == both)
        return DFAL_OK;
    df_words_clear(words);
    DF_FAIL(error,
            "the solver's command '%.200s' says where %s goes but not where %s does, expected {model} and "
            "{solution} in it, or neither of them, {nodes} or {seconds}",
            text,
            named & 1 << MODEL      ? places[MODEL]
            : named & 1 << SOLUTION ? places[SOLUTION]
                                    : "a limit",
            named & 1 << MODEL ? places[SOLUTION] : places[MODEL]);
}

/* A word with what it is told in the places for it. */
static dfal_status add_filled(struct df_words *words, const char *word, const char *const told[TOLD])
{
    struct df_text text = {0};
    char *filled = NULL;
    while (*word) {
        int at = 0;
        while (at < TOLD && strncmp(word, places[at], strlen(places[at])) != 0)
            at++;
        df_text_append(&text, at < TOLD ? told[at] : word, at < TOLD ? (int64_t)strlen(told[at]) : 1);
        word += at < TOLD ? strlen(places[at]) : 1;
    }
    df_text_add(&text, "%s", "");
    DF_TRY(df_text_take(&text, &filled));
    const dfal_status status = df_words_add(words, filled);
    df_free(filled);
    return status;
}

/* ---- its files ----------------------------------------------------------------------------------------- */

/* Model and solution by their names for the child; descriptors of the model and of what it prints. The
 * solution has one where it is in memory. */
struct files {
    char *path[SOLUTION + 1];
    int model, solution, log;
    int64_t model_bytes;
};

static void close_files(struct files *files)
{
    const int fd[] = {files->model, files->solution, files->log};
    for (size_t i = 0; i < sizeof fd / sizeof *fd; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    for (int i = MODEL; i <= SOLUTION; i++)
        df_free(files->path[i]);
}

static dfal_status open_memory(int *fd, const char *name, unsigned flags)
{
    *fd = df_descriptor(memfd_create(name, MFD_CLOEXEC | flags));
    return *fd < 0 ? df_fail_errno(errno, true, name, "opening") : DFAL_OK;
}

static dfal_status open_in_memory(struct files *files)
{
    const int *const fd[] = {&files->model, &files->solution};
    DF_TRY(open_memory(&files->model, "dfal-model", 0));
    DF_TRY(open_memory(&files->solution, "dfal-solution", 0));
    for (int i = MODEL; i <= SOLUTION; i++)
        DF_TRY(df_format(&files->path[i], "/proc/%ld/fd/%d", (long)getpid(), *fd[i]));
    return DFAL_OK;
}

/* What an earlier model left is not to be taken for the solution of this one. */
static dfal_status open_in_folder(struct files *files, struct df_scratch *scratch)
{
    if (!scratch->path)
        DF_TRY(df_scratch_open(scratch));
    DF_TRY(df_format(&files->path[MODEL], "%s/model.mps", scratch->path));
    DF_TRY(df_format(&files->path[SOLUTION], "%s/solution.sol", scratch->path));
    DF_TRY(df_path_remove(files->path[MODEL]));
    DF_TRY(df_path_remove(files->path[SOLUTION]));
    files->model = df_file_make(AT_FDCWD, files->path[MODEL], O_RDWR);
    return files->model < 0 ? df_fail_errno(errno, true, files->path[MODEL], "opening") : DFAL_OK;
}

/* As large as it can get: a program that prints without an end is told that there is no more room. */
static dfal_status open_log(int *fd)
{
    DF_TRY(open_memory(fd, "dfal-solver-log", MFD_ALLOW_SEALING));
    if (ftruncate(*fd, LOG_BYTES) || fcntl(*fd, F_ADD_SEALS, F_SEAL_GROW))
        return df_fail_errno(errno, true, "the solver's log", "limiting");
    return DFAL_OK;
}

static dfal_status open_files(struct files *files, struct df_solver *solver)
{
    *files = (struct files){.model = -1, .solution = -1, .log = -1};
    DF_TRY(solver->command ? open_in_folder(files, &solver->scratch) : open_in_memory(files));
    return open_log(&files->log);
}

static dfal_status write_model(struct files *files, df_solver_model_fn *write, const void *model)
{
    const int own = df_descriptor(dup(files->model));
    FILE *file = own < 0 ? NULL : fdopen(own, "w");
    if (!file) {
        const int error = errno;
        if (own >= 0)
            close(own);
        return df_fail_errno(error, true, "the solver's model", "opening");
    }
    write(file, model);
    const bool failed = ferror(file) != 0;
    files->model_bytes = (int64_t)ftello(file);
    if (fclose(file) || failed)
        return df_fail_errno(errno, true, "the solver's model", "writing");
    return DFAL_OK;
}

static dfal_status make_words(struct df_words *words, const struct df_solver *solver,
                              const struct files *files, int64_t seconds)
{
    char numbers[2][32];
    snprintf(numbers[0], sizeof numbers[0], "%lld", (long long)solver->nodes);
    snprintf(numbers[1], sizeof numbers[1], "%lld", (long long)seconds);
    const char *const told[TOLD] = {files->path[MODEL], files->path[SOLUTION], numbers[0], numbers[1]};
    const bool placed = solver->command && named_in(solver->command);
    if (!solver->command)
        DF_TRY(df_words_add(words, solver->program));
    for (int32_t i = 0; solver->command && i < solver->command->count; i++)
        DF_TRY(add_filled(words, solver->command->word[i], told));
    for (int i = 0; i < TOLD && !placed; i++)
        DF_TRY(df_words_add(words, told[i]));
    return DFAL_OK;
}

/* ---- dfal-cbc's answer --------------------------------------------------------------------------------- */

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

static dfal_status take_own(struct df_solver *solver, struct df_solver_answer *answer,
                            const struct files *files, int64_t columns)
{
    const int64_t most = HEAD_BYTES + columns * LINE_BYTES;
    char *text = NULL;
    dfal_status status;
    DF_TRY(df_alloc(&answer->chosen, columns, sizeof *answer->chosen));
    DF_TRY_TO(done, status, df_alloc(&text, most + 1, 1));
    const ssize_t got = pread(files->solution, text, (size_t)most, 0);
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

/* ---- a command's answer -------------------------------------------------------------------------------- */

/* A file that is not there, or is none, is one that is empty. */
static void read_solution(struct df_solver_solution *solution, const char *path, int64_t limit)
{
    struct stat facts;
    const int fd = df_descriptor(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    FILE *file = fd >= 0 && fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) ? fdopen(fd, "r") : NULL;
    if (file) {
        df_solver_read_solution(solution, file, limit);
        fclose(file);
    } else if (fd >= 0) {
        close(fd);
    }
}

static void read_log(struct df_solver_log *log, int fd)
{
    const int own = df_descriptor(dup(fd));
    FILE *file = own < 0 || lseek(own, 0, SEEK_SET) < 0 ? NULL : fdopen(own, "r");
    *log = (struct df_solver_log){0};
    if (file) {
        df_solver_read_log(log, file);
        fclose(file);
    } else if (own >= 0) {
        close(own);
    }
}

/* Its program, and the line of its log that has a version: with a script it is not the program's. */
static void take_name(struct df_solver *solver, const struct df_solver_log *log)
{
    const char *slash = strrchr(solver->program, '/'), *program = slash ? slash + 1 : solver->program;
    snprintf(solver->name, sizeof solver->name, log->version[0] ? "%.60s (%s)" : "%.60s", program,
             log->version);
    dfal_text_clean(solver->name);
}

static void take_chosen(struct df_solver_answer *answer, const struct df_solver_solution *solution)
{
    for (int64_t j = 0; j < solution->columns; j++)
        if (solution->chosen[j])
            answer->chosen[answer->count++] = j;
}

/* What its words and its columns mean together. Columns are looked at by whoever asked, words cannot be. */
static void weigh(const struct df_solver *solver, struct df_solver_answer *answer,
                  const struct df_solver_solution *solution, const struct df_solver_log *log)
{
    const char *program = solver->program;
    const enum df_solver_word word = solution->word ? solution->word : log->word;
    const bool whole = solution->fractional < 0;
    if (solution->foreign >= 0) {
        fail_answer(answer, "the solver %.120s tells of a column y%lld, expected one below y%lld", program,
                    (long long)solution->foreign, (long long)solution->columns);
        return;
    }
    if (whole)
        take_chosen(answer, solution);
    if (word == DF_WORD_INFEASIBLE)
        answer->outcome = DF_SOLVER_INFEASIBLE;
    else if (word == DF_WORD_NODES)
        answer->outcome = DF_SOLVER_NODES;
    else if (word == DF_WORD_SECONDS)
        answer->outcome = DF_SOLVER_SECONDS;
    else if (answer->count)
        answer->outcome = DF_SOLVER_FEASIBLE;
    else if (!whole)
        fail_answer(answer,
                    "the solver %.120s calls y%lld neither 0 nor 1, expected a column of whole numbers",
                    program, (long long)solution->fractional);
    else
        fail_answer(answer,
                    "the solver %.120s left no solution that can be read, expected lines with the name and "
                    "the value of a column, or that the model is infeasible; it ends with: %s",
                    program, log->last[0] ? log->last : "nothing");
}

static dfal_status take_foreign(struct df_solver *solver, struct df_solver_answer *answer,
                                const struct files *files, const struct df_solver_log *log, int64_t columns)
{
    /* Names and values of rows and columns, of which the model has a longer line each. */
    enum { TIMES = 16 };
    struct df_solver_solution solution = {.columns = columns, .fractional = -1, .foreign = -1};
    DF_TRY(df_alloc(&answer->chosen, columns, sizeof *answer->chosen));
    DF_TRY(df_alloc(&solution.chosen, columns, sizeof *solution.chosen));
    read_solution(&solution, files->path[SOLUTION], HEAD_BYTES + TIMES * files->model_bytes);
    weigh(solver, answer, &solution, log);
    df_free(solution.chosen);
    return DFAL_OK;
}

/* ---- running it ---------------------------------------------------------------------------------------- */

static dfal_status judge(struct df_solver *solver, struct df_solver_answer *answer,
                         const struct df_process_end *end, const struct files *files, int64_t columns)
{
    struct df_solver_log log = {0};
    if (end->stopped)
        return df_context_check_stop(solver->context);
    if (solver->command) {
        read_log(&log, files->log);
        take_name(solver, &log);
    }
    if (end->expired) {
        answer->outcome = DF_SOLVER_SECONDS;
        return DFAL_OK;
    }
    if (!end->signal && !end->code)
        return solver->command ? take_foreign(solver, answer, files, &log, columns)
                               : take_own(solver, answer, files, columns);
    const char *before = log.last[0] ? "; it ends with: " : "";
    if (end->signal)
        fail_answer(answer, "the solver %.120s died by signal %d (%s)%s%s", solver->program, end->signal,
                    strsignal(end->signal), before, log.last);
    else
        fail_answer(answer, "the solver %.120s ended with exit code %d, expected 0%s%s", solver->program,
                    end->code, before, log.last);
    return DFAL_OK;
}

dfal_status df_solver_run(struct df_solver *solver, df_solver_model_fn *write, const void *model,
                          int64_t columns, struct df_solver_answer *answer)
{
    struct df_words words = {0};
    struct df_process_end end;
    struct files files;
    dfal_status status;
    *answer = (struct df_solver_answer){.outcome = DF_SOLVER_SECONDS};
    const double left = solver->end - df_clock();
    if (left <= 0)
        return DFAL_OK;
    DF_TRY_TO(done, status, open_files(&files, solver));
    DF_TRY_TO(done, status, write_model(&files, write, model));
    DF_TRY_TO(done, status, make_words(&words, solver, &files, (int64_t)ceil(left)));
    status = df_process_run(&end, solver->context, &words, left + GRACE_SECONDS, files.log);
    if (status == DFAL_OK) {
        status = judge(solver, answer, &end, &files, columns);
    } else if (status == DFAL_E_UNAVAILABLE) {
        fail_answer(answer, "the solver %.300s, expected a program by its path or one in PATH",
                    dfal_last_error());
        status = DFAL_OK;
    }
done:
    df_words_clear(&words);
    close_files(&files);
    return status;
}
