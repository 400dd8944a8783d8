/* SPDX-License-Identifier: Apache-2.0 */
/* The format MPS with its fixed places; names are of at most eight bytes. */
#include "strategy/coreset_model.h"

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/row_distance.h"

enum { NAME = 48 };

static void put_entry(FILE *file, const char *column, const char *row, int64_t value)
{
    fprintf(file, "    %-8s  %-8s  %12lld\n", column, row, (long long)value);
}

static void put_bound(FILE *file, const char *kind, const char *column, int64_t value)
{
    fprintf(file, " %s BND       %-8s  %12lld\n", kind, column, (long long)value);
}

static void put_integers(FILE *file, bool begin)
{
    fprintf(file, "    %-8s  %-8s  %12s   '%s'\n", "MARKER", "'MARKER'", "", begin ? "INTORG" : "INTEND");
}

static const char *name_of(char text[NAME], char letter, int64_t number)
{
    snprintf(text, NAME, "%c%lld", letter, (long long)number);
    return text;
}

/* ---- covering ------------------------------------------------------------------------------------------ */

static void put_cover_columns(FILE *file, const struct df_cover_stage *stage)
{
    char column[NAME], row[NAME];
    put_integers(file, true);
    for (int64_t c = 0; c < stage->column_count; c++) {
        name_of(column, 'y', c);
        for (int64_t e = stage->begin[c]; e < stage->begin[c + 1]; e++)
            put_entry(file, column, name_of(row, 'r', stage->entry[e]), 1);
        put_entry(file, column, "budget", 1);
    }
    put_integers(file, false);
    for (int64_t i = 0; stage->outliers && i < stage->row_count; i++) {
        name_of(column, 'z', i);
        put_entry(file, column, name_of(row, 'r', i), 1);
        put_entry(file, column, "spare", 1);
    }
}

void df_cover_write(FILE *file, const void *model)
{
    const struct df_cover_stage *stage = model;
    char name[NAME];
    fprintf(file, "NAME          DFAL\nROWS\n N  none\n L  budget\n%s", stage->outliers ? " L  spare\n" : "");
    for (int64_t i = 0; i < stage->row_count; i++)
        fprintf(file, " G  %s\n", name_of(name, 'r', i));
    fprintf(file, "COLUMNS\n");
    put_cover_columns(file, stage);
    fprintf(file, "RHS\n");
    put_entry(file, "RHS", "budget", stage->budget);
    if (stage->outliers)
        put_entry(file, "RHS", "spare", stage->outliers);
    for (int64_t i = 0; i < stage->row_count; i++)
        put_entry(file, "RHS", name_of(name, 'r', i), 1);
    fprintf(file, "BOUNDS\n");
    for (int64_t c = 0; c < stage->column_count; c++)
        put_bound(file, "UP", name_of(name, 'y', c), 1);
    for (int64_t i = 0; stage->outliers && i < stage->row_count; i++)
        put_bound(file, "UP", name_of(name, 'z', i), 1);
    fprintf(file, "ENDATA\n");
}

/* ---- program (6) --------------------------------------------------------------------------------------- */

static void add_points(struct df_sener *sener, const struct df_features *h, bool labelled)
{
    for (int64_t i = 0; i < h->count; i++) {
        const float *features = h->values + i * h->size;
        if (!df_row_is_finite(features, h->size))
            continue;
        sener->features[sener->count] = features;
        sener->candidate[sener->count++] = labelled ? -1 : i;
    }
}

dfal_status df_sener_make(struct df_sener *sener, const struct df_cover *cover)
{
    const int64_t most = cover->h.count + cover->labelled.count;
    *sener = (struct df_sener){.size = cover->h.size, .budget = cover->budget, .outliers = cover->outliers};
    if (most > DF_SENER_POINTS)
        DF_FAIL(DFAL_E_USAGE,
                "program sener has a column for each pair of points, and there are %lld labelled rows and "
                "candidates, expected at most %d: choose from fewer (subsample), or take program covering, "
                "which has the same result",
                (long long)most, DF_SENER_POINTS);
    DF_TRY(df_alloc(&sener->features, most, sizeof *sener->features));
    DF_TRY(df_alloc(&sener->candidate, most, sizeof *sener->candidate));
    add_points(sener, &cover->labelled, true);
    sener->labelled = sener->count;
    add_points(sener, &cover->h, false);
    return DFAL_OK;
}

void df_sener_clear(struct df_sener *sener)
{
    df_free(sener->features);
    df_free(sener->candidate);
    *sener = (struct df_sener){0};
}

static const char *pair_name(char text[NAME], char letter, int64_t i, int64_t j)
{
    snprintf(text, NAME, "%c%lld_%lld", letter, (long long)i, (long long)j);
    return text;
}

static const char *centre_name(char text[NAME], const struct df_sener *sener, int64_t j)
{
    return sener->candidate[j] < 0 ? name_of(text, 'u', j) : name_of(text, 'y', sener->candidate[j]);
}

static bool far_apart(const struct df_sener *sener, int64_t i, int64_t j)
{
    return i != j && df_square_distance(sener->features[i], sener->features[j], sener->size) > sener->square;
}

static void put_pair_rows(FILE *file, const struct df_sener *sener, int64_t i)
{
    char name[NAME];
    fprintf(file, " E  %s\n", name_of(name, 'a', i));
    for (int64_t j = 0; j < sener->count; j++) {
        fprintf(file, " L  %s\n", pair_name(name, 'c', i, j));
        if (far_apart(sener, i, j))
            fprintf(file, " E  %s\n", pair_name(name, 'e', i, j));
    }
}

static void put_pair_columns(FILE *file, const struct df_sener *sener, int64_t i)
{
    char column[NAME], row[NAME];
    for (int64_t j = 0; j < sener->count; j++) {
        const bool apart = far_apart(sener, i, j);
        pair_name(column, 'w', i, j);
        put_entry(file, column, name_of(row, 'a', i), 1);
        put_entry(file, column, pair_name(row, 'c', i, j), 1);
        if (!apart)
            continue;
        put_entry(file, column, pair_name(row, 'e', i, j), 1);
        pair_name(column, 'x', i, j);
        put_entry(file, column, row, -1);
        put_entry(file, column, "spare", 1);
    }
}

static void put_centre_columns(FILE *file, const struct df_sener *sener)
{
    char column[NAME], row[NAME];
    for (int64_t j = 0; j < sener->count; j++) {
        centre_name(column, sener, j);
        put_entry(file, column, "budget", 1);
        for (int64_t i = 0; i < sener->count; i++)
            put_entry(file, column, pair_name(row, 'c', i, j), -1);
    }
}

static void put_sener_bounds(FILE *file, const struct df_sener *sener)
{
    char name[NAME];
    for (int64_t j = 0; j < sener->count; j++)
        put_bound(file, sener->candidate[j] < 0 ? "FX" : "UP", centre_name(name, sener, j), 1);
    for (int64_t i = 0; i < sener->count; i++)
        for (int64_t j = 0; j < sener->count; j++) {
            put_bound(file, "UP", pair_name(name, 'w', i, j), 1);
            if (far_apart(sener, i, j))
                put_bound(file, "UP", pair_name(name, 'x', i, j), 1);
        }
}

void df_sener_write(FILE *file, const void *model)
{
    const struct df_sener *sener = model;
    char name[NAME];
    fprintf(file, "NAME          DFAL\nROWS\n N  none\n E  budget\n L  spare\n");
    for (int64_t i = 0; i < sener->count; i++)
        put_pair_rows(file, sener, i);
    fprintf(file, "COLUMNS\n");
    put_integers(file, true);
    put_centre_columns(file, sener);
    for (int64_t i = 0; i < sener->count; i++)
        put_pair_columns(file, sener, i);
    put_integers(file, false);
    fprintf(file, "RHS\n");
    put_entry(file, "RHS", "budget", sener->labelled + sener->budget);
    put_entry(file, "RHS", "spare", sener->outliers);
    for (int64_t i = 0; i < sener->count; i++)
        put_entry(file, "RHS", name_of(name, 'a', i), 1);
    fprintf(file, "BOUNDS\n");
    put_sener_bounds(file, sener);
    fprintf(file, "ENDATA\n");
}
