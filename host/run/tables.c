/* SPDX-License-Identifier: Apache-2.0 */
#include "run/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "run/curve.h"

enum { MOST_TABLE = INT32_MAX };

/* A line that is kept: `place` of the list it belongs to. */
struct line {
    const char *text;
    int64_t size, place;
    int32_t round;
};

/* A table as it was read. */
struct text {
    char *path, *bytes;
    size_t size;
};

struct settling {
    struct df_run_directory *directory;
    const struct df_run_place *places; /* trial by trial */
    int64_t count;
    enum df_run_table table;
    struct text *texts; /* [text_count] by source */
    int32_t text_count;
    struct line *lines;
    int64_t kept, capacity;
    /* Of a join, once its curve is whole: the annotations of each round, of place p from first[p] on. */
    int64_t *annotations, *first;
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

/* The place of a strategy's name [length] in a trial that a source has; -1: there is none. */
static int64_t find_place(const struct settling *s, int32_t source, int32_t trial, const char *strategy,
                          size_t length)
{
    int64_t low = 0, high = s->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (s->places[middle].trial < trial)
            low = middle + 1;
        else
            high = middle;
    }
    for (int64_t p = low; p < s->count && s->places[p].trial == trial; p++)
        if (s->places[p].source == source && strlen(s->places[p].strategy) == length &&
            !memcmp(s->places[p].strategy, strategy, length))
            return p;
    return -1;
}

/* Every table begins with strategy, trial, round. A line of no listed place, as one that was cut short by a
 * full disk may look, is of nobody: false. */
static bool read_line(const struct settling *s, int32_t source, const char *text, int64_t size,
                      struct line *line)
{
    const char *end = text + size, *comma = memchr(text, ',', (size_t)size), *at = comma ? comma + 1 : end;
    int32_t trial, round;
    if (!comma || !take_number(&at, end, &trial) || !take_number(&at, end, &round))
        return false;
    const int64_t place = find_place(s, source, trial, text, (size_t)(comma - text));
    *line = (struct line){text, size, place, round};
    return place >= 0 && round <= s->places[place].round;
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
    return (a->text > b->text) - (a->text < b->text); /* as they stand: a place's are of one text */
}

static int64_t header_size(const struct text *text)
{
    const char *end = memchr(text->bytes, '\n', text->size);
    return end ? end + 1 - text->bytes : (int64_t)text->size;
}

static dfal_status read_text(struct text *text, const char *dir, enum df_run_table table)
{
    DF_TRY(df_run_table_path(&text->path, dir, table));
    return df_file_read(&text->bytes, &text->size, text->path, MOST_TABLE);
}

static dfal_status find_lines(struct settling *s, int32_t source)
{
    const struct text *text = &s->texts[source];
    const char *at = text->bytes + header_size(text), *end = text->bytes + text->size;
    int64_t lines = 0;
    for (const char *c = at; c < end; c++)
        lines += *c == '\n';
    DF_TRY(df_grow(&s->lines, &s->capacity, s->kept + lines, sizeof *s->lines, 1));
    for (const char *next; (next = line_end(at, end)); at = next)
        s->kept += read_line(s, source, at, next - at, &s->lines[s->kept]);
    return DFAL_OK;
}

static void sort_lines(struct settling *s)
{
    if (s->kept > 0) /* else there is no list at all */
        qsort(s->lines, (size_t)s->kept, sizeof *s->lines, compare_lines);
}

static void settling_clear(struct settling *s)
{
    for (int32_t i = 0; s->texts && i < s->text_count; i++) {
        df_free(s->texts[i].path);
        df_free(s->texts[i].bytes);
    }
    df_free(s->texts);
    df_free(s->lines);
    s->texts = NULL;
    s->lines = NULL;
    s->capacity = 0;
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
static dfal_status check_rounds(const struct settling *s)
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
                    s->texts[s->places[p].source].path, next, s->places[p].strategy, s->places[p].trial,
                    s->places[p].round);
    }
    return DFAL_OK;
}

/* The first text's line of columns, then the lines; a table that has them already is left alone. */
static dfal_status write_table(const struct settling *s, bool joined)
{
    const struct text *first = &s->texts[0];
    char *sorted;
    int64_t at = header_size(first), size = at;
    for (int64_t i = 0; i < s->kept; i++)
        size += s->lines[i].size;
    DF_TRY(df_alloc(&sorted, size, 1));
    memcpy(sorted, first->bytes, (size_t)at);
    for (int64_t i = 0; i < s->kept; at += s->lines[i++].size)
        memcpy(sorted + at, s->lines[i].text, (size_t)s->lines[i].size);
    dfal_status status = DFAL_OK;
    if (joined || (size_t)size != first->size || memcmp(sorted, first->bytes, first->size) != 0)
        status = df_run_directory_replace(s->directory, s->table, sorted, size);
    df_free(sorted);
    return status;
}

static dfal_status settle(struct settling *s)
{
    dfal_status status;
    s->text_count = 1;
    DF_TRY_TO(done, status, df_alloc(&s->texts, 1, sizeof *s->texts));
    DF_TRY_TO(done, status, read_text(&s->texts[0], s->directory->path, s->table));
    DF_TRY_TO(done, status, find_lines(s, 0));
    sort_lines(s);
    if (s->table == DF_RUN_TRANSFER)
        keep_last(s);
    DF_TRY_TO(done, status, check_rounds(s));
    status = write_table(s, false);
done:
    settling_clear(s);
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

/* ---- joining ------------------------------------------------------------------------------------------- */

/* A finished run has settled its tables: every byte of one is of a round that a checkpoint knows of. */
static dfal_status find_all_lines(struct settling *s, int32_t source)
{
    const struct text *text = &s->texts[source];
    const char *header = df_run_table_header(s->table);
    const int64_t before = s->kept;
    if (text->size < strlen(header) || memcmp(text->bytes, header, strlen(header)) != 0)
        DF_FAIL(DFAL_E_DATA, "%s begins with other columns, expected %.*s", text->path,
                (int)strcspn(header, "\n"), header);
    DF_TRY(find_lines(s, source));
    int64_t size = header_size(text);
    for (int64_t i = before; i < s->kept; i++)
        size += s->lines[i].size;
    if ((size_t)size != text->size)
        DF_FAIL(DFAL_E_DATA,
                "%s has %lld bytes that are of no round of its checkpoints, expected the table of a finished "
                "run",
                text->path, (long long)((int64_t)text->size - size));
    return DFAL_OK;
}

/* How many lines a round of a place has: the curve one, the queries one an annotation, the classes as many as
 * every other round. */
static int64_t expected_lines(const struct settling *s, const struct line *line, int64_t classes)
{
    if (s->table != DF_RUN_QUERIES)
        return s->table == DF_RUN_CURVE ? 1 : classes;
    const int64_t *annotations = s->annotations + s->first[line->place] + line->round;
    return annotations[0] - (line->round ? annotations[-1] : 0);
}

/* Lines may be gone in the middle of a round. */
static dfal_status check_lines(const struct settling *s)
{
    int64_t classes = 0;
    for (int64_t i = 0, end; i < s->kept; i = end) {
        const struct line *line = &s->lines[i];
        const struct df_run_place *place = &s->places[line->place];
        for (end = i; end < s->kept && s->lines[end].place == line->place; end++)
            if (s->lines[end].round != line->round)
                break;
        classes = classes ? classes : end - i;
        const int64_t expected = expected_lines(s, line, classes);
        if (end - i != expected)
            DF_FAIL(DFAL_E_DATA, "%s has %lld lines of round %d of %s in trial %d, expected %lld",
                    s->texts[place->source].path, (long long)(end - i), line->round, place->strategy,
                    place->trial, (long long)expected);
    }
    return DFAL_OK;
}

/* What another network learns has a line of the last round in each place. */
static dfal_status check_ends(const struct settling *s)
{
    int64_t at = 0;
    for (int64_t p = 0; p < s->count; p++) {
        int32_t last = -1;
        for (; at < s->kept && s->lines[at].place == p; at++)
            last = s->lines[at].round;
        if (last != s->places[p].round)
            DF_FAIL(DFAL_E_DATA, "%s has no line of round %d of %s in trial %d, its last one",
                    s->texts[s->places[p].source].path, s->places[p].round, s->places[p].strategy,
                    s->places[p].trial);
    }
    return DFAL_OK;
}

static dfal_status join(struct settling *s, const char *const *dirs)
{
    dfal_status status;
    s->kept = 0;
    DF_TRY_TO(done, status, df_alloc(&s->texts, s->text_count, sizeof *s->texts));
    for (int32_t i = 0; i < s->text_count; i++) {
        DF_TRY_TO(done, status, read_text(&s->texts[i], dirs[i], s->table));
        DF_TRY_TO(done, status, find_all_lines(s, i));
    }
    sort_lines(s);
    DF_TRY_TO(done, status, check_rounds(s));
    DF_TRY_TO(done, status, s->table == DF_RUN_TRANSFER ? check_ends(s) : check_lines(s));
    status = write_table(s, true);
done:
    settling_clear(s);
    return status;
}

/* Of a source whose table is known to have every round of its places. */
static dfal_status read_annotations(const struct settling *s, int32_t source, const char *dir)
{
    struct df_curve curve;
    DF_TRY(df_curve_read(&curve, dir));
    for (int64_t i = 0; i < curve.count; i++) {
        const struct df_curve_row *row = &curve.rows[i];
        const int64_t p = find_place(s, source, row->trial, row->strategy, strlen(row->strategy));
        if (p >= 0 && row->round <= s->places[p].round)
            s->annotations[s->first[p] + row->round] = row->annotations;
    }
    df_curve_clear(&curve);
    return DFAL_OK;
}

/* And the last round's are those of the checkpoint. */
static dfal_status count_annotations(struct settling *s, const char *const *dirs)
{
    int64_t rounds = 0;
    DF_TRY(df_alloc(&s->first, s->count, sizeof *s->first));
    for (int64_t p = 0; p < s->count; p++) {
        s->first[p] = rounds;
        rounds += s->places[p].round + 1;
    }
    DF_TRY(df_alloc(&s->annotations, rounds, sizeof *s->annotations));
    for (int32_t i = 0; i < s->text_count; i++)
        DF_TRY(read_annotations(s, i, dirs[i]));
    for (int64_t p = 0; p < s->count; p++) {
        const struct df_run_place *place = &s->places[p];
        const int64_t last = s->annotations[s->first[p] + place->round];
        if (last != place->annotations)
            DF_FAIL(DFAL_E_DATA,
                    "%s/curve.csv ends at %lld annotations of %s in trial %d, expected the %lld of its "
                    "checkpoint",
                    dirs[place->source], (long long)last, place->strategy, place->trial,
                    (long long)place->annotations);
    }
    return DFAL_OK;
}

dfal_status df_run_tables_join(struct df_run_directory *directory, const char *const *dirs, int32_t dir_count,
                               const struct df_run_place *places, int64_t count)
{
    struct settling settling = {
        .directory = directory, .places = places, .count = count, .text_count = dir_count};
    dfal_status status = DFAL_OK;
    for (int t = 0; t < DF_RUN_TABLES && status == DFAL_OK; t++) {
        settling.table = (enum df_run_table)t;
        if (directory->table[t] >= 0)
            status = join(&settling, dirs);
        if (t == DF_RUN_CURVE && status == DFAL_OK)
            status = count_annotations(&settling, dirs);
    }
    df_free(settling.annotations);
    df_free(settling.first);
    return status;
}
