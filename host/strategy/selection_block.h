/* SPDX-License-Identifier: Apache-2.0 */
/* Some rows of a selection, read and forwarded: what must be finite before one is taken. */
#ifndef DF_STRATEGY_SELECTION_BLOCK_H
#define DF_STRATEGY_SELECTION_BLOCK_H

#include "base/status.h"

struct df_view;

enum { DF_BLOCK_ROWS = 4096 };
struct df_selection_block {
    int64_t capacity;
    int64_t *rows; /* ascending; the caller's to fill */
    bool *finite;  /* whether the input and the logits of each are */
    float *logits; /* of each row: [capacity, K] */
};
/* Room for at most q rows, and for DF_BLOCK_ROWS. One that was not opened may be closed. */
dfal_status df_selection_block_open(struct df_selection_block *block, const struct df_view *view, int64_t q);
void df_selection_block_close(struct df_selection_block *block);
/* Look at the first m rows. */
dfal_status df_selection_block_look(struct df_selection_block *block, const struct df_view *view, int64_t m);

#endif
