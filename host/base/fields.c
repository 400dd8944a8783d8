/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fields.h"

#include <string.h>

#include "base/memory.h"

/* With the zero byte behind it, or behind each text of a list. */
static size_t text_bytes(const struct dfal_field *field)
{
    const int64_t texts = field->kind == DFAL_FIELD_LIST                  ? field->integer
                          : field->kind == DFAL_FIELD_TEXT && field->text ? 1
                                                                          : 0;
    size_t bytes = 0;
    for (int64_t i = 0; i < texts; i++)
        bytes += strlen(field->text + bytes) + 1;
    return bytes;
}

dfal_status df_fields_keep(struct df_fields *fields, const struct dfal_field *field, int32_t count)
{
    size_t bytes = (size_t)count * sizeof *field;
    for (int32_t i = 0; i < count; i++)
        bytes += text_bytes(&field[i]);
    df_fields_clear(fields);
    DF_TRY(df_alloc(&fields->field, (int64_t)bytes, 1));
    char *text = (char *)(fields->field + count);
    for (int32_t i = 0; i < count; i++) {
        const size_t size = text_bytes(&field[i]);
        fields->field[i] = field[i];
        if (size)
            fields->field[i].text = memcpy(text, field[i].text, size);
        text += size;
    }
    fields->count = count;
    return DFAL_OK;
}

void df_fields_clear(struct df_fields *fields)
{
    df_free(fields->field);
    *fields = (struct df_fields){0};
}
