/* SPDX-License-Identifier: Apache-2.0 */
/* Finished parts of an unfinished import: a row for each picture of the list, decoded or not. Internal to
 * host/io. */
#ifndef DF_IO_IMAGE_PARTS_H
#define DF_IO_IMAGE_PARTS_H

#include "base/identity.h"
#include "io/image_list.h"
#include "job/shards.h"

/* Columns of a part, and bits of the column of marks. */
enum { DF_IMAGE_SAMPLE, DF_IMAGE_MARKS, DF_IMAGE_REASON };
enum { DF_IMAGE_ROTATED = 1, DF_IMAGE_GREY = 2, DF_IMAGE_BROKEN = 4, DF_IMAGE_ALPHA = 8 };

struct df_image_parts {
    struct df_rows_kind kind; /* sample u8 [C, H, W] of zeros where broken, marks u8, reason text */
    struct df_rows_head head;
    struct df_shards shards;
    bool ours; /* what lies there is this import's */
};
/* Hold OUT.parts and look at what is there. A part whose files look otherwise now is made again.
 * Errors   E_CONFIG a part of another identity, the first difference named; with force all are removed
 *          instead */
dfal_status df_image_parts_open(struct df_image_parts *parts, const char *out_path,
                                const struct df_identity *identity, const struct df_image_list *list,
                                struct df_shape shape, bool allow_mixed, bool force);
/* Let go; the parts stay when at least one is finished and keep is set. */
void df_image_parts_close(struct df_image_parts *parts, bool keep);
/* Note how the files of part i look from outside, before they are read. */
dfal_status df_image_parts_look(struct df_image_parts *parts, const struct df_image_list *list, int64_t i);
dfal_status df_image_part_write(struct df_image_parts *parts, int64_t i, const struct df_rows *rows);

#endif
