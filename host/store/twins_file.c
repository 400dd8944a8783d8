/* SPDX-License-Identifier: Apache-2.0 */
#include "store/twins_file.h"

#include "store/table.h"

void df_twins_reals(struct df_text *text, const char *key, const double *values, int32_t count)
{
    df_text_add(text, "\"%s\":[", key);
    for (int32_t i = 0; i < count; i++)
        df_text_add(text, "%s%.17g", i ? "," : "", values[i]);
    df_text_add(text, "]");
}

dfal_status df_twins_write(const char *path, const char *configuration, struct df_shape shape, int64_t count,
                           const struct df_twins_column columns[DF_TWINS_COLUMNS], bool force)
{
    static const struct df_column kinds[DF_TWINS_COLUMNS] = {
        [DF_TWINS_SAMPLES] = {.name = "/samples", .type = DF_COLUMN_F32, .rank = 4},
        [DF_TWINS_RANK] = {.name = "/rank", .type = DF_COLUMN_I64, .rank = 1},
        [DF_TWINS_INDEX] = {.name = "/index", .type = DF_COLUMN_I64, .rank = 1},
        [DF_TWINS_ID] = {.name = "/id", .type = DF_COLUMN_TEXT, .rank = 1},
        [DF_TWINS_LABEL] = {.name = "/label", .type = DF_COLUMN_I32, .rank = 1},
        [DF_TWINS_CLASS] = {.name = "/adversarial_class", .type = DF_COLUMN_I32, .rank = 1},
        [DF_TWINS_STATUS] = {.name = "/status", .type = DF_COLUMN_U8, .rank = 1},
    };
    const int64_t dims[4] = {count, shape.c, shape.h, shape.w};
    struct df_column table[DF_TWINS_COLUMNS];
    for (int i = 0; i < DF_TWINS_COLUMNS; i++) {
        table[i] = kinds[columns[i].name];
        for (int32_t k = 0; k < table[i].rank; k++)
            table[i].dims[k] = dims[k];
        table[i].data = columns[i].data;
    }
    return df_table_write(path, "dfal-twins", configuration, table, DF_TWINS_COLUMNS, force);
}
