/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 convolutions of stride 1 by minimal filtering, F(2x2, 3x3): 16 multiply-adds a channel for four outputs
 * instead of 36 (Winograd 1980; Lavin, Gray 2016, arXiv:1509.09308).
 *
 * cpu_winograd.c        where it pays, sizes, weights
 * cpu_winograd_tiles.h  tiles of some rows, a row a vector lane; cpu_stack_winograd.h is built on it, too
 * cpu_winograd_conv.c   a convolution of plain rows, or its input gradient; compiled twice, for AVX2, and for
 *                       AVX-512 by cpu_winograd_conv_avx512.c
 *
 * Math     Y = A^T [sum over channels of (G g G^T) * (B^T d B)] A of each 4x4 tile d of inputs. B and A only
 *          add and subtract, G halves
 * Order    of an output: channels ascending, one fused multiply-add a term, for each of the 16 products; then
 *          A, then the bias. No sum crosses lanes: the same bits on every instruction set
 * Ties     two outputs of a tile that stand side by side, or one above the other, have equal bits where they
 *          have equal inputs, as those of a direct convolution do: what differs between them is multiplied
 *          by differences of inputs, which are 0. So in flat regions and along straight edges a 2x2 max-pool,
 *          whose windows are the tiles, takes the same place; along a diagonal it may take the other of two.
 *          Larger tiles, F(4x4, 3x3), keep none of this */
#ifndef DF_BACKEND_CPU_WINOGRAD_H
#define DF_BACKEND_CPU_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

/* Tiles and outputs whose sums are in registers together. */
enum { DF_WINOGRAD_TILES = 3, DF_WINOGRAD_OUTPUTS = 4 };

/* Sizes of the work on some tiles. */
struct df_winograd {
    int32_t channels, outputs;
    int32_t together; /* tiles that go through it together, a multiple of DF_WINOGRAD_TILES */
};

/* Is it less work for so many channels, outputs and tiles, which give so many pixels? */
bool df_winograd_pays(int32_t channels, int32_t outputs, int64_t tiles, int64_t pixels);
struct df_winograd df_winograd_make(int32_t channels, int32_t outputs, int32_t lanes);
/* Blocks of DF_WINOGRAD_OUTPUTS outputs. */
static inline int32_t df_winograd_blocks(const struct df_winograd *w)
{
    return (w->outputs + DF_WINOGRAD_OUTPUTS - 1) / DF_WINOGRAD_OUTPUTS;
}
/* Floats of the transformed weights, and of the space of the tiles that go together. */
int64_t df_winograd_weights(const struct df_winograd *w);
int64_t df_winograd_space(const struct df_winograd *w, int32_t lanes);

/* Where a tap (y, x) of a channel of an output is, from the first one's on. */
struct df_winograd_filter {
    int64_t output, channel, y, x;
};
/* to   [16][blocks][channels][DF_WINOGRAD_OUTPUTS] */
void df_winograd_transform(const struct df_winograd *w, float *to, const float *from,
                           const struct df_winograd_filter *filter);

#endif
