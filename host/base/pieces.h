/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of one cut, each said to be K of N: the shards of a score, the parts of a run. */
#ifndef DF_BASE_PIECES_H
#define DF_BASE_PIECES_H

#include "base/status.h"

struct df_piece {
    const char *path;
    int32_t number, count; /* from 0; of the whole cut */
};
/* Whether all pieces of a cut are there, each once. The pieces are put in their order.
 *   what  "shard"
 * Errors   E_DATA pieces of two cuts, a piece that is there twice (both named), pieces that are missing (the
 *          first of them named, the rest counted) */
dfal_status df_pieces_check(struct df_piece *pieces, int32_t count, const char *what);

#endif
