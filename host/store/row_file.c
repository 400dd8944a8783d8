/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in memory; heads and their comparison. */
#include "store/row_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "graph/json_text.h"
#include "store/column.h"

/* ---- Memory --------------------------------------------------------------------------------- */

int64_t df_row_column_size(const struct df_row_column *column)
{
    int64_t size = 1;
    for (int32_t i = 0; i < column->rank; i++)
        size *= column->dims[i];
    return size;
}

static size_t value_bytes(enum df_column_type type)
{
    return type == DF_COLUMN_TEXT ? sizeof(char *) : df_column_bytes(type);
}

int64_t df_rows_bytes(const struct df_rows_kind *kind)
{
    int64_t bytes = sizeof(int64_t);
    for (int32_t i = 0; i < kind->column_count; i++)
        bytes += df_row_column_size(&kind->columns[i]) * (int64_t)value_bytes(kind->columns[i].type);
    return bytes;
}

dfal_status df_rows_alloc(struct df_rows *rows, const struct df_rows_kind *kind, int64_t count)
{
    return df_rows_alloc_columns(rows, kind, count, DF_ROWS_ALL);
}

dfal_status df_rows_alloc_columns(struct df_rows *rows, const struct df_rows_kind *kind, int64_t count,
                                  unsigned columns)
{
    dfal_status status;
    *rows = (struct df_rows){.kind = kind, .count = count};
    DF_TRY_TO(done, status, df_alloc(&rows->index, count, sizeof *rows->index));
    for (int32_t i = 0; i < kind->column_count; i++) {
        const struct df_row_column *column = &kind->columns[i];
        if (columns >> i & 1)
            DF_TRY_TO(done, status,
                      df_alloc(&rows->column[i], count,
                               (size_t)df_row_column_size(column) * value_bytes(column->type)));
    }
done:
    if (status != DFAL_OK)
        df_rows_clear(rows);
    return status;
}

void df_rows_clear_texts(struct df_rows *rows)
{
    for (int32_t i = 0; rows->kind && i < rows->kind->column_count; i++) {
        char **texts = rows->kind->columns[i].type == DF_COLUMN_TEXT ? rows->column[i] : NULL;
        for (int64_t k = 0; texts && k < rows->count; k++) {
            df_free(texts[k]);
            texts[k] = NULL;
        }
    }
}

void df_rows_clear(struct df_rows *rows)
{
    df_strings_free(rows->id, rows->count);
    df_row_hashes_close(&rows->hashes);
    df_free(rows->index);
    df_rows_clear_texts(rows);
    for (int32_t i = 0; i < DF_ROWS_COLUMNS; i++)
        df_free(rows->column[i]);
    *rows = (struct df_rows){0};
}

/* ---- Heads ---------------------------------------------------------------------------------- */

void df_rows_head_clear(struct df_rows_head *head)
{
    df_free(head->configuration);
    df_free(head->command_line);
    df_free(head->network_path);
    df_free(head->pool_path);
    memset(head, 0, sizeof *head);
}

static void identify_arithmetic(struct df_identity *identity, const struct df_rows_head *head)
{
    df_identity_add(identity, "dfal_version", "%s", head->version);
    df_identity_add(identity, "backend", "%s", head->backend);
    df_identity_add(identity, "engine", "%s", head->engine);
    df_identity_add(identity, "isa", "%s", head->isa);
    df_identity_add(identity, "precision", "%s", head->precision);
    df_identity_add(identity, "library", "%s", head->library);
}

dfal_status df_rows_head_identity(struct df_identity *identity, const struct df_rows_head *head,
                                  const char *path)
{
    df_identity_add(identity, "network_sha256", "%s", head->network_sha256);
    df_identity_add(identity, "pool_fingerprint", "%s", head->pool_fingerprint);
    if (head->configuration && *head->configuration)
        DF_TRY(df_identity_json(identity, head->configuration, path));
    df_identity_add(identity, "pool_count", "%" PRId64, head->pool_count);
    df_identity_add(identity, "units", "%s", head->units);
    df_identity_add(identity, "seed", "%" PRIu64, head->seed);
    identify_arithmetic(identity, head);
    return identity->status;
}

dfal_status df_rows_head_compare(const struct df_rows_head *ours, const struct df_rows_head *theirs,
                                 bool allow_mixed, const char *path, const char *hint)
{
    struct df_identity a = {0}, b = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_rows_head_identity(&a, ours, path));
    DF_TRY_TO(done, status, df_rows_head_identity(&b, theirs, path));
    DF_TRY_TO(done, status, df_identity_check(&a, &b, true, DFAL_E_CONFIG, path, hint));
    if (theirs->mixed[0] && !allow_mixed)
        status = df_fail(DFAL_E_CONFIG,
                         "%s is mixed (%s), expected one arithmetic (`allow_mixed` takes it all the same)",
                         path, theirs->mixed);
    else
        status = df_identity_check(&a, &b, allow_mixed, DFAL_E_CONFIG, path, hint);
done:
    df_identity_clear(&a);
    df_identity_clear(&b);
    return status;
}

void df_rows_head_mix(struct df_rows_head *ours, const struct df_rows_head *theirs)
{
    struct df_identity a = {0}, b = {0};
    struct df_identity_difference difference = {0};
    if (theirs->mixed[0]) {
        memcpy(ours->mixed, theirs->mixed, sizeof ours->mixed);
        return;
    }
    identify_arithmetic(&a, ours);
    identify_arithmetic(&b, theirs);
    if (!ours->mixed[0] && a.status == DFAL_OK && b.status == DFAL_OK &&
        df_identity_next(&difference, &a, &b))
        snprintf(ours->mixed, sizeof ours->mixed, "%s: %.60s, %.60s", difference.name, difference.theirs,
                 difference.ours);
    df_identity_clear(&a);
    df_identity_clear(&b);
}
