/* SPDX-License-Identifier: Apache-2.0 */
/* What a pool or a table of logits, activations or twins holds. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "facts.h"
#include "store/classes.h"
#include "store/labels.h"
#include "store/table.h"

enum { LISTED = 1000 }; /* classes: as in a confusion matrix that is printed */

static dfal_status tell_labels(const struct df_teller *teller, const struct df_pool *pool)
{
    int64_t *counts, labelled = 0, skipped = 0, occurring = 0;
    struct df_list list = {0};
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&counts, pool->class_count, sizeof *counts));
    for (int64_t i = 0; i < pool->count; i++) {
        skipped += pool->skipped && pool->skipped[i];
        if (pool->labels && pool->labels[i] >= 0) {
            counts[pool->labels[i]]++;
            labelled++;
        }
    }
    df_tell_int(teller, "labelled", labelled);
    if (pool->skipped)
        df_tell_int(teller, "skipped", skipped);
    for (int32_t i = 0; i < pool->class_count; i++)
        occurring += counts[i] > 0;
    /* As many zeros as a stray label asks for tell nobody anything. */
    const bool sparse = pool->class_count > LISTED && df_classes_are_unused(occurring, pool->class_count);
    for (int32_t i = 0; i < pool->class_count && labelled > 0; i++)
        if (!sparse)
            df_list_add(&list, "%lld", (long long)counts[i]);
        else if (counts[i] > 0)
            df_list_add(&list, "%d: %lld", i, (long long)counts[i]);
    if (labelled > 0)
        status = df_tell_list(teller, sparse ? "labelled_of_class" : "labelled_per_class", &list);
    df_free(counts);
    DF_KEEP_FIRST(status, df_tell_classes(teller, pool->classes, pool->class_count));
    return status;
}

dfal_status df_tell_classes(const struct df_teller *teller, char *const *names, int32_t count)
{
    struct df_list list = {0};
    for (int32_t i = 0; names && i < count; i++)
        df_list_add(&list, "%s", names[i]);
    return names ? df_tell_list(teller, "classes", &list) : DFAL_OK;
}

static dfal_status tell_pool(const struct df_teller *teller, struct df_pool *pool, const char *layout)
{
    char *first, *last;
    struct df_list ends = {0};
    df_tell_int(teller, "samples", pool->count);
    df_tell_text(teller, "shape", "%lld x %lld x %lld", (long long)pool->shape.c, (long long)pool->shape.h,
                 (long long)pool->shape.w);
    df_tell_text(teller, "layout", "%s", layout ? layout : "NCHW");
    df_tell_text(teller, "type", "%s", pool->raw == DF_RAW_U8 ? "u8" : "f32");
    df_tell_int(teller, "sample_bytes", (int64_t)df_pool_row_bytes(pool));
    df_tell_int(teller, "class_count", pool->class_count);
    DF_TRY(tell_labels(teller, pool));
    DF_TRY(df_tell_reals(teller, "scale", pool->scale, pool->affine_count));
    DF_TRY(df_tell_reals(teller, "offset", pool->offset, pool->affine_count));
    df_tell_text(teller, "ids", "%s", pool->has_ids ? "in /ids" : "fingerprint:row");
    DF_TRY(df_pool_id(pool, &first, 0));
    dfal_status status = df_pool_id(pool, &last, pool->count - 1);
    if (status == DFAL_OK) {
        df_list_add(&ends, "%s", first);
        df_list_add(&ends, "%s", last);
        status = df_tell_list(teller, "id_first_last", &ends);
    }
    df_free(first);
    df_free(last);
    df_tell_text(teller, "fingerprint", "%s", pool->fingerprint);
    return status;
}

dfal_status df_tell_pool(const struct df_teller *teller, struct dfal_context *context, const char *path,
                         const struct dfal_pool_options *options)
{
    struct df_pool *pool;
    DF_TRY(df_pool_open(&pool, context, path, options));
    df_labels_warn(context, pool);
    dfal_status status = tell_pool(teller, pool, options ? options->layout : NULL);
    df_pool_close(pool);
    return status;
}

static void tell_entry(void *user, const char *name, const char *what)
{
    char key[DF_SHOWN_TEXT + 1] = "/";
    df_shown(key + 1, name);
    df_tell_text(user, key, "%s", what);
}

dfal_status df_tell_table(const struct df_teller *teller, const char *path)
{
    struct df_teller copy = *teller;
    return df_table_list(path, tell_entry, &copy);
}

dfal_status dfal_info_pool(dfal_context *context, const char *path, const struct dfal_pool_options *options,
                           dfal_fact_fn *fact, void *user)
{
    const struct df_teller teller = {fact, user};
    char format[32];
    DF_TRY(df_file_format(format, path));
    df_tell_text(&teller, "path", "%s", path);
    df_tell_text(&teller, "format", "%s", format[0] ? format : "foreign HDF5");
    df_tell_bytes(&teller, path);
    return df_tell_pool(&teller, context, path, options);
}
