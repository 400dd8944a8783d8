/* SPDX-License-Identifier: Apache-2.0 */
#include "store/labels.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/classes.h"
#include "store/csv_rows.h"
#include "store/label_text.h"
#include "store/pool_file.h"

enum column { COLUMN_ID, COLUMN_LABEL, COLUMN_STATUS, COLUMN_ANNOTATOR, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"id", "label", "status", "annotator"};

/* Who said last what a row is. */
struct mark {
    int64_t line;       /* 0: nobody yet */
    uint64_t annotator; /* hash of the name; 0: none was given */
    int32_t file;
};

struct overlay {
    struct df_pool *pool;
    const char *const *paths;
    int32_t file;
    struct mark *marks; /* [N] */
    struct df_class_table classes;
    int32_t largest;
    /* of the file being read */
    int64_t lines, said; /* those that name a row; those that say what it is */
};

static dfal_status find_class(const struct df_csv *csv, const char *text, int32_t *label)
{
    const struct overlay *overlay = csv->user;
    const struct df_pool *pool = overlay->pool;
    const dfal_status status = df_label_read(label, &overlay->classes, text,
                                             pool->counted_classes ? DF_CLASS_LIMIT : pool->class_count);
    return status == DFAL_OK ? status : df_fail_prefix(status, "%s:%lld: ", csv->path, (long long)csv->line);
}

static dfal_status fail_id(const struct df_csv *csv, struct df_pool *pool, const char *id)
{
    char shown[DF_SHOWN_TEXT], shown_near[DF_SHOWN_TEXT], *near;
    if (!pool->has_ids)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: id '%s' is not in %s, expected %.8s:0 to %.8s:%lld", csv->path,
                (long long)csv->line, df_shown(shown, id), pool->path, pool->fingerprint, pool->fingerprint,
                (long long)pool->count - 1);
    DF_TRY(df_pool_nearest(pool, &near, id));
    (void)df_fail(DFAL_E_DATA, "%s:%lld: id '%s' is not in %s%s%s%s", csv->path, (long long)csv->line,
                  df_shown(shown, id), pool->path, near ? "; nearest is '" : "",
                  near ? df_shown(shown_near, near) : "", near ? "'" : "");
    df_free(near);
    return DFAL_E_DATA;
}

dfal_status df_csv_row(const struct df_csv *csv, struct df_pool *pool, int64_t *row, const char *id)
{
    char shown[DF_SHOWN_TEXT];
    *row = -1;
    if (!id[0])
        DF_FAIL(DFAL_E_DATA, "%s:%lld: the id is empty, expected one of %s", csv->path, (long long)csv->line,
                pool->path);
    if (df_label_is_guarded(id))
        DF_TRY(df_pool_find(pool, row, id + 1));
    if (*row < 0)
        DF_TRY(df_pool_find(pool, row, id));
    const size_t whole = df_label_whole(id);
    if (*row < 0 && whole > 0 && whole < sizeof shown) { /* pandas makes 3.0 of an id 3 */
        snprintf(shown, sizeof shown, "%.*s", (int)whole, id);
        DF_TRY(df_pool_find(pool, row, shown));
    }
    return *row >= 0 ? DFAL_OK : fail_id(csv, pool, id);
}

/* A column that tools for labelling call otherwise; NULL: there is none. */
static const char *likely_labels(const struct df_csv *csv)
{
    static const char *const words[] = {"choice", "class", "category", "target"};
    for (const char *at = csv->found; *at;) {
        const size_t length = strcspn(at, ",");
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (length == strlen(words[i]) && strncmp(at, words[i], length) == 0)
                return words[i];
        at += length + strspn(at + length, ", ");
    }
    return NULL;
}

static dfal_status fail_column(const struct df_csv *csv, int which)
{
    const char *likely = which == COLUMN_LABEL ? likely_labels(csv) : NULL;
    DF_FAIL(DFAL_E_DATA, "%s:%lld: the header has no column '%s', expected %s%s%s%s%s", csv->path,
            (long long)csv->line, column_names[which], csv->header,
            csv->column_count == 1 ? " with commas, semicolons or tabs between" : "",
            likely ? "; column '" : "", likely ? likely : "",
            likely ? "' looks like the labels: rename it" : "");
}

static dfal_status begin(struct df_csv *csv)
{
    for (int which = COLUMN_ID; which <= COLUMN_LABEL; which++)
        if (csv->position[which] < 0)
            return fail_column(csv, which);
    return DFAL_OK;
}

/* FNV-1a, 64 bits; only a warning depends on it. */
static uint64_t hash_name(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    if (!text || !text[0])
        return 0;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash ? hash : 1;
}

static const char *outcome(const struct df_pool *pool, char text[DF_SHOWN_TEXT], int32_t class, bool skip)
{
    if (skip)
        return "skip";
    if (class < 0)
        return "no label";
    if (pool->classes && class < pool->class_count)
        return df_shown(text, pool->classes[class]);
    snprintf(text, DF_SHOWN_TEXT, "%d", class);
    return text;
}

/* A line that takes back what somebody else said. Who corrects himself, or settles what was unsure,
 * contradicts nobody. */
static dfal_status note_conflict(const struct df_csv *csv, int64_t row, int32_t class, bool skip)
{
    struct overlay *overlay = csv->user;
    struct df_pool *pool = overlay->pool;
    struct mark *mark = &overlay->marks[row];
    char id[DF_SHOWN_TEXT], now[DF_SHOWN_TEXT], then[DF_SHOWN_TEXT];
    uint64_t annotator = hash_name(csv->field[COLUMN_ANNOTATOR]);
    bool said = mark->line > 0 && (pool->labels[row] >= 0 || pool->skipped[row]);
    bool differs = pool->labels[row] != class || (bool)pool->skipped[row] != skip;
    bool himself = annotator && annotator == mark->annotator;
    if (said && differs && !himself && pool->label_conflicts++ == 0)
        DF_TRY(df_format(&pool->label_conflict, "%s:%lld says '%s' of id '%s', %s:%lld had said '%s'",
                         csv->path, (long long)csv->line, outcome(pool, now, class, skip),
                         df_shown(id, csv->field[COLUMN_ID]), overlay->paths[mark->file],
                         (long long)mark->line, outcome(pool, then, pool->labels[row], pool->skipped[row])));
    *mark = (struct mark){.line = csv->line, .annotator = annotator, .file = overlay->file};
    return DFAL_OK;
}

static bool is_empty(const char *text)
{
    return !text || !text[0];
}

/* A line without a label leaves its row as it is: whoever fills a table in has not come to it. */
static dfal_status pass_over(const struct df_csv *csv, const char *label, const char *state)
{
    struct df_pool *pool = ((const struct overlay *)csv->user)->pool;
    char shown[DF_SHOWN_TEXT];
    if (!is_empty(state))
        DF_FAIL(
            DFAL_E_DATA,
            "%s:%lld: the label is %s%s%s and the status 'label', expected a class, or status skip or unsure",
            csv->path, (long long)csv->line, label[0] ? "'" : "empty", df_shown(shown, label),
            label[0] ? "'" : "");
    if (pool->label_blanks++ == 0)
        return df_format(&pool->label_blank, "%s:%lld", csv->path, (long long)csv->line);
    return DFAL_OK;
}

static dfal_status apply(struct df_csv *csv)
{
    struct overlay *overlay = csv->user;
    struct df_pool *pool = overlay->pool;
    const char *id = csv->field[COLUMN_ID], *label = csv->field[COLUMN_LABEL];
    const char *state = csv->field[COLUMN_STATUS];
    char shown[DF_SHOWN_TEXT];
    long long line = (long long)csv->line;
    int64_t row;
    if (csv->field_count > 1 && is_empty(id) && is_empty(label) && is_empty(state))
        return DFAL_OK; /* a spreadsheet's ,,, */
    if (!id || !label)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected id and label", csv->path, line, csv->field_count);
    if (csv->field_count > csv->column_count) /* an id with a bare comma would get another's label */
        DF_FAIL(DFAL_E_DATA, "%s:%lld: %d fields, expected at most the %d of the header", csv->path, line,
                csv->field_count, csv->column_count);
    DF_TRY(df_csv_row(csv, pool, &row, id));
    overlay->lines++;
    bool skip = state && strcmp(state, "skip") == 0, unsure = state && strcmp(state, "unsure") == 0;
    if (!is_empty(state) && !skip && !unsure && strcmp(state, "label") != 0)
        DF_FAIL(DFAL_E_DATA, "%s:%lld: status '%s', expected label, skip or unsure", csv->path, line,
                df_shown(shown, state));
    int32_t class = -1;
    if (!skip && !unsure)
        DF_TRY(find_class(csv, label, &class));
    if (class == DF_LABEL_MISSING)
        return pass_over(csv, label, state);
    overlay->said += class >= 0 || skip || unsure;
    DF_TRY(note_conflict(csv, row, class, skip));
    pool->labels[row] = class;
    pool->skipped[row] = skip;
    overlay->largest = class > overlay->largest ? class : overlay->largest;
    return DFAL_OK;
}

static dfal_status make_room(struct overlay *overlay)
{
    struct df_pool *pool = overlay->pool;
    if (!pool->labels) {
        DF_TRY(df_alloc(&pool->labels, pool->count, sizeof *pool->labels));
        for (int64_t i = 0; i < pool->count; i++)
            pool->labels[i] = -1;
    }
    if (!pool->skipped)
        DF_TRY(df_alloc(&pool->skipped, pool->count, 1));
    DF_TRY(df_alloc(&overlay->marks, pool->count, sizeof *overlay->marks));
    return df_class_table_make(&overlay->classes, pool->classes, pool->class_count);
}

/* Such as what Label Studio exports: its answers stand in a column of another name. */
static dfal_status note_nothing(const struct df_csv *csv, int64_t lines)
{
    struct df_pool *pool = ((const struct overlay *)csv->user)->pool;
    return df_format(
        &pool->label_nothing,
        "%s labels no row: none of its %lld line%s has a class in column 'label'; its columns are %s",
        csv->path, (long long)lines, lines == 1 ? "" : "s", csv->found);
}

dfal_status df_labels_overlay(struct df_pool *pool, const char *const *paths, int32_t count)
{
    struct overlay overlay = {.pool = pool, .paths = paths, .largest = -1};
    dfal_status status = count > 0 ? make_room(&overlay) : DFAL_OK;
    for (; overlay.file < count && status == DFAL_OK; overlay.file++) {
        struct df_csv csv = {
            .path = paths[overlay.file],
            .columns = column_names,
            .count = COLUMN_COUNT,
            .header = "id,label[,annotator,seconds,status]",
            .begin = begin,
            .record = apply,
            .user = &overlay,
        };
        overlay.lines = overlay.said = 0;
        status = df_csv_read(&csv);
        if (status == DFAL_OK && overlay.lines > 0 && overlay.said == 0 && !pool->label_nothing)
            status = note_nothing(&csv, overlay.lines);
    }
    if (status == DFAL_OK && pool->counted_classes && overlay.largest >= pool->class_count)
        pool->class_count = overlay.largest + 1;
    df_free(overlay.marks);
    df_class_table_clear(&overlay.classes);
    df_pool_forget_index(pool);
    return status;
}

void df_warn_layout(struct dfal_context *context, const char *path, struct df_shape shape)
{
    df_say(context, DFAL_WARNING, "pool.layout",
           DF_FIELDS(DF_TEXT("pool", path), DF_INT("channels", shape.c), DF_INT("height", shape.h),
                     DF_INT("width", shape.w)),
           "%s: read as pictures of %lld channels, %lld x %lld; if the channels are the last axis, say "
           "`layout` NHWC (else `layout` NCHW)",
           path, (long long)shape.c, (long long)shape.h, (long long)shape.w);
}

void df_labels_warn(struct dfal_context *context, const struct df_pool *pool)
{
    if (pool->looks_like_nhwc)
        df_warn_layout(context, pool->path, pool->shape);
    if (pool->label_conflicts)
        df_say(
            context, DFAL_WARNING, "labels.conflict",
            DF_FIELDS(DF_INT("conflicts", pool->label_conflicts), DF_TEXT("first", pool->label_conflict),
                      DF_TEXT("pool", pool->path)),
            "%s: the last line wins; the label files contradict each other in %lld line%s, this is the first",
            pool->label_conflict, (long long)pool->label_conflicts, pool->label_conflicts == 1 ? "" : "s");
    if (pool->label_blanks)
        df_say(context, DFAL_INFO, "labels.blank",
               DF_FIELDS(DF_INT("lines", pool->label_blanks), DF_TEXT("first", pool->label_blank),
                         DF_TEXT("pool", pool->path)),
               "%s: no label stands there, the row stays as it is; %lld line%s of the label files %s so",
               pool->label_blank, (long long)pool->label_blanks, pool->label_blanks == 1 ? "" : "s",
               pool->label_blanks == 1 ? "is" : "are");
    if (pool->label_nothing)
        df_say(context, DFAL_WARNING, "labels.nothing", DF_FIELDS(DF_TEXT("pool", pool->path)), "%s",
               pool->label_nothing);
}
