/* SPDX-License-Identifier: Apache-2.0 */
#include "run/curve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/kind.h"
#include "base/memory.h"
#include "base/number.h"
#include "run/statistics.h"

#define MAX_CURVE ((size_t)256 << 20)
enum { MAX_CONFIG = 1 << 20 };

void df_curve_line(struct df_text *text, const struct df_curve_row *row)
{
    df_text_csv(text, row->strategy);
    df_text_add(text, ",%d,%d,%lld,%lld", row->trial, row->round, (long long)row->annotations,
                (long long)row->labelled);
    const double numbers[] = {row->accuracy, row->best_so_far, row->loss};
    for (int i = 0; i < 3; i++) {
        df_text_add(text, ",");
        df_text_number(text, numbers[i]);
    }
    df_text_add(text, ",%.3f,%.3f,", row->train_seconds, row->select_seconds);
    if (row->steps >= 0)
        df_text_add(text, "%lld", (long long)row->steps);
    df_text_add(text, ",%.3f,%s\n", row->round_seconds, row->statuses);
}

static const char *const status_names[DFAL_SCORE_STATUS_ROOM] = {
#define X(name, value, group) [value] = #name,
    DFAL_SCORE_STATUS_LIST(X)
#undef X
};

void df_curve_statuses(char text[128], const int64_t counts[DFAL_SCORE_STATUS_ROOM])
{
    int length = 0;
    text[0] = 0;
    for (int s = 0; s < DFAL_SCORE_STATUS_ROOM; s++)
        if (counts[s] && status_names[s] && length < 128)
            length += snprintf(text + length, 128 - (size_t)length, "%s%s %lld", length ? " " : "",
                               status_names[s], (long long)counts[s]);
}

/* What is no status is passed over. */
void df_curve_count_statuses(int64_t counts[DFAL_SCORE_STATUS_ROOM], const char *text)
{
    char name[32];
    long long count;
    int used;
    for (; sscanf(text, " %31s %lld%n", name, &count, &used) == 2; text += used)
        for (int s = 0; s < DFAL_SCORE_STATUS_ROOM; s++)
            if (status_names[s] && !strcmp(status_names[s], name))
                counts[s] += count;
}

static bool take_integer(char **text, int64_t *value)
{
    char *end = *text;
    *value = strtoll(*text, &end, 10);
    bool fine = end > *text && (*end == ',' || !*end);
    *text = end + (*end == ',');
    return fine;
}

/* An empty field is NAN. */
static bool take_real(char **text, double *value)
{
    char *end = *text;
    *value = df_parse_real(*text, &end);
    if (end == *text)
        *value = NAN;
    bool fine = *end == ',' || !*end;
    *text = end + (*end == ',');
    return fine;
}

/* What every table begins with: strategy, trial, round, annotations, labelled, accuracy; *at: what follows.
 * The rest is not known. */
static bool parse_begin(struct df_curve_row *row, char *line, char **at)
{
    int64_t trial, round;
    *at = strchr(line, ',');
    if (!*at || *at == line || *at - line >= (int)sizeof row->strategy)
        return false;
    *(*at)++ = 0;
    *row = (struct df_curve_row){.best_so_far = NAN,
                                 .loss = NAN,
                                 .train_seconds = NAN,
                                 .select_seconds = NAN,
                                 .steps = -1,
                                 .round_seconds = NAN};
    snprintf(row->strategy, sizeof row->strategy, "%.31s", line);
    if (!take_integer(at, &trial) || !take_integer(at, &round) || !take_integer(at, &row->annotations) ||
        !take_integer(at, &row->labelled) || trial < 1 || trial > INT32_MAX || round < 0 || round > INT32_MAX)
        return false;
    row->trial = (int32_t)trial;
    row->round = (int32_t)round;
    return take_real(at, &row->accuracy);
}

static bool parse_transfer(struct df_curve_row *row, char *line)
{
    char *at;
    return parse_begin(row, line, &at) && !*at;
}

static bool parse_middle(struct df_curve_row *row, char *line, char **at)
{
    return parse_begin(row, line, at) && take_real(at, &row->best_so_far) && take_real(at, &row->loss) &&
           take_real(at, &row->train_seconds) && take_real(at, &row->select_seconds);
}

/* Tables of earlier versions: this one, and parse_second. */
static bool parse_first(struct df_curve_row *row, char *line)
{
    char *at;
    return parse_middle(row, line, &at) && !*at;
}

static bool parse_times(struct df_curve_row *row, char *line, char **at)
{
    if (!parse_middle(row, line, at))
        return false;
    if (**at == ',')
        ++*at;
    else if (!take_integer(at, &row->steps))
        return false;
    return take_real(at, &row->round_seconds);
}

static bool parse_second(struct df_curve_row *row, char *line)
{
    char *at;
    return parse_times(row, line, &at) && !*at;
}

static bool parse_whole(struct df_curve_row *row, char *line)
{
    char *at;
    if (!parse_times(row, line, &at) || strchr(at, ',') || strlen(at) >= sizeof row->statuses)
        return false;
    snprintf(row->statuses, sizeof row->statuses, "%s", at);
    return true;
}

/* What a table's first line may be, and how the others are read then. */
struct layout {
    const char *header;
    bool (*parse)(struct df_curve_row *row, char *line);
};

static const struct layout *find_layout(const struct layout *layouts, const char *header)
{
    while (layouts->header && strcmp(layouts->header, header) != 0)
        layouts++;
    return layouts->header ? layouts : NULL;
}

/* layouts   today's, then earlier ones, then {NULL} */
static dfal_status read_table(struct df_curve *curve, const char *dir, const char *name,
                              const struct layout *layouts)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    int64_t lines = 0, line = 0;
    const struct layout *layout = NULL;
    dfal_status status;
    *curve = (struct df_curve){0};
    DF_TRY_TO(done, status, df_format(&path, "%s/%s", dir, name));
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, MAX_CURVE));
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    DF_TRY_TO(done, status, df_alloc(&curve->rows, lines, sizeof *curve->rows));
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = 0;
        if (!line++) {
            layout = find_layout(layouts, at);
            if (!layout) {
                status = df_fail(DFAL_E_DATA, "%s:1: the header is '%.100s', expected %s", path, at,
                                 layouts->header);
                goto done;
            }
        } else if (!layout->parse(&curve->rows[curve->count++], at)) {
            status = df_fail(DFAL_E_DATA, "%s:%lld: '%.60s' is not a row of %s", path, (long long)line, at,
                             layout->header);
            goto done;
        }
    }
done:
    df_free(path);
    df_free(text);
    if (status != DFAL_OK)
        df_curve_clear(curve);
    return status;
}

dfal_status df_curve_read(struct df_curve *curve, const char *dir)
{
    static const struct layout layouts[] = {{DF_CURVE_COLUMNS, parse_whole},
                                            {DF_CURVE_COLUMNS_SECOND, parse_second},
                                            {DF_CURVE_COLUMNS_FIRST, parse_first},
                                            {NULL, NULL}};
    return read_table(curve, dir, "curve.csv", layouts);
}

dfal_status df_transfer_read(struct df_curve *curve, const char *dir)
{
    static const struct layout layouts[] = {{DF_TRANSFER_COLUMNS, parse_transfer}, {NULL, NULL}};
    return read_table(curve, dir, "transfer.csv", layouts);
}

void df_curve_clear(struct df_curve *curve)
{
    df_free(curve->rows);
    *curve = (struct df_curve){0};
}

dfal_status df_run_directory_check(const char *dir)
{
    char *path = NULL;
    DF_TRY(df_format(&path, "%s/config.yaml", dir));
    const bool known = df_file_exists(path), folder = df_folder_exists(dir);
    df_free(path);
    if (known)
        return DFAL_OK;
    if (!folder && !df_file_exists(dir))
        DF_FAIL(DFAL_E_NOINPUT, "%s: no such folder, expected a run directory", dir);
    DF_TRY(df_refuse_kind(dir, "a folder with config.yaml: a run directory"));
    DF_FAIL(DFAL_E_DATA, "%s: %s, expected a run directory", dir,
            folder ? "a folder without config.yaml" : "a file");
}

dfal_status df_run_directory_config(struct df_run_config *config, const char *dir)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    dfal_status status;
    DF_TRY(df_run_directory_check(dir));
    DF_TRY_TO(done, status, df_format(&path, "%s/config.yaml", dir));
    DF_TRY_TO(done, status, df_file_read(&text, &size, path, MAX_CONFIG));
    df_run_config_init(config);
    DF_TRY_TO(done, status, df_run_config_parse(config, text, size, path, NULL, DFAL_E_CONFIG));
    df_run_config_settle(config);
done:
    df_free(path);
    df_free(text);
    return status;
}

static int compare_rows(const void *a_, const void *b_)
{
    const struct df_curve_row *a = *(const struct df_curve_row *const *)a_,
                              *b = *(const struct df_curve_row *const *)b_;
    if (a->annotations != b->annotations)
        return a->annotations < b->annotations ? -1 : 1;
    return (a->trial > b->trial) - (a->trial < b->trial);
}

dfal_status df_curve_points(struct df_curve_point **points, int64_t *count, const struct df_curve *curve,
                            const char *strategy)
{
    const struct df_curve_row **rows = NULL;
    double *values = NULL;
    int64_t n = 0;
    dfal_status status;
    *points = NULL;
    *count = 0;
    DF_TRY_TO(done, status, df_alloc(&rows, curve->count, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&values, curve->count, sizeof *values));
    DF_TRY_TO(done, status, df_alloc(points, curve->count, sizeof **points));
    for (int64_t i = 0; i < curve->count; i++)
        if (!strcmp(curve->rows[i].strategy, strategy))
            rows[n++] = &curve->rows[i];
    qsort(rows, (size_t)n, sizeof *rows, compare_rows);
    int64_t whole = n; /* [whole, n) is of the trials that have come to the most annotations */
    while (whole > 0 && rows[whole - 1]->annotations == rows[n - 1]->annotations)
        whole--;
    for (int64_t i = 0, end; i < n; i = end) {
        int32_t trials = 0;
        int64_t of = whole;
        for (end = i; end < n && rows[end]->annotations == rows[i]->annotations; end++) {
            while (of < n && rows[of]->trial < rows[end]->trial)
                of++;
            if (of < n && rows[of]->trial == rows[end]->trial)
                values[trials++] = rows[end]->accuracy;
        }
        if (trials < n - whole)
            continue;
        struct df_curve_point *point = &(*points)[(*count)++];
        point->annotations = rows[i]->annotations;
        point->trials = trials;
        df_mean(values, trials, &point->mean, &point->standard_error);
    }
done:
    df_free(rows);
    df_free(values);
    if (status != DFAL_OK) {
        df_free(*points);
        *points = NULL;
    }
    return status;
}

/* What each trial of a strategy has come to. */
struct trial {
    const struct df_curve_row *first, *last; /* rounds; NULL: none */
    double area;                             /* under its curve, by trapezoids */
};

/* Rounds of a trial stand in their order. */
static void look_at_trials(struct trial *trials, int32_t count, const struct df_curve *curve,
                           const char *strategy)
{
    for (int32_t t = 0; t < count; t++)
        trials[t] = (struct trial){0};
    for (int64_t i = 0; i < curve->count; i++) {
        const struct df_curve_row *row = &curve->rows[i];
        if (row->trial > count || strcmp(row->strategy, strategy))
            continue;
        struct trial *trial = &trials[row->trial - 1];
        if (trial->last && row->round <= trial->last->round)
            continue;
        if (trial->last)
            trial->area += (double)(row->annotations - trial->last->annotations) *
                           (row->accuracy + trial->last->accuracy) / 2;
        else
            trial->first = row;
        trial->last = row;
    }
}

/* Trials that are not as far as others of their strategy are left out: a mean over rounds of different sizes
 * would be of nothing. */
static void drop_unfinished(struct trial *trials, int32_t count)
{
    int64_t most = 0;
    for (int32_t t = 0; t < count; t++)
        if (trials[t].last && trials[t].last->annotations > most)
            most = trials[t].last->annotations;
    for (int32_t t = 0; t < count; t++)
        if (trials[t].last && trials[t].last->annotations < most)
            trials[t] = (struct trial){0};
}

/* The mean accuracy on the way. */
static double area_of(const struct trial *trial)
{
    const int64_t span = trial->last->annotations - trial->first->annotations;
    return span ? trial->area / (double)span : trial->last->accuracy;
}

dfal_status df_curve_areas(struct df_curve_area **areas, const struct df_curve *curve, const char *strategy,
                           int32_t trials)
{
    struct trial *of = NULL;
    dfal_status status;
    *areas = NULL;
    DF_TRY_TO(done, status, df_alloc(&of, trials, sizeof *of));
    DF_TRY_TO(done, status, df_alloc(areas, trials, sizeof **areas));
    look_at_trials(of, trials, curve, strategy);
    for (int32_t t = 0; t < trials; t++)
        if (of[t].last)
            (*areas)[t] = (struct df_curve_area){area_of(&of[t]), of[t].last->annotations};
done:
    df_free(of);
    return status;
}

/* What a strategy's trials come to by themselves. room [trials, 4]. */
static void summarise(struct dfal_run_row *out, const struct trial *ours, int32_t trials, double *room)
{
    double *accuracy = room, *best = room + trials, *steps = room + 2 * (int64_t)trials,
           *area = room + 3 * (int64_t)trials, spread;
    int32_t n = 0, counted = 0;
    for (int32_t t = 0; t < trials; t++) {
        const struct df_curve_row *last = ours[t].last;
        if (!last)
            continue;
        accuracy[n] = last->accuracy;
        area[n] = area_of(&ours[t]);
        best[n++] = last->best_so_far;
        if (last->steps >= 0)
            steps[counted++] = (double)last->steps;
        out->annotations = last->annotations;
        out->labelled = last->labelled;
    }
    out->trials = n;
    df_mean(accuracy, n, &out->accuracy_mean, &out->accuracy_stderr);
    df_mean(area, n, &out->area_mean, &out->area_stderr);
    df_mean(best, n, &out->best_mean, &spread);
    df_mean(steps, counted, &out->steps_mean, &spread);
}

/* The differences to random in the trials where both have as many annotations. room [trials, 4]. */
static void hold_against(struct dfal_run_row *out, const struct trial *ours, const struct trial *random,
                         int32_t trials, double *room)
{
    double *accuracy = room, *their_accuracy = room + trials, *area = room + 2 * (int64_t)trials,
           *their_area = room + 3 * (int64_t)trials;
    int32_t n = 0;
    for (int32_t t = 0; t < trials; t++) {
        if (!ours[t].last || !random[t].last || ours[t].last->annotations != random[t].last->annotations)
            continue;
        accuracy[n] = ours[t].last->accuracy;
        their_accuracy[n] = random[t].last->accuracy;
        area[n] = area_of(&ours[t]);
        their_area[n++] = area_of(&random[t]);
    }
    if (!n)
        return;
    df_paired_test(accuracy, their_accuracy, n, &out->difference, &out->difference_stderr, &out->p_value);
    df_paired_test(area, their_area, n, &out->area_difference, &out->area_difference_stderr,
                   &out->area_p_value);
}

static void correct(struct dfal_run_row *rows, int32_t count)
{
    double p[2][DF_MAX_STRATEGIES] = {{0}}, corrected[2][DF_MAX_STRATEGIES];
    for (int32_t s = 0; s < count; s++) {
        p[0][s] = rows[s].p_value;
        p[1][s] = rows[s].area_p_value;
    }
    for (int of = 0; of < 2; of++)
        df_holm(corrected[of], p[of], count);
    for (int32_t s = 0; s < count; s++) {
        rows[s].p_corrected = corrected[0][s];
        rows[s].area_p_corrected = corrected[1][s];
        rows[s].significant = corrected[0][s] < 0.05;
    }
}

dfal_status df_curve_summary(struct dfal_run_row rows[DF_MAX_STRATEGIES], const struct df_curve *curve,
                             const struct df_run_config *config, bool compared)
{
    const int32_t trials = config->trials;
    struct trial *ours = NULL, *random = NULL;
    double *room = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&ours, trials, sizeof *ours));
    DF_TRY_TO(done, status, df_alloc(&random, trials, sizeof *random));
    DF_TRY_TO(done, status, df_alloc(&room, 4 * (int64_t)trials, sizeof *room));
    look_at_trials(random, trials, curve, "random");
    for (int32_t s = 0; s < config->strategy_count; s++) {
        struct dfal_run_row *out = &rows[s];
        *out = (struct dfal_run_row){.strategy = config->strategy[s].name,
                                     .difference = NAN,
                                     .difference_stderr = NAN,
                                     .p_value = NAN,
                                     .area_difference = NAN,
                                     .area_difference_stderr = NAN,
                                     .area_p_value = NAN};
        look_at_trials(ours, trials, curve, config->strategy[s].name);
        drop_unfinished(ours, trials);
        summarise(out, ours, trials, room);
        if (compared && strcmp(config->strategy[s].name, "random"))
            hold_against(out, ours, random, trials, room);
    }
    correct(rows, config->strategy_count);
done:
    df_free(ours);
    df_free(random);
    df_free(room);
    return status;
}
