/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/solver_text.h"

#include <math.h>
#include <string.h>

#include "base/character.h"
#include "base/number.h"

/* ---- lines --------------------------------------------------------------------------------------------- */

/* Longer lines come in pieces: what is looked for stands near the begin of short ones. */
enum { PIECE_BYTES = 4096 };
typedef void piece_fn(void *user, char *piece, int64_t number);

/* Up to the end, a zero byte or the limit. */
static void read_pieces(FILE *file, int64_t limit, piece_fn *fn, void *user)
{
    char piece[PIECE_BYTES];
    for (int64_t number = 0; limit > 0 && fgets(piece, sizeof piece, file) && piece[0]; number++) {
        limit -= (int64_t)strlen(piece);
        fn(user, piece, number);
    }
}

/* ---- words --------------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return df_lower(c) >= 'a' && df_lower(c) <= 'z';
}

static bool has(const char *text, const char *phrase)
{
    while (*text && !df_begins_but_case(text, phrase))
        text++;
    return *text != 0;
}

struct phrase {
    const char *text;
    enum df_solver_word word;
    bool in_log; /* means the same in a log, where a word alone may be about anything */
};
/* The first of these that a line has counts. CBC has "Stopped on iterations" for nodes, HiGHS "Solution limit
 * reached". GLPK ends a solution with a line about feasibility, whatever it is: what comes first counts, and
 * so its "UNDEFINED" is here. */
static const struct phrase phrases[] = {
    {"stopped on time", DF_WORD_SECONDS, true},
    {"time limit reached", DF_WORD_SECONDS, true},
    {"time limit exceeded", DF_WORD_SECONDS, true},
    {"time limit", DF_WORD_SECONDS, false},
    {"node limit reached", DF_WORD_NODES, true},
    {"solution limit reached", DF_WORD_NODES, true},
    {"stopped on", DF_WORD_NODES, false},
    {"limit reached", DF_WORD_NODES, false},
    {"node limit", DF_WORD_NODES, false},
    {"integer undefined", DF_WORD_NONE, false},
    {"unknown", DF_WORD_NONE, false},
    {"no primal feasible solution", DF_WORD_INFEASIBLE, true},
    {"no integer feasible solution", DF_WORD_INFEASIBLE, true},
    {"model is infeasible", DF_WORD_INFEASIBLE, true},
    {"problem is infeasible", DF_WORD_INFEASIBLE, true},
    {"[infeasible]", DF_WORD_INFEASIBLE, true},
    {"integer empty", DF_WORD_INFEASIBLE, false},
    {"infeasible", DF_WORD_INFEASIBLE, false},
    {"optimal", DF_WORD_SOLVED, false},
};

/* True: the piece has one of the phrases. */
static bool find_word(enum df_solver_word *word, const char *piece, bool in_log)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if ((phrases[i].in_log || !in_log) && has(piece, phrases[i].text)) {
            *word = phrases[i].word;
            return true;
        }
    return false;
}

/* ---- solutions ----------------------------------------------------------------------------------------- */

struct solution_reader {
    struct df_solver_solution *solution;
    bool told; /* how the search ended, or that nobody knows */
};

/* A number behind the name; between them GLPK marks a column of whole numbers by a star. */
static bool read_value(double *value, char **rest)
{
    static const char between[] = " \t\r\n=*";
    char *end, *word = strtok_r(NULL, between, rest);
    if (!word)
        return false;
    *value = df_parse_real(word, &end);
    return end != word && !*end;
}

static void take_value(struct df_solver_solution *solution, int64_t column, double value)
{
    enum { EXACT = 10000 }; /* solvers are content with less */
    solution->values++;
    if (column >= solution->columns)
        solution->foreign = column;
    else if (!(fabs(value - (value > 0.5)) * EXACT < 1))
        solution->fractional = column;
    else if (value > 0.5)
        solution->chosen[column] = true;
}

static void read_solution_piece(void *user, char *piece, int64_t number)
{
    struct solution_reader *reader = user;
    char copy[PIECE_BYTES], *rest = NULL;
    (void)number;
    memcpy(copy, piece, strlen(piece) + 1);
    for (char *word = strtok_r(copy, " \t\r\n=", &rest); word; word = strtok_r(NULL, " \t\r\n=", &rest)) {
        int64_t column;
        double value;
        if (word[0] != 'y' || !df_parse_whole(&column, word + 1) || column < 0)
            continue;
        if (!read_value(&value, &rest))
            break;
        take_value(reader->solution, column, value);
        return;
    }
    if (!reader->told)
        reader->told = find_word(&reader->solution->word, piece, false);
}

void df_solver_read_solution(struct df_solver_solution *solution, FILE *file, int64_t limit)
{
    struct solution_reader reader = {.solution = solution};
    solution->word = DF_WORD_NONE;
    solution->values = 0;
    solution->fractional = solution->foreign = -1;
    read_pieces(file, limit, read_solution_piece, &reader);
}

/* ---- logs ---------------------------------------------------------------------------------------------- */

enum { FIRST_LINES = 16 };

/* Where a version ends that begins here: "2.10.8", "v11.0.1rc0,"; NULL: none does. */
static const char *version_end(const char *at)
{
    const char *c = at + (*at == 'v' || *at == 'V');
    if (!is_digit(*c))
        return NULL;
    c += strspn(c, "0123456789");
    if (c[0] != '.' || !is_digit(c[1]))
        return NULL;
    while (is_digit(*c) || is_letter(*c) || (*c && strchr(".+-", *c) && (is_digit(c[1]) || is_letter(c[1]))))
        c++;
    return c;
}

/* A line that begins with a word and says nothing of time: it would be another one each time. */
static void find_version(char version[DF_SOLVER_VERSION], const char *line)
{
    line += strspn(line, " \t");
    if (!is_letter(line[0]) || has(line, "time") || has(line, "second"))
        return;
    for (const char *at = line; *at; at++) {
        const char *end = at == line || strchr(" \t(", at[-1]) ? version_end(at) : NULL;
        if (end) {
            snprintf(version, DF_SOLVER_VERSION, "%.*s", (int)(end - line), line);
            return;
        }
    }
}

static void read_log_piece(void *user, char *piece, int64_t number)
{
    struct df_solver_log *log = user;
    piece[strcspn(piece, "\r\n")] = 0;
    dfal_text_clean(piece);
    const char *text = piece + strspn(piece, " \t");
    if (!*text)
        return;
    if (number < FIRST_LINES && !log->version[0])
        find_version(log->version, text);
    find_word(&log->word, text, true);
    snprintf(log->last, sizeof log->last, "%s", text);
}

void df_solver_read_log(struct df_solver_log *log, FILE *file)
{
    *log = (struct df_solver_log){0};
    read_pieces(file, INT64_MAX, read_log_piece, log);
}
