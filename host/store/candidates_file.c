/* SPDX-License-Identifier: Apache-2.0 */
#include "store/candidates_file.h"

#include "base/memory.h"
#include "store/hdf5_file.h"

enum { VALUES = DF_CANDIDATES_LABELLED_FEATURES + 1 };
static const char *const names[VALUES] = {"logits", "features", "labelled/features"};

struct df_candidates_writer {
    struct df_h5 h5;
    struct df_h5_data values[VALUES], ids;
};

static dfal_status put_int(const struct df_h5 *h5, const char *name, int64_t value)
{
    return df_h5_put_ints(h5, h5->file, name, &value, 1, true);
}

static dfal_status put_head(struct df_h5 *h5, const struct df_candidates_head *head)
{
    DF_TRY(df_h5_stamp(h5, "dfal-candidates"));
    DF_TRY(put_int(h5, "count", head->queries));
    DF_TRY(put_int(h5, "class_count", head->class_count));
    DF_TRY(put_int(h5, "round", head->round));
    DF_TRY(df_h5_put_seed(h5, head->seed));
    DF_TRY(df_h5_put_text(h5, h5->file, "network", head->network));
    DF_TRY(df_h5_put_text(h5, h5->file, "pool", head->pool));
    DF_TRY(df_h5_put_text(h5, h5->file, "node", head->node));
    return df_h5_texts_put(h5, "classes", head->class_count, (const char *const *)head->classes);
}

static dfal_status put_rows(struct df_h5 *h5, const char *name, const struct df_candidates_rows *rows)
{
    return df_h5_data_put(h5, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 1, &rows->count, rows->rows);
}

static dfal_status begin(struct df_candidates_writer *writer, const char *path,
                         const struct df_candidates_head *head, const struct df_candidates_rows *candidates,
                         const struct df_candidates_rows *labelled, const int32_t *labels, int64_t size)
{
    struct df_h5 *h5 = &writer->h5;
    const int64_t dims[VALUES][2] = {
        {candidates->count, head->class_count}, {candidates->count, size}, {labelled->count, size}};
    DF_TRY(df_h5_create(h5, path, true));
    DF_TRY(put_head(h5, head));
    DF_TRY(put_rows(h5, "index", candidates));
    DF_TRY(put_rows(h5, "labelled/index", labelled));
    DF_TRY(
        df_h5_data_put(h5, "labelled/label", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, &labelled->count, labels));
    for (int i = 0; i < VALUES; i++)
        DF_TRY(df_h5_data_create(h5, names[i], H5T_IEEE_F32LE, 2, dims[i], 0, NULL, &writer->values[i]));
    return df_h5_texts_create(h5, "id", candidates->count, &writer->ids);
}

dfal_status df_candidates_create(struct df_candidates_writer **out, const char *path,
                                 const struct df_candidates_head *head,
                                 const struct df_candidates_rows *candidates,
                                 const struct df_candidates_rows *labelled, const int32_t *labels,
                                 int64_t size)
{
    struct df_candidates_writer *writer;
    *out = NULL;
    DF_TRY(df_alloc(&writer, 1, sizeof *writer));
    *writer = (struct df_candidates_writer){.h5 = DF_H5_NONE, .ids = DF_H5_NO_DATA};
    for (int i = 0; i < VALUES; i++)
        writer->values[i] = DF_H5_NO_DATA;
    df_h5_lock();
    const dfal_status status = begin(writer, path, head, candidates, labelled, labels, size);
    df_h5_unlock();
    if (status != DFAL_OK)
        df_candidates_abandon(writer);
    else
        *out = writer;
    return status;
}

dfal_status df_candidates_put(struct df_candidates_writer *writer, enum df_candidates_values which,
                              int64_t at, int64_t count, const float *values)
{
    df_h5_lock();
    const dfal_status status =
        df_h5_data_write(&writer->h5, &writer->values[which], H5T_NATIVE_FLOAT, at, count, values);
    df_h5_unlock();
    return status;
}

dfal_status df_candidates_put_ids(struct df_candidates_writer *writer, int64_t at, int64_t count,
                                  char *const *ids)
{
    df_h5_lock();
    const dfal_status status =
        df_h5_texts_write(&writer->h5, &writer->ids, at, count, (const char *const *)ids);
    df_h5_unlock();
    return status;
}

static dfal_status close_data(struct df_candidates_writer *writer)
{
    dfal_status status = df_h5_data_close(&writer->h5, &writer->ids);
    for (int i = 0; i < VALUES; i++)
        DF_KEEP_FIRST(status, df_h5_data_close(&writer->h5, &writer->values[i]));
    return status;
}

dfal_status df_candidates_finish(struct df_candidates_writer *writer)
{
    df_h5_lock();
    dfal_status status = close_data(writer);
    if (status == DFAL_OK)
        status = df_h5_publish(&writer->h5);
    df_h5_unlock();
    df_candidates_abandon(writer);
    return status;
}

void df_candidates_abandon(struct df_candidates_writer *writer)
{
    if (!writer)
        return;
    df_h5_lock();
    (void)close_data(writer);
    df_h5_close(&writer->h5);
    df_h5_unlock();
    df_free(writer);
}
