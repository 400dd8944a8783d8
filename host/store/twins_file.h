/* SPDX-License-Identifier: Apache-2.0 */
/* Files of adversarial twins (docs/FORMATS.md, "Twins"). */
#ifndef DF_STORE_TWINS_FILE_H
#define DF_STORE_TWINS_FILE_H

#include "base/text.h"
#include "store/pool.h"

enum df_twins_name {
    DF_TWINS_SAMPLES, /* [count,C,H,W] f32 */
    DF_TWINS_RANK,    /* [count] i64 */
    DF_TWINS_INDEX,   /* [count] i64 */
    DF_TWINS_ID,      /* [count] texts */
    DF_TWINS_LABEL,   /* [count] i32 */
    DF_TWINS_CLASS,   /* [count] i32 */
    DF_TWINS_STATUS,  /* [count] u8 */
    DF_TWINS_COLUMNS
};
struct df_twins_column {
    enum df_twins_name name;
    void *data; /* borrowed */
};

/* "key":[values] for the configuration: a pool's scale and offset turn twins back into its raw units. */
void df_twins_reals(struct df_text *text, const char *key, const double *values, int32_t count);
/* Write all columns, in the order given, which is that in the file. */
dfal_status df_twins_write(const char *path, const char *configuration, struct df_shape shape, int64_t count,
                           const struct df_twins_column columns[DF_TWINS_COLUMNS], bool force);

#endif
