/* SPDX-License-Identifier: Apache-2.0 */
#include "run/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"

enum { MOST_TABLE = INT32_MAX };

/* A line that is kept: `place` of the list it belongs to. */
struct line {
    const char *text;
    int64_t size, place;
    int32_t round;
};

struct settling {
    struct df_run_directory *directory;
    const struct df_run_place *places;
    int64_t count;
    enum df_run_table table;
    struct line *lines;
    int64_t kept;
};

/* The whole number of a cell; *at moves behind it and its comma. */
static bool take_number(const char **at, const char *end, int32_t *number)
{
    char cell[16];
    int64_t value;
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    const size_t size = comma ? (size_t)(comma - *at) : sizeof cell;
    if (size >= sizeof cell)
        return false;
    memcpy(cell, *at, size);
    cell[size] = 0;
    if (!df_parse_whole(&value, cell) || value < 0 || value > INT32_MAX)
        return false;
    *number = (int32_t)value;
    *at = comma + 1;
    return true;
}

/* Every table begins with strategy, trial, round. A line of no listed place, as one that was cut short by a
 * full disk may look, is of nobody: false. */
static bool read_line(const struct settling *s, const char *text, int64_t size, struct line *line)
{
    const char *end = text + size, *comma = memchr(text, ',', (size_t)size), *at = comma ? comma + 1 : end;
    int32_t trial, round;
    if (!comma || !take_number(&at, end, &trial) || !take_number(&at, end, &round))
        return false;
    for (int64_t p = 0; p < s->count; p++) {
        const char *strategy = s->places[p].strategy;
        if (s->places[p].trial == trial && strlen(strategy) == (size_t)(comma - text) &&
            !memcmp(strategy, text, (size_t)(comma - text))) {
            *line = (struct line){text, size, p, round};
            return round <= s->places[p].round;
        }
    }
    return false;
}

/* Behind the line end, which is none inside of quotes; NULL: the line is cut short. */
static const char *line_end(const char *at, const char *end)
{
    bool quoted = false;
    for (; at < end; at++) {
        quoted = quoted != (*at == '"');
        if (*at == '\n' && !quoted)
            return at + 1;
    }
    return NULL;
}

static int compare_lines(const void *a_, const void *b_)
{
    const struct line *a = a_, *b = b_;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return (a->text > b->text) - (a->text < b->text); /* as they stand */
}

static dfal_status find_lines(struct settling *s, const char *text, int64_t size)
{
    int64_t lines = 0;
    for (int64_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    DF_TRY(df_alloc(&s->lines, lines, sizeof *s->lines));
    for (const char *at = text, *end; (end = line_end(at, text + size)); at = end)
        s->kept += read_line(s, at, end - at, &s->lines[s->kept]);
    qsort(s->lines, (size_t)s->kept, sizeof *s->lines, compare_lines);
    return DFAL_OK;
}

/* A round has one line of what another network learns. Where no candidate is left, that of the last round is
 * written behind its checkpoint, and whoever is killed then writes it once more. */
static void keep_last(struct settling *s)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < s->kept; i++)
        if (i + 1 == s->kept || s->lines[i].place != s->lines[i + 1].place ||
            s->lines[i].round != s->lines[i + 1].round)
            s->lines[kept++] = s->lines[i];
    s->kept = kept;
}

/* Every round has lines but the first, whose rows are no queries, those that another network learns, and
 * those of more classes than a table holds. */
static dfal_status check_rounds(const struct settling *s, const char *path)
{
    const int32_t first = s->table == DF_RUN_QUERIES ? 1 : 0;
    int64_t at = 0;
    for (int64_t p = 0; p < s->count && s->table != DF_RUN_TRANSFER; p++) {
        int32_t next = first;
        for (; at < s->kept && s->lines[at].place == p; at++)
            next += s->lines[at].round == next;
        if (next <= s->places[p].round && (next > 0 || s->table != DF_RUN_CLASSES))
            DF_FAIL(DFAL_E_DATA,
                    "%s has no round %d of %s in trial %d, expected those up to %d, the last that "
                    "its checkpoint knows of",
                    path, next, s->places[p].strategy, s->places[p].trial, s->places[p].round);
    }
    return DFAL_OK;
}

static dfal_status write_table(const struct settling *s, const char *text, size_t size)
{
    char *sorted;
    const char *end = memchr(text, '\n', size);
    int64_t at = end ? end + 1 - text : 0;
    DF_TRY(df_alloc(&sorted, (int64_t)size, 1));
    memcpy(sorted, text, (size_t)at);
    for (int64_t i = 0; i < s->kept; at += s->lines[i++].size)
        memcpy(sorted + at, s->lines[i].text, (size_t)s->lines[i].size);
    dfal_status status = DFAL_OK;
    if ((size_t)at != size || memcmp(sorted, text, size) != 0)
        status = df_run_directory_replace(s->directory, s->table, sorted, at);
    df_free(sorted);
    return status;
}

static dfal_status settle(struct settling *s)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    dfal_status status;
    DF_TRY_TO(done, status, df_run_directory_table_path(&path, s->directory, s->table));
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, MOST_TABLE));
    const char *body = memchr(text, '\n', size);
    body = body ? body + 1 : text + size;
    DF_TRY_TO(done, status, find_lines(s, body, text + size - body));
    if (s->table == DF_RUN_TRANSFER)
        keep_last(s);
    DF_TRY_TO(done, status, check_rounds(s, path));
    status = write_table(s, text, size);
done:
    df_free(s->lines);
    df_free(path);
    df_free(text);
    return status;
}

dfal_status df_run_tables_settle(struct df_run_directory *directory, const struct df_run_place *places,
                                 int64_t count)
{
    for (int t = 0; t < DF_RUN_TABLES; t++) {
        struct settling settling = {
            .directory = directory, .places = places, .count = count, .table = (enum df_run_table)t};
        if (directory->table[t] >= 0)
            DF_TRY(settle(&settling));
    }
    return DFAL_OK;
}
