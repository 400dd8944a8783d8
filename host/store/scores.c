/* SPDX-License-Identifier: Apache-2.0 */
#include "store/scores.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"

static const char asked_name[] = "adversarial";

static dfal_status describe(struct df_rows_writer *writer, const struct df_rows_head *head)
{
    static const char *const names[DFAL_SCORE_STATUS_COUNT] = {
#define X(name, value, group) [value] = #name,
        DFAL_SCORE_STATUS_LIST(X)
#undef X
    };
    DF_TRY(df_rows_put_text(writer, DF_SCORES_margin, "meaning", "DeepFool distance"));
    DF_TRY(df_rows_put_text(writer, DF_SCORES_margin, "units",
                            strcmp(head->units, "raw") == 0 ? "raw pixel units" : "network input units"));
    return df_rows_put_texts(writer, DF_SCORES_status, "names", names, DFAL_SCORE_STATUS_COUNT);
}

static dfal_status check(const char *path, int64_t begin, const struct df_rows *rows)
{
    const uint8_t *status = rows->column[DF_SCORES_status];
    for (int64_t i = 0; i < rows->count; i++)
        if (status[i] >= DFAL_SCORE_STATUS_COUNT)
            DF_FAIL(DFAL_E_DATA, "%s: status %d in row %lld, expected 0 to %d", path, status[i],
                    (long long)(begin + i), DFAL_SCORE_STATUS_COUNT - 1);
    return DFAL_OK;
}

const struct df_rows_kind df_scores_kind = {
    .format = "dfal-scores",
    .name = "scores file",
    .column_count = DF_SCORES_COLUMN_COUNT,
    .columns =
        {
#define X(field, c_type, file, fill_value)                                                                   \
    [DF_SCORES_##field] = {.name = #field, .type = DF_COLUMN_##file, .fill = fill_value},
            DF_SCORES_COLUMN_LIST(X)
#undef X
        },
    .describe = describe,
    .check = check,
};

#define X(field, type, file, fill)                                                                           \
    _Static_assert(offsetof(struct df_scores, field) ==                                                      \
                       offsetof(struct df_scores, rows.column) + DF_SCORES_##field * sizeof(void *),         \
                   "a name stands where its column does");
DF_SCORES_COLUMN_LIST(X)
#undef X

dfal_status df_scores_alloc(struct df_scores *scores, int64_t count)
{
    return df_rows_alloc(&scores->rows, &df_scores_kind, count);
}

void df_scores_clear(struct df_scores *scores)
{
    df_rows_clear(&scores->rows);
}

struct df_scores df_scores_of(const struct df_rows *rows)
{
    return (struct df_scores){.rows = *rows};
}

dfal_status df_scores_read_columns(const char *path, struct df_rows_head *head, unsigned columns,
                                   struct df_scores *scores)
{
    struct df_rows_reader *reader;
    *scores = (struct df_scores){0};
    DF_TRY(df_rows_open(&reader, head, path, &df_scores_kind));
    const dfal_status status = df_rows_take_columns(reader, 0, df_rows_count(reader),
                                                    columns | 1U << DF_SCORES_status, false, &scores->rows);
    df_rows_close(reader);
    if (status != DFAL_OK)
        df_rows_head_clear(head);
    return status;
}

dfal_status df_scores_asked(struct df_rows_reader *reader, int64_t *asked)
{
    return df_rows_get_int(reader, asked_name, asked, 0);
}

dfal_status df_scores_put_asked(struct df_rows_writer *writer, int64_t asked)
{
    return df_rows_put_int(writer, asked_name, asked);
}

dfal_status df_scores_put_images(struct df_rows_writer *writer, const float *samples, const int64_t *index,
                                 int64_t q, struct df_shape shape)
{
    const struct df_column columns[] = {
        {"adversarial/samples", DF_COLUMN_F32, 4, {q, shape.c, shape.h, shape.w}, (void *)samples},
        {"adversarial/index", DF_COLUMN_I64, 1, {q}, (void *)index},
    };
    DF_TRY(df_rows_put_data(writer, &columns[0]));
    return df_rows_put_data(writer, &columns[1]);
}

dfal_status df_scores_keep(struct df_scores *scores, const int64_t *rows, int64_t n)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++, at++) {
        while (at < scores->count && scores->index[at] < rows[i])
            at++;
        if (at == scores->count || scores->index[at] != rows[i])
            DF_FAIL(DFAL_E_INTERNAL, "there is no score of row %lld, expected those of all candidates",
                    (long long)rows[i]);
        scores->index[i] = scores->index[at];
#define X(field, type, file, fill)                                                                           \
    if (scores->field)                                                                                       \
        scores->field[i] = scores->field[at];
        DF_SCORES_COLUMN_LIST(X)
#undef X
        if (scores->id && at != i) {
            df_free(scores->id[i]);
            scores->id[i] = scores->id[at];
            scores->id[at] = NULL;
        }
    }
    for (int64_t i = n; scores->id && i < scores->count; i++)
        df_free(scores->id[i]);
    scores->count = n;
    return DFAL_OK;
}
