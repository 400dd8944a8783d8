/* SPDX-License-Identifier: Apache-2.0 */
/* Finished parts of an unfinished import: OUT.parts/000000.h5, ... of a fixed number of pictures each, so that they do
 * not depend on threads or kills. Internal to host/io. */
#ifndef DF_IO_IMAGE_PARTS_H
#define DF_IO_IMAGE_PARTS_H

#include "base/identity.h"
#include "base/parts.h"
#include "io/image_list.h"
#include "tensor/tensor.h"

/* Pictures [begin, end) of the list: `good` of them decoded, in order. */
struct df_image_part {
    int64_t begin, end, good, bad;
    uint8_t *samples;   /* [good, shape] */
    int64_t *index;     /* [good] places in the list */
    int64_t *bad_index; /* [bad] */
    char *reasons;      /* [bad] texts one behind the other, each with its zero */
    int64_t reason_bytes;
    int64_t rotated, grey;  /* of the good ones, as dfal_image_result counts them */
    struct df_row_sum look; /* of the files, before they were read */
};
/* Free the arrays of a part that was read. */
void df_image_part_clear(struct df_image_part *part);

struct df_image_parts {
    struct df_parts folder;
    struct df_shape shape;
    int64_t pictures, rows, count; /* of the list; of a part; parts */
    bool *finished;                /* [count] */
    int64_t finished_pictures;
    bool ours;                          /* what lies there is this import's */
    const struct df_identity *identity; /* borrowed */
    const struct df_image_list *list;   /* borrowed */
};
/* Hold OUT.parts and look at what is there. A part whose files look otherwise now is made again. A part of another
 * identity is E_CONFIG with the first key that differs, the arithmetic (version, libraries) passed over when allow_mixed;
 * with force all are removed instead. */
dfal_status df_image_parts_open(struct df_image_parts *parts, const char *out_path,
                                const struct df_identity *identity, const struct df_image_list *list,
                                struct df_shape shape, bool allow_mixed, bool force);
/* Let go; the parts stay when at least one is finished and keep is set. */
void df_image_parts_close(struct df_image_parts *parts, bool keep);
/* Pictures of a part: a power of two, at most 16,384 and 32 MiB of samples. */
int64_t df_image_part_rows(struct df_shape shape);
void df_image_part_bounds(const struct df_image_parts *parts, int64_t i, int64_t *begin, int64_t *end);
dfal_status df_image_part_write(struct df_image_parts *parts, int64_t i, const struct df_image_part *part);
/* Read a part; samples only where wanted. */
dfal_status df_image_part_read(const struct df_image_parts *parts, int64_t i, struct df_image_part *part,
                               bool samples);

#endif
