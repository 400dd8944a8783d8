/* SPDX-License-Identifier: Apache-2.0 */
/* The adversarial images of a scores file, read one at a time. */
#include "base/memory.h"
#include "store/row_file_layout.h"
#include "store/scores.h"

/* found NULL: images that are missing are an error. */
static dfal_status open_samples(struct df_rows_reader *reader, struct df_h5_data *samples, bool *found)
{
    char text[DF_H5_SHAPE_TEXT];
    DF_TRY(df_h5_data_open(&reader->h5, "adversarial/samples", samples, found));
    if ((found && !*found) || (samples->kind == DF_H5_REAL && samples->rank == 4))
        return DFAL_OK;
    dfal_status status =
        df_fail(DFAL_E_DATA, "%s: dataset 'adversarial/samples' is %s, expected reals [Q, C, H, W]",
                reader->h5.path, df_h5_shape(text, samples->dims, samples->rank));
    df_h5_data_close(&reader->h5, samples);
    return status;
}

static dfal_status read_rows(struct df_rows_reader *reader, int64_t count, int64_t **rows)
{
    struct df_h5_data index;
    char text[DF_H5_SHAPE_TEXT];
    dfal_status status = DFAL_OK;
    DF_TRY(df_h5_data_open(&reader->h5, "adversarial/index", &index, NULL));
    if (index.kind != DF_H5_INTEGER || index.rank != 1 || index.dims[0] != count)
        status = df_fail(DFAL_E_DATA,
                         "%s: dataset 'adversarial/index' is %s, expected a row for each of %lld images",
                         reader->h5.path, df_h5_shape(text, index.dims, index.rank), (long long)count);
    if (status == DFAL_OK)
        status = df_alloc(rows, count, sizeof **rows);
    if (status == DFAL_OK)
        status = df_h5_data_read(&reader->h5, &index, H5T_NATIVE_INT64, 0, count, *rows);
    df_h5_data_close(&reader->h5, &index);
    return status;
}

dfal_status df_scores_image_rows(struct df_rows_reader *reader, int64_t **rows, int64_t *count,
                                 struct df_shape *shape)
{
    struct df_h5_data samples;
    bool found = false;
    *rows = NULL;
    *count = 0;
    df_h5_lock();
    dfal_status status = open_samples(reader, &samples, &found);
    if (status == DFAL_OK && found) {
        *count = samples.dims[0];
        *shape = (struct df_shape){samples.dims[1], samples.dims[2], samples.dims[3]};
        df_h5_data_close(&reader->h5, &samples);
        status = read_rows(reader, *count, rows);
    }
    df_h5_unlock();
    if (status != DFAL_OK) {
        df_free(*rows);
        *rows = NULL;
        *count = 0;
    }
    return status;
}

static dfal_status read_images(struct df_rows_reader *reader, const struct df_h5_data *samples,
                               struct df_shape shape, const int64_t *images, float *const *places,
                               int64_t count)
{
    char text[DF_H5_SHAPE_TEXT];
    for (int64_t i = 0; i < count; i++) {
        if (samples->dims[1] != shape.c || samples->dims[2] != shape.h || samples->dims[3] != shape.w ||
            images[i] >= samples->dims[0])
            DF_FAIL(DFAL_E_IO, "%s: was replaced while it was read: its adversarial images are %s now",
                    reader->h5.path, df_h5_shape(text, samples->dims, samples->rank));
        DF_TRY(df_h5_data_read(&reader->h5, samples, H5T_NATIVE_FLOAT, images[i], 1, places[i]));
    }
    return df_h5_unchanged(&reader->h5);
}

dfal_status df_scores_images(struct df_rows_reader *reader, struct df_shape shape, const int64_t *images,
                             float *const *places, int64_t count)
{
    struct df_h5_data samples;
    df_h5_lock();
    dfal_status status = open_samples(reader, &samples, NULL);
    if (status == DFAL_OK) {
        status = read_images(reader, &samples, shape, images, places, count);
        df_h5_data_close(&reader->h5, &samples);
    }
    df_h5_unlock();
    return status;
}
