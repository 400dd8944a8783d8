/* SPDX-License-Identifier: Apache-2.0 */
/* Scores files of parts of a pool become one: of their adversarial images, those that are closest of all. */
#include "score/scores_merge.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "job/merge.h"
#include "store/scores.h"

/* The adversarial images of a part: their rows and margins. */
struct part {
    const char *path;
    int64_t asked, images;
    struct df_shape shape;
    int64_t *rows;
    float *margins;
    /* of those, what the joined file takes: image and place in it, [taken] */
    int64_t taken, *image;
    float **place;
};

/* A file without any has images 0. */
static dfal_status look(void *user, const struct df_merge_part *of, int32_t i, struct df_rows_reader *reader)
{
    struct part *parts = user, *part = &parts[i];
    part->path = of->path;
    DF_TRY(df_scores_asked(reader, &part->asked));
    if (part->asked != parts[0].asked)
        DF_FAIL(DFAL_E_CONFIG, "%s was made with `adversarial` %" PRId64 ", expected %" PRId64 " as in %s",
                part->path, part->asked, parts[0].asked, parts[0].path);
    DF_TRY(df_scores_image_rows(reader, &part->rows, &part->images, &part->shape));
    DF_TRY(df_alloc(&part->margins, part->images, sizeof *part->margins));
    for (int64_t k = 0; k < part->images; k++) {
        const int64_t at = part->rows[k] - of->head.range_begin;
        if (at < 0 || at >= df_rows_count(reader))
            DF_FAIL(DFAL_E_DATA, "%s has an adversarial image of row %" PRId64 ", which it does not score",
                    part->path, part->rows[k]);
        DF_TRY(df_rows_read_column(reader, DF_SCORES_margin, at, 1, &part->margins[k]));
    }
    return DFAL_OK;
}

/* Where the next image of each part stands while they are merged by margin, then row. */
static int32_t nearest_part(const struct part *parts, const int64_t *next, int32_t count)
{
    int32_t best = -1;
    for (int32_t i = 0; i < count; i++) {
        if (next[i] == parts[i].images)
            continue;
        const float margin = parts[i].margins[next[i]];
        if (best < 0 || margin < parts[best].margins[next[best]] ||
            (margin == parts[best].margins[next[best]] &&
             parts[i].rows[next[i]] < parts[best].rows[next[best]]))
            best = i;
    }
    return best;
}

/* A part that has images; all that have some agree in their shape. */
static dfal_status find_shape(const struct part **shown, const struct part *parts, int32_t count)
{
    *shown = NULL;
    for (int32_t i = 0; i < count; i++) {
        if (parts[i].images && !*shown)
            *shown = &parts[i];
        if (parts[i].images && memcmp(&parts[i].shape, &(*shown)->shape, sizeof parts[i].shape) != 0)
            DF_FAIL(DFAL_E_SHAPE,
                    "%s has adversarial images of %" PRId64 "x%" PRId64 "x%" PRId64 ", expected %" PRId64
                    "x%" PRId64 "x%" PRId64 " as in %s",
                    parts[i].path, parts[i].shape.c, parts[i].shape.h, parts[i].shape.w, (*shown)->shape.c,
                    (*shown)->shape.h, (*shown)->shape.w, (*shown)->path);
    }
    return DFAL_OK;
}

/* Read what was chosen of one part into its places. */
static dfal_status read_chosen(const struct part *part)
{
    struct df_rows_head head;
    struct df_rows_reader *reader;
    if (part->taken == 0)
        return DFAL_OK;
    DF_TRY(df_rows_open(&reader, &head, part->path, &df_scores_kind));
    const dfal_status status = df_scores_images(reader, part->shape, part->image, part->place, part->taken);
    df_rows_close(reader);
    df_rows_head_clear(&head);
    return status;
}

/* Every part was asked for the same Q: the Q closest of all are among the Q closest of each. */
static dfal_status join_images(struct df_rows_writer *writer, struct part *parts, int32_t count)
{
    const struct part *shown;
    int64_t all = 0;
    DF_TRY(find_shape(&shown, parts, count));
    if (!shown)
        return DFAL_OK;
    for (int32_t i = 0; i < count; i++) {
        all += parts[i].images;
        DF_TRY(df_alloc(&parts[i].image, parts[i].images, sizeof *parts[i].image));
        DF_TRY(df_alloc(&parts[i].place, parts[i].images, sizeof *parts[i].place));
    }
    const int64_t asked = parts[0].asked, most = all < asked ? all : asked;
    const int64_t size = df_shape_size(shown->shape);
    int64_t *next = NULL, *rows = NULL;
    float *samples = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&next, count, sizeof *next));
    DF_TRY_TO(done, status, df_alloc(&rows, most, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&samples, most * size, sizeof *samples));
    for (int64_t joined = 0; joined < most; joined++) {
        const int32_t i = nearest_part(parts, next, count);
        struct part *part = &parts[i];
        part->image[part->taken] = next[i];
        part->place[part->taken++] = samples + joined * size;
        rows[joined] = part->rows[next[i]++];
    }
    for (int32_t i = 0; i < count; i++)
        DF_TRY_TO(done, status, read_chosen(&parts[i]));
    status = df_scores_put_images(writer, samples, rows, most, shown->shape);
done:
    df_free(next);
    df_free(rows);
    df_free(samples);
    return status;
}

static dfal_status complete(void *user, const struct df_merge_part *of, int32_t count,
                            struct df_rows_writer *writer)
{
    struct part *parts = user;
    (void)of;
    DF_TRY(df_scores_put_asked(writer, parts[0].asked));
    return join_images(writer, parts, count);
}

dfal_status df_scores_merge(struct dfal_context *context, const char *out_path, const char *const *paths,
                            int32_t count, int64_t *rows)
{
    static const struct df_merge_client client = {.look = look, .complete = complete};
    struct part *parts;
    DF_TRY(df_alloc(&parts, count, sizeof *parts));
    const dfal_status status =
        df_merge_rows(context, out_path, paths, count, &df_scores_kind, &client, parts, rows);
    for (int32_t i = 0; i < count; i++) {
        df_free(parts[i].rows);
        df_free(parts[i].margins);
        df_free(parts[i].image);
        df_free(parts[i].place);
    }
    df_free(parts);
    return status;
}
